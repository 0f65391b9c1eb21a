"""Squared errors of the belief, with a weight for each noise level."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from diffusion.theory import Cond, Denoiser, Estimate, Level, jump


class Objective(Protocol):
    """The loss (B,) of a denoiser on x0 (B, ...) noised by eps (B, ...) to the times t (B,); the caller reduces."""

    def __call__(self, denoiser: Denoiser, x0: Tensor, t: Tensor, eps: Tensor, cond: Cond) -> Tensor: ...


TARGETS: dict[str, Callable[[Estimate, Level], Tensor]] = {
    "eps": lambda belief, level: belief.eps,
    "x0": lambda belief, level: belief.x0,
    "v": lambda belief, level: belief.v(level),
    "score": lambda belief, level: belief.score(level),
}
"""What a squared error can compare, each (B, ...)."""


@dataclass(frozen=True)
class SquaredError:
    """The squared error in one of `TARGETS`, averaged over each clip.

    `eps` is the simplified loss (Ho et al. 2020, eq. 14), `v` that of Salimans & Ho 2022 (section 4), `score`
    denoising score matching (Vincent 2011, eq. 11) without a weight: near t = 0 its variance has no bound.
    As weighted squared errors of x0 these have the weights SNR (eps), 1 (x0), 1 + SNR (v, where alpha² + sigma² = 1)
    and SNR / sigma² (score).
    """

    target: str = "eps"

    def __post_init__(self) -> None:
        if self.target not in TARGETS:
            raise ValueError(f"target: got {self.target!r}, allowed {', '.join(TARGETS)}")

    def __call__(self, denoiser: Denoiser, x0: Tensor, t: Tensor, eps: Tensor, cond: Cond) -> Tensor:
        level = denoiser.schedule(t)
        target = TARGETS[self.target]
        belief = denoiser(jump(x0, level, eps), t, cond)
        return mean_square(target(belief, level) - target(Estimate(x0, eps), level))


@dataclass(frozen=True)
class CleanError:
    """min(1 / sigma², cap) |x0 - belief|², averaged over each clip.

    With the weight 1 / sigma² = 1 + SNR the squared error in x0 is the squared error in v (Salimans & Ho 2022,
    section 4). Nearly clean examples teach little; the cap keeps them from dominating the gradient (min-SNR: Hang et
    al. 2023, eq. 7).
    """

    cap: float = 25.0

    def __call__(self, denoiser: Denoiser, x0: Tensor, t: Tensor, eps: Tensor, cond: Cond) -> Tensor:
        return weighted_error(self.weight(denoiser.schedule(t)), denoiser, x0, t, eps, cond)

    def weight(self, level: Level) -> Tensor:
        """(B,)."""
        return (1 / level.sigma**2).clamp(max=self.cap)


@dataclass(frozen=True)
class MinSNR:
    """min(SNR, gamma) |x0 - belief|², averaged over each clip (Hang et al. 2023, eq. 7).

    One loss for every prediction: the paper's weights for eps and v are this one in other units.
    """

    gamma: float = 5.0

    def __post_init__(self) -> None:
        if not self.gamma > 0:
            raise ValueError(f"gamma: got {self.gamma}, need a positive number")

    def __call__(self, denoiser: Denoiser, x0: Tensor, t: Tensor, eps: Tensor, cond: Cond) -> Tensor:
        weight = denoiser.schedule(t).log_snr.exp().clamp(max=self.gamma)
        return weighted_error(weight, denoiser, x0, t, eps, cond)


def weighted_error(weight: Tensor, denoiser: Denoiser, x0: Tensor, t: Tensor, eps: Tensor, cond: Cond) -> Tensor:
    """weight (B,) times the mean square of x0 - belief over each clip (B,)."""
    belief = denoiser(jump(x0, denoiser.schedule(t), eps), t, cond)
    return weight.to(x0) * mean_square(belief.x0 - x0)


def mean_square(x: Tensor) -> Tensor:
    """The mean square over each clip (B,) of x (B, ...)."""
    return x.square().flatten(1).mean(1)
