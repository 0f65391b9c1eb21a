"""Expectations over exact data without a random number: Gauss-Hermite quadrature in x0 and eps."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from diffusion.objectives import Objective
from diffusion.theory import (
    Cond,
    Denoiser,
    Estimate,
    GaussianDenoiser,
    LinearBetas,
    LogVariance,
    MixtureDenoiser,
    Schedule,
    posterior,
    posterior_variance,
)

STEPS = 100


def hermite(nodes: int) -> tuple[Tensor, Tensor]:
    """Nodes and weights (nodes,) of an expectation under N(0, 1)."""
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    return torch.tensor(points), torch.tensor(weights / math.sqrt(2 * math.pi))


@dataclass(frozen=True)
class Expectation:
    """x0 and eps (B, 1) with weights (B,) that sum to 1."""

    x0: Tensor
    eps: Tensor
    weight: Tensor

    @classmethod
    def of_mixture(cls, weights: Tensor, means: Tensor, variances: Tensor, nodes: int) -> "Expectation":
        points, p = hermite(nodes)
        x0 = (means + variances[:, None].sqrt() * points).flatten()
        p0 = (weights[:, None] * p).flatten()
        grid = torch.cartesian_prod(torch.arange(len(x0)), torch.arange(nodes)).T
        return cls(x0[grid[0]][:, None], points[grid[1]][:, None], p0[grid[0]] * p[grid[1]])

    def __call__(self, objective: Objective, denoiser: Denoiser, t: float) -> Tensor:
        times = torch.full((len(self.x0),), t, dtype=torch.float64)
        return self.weight @ objective(denoiser, self.x0, times, self.eps, {})


@dataclass(frozen=True)
class Bent:
    """A denoiser led astray: x0 by `mean` (P,) and the log variance by `spread` (P,), times functions of x_t."""

    inner: Denoiser
    mean: Tensor
    spread: Tensor | None = None

    @property
    def schedule(self) -> Schedule:
        return self.inner.schedule

    def __call__(self, x_t: Tensor, t: Tensor, cond: Cond) -> Estimate:
        belief = self.inner(x_t, t, cond)
        features = torch.stack([torch.ones_like(x_t), x_t, x_t**2, torch.sin(3 * x_t)], dim=-1)
        bent = Estimate.from_x0(x_t, self.schedule(t), belief.x0 + features @ self.mean.to(x_t))
        variance = belief.variance
        if self.spread is not None:
            assert isinstance(variance, LogVariance)
            variance = LogVariance(variance.log_variance + features @ self.spread.to(x_t))
        return replace(bent, variance=variance)


@dataclass(frozen=True)
class ExactChain:
    """The exact denoiser of N(mean, variance) with the exact variance of the step back, which is Gaussian too."""

    inner: GaussianDenoiser
    steps: int = STEPS

    @property
    def schedule(self) -> Schedule:
        return self.inner.schedule

    def __call__(self, x_t: Tensor, t: Tensor, cond: Cond) -> Estimate:
        level_t, level_s = self.schedule(t), self.schedule(((t * self.steps).round() - 1) / self.steps)
        prior = self.inner.variance
        unknown = prior * level_t.sigma**2 / (level_t.alpha**2 * prior + level_t.sigma**2)
        weight = posterior(torch.zeros_like(t), torch.ones_like(t), level_t, level_s).mean
        variance = posterior_variance(level_t, level_s) + weight**2 * unknown
        belief = self.inner(x_t, t, cond)
        return replace(belief, variance=LogVariance(variance.log()[:, None].expand_as(x_t)))


@dataclass(frozen=True)
class Exact:
    """Data, its exact denoiser, and expectations over it."""

    denoiser: Denoiser
    expectation: Expectation

    def hermite(self, nodes: int) -> tuple[Tensor, Tensor]:
        return hermite(nodes)


MEAN, VARIANCE = torch.tensor([0.3], dtype=torch.float64), torch.tensor([0.2], dtype=torch.float64)
SCHEDULE = LinearBetas(steps=STEPS, first=1e-3, last=0.2)


@pytest.fixture
def gaussian() -> Exact:
    one = torch.ones(1, dtype=torch.float64)
    exact = ExactChain(GaussianDenoiser(SCHEDULE, MEAN, VARIANCE))
    return Exact(exact, Expectation.of_mixture(one, MEAN[:, None], VARIANCE, nodes=24))


@pytest.fixture
def mixture() -> Exact:
    weights = torch.tensor([0.3, 0.7], dtype=torch.float64)
    means = torch.tensor([[-0.7], [0.5]], dtype=torch.float64)
    variances = torch.tensor([0.05, 0.15], dtype=torch.float64)
    expectation = Expectation.of_mixture(weights, means, variances, nodes=64)
    return Exact(MixtureDenoiser(SCHEDULE, weights, means, variances), expectation)


@pytest.fixture
def bend() -> Callable[..., Bent]:
    """bend(denoiser, spread=False) at zero, ready to be differentiated."""

    def make(denoiser: Denoiser, *, spread: bool = False) -> Bent:
        zeros = [torch.zeros(4, dtype=torch.float64, requires_grad=True) for _ in range(2)]
        return Bent(denoiser, zeros[0], zeros[1] if spread else None)

    return make
