import math

import pytest
import torch

from diffusion.audio.codec import LogMelCodec
from diffusion.audio.griffin_lim import GriffinLim, initial_phase, invert_mel
from diffusion.audio.mel import MelParameters, magnitude_spectrogram

MEL = MelParameters()
WINDOW = torch.hann_window(MEL.fft_size)


@pytest.fixture(scope="module")
def codec() -> LogMelCodec:
    return LogMelCodec(MEL)


@pytest.fixture(scope="module")
def magnitude() -> torch.Tensor:
    """Two glides and a little noise, 2 s: (1, 1025, 125)."""
    t = torch.arange(64_000) / MEL.sample_rate_hz
    noise = torch.randn(t.shape, generator=torch.Generator().manual_seed(3))
    wave = 0.3 * torch.sin(900 * t + 700 * t**2) + 0.1 * torch.sin(15_000 * t - 900 * t**2) + 0.003 * noise
    return magnitude_spectrogram(wave[None], WINDOW, MEL.hop_size)


def spectral_convergence(estimate: torch.Tensor, truth: torch.Tensor) -> float:
    return ((estimate - truth).norm() / truth.norm()).item()


def test_inversion_fits_the_mel_spectrum(codec, magnitude):
    mel = codec.filters @ magnitude
    inverse = invert_mel(mel, MEL)
    assert (inverse >= 0).all()
    assert spectral_convergence(codec.filters @ inverse, mel) < 0.005
    clamped = (torch.linalg.pinv(codec.filters) @ mel).clamp(min=0)
    assert spectral_convergence(inverse, magnitude) < spectral_convergence(clamped, magnitude)


def test_each_update_of_the_inversion_lowers_the_divergence(codec, magnitude):
    mel = codec.filters @ magnitude

    def divergence(iterations: int) -> float:
        fit = codec.filters @ invert_mel(mel, MEL, iterations)
        return (mel * (mel / fit).log() - mel + fit).sum().item()

    values = [divergence(n) for n in range(6)]
    assert values == sorted(values, reverse=True)
    assert values[-1] >= 0


def test_inversion_of_nothing_is_nothing():
    assert (invert_mel(torch.zeros(1, 128, 3), MEL) < 1e-30).all()


def frequency_error_bins(magnitude: torch.Tensor, bins: slice, sine_bin: float) -> torch.Tensor:
    """How far the turning of the initial phase is from that of a sine, in bins (four hops to a window: modulo 4)."""
    turns = initial_phase(magnitude, MEL.hop_size)[0, bins].diff(dim=1) / (2 * math.pi)
    expected = sine_bin * MEL.hop_size / MEL.fft_size
    return ((turns - expected + 0.5) % 1 - 0.5) * MEL.fft_size / MEL.hop_size


def test_initial_phase_turns_at_the_frequency_of_a_sine():
    sine_bin = 79.4
    gaussian = torch.exp(-math.pi * 0.25645 * (torch.arange(1025) - sine_bin) ** 2)
    error = frequency_error_bins(gaussian[None, :, None].expand(1, 1025, 9), slice(77, 83), sine_bin)
    assert error.abs().max() < 1e-2

    phase = 2 * math.pi * sine_bin / MEL.fft_size * torch.arange(32_256, dtype=torch.float64)
    hann = magnitude_spectrogram(torch.sin(phase).float()[None], WINDOW, MEL.hop_size)
    assert frequency_error_bins(hann[..., 20:40], slice(79, 81), sine_bin).abs().max() < 0.15


def test_iterations_lower_the_distance(codec, magnitude):
    mel = codec.filters @ magnitude

    def distance(iterations: int) -> float:
        again = magnitude_spectrogram(GriffinLim(iterations)(mel), WINDOW, MEL.hop_size)
        return spectral_convergence(codec.filters @ again, mel)

    none, few, many = (distance(n) for n in (0, 4, 32))
    assert many < few < none
    assert many < 0.1


def test_momentum_helps(codec, magnitude):
    mel = codec.filters @ magnitude

    def distance(momentum: float) -> float:
        again = magnitude_spectrogram(GriffinLim(16, momentum)(mel), WINDOW, MEL.hop_size)
        return spectral_convergence(codec.filters @ again, mel)

    assert distance(0.99) < distance(0.0)


def test_it_keeps_no_gradient(codec):
    mel = torch.rand(1, 128, 4, requires_grad=True)
    assert not GriffinLim(1)(mel).requires_grad


def test_it_refuses_nonsense():
    with pytest.raises(ValueError, match="iterations must be at least 0, got -1"):
        GriffinLim(-1)
    with pytest.raises(ValueError, match=r"momentum must be within 0 and 1, got 1\.5"):
        GriffinLim(momentum=1.5)
    with pytest.raises(ValueError, match=r"mel_magnitude must have shape \(B, 128, F\), got \(1, 1, 128, 4\)"):
        GriffinLim()(torch.zeros(1, 1, 128, 4))
