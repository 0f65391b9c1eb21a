import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from diffusion.audio.mel import MelParameters
from diffusion.data.dataset import Features
from diffusion.evaluation.controls import CONTROLS
from diffusion.evaluation.distances import frechet_distance, precision_recall, principal
from diffusion.evaluation.ears import HandMade, RandomNetwork, listeners
from diffusion.evaluation.ears.hand_made import LAGS_S, MODULATION_GROUPS, MODULATIONS_HZ, SPECTRUM_GROUPS

MEL = MelParameters()
EXPECTED = Path(__file__).parents[1] / "fixtures" / "ears.json"
"""Embeddings of `synthetic`, as these two ears have given them from their first day; never to be made anew."""


def synthetic(frames=160):
    """Features (2, 1, 128, frames) from cosines alone: partials that beat and glide, and a rhythm."""
    band, frame = torch.arange(128.0)[:, None], torch.arange(float(frames))
    pulse = (-(frame % 20) / 8).exp()
    first = torch.cos(0.9 * band + 0.3 * torch.cos(0.05 * frame)) * pulse
    second = torch.cos(0.35 * band) * torch.cos(0.02 * frame) + 0.5 * torch.cos(2.1 * band + 0.2 * frame)
    return (torch.stack([first, second])[:, None] - 0.004 * band - 0.4).clamp(*MEL.bounds)


@pytest.mark.parametrize("name", ["hand-made", "random"])
def test_the_ears_are_frozen(small_ear, name):
    expected = torch.tensor(json.loads(EXPECTED.read_text(encoding="utf-8"))[name])
    torch.testing.assert_close(listeners(small_ear)[name].embed(synthetic()), expected, atol=2e-3, rtol=2e-3)


def music(invented_data, split):
    """Clips (32, 1, 128, 160)."""
    features = Features(invented_data, split)
    return torch.stack([features.performance(index) for index in range(len(features))])


def test_three_ears_say_who_they_are_and_hear_each_clip_alone(small_ear, invented_data):
    ears = listeners(small_ear)
    assert list(ears) == ["hand-made", "random", "trained"]
    clips = music(invented_data, "test")
    for ear in ears.values():
        assert ear.title
        assert ear.summary
        embedded = ear.embed(clips)
        assert embedded.dtype == torch.float32
        assert embedded.isfinite().all()
        assert not embedded.requires_grad
        torch.testing.assert_close(ear.embed(clips[20:21]), embedded[20:21], atol=1e-4, rtol=1e-4)
        assert ear.embed(clips[:2, ..., :64]).shape == (2, embedded.shape[1])  # of any length
        assert ear.embed(torch.full_like(clips[:1], MEL.bounds[0])).isfinite().all()
    torch.testing.assert_close(ears["trained"].embed(clips), small_ear.judge(clips).embedding)


def test_every_ear_keeps_controls_far_from_music(small_ear, invented_data):
    reference, source = music(invented_data, "test"), music(invented_data, "train")
    for ear in listeners(small_ear).values():
        own = ear.embed(reference)
        base = principal(own, 4)  # of 32 clips
        floor = frechet_distance(ear.embed(source) @ base, own @ base)
        for control in CONTROLS.values():
            spoilt = ear.embed(control(source, torch.Generator().manual_seed(0)))
            assert frechet_distance(spoilt @ base, own @ base) > 2.5 * floor
        repeated = ear.embed(CONTROLS["one clip repeated"](source, torch.Generator()))
        assert precision_recall(own, repeated)[1] <= 1 / 32


def test_the_random_network_follows_its_seed_and_stays_sane():
    first, again, other = (RandomNetwork(MEL, seed).embed(synthetic()) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert (first - other).abs().mean() > 0.1
    assert 0.05 < float(first.std()) < 5
    with pytest.raises(ValueError, match="mel: got 64 bands, need 128"):
        RandomNetwork(replace(MEL, bands=64), 0)


def test_hand_made_features_mean_what_they_say():
    ear = HandMade(MEL)
    every = 25  # frames: 0.4 s
    clip = torch.full((1, 1, 128, 640), MEL.bounds[0])
    for onset in range(5, 640, every):
        clip[..., 40:60, onset : onset + 12] = 1.0
    groups = ear.groups(clip)
    octaves = groups["modulation"].reshape(MODULATION_GROUPS, -1)
    assert octaves[40 // 16 : 60 // 16 + 1].argmax(1).unique().tolist() == [2]  # 2.5 Hz
    assert MODULATIONS_HZ[2] < 1 / 0.4 < MODULATIONS_HZ[3]
    assert octaves[5:].abs().max() < 1e-6  # empty bands
    torch.testing.assert_close(
        groups["spectrum"][0].reshape(SPECTRUM_GROUPS)[-1], torch.tensor(MEL.bounds[0]), atol=1e-3, rtol=0
    )
    swing = torch.full((1, 1, 128, 640), MEL.bounds[0])
    period = round(LAGS_S[8] * MEL.frames_per_s)  # 0.5 s
    for onset in range(5, 640, period):
        swing[..., 40:60, onset : onset + 12] = 1.0
    repeated = ear.groups(swing)["rhythm"][0]
    assert repeated.argmax() == 8
    assert repeated[8] > 0.9
    assert math.isclose(float(repeated[12]), 1 - period * 2 / 640, abs_tol=0.06)  # 1 s: every second one
