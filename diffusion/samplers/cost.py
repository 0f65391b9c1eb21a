"""What a way of sampling costs."""

from __future__ import annotations

import torch

from diffusion.theory import Cosine, GaussianDenoiser, Grid, SeededNoise

from .base import Sampler


def evaluations(sampler: Sampler, grid: Grid, steps: int) -> int:
    """How often a whole run of `steps` asks the denoiser: counted on one of a single number.

    From the second step on all cost the same, so no more than three are taken.
    """

    def count(steps: int) -> int:
        denoiser = GaussianDenoiser(Cosine(), torch.zeros(1), torch.ones(1))
        times, noise = grid(denoiser.schedule, steps), SeededNoise([0])
        *_, last = sampler.steps(denoiser, torch.zeros(1, 1), times, cond={}, noise=noise)
        return last.evaluations

    if steps <= 3:
        return count(steps)
    return count(3) + (steps - 3) * (count(3) - count(2))
