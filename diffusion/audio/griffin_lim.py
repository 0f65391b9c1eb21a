"""From mel amplitudes to a wave without a network: mel inversion, then fast Griffin-Lim."""

from dataclasses import dataclass, field
from functools import cache

import numpy as np
import torch
from torch import Tensor

from diffusion.audio.mel import MelParameters, mel_filters


@cache
def _pseudo_inverse(parameters: MelParameters) -> np.ndarray:
    """(fft_size // 2 + 1, bands) float32."""
    return np.linalg.pinv(mel_filters(parameters))


def invert_mel(mel_magnitude: Tensor, parameters: MelParameters, iterations: int = 8) -> Tensor:
    """Non-negative amplitudes (B, fft_size // 2 + 1, F) whose mel amplitudes are close to (B, bands, F)."""
    filters = torch.tensor(mel_filters(parameters)).to(mel_magnitude)
    magnitude = (torch.tensor(_pseudo_inverse(parameters)).to(mel_magnitude) @ mel_magnitude).clamp(min=0)
    for _ in range(iterations):
        ratio = (filters.T @ mel_magnitude) / (filters.T @ (filters @ magnitude)).clamp(min=1e-12)
        magnitude = magnitude * ratio
    return magnitude


@dataclass(frozen=True)
class GriffinLim:
    """Fast Griffin-Lim (Perraudin, Balazs & Søndergaard 2013), a decoder that needs no training."""

    iterations: int = 32
    momentum: float = 0.99
    mel: MelParameters = field(default_factory=MelParameters)

    def __call__(self, mel_magnitude: Tensor) -> Tensor:
        """Waves (B, F * hop_size) of mel amplitudes (B, bands, F)."""
        p = self.mel
        window = torch.hann_window(p.fft_size).to(mel_magnitude)
        magnitude = invert_mel(torch.nn.functional.pad(mel_magnitude, (1, 1), mode="replicate"), p)
        samples = (magnitude.shape[-1] - 1) * p.hop_size
        spectrum = magnitude.to(torch.complex64 if magnitude.dtype == torch.float32 else torch.complex128)
        previous = torch.zeros_like(spectrum)
        for _ in range(self.iterations):
            wave = torch.istft(spectrum, p.fft_size, p.hop_size, window=window, length=samples)
            projected = torch.stft(wave, p.fft_size, p.hop_size, window=window, return_complex=True)
            moved = projected + self.momentum * (projected - previous)
            previous = projected
            spectrum = magnitude * moved / moved.abs().clamp(min=1e-12)
        wave = torch.istft(spectrum, p.fft_size, p.hop_size, window=window, length=samples)
        half = p.hop_size // 2
        return wave[:, half:-half]
