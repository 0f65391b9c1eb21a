"""Timelines: labels that change along a clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from diffusion.theory import Cond, Denoiser, Estimate, Schedule

from .source import check_number

SECTIONS = 8
LONGEST_S = 600.0
BAR_BEATS = 4
FADE_S = 2.0
"""How long one section leads over into the next, where no beat says how long a bar is."""


@dataclass(frozen=True)
class Section:
    """From `from_s` on these labels are others than those that the request begins with."""

    from_s: float
    labels: Mapping[str, str]

    def __post_init__(self) -> None:
        check_number("from_s", self.from_s, (0, LONGEST_S))
        if not isinstance(self.labels, Mapping):
            raise ValueError(f"labels: got {self.labels!r}, need an object with words")
        object.__setattr__(self, "labels", dict(self.labels))


@dataclass(frozen=True)
class Timeline:
    """Up to SECTIONS sections; the first begins the clip and has the labels of the request, `sections` are the others.

    Each one costs as many evaluations as the whole clip.
    """

    sections: Sequence[Section]

    def __post_init__(self) -> None:
        names = [each.name for each in fields(Section)]
        if isinstance(self.sections, str) or not isinstance(self.sections, Sequence):
            raise ValueError(f"sections: got {self.sections!r}, need a list of objects with {', '.join(names)}")
        if not 1 <= len(self.sections) < SECTIONS:
            raise ValueError(f"sections: got {len(self.sections)}, allowed 1 to {SECTIONS - 1} after the first")
        object.__setattr__(self, "sections", [_section(each, names) for each in self.sections])
        starts = [0.0, *(each.from_s for each in self.sections)]
        if any(later <= earlier for earlier, later in pairwise(starts)):
            raise ValueError(f"sections: got the beginnings {starts[1:]}, need each after the one before, from above 0")


@dataclass(frozen=True)
class Sectioned:
    """Several denoisers, each with its own conditions, and at each place the mean of their beliefs with its `shares`.

    `shares` (N, frames) are those of N denoisers along the last axis and add up to 1. What a run is told is not heard.
    """

    parts: Sequence[tuple[Denoiser, Cond]]
    shares: Tensor

    @property
    def schedule(self) -> Schedule:
        return self.parts[0][0].schedule

    def __call__(self, x_t: Tensor, t: Tensor, cond: Cond) -> Estimate:
        beliefs = [denoiser(x_t, t, own) for denoiser, own in self.parts]
        x0: Any = sum(share * each.x0 for share, each in zip(self.shares.to(x_t), beliefs, strict=True))
        return Estimate.from_x0(x_t, self.schedule(t), x0)


def shares(borders: Sequence[float], fades: Sequence[float], frames: int) -> Tensor:
    """The shares (N + 1, frames), float32, of sections between N borders, in frames; each fades over so many frames.

    A raised cosine leads from one to the next.
    """
    middle = torch.arange(frames) + 0.5
    begun = [torch.ones(frames)]
    for border, fade in zip(borders, fades, strict=True):
        place = ((middle - border) / fade + 0.5).clamp(0, 1)
        begun.append(begun[-1] * (1 - torch.cos(torch.pi * place)) / 2)
    begun.append(torch.zeros(frames))
    stack = torch.stack(begun)
    return stack[:-1] - stack[1:]


def _section(given: Any, names: Sequence[str]) -> Section:
    if isinstance(given, Section):
        return given
    if not isinstance(given, Mapping) or given.keys() != set(names):
        raise ValueError(f"sections: got {given!r}, need an object with {', '.join(names)}")
    return Section(**given)
