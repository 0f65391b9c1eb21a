"""What the model composes at this point of its training, on one page."""

from __future__ import annotations

import math
from collections import deque
from pathlib import Path

import numpy as np
from torch import nn

from diffusion.checkpoint import Configuration
from diffusion.codecs import BELIEF
from diffusion.compose import Composed, compose
from diffusion.data.labels import GUIDED
from diffusion.denoisers import InFormat
from diffusion.networks.precision import fast_dtype
from diffusion.picture import png
from diffusion.request import Request

GAP = 4  # pixels


def write_sheet(path: Path, configuration: Configuration, network: nn.Module) -> None:
    """A PNG of clips at the default settings, as the page composes and shows them, in two columns.

    There are as many as there are ensembles, or styles if these are more; the values of both labels take turns. All
    other labels are left open, and so are these in a model that has no value of them. The seed of a clip is its number
    on the sheet, so sheets of one run show the same clips improve.
    """
    device = next(network.parameters()).device
    labels = {name: values for name, values in configuration.labels.items() if name in GUIDED and values}
    count = max((len(values) for values in labels.values()), default=1)
    requests = [
        Request({name: values[index % len(values)] for name, values in labels.items()}, seed=index, duration_s=None)
        for index in range(count)
    ]
    denoiser = InFormat(configuration.denoiser(network), device, fast_dtype(device))
    [last] = deque(compose(denoiser, configuration, requests, device=device), maxlen=1)
    assert isinstance(last, Composed)
    codec = configuration.features
    limits = codec.limits(*BELIEF)
    pictures = [codec.picture(clip, limits) for clip in last.features.float().cpu().numpy()]
    rows = math.ceil(count / 2)
    height, width = pictures[0].shape[:2]
    page = np.full((rows * (height + GAP), 2 * (width + GAP), 3), 255, np.uint8)
    for index, picture in enumerate(pictures):
        top, left = index % rows * (height + GAP), index // rows * (width + GAP)
        page[top : top + height, left : left + width] = picture
    path.write_bytes(png(page))
