"""The contract of every codec."""

from __future__ import annotations

from typing import Protocol

import numpy as np

Limits = tuple[float, float]
"""Features that are shown as black, and as the brightest colour."""
BELIEF = (1.0, 0.0)
"""alpha and sigma where there is no noise: a belief, or a finished clip."""
NOISE_RANGE = (-2.5, 2.5)
"""Standard deviations of white noise that are shown: one value in eighty lies beyond."""


class Codec(Protocol):
    """How features (B, *shape) of a model are shaped, bounded and seen.

    `medium` is what they stand for: "sound", which also has a duration and a decoder, "image" or "plot".
    """

    @property
    def medium(self) -> str: ...

    @property
    def bounds(self) -> tuple[float, float]:
        """Between what features of data lie."""

    def shape(self, frames: int) -> tuple[int, ...]:
        """The shape of the features of one clip; what has no duration pays no heed to `frames`."""

    def limits(self, alpha: float, sigma: float) -> Limits:
        """What of alpha x0 + sigma eps is shown."""

    def picture(self, features: np.ndarray, limits: Limits) -> np.ndarray:
        """RGB (height, width, 3) uint8 of features of one clip, clipped to `limits`."""


def noisy_limits(belief: Limits, alpha: float, sigma: float) -> Limits:
    """The limits of alpha x0 + sigma eps: those of the belief at the data's end, of white noise at the other."""
    low, high = (alpha * x0 + sigma * eps for x0, eps in zip(belief, NOISE_RANGE, strict=True))
    return low, high
