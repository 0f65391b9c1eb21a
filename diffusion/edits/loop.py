"""Loops: music whose end goes on into its beginning."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from diffusion.theory import Cond, Denoiser, Estimate, LogVariance, Mix, Schedule, Spread

GOLDEN = 0.6180339887498949


@dataclass(frozen=True)
class Loop:
    """Compose a loop: the beat fits its length, and its seam is a place like any other."""


@dataclass(frozen=True)
class Rolled:
    """The inner denoiser, asked about x_t (B, ..., frames) rolled along its last axis, by another amount at each time.

    The denoiser knows nothing beyond the ends of a clip, so what lies there must not be the same place each time: over
    a run every place is at the ends once and in the middle often. The roll is a function of the time alone, spread
    evenly by the golden ratio. A pulse (B, 2) in `cond`, beats a frame and the place in a beat, is rolled with it.
    """

    inner: Denoiser

    @property
    def schedule(self) -> Schedule:
        return self.inner.schedule

    def __call__(self, x_t: Tensor, t: Tensor, cond: Cond) -> Estimate:
        shift = roll_of(float(t[0]), x_t.shape[-1])
        if "pulse" in cond:
            rate, phase = cond["pulse"].unbind(-1)
            cond = {**cond, "pulse": torch.stack([rate, phase + rate * shift], -1)}
        belief = self.inner(x_t.roll(-shift, -1), t, cond)
        return Estimate(belief.x0.roll(shift, -1), belief.eps.roll(shift, -1), _rolled(belief.variance, shift))


def whole_beats(rates: Tensor, frames: int) -> Tensor:
    """The nearest rates (B,), in beats a frame, that give a loop of `frames` a whole number of beats; 0 stays 0.

    >>> (whole_beats(torch.tensor([0.0213, 0.0]), 640) * 640).tolist()  # in place of 13.632
    [14.0, 0.0]
    """
    return torch.where(rates > 0, (rates * frames).round().clamp(min=1) / frames, rates)


def roll_of(t: float, frames: int) -> int:
    """By how many of `frames` x_t is rolled at time t."""
    return int(frames * (1000 * GOLDEN * t % 1))


def _rolled(variance: Mix | LogVariance | Spread | None, shift: int) -> Mix | LogVariance | Spread | None:
    """A learned variance, rolled as the belief is."""
    if variance is None:
        return None
    (part,) = fields(variance)
    return type(variance)(getattr(variance, part.name).roll(shift, -1))
