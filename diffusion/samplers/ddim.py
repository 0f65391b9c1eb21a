"""DDIM: the same marginals with less noise, down to none; and the plain Euler method beside it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from torch import Tensor

from diffusion.theory import broadcast, posterior_variance

from .base import Draws, Model, Sampler, Updates, knob


@dataclass(frozen=True)
class DDIM(Sampler):
    """Denoising diffusion implicit models (Song et al. 2021a, eq. 12).

    x_s = alpha_s x0 + sqrt(sigma_s² - tau²) eps + tau z with tau² = eta² beta-tilde. eta 0 is deterministic and of
    first order (Euler in sigma / alpha), eta 1 is DDPM with beta-tilde.
    """

    eta: float = knob(0.0, "How much fresh noise each step adds: 0 none, 1 as much as DDPM.", range=(0, 1))
    title: ClassVar[str] = "DDIM"
    summary: ClassVar[str] = "Deterministic and simple: the same seed drifts smoothly from step count to step count."
    order: ClassVar[int | None] = 1

    def updates(self, model: Model, x: Tensor, times: Tensor, draw: Draws) -> Updates:
        for t, s in pairwise(times):
            belief = model(x, t)
            level = model.level(s)
            tau_squared = self.eta**2 * posterior_variance(model.level(t), level)
            eps_part = (level.sigma**2 - tau_squared).clamp(min=0).sqrt()
            x = broadcast(level.alpha, x) * belief.x0 + broadcast(eps_part, x) * belief.eps
            if self.eta > 0 and s > 0:
                x = x + broadcast(tau_squared.sqrt(), x) * draw(x)
            yield x, belief.x0


@dataclass(frozen=True)
class Euler(Sampler):
    """Euler's method in t on the probability-flow equation (Song et al. 2021b, eq. 13).

    x_s = x_t + (s - t) (alpha' x0 + sigma' eps), the same velocity written with the belief. On rectified flow, where
    alpha and sigma are straight lines, it is DDIM.
    """

    title: ClassVar[str] = "Euler"
    summary: ClassVar[str] = (
        "Straight ahead along the velocity of the moment: the textbook method, DDIM's plain cousin."
    )
    order: ClassVar[int | None] = 1

    def updates(self, model: Model, x: Tensor, times: Tensor, draw: Draws) -> Updates:
        for t, s in pairwise(times):
            belief = model(x, t)
            if s == 0:
                x = belief.x0
            else:
                alpha_rate, sigma_rate = (broadcast((s - t) * rate, x) for rate in model.schedule.rates(t))
                x = x + alpha_rate * belief.x0 + sigma_rate * belief.eps
            yield x, belief.x0
