"""Whatever decodes a clip is chosen by name, is the vocoder where one fits, and is part of the settings."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from diffusion import checkpoint
from diffusion.audio.mel import MelParameters
from diffusion.audio.vocoder import Vocoder
from diffusion.engine import Clip
from diffusion.request import Request
from diffusion.studio import Studio, open_studio

REQUEST = Request({"style": "chorale", "ensemble": "piano"}, 5, steps=2, duration_s=2.56)


def save_vocoder(folder: Path, mel: MelParameters) -> None:
    size = {"width": 16, "depth": 1, "hidden": 32}
    torch.manual_seed(0)
    weights = Vocoder(mel, **size).state_dict()
    checkpoint.save(folder, checkpoint.VocoderConfiguration(size, asdict(mel)), weights, torch.float32)


def clip_of(studio: Studio, request: Request) -> Clip:
    *_, clip = studio.generate(request)
    assert isinstance(clip, Clip)
    return clip


@pytest.fixture(scope="module")
def both(small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Studio:
    folder = tmp_path_factory.mktemp("decoders")
    save_vocoder(folder / "vocoder", MelParameters())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "CHECKPOINTS", folder)
        return open_studio(small_checkpoint, "cpu", torch.float32)


def test_the_vocoder_is_the_default_and_both_can_be_asked_for(both: Studio) -> None:
    option = both.options()["decoder"]
    assert option["default"] == "vocoder"
    assert option["choices"] == list(option["titles"]) == list(option["summaries"]) == ["vocoder", "griffin-lim"]
    clips = {name: clip_of(both, REQUEST.changed(decoder=name)) for name in ("", "vocoder", "griffin-lim")}
    assert np.array_equal(clips[""].features, clips["griffin-lim"].features)
    assert np.array_equal(clips[""].wave, clips["vocoder"].wave)
    assert not np.array_equal(clips[""].wave, clips["griffin-lim"].wave)
    assert [clip.settings["decoder"] for clip in clips.values()] == ["vocoder", "vocoder", "griffin-lim"]
    assert clips["griffin-lim"].request == both.complete(REQUEST.changed(decoder="griffin-lim"))


def test_settings_from_before_there_was_a_choice_take_todays_default(both: Studio) -> None:
    settings = both.complete(REQUEST).to_dict()
    del settings["decoder"]
    assert clip_of(both, Request.from_dict(settings)).request.decoder == "vocoder"
    query = "&".join(part for part in both.complete(REQUEST).to_query().split("&") if "decoder" not in part)
    assert clip_of(both, Request.from_query(query)).request.decoder == "vocoder"


def test_beliefs_sound_through_the_decoder_of_the_clip(both: Studio) -> None:
    features = clip_of(both, REQUEST).features
    assert np.array_equal(both.sound(features), both.sound(features, decoder="vocoder"))
    assert not np.array_equal(both.sound(features), both.sound(features, decoder="griffin-lim"))


def test_without_a_vocoder_that_fits_there_is_griffin_lim(
    small_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_vocoder(tmp_path / "vocoder", replace(MelParameters(), floor=1e-4))
    monkeypatch.setattr(checkpoint, "CHECKPOINTS", tmp_path)
    alone = open_studio(small_checkpoint, "cpu")
    assert alone.options()["decoder"]["choices"] == ["griffin-lim"]
    assert clip_of(alone, REQUEST).request.decoder == "griffin-lim"
    with pytest.raises(ValueError, match="decoder: got 'vocoder', allowed griffin-lim"):
        alone.generate(REQUEST.changed(decoder="vocoder"))


def test_a_vocoder_is_not_taken_for_a_model(small_checkpoint: Path, tmp_path: Path) -> None:
    save_vocoder(tmp_path / "vocoder", MelParameters())
    with pytest.raises(ValueError, match="found none"):
        checkpoint.find_checkpoint(tmp_path)
    (tmp_path / "model").symlink_to(small_checkpoint)
    assert checkpoint.find_checkpoint(tmp_path) == tmp_path / "model"
    with pytest.raises(checkpoint.CheckpointError, match=r"config\.json"):
        checkpoint.load(tmp_path / "vocoder")
    with pytest.raises(checkpoint.CheckpointError, match=r"config\.json"):
        checkpoint.load_vocoder(small_checkpoint)
