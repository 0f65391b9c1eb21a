"""The mel spectrogram: its parameters, its filters, and the short-time Fourier transform below it.

Frame k is centred on its own hop, at sample (k + 1/2) * hop. So N samples give exactly N / hop frames, crops that begin
at whole hops line up, and a clip reversed in time gives its frames reversed. Beyond either end a window sees the clip
reflected, which adds no edge.
"""

import math
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class MelParameters:
    """How a wave becomes features: (log(max(mel, floor)) - mean) / scale, a natural logarithm of amplitude.

    `high_hz` is the Nyquist frequency: a lower one would leave bins that no band describes and no decoder can restore.
    `mean` and `scale` are round figures near the mean (-4.6) and a little above the standard deviation (3.1) of
    rendered music; with scale 4 the range from silence to full scale is about (-1.75, 2).
    `ceiling` is a log amplitude just above that of a full-scale sine.
    """

    sample_rate_hz: int = 32_000
    fft_size: int = 2048
    hop_size: int = 512
    bands: int = 128
    low_hz: float = 30.0
    high_hz: float = 16_000.0
    floor: float = 1e-5
    ceiling: float = 3.5
    mean: float = -4.5
    scale: float = 4.0

    def __post_init__(self) -> None:
        for name in ("sample_rate_hz", "fft_size", "hop_size", "bands", "floor", "scale"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if self.hop_size % 2 or self.fft_size % (2 * self.hop_size):
            raise ValueError(
                "hop_size must be even and fft_size an even multiple of it, "
                f"got fft_size={self.fft_size}, hop_size={self.hop_size}"
            )
        if not 0 <= self.low_hz < self.high_hz <= self.sample_rate_hz / 2:
            raise ValueError(
                f"low_hz and high_hz must satisfy 0 <= low_hz < high_hz <= {self.sample_rate_hz / 2}, "
                f"got low_hz={self.low_hz}, high_hz={self.high_hz}"
            )
        if not self.ceiling > math.log(self.floor):
            raise ValueError(f"ceiling must lie above log(floor) = {math.log(self.floor):.3f}, got {self.ceiling}")

    @property
    def frames_per_s(self) -> float:
        return self.sample_rate_hz / self.hop_size

    @property
    def bounds(self) -> tuple[float, float]:
        """The normalised values of the floor and of the ceiling."""
        return (math.log(self.floor) - self.mean) / self.scale, (self.ceiling - self.mean) / self.scale

    @property
    def unit_db(self) -> float:
        """How many dB of amplitude one unit of a feature stands for."""
        return 20 / math.log(10) * self.scale

    @property
    def frequencies_hz(self) -> np.ndarray:
        """Centre of each band, (bands,) float64."""
        return _edges_hz(self)[1:-1]

    def frames_of(self, seconds: float) -> int:
        """The nearest whole number of frames, at least one."""
        if not (math.isfinite(seconds) and seconds > 0):
            raise ValueError(f"seconds must be positive and finite, got {seconds}")
        return max(1, round(seconds * self.frames_per_s))


class Decoder(Protocol):
    """Turns mel amplitudes (B, bands, F), not logarithms, into waves (B, F * hop_size)."""

    def __call__(self, mel_magnitude: Tensor) -> Tensor: ...


@cache
def mel_filters(parameters: MelParameters) -> np.ndarray:
    """Triangles of equal area on Slaney's mel scale, (bands, fft_size // 2 + 1) float32, read-only.

    The same numbers as `librosa.filters.mel`, whose import alone takes longer than loading the model.
    """
    edges_hz = _edges_hz(parameters)[:, None]
    bins_hz = np.fft.rfftfreq(parameters.fft_size, 1 / parameters.sample_rate_hz)
    widths_hz = np.diff(edges_hz, axis=0)
    rising = (bins_hz - edges_hz[:-2]) / widths_hz[:-1]
    falling = (edges_hz[2:] - bins_hz) / widths_hz[1:]
    area = 2 / (edges_hz[2:] - edges_hz[:-2])
    filters: np.ndarray = (np.minimum(rising, falling).clip(min=0) * area).astype(np.float32)
    if not filters.any(axis=1).all():
        raise ValueError(
            f"bands must be few enough that each holds a frequency bin of {parameters.sample_rate_hz} Hz "
            f"/ {parameters.fft_size}, got {parameters.bands}"
        )
    filters.setflags(write=False)
    return filters


def _edges_hz(parameters: MelParameters) -> np.ndarray:
    """Where the bands begin, have their centres and end, (bands + 2,): evenly spaced mels.

    Slaney, Auditory Toolbox (1998): 15 mels to 1 kHz, linear, and then 27 for each factor of 6.4.
    """
    corner_hz, corner, per_e = 1000.0, 15.0, 27 / math.log(6.4)

    def mel(hz: float) -> float:
        return hz * corner / corner_hz if hz < corner_hz else corner + per_e * math.log(hz / corner_hz)

    mels = np.linspace(mel(parameters.low_hz), mel(parameters.high_hz), parameters.bands + 2)
    high_hz = corner_hz * np.exp((mels - corner) / per_e)
    edges_hz: np.ndarray = np.where(mels < corner, mels * corner_hz / corner, high_hz)
    return edges_hz


def magnitude_spectrogram(wave: Tensor, window: Tensor, hop_size: int) -> Tensor:
    """Amplitudes (B, fft_size // 2 + 1, N // hop_size) of waves (B, N); the window gives fft_size."""
    fft_size = window.shape[0]
    padding = (fft_size - hop_size) // 2
    padded = functional.pad(wave, (padding, padding), mode="reflect")
    return torch.stft(padded, fft_size, hop_size, window=window, center=False, return_complex=True).abs()
