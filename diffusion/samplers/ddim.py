"""DDIM: the same marginals with less noise, down to none."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from torch import Tensor

from diffusion.theory import Noise, broadcast, posterior

from .base import Model, Sampler, Updates, knob


@dataclass(frozen=True)
class DDIM(Sampler):
    """Denoising diffusion implicit models (Song et al. 2021a, eq. 12).

    x_s = alpha_s x0 + sqrt(sigma_s² - tau²) eps + tau z with tau² = eta² beta-tilde. eta 0 is deterministic and of
    first order (Euler in sigma / alpha), eta 1 is DDPM with beta-tilde.
    """

    eta: float = knob(0.0, "How much fresh noise each step adds: 0 none, 1 as much as DDPM.", range=(0, 1))
    title: ClassVar[str] = "DDIM"
    summary: ClassVar[str] = "Deterministic and simple: the same seed drifts smoothly from step count to step count."

    def updates(self, model: Model, x: Tensor, times: Tensor, noise: Noise) -> Updates:
        for draw, (t, s) in enumerate(pairwise(times), start=1):
            belief = model(x, t)
            level_t, level_s = model.level(t), model.level(s)
            tau_squared = self.eta**2 * posterior(x, belief.x0, level_t, level_s).variance
            x = (
                broadcast(level_s.alpha, x) * belief.x0
                + broadcast((level_s.sigma**2 - tau_squared).clamp(min=0).sqrt(), x) * belief.eps
            )
            if tau_squared > 0:
                x = x + broadcast(tau_squared.sqrt(), x) * noise(draw, x)
            yield x, belief.x0
