"""Losses made of an error and a KL."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from diffusion.theory import Cond, Denoiser, Spread, jump

from .bound import Chain, VariationalBound, bits
from .simple import CleanError, mean_square


@dataclass(frozen=True)
class Hybrid:
    """The simplified loss, plus `weight` times the bound for the variance alone (Nichol & Dhariwal 2021, eq. 16).

    The bound sends no gradient into the mean, so that the error alone decides it. Needs a learned variance.
    """

    bound: VariationalBound = field(default_factory=VariationalBound)
    weight: float = 1e-3
    title: ClassVar[str] = "Hybrid"
    summary: ClassVar[str] = (
        "The error in the noise teaches the mean; a little of the bound teaches the variance alone."
    )

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
    """The capped squared error of the belief, plus `weight` times what its spread makes of that error.

    The second is -log N(x0; belief, spread) in nats per element, less a constant; its minimiser is the spread
    Var[x0 | x_t] (Bao et al. 2022, section 3). It sends no gradient into the belief, so that the error alone decides
    that one.
    """

    error: CleanError = field(default_factory=CleanError)
    weight: float = 0.01
    title: ClassVar[str] = "Error and spread"
    summary: ClassVar[str] = "The error teaches the belief; the size of the error teaches how much is still unknown."

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

    title: ClassVar[str] = "Error plus KL"
    summary: ClassVar[str] = "The error in the noise and the KL of the step back, simply added."

    def __call__(self, denoiser: Denoiser, x0: Tensor, t: Tensor, eps: Tensor, cond: Cond) -> Tensor:
        step = self.step_back(denoiser, x0, t, eps, cond)
        return mean_square(step.belief.eps - eps) + bits(step.kl)


@dataclass(frozen=True)
class NormalisedKL(Chain):
    """The posterior KL summed over each clip, divided by the largest of its batch, which counts as a constant.

    Biased: a clip weighs less where its own KL is large, so the minimiser is no longer the mean of the posterior but
    leans to its mode, the more the smaller the batch (alone in its batch, a clip minimises the mean of log KL).
    Compare `PosteriorKL`, which has the same terms and no such bias.
    """

    title: ClassVar[str] = "Batch-normalised KL"
    summary: ClassVar[str] = (
        "The KL over the largest in its batch: it never explodes, and what it learns is not the data."
    )

    def __call__(self, denoiser: Denoiser, x0: Tensor, t: Tensor, eps: Tensor, cond: Cond) -> Tensor:
        kl = self.step_back(denoiser, x0, t, eps, cond).kl.flatten(1).sum(1)
        return kl / kl.detach().max()
