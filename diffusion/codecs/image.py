"""Small pictures, grey or in colour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .base import Limits, noisy_limits


@dataclass(frozen=True)
class ImageCodec:
    """Features (channels, height, width): 8-bit values from -1 (black) to 1; one channel is grey, three are RGB."""

    channels: int = 1
    height: int = 8
    width: int = 8
    medium: ClassVar[str] = "image"

    def __post_init__(self) -> None:
        if self.channels not in (1, 3):
            raise ValueError(f"channels: got {self.channels}, allowed 1 (grey) and 3 (RGB)")
        for name in ("height", "width"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: got {getattr(self, name)}, need at least 1")

    @property
    def bounds(self) -> tuple[float, float]:
        return -1.0, 1.0

    def shape(self, frames: int) -> tuple[int, ...]:
        return self.channels, self.height, self.width

    def encode(self, pixels: np.ndarray) -> np.ndarray:
        """Features (B, channels, height, width) float32 of pixels (B, height, width, channels) uint8."""
        return np.moveaxis(pixels, -1, 1).astype(np.float32) / 127.5 - 1

    def decode(self, features: np.ndarray) -> np.ndarray:
        """Inverts `encode`; what lies beyond the bounds is clipped."""
        return np.moveaxis(((features + 1) * 127.5).round().clip(0, 255).astype(np.uint8), 1, -1)

    def limits(self, alpha: float, sigma: float) -> Limits:
        return noisy_limits(self.bounds, alpha, sigma)

    def picture(self, features: np.ndarray, limits: Limits) -> np.ndarray:
        low, high = limits
        rgb = self.decode(2 * (features[None] - low) / (high - low) - 1)[0]
        return np.broadcast_to(rgb, (self.height, self.width, 3))
