"""Heun's method: look ahead, then take the average direction."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from torch import Tensor

from diffusion.theory import broadcast, transition

from .base import Draws, Model, Sampler, Updates, knob

STRAIGHT = 80.0
"""The largest sigma / alpha of Karras et al. 2022, beyond which paths to the data are straight."""

CHURNED = (0.05, 50.0)
"""Between which sigma / alpha noise is churned (Karras et al. 2022, table 5)."""
MOST_CHURN = 2**0.5 - 1
"""How much sigma / alpha is raised at most: then as much noise is new as is old."""


@dataclass(frozen=True)
class Heun(Sampler):
    """Heun's method (Karras et al. 2022, algorithm 1) in k = sigma / alpha, where x / alpha moves along eps.

    x_s = alpha_s (x_t / alpha_t + (k_s - k_t) (eps_t + eps_s) / 2), eps_s as seen from the end of the Euler step. Two
    evaluations an update. The last step, where k has reached 0, is Euler's and returns x0; and so are steps from above
    k = 80, where the paper never starts: a variance-preserving schedule comes down from thousands in a single step, and
    no average of two directions is good to that many digits.

    With `churn` each of N steps first goes back up to k (1 + min(churn / N, sqrt(2) - 1)) by fresh noise (algorithm 2).
    """

    churn: float = knob(
        0.0, "Fresh noise before each step, over the whole run; it mends earlier errors. 0 adds none.", range=(0, 100)
    )
    title: ClassVar[str] = "Heun"
    summary: ClassVar[str] = "Looks twice per step, ahead and back: accurate, at double the price."
    order: ClassVar[int | None] = 2

    def updates(self, model: Model, x: Tensor, times: Tensor, draw: Draws) -> Updates:
        gamma = min(self.churn / (len(times) - 1), MOST_CHURN)
        for t, s in pairwise(times):
            ratio = float(model.level(t).sigma / model.level(t).alpha)
            if gamma > 0 and s > 0 and CHURNED[0] <= ratio <= CHURNED[1]:
                noisier = model.schedule.inverse(model.level(t).log_snr - 2 * math.log1p(gamma))
                up = transition(model.level(noisier), model.level(t))
                x = broadcast(up.alpha, x) * x + broadcast(up.variance.sqrt(), x) * draw(x)
                t = noisier
            belief = model(x, t)
            level_t, level_s = model.level(t), model.level(s)
            euler = broadcast(level_s.alpha, x) * belief.x0 + broadcast(level_s.sigma, x) * belief.eps
            if s > 0 and level_t.sigma <= STRAIGHT * level_t.alpha:
                distance = level_s.sigma - level_s.alpha / level_t.alpha * level_t.sigma  # alpha_s (k_s - k_t)
                x = euler + broadcast(distance / 2, x) * (model(euler, s).eps - belief.eps)
            else:
                x = euler
            yield x, belief.x0
