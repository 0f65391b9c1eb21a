"""Beliefs kept inside the range of the data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from diffusion.theory import Cond, Denoiser, Estimate, Schedule


@dataclass(frozen=True)
class Clipped:
    """x0 clipped to the data's bounds, and eps made to agree (Ho et al. 2020, as their code samples)."""

    inner: Denoiser
    bounds: tuple[float, float]
    title: ClassVar[str] = "Static clipping"
    summary: ClassVar[str] = "Cut every belief to the range of the data: what the network exaggerates cannot add up."

    @property
    def schedule(self) -> Schedule:
        return self.inner.schedule

    def __call__(self, x_t: Tensor, t: Tensor, cond: Cond) -> Estimate:
        belief = self.inner(x_t, t, cond)
        clipped = Estimate.from_x0(x_t, self.schedule(t), belief.x0.clamp(*self.bounds))
        return replace(clipped, variance=belief.variance)


@dataclass(frozen=True)
class Constrained:
    """x0 brought by a function (B, ...) -> (B, ...) to where data can be, and eps made to agree.

    What one range for all elements cannot say: where a clip is silent, a projection, a limiter.
    """

    inner: Denoiser
    constrain: Callable[[Tensor], Tensor]
    title: ClassVar[str] = "Constraint"
    summary: ClassVar[str] = (
        "Bring every belief to what is known of the data as a whole, such as how far peaks stand out."
    )

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

    A clip whose values lie within the bounds that far is clipped to the bounds and not shrunk. Strong guidance drives
    whole beliefs out of the data's range: clipping alone would leave them flat at the bounds.
    """

    inner: Denoiser
    bounds: tuple[float, float]
    fraction: float = 0.995
    title: ClassVar[str] = "Dynamic clipping"
    summary: ClassVar[str] = (
        "Where too much of a belief leaves the range of the data, shrink it all back instead of cutting it flat."
    )

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
