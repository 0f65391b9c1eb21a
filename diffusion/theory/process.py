"""The diffusion process between any two times, from two Levels and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .estimate import LogVariance, Mix, Spread
from .schedule import Level, Schedule, broadcast


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
    return Posterior(mean, posterior_variance(t, s))


def posterior_variance(t: Level, s: Level) -> Tensor:
    """beta-tilde, the variance of x_s given x_t and x0."""
    return transition(t, s).variance * s.sigma**2 / t.sigma**2


def log_variances(schedule: Schedule, t: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
    """(log beta-tilde, log beta) of the step from t back to s, () or (B,) each: the bounds of a learned variance.

    At s = 0 beta-tilde is 0; its logarithm is then that of the next step of the same length, from 2t to t (Nichol &
    Dhariwal 2021, as their code does).
    """
    level_t, level_s, level_next = schedule(t), schedule(s), schedule((2 * t - s).clamp(max=1))
    beta_tilde = torch.where(s > 0, posterior_variance(level_t, level_s), posterior_variance(level_next, level_t))
    return beta_tilde.log(), transition(level_t, level_s).variance.log()


def learned_log_variance(variance: Mix | LogVariance | Spread, schedule: Schedule, t: Tensor, s: Tensor) -> Tensor:
    """log of the learned variance (B, ...) of the step from t back to s, () or (B,) each.

    With a Spread it is the optimal one for a step of that length (Bao et al. 2022, "Estimating the Optimal Covariance",
    eq. 9): beta-tilde plus Var[x0 | x_t] times the square of the weight that x0 has in the mean of the step.
    """
    if isinstance(variance, LogVariance):
        return variance.log_variance
    if isinstance(variance, Spread):
        level_t, level_s = schedule(t), schedule(s)
        weight = level_s.alpha * transition(level_t, level_s).variance / level_t.sigma**2
        spread = broadcast(2 * weight.log(), variance.log_variance) + variance.log_variance
        return torch.logaddexp(broadcast(posterior_variance(level_t, level_s).log(), spread), spread)
    low, high = (broadcast(bound, variance.fraction) for bound in log_variances(schedule, t, s))
    return low + variance.fraction * (high - low)
