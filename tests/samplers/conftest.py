"""Exact data, exact laws: no proof here draws a random number where it can do without."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from diffusion.samplers import Draws, Model, Sampler
from diffusion.theory import GaussianDenoiser, Schedule

MEAN = torch.tensor([0.7, -1.3, 2.0], dtype=torch.float64)
VARIANCE = torch.tensor([0.04, 0.5, 2.3], dtype=torch.float64)
"""Three Gaussians of data; none is N(0, 1), which a VP process leaves as it is and which hides bugs."""


@dataclass(frozen=True)
class Impulses:
    """Row 0 and 1 of a batch get no noise, row 1 + i gets ones as draw i."""

    def __call__(self, draw: int, like: Tensor) -> Tensor:
        noise = torch.zeros_like(like)
        noise[draw + 1 : draw + 2] = 1
        return noise


@dataclass(frozen=True)
class Gaussians:
    """The data above on a schedule: its exact denoiser, its exact laws."""

    schedule: Schedule
    variance: Tensor = VARIANCE

    @property
    def denoiser(self) -> GaussianDenoiser:
        return GaussianDenoiser(self.schedule, MEAN, self.variance)

    def law(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance (3,) of x_t."""
        level = self.schedule(t)
        return level.alpha * MEAN, level.alpha**2 * self.variance + level.sigma**2

    def flow(self, x_t: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """Where the probability-flow equation takes x_t: it keeps the place within the Gaussian."""
        (mean_t, variance_t), (mean_s, variance_s) = self.law(t), self.law(s)
        return mean_s + (variance_s / variance_t).sqrt() * (x_t - mean_t)

    def relax(self, t: Tensor, s: Tensor, noise_rate: float) -> Tensor:
        """What is left (3,) at s of a displacement of the mean at t when fresh noise replaces old.

        sqrt(V_s / V_t) along the flow; `noise_rate` 1 is the reverse process, whose whole factor is the regression of
        x_s on x_t, and other rates are powers of what that adds.
        """
        (_, variance_t), (_, variance_s) = self.law(t), self.law(s)
        along = (variance_s / variance_t).sqrt()
        return along * (self.schedule(t).alpha / self.schedule(s).alpha * along) ** noise_rate

    def propagate(self, sampler: Sampler, times: Tensor, law: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """The exact mean and variance (3,) of x after the sampler's updates along times, from those before.

        Every update is affine in x and in its noise, so the whole run is. One batch holds the run from 0 without
        noise, the run from 1, and for each draw a run from 0 in which only that draw is not 0.
        """
        counter = Draws(Impulses())
        for _ in sampler.updates(Model(self.denoiser, {}), torch.zeros(1, 3, dtype=torch.float64), times, counter):
            pass
        x = torch.zeros(2 + counter.count, 3, dtype=torch.float64)
        x[1] = 1
        for x, _ in sampler.updates(Model(self.denoiser, {}), x, times, Draws(Impulses())):  # noqa: B007, B020
            pass
        gains = x[1:] - x[0]
        mean, variance = law
        return x[0] + gains[0] * mean, gains[0] ** 2 * variance + gains[1:].square().sum(0)


@pytest.fixture
def gaussians() -> Callable[..., Gaussians]:
    return Gaussians
