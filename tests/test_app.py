"""The arguments of `python app.py`."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from small_models import images, save

from diffusion.ui.shared.reach import in_url

ROOT = Path(__file__).resolve().parents[1]


def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "app.py", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        encoding="utf-8",
    )


@pytest.mark.parametrize("url", ["localhost:7860", "http://127.0.0.1:7860", "ftp://music.example.org"])
def test_an_address_that_no_phone_can_open_is_refused(url: str) -> None:
    answer = run("--public-url", url)
    assert answer.returncode == 1
    assert answer.stderr.startswith("error: public_url: got ")
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        (["--host", "nowhere.invalid"], {}, "host: got 'nowhere.invalid', need a name or an address of this machine ("),
        ([], {"GRADIO_SERVER_NAME": "nowhere.invalid"}, "host: got 'nowhere.invalid'"),
        (["--port", "0"], {}, "port: got 0, allowed 1 to 65535"),
        (["--port", "99999"], {}, "port: got 99999, allowed 1 to 65535"),
        ([], {"GRADIO_SERVER_PORT": "any"}, "GRADIO_SERVER_PORT: got 'any', need a whole number"),
        ([], {"GRADIO_TEMP_DIR": "/proc/files"}, "GRADIO_TEMP_DIR: got /proc/files, which cannot be made"),
        (["--checkpoint", "no model"], {}, "checkpoint: got 'no model', no such folder"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else None,
)
def test_what_cannot_be_served_is_one_line(arguments: list[str], environment: dict[str, str], words: str) -> None:
    answer = run(*arguments, **environment)
    assert answer.returncode == 1
    assert answer.stderr.startswith(f"error: {words}")
    assert len(answer.stderr.splitlines()) == 1


def test_the_rehearsal_and_the_page_mean_the_same_address(small_checkpoint: Path) -> None:
    host = "::" if Path("/proc/net/if_inet6").exists() else "0.0.0.0"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        words = f"port: got {port} on {host}, where the page cannot listen: "
        same = "--host", in_url(host), "--port", port, "--checkpoint", small_checkpoint, "--device", "cpu"
        assert words in run(*same, "--check-stage").stdout.splitlines()[-1]
        assert run(*same).stderr.startswith(f"error: {words}")
    answer = run(*same, "--check-stage")
    assert answer.returncode == 1
    last = answer.stdout.splitlines()[-1]
    assert last.startswith("not ready; missing: pre-sampled clip (no welcome.wav")  # a tiny model ships none
    assert words not in answer.stdout
    assert "preset" not in last


def test_a_model_that_makes_no_sound_is_one_clear_error(tmp_path: Path) -> None:
    answer = run("--checkpoint", save(tmp_path / "digits", images({"digit": ["0", "1"]})), "--device", "cpu")
    assert answer.returncode == 1
    assert answer.stderr == (
        "error: checkpoint: got digits, whose output is of the kind image, but the page plays sound\n"
    )
