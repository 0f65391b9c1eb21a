"""A stationary process whose conditional law is known: what edits are proven on."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from diffusion.samplers import SAMPLERS
from diffusion.theory import CorrelatedDenoiser, Cosine, Denoiser, early_grid

PLACES = 32
LAGS = (torch.arange(PLACES, dtype=torch.float64)[:, None] - torch.arange(PLACES)).abs()
COVARIANCE = 0.7 * torch.cos(2 * math.pi * LAGS / 8) * torch.exp(-LAGS / 40) + 0.3 * torch.exp(-LAGS / 3)
PROCESS = CorrelatedDenoiser(Cosine(), torch.full((PLACES,), 0.5, dtype=torch.float64), COVARIANCE)
COUNT = 4096


def noise(draw: int, like: Tensor) -> Tensor:
    """Each noise (COUNT, PLACES) beside its negative, so that means are exact."""
    half = torch.randn(COUNT // 2, PLACES, generator=torch.Generator().manual_seed(draw), dtype=torch.float64)
    return torch.cat([half, -half])


def sampled(denoiser: Denoiser, steps: int, sampler: str = "unipc", times: Tensor | None = None) -> Tensor:
    """Samples (COUNT, PLACES)."""
    x, times = noise(0, torch.empty(0)), early_grid(denoiser.schedule, steps) if times is None else times
    for step in SAMPLERS[sampler].steps(denoiser, x, times, cond={}, noise=noise):
        x = step.x
    return x
