"""What a listening trial asks: its sides, its question, what a listener hears, and when it is over by itself."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from diffusion.request import Request
from diffusion.settings import SEEDS, SETTINGS, checked_number, draw_seed, label_of

FIRST, SECOND, TIE, BOTH_BAD = "first", "second", "tie", "both-bad"
UNITS = ("listener", "vote")
MOST_PAIRS, MOST_CHECKS, MOST_LETTERS = 200, 20, 200
RATINGS = (0.0, 100.0)
ANCHOR_NAME = "anchor"
ANCHOR: dict[str, Any] = {"sampler": "ddim", "steps": 1, "edits": {}}
"""What makes a clip that anybody can tell from music: one step, which leads to the mean of all that could be."""

Settings = Mapping[str, Any]
"""What makes one clip: settings as `Request.to_dict` has them, or {"real": the name of a shipped clip}."""


@dataclass(frozen=True)
class Kind:
    """A kind of trial: words, the question where none is given, what may be answered (ratings if nothing), and how
    many sides it may have."""

    title: str
    summary: str
    question: str
    answers: tuple[str, ...]
    sides: tuple[int, int]


KINDS = {
    "pairs": Kind(
        "Pairs", "Which of two clips is better.", "Which is better?", (FIRST, SECOND, TIE, BOTH_BAD), (2, 25)
    ),
    "real-or-made": Kind(
        "Real or made", "Which of two clips is real music.", "Which is the real one?", (FIRST, SECOND, TIE), (2, 25)
    ),
    "mushra": Kind(
        "MUSHRA",
        "Every version of a clip is rated beside a reference, which hides among them (ITU-R BS.1534-3).",
        "How good is each beside the reference?",
        (),
        (2, 10),
    ),
    "ladder": Kind(
        "Ladder", "How little is enough that few can tell it from much.", "Which is better?", (FIRST, SECOND), (3, 25)
    ),
}


@dataclass(frozen=True)
class Real:
    """A shipped clip of real music, by its name, and the labels that a made clip beside it shall have."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_text("real", self.name)
        _check_object("labels", self.labels)
        object.__setattr__(self, "labels", {name: label_of(name).checked(each) for name, each in self.labels.items()})


@dataclass(frozen=True)
class Side:
    """One of the things that are compared: a name that stays hidden, and settings without a seed, or real clips."""

    name: str
    settings: Settings = field(default_factory=dict)
    reals: tuple[Real, ...] = ()

    def __post_init__(self) -> None:
        _check_text("sides: name", self.name)
        _check_object(f"sides: {self.name}", self.settings)
        if bool(self.settings) == bool(self.reals):
            got = "both" if self.reals else "neither"
            raise ValueError(f"sides: {self.name}: got {got}, need settings or real clips")
        if self.settings:
            try:
                settings = Request.from_dict({**self.settings, "seed": 0}).to_dict()
            except ValueError as error:
                raise ValueError(f"sides: {self.name}: {error}") from error
            object.__setattr__(self, "settings", {name: each for name, each in settings.items() if name != "seed"})

    @classmethod
    def from_dict(cls, said: Any) -> Side:
        """Inverts `asdict`; ValueError for anything else."""
        known = _known("sides", said, cls)
        reals = [
            Real(**{"name": "", **_known("reals", each, Real)}) for each in _listed("reals", known.get("reals", ()))
        ]
        return cls(**{"name": "", **known, "reals": tuple(reals)})


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A trial, before anybody has listened. ValueError names what is wrong, the value got and what is allowed.

    The first of `sides` is the reference of a ladder and of MUSHRA, and the real one of "real-or-made"; the others of a
    ladder come in order, from what is easily told from it to what is not. A listener hears `pairs` of them (pages, with
    MUSHRA), so many `checks` of each kind mixed in: pairs that come again with their places changed, and pairs in which
    one side is the `anchor`. Each clip is heard for `min_s` at least, and both are as loud as the quieter one if
    `matched`. `unit` says what counts as one independent observation: each listener, or each vote, where the answer
    shall hold for those who listen and for nobody else. With `clear_at`, such as 0.95, the trial ends by itself once
    the answer is clear at that level. `seed` decides the seed of every clip.
    """

    kind: str
    sides: tuple[Side, ...]
    question: str = ""
    pairs: int = 20
    checks: int = 0
    min_s: float = 5.0
    matched: bool = True
    unit: str = "listener"
    clear_at: float | None = None
    seed: int = field(default_factory=draw_seed)

    def __post_init__(self) -> None:
        if not isinstance(self.kind, str) or self.kind not in KINDS:
            raise ValueError(f"kind: got {self.kind!r}, allowed {', '.join(KINDS)}")
        object.__setattr__(self, "question", self.question or KINDS[self.kind].question)
        _check_text("question", self.question)
        self._check_sides()
        least = len(self.sides) if self.kind == "pairs" and len(self.sides) > 2 else 1
        for name, allowed in (("pairs", (least, MOST_PAIRS)), ("seed", (0, SEEDS - 1))):
            object.__setattr__(self, name, checked_number(name, getattr(self, name), allowed, whole=True))
        most = 0 if self.kind == "mushra" else min(MOST_CHECKS, self.pairs // 2)
        object.__setattr__(self, "checks", checked_number("checks", self.checks, (0, most), whole=True))
        object.__setattr__(self, "min_s", checked_number("min_s", self.min_s, (0.0, 60.0), whole=False))
        if self.unit not in UNITS:
            raise ValueError(f"unit: got {self.unit!r}, allowed {', '.join(UNITS)}")
        if not isinstance(self.matched, bool):
            raise ValueError(f"matched: got {self.matched!r}, allowed true or false")
        if self.clear_at is not None:
            checked_number("clear_at", self.clear_at, (0.5, 0.999), whole=False)
            if not self.of_first:
                raise ValueError(f"clear_at: got {self.clear_at}, allowed where every pair has the first side in it")

    @property
    def answers(self) -> tuple[str, ...]:
        """What may be answered to a pair; nothing with MUSHRA, where each clip is rated."""
        return KINDS[self.kind].answers

    @property
    def of_first(self) -> bool:
        """Whether every pair has the first side in it, so that one number says how often that is chosen."""
        return self.kind in ("real-or-made", "ladder") or (self.kind == "pairs" and len(self.sides) == 2)

    @property
    def anchor(self) -> int:
        """The number of the side that anybody can tell from music, after all others."""
        return len(self.sides)

    @property
    def turns(self) -> int:
        """How many pairs, or pages, a listener hears in all."""
        return self.pairs + 2 * self.checks

    def side(self, number: int) -> Side:
        """A side by its number, or the anchor."""
        if number != self.anchor:
            return self.sides[number]
        made = Request.from_dict({**self.sides[-1].settings, "seed": 0}).changed(**ANCHOR)
        return Side(ANCHOR_NAME, made.to_dict())

    def shown(self, item: int) -> tuple[int, ...]:
        """The sides of an item, not in order of showing: of a pair, of a page, or from `pairs` on of a catch trial.

        Several sides meet their neighbours first, then those at a distance of two, and so on in a circle, so that each
        is heard as often as any other. A ladder chooses its second side when it is asked, so here it has all.
        """
        many = len(self.sides)
        if item >= self.pairs:
            return item % many, self.anchor
        if self.kind == "mushra":
            return (*range(many), self.anchor)
        if self.kind == "ladder":
            return tuple(range(many))
        if self.kind == "real-or-made":
            return 0, 1 + item % (many - 1)
        lap, place = divmod(item, many)
        return place, (place + 1 + lap % (many // 2)) % many

    def clip(self, side: int, item: int) -> dict[str, Any]:
        """What makes the clip of a side in an item. All clips of an item have one seed, which no other item has, and
        the labels of the real one among them."""
        asked, reals = self.side(side), self.sides[0].reals
        if asked.reals:
            return {"real": asked.reals[item % len(asked.reals)].name}
        labels = reals[item % len(reals)].labels if reals else {}
        return {**asked.settings, **labels, "seed": (self.seed + item) % SEEDS}

    def clips(self) -> Iterator[dict[str, Any]]:
        """Every clip that the trial can need, item by item: what can be made ahead."""
        for item in range(self.pairs + self.checks):
            for side in self.shown(item):
                yield self.clip(side, item)

    def check_answer(self, answer: Any, clips: int) -> None:
        """ValueError unless that may be answered to so many clips."""
        if self.answers and answer not in self.answers:
            raise ValueError(f"answer: got {answer!r}, allowed {', '.join(self.answers)}")
        if not self.answers:
            if not _is_list(answer) or len(answer) != clips:
                raise ValueError(f"answer: got {answer!r}, need {clips} ratings, one for each clip")
            for each in answer:
                checked_number("answer", each, RATINGS, whole=False)

    def check_heard(self, heard_s: Any, clips: int) -> None:
        """ValueError unless so many clips have been heard for long enough."""
        if not _is_list(heard_s) or len(heard_s) != clips:
            raise ValueError(f"heard_s: got {heard_s!r}, need {clips} numbers, one for each clip")
        for each in heard_s:
            checked_number("heard_s", each, (self.min_s, math.inf), whole=False)

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, said: Any) -> Trial:
        """Inverts `to_dict`; what is missing takes its default. ValueError for anything else."""
        known = _known("trial", said, cls)
        sides = tuple(Side.from_dict(each) for each in _listed("sides", known.get("sides", ())))
        return cls(**{"kind": "", **known, "sides": sides})

    def _check_sides(self) -> None:
        low, high = KINDS[self.kind].sides
        names = [side.name for side in self.sides]
        if not low <= len(names) <= high:
            raise ValueError(f"sides: got {len(names)}, allowed {low} to {high} with {self.kind}")
        if len({*names, ANCHOR_NAME}) <= len(names):
            raise ValueError(f"sides: got {', '.join(names)}, need each name once, and none called {ANCHOR_NAME}")
        for place, side in enumerate(self.sides):
            may, must = (self.kind in kinds and not place for kinds in (("real-or-made", "mushra"), ("real-or-made",)))
            if (side.reals and not may) or (not side.reals and must):
                wanted = "real clips" if must else "settings"
                raise ValueError(f"sides: {side.name}: got {'settings' if must else 'real clips'}, need {wanted}")


def rungs(base: Request, axis: str, values: Sequence[Any], reference: Any) -> tuple[Side, ...]:
    """The sides of a ladder over one setting: the reference, and the values from easily told to not.

    ValueError for a setting or a value that there is not.
    """
    if axis not in SETTINGS or not SETTINGS[axis].axis:
        raise ValueError(f"axis: got {axis!r}, allowed {', '.join(each for each in SETTINGS if SETTINGS[each].axis)}")
    titles = [f"{axis} {SETTINGS[axis].titled(value)}" for value in (reference, *values)]
    requests = [base.changed(**{axis: value}) for value in (reference, *values)]
    return tuple(Side(title, request.to_dict()) for title, request in zip(titles, requests, strict=True))


def _known(name: str, said: Any, kind: type) -> dict[str, Any]:
    """What is said of a thing, if it is an object with the thing's fields alone."""
    allowed = [each.name for each in fields(kind)]
    _check_object(name, said)
    for each in said:
        if each not in allowed:
            raise ValueError(f"{name}: got {each!r}, allowed {', '.join(allowed)}")
    return dict(said)


def _check_object(name: str, value: Any) -> None:
    if not isinstance(value, Mapping):
        raise ValueError(f"{name}: got {value!r}, need an object")


def _listed(name: str, value: Any) -> Sequence[Any]:
    if not _is_list(value):
        raise ValueError(f"{name}: got {value!r}, need a list")
    return value  # type: ignore[no-any-return]


def _check_text(name: str, text: Any) -> None:
    if not isinstance(text, str) or not 0 < len(text.strip()) <= MOST_LETTERS:
        raise ValueError(f"{name}: got {text!r}, need a text of up to {MOST_LETTERS} letters")


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))
