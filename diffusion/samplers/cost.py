"""What a way of sampling costs."""

from __future__ import annotations

import torch
from torch import Tensor

from diffusion.theory import Cosine, GaussianDenoiser, Grid, SeededNoise

from .base import Sampler

NUMBER = GaussianDenoiser(Cosine(), torch.zeros(1), torch.ones(1))
"""The denoiser of a single number."""


def evaluations(sampler: Sampler, grid: Grid, steps: int) -> int:
    """How often a whole run of `steps` asks the denoiser: counted on one of a single number.

    From the second step on all cost the same, so no more than three are taken.
    """

    def count(steps: int) -> int:
        return evaluations_along(sampler, grid(NUMBER.schedule, steps))

    if steps <= 3:
        return count(steps)
    return count(3) + (steps - 3) * (count(3) - count(2))


def evaluations_along(sampler: Sampler, times: Tensor) -> int:
    """How often a run along these times asks the denoiser."""
    *_, last = sampler.steps(NUMBER, torch.zeros(1, 1), times, cond={}, noise=SeededNoise([0]))
    return last.evaluations
