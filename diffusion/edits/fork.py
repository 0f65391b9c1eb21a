"""Forks: a run that goes on otherwise from one of its steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from diffusion.samplers import DDPM, Draws, Model, Sampler
from diffusion.samplers.base import Updates
from diffusion.theory import Cond, Denoiser, Noise

from .source import check_number

MOST_STEPS = 1000
FIXED = ("duration_s", "model", "decoder", "edits", "by_the_book")
"""The settings that no fork changes."""


@dataclass(frozen=True)
class Fork:
    """The first `at` steps are those of another request, which differs in the settings in `parent`.

    Its noise is that of the request's seed from there on; all else that a seed decides stays as the parent has it.
    """

    at: int
    parent: Mapping[str, Any]

    def __post_init__(self) -> None:
        check_number("at", self.at, (0, MOST_STEPS), whole=True)
        if not isinstance(self.parent, Mapping):
            raise ValueError(f"parent: got {self.parent!r}, need an object with the settings that it has otherwise")
        for name in self.parent:
            if name in FIXED:
                raise ValueError(f"parent: got {name}, which no fork changes")
        object.__setattr__(self, "parent", dict(self.parent))


@dataclass(frozen=True)
class Relay(Sampler):
    """One sampler for the first `at` updates along its own times, and from there another one with another denoiser.

    With other noise the first step of the second part is one of DDPM, whatever the samplers: it draws x_s from
    q(x_s | x_t, x0), so that the law stays and the clip becomes another one. The shorter the step, the less it differs.
    """

    first: Sampler
    times: Tensor
    at: int
    second: Sampler
    denoiser: Denoiser
    cond: Cond
    noise: Noise | None = None
    title: ClassVar[str] = "Fork"
    summary: ClassVar[str] = "One sampler hands over to another."

    def __post_init__(self) -> None:
        """Nothing here is a knob."""

    def updates(self, model: Model, x: Tensor, times: Tensor, draw: Draws) -> Updates:
        """`times` are those of the first up to the hand-over and then those of the second."""
        if self.at:
            for done, (x, x0) in enumerate(self.first.updates(model, x, self.times, draw), 1):  # noqa: B020
                yield x, x0
                if done == self.at:
                    break
        model.denoiser, model.cond = self.denoiser, self.cond
        rest = times[self.at :]
        if self.noise is not None:
            draw.noise = self.noise
            for x, x0 in DDPM().updates(model, x, rest[:2], draw):  # noqa: B020
                yield x, x0
            rest = rest[1:]
        if len(rest) > 1:
            yield from self.second.updates(model, x, rest, draw)
