"""The rehearsal runs everything once and says what is missing."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest

from diffusion.settings import PRESETS
from diffusion.studio import Studio
from diffusion.ui.shared.assets import ROOMS
from diffusion.ui.shared.reach import Reach
from diffusion.ui.stage.rehearsal import rehearse


@pytest.fixture
def welcome(model: Path) -> Path:
    path = model / "welcome.wav"
    if not path.is_file():
        pytest.skip("no welcome clip is shipped")
    return path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_with_everything_there_it_is_ready(studio: Studio, welcome: Path, capsys) -> None:
    url = "https://music.example.org"
    assert rehearse(studio, welcome, Reach(public_url=url), free_port(), most_steps=2)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "ready"
    for title in studio.options()["presets"]:
        row = next(line for line in lines if line.startswith(f"Preset {title}"))
        assert " ok " in row
        assert "2 steps in" in row
    assert any(url in line for line in lines)


def test_what_is_missing_is_named(studio: Studio, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "file" / "below"))
    (tmp_path / "file").write_text("not a folder", encoding="utf-8")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert not rehearse(studio, tmp_path / "welcome.wav", None, port, most_steps=1)
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("not ready; missing: ")
    for subject in ("pre-sampled clip", "disk", "port"):
        assert subject in last
    assert "preset" not in last


def test_a_module_that_another_imports_must_be_there(studio: Studio, tmp_path: Path, capsys) -> None:
    rooms = shutil.copytree(ROOMS, tmp_path / "rooms", ignore=shutil.ignore_patterns("player.js", "*.py", "*.pyc"))
    assert not rehearse(studio, tmp_path / "none.wav", None, free_port(), most_steps=1, rooms=rooms)
    assert "player.js" in capsys.readouterr().out


def test_a_preset_that_fails_is_named(studio: Studio, welcome: Path, capsys) -> None:
    presets = {**PRESETS, "Broken": {"sampler": "unipc", "steps": 0}}
    reach = Reach(public_url="https://music.example.org")
    assert not rehearse(studio, welcome, reach, free_port(), presets=presets, most_steps=1)
    assert "Preset Broken" in capsys.readouterr().out


def test_without_an_address_for_phones_it_is_ready_and_says_so(studio: Studio, welcome: Path, capsys) -> None:
    assert rehearse(studio, welcome, Reach("127.0.0.1"), free_port(), most_steps=1)
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("Phones"))
    assert " note " in row
    assert "--public-url" in row
