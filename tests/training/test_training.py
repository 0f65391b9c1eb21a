"""Training on a few synthetic notes: it learns, stops, resumes bit for bit, and says what is wrong."""

import argparse
import json
import math
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from diffusion.audio.mel import MelParameters
from diffusion.checkpoint import load, save
from diffusion.codecs import BELIEF, LogMel
from diffusion.compose import compose
from diffusion.conditions import told
from diffusion.data.dataset import VERSION, Features
from diffusion.data.prior import prominences
from diffusion.denoisers import LEARNED_VARIANCES, InFormat
from diffusion.networks.precision import fast_dtype
from diffusion.request import Request
from diffusion.theory import SCHEDULES, LinearBetas, Shifted, schedule_from
from diffusion.training.command import add_arguments
from diffusion.training.command import configuration as command_configuration
from diffusion.training.config import SCHEDULE_NAMES, TrainingConfig
from diffusion.training.loop import describe, draw, objective_of, train, validate
from diffusion.training.sheet import write_sheet

TINY = {
    "batch": 4, "frames": 16, "clip_frames": 32, "width": 32, "depth": 2, "heads": 2, "hidden": 64,
    "warmup_steps": 5, "log_steps": 5, "save_minutes": 1e9,
}  # fmt: skip


def write_features(folder: Path, split: str) -> None:
    """Two styles on two ensembles: held or repeated notes, with or without overtones."""
    rng = np.random.default_rng(len(split))
    mels, rows = [], []
    for style in (1, 2):
        for ensemble in (1, 2):
            mel = torch.full((200, 128), -1.5)
            for onset in range(0, 200, 10 * style):
                note = int(rng.integers(20, 60))
                mel[onset : onset + 8 * style, note] = 0.5
                if ensemble == 2:
                    mel[onset : onset + 8 * style, note + 24] = 0.2
            mels.append(mel.half())
            rows.append((style, ensemble))
    n = len(rows)
    tensors = {
        "mel": torch.cat(mels),
        "start": torch.arange(n) * 200,
        "frames": torch.full((n,), 200),
        "style": torch.tensor([r[0] for r in rows]),
        "ensemble": torch.tensor([r[1] for r in rows]),
        "mode": torch.arange(n) % 2 + 1,
        "tempo": torch.arange(n) % 3 + 1,
        "key": torch.arange(n) % 2 + 1,
        "beat": torch.arange(n) % 2 + 1,
        "piece": torch.arange(n),
        "family": torch.arange(n),
        "transpose": torch.zeros(n, dtype=torch.long),
        "beat_frames": torch.full((n,), 41.0),
        "beat_at": torch.arange(n).double(),
    }
    codec = {"bands": 128, "sample_rate_hz": 32000, "hop_size": 512}
    labels = {
        "style": ["slow", "fast"],
        "ensemble": ["bare", "rich"],
        "mode": ["major", "minor"],
        "tempo": ["slow", "medium", "fast"],
        "key": ["C", "D"],
        "beat": ["60", "90"],
    }
    settings = {"version": VERSION, "codec": codec, "labels": labels}
    (folder / split).mkdir(parents=True)
    save_file(tensors, folder / split / "00000.safetensors", metadata={"settings": json.dumps(settings)})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("features")
    write_features(folder, "train")
    write_features(folder, "test")
    return folder


def records(out: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text(encoding="utf-8").splitlines()]


def test_it_learns(data: Path, tmp_path: Path) -> None:
    train(TrainingConfig(steps=60, **TINY), data, tmp_path)
    losses = [record["loss"] for record in records(tmp_path) if "loss" in record]
    assert losses[-1] < 0.6 * losses[0]
    test = Features(data, "test")
    configuration = load(tmp_path).configuration
    trained = validate(configuration, load(tmp_path).network, test, clips=8)["held_out_error"]
    fresh = validate(configuration, configuration.build(), test, clips=8)["held_out_error"]
    for sigma in ("0.47", "0.86", "0.98"):
        assert trained[sigma] < 0.8 * fresh[sigma]


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(data: Path, tmp_path: Path, optimizer: str) -> None:
    # decay_fraction 0: the length of a run decides the decay, and the two halves are runs of different lengths
    settings = {**TINY, "optimizer": optimizer, "decay_fraction": 0.0}
    train(TrainingConfig(steps=12, **settings), data, tmp_path / "whole")
    train(TrainingConfig(steps=7, **settings), data, tmp_path / "halves")
    train(TrainingConfig(steps=12, **settings), data, tmp_path / "halves")
    whole, halves = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "halves"))
    for name, tensor in whole.items():
        assert torch.equal(tensor, halves[name]), name
    states = [torch.load(tmp_path / name / "state.pt", weights_only=True) for name in ("whole", "halves")]
    for name, tensor in states[0]["network"].items():
        assert torch.equal(tensor, states[1]["network"][name]), name


def test_a_gain_moves_every_clip_by_its_own_level(data: Path) -> None:
    features = Features(data, "train")
    plain, moved = (draw(features, TrainingConfig(steps=1, gain_db=g, **TINY), 0, 0)[0] for g in (0.0, 6.0))
    floor = MelParameters().bounds[0]
    away = (moved - plain).masked_fill((plain <= floor) | (moved <= floor), 0.0).flatten(1)
    level = away.abs().max(1).values * MelParameters.scale * 20 / math.log(10)
    assert bool((level > 0).all())
    assert bool((level <= 6 + 1e-4).all())
    assert len(level.unique()) == len(level)


def test_a_pulse_is_learned_from_music_that_has_one(data: Path, tmp_path: Path) -> None:
    train(TrainingConfig(steps=2, pulse=3, **TINY), data, tmp_path)
    loaded = load(tmp_path)
    assert loaded.network.get_parameter("pulse.weight").abs().max() > 0
    cond = told(loaded.configuration, [{"style": 1, "beat": 2}, {}], [5, 6])
    assert cond["style"].tolist() == [1, 0]
    torch.testing.assert_close(cond["pulse"][:, 0], torch.tensor([90 / 60 / 62.5, 0.0]))
    assert 0 <= cond["pulse"][0, 1] < 1
    torch.testing.assert_close(told(loaded.configuration, [{"beat": 2}], [5])["pulse"], cond["pulse"][:1])
    features = Features(data, "train")
    features.columns["beat_frames"][:] = 0
    describe(TrainingConfig(steps=2, pulse=3, **TINY), features)  # recordings: nothing is told, and nothing forgotten
    features.settings["sources"] = [{"name": "a collection of scores"}]
    with pytest.raises(ValueError, match="pulse: got 3, but the data were made before they said where beats are"):
        describe(TrainingConfig(steps=2, pulse=3, **TINY), features)


def test_ensembles_that_are_not_in_the_data_keep_their_prominences(data: Path) -> None:
    features = Features(data, "train")
    config = TrainingConfig(steps=2, **TINY)
    alone = describe(config, features)
    assert alone.prominences == prominences(features, config.clip_frames)
    known, unheard = (features.settings["labels"]["ensemble"][i] for i in (0, -1))
    features.columns["ensemble"][features.columns["ensemble"] == len(features.settings["labels"]["ensemble"])] = 0
    source = replace(alone, prominences={"any": [1.0], known: [7.0], unheard: [8.0]})
    after = describe(config, features, source).prominences
    assert after[unheard] == [8.0]
    assert after[known] == alone.prominences[known]
    assert after["any"] == alone.prominences["any"]


@pytest.mark.parametrize("k", [0.5, 1.0, 2.0])
def test_emphasis_draws_noisy_times_more_often(data: Path, k: float) -> None:
    features, config = Features(data, "train"), TrainingConfig(steps=1, noise_emphasis=k, **TINY)
    t = torch.cat([draw(features, config, step, 0)[1] for step in range(200)])
    assert bool(((t > 0) & (t <= 1)).all())
    # Kolmogorov-Smirnov at one in a million, if all were independent: a batch covers its range evenly
    assert ((t.sort().values ** k) - torch.arange(1, len(t) + 1) / len(t)).abs().max() < 2.7 / len(t) ** 0.5


def test_features_in_memory_give_the_same_batches(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data, tmp_path, dirs_exist_ok=True)
    write_features(tmp_path / "more", "train-again")
    shutil.copy(tmp_path / "more/train-again/00000.safetensors", tmp_path / "train/00001.safetensors")
    features, config = Features(tmp_path, "train"), TrainingConfig(steps=1, **TINY)
    near = features.in_memory(torch.device("cpu"))
    assert (len(features.mels), len(near.mels)) == (2, 1)
    for step in range(6):
        for one, other in zip(draw(features, config, step, 0), draw(near, config, step, 0), strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=0)
    for index in range(len(features)):
        assert torch.equal(features.performance(index), near.performance(index))


def test_features_that_come_later_are_learned_from(data: Path, tmp_path: Path) -> None:
    def more(record: dict[str, object]) -> None:
        shutil.copy(data / "train/00000.safetensors", tmp_path / "data/train/00001.safetensors")

    shutil.copytree(data, tmp_path / "data")
    train(TrainingConfig(steps=10, **TINY), tmp_path / "data", tmp_path / "run", report=more)
    train(TrainingConfig(steps=10, **TINY), data, tmp_path / "alone")
    grown, alone = (np.array(load(tmp_path / name).configuration.prior[0]["counts"]) for name in ("run", "alone"))
    assert alone.sum() > 0
    np.testing.assert_array_equal(grown, 2 * alone)


def test_two_processes_train_one_model(data: Path, tmp_path: Path) -> None:
    options = [f"--{name.replace('_', '-')}={value}" for name, value in {**TINY, "minutes": 0.02}.items()]
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes=2", "--num_machines=1"]
    command = [*launch, "--mixed_precision=no", "--dynamo_backend=no", "--main_process_port=0", "-m", "diffusion"]
    result = subprocess.run(
        [*command, "train", f"--data={data}", f"--out={tmp_path}", *options], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    logged = [record["step"] for record in records(tmp_path) if "loss" in record]
    assert logged == list(range(5, 5 * len(logged) + 1, 5))  # one process writes the log
    assert load(tmp_path).configuration.frames == TINY["clip_frames"]


def test_every_save_leaves_a_sheet(data: Path, tmp_path: Path) -> None:
    from matplotlib import image

    train(TrainingConfig(steps=2, **TINY), data, tmp_path)
    assert image.imread(tmp_path / "sheet-0000002.png").shape == (128 + 4, 2 * (32 + 4), 3)


def test_a_sheet_shows_what_the_page_would_compose(data: Path, tmp_path: Path) -> None:
    """At the default settings, with the values of both labels in turn and the clip's number as its seed."""
    from matplotlib import image

    train(TrainingConfig(steps=2, **TINY), data, tmp_path)
    made, device = load(tmp_path), torch.device("cpu")
    write_sheet(tmp_path / "again.png", made.configuration, made.network)
    labels = [{"style": "slow", "ensemble": "bare"}, {"style": "fast", "ensemble": "rich"}]
    requests = [Request(each, seed, duration_s=None) for seed, each in enumerate(labels)]
    *_, last = compose(InFormat(made.denoiser, device, fast_dtype(device)), made.configuration, requests)
    codec = made.configuration.features
    shown = image.imread(tmp_path / "again.png")
    for column, clip in enumerate(last.features.float().numpy()):
        expected = codec.picture(clip, codec.limits(*BELIEF))
        np.testing.assert_array_equal((shown[:128, 36 * column : 36 * column + 32] * 255).round(), expected)


def test_a_checkpoint_names_its_codec(data: Path) -> None:
    configuration = describe(TrainingConfig(steps=1, **TINY), Features(data, "train"))
    assert configuration.codec["name"] == "log-mel"
    assert configuration.features == LogMel()


@pytest.mark.parametrize("name", SCHEDULE_NAMES)
@pytest.mark.parametrize("shift", [0.0, -1.0])
def test_every_schedule_can_be_named_and_shifted(data: Path, name: str, shift: float) -> None:
    config = TrainingConfig(steps=1, **{**TINY, "schedule": name, "shift": shift})
    configuration = describe(config, Features(data, "train"))
    t = torch.linspace(0.1, 0.9, 9, dtype=torch.float64)
    torch.testing.assert_close(
        schedule_from(configuration.schedule).log_snr(t), Shifted(SCHEDULES[name](), shift).log_snr(t)
    )


@pytest.mark.parametrize("prediction", sorted(LEARNED_VARIANCES))
def test_a_learned_variance_is_learned(data: Path, prediction: str) -> None:
    """What says the variance has a gradient, and what says the mean has the one that it has without a bound."""
    config = TrainingConfig(steps=1, prediction=prediction, **TINY)
    features = Features(data, "train")
    configuration = describe(config, features)
    x0, t, eps, cond = draw(features, config, 0, 0)

    def said(x_t: torch.Tensor, log_snr: torch.Tensor, cond: Any) -> torch.Tensor:
        return output

    parts = 3 if prediction == "moments-spread" else 2
    output = torch.zeros(len(x0), parts, *x0.shape[2:], requires_grad=True)
    objective_of(config, configuration.features)(configuration.denoiser(said), x0, t, eps, cond).mean().backward()
    assert output.grad is not None
    per_part = output.grad.abs().amax(dim=(0, 2, 3))
    assert bool((per_part > 1e-8).all()), per_part


def test_a_chain_of_a_hundred_steps_can_be_asked_for(data: Path) -> None:
    """The documents' own: T = 100 with betas from 1e-4 to 2e-2; and a state from before there was a choice goes on."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    chain = ["--schedule", "linear", "--chain-steps", "100", "--first-beta", "1e-4", "--last-beta", "2e-2"]
    words = [*chain, "--out", "there", "--steps", "1"]
    config = command_configuration(parser.parse_args(words))
    configuration = describe(config, Features(data, "train"))
    assert schedule_from(configuration.schedule) == LinearBetas(100, 1e-4, 2e-2)
    assert schedule_from(configuration.schedule).terminal_snr > 0.5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"schedule": "cosine", "chain_steps": 100}, "chain_steps: got 100, but the schedule cosine has none"),
        ({"schedule": "constant", "last_beta": 0.1}, "last_beta: got 0.1, .* has chain_steps, first_beta"),
        ({"schedule": "linear", "last_beta": 2.0}, "schedule: last: got 2.0, allowed strictly between 0 and 1"),
    ],
)
def test_a_chain_that_a_schedule_does_not_have_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainingConfig(steps=1, **{**TINY, **settings})


def test_a_state_from_before_there_was_a_chain_to_choose_goes_on(data: Path, tmp_path: Path) -> None:
    train(TrainingConfig(steps=1, **TINY), data, tmp_path)
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    del state["config"]["chain_steps"]
    torch.save(state, tmp_path / "state.pt")
    train(TrainingConfig(steps=2, **TINY), data, tmp_path)
    assert records(tmp_path)


def test_recordings_keep_the_schedule_of_the_model_that_they_refine(small_checkpoint: Path, tmp_path: Path) -> None:
    made = load(small_checkpoint)
    shifted = {"name": "shifted", "inner": {"name": "rectified-flow"}, "shift": -1.0}
    schedules = [
        {"name": "cosine"},
        {"name": "cosine", "shift": 0.5},
        {"name": "linear"},
        shifted,
        {"name": "constant", "beta": 0.1},
    ]
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    for number, schedule in enumerate(schedules):
        configuration = replace(made.configuration, schedule=schedule)
        save(tmp_path / str(number), configuration, made.network.state_dict(), torch.float32)
        words = ["--audio", "here", "--out", "there", "--init", str(tmp_path / str(number)), "--steps", "1"]
        found = command_configuration(parser.parse_args(words))
        assert schedule_from(found.schedule_settings) == schedule_from(schedule)


def test_the_command_says_what_each_schedule_is() -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    said = " ".join(parser.format_help().split())
    for name in SCHEDULE_NAMES:
        assert f"{name}: {SCHEDULES[name].summary}" in said
    assert SCHEDULES["shifted"].summary in said


def test_a_schedule_that_does_not_end_in_noise_is_said_in_one_line(data: Path, tmp_path: Path) -> None:
    train(TrainingConfig(steps=5, **{**TINY, "schedule": "quadratic"}), data, tmp_path / "short")
    train(TrainingConfig(steps=5, **TINY), data, tmp_path / "whole")
    said = [record["warning"] for record in records(tmp_path / "short") if "warning" in record]
    assert said == [SCHEDULES["quadratic"]().warning]
    assert not any("warning" in record for record in records(tmp_path / "whole"))


@pytest.mark.parametrize("prediction", ["x0", "v", "eps-mix"])
def test_what_the_network_predicts_is_a_setting(data: Path, tmp_path: Path, prediction: str) -> None:
    train(TrainingConfig(steps=2, prediction=prediction, **TINY), data, tmp_path)
    assert load(tmp_path).configuration.prediction == prediction


def test_a_finished_run_is_left_as_it_is(data: Path, tmp_path: Path) -> None:
    config = TrainingConfig(steps=3, **TINY)
    train(config, data, tmp_path)
    before = (tmp_path / "model.safetensors").read_bytes()
    train(config, data, tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() == before


def test_a_state_of_another_configuration_is_refused(data: Path, tmp_path: Path) -> None:
    train(TrainingConfig(steps=2, **TINY), data, tmp_path)
    with pytest.raises(ValueError, match=r"lr: saved 0.001, now 0.002"):
        train(TrainingConfig(steps=4, lr=2e-3, **TINY), data, tmp_path)


def test_warm_start_begins_with_the_weights_of_the_checkpoint(data: Path, tmp_path: Path) -> None:
    train(TrainingConfig(steps=20, **TINY), data, tmp_path / "first")
    weights = load(tmp_path / "first").network.state_dict()
    frozen = TrainingConfig(steps=1, lr=1e-12, seed=5, **TINY)
    train(frozen, data, tmp_path / "second", init=tmp_path / "first")
    for name, tensor in load(tmp_path / "second").network.state_dict().items():
        torch.testing.assert_close(tensor, weights[name], rtol=0.01, atol=1e-6)


def test_a_batch_depends_on_its_step_alone(data: Path) -> None:
    features, config = Features(data, "train"), TrainingConfig(steps=1, **TINY)
    once, again, other = draw(features, config, 3, 0), draw(features, config, 3, 0), draw(features, config, 4, 0)
    for first, second in zip(once[:3], again[:3], strict=True):
        assert torch.equal(first, second)
    assert once[1].shape != other[1].shape or not torch.equal(once[1], other[1])


def test_labels_are_dropped_apart_and_together(data: Path) -> None:
    features, config = Features(data, "train"), TrainingConfig(steps=1, label_dropout=0.3, **{**TINY, "batch": 400})
    cond = draw(features, config, 0, 0)[3]
    assert list(cond) == ["style", "ensemble", "mode", "tempo", "key", "beat", "pulse"]
    pulse = cond.pop("pulse")
    told = pulse[:, 0] > 0
    assert abs(told.float().mean() - 0.49) < 0.12
    assert not pulse[~told].any()
    torch.testing.assert_close(pulse[told, 0], torch.full((int(told.sum()),), 1 / 41))
    style, ensemble = cond["style"] == 0, cond["ensemble"] == 0
    # p = 0.3 together or 0.3 alone: either 0.51, both 0.3 + 0.7 * 0.09 = 0.363
    assert abs(style.float().mean() - 0.51) < 0.12
    assert abs((style & ensemble).float().mean() - 0.363) < 0.12
    assert (style ^ ensemble).any()
    dropped = torch.stack([label == 0 for label in cond.values()]).float().mean(1)
    torch.testing.assert_close(dropped, torch.full((6,), 0.51), atol=0.12, rtol=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "steps, minutes: got 0"),
        ({"steps": 1, "batch": 0}, "batch: got 0"),
        ({"steps": 1, "frames": 6}, "frames: got 6, need a multiple"),
        ({"steps": 1, "label_dropout": 1.5}, "label_dropout: got 1.5"),
        ({"steps": 1, "optimizer": "sgd"}, "optimizer: got 'sgd'"),
        ({"steps": 1, "schedule": "shifted"}, "schedule: got 'shifted', allowed cosine, linear, .*; shift moves any"),
        ({"steps": 1, "learning_rate": 1}, "unknown settings learning_rate"),
    ],
)
def test_bad_settings_are_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainingConfig.from_dict(settings)


def test_training_from_features_needs_none_of_what_made_them(data: Path, tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "for name in ('gradio', 'PIL', 'librosa', 'matplotlib', 'music21', 'tinysoundfont', 'soundfile'):\n"
        "    sys.modules[name] = None\n"
        "from diffusion.cli import main\n"
        "main(sys.argv[1:])\n"
    )
    options = [f"--{name.replace('_', '-')}={value}" for name, value in {**TINY, "steps": 2}.items()]
    command = [sys.executable, "-c", script, "train", f"--data={data}", f"--out={tmp_path / 'run'}", *options]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert load(tmp_path / "run").configuration.labels["style"] == ["slow", "fast"]


def test_the_command_names_what_is_missing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "diffusion", "train", "--steps=1", f"--data={tmp_path}", f"--out={tmp_path}"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode != 0
    assert result.stderr.startswith("error: no features in")
    assert result.stderr.count("\n") == 1
