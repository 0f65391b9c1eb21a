"""A denoiser that is not told the time."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from diffusion.theory import Cond, Denoiser, Estimate, Schedule

from .network import PREDICTIONS


@dataclass(frozen=True)
class TimeBlind:
    """The inner denoiser evaluated at one fixed time, whatever t is.

    Its belief is read as `prediction` (x0, eps or v), and that is taken to hold at t. Around a network with that
    prediction this is the same network without its time input, in training and in sampling.
    """

    inner: Denoiser
    prediction: str = "eps"
    fixed_t: float = 0.5

    def __post_init__(self) -> None:
        if self.prediction not in ("x0", "eps", "v"):
            raise ValueError(f"prediction: got {self.prediction!r}, allowed x0, eps, v")
        if not 0 < self.fixed_t <= 1:
            raise ValueError(f"fixed_t: got {self.fixed_t}, allowed above 0 to 1")

    @property
    def schedule(self) -> Schedule:
        return self.inner.schedule

    def __call__(self, x_t: Tensor, t: Tensor, cond: Cond) -> Estimate:
        fixed = torch.full_like(t, self.fixed_t, dtype=torch.float64)
        belief = self.inner(x_t, fixed, cond)
        answers = {"x0": belief.x0, "eps": belief.eps, "v": belief.v(self.schedule(fixed))}
        answer = PREDICTIONS[self.prediction](x_t, self.schedule(t), answers[self.prediction])
        return replace(answer, variance=belief.variance)
