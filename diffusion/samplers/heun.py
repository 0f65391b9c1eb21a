"""Heun's method: look ahead, then take the average direction."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from torch import Tensor

from diffusion.theory import broadcast

from .base import Draws, Model, Sampler, Updates

STRAIGHT = 80.0
"""The largest sigma / alpha of Karras et al. 2022, beyond which paths to the data are straight."""


@dataclass(frozen=True)
class Heun(Sampler):
    """Heun's method (Karras et al. 2022, algorithm 1) in k = sigma / alpha, where x / alpha moves along eps.

    x_s = alpha_s (x_t / alpha_t + (k_s - k_t) (eps_t + eps_s) / 2), eps_s as seen from the end of the Euler step. Two
    evaluations an update. The last step, where k has reached 0, is Euler's and returns x0; and so are steps from above
    k = 80, where the paper never starts: a variance-preserving schedule comes down from thousands in a single step, and
    no average of two directions is good to that many digits.
    """

    title: ClassVar[str] = "Heun"
    summary: ClassVar[str] = "Looks twice per step, ahead and back: accurate, at double the price."
    order: ClassVar[int | None] = 2

    def updates(self, model: Model, x: Tensor, times: Tensor, draw: Draws) -> Updates:
        for t, s in pairwise(times):
            belief = model(x, t)
            level_t, level_s = model.level(t), model.level(s)
            euler = broadcast(level_s.alpha, x) * belief.x0 + broadcast(level_s.sigma, x) * belief.eps
            if s > 0 and level_t.sigma <= STRAIGHT * level_t.alpha:
                distance = level_s.sigma - level_s.alpha / level_t.alpha * level_t.sigma  # alpha_s (k_s - k_t)
                x = euler + broadcast(distance / 2, x) * (model(euler, s).eps - belief.eps)
            else:
                x = euler
            yield x, belief.x0
