"""Requests refuse what does not exist, in words, and survive JSON and links."""

from __future__ import annotations

import json
import math
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffusion.request import Request
from diffusion.samplers import SAMPLERS
from diffusion.settings import ANY, LABELS, SETTINGS, Choice, Edits, Label, Number, Setting, label_of
from diffusion.studio import Studio

BASE: dict[str, Any] = {"style": "chorale", "ensemble": "piano", "seed": 1}
OWN = ("room", "player_2")  # labels that only some model knows
LATER = tuple(name for name in (*LABELS, *OWN) if label_of(name).open)  # than the first files and links


SOME_EDITS: list[dict[str, Any]] = [
    {"fork": {"at": 0, "parent": {"style": "&=", "seed": 3}}},
    {
        "blend": {"seeds": [1, 2, 3], "place": [0.25, 1.0]},
        "timeline": {"sections": [{"from_s": 0.5, "labels": {"key": "F#"}}]},
    },
    {"transform": {"source": "0123456789abcdef", "source_s": 3.0, "strength": 0.5}},
]


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """Any request: a value for each setting of the table, and labels that are not in it."""
    sampler = draw(st.sampled_from(list(SAMPLERS)))
    knobs: dict[str, Any] = {}
    for each in fields(SAMPLERS[sampler]):
        if each.metadata["choices"]:
            knobs[each.name] = draw(st.sampled_from(each.metadata["choices"]))
        elif each.metadata["range"]:
            whole = isinstance(each.default, int)
            knobs[each.name] = draw((st.integers if whole else st.floats)(*each.metadata["range"]))
    drawn = {name: draw(values(each)) for name, each in SETTINGS.items()}
    own = {name: draw(values(label_of(name))) for name in OWN}
    return Request.from_dict({**drawn, **own, "sampler": sampler, "knobs": knobs})


def values(setting: Setting) -> st.SearchStrategy[Any]:
    if isinstance(setting, Label):
        return st.sampled_from([ANY, "a", "music_box", "F#", "&=", "7", "1e10", "104"])
    if isinstance(setting, Choice):
        return st.sampled_from([*setting.catalogue, *([""] if setting.left_to_model else [])])
    if isinstance(setting, Number):
        numbers = (st.integers if setting.whole else st.floats)(*setting.range)
        return st.none() | numbers if setting.name == "duration_s" else numbers
    if isinstance(setting, Edits):
        return st.sampled_from([{}, *SOME_EDITS])
    return st.sampled_from(["", "0123456789ab", "123456789012", "1e10"])  # digests of models


@given(requests())
def test_json_and_links_give_the_same_request_back(request: Request) -> None:
    assert Request.from_dict(json.loads(json.dumps(request.to_dict()))) == request
    assert Request.from_query(request.to_query()) == request


@given(requests())
def test_links_and_files_from_before_some_labels_leave_them_open(request: Request) -> None:
    before = request.changed(**dict.fromkeys(LATER, ANY))
    settings, query = before.to_dict(), before.to_query()
    assert not set(LATER) & settings.keys()
    assert not any(f"{name}=" in query for name in LATER)
    assert Request.from_dict(settings) == Request.from_dict({**settings, "mode": "any"}) == before
    assert Request.from_query(query) == Request.from_query(f"{query}&tempo=any") == before


@given(requests())
def test_links_and_files_from_before_there_was_a_choice_mean_even_steps_and_plain_guidance(request: Request) -> None:
    unsaid = {"grid": "uniform", "guidance_rule": "plain", "guidance_from": -15.0}
    before = request.changed(**unsaid)
    settings = {name: value for name, value in request.to_dict().items() if name not in unsaid}
    query = "&".join(each for each in request.to_query().split("&") if each.partition("=")[0] not in unsaid)
    assert Request.from_dict(settings) == Request.from_query(query) == before


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"steps": 0}, ["steps", "0", "1 to 1000"]),
        ({"steps": 1001}, ["steps", "1001", "1 to 1000"]),
        ({"steps": 2.5}, ["steps", "2.5", "whole"]),
        ({"steps": "many"}, ["steps", "'many'", "1 to 1000"]),
        ({"steps": True}, ["steps", "True"]),
        ({"guidance_scale": 0.9}, ["guidance_scale", "0.9", "1.0 to 15.0"]),
        ({"guidance_scale": math.nan}, ["guidance_scale", "nan", "1.0 to 15.0"]),
        ({"guidance_scale": math.inf}, ["guidance_scale", "inf"]),
        ({"seed": -1}, ["seed", "-1", "0 to 4294967295"]),
        ({"seed": 2**32}, ["seed", "4294967296", "0 to 4294967295"]),
        ({"duration_s": 41.0}, ["duration_s", "41.0", "2.56 to 40.96"]),
        ({"sampler": "magic"}, ["sampler", "'magic'", "ddim", "dpmpp-2m"]),
        ({"sampler": ["ddim"]}, ["sampler", "ddim"]),
        ({"grid": "square"}, ["grid", "'square'", "leap, early, uniform, log-snr, karras, edm, linear-betas"]),
        ({"grid": "full"}, ["grid", "'full'", "early"]),
        ({"guidance_rule": "loud"}, ["guidance_rule", "'loud'", "moving, plain, rescaled, projected"]),
        ({"guidance_from": -15.5}, ["guidance_from", "-15.5", "-15.0 to 15.0"]),
        ({"guidance_rule": ["plain"]}, ["guidance_rule", "['plain']"]),
        ({"decoder": "radio"}, ["decoder", "'radio'", "vocoder, griffin-lim"]),
        ({"sampler": "ddim", "knobs": {"eta": 2}}, ["eta", "2", "0 to 1"]),
        ({"sampler": "ddim", "knobs": {"eta": "high"}}, ["eta", "'high'", "0 to 1"]),
        ({"sampler": "ddpm", "knobs": {"variance": "large"}}, ["variance", "'large'", "beta-tilde"]),
        ({"sampler": "ddim", "knobs": {"variance": "beta"}}, ["variance", "ddim", "eta"]),
        ({"knobs": [1]}, ["knobs", "[1]"]),
        ({"style": 3}, ["style", "3"]),
        ({"mode": 3}, ["mode", "3"]),
        ({"tempo": None}, ["tempo", "None"]),
    ],
)
def test_an_error_names_the_argument_the_value_and_what_is_allowed(wrong: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ValueError, match=words[0]) as error:
        Request.from_dict({**BASE, **wrong})
    assert all(word in str(error.value) for word in words)


def test_settings_of_another_kind_are_refused(studio: Studio) -> None:
    with pytest.raises(ValueError, match="tempo"):
        Request.from_dict({**BASE, "tempo": 120})
    with pytest.raises(ValueError, match="seed"):
        Request.from_dict({"style": "any", "ensemble": "any"})
    with pytest.raises(ValueError, match="zeta"):
        Request.from_dict({**BASE, "zeta": 2})
    with pytest.raises(ValueError, match="zeta"):  # as a text it may be a label, which only a model can tell
        studio.check(Request.from_query("style=any&ensemble=any&seed=1&zeta=2"))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"style": "jazz"}, ["style", "'jazz'", "any, chorale, fiddle"]),
        ({"ensemble": "kazoo"}, ["ensemble", "'kazoo'", "any, piano, music_box, flute"]),
        ({"mode": "blue"}, ["mode", "'blue'", "any, major, minor"]),
        ({"tempo": "largo"}, ["tempo", "'largo'", "any, slow, medium, fast"]),
        ({"model": "ffffffffffff"}, ["model", "ffffffffffff"]),
    ],
)
def test_the_studio_refuses_what_its_model_does_not_know(
    studio: Studio, wrong: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(ValueError, match=words[0]) as error:
        studio.generate(Request.from_dict({**BASE, **wrong}))
    assert all(word in str(error.value) for word in words)


def test_knobs_are_completed_and_numbers_take_their_type() -> None:
    request = Request.from_dict({**BASE, "sampler": "ddim", "steps": 7.0, "guidance_scale": 2})
    assert request.knobs == {"eta": 0.0}
    assert isinstance(request.steps, int)
    assert isinstance(request.guidance_scale, float)


def test_what_is_missing_takes_its_default_and_a_seed_is_drawn(studio: Studio) -> None:
    first, second = studio.request(steps=3), studio.request(steps=3, seed=-1, style=None)
    assert first.seed != second.seed
    assert first.label("style") == studio.options()["style"]["default"]
    assert studio.request(seed=12).seed == 12
    assert first.model == studio.digest


def test_options_describe_every_argument_in_json(studio: Studio) -> None:
    options = json.loads(json.dumps(studio.options()))
    for name in (*LABELS, "steps", "guidance_scale", "seed", "duration_s", "sampler", "decoder"):
        assert options[name]["help"].endswith(".")
    assert options["style"]["choices"] == ["any", "chorale", "fiddle"]
    assert options["mode"]["choices"] == ["any", "major", "minor"]
    assert (options["tempo"]["default"], options["tempo"]["titles"]["slow"]) == ("any", "Slow")
    assert (options["steps"]["minimum"], options["steps"]["maximum"]) == (1, 1000)
    assert set(options["knobs"]) == set(options["sampler"]["choices"]) == set(SAMPLERS)
    assert options["knobs"]["ddim"]["eta"]["range"] == [0, 1]
    for preset in options["presets"].values():
        studio.check(studio.request(**preset))
