"""Squared errors of the belief, with a weight for each noise level."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from diffusion.theory import Cond, Denoiser, jump


class Objective(Protocol):
    """The loss (B,) of a denoiser that sees x0 (B, ...) noised by eps to the times t (B,); the caller reduces."""

    def __call__(self, denoiser: Denoiser, x0: Tensor, t: Tensor, eps: Tensor, cond: Cond) -> Tensor: ...


@dataclass(frozen=True)
class CleanError:
    """min(1 / sigma², cap) |x0 - belief|², averaged over each clip.

    1 / sigma² = 1 + SNR is the weight under which a squared error in v and one in x0 are the same loss (Salimans &
    Ho 2022, section 4); the cap keeps the nearly clean examples, which teach little, from ruling the gradient
    (min-SNR: Hang et al. 2023, eq. 7).
    """

    cap: float = 25.0

    def __call__(self, denoiser: Denoiser, x0: Tensor, t: Tensor, eps: Tensor, cond: Cond) -> Tensor:
        level = denoiser.schedule(t)
        belief = denoiser(jump(x0, level, eps), t, cond)
        weight = (1 / level.sigma**2).clamp(max=self.cap).to(x0)
        return weight * (belief.x0 - x0).square().flatten(1).mean(1)
