"""Classifier-free guidance."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from diffusion.theory import Cond, Denoiser, Estimate, Schedule, broadcast


@dataclass(frozen=True)
class Guided:
    """What the labels change in the belief, `scale` times over (Ho & Salimans 2022, eq. 6, written with w = 1 for off).

    any + scale (labelled - any), where every label of `any` is the null index 0. scale (B,) or (); where it is 1 for
    the whole batch no second pass is made. Both passes go as one batch.
    """

    inner: Denoiser
    scale: Tensor

    @property
    def schedule(self) -> Schedule:
        return self.inner.schedule

    def __call__(self, x_t: Tensor, t: Tensor, cond: Cond) -> Estimate:
        if bool((self.scale == 1).all()):
            return self.inner(x_t, t, cond)
        both = {name: torch.cat([label, torch.zeros_like(label)]) for name, label in cond.items()}
        belief = self.inner(torch.cat([x_t, x_t]), torch.cat([t, t]), both)
        x0, x0_any = belief.x0.chunk(2)
        eps, eps_any = belief.eps.chunk(2)
        scale = broadcast(self.scale, x_t)
        return Estimate(x0_any + scale * (x0 - x0_any), eps_any + scale * (eps - eps_any))
