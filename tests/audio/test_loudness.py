import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from diffusion.audio.loudness import PEAK_DB, SILENCE_DB, TARGET_DB, finish, loudness_db, true_peak

RATE = 32_000
PEAK = 10 ** (PEAK_DB / 20)


def decibels(amplitude: float) -> float:
    return 20 * math.log10(amplitude)


def tone(frequency_hz: float = 440, duration_s: float = 2, phase: float = 0) -> torch.Tensor:
    return torch.sin(2 * math.pi * frequency_hz * torch.arange(round(duration_s * RATE)) / RATE + phase)


@st.composite
def waves(draw, shortest=1, spike=(0.0, 1.0)):
    """Noise, a tone and a spike within a range of places, up to a second long, at any level and offset."""
    samples = draw(st.integers(shortest, RATE))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    wave = draw(st.floats(0, 1)) * torch.randn(samples, generator=generator)
    wave += draw(st.floats(0, 1)) * tone(draw(st.floats(20, 15_999)), 1)[:samples]
    wave[round(draw(st.floats(*spike)) * (samples - 1))] += draw(st.floats(-100, 100))
    return wave * 10 ** draw(st.floats(-6, 6)) + draw(st.floats(-10, 10))


@settings(max_examples=60, deadline=None)
@given(waves())
def test_no_clip_passes_the_peak_and_both_ends_are_zero(wave):
    clip = finish(wave)
    assert clip.shape == wave.shape
    assert clip.dtype == wave.dtype
    assert torch.isfinite(clip).all()
    assert clip.abs().max() <= PEAK * (1 + 1e-6)
    assert true_peak(clip.double()[None]) <= PEAK * (1 + 1e-6)
    assert clip[0] == clip[-1] == 0


@settings(max_examples=40, deadline=None)
@given(waves(shortest=RATE // 2, spike=(0.25, 0.75)), st.floats(-40, 40))
def test_the_level_of_the_input_does_not_matter(wave, gain_db):
    wave = wave.double() - wave.double().mean()
    louder = wave * 10 ** (gain_db / 20)
    assume(min(loudness_db(w[None], RATE).item() for w in (wave, louder)) > SILENCE_DB + 12)
    torch.testing.assert_close(finish(louder), finish(wave), atol=1e-9, rtol=1e-6)


@pytest.mark.parametrize("level", [1e-3, 0.1, 1, 50])
def test_a_tone_reaches_the_target(level):
    clip = finish(level * tone())
    assert loudness_db(clip[None], RATE).item() == pytest.approx(TARGET_DB, abs=0.05)


def test_full_scale_sine_measures_minus_three():
    assert loudness_db(tone()[None], RATE).item() == pytest.approx(-3.01, abs=0.01)


def test_rests_do_not_count():
    alone = loudness_db(tone()[None], RATE).item()
    for level in (0, 0.1):  # below the absolute gate, below the relative one
        with_rest = torch.cat([tone(), level * tone(duration_s=4)])
        assert loudness_db(with_rest[None], RATE).item() == pytest.approx(alone, abs=0.7)
        assert alone - decibels(with_rest.square().mean().sqrt().item()) > 4


def test_spiky_waves_are_turned_down_not_clipped():
    wave = 0.001 * tone()
    wave[RATE] = 1
    clip = finish(wave)
    assert loudness_db(clip[None], RATE).item() < TARGET_DB - 6
    assert clip.abs().max().item() == pytest.approx(PEAK, rel=0.05)
    inside = slice(200, -200)  # between the fades one gain holds for all
    shape = wave - wave.mean()
    torch.testing.assert_close(clip[inside], (shape * clip[RATE] / shape[RATE])[inside])


def test_true_peak_sees_between_the_samples():
    wave = tone(RATE / 4, 0.5, phase=math.pi / 4)  # its samples reach 0.71 only
    assert wave.abs().max() < 0.71
    assert true_peak(wave[None]).item() == pytest.approx(1, abs=5e-3)


def test_offset_is_removed():
    clip = finish(0.1 * tone() + 0.5)
    assert clip.mean().abs() < 1e-3
    torch.testing.assert_close(clip, finish(0.1 * tone()), atol=1e-4, rtol=0)


def test_ends_rise_and_fall_without_a_step():
    wave = tone(duration_s=1, phase=math.pi / 2)  # starts at its crest
    clip = finish(wave)
    steps = clip.diff().abs()
    assert steps[:160].max() < 1.5 * steps[RATE // 2 :].max()
    assert clip[:5].abs().max() < 0.01
    assert clip[-5:].abs().max() < 0.01
    torch.testing.assert_close(clip[160:-160], (wave * clip[320] / wave[320])[160:-160], atol=1e-4, rtol=0)


@pytest.mark.parametrize("silence", [torch.zeros(RATE), torch.full((RATE,), 0.3), 1e-5 * tone()])
def test_silence_stays_silence(silence):
    assert finish(silence).abs().max() <= 1.1e-5


def test_clips_of_a_batch_are_finished_one_by_one():
    batch = torch.stack([tone(), 0.01 * tone(880), torch.zeros(2 * RATE)])
    together = finish(batch)
    for wave, clip in zip(batch, together, strict=True):
        torch.testing.assert_close(finish(wave), clip)


def test_the_input_is_left_as_it_was():
    wave = tone() + 0.2
    before = wave.clone()
    finish(wave)
    assert torch.equal(wave, before)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_refused(value):
    wave = tone()
    wave[7] = value
    with pytest.raises(ValueError, match="wave must be finite"):
        finish(wave)


@pytest.mark.parametrize("wave", [torch.zeros(0), torch.zeros(1, 1, 9), torch.zeros(9, dtype=torch.int16)])
def test_other_shapes_and_types_are_refused(wave):
    with pytest.raises(ValueError, match="wave must be floating point of shape"):
        finish(wave)
