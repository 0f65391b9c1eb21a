"""A network as a denoiser: what its output means, and in which format it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from diffusion.theory import (
    Cond,
    Denoiser,
    Estimate,
    Level,
    LogVariance,
    Mix,
    Schedule,
    Spread,
    broadcast,
    gaussian_belief,
)


class Network(Protocol):
    """Maps x_t (B, C, F, T), log-SNR (B,) in float32 and labels to an output (B, outputs * C, F, T)."""

    def __call__(self, x_t: Tensor, log_snr: Tensor, cond: Cond) -> Tensor: ...


def _from_moments(x_t: Tensor, level: Level, output: Tensor) -> Estimate:
    """The network gives for each bin the mean and the log variance of a Gaussian; x0 is that Gaussian's exact belief.

    Near the data the belief becomes x_t itself, near pure noise the mean. The network need learn neither of the two.
    """
    mean, log_variance = output.chunk(2, dim=1)
    x0 = gaussian_belief(x_t, level, mean, log_variance.clamp(-12, 4).exp())
    return Estimate.from_x0(x_t, level, x0)


def _from_moments_and_spread(x_t: Tensor, level: Level, output: Tensor) -> Estimate:
    """Moments, and in a third part log Var[x0 | x_t] less its value for white data of unit variance.

    It does not follow from the moments: their variance is the one that weighs x_t best against the mean, and is far too
    small where the mean is wrong. Learning begins with a variance that is too large, since the gradient of a likelihood
    is gentle above the true variance and explodes below it.
    """
    moments, correction = output.tensor_split([2 * x_t.shape[1]], dim=1)
    unknown = (level.sigma**2 / (level.alpha**2 + level.sigma**2)).log()
    spread = Spread(broadcast(unknown, x_t) + correction.clamp(-12, 4))
    return replace(_from_moments(x_t, level, moments), variance=spread)


def _eps_and_mix(x_t: Tensor, level: Level, output: Tensor) -> Estimate:
    """The noise, and through a sigmoid the variance's place between its bounds (Nichol & Dhariwal 2021, eq. 15)."""
    eps, fraction = output.chunk(2, dim=1)
    return replace(Estimate.from_eps(x_t, level, eps), variance=Mix(fraction.sigmoid()))


def _eps_and_log_variance(x_t: Tensor, level: Level, output: Tensor) -> Estimate:
    """The noise, and the logarithm of a free variance (Sohl-Dickstein et al. 2015, section 2.2)."""
    eps, log_variance = output.chunk(2, dim=1)
    return replace(Estimate.from_eps(x_t, level, eps), variance=LogVariance(log_variance))


PREDICTIONS: dict[str, Callable[[Tensor, Level, Tensor], Estimate]] = {
    "x0": Estimate.from_x0,
    "eps": Estimate.from_eps,
    "v": Estimate.from_v,
    "moments": _from_moments,
    "moments-spread": _from_moments_and_spread,
    "eps-mix": _eps_and_mix,
    "eps-log-variance": _eps_and_log_variance,
}

LEARNED_VARIANCES = ("moments-spread", "eps-mix", "eps-log-variance")
"""The predictions that have a learned variance."""


@dataclass(frozen=True)
class NetworkDenoiser:
    """A network that predicts one of `PREDICTIONS`, on its schedule."""

    network: Network
    schedule: Schedule
    prediction: str = "x0"

    def __post_init__(self) -> None:
        if self.prediction not in PREDICTIONS:
            raise ValueError(f"prediction: got {self.prediction!r}, allowed {', '.join(PREDICTIONS)}")

    def __call__(self, x_t: Tensor, t: Tensor, cond: Cond) -> Estimate:
        level = self.schedule(t)
        output = self.network(x_t, self.schedule.log_snr(t).to(x_t), cond)
        return PREDICTIONS[self.prediction](x_t, level, output.to(x_t))


@dataclass(frozen=True)
class InFormat:
    """The inner denoiser with its matrices multiplied in `dtype`; float32 changes nothing."""

    inner: Denoiser
    device: torch.device
    dtype: torch.dtype

    @property
    def schedule(self) -> Schedule:
        return self.inner.schedule

    def __call__(self, x_t: Tensor, t: Tensor, cond: Cond) -> Estimate:
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            return self.inner(x_t, t, cond)
