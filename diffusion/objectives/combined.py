"""Losses made of an error and a KL."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from diffusion.theory import Cond, Denoiser, Spread, jump

from .bound import Chain, VariationalBound, bits
from .simple import CleanError, mean_square


@dataclass(frozen=True)
class Hybrid:
    """The simplified loss, plus `weight` times the bound for the variance alone (Nichol & Dhariwal 2021, eq. 16).

    The bound sends no gradient into the mean, which the error alone decides. Needs a learned variance.
    """

    bound: VariationalBound = field(default_factory=VariationalBound)
    weight: float = 1e-3

    def __call__(self, denoiser: Denoiser, x0: Tensor, t: Tensor, eps: Tensor, cond: Cond) -> Tensor:
        step = self.bound.step_back(denoiser, x0, t, eps, cond, stop_mean=True)
        if step.belief.variance is None:
            raise ValueError(
                "denoiser: got one without a variance, need one that learns it (a prediction like eps-mix)"
            )
        term = self.bound.term(x0, step, stop_mean=True)
        return mean_square(step.belief.eps - eps) + self.weight * self.bound.steps * term


@dataclass(frozen=True)
class ErrorAndSpread:
    """The capped squared error of the belief, plus `weight` times the surprise at that error.

    The surprise is -log N(x0; belief, spread) in nats per element, less a constant. Its minimiser is the spread
    Var[x0 | x_t] (Bao et al. 2022, section 3). It sends no gradient into the belief, which the error alone decides.
    """

    error: CleanError = field(default_factory=CleanError)
    weight: float = 0.01

    def __call__(self, denoiser: Denoiser, x0: Tensor, t: Tensor, eps: Tensor, cond: Cond) -> Tensor:
        level = denoiser.schedule(t)
        belief = denoiser(jump(x0, level, eps), t, cond)
        if not isinstance(belief.variance, Spread):
            raise ValueError("denoiser: got one without a spread, need one that learns it (prediction moments-spread)")
        error = (belief.x0 - x0).square()
        unknown = belief.variance.log_variance
        surprise = (error.detach() * (-unknown).exp() + unknown) / 2
        weighted = self.error.weight(level).to(x0) * error.flatten(1).mean(1)
        return weighted + self.weight * surprise.flatten(1).mean(1)


@dataclass(frozen=True)
class ErrorPlusKL(Chain):
    """The simplified loss plus the posterior KL in bits per dimension; both send gradients into the mean."""

    def __call__(self, denoiser: Denoiser, x0: Tensor, t: Tensor, eps: Tensor, cond: Cond) -> Tensor:
        step = self.step_back(denoiser, x0, t, eps, cond)
        return mean_square(step.belief.eps - eps) + bits(step.kl)


@dataclass(frozen=True)
class NormalisedKL(Chain):
    """The posterior KL summed over each clip, divided by the largest of its batch; no gradient passes the divisor.

    Biased: a clip weighs less where its own KL is large. So the minimiser is not the mean of the posterior but leans
    towards its mode, the more so the smaller the batch (a clip alone in its batch minimises the mean of log KL).
    `PosteriorKL` has the same terms without this bias.
    """

    def __call__(self, denoiser: Denoiser, x0: Tensor, t: Tensor, eps: Tensor, cond: Cond) -> Tensor:
        kl = self.step_back(denoiser, x0, t, eps, cond).kl.flatten(1).sum(1)
        return kl / kl.detach().max()
