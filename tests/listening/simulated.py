"""Trials, and listeners who are made up: what they prefer is known, so that what is found can be held to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from diffusion.listening.order import ASK, REPEAT, plan
from diffusion.listening.trial import BOTH_BAD, FIRST, SECOND, TIE, Real, Side, Trial
from diffusion.listening.votes import Vote
from diffusion.request import Request

Answer = Callable[[np.random.Generator, tuple[int, ...]], Any]
"""What somebody answers to the sides that they are shown."""

BASE = Request.from_dict({"style": "reel", "ensemble": "piano", "seed": 1})


def made(name: str, **settings: Any) -> Side:
    return Side(name, BASE.changed(**settings).to_dict())


PAIR = (made("short", steps=8), made("long", steps=50))
REAL = Side("real", reals=(Real("reel-1", {"style": "reel"}), Real("waltz-1", {"style": "waltz", "key": "D"})))


def trial(**changed: Any) -> Trial:
    return Trial(**{"kind": "pairs", "sides": PAIR, "seed": 7, **changed})


def votes_of(trial: Trial, listener: str, answer: Answer, rng: np.random.Generator, at: float = 0.0) -> list[Vote]:
    """Everything that somebody answers, in their own order."""
    votes: list[Vote] = []
    for number, slot in enumerate(plan(trial, listener)):
        shown = tuple(trial.shown(slot.item)[place] for place in slot.order)
        if slot.role == REPEAT:
            shown = next(each.shown for each in votes if each.item == slot.item and each.role == ASK)[::-1]
        heard_s = (trial.min_s,) * len(shown)
        votes.append(Vote(listener, number, slot.item, slot.role, shown, at, answer(rng, shown), heard_s, at + number))
    return votes


def crowd(trial: Trial, answers: Iterable[Answer], seed: int) -> list[Vote]:
    """The votes of several listeners, l0, l1, ..., one after the other."""
    rng = np.random.default_rng(seed)
    return [vote for number, each in enumerate(answers) for vote in votes_of(trial, f"l{number}", each, rng)]


def preferring(share: float, ties: float = 0.0, anchor: int = 2) -> Answer:
    """Somebody who chooses side 0 with that probability, unless it is a tie, and hardly ever the anchor."""

    def answer(rng: np.random.Generator, shown: tuple[int, ...]) -> str:
        if anchor in shown:
            right = rng.random() < 0.97
            return (FIRST, SECOND)[shown.index(anchor) ^ 1 if right else shown.index(anchor)]
        if rng.random() < ties:
            return TIE
        return (FIRST, SECOND)[shown.index(0) if rng.random() < share else 1 - shown.index(0)]

    return answer


def at_random(rng: np.random.Generator, shown: tuple[int, ...]) -> str:
    return str(rng.choice([FIRST, SECOND, TIE, BOTH_BAD]))


def always_first(rng: np.random.Generator, shown: tuple[int, ...]) -> str:
    return FIRST
