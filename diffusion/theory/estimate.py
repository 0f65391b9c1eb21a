"""What a denoiser believes about a noisy input, and the one place that converts between x0, eps, v and score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from .schedule import Level, Schedule, broadcast

Cond = Mapping[str, Tensor]
"""Labels by name, int64 (B,), in which index 0 stands for "any"; and what else a network may be told, (B, ...)."""


@dataclass(frozen=True)
class Mix:
    """A learned variance of the step back: `fraction` (B, ...) in [0, 1] leads from log beta-tilde to log beta.

    Nichol & Dhariwal 2021, eq. 15. Learned on the steps of the training grid; on longer ones it is the same fraction
    of their own bounds.
    """

    fraction: Tensor


@dataclass(frozen=True)
class LogVariance:
    """A free learned variance of the step back, as its logarithm (B, ...); it is that of one training step alone."""

    log_variance: Tensor


@dataclass(frozen=True)
class Spread:
    """The learned variance of x0 given x_t: log Var[x0 | x_t] (B, ...).

    It belongs to a time, not to a step, so it serves steps back of any length.
    """

    log_variance: Tensor


@dataclass(frozen=True)
class Estimate:
    """The belief about x_t (B, ...): its clean part x0 and its noise eps, with x_t = alpha x0 + sigma eps.

    `variance` is the denoiser's learned variance of the step back, if it has learned one.
    """

    x0: Tensor
    eps: Tensor
    variance: Mix | LogVariance | Spread | None = None

    @classmethod
    def from_x0(cls, x_t: Tensor, level: Level, x0: Tensor) -> Estimate:
        """eps = (x_t - alpha x0) / sigma."""
        return cls(x0, (x_t - broadcast(level.alpha, x_t) * x0) / broadcast(level.sigma, x_t))

    @classmethod
    def from_eps(cls, x_t: Tensor, level: Level, eps: Tensor) -> Estimate:
        """x0 = (x_t - sigma eps) / alpha."""
        return cls((x_t - broadcast(level.sigma, x_t) * eps) / broadcast(level.alpha, x_t), eps)

    @classmethod
    def from_v(cls, x_t: Tensor, level: Level, v: Tensor) -> Estimate:
        """Inverts v = alpha eps - sigma x0 (Salimans & Ho 2022, section 4), on any schedule."""
        norm = level.alpha**2 + level.sigma**2
        x0 = broadcast(level.alpha / norm, x_t) * x_t - broadcast(level.sigma / norm, x_t) * v
        eps = broadcast(level.sigma / norm, x_t) * x_t + broadcast(level.alpha / norm, x_t) * v
        return cls(x0, eps)

    @property
    def deviation(self) -> Tensor | None:
        """The standard deviation (B, ...) of x0 given x_t, None where the denoiser has not learned that."""
        return (self.variance.log_variance / 2).exp() if isinstance(self.variance, Spread) else None

    def v(self, level: Level) -> Tensor:
        """alpha eps - sigma x0."""
        return broadcast(level.alpha, self.x0) * self.eps - broadcast(level.sigma, self.x0) * self.x0

    def score(self, level: Level) -> Tensor:
        """The gradient of log q(x_t): -eps / sigma (Song et al. 2021)."""
        return -self.eps / broadcast(level.sigma, self.eps)


class Denoiser(Protocol):
    """Whatever gives an Estimate for x_t (B, ...) at t (B,) float64. One call is one evaluation."""

    @property
    def schedule(self) -> Schedule: ...

    def __call__(self, x_t: Tensor, t: Tensor, cond: Cond) -> Estimate: ...
