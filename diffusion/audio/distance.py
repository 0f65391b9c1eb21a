"""How far a decoded wave is from the original, through mel filters at several resolutions."""

from __future__ import annotations

import torch
from torch import Tensor

from diffusion.audio.mel import MelParameters, magnitude_spectrogram, mel_filters

RESOLUTIONS = ((512, 40), (1024, 80), (2048, 128))  # FFT size in samples, bands


def log_mel(wave: Tensor, sample_rate_hz: int, fft_size: int, bands: int) -> Tensor:
    """Log mel amplitudes (B, bands, frames) of waves (B, N) up to the Nyquist frequency, floored as features are.

    The hop is a quarter of the window.
    """
    nyquist_hz = sample_rate_hz / 2
    mel = MelParameters(sample_rate_hz, fft_size, fft_size // 4, bands, low_hz=0.0, high_hz=nyquist_hz)
    magnitude = magnitude_spectrogram(wave, torch.hann_window(fft_size).to(wave), mel.hop_size)
    return (torch.tensor(mel_filters(mel)).to(wave) @ magnitude).clamp(min=mel.floor).log()


def mel_distance(estimate: Tensor, truth: Tensor, sample_rate_hz: int = MelParameters.sample_rate_hz) -> Tensor:
    """Multi-resolution mel distance (B,) between waves (B, N): 0 for equal ones, in natural log units of amplitude.

    The mean absolute difference of log mel amplitudes, averaged over RESOLUTIONS: short windows tell when something
    happens, long ones at which pitch. It is the mel distance of Kumar et al. 2023 ("High-fidelity audio compression
    with improved RVQGAN", section 3.3) at three of its scales. Differentiable. ValueError unless both waves have one
    shape (B, N).
    """
    if estimate.ndim != 2 or estimate.shape != truth.shape:
        raise ValueError(
            f"estimate and truth must have one shape (B, N), got {tuple(estimate.shape)} and {tuple(truth.shape)}"
        )
    differences = [
        (log_mel(estimate, sample_rate_hz, *each) - log_mel(truth, sample_rate_hz, *each)).abs().mean((1, 2))
        for each in RESOLUTIONS
    ]
    return torch.stack(differences).mean(0)
