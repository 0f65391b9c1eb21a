"""A kit is packed, works alone on a machine without network, and its run comes home whole or says what is missing."""

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from diffusion import cli
from diffusion.checkpoint import load
from diffusion.data.fonts import DEFAULT_FONT
from diffusion.data.labels import STYLES
from diffusion.data.scores import SOURCES, TUNE_STYLES, Piece, save_pieces
from diffusion.training.kit import start
from diffusion.training.kit.pack import pack
from diffusion.training.kit.pieces import MANIFEST, join, split

PARTS = {"config.json": b"{}\n", "log.jsonl": b"", "sheet-0000020.png": b"page", "model.safetensors": bytes(range(250))}
TINY = ["--width=32", "--depth=1", "--heads=2", "--hidden=64", "--batch=4", "--frames=32", "--clip-frames=64"]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    state = np.random.default_rng(0).bytes(350)
    for name, content in {**PARTS, "state.pt": state, "sheet-0000003.png": b"an early page"}.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def pieces(run: Path, tmp_path: Path) -> Path:
    split(run, tmp_path / "pieces", piece_bytes=100)
    return tmp_path / "pieces"


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    """A data folder of scores alone: ten walks up and down in each style."""
    rng = np.random.default_rng(0)
    source_of = {source.style: source.name for source in SOURCES} | dict.fromkeys(
        TUNE_STYLES, "Ryan's Mammoth Collection"
    )
    made = []
    for style in STYLES:
        for number in range(10):
            pitches = 60 + rng.integers(-4, 5, 32).cumsum() % 24
            notes = np.stack([np.arange(32), np.ones(32), pitches, np.zeros(32)], axis=1).astype(np.float32)
            bars = np.arange(0, 32, 4, dtype=np.float32)
            made.append(Piece(f"{style}/{number}", "", source_of[style], style, 0.5, 0, notes, bars))
    folder = tmp_path / "scores"
    folder.mkdir()
    save_pieces(folder / "scores.npz", made)
    (folder / "pieces.json").write_text("{}", encoding="utf-8")
    return folder


def test_pieces_are_small_and_join_to_the_same_files(run: Path, pieces: Path, tmp_path: Path) -> None:
    assert {path.name for path in pieces.iterdir()} == {
        *("config.json", "log.jsonl", "sheet-0000020.png", MANIFEST),
        *(f"model.safetensors.{k:03d}" for k in range(3)),
        *(f"state.pt.{k:03d}" for k in range(4)),
    }
    assert max(path.stat().st_size for path in pieces.iterdir() if path.name != MANIFEST) == 100
    home = tmp_path / "home"
    join([pieces], home)
    for name in (*PARTS, "state.pt"):
        assert (home / name).read_bytes() == (run / name).read_bytes()
    assert len(list(home.iterdir())) == len(PARTS) + 1


def test_pieces_may_come_home_in_several_loads(run: Path, pieces: Path, tmp_path: Path) -> None:
    second = tmp_path / "second"
    second.mkdir()
    for path in pieces.glob("state.pt.*"):
        shutil.move(path, second)
    with pytest.raises(
        ValueError, match=r"state\.pt\.000 is missing; .*state\.pt\.003 is missing\. Written to .*model"
    ):
        join([pieces], tmp_path / "home")
    assert load_bytes(tmp_path / "home") == PARTS
    join([pieces, second], tmp_path / "home")
    assert (tmp_path / "home/state.pt").read_bytes() == (run / "state.pt").read_bytes()


def load_bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("damage", [lambda block: block[:-1], lambda block: bytes([block[0] ^ 1]) + block[1:]])
def test_a_damaged_piece_is_named_and_its_file_not_written(
    pieces: Path, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    broken = pieces / "model.safetensors.001"
    broken.write_bytes(damage(broken.read_bytes()))
    with pytest.raises(ValueError, match=r"model\.safetensors\.001 is damaged") as raised:
        join([pieces], tmp_path / "home")
    assert str(raised.value).count("is ") == 1
    assert not (tmp_path / "home/model.safetensors").exists()
    assert (tmp_path / "home/state.pt").exists()


def test_the_pieces_of_the_last_save_replace_those_before(run: Path, pieces: Path, tmp_path: Path) -> None:
    (run / "state.pt").write_bytes(b"short")
    split(run, pieces, piece_bytes=100)
    assert not list(pieces.glob("state.pt.*"))
    join([pieces], tmp_path / "home")
    assert (tmp_path / "home/state.pt").read_bytes() == b"short"


def test_join_says_what_it_cannot_do(run: Path, pieces: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds a state already"):
        join([pieces], run)
    with pytest.raises(FileNotFoundError, match=r"no pieces\.json in"):
        join([tmp_path], tmp_path / "home")
    shutil.copytree(pieces, tmp_path / "other")
    (tmp_path / "other" / MANIFEST).write_text('{"../x": []}', encoding="utf-8")
    with pytest.raises(ValueError, match="belong to different saves"):
        join([pieces, tmp_path / "other"], tmp_path / "home")
    for text in ('{"../x": []}', '{"x": [{"name": "x"}]}', "[1]", "{"):
        (pieces / MANIFEST).write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match="is damaged"):
            join([pieces], tmp_path / "home")


def test_a_kit_that_is_too_large_names_its_parts(scores: Path, tmp_path: Path, small_checkpoint: Path) -> None:
    options = {"init": small_checkpoint, "wheels": tmp_path}
    sizes = pack(scores, tmp_path / "kit", DEFAULT_FONT, **options)
    assert sum(sizes.values()) == sum(p.stat().st_size for p in (tmp_path / "kit").rglob("*") if p.is_file())
    assert set(sizes) == {"run.py", "diffusion", "scores", "font", "init", "wheels"}
    assert not list((tmp_path / "kit").rglob("__pycache__"))
    with pytest.raises(ValueError, match=r"font 22\.5, .*at most 20\.0 MiB may travel"):
        pack(scores, tmp_path / "again", DEFAULT_FONT, **options, limit=20 * 2**20)
    with pytest.raises(ValueError, match="exists"):
        pack(scores, tmp_path / "kit", DEFAULT_FONT, **options)
    (scores / "scores.npz").unlink()
    with pytest.raises(FileNotFoundError, match=r"no scores\.npz in"):
        pack(scores, tmp_path / "again", DEFAULT_FONT, **options)
    assert not list(tmp_path.glob("*again*"))


def test_wrong_settings_are_refused_before_anything_is_rendered(tmp_path: Path) -> None:
    command = ["kit", "run", "--kit", str(tmp_path), "--out", str(tmp_path / "out"), "--minutes", "1"]
    with pytest.raises(SystemExit, match="batch: got 0"):
        cli.main([*command, "--", "--batch", "0"])
    with pytest.raises(SystemExit, match="minutes: got 0"):
        cli.main([*command[:-1], "0"])
    assert not (tmp_path / "out").exists()


def write_wheel(folder: Path) -> None:
    """A package of one module, `kit_probe`, that needs another which nobody has."""
    about = "kit_probe-1.0.dist-info"
    files = {
        "kit_probe.py": "",
        f"{about}/METADATA": "Metadata-Version: 2.1\nName: kit-probe\nVersion: 1.0\nRequires-Dist: nobody-has-this\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{about}/RECORD"] = "".join(f"{name},,\n" for name in (*files, f"{about}/RECORD"))
    folder.mkdir()
    with zipfile.ZipFile(folder / "kit_probe-1.0-py3-none-any.whl", "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)


def test_wheels_are_installed_beside_everything_else_without_what_they_need(tmp_path: Path) -> None:
    write_wheel(tmp_path / "wheels")
    site = start.install(tmp_path / "wheels", tmp_path / "site")
    assert (site / "kit_probe.py").is_file()
    (tmp_path / "wheels/kit_probe-1.0-py3-none-any.whl").rename(tmp_path / "wheels/kit_probe-1.0-cp39-cp39-any.whl")
    with pytest.raises(SystemExit, match="do not fit"):
        start.install(tmp_path / "wheels", tmp_path / "other")
    assert start.install(tmp_path / "wheels", site) == site  # done before


@pytest.mark.slow
def test_a_rehearsal_without_network(scores: Path, tmp_path: Path) -> None:
    """Packed, rendered, trained, gone on with and joined; the run at home resumes where the other machine stopped."""
    (scores / "pieces.json").unlink()
    (scores / "pieces.json").write_text("{}", encoding="utf-8")  # of other pieces: families are found again
    kit, out, home = (tmp_path / name for name in ("kit", "out", "home"))
    pack(scores, kit, DEFAULT_FONT, wheels=tmp_path)
    shorten(kit / "diffusion/data/performance.py", "MIN_S = 12.0", "MIN_S = 1.5")
    shorten(kit / "diffusion/data/performance.py", "MAX_S = 32.0", "MAX_S = 6.0")
    alone = (
        ["unshare", "--net"]
        if subprocess.run(["unshare", "--net", "true"], capture_output=True).returncode == 0
        else []
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONPATH", None)
    command = [*alone, sys.executable, str(kit / "run.py"), "--out", str(out), "--minutes", "30", "--workers", "2"]
    command += ["--hours", "0.05", "--test-hours", "0.05", "--", *TINY, "--minutes", "0", "--cpu", "--no-compile"]
    for steps in ("2", "3"):
        done = subprocess.run(
            [*command, "--steps", steps], capture_output=True, text=True, cwd=tmp_path, env=environment
        )
        assert done.returncode == 0, done.stderr
        assert "held_out_error" in done.stdout
    join([out / "pieces"], home)
    state = torch.load(home / "state.pt", weights_only=True)
    assert state["step"] == 3
    assert load(home).configuration.frames == 64
    cli.main(["train", f"--data={out / 'data'}", f"--out={home}", *TINY, "--steps", "4", "--cpu", "--no-compile"])
    assert torch.load(home / "state.pt", weights_only=True)["step"] == 4


def shorten(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
