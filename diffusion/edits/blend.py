"""Between clips: the noises of two or four seeds, mixed on the sphere that noise lies on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from diffusion.theory import Noise

from .source import check_number

SEEDS = 2**32
SHAPES = {1: 1, 3: 2}
"""How many coordinates a place has among so many further seeds."""


@dataclass(frozen=True)
class Blend:
    """A clip between that of the request's seed and those of `seeds`: another one, or three more for a square.

    `place` is where, 0 to 1 from the first seed to the second, and in a square from these two to the other two as well.
    """

    seeds: Sequence[int]
    place: Sequence[float]

    def __post_init__(self) -> None:
        for name, value in (("seeds", self.seeds), ("place", self.place)):
            if isinstance(value, str) or not isinstance(value, Sequence):
                raise ValueError(f"{name}: got {value!r}, need a list of numbers")
        if SHAPES.get(len(self.seeds)) != len(self.place):
            raise ValueError(
                f"seeds: got {len(self.seeds)} and a place of {len(self.place)} coordinates, "
                "need 1 seed and 1 coordinate, or 3 and 2"
            )
        for seed in self.seeds:
            check_number("seeds", seed, (0, SEEDS - 1), whole=True)
        for coordinate in self.place:
            check_number("place", coordinate, (0, 1))
        object.__setattr__(self, "seeds", list(self.seeds))
        object.__setattr__(self, "place", [float(each) for each in self.place])

    @property
    def weights(self) -> list[float]:
        """How much of each noise is in it, the request's own first; their squares add up to 1."""
        along = [(math.cos(each * math.pi / 2), math.sin(each * math.pi / 2)) for each in self.place]
        across = along[1] if len(along) > 1 else (1.0,)
        return [x * y for y in across for x in along[0]]

    def nearest(self, seed: int) -> int:
        """The seed that weighs most, where that of the request is `seed`."""
        seeds = [seed, *self.seeds]
        return seeds[max(range(len(seeds)), key=self.weights.__getitem__)]


@dataclass(frozen=True)
class Blended:
    """Noises, each so many times over. Independent ones whose weights have squares that add up to 1 stay N(0, 1)."""

    noises: Sequence[Noise]
    weights: Sequence[float]

    def __call__(self, draw: int, like: Tensor) -> Tensor:
        pairs = zip(self.noises, self.weights, strict=True)
        noise: Any = sum(weight * each(draw, like) for each, weight in pairs if weight)
        return noise  # type: ignore[no-any-return]
