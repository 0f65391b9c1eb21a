"""Comparisons: which cells there are, in what order they come, what they cost and how far they are from where more
steps lead."""

from __future__ import annotations

import csv
import io
import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diffusion.compare import (
    BATCH_CLIPS,
    CONVERGED,
    Cell,
    Comparison,
    Progress,
    compare,
    converged,
    distance_db,
    to_csv,
    work,
)
from diffusion.engine import Clip
from diffusion.engine.local import MEL_TOLERANCE_DB
from diffusion.request import Request
from diffusion.samplers import SAMPLERS
from diffusion.studio import Studio, open_studio

BASE = Request({"style": "chorale", "ensemble": "piano"}, 5, "unipc", 4, 4.0, 2.56)


@pytest.fixture(scope="module")
def studio(small_checkpoint: Path) -> Studio:
    return open_studio(small_checkpoint, "cpu")


def comparison(**changes: Any) -> Comparison:
    return Comparison(**{"base": BASE, "axis_x": "sampler", "values_x": ("unipc", "ddim"), "axis_y": "steps",
                   "values_y": (6, 3), **changes})  # fmt: skip


def cells_of(steps: Any) -> list[Cell]:
    return [each for each in steps if isinstance(each, Cell)]


def test_a_comparison_asks_for_every_pair() -> None:
    asked = comparison(base=BASE.changed(sampler="ddim", knobs={"eta": 0.5}))
    assert asked.places == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert [asked.request(place).sampler for place in asked.places] == ["unipc", "ddim", "unipc", "ddim"]
    assert [asked.request(place).steps for place in asked.places] == [6, 6, 3, 3]
    assert asked.request((0, 1)).knobs == {"eta": 0.5}
    assert asked.request((0, 0)).knobs == {}


def test_values_may_be_text() -> None:
    asked = comparison(axis_x="guidance_scale", values_x="1, 2.5,4", axis_y="seed", values_y="7, Ada")
    assert asked.values_x == (1.0, 2.5, 4.0)
    assert asked.values_y == (7, 4260250381)
    assert comparison(values_y="3,6").values_y == (3, 6)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (
            {"axis_x": "duration_s"},
            "axis_x: got 'duration_s', allowed sampler, steps, guidance_scale, seed, grid",
        ),
        ({"axis_y": "sampler"}, "axis_y: got 'sampler', which is axis_x already; allowed steps"),
        ({"values_x": "unipc, magic"}, "values_x: sampler: got 'magic', allowed unipc"),
        ({"values_y": "3, 0"}, "values_y: steps: got 0, allowed a whole number from 1 to 1000"),
        ({"values_y": "3, many"}, "values_y: steps: got 'many', allowed a number from 1 to 1000"),
        ({"values_y": (3, 3.0)}, "values_y: got 3, 3, need each value once"),
        ({"values_y": ""}, r"values_y: got \[\], need at least one value"),
        ({"values_y": 3}, "values_y: got 3, need at least one value"),
        ({"values_y": tuple(range(1, 14))}, "got 2 x 13 cells, allowed up to 25"),
    ],
    ids=str,
)
def test_a_wrong_comparison_is_refused_in_words(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        comparison(**wrong)


def test_a_label_that_the_model_has_not_is_refused_at_once(studio: Studio) -> None:
    with pytest.raises(ValueError, match="style: got 'jazz', allowed any, chorale, fiddle"):
        compare(studio, comparison(axis_y="style", values_y="fiddle, jazz"))


def test_cells_come_first_the_cheapest_first_and_then_their_distances(studio: Studio) -> None:
    run = list(compare(studio, comparison(values_y=(6, 3))))
    cells = cells_of(run)
    assert [cell.place for cell in cells[:4]] == [(1, 0), (1, 1), (0, 0), (0, 1)]
    assert [cell.distance_db for cell in cells[:4]] == [None] * 4
    assert sorted(cell.place for cell in cells[4:]) == comparison().places
    for cell in cells[:4]:
        *_, alone = studio.generate(comparison().request(cell.place))
        assert isinstance(alone, Clip)
        assert cell.clip.to_wav() == alone.to_wav()  # a batch of one
        assert cell.clip.settings["evaluations"] == alone.settings["evaluations"]
        assert not cell.cached
    assert [each.reference for each in run if isinstance(each, Progress)] == [False] * (4 + 4 + 7 + 7) + [True] * 101
    *_, reference = studio.generate(converged(BASE))
    assert isinstance(reference, Clip)
    for cell in cells[4:]:
        expected = distance_db(cell.clip.features, reference.features, studio.mel)
        assert cell.distance_db == pytest.approx(expected, abs=0.05)
    far, near = ({cell.place: cell.distance_db for cell in cells[4:]}[place] for place in ((1, 0), (0, 0)))
    assert far is not None
    assert near is not None
    assert near < far


def test_what_may_share_a_batch_does(studio: Studio) -> None:
    asked = comparison(axis_x="seed", values_x=(1, 2, 3, 4), axis_y="guidance_scale", values_y=(1.0, 2.0, 3.0))
    run = list(compare(studio, asked, distances=False))
    batches = dict.fromkeys(each.places for each in run if isinstance(each, Progress))
    assert sorted(len(batch) for batch in batches) == [4, 4, 4]  # without guidance half the price: never with the rest
    assert ((0, 0), (0, 1), (0, 2), (0, 3)) in batches
    assert max(map(len, batches)) <= BATCH_CLIPS
    for cell in cells_of(run):
        *_, alone = studio.generate(asked.request(cell.place))
        assert isinstance(alone, Clip)
        assert cell.clip.settings == alone.settings
        assert distance_db(cell.clip.features, alone.features, studio.mel) < MEL_TOLERANCE_DB


def test_a_cell_that_was_made_before_comes_from_the_cache(studio: Studio) -> None:
    cache: dict[str, Clip] = {}
    assert work(studio, comparison(), cache) == (18, 100)
    first = cells_of(compare(studio, comparison(), cache=cache))
    assert work(studio, comparison(), cache) == (0, 0)
    run = list(compare(studio, comparison(values_y=(6, 3, 2)), cache=cache))
    cells = cells_of(run)
    assert [(cell.place, cell.cached) for cell in cells[:6]] == [
        *((place, True) for place in comparison().places),
        ((2, 0), False),
        ((2, 1), False),
    ]
    assert {cell.place: cell.clip for cell in first}[0, 0] is cells[0].clip
    assert not any(each.reference for each in run if isinstance(each, Progress))  # the same seed, labels and guidance
    assert len(cells) == 12


def test_the_converged_clip_is_at_no_distance_from_itself(studio: Studio) -> None:
    cells = cells_of(compare(studio, comparison(values_y=(CONVERGED["steps"],), values_x="unipc"), cache={}))
    assert [cell.distance_db for cell in cells] == [None, 0.0]


def test_a_grid_that_leaps_tends_to_another_clip_than_those_that_do_not(studio: Studio) -> None:
    asked = comparison(
        axis_x="grid", values_x=("leap", "early", "uniform"), axis_y="steps", values_y=(CONVERGED["steps"],)
    )
    last = {cell.place: cell.distance_db for cell in cells_of(compare(studio, asked))}
    assert last[0, 0] == last[0, 1] == 0.0
    assert last[0, 2] == pytest.approx(0, abs=1)  # converged too, by steps of its own


@pytest.mark.parametrize("reference", [False, True])
def test_stopping_keeps_what_is_finished_and_makes_no_more(studio: Studio, reference: bool) -> None:
    stop, after, cells = threading.Event(), 0, []
    for each in compare(studio, comparison(), stop):
        after += stop.is_set()
        if isinstance(each, Cell):
            cells.append(each)
        elif each.reference == reference and each.index == 1 and (reference or cells):
            stop.set()
    assert after == 0  # the step that it was stopped at was the last
    assert [cell.place for cell in cells] == [(1, 0), (1, 1), (0, 0), (0, 1)][: 4 if reference else 1]
    assert all(cell.clip.settings["stopped_at"] is None for cell in cells)
    assert len(list(studio.generate(BASE))) == 6  # nobody holds the turn


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("steps", [1, 2, 9])
def test_evaluations_are_known_beforehand(studio: Studio, sampler: str, steps: int) -> None:
    request = Request({"style": "any", "ensemble": "any"}, 5, sampler, steps, 1.0, 2.56)
    *_, clip = studio.generate(request)
    assert isinstance(clip, Clip)
    assert request.evaluations == clip.settings["evaluations"]


def test_the_table_has_a_row_for_each_cell(studio: Studio) -> None:
    cells = {cell.place: cell for cell in cells_of(compare(studio, comparison()))}
    rows = list(csv.DictReader(io.StringIO(to_csv(cells.values()))))
    assert [(row["row"], row["column"]) for row in rows] == [("0", "0"), ("0", "1"), ("1", "0"), ("1", "1")]
    assert [row["sampler"] for row in rows] == ["unipc", "ddim", "unipc", "ddim"]
    assert [row["evaluations"] for row in rows] == ["6", "6", "3", "3"]
    assert all(float(row["distance_db"]) > 0 and float(row["seconds"]) > 0 for row in rows)
    assert json.loads(rows[1]["knobs"]) == {"eta": 0.0}
    assert to_csv([]).strip() == ""


def test_labels_that_may_be_left_open_are_axes_too(studio: Studio) -> None:
    asked = comparison(axis_x="mode", values_x="any, minor", axis_y="tempo", values_y="slow")
    cells = cells_of(compare(studio, asked, distances=False))
    rows = list(csv.DictReader(io.StringIO(to_csv(cells))))
    assert [(row["mode"], row["tempo"]) for row in rows] == [("any", "slow"), ("minor", "slow")]


def test_identities_tell_requests_apart() -> None:
    assert BASE.identity == Request.from_dict(json.loads(BASE.identity)).identity
    assert BASE.identity != comparison(axis_y="seed", values_y="6").request((0, 0)).identity


def test_distance_is_in_decibels(studio: Studio) -> None:
    louder = np.full((1, 128, 4), np.log(10) / 20 / studio.mel.scale)  # every amplitude 1 dB up
    assert distance_db(louder, np.zeros((1, 128, 4)), studio.mel) == pytest.approx(1)
