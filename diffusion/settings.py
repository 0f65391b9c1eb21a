"""The one table of settings: everything that can be asked of a clip, and all that is said of it anywhere.

Requests, links, JSON, `/options`, `/generate` and `/compare`, the command line, the rail of the page, the axes of a
comparison and the evaluation read SETTINGS. A new setting is an entry here, a field of `Request`, and its use.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import secrets
import unicodedata
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from diffusion.denoisers import GUIDANCE_RULES
from diffusion.samplers import SAMPLERS
from diffusion.theory import GRIDS, LOG_SNR_RANGE, STEPPED_GRIDS

ANY = "any"
SEEDS = 2**32
DRAWN = -1  # stands for a seed that is drawn
SHORTEST_S, LONGEST_S = 2.56, 40.96  # of a clip
SEED_DIGITS = 20  # no seed has more, nor is read if it does


class Named(Protocol):
    """An entry of a catalogue."""

    @property
    def title(self) -> str: ...
    @property
    def summary(self) -> str: ...


@dataclass(frozen=True)
class Words:
    """A title and a summary alone."""

    title: str
    summary: str


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One thing that can be asked of a clip. The name is the same in Python, JSON, links and, with dashes, in flags.

    `default` is what a visitor gets who says nothing, `absent` what files and links mean that do not say it. `shared`
    settings have one value for all clips of a batch, and of `axis` ones a comparison may show several. `media` names
    the kinds of output that have the setting at all; `labelled` ones are for models that are told labels. `place` is
    where the rail shows it: always in sight (first), or under Advanced beside what is played (music) or beside how it
    is made (making); nowhere if empty.
    """

    name: str
    title: str
    help: str
    default: Any = None
    absent: Any = None
    shared: bool = False
    axis: bool = True
    media: tuple[str, ...] = ("sound", "image", "plot")
    labelled: bool = False
    place: str = "first"

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    def checked(self, value: Any) -> Any:
        """The value as requests hold it; ValueError names the setting, the value and what is allowed."""
        return value

    def parsed(self, text: str) -> Any:
        """The value that a text stands for, still to be checked."""
        return text

    def titled(self, value: Any) -> str:
        """A value for people."""
        return f"{value:g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True, kw_only=True)
class Label(Setting):
    """What is played: one of the words that a model knows for it, or ANY. The model says which words there are.

    `open` labels are left open unless they are chosen, and are not written where they are ANY, so that files and
    links of models without them stay as they are. Others begin with the model's first word.
    """

    absent: Any = ANY
    open: bool = True

    def checked(self, value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError(f"{self.name}: got {value!r}, need a word")
        return value

    def titled(self, value: Any) -> str:
        return titled(value)


@dataclass(frozen=True, kw_only=True)
class Choice(Setting):
    """One entry of a `catalogue`; the empty text too, where the choice is left to the model. Entries in `of_time` need
    music's axis of time. `begin` is what an axis of a comparison begins with."""

    catalogue: Mapping[str, Named]
    left_to_model: bool = False
    of_time: tuple[str, ...] = ()
    begin: tuple[str, ...] = ()

    def checked(self, value: Any) -> str:
        if value == "" and self.left_to_model:
            return ""
        if not isinstance(value, str) or value not in self.catalogue:
            raise ValueError(f"{self.name}: got {value!r}, allowed {', '.join(self.catalogue)}")
        return value

    def titled(self, value: Any) -> str:
        return self.catalogue[value].title if value in self.catalogue else str(value)


@dataclass(frozen=True, kw_only=True)
class Number(Setting):
    """A number within `range`; `whole` ones are integers. The rail has a slider that moves by `step`, or a field
    without one. `begin` is the text with which an axis of a comparison begins."""

    range: tuple[float, float]
    whole: bool = False
    step: float | None = None
    begin: str = ""

    def checked(self, value: Any) -> int | float:
        return checked_number(self.name, value, self.range, whole=self.whole)

    def parsed(self, text: str) -> Any:
        for convert in (int, float):
            with suppress(ValueError):
                return convert(text)
        low, high = self.range
        raise ValueError(f"{self.name}: got {text!r}, allowed a number from {low} to {high}")


@dataclass(frozen=True, kw_only=True)
class Seed(Number):
    """A whole number, or any text that names one; DRAWN draws it."""

    def parsed(self, text: str) -> int:
        return seed_of(text)


@dataclass(frozen=True, kw_only=True)
class Knobs(Setting):
    """The sampler's own settings by name. What they may be stands with the sampler, so `Request` checks them."""


@dataclass(frozen=True, kw_only=True)
class Edits(Setting):
    """What is done with a clip that is there, or a run on its way, by name. What an edit may be asked stands with it,
    so `Request` checks it."""

    def checked(self, value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise ValueError(f"{self.name}: got {value!r}, need an object with what each edit is asked")
        return value

    def parsed(self, text: str) -> Any:
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{self.name}: got {text[:40]!r}, need a JSON object") from error


@dataclass(frozen=True, kw_only=True)
class Model(Setting):
    """Which model is meant, by its digest."""

    def checked(self, value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError(f"{self.name}: got {value!r}, need a word")
        return value


DECODERS = {
    "vocoder": Words("Vocoder", "A small network that has learned how instruments sound; quick and clear."),
    "griffin-lim": Words("Griffin-Lim", "Nothing learned: phases are guessed until they agree; slower, with a haze."),
}
"""What turns features into sound. The first that fits a model is its default."""

AGAINST = {
    "negative": Words("Nearest style", "Away from the style that the model most easily confuses with it."),
    "no-label": Words("No style", "Away from what the model believes when it is told no style: the textbook's way."),
}
"""What guidance leads away from. A model without negatives always has the second."""

BOOK = {
    "no": Words("No", "With the grid, the guidance and the corrections with which music sounds best here."),
    "yes": Words("Yes", "Linear betas, guidance against no style, and whatever the model says, as it says it."),
}
"""Whether a clip is made as the papers say (Ho et al. 2020; Ho & Salimans 2022), without anything of ours."""

BY_THE_BOOK: dict[str, Any] = {
    "grid": "linear-betas",
    "guidance_rule": "plain",
    "guidance_from": LOG_SNR_RANGE[0],
    "guidance_against": "no-label",
}
"""The settings that the book decides. It decides the variance of DDPM too, which is beta, and makes no correction."""

_TABLE: tuple[Setting, ...] = (
    Label(name="style", title="Style", help="What kind of music to compose.", open=False),
    Label(name="ensemble", title="Ensemble", help="Who plays it.", open=False),
    Choice(
        name="sampler",
        title="Sampler",
        help="The method that leads from noise to music.",
        default="unipc",
        absent="unipc",
        catalogue=SAMPLERS,
        shared=True,
        begin=("unipc", "ddim", "ddpm"),
    ),
    Number(
        name="steps",
        title="Steps",
        help="How many steps lead from noise to music; each takes as long.",
        default=20,
        absent=20,
        range=(1, 1000),
        whole=True,
        shared=True,
        begin="5, 10, 20",
    ),
    Number(
        name="guidance_scale",
        title="Guidance",
        help="How strictly to follow style and beat: 1 leaves the model free, more is clearer, less varied.",
        default=1.8,
        absent=1.8,
        range=(1.0, 15.0),
        step=0.1,
        labelled=True,
        begin="1, 2, 4, 8",
    ),
    Seed(
        name="seed",
        title="Seed",
        help="A number or any word, such as your name: the same seed and settings give the same clip.",
        default=DRAWN,
        range=(0, SEEDS - 1),
        whole=True,
        begin="1, 2, 3, 4",
    ),
    Number(
        name="duration_s",
        title="Length",
        help="How long the clip is, in seconds; a longer one takes longer to compose.",
        default=10.24,  # absent: left to the model
        range=(SHORTEST_S, LONGEST_S),
        step=SHORTEST_S,
        shared=True,
        axis=False,
        media=("sound",),
        place="music",
    ),
    Knobs(
        name="knobs",
        title="Knobs",
        help="The sampler's own settings by name; what is missing takes its default.",
        absent={},
        shared=True,
        axis=False,
        place="making",
    ),
    Choice(
        name="decoder",
        title="Sound",
        help="What turns the picture into sound.",
        default="",
        absent="",
        catalogue=DECODERS,
        left_to_model=True,
        axis=False,
        media=("sound",),
        place="making",
    ),
    Label(name="mode", title="Mode", help="Major is bright, minor dark."),
    Label(name="tempo", title="Tempo", help="How quickly one note follows another."),
    Label(name="key", title="Key", help="The note that the music comes home to.", place="music"),
    Label(name="beat", title="Beat", help="Beats a minute; twice or half as many count as the same.", place="music"),
    Label(
        name="ending",
        title="Ending",
        help="Whether the music comes to its end within the clip.",
        place="music",
    ),
    Choice(
        name="grid",
        title="Time grid",
        help="Where the steps lie between noise and music.",
        default="leap",
        absent="uniform",
        catalogue={name: GRIDS[name] for name in STEPPED_GRIDS},
        shared=True,
        place="making",
    ),
    Choice(
        name="guidance_rule",
        title="Guidance rule",
        help="What guidance makes more of.",
        default="moving",
        absent="plain",
        catalogue=GUIDANCE_RULES,
        of_time=("moving",),
        labelled=True,
        shared=True,
        place="making",
    ),
    Number(
        name="guidance_from",
        title="Guidance from",
        help="The log-SNR at which guidance begins: −15 is the first step; a later start leaves the form more free.",
        default=-4.5,
        absent=LOG_SNR_RANGE[0],
        range=LOG_SNR_RANGE,
        step=0.5,
        labelled=True,
        shared=True,
        place="making",
        begin="-15, -4.5, -3, 0",
    ),
    Model(
        name="model",
        title="Model",
        help="The digest of the model that is meant, refused if another one is here; empty for whichever is.",
        default="",
        absent="",
        axis=False,
        place="",
    ),
    Choice(
        name="guidance_against",
        title="Guidance against",
        help="What guidance leads away from.",
        default="negative",
        absent="negative",
        catalogue=AGAINST,
        labelled=True,
        shared=True,
        place="making",
    ),
    Edits(
        name="edits",
        title="Edits",
        help="What is kept, changed, blended, looped or forked, by name; nothing for a clip from noise alone.",
        default={},
        absent={},
        shared=True,
        axis=False,
        media=("sound",),
        place="",
    ),
    Choice(
        name="by_the_book",
        title="By the book",
        help="Whether the clip is made as the papers of DDPM and guidance say, without a grid or correction of ours.",
        default="no",
        absent="no",
        catalogue=BOOK,
        shared=True,
        media=("sound",),
        place="making",
        begin=("no", "yes"),
    ),
)
SETTINGS: dict[str, Setting] = {each.name: each for each in _TABLE}
"""By name, in the order of the arguments of `/generate`."""
LABELS: tuple[str, ...] = tuple(each.name for each in _TABLE if isinstance(each, Label))
SHARED: tuple[str, ...] = tuple(each.name for each in _TABLE if each.shared)
"""What all clips of a batch have in common."""
LATER = ("edits", "by_the_book")
"""What is not said where it has the value of its absence, so that earlier files and links stay as they are."""
RESULTS = ("drawn", "evaluations", "stopped_at", "version")
"""What the settings of a clip say beyond its request."""

PRESETS: dict[str, dict[str, Any]] = {
    "Instant": {"sampler": "unipc", "steps": 8},
    "Balanced": {"sampler": "unipc", "steps": 20},
    "Full": {"sampler": "ddpm", "steps": 200},
    "2020": {"sampler": "ddpm", "steps": 1000, "by_the_book": "yes"},
}


def label_of(name: str) -> Label:
    """The table's label of that name, or for a label that only a model knows one made of its name."""
    known = SETTINGS.get(name)
    if isinstance(known, Label):
        return known
    title = titled(name)
    return Label(name=name, title=title, help=f"{title}, as this model knows it.", place="music")


def draw_seed() -> int:
    """A seed that nobody has chosen."""
    return secrets.randbelow(SEEDS)


def seed_of(text: str) -> int:
    """The seed that a text names: a whole number is itself, any other text the start of its SHA-256, for ever the same.

    Case, surrounding space and the way that accents are stored make no difference; an empty text is DRAWN.

    >>> seed_of("42"), seed_of("Ada"), seed_of(" ADA "), seed_of("")
    (42, 4260250381, 4260250381, -1)
    """
    word = unicodedata.normalize("NFC", text).strip().casefold()
    if not word:
        return DRAWN
    if not re.fullmatch(r"[+-]?[0-9]+(\.[0-9]*)?", word):
        return int.from_bytes(hashlib.sha256(word.encode("utf-8", "surrogatepass")).digest()[:4])
    whole, _, fraction = word.partition(".")
    if fraction.strip("0") or len(whole) > SEED_DIGITS:
        raise ValueError(f"seed: got {_cut(word)}, allowed a whole number from 0 to {SEEDS - 1}, or a word")
    return int(whole)


def titled(value: str) -> str:
    """The name of a label's value for people.

    >>> titled("music_box"), titled("F#"), titled("104")
    ('Music box', 'F♯', '104')
    """
    if re.fullmatch("[A-G][b#]?", value):
        return value.replace("b", "♭").replace("#", "♯")
    return value.replace("_", " ").capitalize()


def checked_number(name: str, value: Any, allowed: tuple[float, float], *, whole: bool) -> int | float:
    """The number; ValueError for what is none, lies outside, or is not whole."""
    low, high = allowed
    kind = "a whole number from " if whole else ""
    wrong = ValueError(f"{name}: got {value!r}, allowed {kind}{low} to {high}")
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise wrong
    if not low <= value <= high or (whole and value != int(value)):
        raise wrong
    return int(value) if whole else float(value)


def _cut(text: str) -> str:
    return text if len(text) <= SEED_DIGITS else f"{text[:SEED_DIGITS]}…"
