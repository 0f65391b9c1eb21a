"""How much signal and how much noise there is at each time."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


def broadcast(coefficient: Tensor, x: Tensor) -> Tensor:
    """A coefficient of shape () or (B,), cast to the dtype and device of x (B, ...) and shaped to multiply it."""
    coefficient = coefficient.to(x)
    return coefficient.reshape(-1, *[1] * (x.ndim - 1)) if coefficient.ndim else coefficient


@dataclass(frozen=True)
class Level:
    """The noise level x = alpha x0 + sigma eps; float64 tensors of one shape, () or (B,)."""

    alpha: Tensor
    sigma: Tensor

    @property
    def log_snr(self) -> Tensor:
        """log(alpha² / sigma²); infinite at the terminal Level(1, 0)."""
        return 2 * (self.alpha.log() - self.sigma.log())


class Schedule(ABC):
    """A variance-preserving schedule given by its log-SNR, a strictly decreasing function of t.

    alpha² = sigmoid(log_snr) and sigma² = sigmoid(-log_snr) (Kingma et al. 2021, eq. 3). log-SNR is clipped to
    `log_snr_range`; t = 0 is the terminal Level(1, 0).
    """

    log_snr_range: tuple[float, float] = (-15.0, 15.0)

    @abstractmethod
    def raw_log_snr(self, t: Tensor) -> Tensor:
        """log-SNR (B,) at t (B,) before clipping; float64."""

    @abstractmethod
    def raw_inverse(self, log_snr: Tensor) -> Tensor:
        """t (B,) at which `raw_log_snr` takes the given value; float64."""

    def log_snr(self, t: Tensor) -> Tensor:
        """log-SNR (B,) at t (B,) in [0, 1], clipped to the declared range."""
        return self.raw_log_snr(t.double()).clamp(*self.log_snr_range)

    def inverse(self, log_snr: Tensor) -> Tensor:
        """t (B,) of a log-SNR (B,) inside the declared range."""
        return self.raw_inverse(log_snr.double()).clamp(0, 1)

    def __call__(self, t: Tensor) -> Level:
        """The Level at t, of the same shape as t (any float, in [0, 1]), in float64."""
        t = t.double()
        log_snr = self.log_snr(t)
        alpha, sigma = torch.sigmoid(log_snr).sqrt(), torch.sigmoid(-log_snr).sqrt()
        return Level(torch.where(t == 0, 1.0, alpha), torch.where(t == 0, 0.0, sigma))

    @property
    def terminal_snr(self) -> float:
        """alpha² / sigma² at t = 1: far above 0, sampling from pure noise starts where no training example was."""
        return float(self.log_snr(torch.ones((), dtype=torch.float64)).exp())


@dataclass(frozen=True)
class Cosine(Schedule):
    """alpha = cos(pi t / 2): the cosine schedule of Nichol & Dhariwal 2021 (eq. 17) without its offset.

    `shift` is added to the log-SNR (Hoogeboom et al. 2023, eq. 4): negative for data whose neighbours repeat
    one another, so that coarse structure is decided over more of the steps.
    """

    shift: float = 0.0
    log_snr_range: tuple[float, float] = (-15.0, 15.0)

    def raw_log_snr(self, t: Tensor) -> Tensor:
        return -2 * torch.tan(math.pi / 2 * t).log() + self.shift

    def raw_inverse(self, log_snr: Tensor) -> Tensor:
        return 2 / math.pi * torch.atan(torch.exp((self.shift - log_snr) / 2))


class TabulatedBetas(Schedule):
    """A discrete chain q(x_i | x_{i-1}) = N(sqrt(1 - beta_i) x_{i-1}, beta_i), made continuous.

    After step i of T, alpha² is the product of (1 - beta) so far; these are the knots at t = i/T, and between them
    log-SNR is linear in t. Before the first knot the first slope is kept.
    """

    @property
    @abstractmethod
    def betas(self) -> Tensor:
        """The variances (T,) of the noising steps, float64."""

    @cached_property
    def knots(self) -> tuple[Tensor, Tensor]:
        """Times (T + 1,) from 0 to 1 and the log-SNR (T + 1,) at each; the first is extrapolated."""
        log_alpha_squared = torch.log1p(-self.betas).cumsum(0)
        log_snr = log_alpha_squared - torch.log(-torch.expm1(log_alpha_squared))
        first = 2 * log_snr[:1] - log_snr[1:2]
        times = torch.arange(len(self.betas) + 1, dtype=torch.float64) / len(self.betas)
        return times, torch.cat([first, log_snr])

    def raw_log_snr(self, t: Tensor) -> Tensor:
        return _interpolate(t, *self.knots)

    def raw_inverse(self, log_snr: Tensor) -> Tensor:
        times, knots = self.knots
        return _interpolate(-log_snr, -knots, times)


@dataclass(frozen=True)
class LinearBetas(TabulatedBetas):
    """Betas rising linearly from `first` to `last` over T = `steps` (Ho et al. 2020, section 4)."""

    steps: int = 1000
    first: float = 1e-4
    last: float = 2e-2
    log_snr_range: tuple[float, float] = (-15.0, 15.0)

    def __post_init__(self) -> None:
        if self.steps < 2:
            raise ValueError(f"steps: got {self.steps}, need at least 2")
        for name, beta in (("first", self.first), ("last", self.last)):
            if not 0 < beta < 1:
                raise ValueError(f"{name}: got {beta}, allowed strictly between 0 and 1")

    @property
    def betas(self) -> Tensor:
        return torch.linspace(self.first, self.last, self.steps, dtype=torch.float64)


def _interpolate(x: Tensor, xs: Tensor, ys: Tensor) -> Tensor:
    """Piecewise linear interpolation of (xs, ys), xs increasing, continued beyond both ends."""
    xs, ys = xs.to(x.device), ys.to(x.device)
    i = torch.searchsorted(xs, x.contiguous()).clamp(1, len(xs) - 1)
    return ys[i - 1] + (ys[i] - ys[i - 1]) * (x - xs[i - 1]) / (xs[i] - xs[i - 1])


SCHEDULES: dict[str, type[Cosine] | type[LinearBetas]] = {"cosine": Cosine, "linear": LinearBetas}
