"""DPM-Solver++: integrate the data prediction along log-SNR."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor

from diffusion.theory import Level, broadcast

from .base import Draws, Model, Sampler, Updates, knob
from .multistep import Past, drift, half_log_snr, integrate, remember


@dataclass(frozen=True)
class DPMSolver2M(Sampler):
    """DPM-Solver++(2M) (Lu et al. 2022b, algorithm 2), in lambda = log(alpha / sigma), half the log-SNR.

    x_s = (sigma_s / sigma_t) x_t - alpha_s (e^-h - 1) D with D = x0 + (x0 - x0_before) / (2 r), h the step in lambda
    and r the step before over this one. The first step has no past and the last no end in lambda: both are of first
    order, the last returns x0.
    """

    title: ClassVar[str] = "DPM-Solver++ 2M"
    summary: ClassVar[str] = (
        "Fast and accurate: each step remembers the one before. Long the usual choice for 10 to 30."
    )
    order: ClassVar[int | None] = 2

    def updates(self, model: Model, x: Tensor, times: Tensor, draw: Draws, past: Past = ()) -> Updates:
        """`past` holds looks from before the first time, none in a whole run."""
        for t, s in pairwise(times):
            x0 = model(x, t).x0
            level_t, level_s = model.level(t), model.level(s)
            past = remember(past, level_t, x0, keep=2)
            x = drift(x, midpoint(past, level_s), level_t, level_s)
            yield x, x0


@dataclass(frozen=True)
class DPMSolver3M(Sampler):
    """DPM-Solver++(3M) (Lu et al. 2022b, appendix B): the parabola through the last three beliefs, integrated exactly.

    The released code gives the curvature half of its weight and so stays at second order; here the weight is whole.
    It starts with what past it has; the last step is of first order and returns x0.
    """

    title: ClassVar[str] = "DPM-Solver++ 3M"
    summary: ClassVar[str] = "Remembers two steps: sharper than 2M once steps are short, shakier when they are few."
    order: ClassVar[int | None] = 3

    def updates(self, model: Model, x: Tensor, times: Tensor, draw: Draws, past: Past = ()) -> Updates:
        """`past` holds looks from before the first time, none in a whole run."""
        for t, s in pairwise(times):
            x0 = model(x, t).x0
            level_t, level_s = model.level(t), model.level(s)
            past = remember(past, level_t, x0, keep=3)
            x = integrate(x, level_t, level_s, past) if s > 0 else x0
            yield x, x0


@dataclass(frozen=True)
class DPMSolver2MSDE(Sampler):
    """SDE-DPM-Solver++(2M) (Lu et al. 2022b, eq. 18 with two beliefs), with its noise scaled by eta.

    x_s = (sigma_s / sigma_t) e^(-eta h) x_t - alpha_s (e^-((1 + eta) h) - 1) D + sigma_s sqrt(1 - e^(-2 eta h)) z, D as
    in 2M; eta 0 is 2M. Mean and variance are of second order.
    """

    eta: float = knob(
        1.0, "How much fresh noise each step adds: 0 none, 1 as much as the reverse process.", range=(0, 1)
    )
    title: ClassVar[str] = "DPM-Solver++ 2M SDE"
    summary: ClassVar[str] = (
        "2M with fresh noise, which washes out earlier mistakes: varied and robust from 20 steps on."
    )
    order: ClassVar[int | None] = 2

    def updates(self, model: Model, x: Tensor, times: Tensor, draw: Draws, past: Past = ()) -> Updates:
        """`past` holds looks from before the first time, none in a whole run."""
        for t, s in pairwise(times):
            x0 = model(x, t).x0
            level_t, level_s = model.level(t), model.level(s)
            past = remember(past, level_t, x0, keep=2)
            if s == 0:
                x = x0
            else:
                h = half_log_snr(level_s) - half_log_snr(level_t)
                x = broadcast(level_s.sigma / level_t.sigma * torch.exp(-self.eta * h), x) * x - broadcast(
                    level_s.alpha * torch.expm1(-(1 + self.eta) * h), x
                ) * midpoint(past, level_s)
                if self.eta > 0:
                    x = x + broadcast(level_s.sigma * torch.sqrt(-torch.expm1(-2 * self.eta * h)), x) * draw(x)
            yield x, x0


def midpoint(past: Past, s: Level) -> Tensor:
    """D of 2M: the belief where the line through the last two looks passes the middle of the step; x0 at the end."""
    now, x0 = past[-1]
    h = half_log_snr(s) - now
    if len(past) < 2 or torch.isinf(h):
        return x0
    before, x0_before = past[-2]
    return x0 + broadcast(h / (2 * (now - before)), x0) * (x0 - x0_before)
