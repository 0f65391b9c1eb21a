"""The diffusion process between any two times, from two Levels and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .schedule import Level, broadcast


@dataclass(frozen=True)
class Transition:
    """q(x_t | x_s) = N(alpha x_s, variance) for s before t; float64, shape () or (B,)."""

    alpha: Tensor
    variance: Tensor


@dataclass(frozen=True)
class Posterior:
    """q(x_s | x_t, x0) = N(mean, variance): mean (B, ...) as x_t, variance () or (B,) in float64."""

    mean: Tensor
    variance: Tensor


def jump(x0: Tensor, level: Level, eps: Tensor) -> Tensor:
    """x_t = alpha x0 + sigma eps: any amount of noise in one go (Ho et al. 2020, eq. 4)."""
    return broadcast(level.alpha, x0) * x0 + broadcast(level.sigma, x0) * eps


def transition(t: Level, s: Level) -> Transition:
    """The noising step from s to the later t (Kingma et al. 2021, eq. 13).

    Its variance, sigma_t² - (alpha_t / alpha_s)² sigma_s², is written with expm1: the difference of two nearly equal
    numbers would lose the digits that short steps need.
    """
    return Transition(t.alpha / s.alpha, -(t.sigma**2) * torch.expm1(t.log_snr - s.log_snr))


def posterior(x_t: Tensor, x0: Tensor, t: Level, s: Level) -> Posterior:
    """q(x_s | x_t, x0) for s before t (Kingma et al. 2021, eqs. 25-27; Ho et al. 2020, eq. 7).

    Its variance is beta-tilde. At the terminal s it is the point x0.
    """
    step = transition(t, s)
    mean = (
        broadcast(step.alpha * s.sigma**2 / t.sigma**2, x_t) * x_t
        + broadcast(s.alpha * step.variance / t.sigma**2, x_t) * x0
    )
    return Posterior(mean, step.variance * s.sigma**2 / t.sigma**2)
