"""Beliefs kept inside the range of the data."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from diffusion.theory import Cond, Denoiser, Estimate, Schedule


@dataclass(frozen=True)
class Clipped:
    """x0 clipped to the data's bounds, and eps made to agree (Ho et al. 2020, as their code samples)."""

    inner: Denoiser
    bounds: tuple[float, float]

    @property
    def schedule(self) -> Schedule:
        return self.inner.schedule

    def __call__(self, x_t: Tensor, t: Tensor, cond: Cond) -> Estimate:
        return Estimate.from_x0(x_t, self.schedule(t), self.inner(x_t, t, cond).x0.clamp(*self.bounds))
