"""The arguments of `python app.py`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from small_models import images, save

ROOT = Path(__file__).resolve().parents[1]


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "app.py", *arguments], cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize("url", ["localhost:7860", "http://127.0.0.1:7860", "ftp://music.example.org"])
def test_an_address_that_no_phone_can_open_is_refused(url: str) -> None:
    answer = run("--public-url", url)
    assert answer.returncode == 1
    assert answer.stderr.startswith("error: public_url: got ")
    assert "Traceback" not in answer.stderr


def test_the_rehearsal_ends_with_what_is_missing(small_checkpoint: Path) -> None:
    answer = run("--check-stage", "--checkpoint", small_checkpoint, "--device", "cpu")
    assert answer.returncode == 1
    last = answer.stdout.splitlines()[-1]
    assert last.startswith("not ready; missing: pre-sampled clip (no welcome.wav")  # a tiny model ships none
    assert "preset" not in last


def test_a_model_that_makes_no_sound_is_one_clear_error(tmp_path: Path) -> None:
    answer = run("--checkpoint", save(tmp_path / "digits", images({"digit": ["0", "1"]})), "--device", "cpu")
    assert answer.returncode == 1
    assert answer.stderr == (
        "error: checkpoint: got digits, whose output is of the kind image, but the page plays sound\n"
    )
