"""A cloud of points in a plane."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from diffusion.picture import pixels

from .base import Limits, noisy_limits

SIDE_PX = 256
FULL = 4  # as many points in one place have the brightest colour


@dataclass(frozen=True)
class Points:
    """Features (count, 2): a clip is a cloud of `count` points, whose coordinates reach to `reach` on either side."""

    count: int = 2000
    reach: float = 2.5
    medium: ClassVar[str] = "plot"

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"count: got {self.count}, need at least 1")
        if not self.reach > 0:
            raise ValueError(f"reach: got {self.reach}, need a positive number")

    @property
    def bounds(self) -> tuple[float, float]:
        return -self.reach, self.reach

    def shape(self, frames: int) -> tuple[int, ...]:
        return self.count, 2

    def limits(self, alpha: float, sigma: float) -> Limits:
        return noisy_limits(self.bounds, alpha, sigma)

    def picture(self, features: np.ndarray, limits: Limits) -> np.ndarray:
        """How many points lie in each place: x to the right, y upwards."""
        x, y = features.clip(*limits).T
        counts, _, _ = np.histogram2d(y, x, SIDE_PX, [limits, limits])
        return pixels(counts, (0, FULL))
