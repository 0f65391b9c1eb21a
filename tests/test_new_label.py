"""A label that one model has and no file of the product names: it is known everywhere.

What a server shows of such a label, its page, its API and its tools, is in ui/test_own_label.py.
"""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from small_models import LABELS, music, save

from diffusion.audio.wav import read_settings
from diffusion.cli import main
from diffusion.compare import Cell, Comparison, compare, to_csv
from diffusion.engine import Clip
from diffusion.request import Request
from diffusion.settings import SETTINGS
from diffusion.studio import Studio, open_studio

VENUES = ["hall", "stone_chapel"]
PRODUCT = Path(__file__).resolve().parents[1] / "diffusion"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("venues") / "venues", music({**LABELS, "venue": VENUES}))


@pytest.fixture(scope="module")
def studio(folder: Path) -> Studio:
    return open_studio(folder, "cpu")


def asked(studio: Studio, venue: str) -> Request:
    return studio.request(seed=5, steps=3, duration_s=2.56, venue=venue)


def clip_of(studio: Studio, request: Request) -> Clip:
    *_, clip = studio.generate(request)
    assert isinstance(clip, Clip)
    return clip


def test_no_file_of_the_product_names_it() -> None:
    assert "venue" not in SETTINGS
    files = [*PRODUCT.rglob("*.py"), *PRODUCT.rglob("*.js")]
    assert len(files) > 50
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert not [word for word in ('"venue"', "'venue'", "stone_chapel") if word in text], path


def test_it_can_be_asked_for_like_any_other(studio: Studio) -> None:
    option = studio.options()["venue"]
    assert (option["title"], option["default"]) == ("Venue", "any")
    assert option["choices"] == ["any", *VENUES]
    assert option["titles"]["stone_chapel"] == "Stone chapel"
    assert option["help"].endswith(".")
    assert asked(studio, "hall").label("venue") == "hall"
    assert asked(studio, "any") == studio.request(seed=5, steps=3, duration_s=2.56)
    with pytest.raises(ValueError, match="venue: got 'shed', allowed any, hall, stone_chapel"):
        asked(studio, "shed")


def test_links_and_files_say_it(studio: Studio, tmp_path: Path) -> None:
    request = asked(studio, "stone_chapel")
    assert "venue=stone_chapel" in request.to_query()
    assert Request.from_query(request.to_query()) == request
    assert "venue" not in asked(studio, "any").to_query()  # as links of models without it
    clip = clip_of(studio, request)
    path = tmp_path / "clip.wav"
    path.write_bytes(clip.to_wav())
    assert read_settings(path)["venue"] == clip.settings["venue"] == "stone_chapel"
    assert Request.from_dict(read_settings(path)) == request
    assert clip_of(studio, asked(studio, "any")).settings["venue"] == "any"  # a clip says every label of its model


def test_it_is_heard(studio: Studio) -> None:
    hall, chapel, either = (clip_of(studio, asked(studio, venue)).features for venue in ("hall", "stone_chapel", "any"))
    assert min(np.abs(a - b).mean() for a, b in ((hall, chapel), (hall, either), (chapel, either))) > 1e-4


def test_another_model_refuses_it(small_checkpoint: Path, studio: Studio) -> None:
    query = asked(studio, "hall").changed(model="").to_query()
    with pytest.raises(ValueError, match="venue: got 'hall', but the settings are style, ensemble"):
        open_studio(small_checkpoint, "cpu").check(Request.from_query(query))


def test_the_command_line_takes_it(
    studio: Studio, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "clip.wav"
    arguments = ["--seed", "5", "--steps", "3", "--duration-s", "2.56", "--label", "venue=hall", "--device", "cpu"]
    main(["generate", *arguments, "--checkpoint", str(folder), "--out", str(out)])
    assert json.loads(capsys.readouterr().out)["venue"] == "hall"
    assert out.read_bytes() == clip_of(studio, asked(studio, "hall")).to_wav()


def test_it_is_an_axis_a_column_and_a_line_of_the_report(studio: Studio) -> None:
    from diffusion.ui.compare.report import report

    comparison = Comparison(asked(studio, "any"), "venue", "any, hall", "steps", (2,), tuple(studio.labels))
    cells = [each for each in compare(studio, comparison, distances=False) if isinstance(each, Cell)]
    assert [row["venue"] for row in csv.DictReader(io.StringIO(to_csv(cells)))] == ["any", "hall"]
    html = report(studio, comparison, cells)
    assert '"title": "Venue", "labels": ["Any", "Hall"]' in html
    comparison = Comparison(asked(studio, "hall"), "seed", (5,), "steps", (3,))
    cells = [each for each in compare(studio, comparison, distances=False) if isinstance(each, Cell)]
    assert '"Venue": "Hall"' in report(studio, comparison, cells)
