"""Sound as two channels, magnitude and phase, as `music_diffusion` has it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from diffusion.picture import pixels

from .base import Limits, noisy_limits

BARK_HZ = 600.0
FLOOR_DB = -80.0
"""The quietest magnitude that a logarithm is taken of, below the loudest of its clip."""


@dataclass(frozen=True)
class Ranges:
    """What two channels of a clip were before each was stretched to [-1, 1]: (B,) each."""

    magnitude: tuple[Tensor, Tensor]
    phase: tuple[Tensor, Tensor]


@dataclass(frozen=True)
class MagnitudePhase:
    """Features (2, bins, frames) of a short-time Fourier transform, from -1 to 1 in each channel of each clip.

    The magnitude is weighted by 6 asinh(f / 600 Hz), scaled to 1 at the top (Bark), and linear, or `logarithmic`: dB
    below the loudest of the clip, whose level is lost. The phase is unwrapped over time and differentiated. Nyquist's
    bin is left out. `music_diffusion` has 1024 samples, a hop of 256, and linear magnitudes. The page shows such
    features as a picture; the lab plays them.
    """

    sample_rate_hz: int = 44_100
    fft_size: int = 1024
    hop_size: int = 256
    logarithmic: bool = False
    medium: ClassVar[str] = "image"

    def __post_init__(self) -> None:
        if self.fft_size < 4 or self.fft_size % 2:
            raise ValueError(f"fft_size: got {self.fft_size}, need an even number from 4")
        if not 1 <= self.hop_size <= self.fft_size // 2:
            raise ValueError(f"hop_size: got {self.hop_size}, allowed 1 to {self.fft_size // 2}")

    @property
    def bins(self) -> int:
        return self.fft_size // 2

    @property
    def bounds(self) -> tuple[float, float]:
        return -1.0, 1.0

    def shape(self, frames: int) -> tuple[int, ...]:
        return 2, self.bins, frames

    def encode(self, wave: Tensor) -> tuple[Tensor, Ranges]:
        """Features (B, 2, bins, N // hop_size + 1) of waves (B, N), and the ranges that `decode` needs to invert it."""
        spectrum = torch.stft(
            wave, self.fft_size, self.hop_size, window=torch.hann_window(self.fft_size).to(wave), return_complex=True
        )[:, : self.bins]
        magnitude = spectrum.abs() * self._weight(wave)
        if self.logarithmic:
            loudest = magnitude.flatten(1).amax(1)[:, None, None].clamp(min=torch.finfo(wave.dtype).tiny)
            magnitude = 20 * (magnitude / loudest).clamp(min=10 ** (FLOOR_DB / 20)).log10()
        turns = torch.diff(spectrum.angle(), dim=-1, prepend=torch.zeros_like(spectrum.angle()[..., :1]))
        turns = torch.remainder(turns + math.pi, 2 * math.pi) - math.pi  # as unwrapping leaves them
        (magnitude, heights), (turns, widths) = _stretched(magnitude), _stretched(turns)
        return torch.stack([magnitude, turns], dim=1), Ranges(heights, widths)

    def decode(self, features: Tensor, ranges: Ranges | None = None) -> Tensor:
        """Waves (B, N) of features (B, 2, bins, frames), clipped to their bounds.

        Without `ranges` magnitudes go from 0 to 1 (or FLOOR_DB to 0 dB) and turns from -pi to pi, as `music_diffusion`
        assumes of a sample. The phase is the running sum of its turns from 0, and nothing mends it.
        """
        low, high = self.bounds
        magnitude, turns = features.clamp(low, high).unbind(1)
        quietest, loudest = (FLOOR_DB, 0.0) if self.logarithmic else (0.0, 1.0)
        heights = ranges.magnitude if ranges else _alike(quietest, loudest, features)
        widths = ranges.phase if ranges else _alike(-math.pi, math.pi, features)
        magnitude, turns = _back(magnitude, heights), _back(turns, widths)
        if self.logarithmic:
            magnitude = torch.where(magnitude > FLOOR_DB, 10 ** (magnitude / 20), 0.0)
        magnitude = magnitude / self._weight(features).clamp(min=1e-3)
        spectrum = torch.polar(magnitude.contiguous(), turns.cumsum(-1))
        spectrum = torch.nn.functional.pad(spectrum, (0, 0, 0, 1))
        window = torch.hann_window(self.fft_size).to(features)
        return torch.istft(spectrum, self.fft_size, self.hop_size, window=window)

    def limits(self, alpha: float, sigma: float) -> Limits:
        return noisy_limits(self.bounds, alpha, sigma)

    def picture(self, features: np.ndarray, limits: Limits) -> np.ndarray:
        """The magnitude above the phase."""
        return np.concatenate([pixels(channel, limits) for channel in features])

    def _weight(self, like: Tensor) -> Tensor:
        """(bins, 1), 1 at the top."""
        frequencies = torch.arange(self.bins) * self.sample_rate_hz / self.fft_size
        bark = torch.asinh(frequencies / BARK_HZ)
        return (bark / bark[-1]).to(like)[:, None]


def _stretched(channel: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """A channel (B, bins, frames) from -1 to 1, and what its ends were; a constant one becomes -1."""
    low, high = channel.flatten(1).amin(1), channel.flatten(1).amax(1)
    width = (high - low).clamp(min=torch.finfo(channel.dtype).tiny)
    return 2 * (channel - low[:, None, None]) / width[:, None, None] - 1, (low, high)


def _back(channel: Tensor, ends: tuple[Tensor, Tensor]) -> Tensor:
    low, high = (each[:, None, None] for each in ends)
    return (channel + 1) / 2 * (high - low) + low


def _alike(low: float, high: float, features: Tensor) -> tuple[Tensor, Tensor]:
    return features.new_full((len(features),), low), features.new_full((len(features),), high)
