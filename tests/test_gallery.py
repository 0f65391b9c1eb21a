"""The gallery: whole, of one seed and one model, made once and never half, and small enough to be looked at."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from diffusion import gallery
from diffusion.codecs import BELIEF
from diffusion.engine import Clip
from diffusion.request import Request
from diffusion.studio import Studio, open_studio
from diffusion.ui.gallery.wall import Wall

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def studio(small_checkpoint: Path) -> Studio:
    return open_studio(small_checkpoint, "cpu")


@pytest.fixture
def folder(small_gallery: Path, tmp_path: Path) -> Path:
    """A gallery to be spoiled."""
    return Path(shutil.copytree(small_gallery / "gallery", tmp_path / "checkpoint" / "gallery"))


def index_of(folder: Path) -> dict:
    index = gallery.read(folder)
    assert index is not None
    return index


def rewrite(folder: Path, old: str, new: str) -> None:
    path = folder / gallery.INDEX
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def hung(studio: Studio, checkpoint: Path) -> Path | None:
    """The folder of the gallery that the page shows."""
    wall = Wall.of(studio, checkpoint)
    return None if wall is None else wall.folder


def ages(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir() if path.suffix in (".mp3", ".webp")}


def test_every_style_by_every_ensemble_at_the_default_settings(folder: Path, studio: Studio) -> None:
    index = index_of(folder)
    asked = [
        studio.request(style=style, ensemble=ensemble, seed=1)
        for style in studio.labels["style"]
        for ensemble in studio.labels["ensemble"]
    ]
    assert [Request.from_dict(each["settings"]) for each in index["clips"]] == asked
    assert [Request.from_query(each["query"]) for each in index["clips"]] == asked
    assert index["clips"][-1]["title"] == "Fiddle, flute"
    assert index["model"]["digest"] == studio.digest
    for each in index["clips"]:
        for kind in ("audio", "picture"):
            assert (folder / each[kind]).stat().st_size == each[f"{kind}_bytes"]
    assert sum(each["audio_bytes"] for each in index["clips"]) < 6 * 90_000  # 72 and their pictures in 8 MB
    assert len({(folder / each["audio"]).read_bytes() for each in index["clips"]}) == len(asked)


def test_the_files_are_the_clip(folder: Path, studio: Studio) -> None:
    each = index_of(folder)["clips"][4]
    clip = next(item for item in studio.generate(Request.from_dict(each["settings"])) if isinstance(item, Clip))
    wave, rate_hz = soundfile.read(folder / each["audio"])
    assert (len(wave), rate_hz) == (len(clip.wave), clip.sample_rate_hz)
    low = [np.fft.rfft(each)[: len(wave) // 16] for each in (wave, clip.wave)]  # where MP3 spends its bits
    assert abs(np.vdot(*low)) / np.sqrt(np.vdot(low[0], low[0]).real * np.vdot(low[1], low[1]).real) > 0.9
    picture = np.asarray(Image.open(io.BytesIO((folder / each["picture"]).read_bytes())).convert("RGB"), float)
    whole = studio.codec.picture(clip.features, studio.codec.limits(*BELIEF))
    assert picture.shape == whole.shape
    assert np.corrcoef(picture.mean(-1).ravel(), whole.mean(-1).ravel())[0, 1] > 0.9


def test_what_is_there_is_kept_and_what_is_missing_comes_back_the_same(folder: Path, studio: Studio) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != gallery.INDEX}
    (folder / "chorale-flute.mp3").unlink()
    (folder / "fiddle-piano.webp").write_bytes(b"half")
    old = ages(folder)
    assert len(list(gallery.make(studio, folder))) == 6
    new = ages(folder)
    again = {name for name in new if new[name] != old.get(name)}
    assert again == {f"{clip}.{kind}" for clip in ("chorale-flute", "fiddle-piano") for kind in ("mp3", "webp")}
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.name != gallery.INDEX} == before


def test_a_call_that_was_ended_is_gone_on_with(folder: Path, studio: Studio, tmp_path: Path) -> None:
    whole = index_of(folder)
    rewrite(folder, json.dumps(whole, indent=1), json.dumps({**whole, "clips": whole["clips"][:5]}, indent=1))
    assert hung(studio, folder.parent) is None  # not before it is whole
    old = ages(folder)
    *_, last = gallery.make(studio, folder)
    assert last["audio"] == "fiddle-flute.mp3"
    assert {name for name, age in ages(folder).items() if age != old[name]} == {"fiddle-flute.mp3", "fiddle-flute.webp"}
    assert hung(studio, folder.parent) == folder


def test_another_seed_makes_other_clips_elsewhere(folder: Path, studio: Studio, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds the gallery of seed 1, not 2"):
        next(gallery.make(studio, folder, seed=2))
    first = next(gallery.make(studio, tmp_path / "two", seed=2))
    assert first["settings"]["seed"] == 2
    assert (tmp_path / "two" / first["audio"]).read_bytes() != (folder / first["audio"]).read_bytes()


def test_the_gallery_of_another_model_is_neither_mixed_nor_shown(folder: Path, studio: Studio, tmp_path: Path) -> None:
    assert hung(studio, folder.parent) == folder
    assert hung(studio, tmp_path) is None
    rewrite(folder, studio.digest, "0" * len(studio.digest))
    old = ages(folder)
    with pytest.raises(ValueError, match=r"holds the gallery of model .* \(0+\), not "):
        next(gallery.make(studio, folder))
    assert ages(folder) == old
    assert hung(studio, folder.parent) is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"chorale-piano.mp3"', '"https://elsewhere.example/chorale-piano.mp3"'),
        ('"chorale-piano.webp"', '"../chorale-piano.webp"'),
        ('"seed": 1,\n    "duration_s"', '"seed": -1,\n    "duration_s"'),
        ('"clips"', '"songs"'),
        ('"clips"', "clips"),
    ],
)
def test_an_index_that_was_not_written_here_is_refused(folder: Path, old: str, new: str) -> None:
    rewrite(folder, old, new)
    with pytest.raises(ValueError, match="gallery: got"):
        gallery.read(folder)


def test_the_card_leads_to_every_clip(folder: Path, studio: Studio) -> None:
    text = (folder / gallery.CARD).read_text(encoding="utf-8")
    files = {each[kind] for each in index_of(folder)["clips"] for kind in ("audio", "picture")}
    assert set(re.findall(r'(?:href|src)="([^"]+)"', text)) == files
    rows = [line for line in text.splitlines() if line.startswith("| **")]
    assert [row.split("**")[1] for row in rows] == ["Piano", "Music box", "Flute"]
    assert all(row.count("<a ") == len(studio.labels["style"]) for row in rows)
    assert "unipc in 20 steps, guidance 1.8, 10.24 seconds" in text
    assert studio.digest in text


def test_the_command_goes_on_and_says_what_is_wrong(folder: Path, small_gallery: Path) -> None:
    def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        asked = [
            sys.executable,
            "-m",
            "diffusion",
            "gallery",
            "--checkpoint",
            small_gallery,
            "--device",
            "cpu",
            *arguments,
        ]
        return subprocess.run(list(map(str, asked)), cwd=ROOT, capture_output=True, text=True, timeout=600)

    old = ages(small_gallery / "gallery")
    done = command()
    assert done.returncode == 0, done.stderr
    assert re.search(r"gallery: 6 clips, 0\.\d MB", done.stdout)
    assert ages(small_gallery / "gallery") == old
    refused = command("--out", folder, "--seed", "2")
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-1].startswith(f"error: out: got {folder}, which holds the gallery of seed 1")
