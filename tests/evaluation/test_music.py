import math

import pytest
import torch

from diffusion.audio.codec import LogMelCodec
from diffusion.audio.loudness import SILENCE_DB
from diffusion.audio.mel import MelParameters
from diffusion.data.key import PROFILES
from diffusion.evaluation.music import (
    brightness,
    chroma,
    entropy_bits,
    key_clarity,
    measure,
    onset_rate,
    onset_strength,
    pitch_classes,
    silence,
    tuning,
)

RATE_HZ = 32_000
MEL = MelParameters()


def tone(*semitones, seconds=2.048, amplitude=0.3):
    """A wave (1, N) of sines so many semitones from 440 Hz, one after another."""
    time = torch.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return torch.cat([amplitude * torch.sin(2 * math.pi * 440 * 2 ** (s / 12) * time) for s in semitones])[None]


def test_onsets_are_counted():
    clip = torch.full((1, 1, 128, 625), MEL.bounds[0])  # 10 s
    for onset in range(20, 600, 60):
        clip[0, 0, 40:60, onset : onset + 30] = 0.5
    assert onset_rate(clip, MEL)[0].item() == pytest.approx(1.0, abs=0.11)
    assert onset_rate(torch.full_like(clip, 0.0), MEL)[0].item() == 0


@pytest.mark.parametrize(("semitones", "in_tune"), [(0, 1), (3, 1), (0.5, -1), (0.25, 0)])
def test_partials_in_and_out_of_tune(semitones, in_tune):
    found, classes = tuning(tone(semitones), RATE_HZ)
    assert found[0].item() == pytest.approx(in_tune, abs=0.15)
    if in_tune == 1:
        assert classes[0, (9 + semitones) % 12] > 0.95
        assert entropy_bits(classes)[0] < 0.5
    assert torch.equal(pitch_classes(tone(semitones), RATE_HZ), classes)


def test_noise_is_out_of_tune_and_silence_has_no_pitch():
    noise = 0.1 * torch.randn(1, 4 * RATE_HZ, generator=torch.Generator().manual_seed(0))
    in_tune, classes = tuning(torch.cat([noise, torch.zeros_like(noise)]), RATE_HZ)
    assert in_tune.abs().max() < 0.25
    assert entropy_bits(classes).min() > 3.3
    torch.testing.assert_close(classes.sum(1), torch.ones(2, dtype=torch.float64))


def test_a_key_is_clear_if_the_notes_are_those_of_one():
    scale = torch.tensor([1.0, 0, 1, 0, 1, 1, 0, 1, 0, 1, 0, 1])
    whole_tones = torch.tensor([1.0, 0] * 6)
    one_note = torch.eye(12)[:1].flatten()
    profile = torch.tensor(PROFILES[0]).float()
    rows = torch.stack([profile, scale, whole_tones, torch.ones(12), one_note])
    clarity = key_clarity(rows)
    assert clarity[0].item() == pytest.approx(1)
    assert clarity[1] > 0.75 > clarity[4] > 0.4 > clarity[2]
    assert clarity[3] == 0
    for shift in (1, 7):
        torch.testing.assert_close(key_clarity(rows.roll(shift, 1)), clarity)
    torch.testing.assert_close(key_clarity(3 * rows + 5), clarity)  # evenly spread noise, any loudness


def test_silence_is_what_is_far_below_the_loudest():
    loud, soft = tone(0), tone(0, amplitude=0.3 * 10 ** (-39 / 20))
    faint = tone(0, amplitude=0.3 * 10 ** (-41 / 20))
    waves = torch.cat([torch.cat([loud, other], 1) for other in (loud, soft, faint, torch.zeros_like(loud))])
    torch.testing.assert_close(
        silence(waves, MEL), torch.tensor([0.0, 0, 0.5, 0.5], dtype=torch.float64), atol=0.02, rtol=0
    )
    assert silence(torch.zeros(1, 32_768), MEL)[0] == 1


def test_brightness_counts_octaves():
    codec = LogMelCodec()
    clips = codec.encode(torch.cat([tone(0), tone(12), tone(36)]))
    torch.testing.assert_close(
        brightness(clips, MEL), torch.tensor([0.0, 1, 3], dtype=torch.float64), atol=0.15, rtol=0
    )
    torch.testing.assert_close(
        brightness(codec.encode(tone(12) / 10), MEL), brightness(clips[1:2], MEL), atol=0.005, rtol=0
    )


@pytest.mark.parametrize("semitones", [3, 4, 10, 17])
def test_chroma_names_the_pitch_class_without_a_wave(semitones):
    clip = LogMelCodec().encode(tone(semitones, semitones + 2))
    half = clip.shape[-1] // 2
    strongest = chroma(clip, MEL)[0].argmax(0)
    assert (strongest[: half - 3] == (9 + semitones) % 12).all()
    assert (strongest[half + 3 :] == (11 + semitones) % 12).all()


def test_onset_strength_rises_with_notes_alone():
    clip = torch.full((2, 1, 128, 60), MEL.bounds[0])
    clip[0, 0, 30:40, 20:] = 1.0
    clip[1] = clip[0] + 0.01 * (torch.arange(60) % 2)  # as a decoder's grain, far below the loudest
    strength = onset_strength(clip, MEL)
    assert strength.shape == (2, 60)
    assert strength[0].argmax() == 20
    assert strength[0].count_nonzero() == 1
    assert strength[1, 20] > 20 * strength[1, 1:20].max()


def test_all_measures_at_once_in_their_order():
    wave = torch.cat([tone(3, 7), torch.zeros(1, 2 * 65_536)])
    measures = measure(wave, LogMelCodec().encode(wave), MEL)
    assert list(measures) == ["in tune", "key clarity", "onsets per second", "silence", "brightness", "loudness"]
    for values in measures.values():
        assert values.shape == (2,)
        assert values.dtype == torch.float32
        assert values.isfinite().all()
    assert measures["loudness"].tolist() == pytest.approx([20 * math.log10(0.3) - 3.01, SILENCE_DB], abs=0.05)
    assert measures["silence"].tolist() == [0, 1]
