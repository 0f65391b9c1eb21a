"""DDPM: walk the noising chain backwards, one posterior at a time."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from torch import Tensor

from diffusion.theory import Noise, broadcast, posterior, transition

from .base import Model, Sampler, Updates, knob


@dataclass(frozen=True)
class DDPM(Sampler):
    """Ancestral sampling (Ho et al. 2020, algorithm 2) between any two times.

    x_s = mean of q(x_s | x_t, x0) + sqrt(variance) z. The variance is that of the noising step (`beta`, right for
    data of unit variance) or of the posterior (`beta-tilde`, right when x0 is a point). The last step returns x0.
    """

    variance: str = knob(
        "beta-tilde",
        "The variance of each step: that of the noising step, or the smaller one of its posterior.",
        choices=("beta", "beta-tilde"),
    )
    title: ClassVar[str] = "DDPM"
    summary: ClassVar[str] = "The original of 2020: a little fresh noise at every step. Needs many steps."

    def updates(self, model: Model, x: Tensor, times: Tensor, noise: Noise) -> Updates:
        for draw, (t, s) in enumerate(pairwise(times), start=1):
            x0 = model(x, t).x0
            level_t, level_s = model.level(t), model.level(s)
            q = posterior(x, x0, level_t, level_s)
            variance = q.variance if self.variance == "beta-tilde" else transition(level_t, level_s).variance
            x = q.mean if s == 0 else q.mean + broadcast(variance.sqrt(), x) * noise(draw, x)
            yield x, x0
