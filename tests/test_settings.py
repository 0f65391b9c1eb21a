"""The one table of settings: sound in itself, and what everything else reads."""

from __future__ import annotations

import argparse
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest

from diffusion.compare import AXES, Comparison
from diffusion.generate import add_arguments
from diffusion.request import KNOBS, Request, check_batch
from diffusion.samplers import DDPM
from diffusion.settings import (
    BY_THE_BOOK,
    DRAWN,
    LABELS,
    PRESETS,
    RESULTS,
    SETTINGS,
    SHARED,
    Choice,
    Edits,
    Knobs,
    Label,
    Number,
    Seed,
    Setting,
    label_of,
)
from diffusion.studio import Studio, open_studio

ALL = pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
REQUEST = Request({}, 1, "ddim")


@pytest.fixture(scope="module")
def studio(small_checkpoint: Path) -> Studio:
    return open_studio(small_checkpoint, "cpu")


def other_than(setting: Setting) -> Any:
    """Another value than that of REQUEST."""
    if isinstance(setting, Choice):
        return next(each for each in setting.catalogue if each != REQUEST[setting.name])
    if isinstance(setting, Number):
        return next(each for each in setting.range if each != REQUEST[setting.name])
    if isinstance(setting, Edits):
        return {"loop": {}}
    return {"eta": 0.5} if isinstance(setting, Knobs) else "another"


@ALL
def test_each_says_what_it_is_in_one_sentence(setting: Setting) -> None:
    assert setting.title[0].isupper()
    assert setting.help[0].isupper()
    assert setting.help.endswith(".")
    assert setting.help.count(".") == 1
    assert len({each.help for each in SETTINGS.values()}) == len(SETTINGS)


@ALL
def test_its_default_and_its_absence_are_values_that_it_allows(setting: Setting) -> None:
    for value in (setting.default, setting.absent):
        if value is not None and not (isinstance(setting, Seed) and value == DRAWN):
            assert setting.checked(value) == value


@ALL
def test_a_value_of_another_kind_is_refused_by_name(setting: Setting) -> None:
    if isinstance(setting, Knobs):  # what they may be stands with the sampler
        return
    with pytest.raises(ValueError, match=f"^{setting.name}: got "):
        setting.checked(["no such value"])


def test_a_request_has_a_field_for_each_that_is_no_label_and_no_default_of_its_own() -> None:
    own = {each.name: each for each in fields(Request) if each.name != "labels"}
    assert own.keys() == SETTINGS.keys() - set(LABELS)
    defaults = {name: each.default for name, each in own.items() if each.default is not MISSING}
    assert own.keys() - defaults.keys() == {"seed", "knobs", "edits"}  # which have none
    assert defaults == {name: SETTINGS[name].default for name in defaults}


def test_what_a_request_does_not_say_has_the_meaning_of_its_absence() -> None:
    unsaid = Request.from_dict({"seed": 1})
    assert {name: unsaid[name] for name in SETTINGS if name not in ("seed", "knobs")} == {
        name: each.absent for name, each in SETTINGS.items() if name not in ("seed", "knobs")
    }


@ALL
def test_a_batch_has_the_shared_ones_in_common_and_no_others(setting: Setting) -> None:
    different = [REQUEST, REQUEST.changed(**{setting.name: other_than(setting)})]
    assert different[0][setting.name] != different[1][setting.name]
    assert setting.shared == (setting.name in SHARED)
    if setting.shared:
        with pytest.raises(ValueError, match=setting.name):
            check_batch(different)
    else:
        check_batch(different)


@ALL
def test_it_may_be_an_axis_if_it_says_so(setting: Setting) -> None:
    assert setting.axis == (setting.name in AXES)
    values = [other_than(setting)]
    another = "seed" if setting.name != "seed" else "steps"
    if setting.axis:
        comparison = Comparison(REQUEST, setting.name, tuple(values), another, (7,))
        assert comparison.request((0, 0))[setting.name] == values[0]
    else:
        with pytest.raises(ValueError, match=f"axis_x: got '{setting.name}'"):
            Comparison(REQUEST, setting.name, tuple(values), another, (7,))


def test_a_studio_offers_what_the_table_has(studio: Studio) -> None:
    assert list(studio.settings) == list(SETTINGS)
    options = studio.options()
    assert options.keys() == SETTINGS.keys() | {"presets"}
    for name, setting in SETTINGS.items():
        if name in ("knobs", "model", "edits"):  # which say what there is, by sampler and by digest
            continue
        assert (options[name]["title"], options[name]["help"]) == (setting.title, setting.help)
        assert options[name]["default"] == studio.default(name)
        if isinstance(setting, Number):
            assert (options[name]["minimum"], options[name]["maximum"]) == setting.range
        else:
            assert options[name]["choices"] == list(options[name]["titles"]) == studio.values(name)


def test_the_command_has_a_flag_for_each() -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    known = vars(parser.parse_args(["--out", "clip.wav"]))
    own = {"label", "knob", "out", "film", "checkpoint", "device"}
    edits = {
        "continued",
        "keep_s",
        "source",
        "strength",
        "mask",
        "loop",
        "fork_at",
        "parent",
        "blend",
        "place",
        "section",
    }
    assert known.keys() == (SETTINGS.keys() - {"knobs", "edits"}) | own | edits
    for setting in SETTINGS.values():
        if not isinstance(setting, (Knobs, Edits)):
            value = other_than(setting)
            assert vars(parser.parse_args(["--out", "a.wav", setting.flag, str(value)]))[setting.name] in (
                value,
                str(value),
            )


def test_presets_are_made_of_the_table() -> None:
    for preset in PRESETS.values():
        for name, value in preset.items():
            assert SETTINGS[name].checked(value) == value
            assert not isinstance(SETTINGS[name], Label)  # a preset says how, not what


def test_the_book_decides_what_it_says_and_is_unsaid_where_it_is_not_asked_for() -> None:
    before = Request({}, 1, "ddpm", knobs={"variance": "beta-tilde"})
    assert "by_the_book" not in before.to_dict()
    assert "by_the_book" not in before.to_query()
    booked = before.changed(by_the_book="yes", guidance_rule="rescaled", guidance_from=0)
    assert {name: booked[name] for name in BY_THE_BOOK} == BY_THE_BOOK
    assert booked.method == DDPM("beta")
    assert booked.changed(sampler="ddim", grid="leap").grid == "linear-betas"
    assert booked.to_dict()["by_the_book"] == "yes"
    assert Request.from_query(booked.to_query()) == Request.from_dict(booked.to_dict()) == booked
    with pytest.raises(ValueError, match="by_the_book: got 'perhaps', allowed no, yes"):
        before.changed(by_the_book="perhaps")


def test_what_the_book_decides_is_no_axis_beside_it() -> None:
    for base, axis, values in ((REQUEST.changed(by_the_book="yes"), "steps", (7,)), (REQUEST, "by_the_book", ("yes",))):
        for name in BY_THE_BOOK:
            with pytest.raises(ValueError, match=f"axis_y: got '{name}', which the book decides"):
                Comparison(base, axis, values, name, (BY_THE_BOOK[name],))


def test_another_preset_leaves_the_book(studio: Studio) -> None:
    booked = studio.by_preset(studio.request(seed=1), "2020")
    assert booked.booked
    assert studio.by_preset(booked, "Balanced") == studio.request(seed=1)
    assert studio.by_preset(studio.request(seed=1, grid="karras"), "Balanced").grid == "karras"


def test_no_name_means_two_things() -> None:
    assert not KNOBS & SETTINGS.keys()
    assert not set(RESULTS) & (SETTINGS.keys() | KNOBS)


def test_a_label_that_only_a_model_knows_is_like_those_of_the_table() -> None:
    room = label_of("recording_room")
    assert (room.name, room.title, room.open) == ("recording_room", "Recording room", True)
    assert room.help == "Recording room, as this model knows it."
    assert room.place
    assert label_of("mode") is SETTINGS["mode"]
