"""DDPM: walk the noising chain backwards, one posterior at a time; and what becomes of skipping its steps."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor

from diffusion.theory import Estimate, broadcast, learned_log_variance, posterior, posterior_variance, transition
from diffusion.theory.grid import CHAIN_STEPS

from .base import Draws, Model, Sampler, Updates, knob


@dataclass(frozen=True)
class DDPM(Sampler):
    """Ancestral sampling (Ho et al. 2020, algorithm 2) between any two times.

    x_s = mean of q(x_s | x_t, x0) + sqrt(variance) z. The variance is that of the noising step (`beta`, right for
    data of unit variance), of the posterior (`beta-tilde`, right when x0 is a point), or what the denoiser has
    learned to put between them (Nichol & Dhariwal 2021, eq. 15). The last step returns x0.
    """

    variance: str = knob(
        "beta-tilde",
        "The noise of each step: as much as the noising step adds, the smaller amount of its posterior, or learned.",
        choices=("beta", "beta-tilde", "learned"),
    )
    title: ClassVar[str] = "DDPM"
    summary: ClassVar[str] = "The original of 2020: a little fresh noise at every step. Needs many steps."
    order: ClassVar[int | None] = 1

    def updates(self, model: Model, x: Tensor, times: Tensor, draw: Draws) -> Updates:
        for t, s in pairwise(times):
            belief = model(x, t)
            if s == 0:
                x = belief.x0
            else:
                q = posterior(x, belief.x0, model.level(t), model.level(s))
                x = q.mean + self._deviation(model, belief, t, s) * draw(x)
            yield x, belief.x0

    def _deviation(self, model: Model, belief: Estimate, t: Tensor, s: Tensor) -> Tensor:
        """The standard deviation of the step, broadcastable against x (B, ...)."""
        if self.variance == "learned":
            if belief.variance is None:
                raise ValueError(
                    "variance: got 'learned', but this denoiser has learned none; allowed beta, beta-tilde"
                )
            return torch.exp(learned_log_variance(belief.variance, model.schedule, t, s) / 2)
        level_t, level_s = model.level(t), model.level(s)
        variance = (
            transition(level_t, level_s).variance if self.variance == "beta" else posterior_variance(level_t, level_s)
        )
        return broadcast(variance.sqrt(), belief.x0)


@dataclass(frozen=True)
class NaiveSkipping(Sampler):
    """DDPM that takes one step of its chain of T and calls the result the state several steps further on.

    x_s := a draw of q(x_{t - 1/T} | x_t, x0). Kept to show why it disappoints: x keeps the noise and the faded mean
    of time t - 1/T, and the denoiser is told that it is s. With S = T steps it is DDPM.
    """

    title: ClassVar[str] = "Naive skipping"
    summary: ClassVar[str] = (
        "DDPM that pretends to have gone further than it has: leftover noise, to show why it fails."
    )
    limit: ClassVar[str] = "Each update leaves the mean and variance of time t - 1/T instead of those of s."

    def updates(self, model: Model, x: Tensor, times: Tensor, draw: Draws) -> Updates:
        chain_step = 1 / (model.schedule.chain_steps or CHAIN_STEPS)
        for t, s in pairwise(times):
            x0 = model(x, t).x0
            if s == 0:
                x = x0
            else:
                q = posterior(x, x0, model.level(t), model.level(torch.maximum(s, t - chain_step)))
                x = q.mean + broadcast(q.variance.sqrt(), x) * draw(x)
            yield x, x0
