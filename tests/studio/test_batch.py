"""Several clips in one batch: each is the one it would be alone."""

from __future__ import annotations

import math
import threading

import numpy as np
import pytest
import torch

from diffusion.conditions import guided_label
from diffusion.engine import Clip, Preview
from diffusion.engine.local import MEL_TOLERANCE_DB
from diffusion.request import Request
from diffusion.samplers import SAMPLERS
from diffusion.studio import Studio
from diffusion.theory import SeededNoise


def request(style: str, ensemble: str, seed: int, guidance_scale: float) -> Request:
    labels = {"style": style, "ensemble": ensemble}
    return Request(labels, seed, "ddpm", 4, guidance_scale, 2.56)


BATCH = [
    request("chorale", "piano", 5, 4.0),
    request("any", "flute", 6, 2.0),  # guided towards another label than the first
    request("fiddle", "piano", 5, 1.0),  # not guided
    request("any", "any", 7, 9.0),  # nothing to guide towards
]


def decibels(studio: Studio, features: np.ndarray) -> np.ndarray:
    return features * studio.mel.scale * 20 / math.log(10)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_clip_of_a_batch_is_the_clip_alone(studio: Studio, sampler: str) -> None:
    requests = [each.changed(sampler=sampler) for each in BATCH]
    *previews, one, two, three, four = studio.generate_many(requests)
    assert all(isinstance(each, Preview) for each in previews)
    noise = SeededNoise([5])(0, torch.empty(1, 1, 128, 160))
    np.testing.assert_array_equal(previews[0].x, noise[0])
    for request, clip in zip(requests, (one, two, three, four), strict=True):
        *_, alone = studio.generate(request)
        assert isinstance(clip, Clip)
        assert isinstance(alone, Clip)
        assert clip.settings == alone.settings
        assert clip.wave.shape == alone.wave.shape
        error = np.abs(decibels(studio, clip.features) - decibels(studio, alone.features)).mean()
        assert error < MEL_TOLERANCE_DB


def test_a_batch_of_one_is_a_run(studio: Studio) -> None:
    *_, clip = studio.generate_many(BATCH[:1])
    *_, alone = studio.generate(BATCH[0])
    assert isinstance(clip, Clip)
    assert isinstance(alone, Clip)
    assert clip.to_wav() == alone.to_wav()


def test_a_stopped_batch_gives_every_clip_as_it_was_believed(studio: Studio) -> None:
    stop = threading.Event()
    clips: list[Clip] = []
    for each in studio.generate_many(BATCH, stop):
        if isinstance(each, Clip):
            clips.append(each)
        elif each.index == 2:
            stop.set()
    assert [clip.settings["stopped_at"] for clip in clips] == [2] * 4
    assert [clip.request.seed for clip in clips] == [5, 6, 5, 7]


def test_what_does_not_fit_into_one_batch_is_refused_at_once(studio: Studio) -> None:
    with pytest.raises(ValueError, match="steps"):
        studio.generate_many([BATCH[0], BATCH[0].changed(steps=5)])
    with pytest.raises(ValueError, match="grid"):
        studio.generate_many([BATCH[0], BATCH[0].changed(grid="karras")])
    with pytest.raises(ValueError, match="guidance_rule"):
        studio.generate_many([BATCH[0], BATCH[0].changed(guidance_rule="plain")])
    with pytest.raises(ValueError, match="at least one"):
        studio.generate_many([])
    with pytest.raises(ValueError, match="style: got 'jazz'"):
        studio.generate_many([BATCH[0], BATCH[0].changed(style="jazz")])


def test_only_a_label_that_is_chosen_is_guided(studio: Studio) -> None:
    configuration = studio.engine.model.configuration
    assert [guided_label(configuration, each) for each in BATCH] == ["style", "ensemble", None, None]
