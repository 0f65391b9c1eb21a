"""What the model makes at this point of its training, on one page."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from torch import nn

from diffusion.checkpoint import Configuration
from diffusion.data.labels import GUIDED
from diffusion.denoisers import Guided
from diffusion.networks.precision import fast_dtype
from diffusion.picture import pixels, png
from diffusion.samplers import DPMSolver2M
from diffusion.theory import SeededNoise, leap_grid

GUIDANCE_SCALE = 2.0
STEPS = 20
RANGE = (-1.5, 1.25)  # features from black to the brightest colour
GAP = 4  # pixels


def write_sheet(path: Path, configuration: Configuration, network: nn.Module) -> None:
    """A PNG of spectrograms, one clip for each ensemble, or style if there are more, and the others taking turns.

    Other labels are left free, and so are these in a model that has no value of them. The seeds are the columns'
    numbers: sheets of one run show the same clips growing.
    """
    device = next(network.parameters()).device
    labels = {name: values for name, values in configuration.labels.items() if name in GUIDED and values}
    count = max((len(values) for values in labels.values()), default=1)
    cond = {name: torch.arange(count, device=device) % len(values) + 1 for name, values in labels.items()}
    bands = configuration.codec["bands"]
    noise = SeededNoise(range(count))
    x = noise(0, torch.empty(count, 1, bands, configuration.frames, device=device))
    denoiser = Guided(configuration.denoiser(network), torch.full((count,), GUIDANCE_SCALE))
    dtype = fast_dtype(device)
    times = leap_grid(denoiser.schedule, STEPS)
    with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        *_, last = DPMSolver2M().steps(denoiser, x, times, cond=cond, noise=noise)
    clips = last.x[:, 0].float().cpu().numpy()
    rows = math.ceil(count / 2)
    height, width = bands + GAP, configuration.frames + GAP
    page = np.full((rows * height, 2 * width, 3), 255, np.uint8)
    for index, clip in enumerate(clips):
        top, left = index % rows * height, index // rows * width
        page[top : top + bands, left : left + configuration.frames] = pixels(clip, RANGE)
    path.write_bytes(png(page))
