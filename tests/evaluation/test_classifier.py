import json
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from diffusion.audio.codec import LogMelCodec
from diffusion.audio.mel import MelParameters
from diffusion.checkpoint import Configuration, find
from diffusion.data.dataset import Features
from diffusion.evaluation.augmentation import augment
from diffusion.evaluation.classifier import (
    CONFIG,
    NONE,
    PULSES,
    WEIGHTS,
    EarTraining,
    as_heard,
    hold_back,
    load_ear,
    recurrence,
    train_ear,
)
from diffusion.evaluation.clips import control, real
from diffusion.evaluation.controls import CONTROLS
from diffusion.evaluation.measures import accuracy

STORED = sorted(path.parent for path in Path(__file__).parent.glob(f"*/{CONFIG}"))
CHECKPOINTS = Path(__file__).parents[2] / "checkpoints"


def test_an_ear_learns_styles_and_ensembles_and_refuses_controls(small_ear, invented_data):
    recipe = real(Features(invented_data, "test"), 10, 64, 0)
    clips = recipe.make(range(40))
    result = accuracy(small_ear.judge(clips), recipe.style, recipe.ensemble)
    assert result.style.value >= 0.85
    assert result.ensemble.value >= 0.9
    for kind in CONTROLS.keys() - {"one clip repeated"}:  # each of which is music
        spoilt = accuracy(small_ear.judge(control(kind, recipe).make(range(40))), recipe.style, recipe.ensemble)
        assert spoilt.style.interval[1] < 0.7  # the whole interval
        assert spoilt.none.value > 0.5


def test_training_repeats_bit_for_bit_and_follows_its_seed(invented_data):
    features = Features(invented_data, "ear")

    def weights(seed):
        training = EarTraining(steps=3, batch=4, round_trips=2, iterations=1, seed=seed)
        ear, record = train_ear(features, frames=64, width=2, training=training)
        return torch.cat([each.flatten().float() for each in ear.state_dict().values()]), record

    (first, record), (again, same), (other, _) = weights(0), weights(0), weights(1)
    assert torch.equal(first, again)
    assert record == same
    assert not torch.equal(first, other)


def test_a_training_that_is_stopped_keeps_what_it_has_learned(invented_data):
    features, stop = Features(invented_data, "ear"), threading.Event()

    def until_the_second(steps):
        for step in steps:
            if step == 1:
                stop.set()
            yield step

    training = EarTraining(steps=50, batch=4, round_trips=2, iterations=1)
    ear, record = train_ear(features, frames=64, width=2, training=training, progress=until_the_second, stop=stop)
    assert [each["step"] for each in record["history"]] == [2]
    assert all(each.isfinite().all() for each in ear.state_dict().values())


def test_families_held_back_are_never_learned(invented_data):
    features = Features(invented_data, "ear")
    learn, stop = hold_back(features, 64, 0.2, seed=0)
    families = [
        {int(features.columns["family"][i]) for rows in part.rows.values() for i in rows} for part in (learn, stop)
    ]
    assert not families[0] & families[1]
    assert len(families[1]) == 4  # two of eight in each style
    assert learn.rows.keys() == {(s, e) for s in (1, 2) for e in (1, 2)}
    with pytest.raises(ValueError, match="lacks 161 frames"):
        hold_back(features, 161, 0.2, seed=0)


def test_an_ear_survives_its_folder(small_ear, ear_folder, invented_data):
    recipe = real(Features(invented_data, "test"), 2, 64, 0)
    clips = recipe.make(range(8))
    before, after = small_ear.judge(clips), load_ear(ear_folder).judge(clips)
    torch.testing.assert_close(after.style, before.style, atol=0.05, rtol=0.05)
    torch.testing.assert_close(after.ensemble, before.ensemble, atol=0.05, rtol=0.05)


def test_missing_and_damaged_ears_say_so(ear_folder, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file classifier\.json"):
        load_ear(tmp_path / "nowhere")
    for number, damage in enumerate(
        [
            lambda folder: (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-10]),
            lambda folder: (folder / CONFIG).write_bytes(b"{"),
            lambda folder: (folder / CONFIG).write_bytes(json.dumps({"format": 99}).encode()),
            lambda folder: (folder / CONFIG).write_bytes(
                (folder / CONFIG).read_bytes().replace(b'"width": 8', b'"width": 6')
            ),
        ]
    ):
        folder = shutil.copytree(ear_folder, tmp_path / str(number))
        damage(folder)
        with pytest.raises(ValueError, match="damaged or not one of ours"):
            load_ear(folder)


def test_an_ear_refuses_other_shapes(small_ear):
    with pytest.raises(ValueError, match=r"features: got shape \(2, 1, 64, 64\)"):
        small_ear.judge(torch.zeros(2, 1, 64, 64))


def test_augmentation_keeps_the_shape_and_the_bounds(invented_data):
    mel = MelParameters()
    clip = Features(invented_data, "ear").performance(0)
    rng = np.random.default_rng(0)
    made = [augment(clip, 64, rng, mel) for _ in range(30)]
    for each in made:
        assert each.shape == (1, 128, 64)
        assert each.min() >= mel.bounds[0]
        assert each.max() <= mel.bounds[1]
    assert not any(torch.equal(made[0], each) for each in made[1:])
    torch.testing.assert_close(
        augment(clip, 64, np.random.default_rng(3), mel), augment(clip, 64, np.random.default_rng(3), mel)
    )


def test_what_one_hears_is_close_to_what_was_made(invented_data):
    codec = LogMelCodec()
    clip = Features(invented_data, "test").performance(0)[None, ..., :64]
    heard = as_heard(clip, codec)
    assert heard.shape == clip.shape
    loud = clip > 0.3 * clip.max()
    offset = (heard - clip)[loud].median()  # the clip's gain
    assert (heard - clip - offset)[loud].abs().median() < 0.15


@pytest.mark.parametrize("folder", STORED, ids=lambda path: path.name)
def test_a_stored_ear_is_small_and_takes_silence_for_no_music(folder: Path) -> None:
    ear = load_ear(folder)
    assert ear.config.mel == MelParameters()
    assert sum(path.stat().st_size for path in folder.iterdir()) < 2 * 2**20
    silence = ear.judge(torch.full((1, 1, 128, ear.config.frames), MelParameters().bounds[0]))
    assert ear.config.answers[int(silence.style.argmax())] == NONE


@pytest.mark.parametrize("model", find(CHECKPOINTS, Configuration), ids=lambda path: path.name)
def test_every_shipped_model_has_an_ear_that_knows_its_labels(model: Path) -> None:
    labels = json.loads((model / "config.json").read_text(encoding="utf-8"))["labels"]
    known = [load_ear(folder).config for folder in STORED]
    assert (labels["style"], labels["ensemble"]) in [(list(each.styles), list(each.ensembles)) for each in known]


def clicks(period: int, strong: int) -> torch.Tensor:
    """Features (1, 1, 128, 640): an attack in every `period` frames, each `strong`-th of them louder."""
    clip = torch.full((1, 1, 128, 640), -1.5)
    for count, frame in enumerate(range(3, 640, period)):
        clip[..., frame : frame + 2] = 1.0 if count % strong == 0 else 0.0
    return clip


@pytest.mark.parametrize("period", [9, 11, 14])
@pytest.mark.parametrize("strong", [2, 3])
def test_recurrence_tells_threes_from_twos_at_any_tempo(period: int, strong: int) -> None:
    heard = recurrence(clicks(period, strong))[0].reshape(3, -1)
    by_pulse = heard[:, -PULSES:]  # of the pulses 1, 2, 3 ...
    for each in by_pulse:
        assert each[strong - 1] > each[[0, 1, 2, 3][4 - strong]] + 0.05
        best = each[: 2 * strong].argsort(descending=True)[:2] + 1
        assert sorted(best.tolist()) == [strong, 2 * strong]


def test_recurrence_does_not_depend_on_the_level_nor_on_silence() -> None:
    clip = clicks(11, 3)
    torch.testing.assert_close(recurrence(0.5 * clip), recurrence(clip), rtol=1e-4, atol=1e-4)
    assert bool(recurrence(torch.zeros(2, 1, 128, 640)).isfinite().all())
    assert recurrence(torch.zeros(2, 1, 128, 64)).shape == (2, recurrence(clip).shape[1])
