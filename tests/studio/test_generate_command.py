"""The command line makes the page's clip, and says in one line what is wrong."""

from __future__ import annotations

import argparse
import json
import re
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import soundfile

from diffusion.audio.wav import read_settings
from diffusion.cli import main
from diffusion.engine import Clip
from diffusion.generate import add_arguments
from diffusion.settings import SETTINGS, Seed
from diffusion.studio import Studio

ROOT = Path(__file__).resolve().parents[2]


def generate(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "diffusion", "generate", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


def test_the_command_writes_the_clip_of_the_studio(studio: Studio, small_checkpoint: Path, tmp_path: Path) -> None:
    out, film = tmp_path / "clip.wav", tmp_path / "clip.json"
    arguments = [
        "--style",
        "fiddle",
        "--ensemble",
        "flute",
        "--sampler",
        "ddim",
        "--steps",
        "3",
        "--guidance-scale",
        "2.5",
        "--seed",
        "7",
        "--mode",
        "minor",
        "--tempo",
        "fast",
        "--key",
        "F#",
        "--beat",
        "82",
    ]
    arguments += ["--duration-s", "2.56", "--knob", "eta=0.25", "--device", "cpu"]
    result = generate(*arguments, "--out", out, "--film", film, "--checkpoint", small_checkpoint)
    assert result.returncode == 0, result.stderr
    assert "step 3/3" in result.stderr
    assert json.loads(result.stdout)["seed"] == 7
    settings = read_settings(out)
    request = studio.request(
        style="fiddle",
        ensemble="flute",
        sampler="ddim",
        steps=3,
        guidance_scale=2.5,
        seed=7,
        duration_s=2.56,
        knobs={"eta": 0.25},
        mode="minor",
        tempo="fast",
        key="F#",
        beat="82",
    )
    assert (settings["mode"], settings["tempo"]) == ("minor", "fast")
    assert settings["knobs"] == {"eta": 0.25}
    *_, clip = studio.generate(request)
    assert isinstance(clip, Clip)
    assert out.read_bytes() == clip.to_wav()
    story = json.loads(film.read_text(encoding="utf-8"))
    assert [frame["index"] for frame in story["film"]] == [0, 1, 2, 3]
    assert story["picture"].startswith("data:image/")


@pytest.mark.parametrize("duration_s", [5.12, 40.96])
def test_a_clip_may_be_short_or_long(small_checkpoint: Path, tmp_path: Path, duration_s: float) -> None:
    out, film = tmp_path / "clip.wav", tmp_path / "clip.json"
    arguments = ["--steps", "2", "--duration-s", str(duration_s), "--device", "cpu", "--checkpoint", small_checkpoint]
    main(["generate", *map(str, [*arguments, "--out", out, "--film", film])])
    assert soundfile.info(out).duration == pytest.approx(duration_s)
    assert read_settings(out) == json.loads(film.read_text(encoding="utf-8"))["settings"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--steps", "0"], "steps: got 0"),
        (["--style", "jazz"], "style: got 'jazz', allowed any, chorale, fiddle"),
        (["--model", "0123456789ab"], "model: got '0123456789ab', but the one loaded here is"),
        (["--mode", "blue"], "mode: got 'blue', allowed any, major, minor"),
        (["--knob", "eta"], "NAME=VALUE"),
        (["--out", "/nowhere/at/all.wav"], "out: got"),
        (["--checkpoint", "/nowhere"], "config.json"),
    ],
    ids=lambda each: str(each),
)
def test_an_error_is_one_line_and_a_status(
    small_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    out = tmp_path / "clip.wav"
    asked = ["--checkpoint", small_checkpoint, "--out", out, "--duration-s", "2.56", *arguments]
    with pytest.raises(SystemExit) as end:
        main(["generate", *map(str, asked)])
    assert isinstance(end.value.code, str)  # which goes to standard error, with status 1
    assert words in end.value.code
    assert len(end.value.code.strip().splitlines()) == 1
    assert capsys.readouterr() == ("", "")
    assert not out.exists()


def test_a_length_off_the_raster_is_rounded_and_said(
    small_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "clip.wav"
    arguments = ["--steps", "1", "--duration-s", "3", "--device", "cpu", "--checkpoint", small_checkpoint, "--out", out]
    main(["generate", *map(str, arguments)])
    assert "duration_s: got 3, rounded to 3.008, a multiple of 0.064\n" in capsys.readouterr().err
    assert read_settings(out)["duration_s"] == 3.008
    assert soundfile.info(out).duration == pytest.approx(3.008)


def test_ctrl_c_is_no_traceback_and_leaves_nothing(small_checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "clip.wav"
    command = [sys.executable, "-m", "diffusion", "generate", "--steps", "1000", "--duration-s", "40.96"]
    command += ["--checkpoint", str(small_checkpoint), "--out", str(out)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while not process.stderr.readline().startswith("step 1/"):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
    assert process.returncode == 130
    assert all(line.startswith("step ") for line in said.splitlines())
    assert list(tmp_path.iterdir()) == []


def test_an_error_reaches_whoever_called_the_command(small_checkpoint: Path, tmp_path: Path) -> None:
    result = generate("--checkpoint", small_checkpoint, "--out", tmp_path / "clip.wav", "--steps", "0")
    assert result.returncode == 1
    assert result.stderr.startswith("error: steps: got 0")
    assert len(result.stderr.strip().splitlines()) == 1


def test_the_help_says_the_defaults_that_a_request_has() -> None:
    parser = argparse.ArgumentParser(formatter_class=partial(argparse.HelpFormatter, max_help_position=60, width=1000))
    add_arguments(parser)
    said = dict(re.findall(r"^  --([a-z-]+) .*\(default: (.+)\)$", parser.format_help(), re.MULTILINE))
    with_default = [
        each for each in SETTINGS.values() if each.default not in (None, "", {}) and not isinstance(each, Seed)
    ]
    assert {each.name for each in with_default} >= {"sampler", "steps", "grid", "duration_s", "guidance_from"}
    for each in with_default:
        assert said[each.flag.removeprefix("--")] == str(each.default)
