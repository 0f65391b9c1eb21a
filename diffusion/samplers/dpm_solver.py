"""DPM-Solver++: integrate the data prediction along log-SNR."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor

from diffusion.theory import Noise, broadcast

from .base import Model, Sampler, Updates


@dataclass(frozen=True)
class DPMSolver2M(Sampler):
    """DPM-Solver++(2M) (Lu et al. 2022b, algorithm 2), in lambda = log(alpha / sigma), half the log-SNR.

    x_s = (sigma_s / sigma_t) x_t - alpha_s (e^-h - 1) D with D = x0 + (x0 - x0_before) / (2 r), h the step in lambda
    and r the step before over this one. The first step has no past and the last no end in lambda: both are of first
    order, the last returns x0.
    """

    title: ClassVar[str] = "DPM-Solver++ 2M"
    summary: ClassVar[str] = "Fast and accurate: each step remembers the one before. The choice for 10 to 30 steps."

    def updates(self, model: Model, x: Tensor, times: Tensor, noise: Noise) -> Updates:
        before: tuple[Tensor, Tensor] | None = None
        for t, s in pairwise(times):
            x0 = model(x, t).x0
            level_t, level_s = model.level(t), model.level(s)
            h = (level_s.log_snr - level_t.log_snr) / 2
            d = x0
            if before is not None and s > 0:
                x0_before, h_before = before
                d = x0 + broadcast(h / (2 * h_before), x) * (x0 - x0_before)
            x = broadcast(level_s.sigma / level_t.sigma, x) * x - broadcast(level_s.alpha * torch.expm1(-h), x) * d
            before = x0, h
            yield x, x0
