"""Random numbers that belong to a clip, not to a batch or a device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

import numpy as np
import torch
from torch import Tensor


class Stream(IntEnum):
    """What else the seed of a clip decides beside its noise. Each has random numbers of its own."""

    LABELS = 1
    """The values of the labels that are left open."""
    PULSE = 2
    """How far into a beat the clip begins."""
    ENDING = 3
    """When the last note is released, where the music ends."""
    PROMINENCE = 4
    """How far the loudest moment may stand out."""
    TEXTURE = 5
    """The texture that the mean of the last step leaves out."""


def stream(seed: int, name: Stream) -> np.random.Generator:
    """The random numbers of one stream of a clip, from the beginning."""
    return np.random.default_rng((seed, int(name)))


class Noise(Protocol):
    """Standard normal noise by number: draw 0 is the initial noise, and a run numbers its further draws from 1."""

    def __call__(self, draw: int, like: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class SeededNoise:
    """A seed per clip. The same seed gives the same noise alone or in any batch, on any device, in any order.

    Drawn in float32 on the CPU and cast, so that a device or a precision changes no clip. It has no state: each draw
    is a function of its clip's seed and its number alone.
    """

    seeds: tuple[int, ...]

    def __init__(self, seeds: Sequence[int]) -> None:
        object.__setattr__(self, "seeds", tuple(int(seed) for seed in seeds))
        if any(seed < 0 for seed in self.seeds):
            raise ValueError(f"seeds: got {self.seeds}, need whole numbers from 0")

    def __call__(self, draw: int, like: Tensor) -> Tensor:
        """Noise (B, ...) for draw number `draw`, shaped, typed and placed as `like`, whose batch is one per seed."""
        if len(self.seeds) != like.shape[0]:
            raise ValueError(f"seeds: got {len(self.seeds)}, need one for each of the {like.shape[0]} clips")
        clips = [torch.randn(like.shape[1:], generator=_generator(seed, draw)) for seed in self.seeds]
        return torch.stack(clips).to(like)


def _generator(seed: int, draw: int) -> torch.Generator:
    """A generator whose stream is independent of that of every other (seed, draw)."""
    state = np.random.SeedSequence([seed, draw]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))
