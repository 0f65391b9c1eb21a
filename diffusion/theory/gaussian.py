"""Data whose best denoiser is known exactly, for tests and demonstrations."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from .estimate import Cond, Estimate
from .schedule import Level, Schedule, broadcast


def gaussian_belief(x_t: Tensor, level: Level, mean: Tensor, variance: Tensor) -> Tensor:
    """E[x0 | x_t] (B, ...) for x0 ~ N(mean, variance), elementwise: the Wiener filter.

    mean + gain (x_t - alpha mean) with gain = alpha variance / (alpha² variance + sigma²).
    """
    alpha, sigma = broadcast(level.alpha, x_t), broadcast(level.sigma, x_t)
    gain = alpha * variance / (alpha**2 * variance + sigma**2)
    return mean + gain * (x_t - alpha * mean)


@dataclass(frozen=True)
class GaussianDenoiser:
    """The exact denoiser of N(mean, variance), independent in each element; both broadcast against x_t (B, ...)."""

    schedule: Schedule
    mean: Tensor
    variance: Tensor

    def __call__(self, x_t: Tensor, t: Tensor, cond: Cond) -> Estimate:
        level = self.schedule(t)
        return Estimate.from_x0(x_t, level, gaussian_belief(x_t, level, self.mean, self.variance))


@dataclass(frozen=True)
class CorrelatedDenoiser:
    """The exact denoiser of N(mean, covariance) in D dimensions, the last axis of x_t (B, ..., D): (D,) and (D, D)."""

    schedule: Schedule
    mean: Tensor
    covariance: Tensor

    @cached_property
    def _axes(self) -> tuple[Tensor, Tensor]:
        """The variances (D,) along the principal axes, and those axes as columns (D, D)."""
        variances, axes = torch.linalg.eigh(self.covariance)
        return variances.clamp(min=0), axes

    def __call__(self, x_t: Tensor, t: Tensor, cond: Cond) -> Estimate:
        level, (variances, axes) = self.schedule(t), self._axes
        along = gaussian_belief(x_t @ axes, level, self.mean @ axes, variances)
        return Estimate.from_x0(x_t, level, along @ axes.T)

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Exact samples (count, D)."""
        variances, axes = self._axes
        noise = torch.randn(count, len(self.mean), generator=generator, dtype=self.mean.dtype)
        return self.mean + noise * variances.sqrt() @ axes.T


@dataclass(frozen=True)
class MixtureDenoiser:
    """The exact denoiser of a mixture of K round Gaussians in D dimensions.

    weights (K,), means (K, D), variances (K,). The label `component` k picks the k-th alone, 0 the whole mixture.
    """

    schedule: Schedule
    weights: Tensor
    means: Tensor
    variances: Tensor

    def responsibilities(self, x_t: Tensor, level: Level, cond: Cond) -> Tensor:
        """p(component | x_t) (B, K)."""
        alpha, sigma = (broadcast(c, x_t) for c in (level.alpha, level.sigma))
        variances = alpha**2 * self.variances + sigma**2
        squares = ((x_t[:, None] - alpha[..., None] * self.means) ** 2).sum(-1)
        logits = self.weights.log() - squares / (2 * variances) - self.means.shape[1] / 2 * variances.log()
        label = cond.get("component")
        if label is not None:
            others = torch.arange(1, len(self.weights) + 1) != label[:, None]
            logits = logits.masked_fill(others & (label > 0)[:, None], -math.inf)
        return logits.softmax(-1)

    def __call__(self, x_t: Tensor, t: Tensor, cond: Cond) -> Estimate:
        level = self.schedule(t.expand(len(x_t)))
        beliefs = gaussian_belief(x_t[:, None], level, self.means, self.variances[:, None])
        x0 = (self.responsibilities(x_t, level, cond)[..., None] * beliefs).sum(1)
        return Estimate.from_x0(x_t, level, x0)

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Exact samples (count, D)."""
        k = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        noise = torch.randn(count, self.means.shape[1], generator=generator, dtype=self.means.dtype)
        return self.means[k] + self.variances[k, None].sqrt() * noise
