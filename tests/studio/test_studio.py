"""The studio: repeatable, stoppable, and the same for one visitor as for two at once."""

from __future__ import annotations

import io
import json
import shutil
import threading
from collections.abc import Iterable
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from diffusion import checkpoint
from diffusion.audio.wav import read_settings
from diffusion.checkpoint import CHECKPOINTS, CheckpointError, find_checkpoint
from diffusion.conditions import Conditions
from diffusion.engine import Clip, Preview
from diffusion.request import Request
from diffusion.samplers import SAMPLERS
from diffusion.studio import Studio, open_studio
from diffusion.theory import Cosine, SeededNoise, leap_grid

LABELS = {"style": "chorale", "ensemble": "piano"}


def request(**changes: Any) -> Request:
    return Request(LABELS, 5, steps=4, duration_s=2.56).changed(**changes)


def clip_of(steps: Iterable[Preview | Clip]) -> Clip:
    *previews, clip = steps
    assert isinstance(clip, Clip)
    assert all(isinstance(each, Preview) for each in previews)
    return clip


def test_a_run_shows_its_noise_then_every_step_then_the_clip(studio: Studio) -> None:
    *previews, clip = studio.generate(request())
    assert [each.index for each in previews] == [0, 1, 2, 3, 4]
    noise = SeededNoise([5])(0, torch.empty(1, 1, 128, 160))
    np.testing.assert_array_equal(previews[0].x, noise[0])
    assert previews[0].x0 is None
    assert [each.t for each in previews] == pytest.approx(leap_grid(Cosine(), 4).tolist())
    evenly = clip_of(studio.generate(request(grid="uniform")))
    assert not np.array_equal(evenly.features, previews[-1].x)
    assert all(a.log_snr < b.log_snr for a, b in pairwise(previews))
    assert [each.evaluations for each in previews] == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(previews[-1].x, previews[-1].x0)
    assert isinstance(clip, Clip)
    np.testing.assert_array_equal(clip.features, previews[-1].x)
    assert clip.wave.shape == (81920,)
    assert clip.wave.dtype == np.float32
    assert 0.05 < np.abs(clip.wave).max() < 1
    low, high = studio.codec.bounds
    assert clip.features.shape == (1, 128, 160)
    assert low <= clip.features.min() < clip.features.max() <= high


def test_the_same_request_gives_the_same_file(studio: Studio, small_checkpoint: Path) -> None:
    first = clip_of(studio.generate(request())).to_wav()
    assert clip_of(studio.generate(request())).to_wav() == first
    assert clip_of(open_studio(small_checkpoint, "cpu").generate(request())).to_wav() == first
    assert clip_of(studio.generate(request(seed=6))).to_wav() != first


@pytest.mark.parametrize(
    "change",
    [
        {"style": "fiddle"},
        {"ensemble": "any"},
        {"mode": "minor"},
        {"tempo": "slow"},
        {"key": "F#"},
        {"beat": "82"},
        {"guidance_scale": 4.0},
        {"grid": "karras"},
        {"guidance_rule": "projected"},
        {"guidance_from": 0.0},
        {"steps": 5},
        {"sampler": "ddim"},
    ],
    ids=str,
)
def test_every_setting_is_heard(studio: Studio, change: dict[str, Any]) -> None:
    before, after = (clip_of(studio.generate(each)).features for each in (request(), request(**change)))
    assert np.abs(before - after).mean() > 1e-4


def test_the_network_hears_the_pulse_of_the_beat(studio: Studio, small_checkpoint: Path, tmp_path: Path) -> None:
    """Deaf to the pulse, it makes another clip of the same beat."""
    loaded = checkpoint.load(small_checkpoint)
    loaded.network.get_parameter("pulse.weight").zero_()
    checkpoint.save(tmp_path, loaded.configuration, loaded.network.state_dict(), torch.float32)
    heard = {
        name: [clip_of(each.generate(request(beat=beat))).features for beat in ("any", "82")]
        for name, each in (("pulse", studio), ("deaf", open_studio(tmp_path, "cpu")))
    }
    np.testing.assert_array_equal(heard["pulse"][0], heard["deaf"][0])  # no beat, no pulse
    assert np.abs(heard["pulse"][1] - heard["deaf"][1]).mean() > 1e-4


def test_music_that_ends_falls_silent_and_music_that_goes_on_is_as_if_nothing_had_been_said(studio: Studio) -> None:
    said_nothing, goes_on, ends = (
        clip_of(studio.generate(request(duration_s=5.12, ending=ending))) for ending in ("any", "goes_on", "ends")
    )
    np.testing.assert_array_equal(goes_on.features, said_nothing.features)
    high = Conditions.of(studio.engine.model.configuration, [ends.request], 320).ceiling
    assert high is not None
    assert (ends.features <= high[0].numpy()).all()
    assert (goes_on.features > high[0].numpy()).any()
    assert (ends.settings["ending"], goes_on.settings["ending"]) == ("ends", "goes_on")


def test_a_finished_clip_has_the_texture_that_its_last_mean_lacks_and_a_stopped_one_is_as_believed(
    small_checkpoint: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(small_checkpoint, tmp_path / "model"))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    texture = {"deviation": 0.1, "frames": [1.0, 0.4], "bands": [1.0, 0.2]}
    (folder / "config.json").write_text(json.dumps(config | {"texture": texture}), encoding="utf-8")
    textured = open_studio(folder, "cpu")
    *_, last, clip = textured.generate(request())
    assert isinstance(last, Preview)
    uneven = clip.features - last.x
    assert uneven.std() > 0.01
    assert (uneven == 0).mean() > 0.2  # the partials
    assert clip_of(textured.generate(request())).to_wav() == clip.to_wav()

    stop = threading.Event()
    for each in textured.generate(request(sampler="dpmpp-2m"), stop):
        if isinstance(each, Clip):
            np.testing.assert_array_equal(each.features, last.x0)
        else:
            last = each
            if each.index == 3:
                stop.set()


def test_an_open_label_is_as_if_it_had_not_been_asked_for(studio: Studio) -> None:
    clip = clip_of(studio.generate(request()))
    assert clip_of(studio.generate(request(mode="any", tempo="any"))).to_wav() == clip.to_wav()
    assert (clip.settings["mode"], clip.settings["tempo"]) == ("any", "any")  # settings say every label of the model


def test_what_is_left_open_is_drawn_as_the_music_has_it(small_checkpoint: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(small_checkpoint, tmp_path / "model"))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["prior"] = [{"labels": ["style", "mode"], "counts": [[0, 7], [7, 0]]}]  # chorales are in minor
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    studio = open_studio(folder, "cpu")
    left_open, minor, major = (clip_of(studio.generate(request(mode=mode))) for mode in ("any", "minor", "major"))
    np.testing.assert_array_equal(left_open.features, minor.features)
    assert np.abs(left_open.features - major.features).mean() > 1e-4
    assert left_open.settings["mode"] == "any"  # the seed decides again, for whoever opens the file
    assert left_open.settings["drawn"] == {"mode": "minor"}
    assert "drawn" not in minor.settings
    assert left_open.request == request(model=studio.digest, decoder=studio.decoder)


def test_a_model_without_a_label_knows_only_any_and_its_files_do_not_say_it(plain_checkpoint: Path) -> None:
    plain = open_studio(plain_checkpoint, "cpu")
    with pytest.raises(ValueError, match=r"mode: got 'minor', allowed any$"):
        plain.generate(request(mode="minor"))
    with pytest.raises(ValueError, match=r"tempo: got 'fast', allowed any$"):
        plain.request(tempo="fast")
    options = plain.options()
    assert options["mode"]["choices"] == options["tempo"]["choices"] == ["any"]
    clip = clip_of(plain.generate(request(mode="any")))
    assert not {"mode", "tempo"} & clip.settings.keys()


def test_guidance_without_labels_asks_for_nothing(studio: Studio) -> None:
    free = [
        clip_of(studio.generate(request(style="any", ensemble="any", guidance_scale=scale))) for scale in (1.0, 9.0)
    ]
    np.testing.assert_array_equal(free[0].features, free[1].features)


def test_two_interleaved_runs_equal_two_separate_ones(studio: Studio) -> None:
    requests = [request(sampler="ddpm", steps=6), request(sampler="dpmpp-2m", seed=9, style="fiddle")]
    apart = [clip_of(studio.generate(each)) for each in requests]
    ends: list[Clip | None] = [None, None]
    for pair in zip_longest(*(studio.generate(each) for each in requests)):
        ends = [new if isinstance(new, Clip) else old for new, old in zip(pair, ends, strict=True)]
    for end, alone in zip(ends, apart, strict=True):
        assert end is not None
        assert end.to_wav() == alone.to_wav()


def test_runs_in_many_threads_equal_separate_ones(studio: Studio) -> None:
    requests = [request(seed=seed, steps=6) for seed in range(4)]
    apart = [clip_of(studio.generate(each)).to_wav() for each in requests]
    together: dict[int, bytes] = {}
    threads = [
        threading.Thread(target=lambda i=i: together.update({i: clip_of(studio.generate(requests[i])).to_wav()}))
        for i in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[i] for i in range(4)] == apart


@pytest.mark.parametrize("sampler", list(SAMPLERS))
def test_stopping_keeps_the_last_belief(studio: Studio, sampler: str) -> None:
    stop = threading.Event()
    shown, clip = [], None
    for each in studio.generate(request(sampler=sampler, steps=50), stop):
        if isinstance(each, Clip):
            clip = each
        else:
            shown.append(each)
            if each.index == 3:
                stop.set()
    assert clip is not None
    assert clip.settings["stopped_at"] == 3
    assert clip.settings["evaluations"] == shown[-1].evaluations  # not one more
    assert len(shown) == 4
    assert np.isfinite(clip.wave).all()
    if sampler == "dpmpp-2m":  # one evaluation a step
        np.testing.assert_array_equal(clip.features, shown[-1].x0)


def test_stopping_before_the_first_look_still_gives_a_clip(studio: Studio) -> None:
    stop = threading.Event()
    stop.set()
    clip = clip_of(studio.generate(request(), stop))
    assert clip.settings["evaluations"] == 1
    assert clip.settings["stopped_at"] == 1


def test_a_closed_run_leaves_nothing_behind(studio: Studio) -> None:
    before = torch.random.get_rng_state()
    run = studio.generate(request(sampler="ddpm"))
    next(run), next(run), next(run)
    run.close()
    assert torch.is_grad_enabled()
    assert torch.equal(torch.random.get_rng_state(), before)
    clip_of(studio.generate(request(steps=1)))  # nobody holds the turn


def test_the_file_carries_settings_that_make_it_again(studio: Studio, tmp_path: Path) -> None:
    clip = clip_of(studio.generate(request(sampler="ddim", knobs={"eta": 0.5})))
    path = tmp_path / "clip.wav"
    path.write_bytes(clip.to_wav())
    settings = read_settings(path)
    assert settings == json.loads(json.dumps(clip.settings))
    assert settings["seed"] == 5
    assert settings["knobs"] == {"eta": 0.5}
    assert settings["model"] == studio.digest
    assert settings["evaluations"] == 4
    assert settings["stopped_at"] is None
    assert settings["version"]
    assert clip_of(studio.generate(Request.from_dict(settings))).to_wav() == path.read_bytes()
    assert soundfile.info(io.BytesIO(clip.to_wav())).samplerate == 32_000


@pytest.mark.parametrize("seconds", [2.56, 5.12, 3.328, 20.48])
def test_a_clip_is_as_long_as_asked(studio: Studio, seconds: float) -> None:
    clip = clip_of(studio.generate(request(steps=1, duration_s=seconds)))
    assert len(clip.wave) == round(seconds * 32_000)


def test_bad_checkpoints_are_one_clear_error(small_checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"config\.json"):
        open_studio(tmp_path / "nowhere", "cpu")
    cut = shutil.copytree(small_checkpoint, tmp_path / "cut")
    (cut / "model.safetensors").write_bytes((cut / "model.safetensors").read_bytes()[:5000])
    with pytest.raises(CheckpointError, match="truncated"):
        open_studio(cut, "cpu")
    foreign = shutil.copytree(small_checkpoint, tmp_path / "foreign")
    (foreign / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
    with pytest.raises(CheckpointError, match="model_type"):
        open_studio(foreign, "cpu")
    unlabelled = shutil.copytree(small_checkpoint, tmp_path / "unlabelled")
    settings = json.loads((unlabelled / "config.json").read_text(encoding="utf-8"))
    settings["labels"] = {"genre": ["rock"]}
    (unlabelled / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    with pytest.raises(CheckpointError):
        open_studio(unlabelled, "cpu")


def test_a_device_that_is_not_there_is_refused(small_checkpoint: Path) -> None:
    with pytest.raises(ValueError, match="device: got 'tpu', allowed auto, cpu, cuda"):
        open_studio(small_checkpoint, "tpu")


def test_the_checkpoint_is_found_where_there_is_one(small_checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="found none"):
        find_checkpoint(tmp_path)
    shutil.copytree(small_checkpoint, tmp_path / "one")
    assert find_checkpoint(tmp_path) == tmp_path / "one"
    shutil.copytree(small_checkpoint, tmp_path / "two")
    with pytest.raises(ValueError, match="one, two"):
        find_checkpoint(tmp_path)


@pytest.mark.skipif(not any(CHECKPOINTS.glob("*/config.json")), reason="no checkpoint ships yet")
def test_the_shipped_model_makes_music_out_of_noise() -> None:
    """Notes hold: neighbouring frames of what the model made are far more alike than those of its noise."""
    studio = open_studio(find_checkpoint(), "cpu")
    *previews, clip = studio.generate(studio.request(seed=1, steps=8, duration_s=2.56))
    first = previews[0]
    assert isinstance(first, Preview)
    assert isinstance(clip, Clip)

    def likeness(features: np.ndarray) -> float:
        centred = features - features.mean(axis=-1, keepdims=True)
        return float((centred[..., 1:] * centred[..., :-1]).sum() / (centred**2).sum())

    assert likeness(first.x) < 0.1
    assert likeness(clip.features) > 0.6


def test_a_choice_that_the_model_cannot_follow_is_neither_offered_nor_taken(studio: Studio) -> None:
    assert studio.options()["knobs"]["ddpm"]["variance"]["choices"] == ["beta", "beta-tilde"]
    with pytest.raises(ValueError, match="variance: got 'learned', allowed beta, beta-tilde"):
        studio.request(sampler="ddpm", knobs={"variance": "learned"})


@pytest.mark.parametrize("name", ["steps", "guidance_scale", "guidance_from", "duration_s"])
def test_a_number_that_was_left_empty_is_refused(studio: Studio, name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: got nothing, allowed "):
        studio.request(**{name: None})


@pytest.mark.parametrize(("asked", "made"), [(3, 3.008), (2.57, 2.56), (2.6, 2.624), (40.9, 40.896), (5.12, 5.12)])
def test_a_length_off_the_raster_is_rounded_and_said(studio: Studio, asked: float, made: float) -> None:
    whole = studio.request(duration_s=asked)
    assert whole.duration_s == made
    said = f"duration_s: got {asked:g}, rounded to {made:g}, a multiple of 0.064"
    assert studio.rounding(asked, whole) == ("" if asked == made else said)
    assert studio.rounding(None, whole) == ""
    clip = clip_of(studio.generate(request(steps=1, duration_s=asked)))
    assert clip.settings["duration_s"] == made
    assert len(clip.wave) == round(made * 32_000)
