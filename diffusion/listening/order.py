"""What a listener hears, one after the other: in random order, each side as often first, checks mixed in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from diffusion.listening.trial import Trial

ASK, REPEAT, CATCH = "ask", "repeat", "catch"
"""What a turn is for: the question, the same pair again with its places changed, or a pair with the anchor."""


@dataclass(frozen=True)
class Slot:
    """A place in a listener's order: an item of the trial, how its clips are ordered, and what it is for."""

    item: int
    order: tuple[int, ...]
    role: str = ASK


def plan(trial: Trial, listener: str) -> list[Slot]:
    """The whole order of a listener, always the same for the same id.

    Items come in random order; of two sides each is first in half of the pairs, or in one more. Pairs of the first half
    come again in the second, never next to each other. A catch trial is never the first.
    """
    rng = np.random.default_rng([trial.seed, *listener.encode()])
    clips = len(trial.shown(0)) if trial.kind == "mushra" else 2
    orders = _orders(rng, trial.pairs, clips)
    slots = [Slot(int(item), order) for item, order in zip(rng.permutation(trial.pairs), orders, strict=True)]
    half = trial.pairs // 2
    again = [slots[place] for place in rng.permutation(half)[: trial.checks]]
    for slot in again:
        slots.insert(int(rng.integers(half + 1, len(slots) + 1)), Slot(slot.item, slot.order[::-1], REPEAT))
    for number, order in enumerate(_orders(rng, trial.checks, 2)):
        slots.insert(int(rng.integers(1, len(slots) + 1)), Slot(trial.pairs + number, order, CATCH))
    return slots


def _orders(rng: np.random.Generator, count: int, clips: int) -> list[tuple[int, ...]]:
    """So many orders of so many clips: of two clips both orders as often, of more any order."""
    if clips > 2:
        return [tuple(rng.permutation(clips).tolist()) for _ in range(count)]
    first = rng.permutation((np.arange(count) + rng.integers(2)) % 2)
    return [(int(each), 1 - int(each)) for each in first]
