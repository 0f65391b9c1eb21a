"""How much signal and how much noise there is at each time."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

LOG_SNR_RANGE = (-15.0, 15.0)  # below it nothing of the data is left to see, above it nothing of the noise
SIGNAL_LEFT = 1e-3  # the largest SNR at t = 1 that still counts as pure noise


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
    """Levels along t, given by their log-SNR, a strictly decreasing function of t.

    log-SNR is clipped to `log_snr_range`; t = 0 is the terminal Level(1, 0). Variance-preserving unless `level` says
    otherwise.
    """

    summary: ClassVar[str]
    """One sentence for people."""
    log_snr_range: tuple[float, float] = LOG_SNR_RANGE

    @abstractmethod
    def raw_log_snr(self, t: Tensor) -> Tensor:
        """log-SNR (B,) at t (B,) before clipping; float64."""

    @abstractmethod
    def raw_inverse(self, log_snr: Tensor) -> Tensor:
        """t (B,) at which `raw_log_snr` takes the given value; float64."""

    def level(self, log_snr: Tensor) -> Level:
        """alpha² = sigmoid(log_snr), sigma² = sigmoid(-log_snr): their sum is 1 (Kingma et al. 2021, eq. 3)."""
        return Level(torch.sigmoid(log_snr).sqrt(), torch.sigmoid(-log_snr).sqrt())

    def log_snr(self, t: Tensor) -> Tensor:
        """log-SNR (B,) at t (B,) in [0, 1], clipped to the declared range."""
        return self.raw_log_snr(t.double()).clamp(*self.log_snr_range)

    def inverse(self, log_snr: Tensor) -> Tensor:
        """t (B,) of a log-SNR (B,) inside the declared range."""
        return self.raw_inverse(log_snr.double()).clamp(0, 1)

    def __call__(self, t: Tensor) -> Level:
        """The Level at t, of the same shape as t (any float, in [0, 1]), in float64."""
        t = t.double()
        level = self.level(self.log_snr(t))
        return Level(torch.where(t == 0, 1.0, level.alpha), torch.where(t == 0, 0.0, level.sigma))

    def rates(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """(d alpha / dt, d sigma / dt) at t (B,), float64; beyond the declared range those at its end."""
        first, last = self.inverse(torch.tensor(self.log_snr_range[::-1], dtype=torch.float64, device=t.device))
        t = t.double().clamp(first, last)
        with torch.enable_grad():
            t = t.detach().requires_grad_()
            level = self.level(self.raw_log_snr(t))
            (alpha_rate,) = torch.autograd.grad(level.alpha.sum(), t, retain_graph=True)
            (sigma_rate,) = torch.autograd.grad(level.sigma.sum(), t)
        return alpha_rate, sigma_rate

    @property
    def chain_steps(self) -> int | None:
        """T where the schedule is that of a chain of T noising steps, with its knots at i / T."""
        return None

    @property
    def t_min(self) -> float:
        """The earliest time that grids use: where log-SNR leaves its range, and not before the chain's first step."""
        first = float(self.inverse(torch.tensor(self.log_snr_range[1], dtype=torch.float64)))
        return max(first, 1 / self.chain_steps) if self.chain_steps else first

    @property
    def terminal_snr(self) -> float:
        """alpha² / sigma² at t = 1. Far above 0, sampling from pure noise starts where no training example was.

        >>> round(LinearBetas(steps=100).terminal_snr, 2)  # 60 % of the data's amplitude is still there
        0.57
        """
        return float(self.log_snr(torch.ones((), dtype=torch.float64)).exp())

    @property
    def warning(self) -> str:
        """What people should know of a schedule that does not end in noise; empty for one that does."""
        if self.terminal_snr <= SIGNAL_LEFT:
            return ""
        left = float(f"{100 * float(self(torch.ones((), dtype=torch.float64)).alpha ** 2):.2g}")
        return (
            f"At t = 1, {left:g} % of the signal's variance is left, but sampling begins from pure noise: "
            "it starts with inputs that training never shows to the network."
        )


@dataclass(frozen=True)
class Cosine(Schedule):
    """alpha = cos(pi t / 2): the cosine schedule of Nichol & Dhariwal 2021 (eq. 17) without its offset.

    `shift` is added to the log-SNR (Hoogeboom et al. 2023, eq. 4). A negative one suits data whose neighbouring values
    are alike: it gives more of the steps to coarse structure.
    """

    summary: ClassVar[str] = "Signal and noise trade places along a quarter circle; it ends in pure noise."
    shift: float = 0.0
    log_snr_range: tuple[float, float] = LOG_SNR_RANGE

    def raw_log_snr(self, t: Tensor) -> Tensor:
        return -2 * torch.tan(math.pi / 2 * t).log() + self.shift

    def raw_inverse(self, log_snr: Tensor) -> Tensor:
        return 2 / math.pi * torch.atan(torch.exp((self.shift - log_snr) / 2))


@dataclass(frozen=True)
class RectifiedFlow(Schedule):
    """alpha = 1 - t, sigma = t: a straight line from data to noise (Liu et al. 2023, eq. 1; Lipman et al. 2023)."""

    summary: ClassVar[str] = "A straight line from data to noise: as much of one leaves as comes of the other."
    log_snr_range: tuple[float, float] = LOG_SNR_RANGE

    def level(self, log_snr: Tensor) -> Level:
        """alpha + sigma = 1."""
        return Level(torch.sigmoid(log_snr / 2), torch.sigmoid(-log_snr / 2))

    def raw_log_snr(self, t: Tensor) -> Tensor:
        return -2 * torch.logit(t)

    def raw_inverse(self, log_snr: Tensor) -> Tensor:
        return torch.sigmoid(-log_snr / 2)


@dataclass(frozen=True)
class VarianceExploding(Schedule):
    """x + sigma z: alpha stays 1, and sigma rises from `least` to `most` by even factors (Song & Ermon 2019).

    At t = 1 the data are still there, under noise of standard deviation `most`; a run begins from as much noise, not
    from N(0, 1). With `least` near `most` it is the one level of a score at a single sigma (Vincent 2011).
    """

    summary: ClassVar[str] = "The data stay as they are and noise is added, ever more of it."
    least: float = 0.01
    most: float = 50.0
    log_snr_range: tuple[float, float] = LOG_SNR_RANGE

    def __post_init__(self) -> None:
        if not 0 < self.least < self.most:
            raise ValueError(f"least, most: got {self.least} and {self.most}, need 0 < least < most")

    def level(self, log_snr: Tensor) -> Level:
        """alpha is 1, as a function of the log-SNR, so that it has a derivative."""
        return Level(1 + 0 * log_snr, torch.exp(-log_snr / 2))

    def raw_log_snr(self, t: Tensor) -> Tensor:
        return -2 * (math.log(self.least) + t * math.log(self.most / self.least))

    def raw_inverse(self, log_snr: Tensor) -> Tensor:
        return (-log_snr / 2 - math.log(self.least)) / math.log(self.most / self.least)

    @property
    def t_min(self) -> float:
        return max(super().t_min, 1e-3)


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

    @property
    def chain_steps(self) -> int | None:
        return len(self.betas)

    def raw_log_snr(self, t: Tensor) -> Tensor:
        return _interpolate(t, *self.knots)

    def raw_inverse(self, log_snr: Tensor) -> Tensor:
        times, knots = self.knots
        return _interpolate(-log_snr, -knots, times)


@dataclass(frozen=True)
class ConstantBetas(TabulatedBetas):
    """The same `beta` at each of T = `steps` noising steps (Sohl-Dickstein et al. 2015 start from one)."""

    summary: ClassVar[str] = "The same noise at every step; after 100 steps of 0.035 a sixth of the amplitude is left."
    steps: int = 100
    beta: float = 0.035
    log_snr_range: tuple[float, float] = LOG_SNR_RANGE

    def __post_init__(self) -> None:
        _check_chain(self.steps, beta=self.beta)

    @property
    def betas(self) -> Tensor:
        return torch.full((self.steps,), self.beta, dtype=torch.float64)


@dataclass(frozen=True)
class RisingBetas(TabulatedBetas):
    """Betas that rise from `first` to `last` over T = `steps`, each kind along a curve of its own."""

    steps: int = 100
    first: float = 1e-5
    last: float = 1e-2
    log_snr_range: tuple[float, float] = LOG_SNR_RANGE

    def __post_init__(self) -> None:
        _check_chain(self.steps, first=self.first, last=self.last)


@dataclass(frozen=True)
class LinearBetas(RisingBetas):
    """Betas rising linearly (Ho et al. 2020, section 4)."""

    summary: ClassVar[str] = "The schedule of the first DDPM: noise that grows evenly over 1000 steps."
    steps: int = 1000
    first: float = 1e-4
    last: float = 2e-2

    @property
    def betas(self) -> Tensor:
        return torch.linspace(self.first, self.last, self.steps, dtype=torch.float64)


@dataclass(frozen=True)
class QuadraticBetas(RisingBetas):
    """Betas whose square roots rise linearly."""

    summary: ClassVar[str] = "Noise that grows with the square of the step; 100 short steps leave most of the data."

    @property
    def betas(self) -> Tensor:
        return torch.linspace(self.first**0.5, self.last**0.5, self.steps, dtype=torch.float64) ** 2


@dataclass(frozen=True)
class SigmoidBetas(RisingBetas):
    """Betas rising along a sigmoid of -6 to 6."""

    summary: ClassVar[str] = "Little noise, a quick rise, then much; 100 short steps leave most of the data."

    @property
    def betas(self) -> Tensor:
        rise = torch.sigmoid(torch.linspace(-6, 6, self.steps, dtype=torch.float64))
        return self.first + (self.last - self.first) * rise


@dataclass(frozen=True)
class Shifted(Schedule):
    """Another schedule with `shift` added to its log-SNR (Hoogeboom et al. 2023, eq. 4).

    `inner` is a schedule, or its settings {"name": ..., **arguments} with a name among `SCHEDULES`.
    """

    summary: ClassVar[str] = "Any other schedule, noisier (shift below 0) or cleaner (above 0) at every time."
    inner: Schedule
    shift: float = 0.0
    log_snr_range: tuple[float, float] = LOG_SNR_RANGE

    def __post_init__(self) -> None:
        if not isinstance(self.inner, Schedule):
            object.__setattr__(self, "inner", schedule_from(self.inner, argument="inner"))

    def level(self, log_snr: Tensor) -> Level:
        return self.inner.level(log_snr)

    def raw_log_snr(self, t: Tensor) -> Tensor:
        return self.inner.raw_log_snr(t) + self.shift

    def raw_inverse(self, log_snr: Tensor) -> Tensor:
        return self.inner.raw_inverse(log_snr - self.shift)

    @property
    def chain_steps(self) -> int | None:
        return self.inner.chain_steps


def _check_chain(steps: int, **betas: float) -> None:
    if steps < 2:
        raise ValueError(f"steps: got {steps}, need at least 2")
    for name, beta in betas.items():
        if not 0 < beta < 1:
            raise ValueError(f"{name}: got {beta}, allowed strictly between 0 and 1")


def schedule_from(settings: Any, argument: str = "schedule") -> Schedule:
    """The schedule of JSON settings {"name": ..., **arguments}; ValueError, naming `argument`, for others."""
    if not isinstance(settings, Mapping) or settings.get("name") not in SCHEDULES:
        raise ValueError(f"{argument}: got {settings!r}, need a schedule or its name among {', '.join(SCHEDULES)}")
    return SCHEDULES[settings["name"]](**{name: value for name, value in settings.items() if name != "name"})


def _interpolate(x: Tensor, xs: Tensor, ys: Tensor) -> Tensor:
    """Piecewise linear interpolation of (xs, ys), xs increasing, continued beyond both ends."""
    xs, ys = xs.to(x.device), ys.to(x.device)
    i = torch.searchsorted(xs, x.detach().contiguous()).clamp(1, len(xs) - 1)
    return ys[i - 1] + (ys[i] - ys[i - 1]) * (x - xs[i - 1]) / (xs[i] - xs[i - 1])


SCHEDULES: dict[str, type[Schedule]] = {
    "cosine": Cosine,
    "linear": LinearBetas,
    "rectified-flow": RectifiedFlow,
    "exploding": VarianceExploding,
    "constant": ConstantBetas,
    "quadratic": QuadraticBetas,
    "sigmoid": SigmoidBetas,
    "shifted": Shifted,
}
