"""The variational bound of a chain of T steps, term by term, in bits per dimension."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from diffusion.theory import (
    Cond,
    Denoiser,
    Estimate,
    broadcast,
    jump,
    learned_log_variance,
    log_variances,
    posterior,
)

VARIANCES = ("beta-tilde", "beta")
GAUSSIAN_BITS = math.log2(2 * math.pi * math.e) / 2
"""The entropy of N(0, 1)."""


@dataclass(frozen=True)
class StepBack:
    """One step of the chain as a denoiser takes it, from t back to s = t - 1/T.

    `kl` (B, ...) is KL(q(x_s | x_t, x0) || p(x_s | x_t)) of every element in nats, `log_variance` (B, ...) that of p
    and `first` (B,) is true where s = 0. There q is a point, and is given the variance of the next step instead.
    """

    x_t: Tensor
    belief: Estimate
    log_variance: Tensor
    kl: Tensor
    first: Tensor


@dataclass(frozen=True)
class Chain:
    """A chain of `steps` steps back, and the variance of p where the denoiser has not learned one.

    Times between the steps count as the later one.
    """

    steps: int = 100
    variance: str = "beta"

    def __post_init__(self) -> None:
        if self.steps < 2:
            raise ValueError(f"steps: got {self.steps}, need at least 2")
        if self.variance not in VARIANCES:
            raise ValueError(f"variance: got {self.variance!r}, allowed {', '.join(VARIANCES)}")

    def step_back(
        self, denoiser: Denoiser, x0: Tensor, t: Tensor, eps: Tensor, cond: Cond, *, stop_mean: bool = False
    ) -> StepBack:
        """The step from t (B,) for x0 and eps (B, ...); with `stop_mean` no gradient passes through the mean of p."""
        schedule = denoiser.schedule
        step = (t.double() * self.steps - 1e-9).ceil().clamp(min=1)
        t, s = step / self.steps, (step - 1) / self.steps
        level_t, level_s = schedule(t), schedule(s)
        x_t = jump(x0, level_t, eps)
        belief = denoiser(x_t, t, cond)
        log_beta_tilde, log_beta = (broadcast(each, x0) for each in log_variances(schedule, t, s))
        if belief.variance is not None:
            log_variance = learned_log_variance(belief.variance, schedule, t, s)
        else:
            log_variance = (log_beta if self.variance == "beta" else log_beta_tilde).expand_as(x0)
        error = (belief.x0.detach() if stop_mean else belief.x0) - x0
        # The mean is linear in (x_t, x0): the means of q and p differ as their x0 do.
        gap = posterior(torch.zeros_like(x0), error, level_t, level_s).mean
        ratio = log_beta_tilde - log_variance
        kl = (ratio.exp() - 1 - ratio + gap.square() * (-log_variance).exp()) / 2
        return StepBack(x_t, belief, log_variance, kl, s == 0)


@dataclass(frozen=True)
class PosteriorKL(Chain):
    """KL(q(x_s | x_t, x0) || p(x_s | x_t)) in bits per dimension (Ho et al. 2020, eq. 5, L_{t-1}).

    At the first step q has the variance of the next one; without that its logarithm, and the KL, are infinite.
    """

    def __call__(self, denoiser: Denoiser, x0: Tensor, t: Tensor, eps: Tensor, cond: Cond) -> Tensor:
        return bits(self.step_back(denoiser, x0, t, eps, cond).kl)


@dataclass(frozen=True)
class VariationalBound(Chain):
    """The bits per dimension that the chain needs for x0, an upper bound on its entropy (Ho et al. 2020, eq. 5).

    The bound is the prior plus the sum of the terms of all steps. One call takes one term times `steps`, so its mean
    over uniform t is the bound. The first step decodes data with `bins` evenly spaced values from one of `bounds` to
    the other: its term is -log of the probability that p gives to the bin of x0 (eq. 13).
    """

    bins: int = 256
    bounds: tuple[float, float] = (-1.0, 1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bins < 2:
            raise ValueError(f"bins: got {self.bins}, need at least 2")
        if not self.bounds[0] < self.bounds[1]:
            raise ValueError(f"bounds: got {self.bounds}, need the lower one first")

    def __call__(self, denoiser: Denoiser, x0: Tensor, t: Tensor, eps: Tensor, cond: Cond) -> Tensor:
        step = self.step_back(denoiser, x0, t, eps, cond)
        return self.prior(denoiser, x0) + self.steps * self.term(x0, step)

    def prior(self, denoiser: Denoiser, x0: Tensor) -> Tensor:
        """KL(q(x_1 | x0) || N(0, 1)) (B,): the information on x0 that is left at t = 1."""
        last = denoiser.schedule(torch.ones(len(x0), dtype=torch.float64))
        variance = broadcast(last.sigma**2, x0)
        return bits((variance - 1 - variance.log() + (broadcast(last.alpha, x0) * x0).square()) / 2)

    def term(self, x0: Tensor, step: StepBack, *, stop_mean: bool = False) -> Tensor:
        """The KL (B,) of a step, or the decoder's -log p(x0 | x_t) where it is the first."""
        mean = step.belief.x0.detach() if stop_mean else step.belief.x0
        decoder = -bin_log_probability(x0, mean, step.log_variance, self.bins, self.bounds)
        return torch.where(step.first, bits(decoder), bits(step.kl))


@dataclass(frozen=True)
class SohlDicksteinBound(Chain):
    """KLs of all steps but the first, and the entropies at both ends (Sohl-Dickstein et al. 2015, eq. 14).

    sum KL + H_p(x_1) - H_q(x_1 | x0) + H_q(x_{1/T} | x0) in bits per dimension: the entropies of pure noise, of the
    noise at t = 1 and of the noise after the first step, which is not learned. The paper takes data of unit variance;
    with exact steps back the bound is H(x_{1/T}) - H(x_1) + H_p(x_1). One call takes one KL times `steps`. The paper
    learns a free variance: predict "eps-log-variance".

    Esling's notebook counts the first KL too, and the bits that are needed beyond those of N(0, 1): `relative`. Data
    that are simpler than that have less than 0.
    """

    relative: bool = False

    def __call__(self, denoiser: Denoiser, x0: Tensor, t: Tensor, eps: Tensor, cond: Cond) -> Tensor:
        step = self.step_back(denoiser, x0, t, eps, cond)
        # Entropies of Gaussians differ by the logarithms of their spreads; the constants cancel but for H_p's own.
        first, last = denoiser.schedule(torch.tensor([1 / self.steps, 1.0], dtype=torch.float64)).sigma.log2()
        entropies = float(first) - float(last) + (0.0 if self.relative else GAUSSIAN_BITS)
        kl = bits(step.kl)
        return entropies + self.steps * (kl if self.relative else torch.where(step.first, 0.0, kl))


def bin_log_probability(
    x0: Tensor, mean: Tensor, log_variance: Tensor, bins: int, bounds: tuple[float, float]
) -> Tensor:
    """log of the probability that N(mean, variance) gives to the bin around x0, elementwise (Ho et al. 2020, eq. 13).

    The centres of the first and last bin lie on the bounds, and both bins reach to infinity. Exact even where a
    difference of distribution functions would round to 0.
    """
    low, high = bounds
    half = (high - low) / (bins - 1) / 2
    away, spread = (x0 - mean).abs(), (-log_variance / 2).exp()
    # By symmetry the bin is seen from above its mean, where upper tails keep their digits.
    near, far = torch.special.log_ndtr((half - away) * spread), torch.special.log_ndtr((-half - away) * spread)
    inner = near + torch.log(-torch.expm1((far - near).clamp(max=-torch.finfo(x0.dtype).tiny)))
    to_below = torch.special.log_ndtr((x0 + half - mean) * spread)
    to_above = torch.special.log_ndtr((mean - x0 + half) * spread)
    return torch.where(x0 < low + half, to_below, torch.where(x0 > high - half, to_above, inner))


def bits(nats: Tensor) -> Tensor:
    """The mean over each clip (B,) of nats (B, ...), in bits."""
    return nats.flatten(1).mean(1) / math.log(2)
