"""What a network's last step leaves out of the music that it learns."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import nn

from diffusion.audio.texture import Texture
from diffusion.checkpoint import Configuration
from diffusion.data.dataset import Features
from diffusion.networks.precision import fast_dtype
from diffusion.theory import jump

LOG_SNR = 4.3  # where the last of twenty early steps begins
CLIPS = 144
BATCH = 16


@torch.no_grad()
def find_texture(configuration: Configuration, network: nn.Module, features: Features) -> dict[str, Any]:
    """The texture of the music for a configuration, {} where the network knows too little to tell.

    Always the same clips and noise.
    """
    device = next(network.parameters()).device
    dtype = fast_dtype(device)
    denoiser = configuration.denoiser(network)
    t = denoiser.schedule.inverse(torch.tensor(LOG_SNR, dtype=torch.float64))
    level = denoiser.schedule(t)
    x0, cond = features.crop(np.random.default_rng(0), configuration.frames, CLIPS)
    eps = torch.randn(x0.shape, generator=torch.Generator().manual_seed(0))
    beliefs = []
    for rows in torch.arange(CLIPS).split(BATCH):
        known = {label: each[rows].to(device) for label, each in cond.items()}
        x_t = jump(x0[rows], level, eps[rows]).float().to(device)
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            beliefs.append(denoiser(x_t, t.expand(len(rows)).to(device), known).x0.float().cpu())
    texture = Texture.measured(torch.cat(beliefs), x0, level)
    return asdict(texture) if texture else {}
