"""Heun's method: look ahead, then take the average direction."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from torch import Tensor

from diffusion.theory import broadcast

from .base import Draws, Model, Sampler, Updates


@dataclass(frozen=True)
class Heun(Sampler):
    """Heun's method (Karras et al. 2022, algorithm 1) in k = sigma / alpha, where x / alpha moves along eps.

    x_s = alpha_s (x_t / alpha_t + (k_s - k_t) (eps_t + eps_s) / 2), eps_s as seen from the end of the Euler step. The
    last step, where k has reached 0, is Euler's and returns x0. Two evaluations an update.
    """

    title: ClassVar[str] = "Heun"
    summary: ClassVar[str] = "Looks twice per step, ahead and back: accurate, at double the price."
    order: ClassVar[int | None] = 2

    def updates(self, model: Model, x: Tensor, times: Tensor, draw: Draws) -> Updates:
        for t, s in pairwise(times):
            belief = model(x, t)
            level_t, level_s = model.level(t), model.level(s)
            euler = broadcast(level_s.alpha, x) * belief.x0 + broadcast(level_s.sigma, x) * belief.eps
            if s > 0:
                distance = level_s.sigma - level_s.alpha / level_t.alpha * level_t.sigma  # alpha_s (k_s - k_t)
                x = euler + broadcast(distance / 2, x) * (model(euler, s).eps - belief.eps)
            else:
                x = euler
            yield x, belief.x0
