"""Every kind of panel as a file."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from diffusion.lab.experiment import Arrows, Bars, Curve, Frame, Heat, Images, Measured, Points, Sound
from diffusion.lab.figures import FILM_PX, figure, film, write

BOX = (-1.0, 1.0, -1.0, 1.0)
AT = np.array([[0.5, 0.5], [-0.5, 0.0]], np.float32)
PANELS = {
    "points": Points(AT, BOX, "Two points"),
    "arrows": Arrows(AT, AT, -AT, BOX),
    "arrows alone": Arrows(AT, AT, None, BOX),
    "grey": Images(np.full((3, 8, 8), 128, np.uint8), ["a", "b"]),
    "colour": Images(np.full((9, 8, 8, 3), 128, np.uint8)),
    "curve": Curve(np.arange(1, 5), {"one": np.ones(4), "two": np.arange(1, 5) / 10}, "step", "loss", logarithmic=True),
    "bars": Bars({str(number): float(number) for number in range(40)}, "bits"),
    "heat": Heat(np.arange(12.0).reshape(3, 4), "step", "time"),
    "sound": Sound(np.sin(np.arange(800) / 10).astype(np.float32), 8000),
}


@pytest.mark.parametrize("name", PANELS)
def test_every_panel_is_drawn(name: str) -> None:
    picture = np.asarray(Image.open(io.BytesIO(figure(PANELS[name]))).convert("RGB"))
    assert picture.shape == (400, 500, 3)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 1


def test_a_film_shows_where_the_points_are(tmp_path: Path) -> None:
    frames = [Frame({"cloud": Points(AT * part, BOX)}, part) for part in (0.0, 0.5, 1.0)]
    assert film(frames, tmp_path / "film.webp")
    moving = Image.open(tmp_path / "film.webp")
    assert moving.n_frames == 3
    moving.seek(2)
    last = np.asarray(moving.convert("RGB")).astype(int)
    assert last.shape == (FILM_PX, FILM_PX, 3)
    assert last[FILM_PX // 4, FILM_PX * 3 // 4].sum() < 600
    assert last[FILM_PX * 3 // 4, FILM_PX // 4].sum() > 700


def test_points_beyond_the_box_are_left_out(tmp_path: Path) -> None:
    frames = [Frame({"cloud": Points(AT * factor, BOX)}, 0) for factor in (1000, -1000)]
    assert film(frames, tmp_path / "film.webp")


def test_a_film_has_the_size_of_its_end(tmp_path: Path) -> None:
    frames = [Frame({"pictures": Images(np.full((count, 8, 8), 99, np.uint8))}, 0) for count in (1, 2, 2)]
    frames[1].panels["pictures"].pixels[0] = 0
    assert film(frames, tmp_path / "film.webp")
    assert Image.open(tmp_path / "film.webp").n_frames == 2


def test_without_anything_that_moves_there_is_no_film(tmp_path: Path) -> None:
    assert not film(
        [Frame({"curve": PANELS["curve"]}, 0), Frame({"curve": PANELS["curve"]}, 1)], tmp_path / "film.webp"
    )
    assert not (tmp_path / "film.webp").exists()


def test_a_run_is_written_whole(tmp_path: Path) -> None:
    frames = [Frame({**PANELS, "cloud": Points(AT * part, BOX)}, part) for part in (0.0, 1.0)]
    measured = [Measured("Cosine", 0.97, holds=True), Measured("KL", 5e15, "nats", "a milliard", False)]
    paths = write(tmp_path, frames, measured)
    assert {path.name for path in paths} == {path.name for path in tmp_path.iterdir()}
    assert {"sound.wav", "film.webp", "bars.png", "numbers.csv", "curves.csv"} <= {path.name for path in paths}
    with (tmp_path / "numbers.csv").open(encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[1:] == [["Cosine", "0.97", "", "", "yes"], ["KL", "5e+15", "nats", "a milliard", "no"]]
    with (tmp_path / "curves.csv").open(encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert [float(row["y"]) for row in lines if row["line"] == "two"] == [0.1, 0.2, 0.3, 0.4]
    assert sum(row["panel"] == "bars" for row in lines) == 40
