"""A trial says all that it asks, survives JSON, and refuses what it cannot be."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated import BASE, PAIR, REAL, made, trial

from diffusion.listening.order import ASK, CATCH, REPEAT, plan
from diffusion.listening.trial import KINDS, Side, Trial, rungs
from diffusion.request import Request

LEVELS = rungs(BASE, "steps", (2, 4, 8), 50)
EXAMPLES = {
    "pairs": trial(checks=3, question="Which sounds more like a reel?"),
    "real-or-made": trial(kind="real-or-made", sides=(REAL, PAIR[1]), clear_at=0.95),
    "mushra": trial(kind="mushra", sides=(REAL, *PAIR), pairs=4),
    "ladder": trial(kind="ladder", sides=LEVELS, unit="vote", clear_at=0.9),
}
every_kind = pytest.mark.parametrize("kind", EXAMPLES)


def test_every_kind_has_an_example() -> None:
    assert list(EXAMPLES) == list(KINDS)


@every_kind
def test_it_survives_json(kind: str) -> None:
    assert Trial.from_dict(json.loads(json.dumps(EXAMPLES[kind].to_dict()))) == EXAMPLES[kind]


@every_kind
def test_every_clip_is_made_by_settings_that_are_whole(kind: str) -> None:
    asked = EXAMPLES[kind]
    clips = list(asked.clips())
    made_clips = [Request.from_dict(each) for each in clips if "real" not in each]
    assert made_clips
    assert len({each.seed for each in made_clips}) == asked.pairs + asked.checks
    assert all(asked.clip(side, item) in clips for item in range(asked.pairs) for side in asked.shown(item))


def test_clips_of_an_item_differ_in_nothing_but_their_sides() -> None:
    short, long = (Request.from_dict(trial().clip(side, 3)) for side in (0, 1))
    assert short == long.changed(steps=8)


def test_a_made_clip_has_the_labels_of_the_real_one_beside_it() -> None:
    asked = EXAMPLES["real-or-made"]
    assert [asked.clip(0, item)["real"] for item in range(3)] == ["reel-1", "waltz-1", "reel-1"]
    assert Request.from_dict(asked.clip(1, 1)).labels == {"style": "waltz", "ensemble": "piano", "key": "D"}
    assert Request.from_dict(asked.clip(1, 2)).labels == {"style": "reel", "ensemble": "piano"}


def test_a_ladder_has_its_reference_first() -> None:
    assert [side.name for side in LEVELS] == ["steps 50", "steps 2", "steps 4", "steps 8"]
    assert [side.settings["steps"] for side in LEVELS] == [50, 2, 4, 8]
    with pytest.raises(ValueError, match="axis: got 'pitch', allowed style, "):
        rungs(BASE, "pitch", (1, 2), 3)


@pytest.mark.parametrize("many", [3, 4, 5, 8])
def test_several_sides_are_heard_equally_often_and_all_pairs_come(many: int) -> None:
    sides = tuple(made(f"s{each}", steps=each + 1) for each in range(many))
    asked = trial(sides=sides, pairs=many * (many // 2))
    pairs = [tuple(sorted(asked.shown(item))) for item in range(asked.pairs)]
    assert len(set(pairs)) == many * (many - 1) // 2
    assert len({*Counter(side for pair in pairs for side in pair).values()}) == 1
    assert {side for pair in pairs[:many] for side in pair} == set(range(many))  # connected from the first lap on


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"kind": "duel"}, "kind: got 'duel', allowed pairs, real-or-made, mushra, ladder"),
        ({"sides": PAIR[:1]}, "sides: got 1, allowed 2 to 25 with pairs"),
        ({"sides": (PAIR[0], PAIR[0])}, "sides: got short, short, need each name once"),
        ({"sides": (REAL, PAIR[0])}, "sides: real: got real clips, need settings"),
        ({"kind": "real-or-made"}, "sides: short: got settings, need real clips"),
        ({"pairs": 0}, "pairs: got 0, allowed a whole number from 1 to 200"),
        ({"pairs": 4, "checks": 3}, "checks: got 3, allowed a whole number from 0 to 2"),
        ({"kind": "mushra", "checks": 1}, "checks: got 1, allowed a whole number from 0 to 0"),
        ({"min_s": -1}, "min_s: got -1, allowed 0.0 to 60.0"),
        ({"unit": "room"}, "unit: got 'room', allowed listener, vote"),
        ({"matched": 1}, "matched: got 1, allowed true or false"),
        ({"clear_at": 1}, "clear_at: got 1, allowed 0.5 to 0.999"),
        ({"kind": "mushra", "clear_at": 0.9}, "clear_at: got 0.9, allowed where every pair has the first side"),
        ({"sides": (*PAIR, made("third")), "pairs": 2}, "pairs: got 2, allowed a whole number from 3 to 200"),
        ({"question": " "}, "question: got ' ', need a text of up to 200 letters"),
    ],
)
def test_what_cannot_be_is_named(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        trial(**changed)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ([], "trial: got \\[\\], need an object"),
        ({"colour": 1}, "trial: got 'colour', allowed kind, sides"),
        ({}, "kind: got '', allowed pairs"),
        ({"kind": "pairs", "sides": "ab"}, "sides: got 'ab', need a list"),
        ({"kind": "pairs", "sides": [{"name": "a", "steps": 1}]}, "sides: got 'steps', allowed name, settings, reals"),
        ({"kind": "pairs", "sides": [{"name": "a"}]}, "sides: a: got neither, need settings or real clips"),
        ({"kind": "pairs", "sides": [{"name": "a", "settings": {"steps": 0}}]}, "sides: a: steps: got 0, allowed"),
        ({"kind": "pairs", "sides": [{"name": "", "settings": {"steps": 1}}]}, "sides: name: got '', need a text"),
    ],
)
def test_json_that_is_no_trial_is_named(said: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        Trial.from_dict(said)


@given(pairs=st.integers(1, 40), checks=st.integers(0, 20), listener=st.text("abc-_123", min_size=1, max_size=22))
def test_a_listeners_order_is_balanced_and_has_its_checks(pairs: int, checks: int, listener: str) -> None:
    asked = trial(pairs=pairs, checks=min(checks, pairs // 2))
    order = plan(asked, listener)
    assert order == plan(asked, listener)
    assert len(order) == asked.turns
    by_role = {role: [slot for slot in order if slot.role == role] for role in (ASK, REPEAT, CATCH)}
    assert sorted(slot.item for slot in by_role[ASK]) == list(range(pairs))
    for slots in (by_role[ASK], by_role[CATCH]):
        assert abs(sum(1 if slot.order == (0, 1) else -1 for slot in slots)) <= 1
    assert order[0].role == ASK
    for again in by_role[REPEAT]:
        (before,) = (slot for slot in by_role[ASK] if slot.item == again.item)
        assert order.index(again) > order.index(before) + 1
        assert again.order == before.order[::-1]
    for catch in by_role[CATCH]:
        assert asked.anchor in asked.shown(catch.item)


def test_listeners_have_different_orders_and_pages_are_shuffled() -> None:
    assert plan(trial(), "a") != plan(trial(), "b")
    pages = plan(EXAMPLES["mushra"], "a")
    assert len({slot.order for slot in pages}) > 1
    assert all(sorted(slot.order) == [0, 1, 2, 3] for slot in pages)


def test_settings_that_a_clip_came_with_are_a_side() -> None:
    clip = {**BASE.to_dict(), "evaluations": 20, "drawn": {"key": "D"}, "version": 1}
    assert Side("take", clip) == Side("take", BASE.changed(seed=9).to_dict())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@every_kind
@given(data=st.data())
def test_any_other_json_is_refused_in_words(kind: str, data: st.DataObject) -> None:
    said = json.loads(json.dumps(EXAMPLES[kind].to_dict()))
    places = [said, said["sides"][0], *(said["sides"][0]["reals"] or [said["sides"][0]["settings"]])]
    place = data.draw(st.sampled_from(places))
    place[data.draw(st.sampled_from(sorted(place)))] = data.draw(JSON)
    with suppress(ValueError):
        read = Trial.from_dict(said)
        assert Trial.from_dict(json.loads(json.dumps(read.to_dict()))) == read
