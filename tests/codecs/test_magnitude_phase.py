"""Magnitude and phase: there and back, and what `music_diffusion` loses on the way."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from diffusion.codecs import CODECS, MagnitudePhase, codec_from, settings_of

RATE_HZ = 22_050


def chord(samples: int = 256 * 60) -> torch.Tensor:
    """Three partials that fade, (1, samples)."""
    t = torch.arange(samples, dtype=torch.float64) / RATE_HZ
    waves = [a * torch.sin(2 * math.pi * f * t) for a, f in ((0.5, 440), (0.3, 1100), (0.1, 5000))]
    return (sum(waves) * torch.exp(-3 * t))[None]


def difference_db(wave: torch.Tensor, other: torch.Tensor) -> float:
    """The mean difference of both spectra where the first is within 60 dB of its loudest, as loud as each other."""
    length = min(wave.shape[1], other.shape[1])
    window = torch.hann_window(1024, dtype=torch.float64)
    spectra = [torch.stft(each[:, :length], 1024, 256, window=window, return_complex=True) for each in (wave, other)]
    one, two = (each.abs() for each in spectra)
    loud = one > one.max() / 1000
    levels = 20 * (two[loud].clamp(min=1e-12) / one[loud]).log10()
    return float((levels - levels.mean()).abs().mean())


@pytest.mark.parametrize("logarithmic", [False, True])
def test_round_trip_with_the_ranges(logarithmic: bool) -> None:
    codec = MagnitudePhase(RATE_HZ, logarithmic=logarithmic)
    wave = chord()
    features, ranges = codec.encode(wave)
    assert features.shape == (1, *codec.shape(61))
    assert (float(features.min()), float(features.max())) == pytest.approx((-1, 1))
    back = codec.decode(features, ranges)
    assert difference_db(wave, back) < 0.1
    back, wave = back[:, 2048:-2048], wave[:, 2048 : back.shape[1] - 2048]
    level = float(back.norm() / wave.norm())
    assert logarithmic or level == pytest.approx(1, abs=0.01)  # of a logarithm the level is lost
    assert float((back / level - wave).abs().max()) < 0.01


@pytest.mark.parametrize("logarithmic", [False, True])
def test_round_trip_as_a_sample_is_decoded(logarithmic: bool) -> None:
    """Without the ranges the level is lost, and the spectrum is not."""
    codec = MagnitudePhase(RATE_HZ, logarithmic=logarithmic)
    features, _ = codec.encode(chord())
    assert difference_db(chord(), codec.decode(features)) < 1


def test_the_weight_is_that_of_the_document() -> None:
    """6 asinh(f / 600), scaled to 1 at the top: of two bins with one amplitude the higher is the larger feature."""
    codec = MagnitudePhase(RATE_HZ)
    t = torch.arange(256 * 40, dtype=torch.float64) / RATE_HZ
    low, high = (round(f * 1024 / RATE_HZ) for f in (600, 6000))
    wave = sum(torch.sin(2 * math.pi * k * RATE_HZ / 1024 * t) for k in (low, high))[None]
    magnitude = codec.encode(wave)[0][0, 0, :, 20] + 1
    expected = math.asinh(low * RATE_HZ / 1024 / 600) / math.asinh(high * RATE_HZ / 1024 / 600)
    assert float(magnitude[low] / magnitude[high]) == pytest.approx(expected, rel=0.02)


def test_a_steady_tone_turns_evenly() -> None:
    codec = MagnitudePhase(RATE_HZ)
    bin_number = 40
    t = torch.arange(256 * 40, dtype=torch.float64) / RATE_HZ
    features, ranges = codec.encode(torch.sin(2 * math.pi * bin_number * RATE_HZ / 1024 * t)[None])
    low, high = (float(each) for each in ranges.phase)
    turns = (features[0, 1, bin_number, 5:-5] + 1) / 2 * (high - low) + low
    expected = (2 * math.pi * bin_number * 256 / 1024 + math.pi) % (2 * math.pi) - math.pi
    assert float((turns - expected).abs().max()) < 1e-3


def test_silence_and_loud_samples_are_finite() -> None:
    for logarithmic in (False, True):
        codec = MagnitudePhase(8000, 128, 64, logarithmic=logarithmic)
        features, ranges = codec.encode(torch.zeros(2, 64 * 10))
        assert bool(features.isfinite().all())
        assert bool(codec.decode(features, ranges).isfinite().all())
        assert bool(codec.decode(50 * torch.randn(2, 2, 64, 11)).isfinite().all())


def test_linear_magnitudes_of_music_are_nearly_all_silence_and_logarithms_are_not() -> None:
    below = {}
    for logarithmic in (False, True):
        features, _ = MagnitudePhase(RATE_HZ, logarithmic=logarithmic).encode(chord())
        below[logarithmic] = float((features[0, 0] < -0.9).double().mean())
    assert below[False] > 0.95
    assert below[True] < 0.9


def test_the_picture_has_the_magnitude_above_the_phase() -> None:
    codec = MagnitudePhase(8000, 128, 64)
    features = np.stack([np.full((64, 10), 1.0), np.full((64, 10), -1.0)]).astype(np.float32)
    picture = codec.picture(features, codec.limits(1, 0))
    assert picture.shape == (128, 10, 3)
    assert picture[:64].min() > picture[64:].max()


def test_it_has_a_name_and_refuses_what_cannot_be() -> None:
    codec = MagnitudePhase(8000, 128, 64, logarithmic=True)
    assert CODECS["magnitude-phase"] is MagnitudePhase
    assert codec_from(settings_of(codec)) == codec
    with pytest.raises(ValueError, match="fft_size: got 127, need an even number from 4"):
        MagnitudePhase(fft_size=127)
    with pytest.raises(ValueError, match="hop_size: got 1000, allowed 1 to 512"):
        MagnitudePhase(hop_size=1000)
