"""`train --audio`: real recordings refine a checkpoint or make a new one, and the studio plays what comes out."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from diffusion.checkpoint import load
from diffusion.cli import main
from diffusion.engine import Clip
from diffusion.studio import open_studio

REAL = Path(__file__).parent.parent / "data" / "recordings"
QUICK = {"batch": 4, "frames": 64, "clip_frames": 128, "warmup_steps": 2, "log_steps": 4, "save_minutes": 1e9}
SMALL = {"width": 32, "depth": 1, "heads": 2, "hidden": 64}


def train(audio: Path, out: Path, *words: str, **settings: object) -> None:
    options = [f"--{name.replace('_', '-')}={value}" for name, value in {**QUICK, **settings}.items()]
    main(["train", f"--audio={audio}", f"--out={out}", "--cpu", *options, *words])


def play(folder: Path, **wishes: object) -> Clip:
    """A short clip of the checkpoint in a folder, through the same door as the page."""
    studio = open_studio(folder, "cpu")
    request = studio.request(steps=2, seed=1, duration_s=2.56, decoder="griffin-lim", **wishes)
    *_, clip = studio.generate(request)
    assert isinstance(clip, Clip)
    assert np.isfinite(clip.wave).all()
    return clip


def records(out: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text(encoding="utf-8").splitlines()]


def test_real_recordings_refine_a_checkpoint(
    small_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mine"
    train(REAL, out, f"--init={small_checkpoint}", steps=8)
    start, ours = load(small_checkpoint).configuration, load(out).configuration
    assert ours.network["width"] == start.network["width"] == 32
    assert (ours.prediction, ours.schedule["name"]) == (start.prediction, start.schedule["name"])
    assert ours.labels == start.labels | {
        "style": [*start.labels["style"], "drums", "plucked"],
        "ensemble": [*start.labels["ensemble"], "guitar", "tabla"],
    }
    errors = [(record["step"], record["held_out_error"]) for record in records(out) if "held_out_error" in record]
    assert [step for step, _ in errors] == [0, 8]
    assert sum(errors[1][1].values()) < sum(errors[0][1].values())
    assert list(out.glob("sheet-*.png"))
    studio = open_studio(out, "cpu")
    assert {"plucked", "chorale"} < set(studio.options()["style"]["choices"])
    clip, other = play(out, style="plucked", ensemble="guitar"), play(out, style="drums", ensemble="any")
    assert clip.settings["style"] == "plucked"
    assert not np.array_equal(clip.features, other.features)
    capsys.readouterr()
    train(REAL, out, f"--init={small_checkpoint}", steps=8)
    assert "is encoded already (6 recordings" in capsys.readouterr().out


def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit_though_the_folder_has_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    audio = tmp_path / "audio"
    shutil.copytree(REAL, audio)
    for out, steps in (("whole", 6), ("halves", 3)):
        train(audio, tmp_path / out, steps=steps, decay_fraction=0.0, **SMALL)
    shutil.copy(audio / "glass.mp3", audio / "Drums")
    train(audio, tmp_path / "halves", steps=6, decay_fraction=0.0, **SMALL)
    assert "has changed since this run began (1 new: Drums/glass.mp3)" in capsys.readouterr().out
    whole, halves = (load_file(tmp_path / out / "model.safetensors") for out in ("whole", "halves"))
    for name, tensor in whole.items():
        assert torch.equal(tensor, halves[name]), name


def test_a_folder_without_labels_makes_a_model_that_knows_only_any(tmp_path: Path) -> None:
    audio = tmp_path / "audio"
    audio.mkdir()
    for path in REAL.rglob("*.ogg"):
        shutil.copy(path, audio)
    train(audio, tmp_path / "mine", steps=2, **SMALL)
    assert load(tmp_path / "mine").configuration.labels == {"style": [], "ensemble": []}
    options = open_studio(tmp_path / "mine", "cpu").options()
    for name in ("style", "ensemble"):
        assert (options[name]["choices"], options[name]["default"]) == (["any"], "any")
    assert play(tmp_path / "mine").settings["style"] == "any"


def test_styles_without_ensembles(tmp_path: Path) -> None:
    for path in REAL.glob("*/*.*"):
        target = tmp_path / "audio" / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    train(tmp_path / "audio", tmp_path / "mine", steps=2, **SMALL)
    assert load(tmp_path / "mine").configuration.labels == {"style": ["drums"], "ensemble": []}
    play(tmp_path / "mine", style="drums")


def test_labels_from_a_table_make_their_own_kinds_of_label(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(
        "file,style,tempo\nDrums/roll.wav,march,fast\nDrums/bell.ogg,march,slow\nglass.mp3,drone,slow\n",
        encoding="utf-8",
    )
    train(REAL, tmp_path / "mine", f"--labels={tmp_path / 'labels.csv'}", steps=2, **SMALL)
    assert load(tmp_path / "mine").configuration.labels == {
        "style": ["drone", "march"],
        "ensemble": [],
        "tempo": ["fast", "slow"],
    }
    assert play(tmp_path / "mine", style="drone").settings["style"] == "drone"


def test_mistakes_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        train(REAL, tmp_path / "mine", f"--data={tmp_path}", steps=2)
    assert "not allowed with argument --audio" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="error: labels: got a table without --audio"):
        main(["train", f"--labels={tmp_path}", f"--out={tmp_path / 'mine'}", "--steps=2"])
    with pytest.raises(SystemExit, match=r"error: audio: got .*, need a folder with WAV, FLAC, Ogg or MP3 files"):
        train(tmp_path / "nowhere", tmp_path / "mine", steps=2)
    with pytest.raises(SystemExit, match="error: clip_frames: got 640"):
        train(REAL, tmp_path / "mine", steps=2, clip_frames=640)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_an_interrupted_run_is_saved_and_the_same_command_goes_on(name: str, tmp_path: Path) -> None:
    settings = {**QUICK, **SMALL, "log_steps": 1, "steps": 100_000}
    flags = [f"--{key.replace('_', '-')}={value}" for key, value in settings.items()]
    out = tmp_path / "mine"
    command = [sys.executable, "-m", "diffusion", "train", f"--audio={REAL}", f"--out={out}", "--cpu", *flags]
    steps = []
    for _ in range(2):
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            lines = (line for line in process.stdout if line.startswith("step "))
            steps.append(int(next(lines).split()[1]))
            process.send_signal(getattr(signal, name))
            _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said
        assert "Traceback" not in said
        assert "stopping: what has been learned is saved" in said
        assert load(out).configuration.labels["style"]
        log = [json.loads(line) for line in (out / "log.jsonl").read_text(encoding="utf-8").splitlines()]
        steps.append(max(record["step"] for record in log))
    assert steps[0] <= steps[1] < steps[2] <= steps[3]
