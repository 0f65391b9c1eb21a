"""Denoisers whose belief stays within the range of the data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from diffusion.theory import Cond, Denoiser, Estimate, Schedule


@dataclass(frozen=True)
class Clipped:
    """x0 clipped to the bounds of the data, and eps computed from it (as in the code of Ho et al. 2020)."""

    inner: Denoiser
    bounds: tuple[float, float]

    @property
    def schedule(self) -> Schedule:
        return self.inner.schedule

    def __call__(self, x_t: Tensor, t: Tensor, cond: Cond) -> Estimate:
        belief = self.inner(x_t, t, cond)
        clipped = Estimate.from_x0(x_t, self.schedule(t), belief.x0.clamp(*self.bounds))
        return replace(clipped, variance=belief.variance)


@dataclass(frozen=True)
class Constrained:
    """x0 passed through a function (B, ...) -> (B, ...), and eps computed from it.

    The function may be whatever data obey: a projection, silence in some frames, a limiter.
    """

    inner: Denoiser
    constrain: Callable[[Tensor], Tensor]

    @property
    def schedule(self) -> Schedule:
        return self.inner.schedule

    def __call__(self, x_t: Tensor, t: Tensor, cond: Cond) -> Estimate:
        belief = self.inner(x_t, t, cond)
        constrained = Estimate.from_x0(x_t, self.schedule(t), self.constrain(belief.x0))
        return replace(constrained, variance=belief.variance)


@dataclass(frozen=True)
class DynamicallyClipped:
    """x0 clipped to the range that holds `fraction` of it, then shrunk to the bounds (Saharia et al. 2022, 2.3).

    A clip with that fraction already within the bounds is only clipped. Strong guidance drives whole beliefs beyond the
    range of the data, and clipping alone would leave them flat at the bounds.
    """

    inner: Denoiser
    bounds: tuple[float, float]
    fraction: float = 0.995

    def __post_init__(self) -> None:
        if not 0 < self.fraction <= 1:
            raise ValueError(f"fraction: got {self.fraction}, allowed above 0 to 1")

    @property
    def schedule(self) -> Schedule:
        return self.inner.schedule

    def __call__(self, x_t: Tensor, t: Tensor, cond: Cond) -> Estimate:
        low, high = self.bounds
        centre, reach = (high + low) / 2, (high - low) / 2
        belief = self.inner(x_t, t, cond)
        away = (belief.x0 - centre) / reach
        # kthvalue, since torch.quantile refuses more than 16 million elements and interpolates
        size = away.flatten(1).abs().kthvalue(max(1, round(self.fraction * away[0].numel())), dim=1).values
        size = size.clamp(min=1).reshape(-1, *[1] * (x_t.ndim - 1))
        inside = torch.minimum(torch.maximum(away, -size), size) / size
        clipped = Estimate.from_x0(x_t, self.schedule(t), centre + reach * inside)
        return replace(clipped, variance=belief.variance)
