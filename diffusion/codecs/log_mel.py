"""Sound as a log-mel spectrogram."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import ClassVar

import numpy as np

from diffusion.audio.mel import MelParameters
from diffusion.picture import pixels

from .base import Limits, noisy_limits

DARK_DB, BRIGHT_DB = -80.0, -5.0  # below full scale


@dataclass(frozen=True)
class LogMel(MelParameters):
    """Features (1, bands, frames); `diffusion.audio` encodes and decodes them."""

    medium: ClassVar[str] = "sound"

    @property
    def mel(self) -> MelParameters:
        """The parameters alone, as decoders know them."""
        return MelParameters(**asdict(self))

    def shape(self, frames: int) -> tuple[int, ...]:
        return 1, self.bands, frames

    def limits(self, alpha: float, sigma: float) -> Limits:
        decibels = np.array([DARK_DB, BRIGHT_DB]) + 20 * np.log10(np.exp(self.ceiling))
        dark, bright = (decibels * np.log(10) / 20 - self.mean) / self.scale
        return noisy_limits((float(dark), float(bright)), alpha, sigma)

    def picture(self, features: np.ndarray, limits: Limits) -> np.ndarray:
        return pixels(features[0], limits)
