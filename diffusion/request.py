"""Everything that decides a clip, in a form that survives JSON and links."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import Field, dataclass, field, fields, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

import torch
from torch import Tensor

from diffusion.edits import LOOKS, STEPS_SHARE, Blend, Edit, Fork, Relay, Timeline, Transform, read, start, written
from diffusion.samplers import NUMBER, SAMPLERS, Sampler, evaluations, evaluations_along
from diffusion.settings import ANY, BY_THE_BOOK, LATER, RESULTS, SETTINGS, SHARED, Label, checked_number, label_of
from diffusion.theory import GRIDS, Cond, Denoiser, Noise, Schedule, SeededNoise

KNOBS = frozenset(each.name for sampler in SAMPLERS.values() for each in fields(sampler))
"""The names of the knobs of all samplers; no setting and no label has such a name."""
BOOK_KNOBS = {"variance": "beta"}
"""What the knobs of a sampler that has them are by the book (Ho et al. 2020, section 3.2)."""


def _default(name: str) -> Any:
    return field(default=SETTINGS[name].default)


@dataclass(frozen=True)
class Request:
    """The settings of one clip. `knobs` are those of the sampler, completed with their defaults; `edits` are JSON
    values by name, as `diffusion.edits` reads them, and `edited` is what they say. By the book, the settings in
    BY_THE_BOOK and the knobs in BOOK_KNOBS are as the book has them, whatever is given.

    Everything that needs no model is checked here: ValueError names the setting, the value and what is allowed. Which
    labels there are, and which words they have, belongs to a model, so `Studio.check` looks at them. `model`, `decoder`
    and `duration_s` may be left to the model, empty or None; output that is no sound has no duration.
    """

    labels: Mapping[str, str]
    seed: int
    sampler: str = _default("sampler")
    steps: int = _default("steps")
    guidance_scale: float = _default("guidance_scale")
    duration_s: float | None = _default("duration_s")
    knobs: Mapping[str, Any] = field(default_factory=dict)
    decoder: str = _default("decoder")
    grid: str = _default("grid")
    guidance_rule: str = _default("guidance_rule")
    guidance_from: float = _default("guidance_from")
    model: str = _default("model")
    guidance_against: str = _default("guidance_against")
    edits: Mapping[str, Any] = field(default_factory=dict)
    by_the_book: str = _default("by_the_book")

    def __post_init__(self) -> None:
        labels = {name: label_of(name).checked(value) for name, value in self.labels.items()}
        said = {name: value for name, value in labels.items() if value != ANY or not label_of(name).open}
        object.__setattr__(self, "labels", said)
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name not in ("labels", "knobs") and not (each.name == "duration_s" and value is None):
                object.__setattr__(self, each.name, SETTINGS[each.name].checked(value))
        object.__setattr__(self, "knobs", complete_knobs(self.sampler, self.knobs))
        if self.booked:
            for name, value in BY_THE_BOOK.items():
                object.__setattr__(self, name, value)
            object.__setattr__(self, "knobs", {name: BOOK_KNOBS.get(name, value) for name, value in self.knobs.items()})
        if self.edits != {}:
            self._check_edits()

    def label(self, name: str) -> str:
        """The value of a label, ANY where it is left open."""
        return self.labels.get(name, ANY)

    def __getitem__(self, name: str) -> Any:
        """The value of a setting, labels included."""
        return getattr(self, name) if name in _FIELDS else self.label(name)

    @property
    def booked(self) -> bool:
        """Whether the clip is made by the book."""
        return self.by_the_book == "yes"

    @property
    def method(self) -> Sampler:
        """The sampler with its knobs set."""
        return replace(SAMPLERS[self.sampler], **self.knobs)

    @property
    def edited(self) -> dict[str, Edit]:
        """What the edits say, by name."""
        return read(self.edits)

    @property
    def kept_part(self) -> bool:
        """Whether a part of a source stays exactly as it is."""
        return not self.edits.keys().isdisjoint(("inpaint", "continue"))

    @property
    def parent(self) -> Request | None:
        """The request that this one is forked from; None where it is not."""
        fork = self.edited.get("fork")
        return self.changed(**{"edits": self._unforked.edits, **fork.parent}) if isinstance(fork, Fork) else None

    @property
    def own_seed(self) -> int:
        """The seed that decides all but the noise: that of the parent, or the nearest of a blend."""
        seed, blend = (self.parent or self).seed, self.edited.get("blend")
        return blend.nearest(seed) if isinstance(blend, Blend) else seed

    @property
    def evaluations(self) -> int:
        """How many evaluations a whole run takes."""
        if not self.edits:
            return evaluations(self.method, GRIDS[self.grid], self.steps)
        method, timeline = self.forked(NUMBER, {}, SeededNoise([self.seed])), self.edited.get("timeline")
        sections = 1 + len(timeline.sections) if isinstance(timeline, Timeline) else 1
        asked = evaluations_along(method or self.method, self.times(NUMBER.schedule))
        return asked * sections * (1 + LOOKS if self.kept_part else 1)

    def forked(self, denoiser: Denoiser, cond: Cond, noise: Noise | None = None) -> Relay | None:
        """What samples a fork: the parent's sampler, and then this one. None where no fork changes anything.

        The `denoiser`, what it is told, and the `noise`, if the seed is another one, hold from the fork on.
        """
        fork, parent = self.edited.get("fork"), self.parent
        if not isinstance(fork, Fork) or parent is None or parent == self._unforked:
            return None
        other = noise if self.seed != parent.seed else None
        return Relay(parent.method, parent.times(denoiser.schedule), fork.at, self.method, denoiser, cond, other)

    def times(self, schedule: Schedule) -> Tensor:
        """The times (steps + 1,) of a whole run: those of the grid, as the edits have them.

        ValueError for a fork from a step that the parent does not have.
        """
        edits, steps = self.edited, self.steps
        times = GRIDS[self.grid](schedule, math.ceil(STEPS_SHARE * steps) if self.kept_part else steps)
        transform, fork, parent = edits.get("transform"), edits.get("fork"), self.parent
        if isinstance(transform, Transform):
            times = _from(torch.tensor([start(transform.strength)], dtype=torch.float64), times)
        if isinstance(fork, Fork) and parent is not None:
            before = parent.times(schedule)
            if fork.at >= len(before) - 1:
                raise ValueError(
                    f"edits: fork: at: got {fork.at}, allowed 0 to {len(before) - 2}, a step of its parent"
                )
            times = _from(before[: fork.at + 1], times)
        return times

    @property
    def identity(self) -> str:
        """The same text for the same settings: what caches know a clip by."""
        return json.dumps(self.to_dict(), sort_keys=True)

    def changed(self, /, **settings: Any) -> Request:
        """The request with other settings, labels included; another sampler has its knobs at their defaults."""
        if settings.get("sampler", self.sampler) != self.sampler:
            settings = {"knobs": {}, **settings}
        labels = {name: value for name, value in settings.items() if name not in _FIELDS}
        others = {name: value for name, value in settings.items() if name in _FIELDS}
        return replace(self, labels={**self.labels, **labels}, **others)

    def to_dict(self) -> dict[str, Any]:
        """JSON values, labels beside the rest, in the order of the table; without what does not apply."""
        names = [*SETTINGS, *(name for name in self.labels if name not in SETTINGS)]
        values = {name: self[name] for name in names if name in _FIELDS or name in self.labels}
        unsaid = {name for name in LATER if values[name] == SETTINGS[name].absent}
        said = {name: value for name, value in values.items() if value is not None and name not in unsaid}
        return said | {"knobs": dict(self.knobs)}

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> Request:
        """The request in the settings of a clip or in `to_dict`. What is missing takes the meaning of its absence.

        A name that is not in the table is a label's, which the model must know. ValueError for anything else.
        """
        if "seed" not in settings:
            raise ValueError("seed: got nothing, need a value")
        values = {name: each.absent for name, each in SETTINGS.items() if name in _FIELDS and name != "seed"}
        labels: dict[str, Any] = {}
        for name, value in settings.items():
            if name in _FIELDS:
                values[name] = value
            elif isinstance(SETTINGS.get(name), Label) or (isinstance(value, str) and name not in RESULTS):
                labels[name] = value
            elif name not in RESULTS:
                raise ValueError(f"{name}: got {value!r}, but the settings are {', '.join(SETTINGS)}")
        return cls(labels=labels, **values)

    def to_query(self) -> str:
        """A URL query, labels and knobs beside the rest."""
        values = self.to_dict()
        knobs = values.pop("knobs")
        if "edits" in values:
            values["edits"] = json.dumps(values["edits"], separators=(",", ":"))
        return urlencode({**values, **knobs})

    @classmethod
    def from_query(cls, query: str) -> Request:
        """Inverts `to_query`; ValueError as `from_dict` has it."""
        settings: dict[str, Any] = {}
        knobs: dict[str, Any] = {}
        for name, text in parse_qsl(query, keep_blank_values=True):
            if name in KNOBS:
                knobs[name] = parse_knob(text)
            else:
                settings[name] = SETTINGS[name].parsed(text) if name in SETTINGS else text
        return cls.from_dict({**settings, "knobs": knobs})

    @property
    def _unforked(self) -> Request:
        return replace(self, edits={name: each for name, each in self.edits.items() if name != "fork"})

    def _check_edits(self) -> None:
        """The edits as they are written; ValueError for what does not go with the other settings."""
        edits = read(self.edits)
        object.__setattr__(self, "edits", written(edits))
        if "loop" in edits and self.label("ending") == "ends":
            raise ValueError("edits: got loop with the ending 'ends', but a loop has no end")
        timeline = edits.get("timeline")
        if isinstance(timeline, Timeline):
            for section in timeline.sections:
                self.changed(edits={}, **_labels_alone(section.labels))
                if self.duration_s is not None and section.from_s >= self.duration_s:
                    raise ValueError(
                        f"edits: timeline: from_s: got {section.from_s:g}, allowed less than {self.duration_s:g}"
                    )
        self.times(NUMBER.schedule)  # and the parent of a fork is checked as any request is


_FIELDS = frozenset(each.name for each in fields(Request)) - {"labels"}


def check_batch(requests: Sequence[Request]) -> None:
    """ValueError unless there are requests, and they have the settings in SHARED in common."""
    shared = [{name: each[name] for name in SHARED} for each in requests]
    if not shared or any(each != shared[0] for each in shared):
        raise ValueError(f"requests: got {shared}, need at least one, and one value of {', '.join(SHARED)}")


def _from(first: Tensor, times: Tensor) -> Tensor:
    """The first times, and of the others those that come after them."""
    return torch.cat([first, times[times < first[-1]]])


def _labels_alone(labels: Mapping[str, Any]) -> Mapping[str, Any]:
    """The labels; ValueError for the name of another setting."""
    for name in labels:
        if name in SETTINGS and not isinstance(SETTINGS[name], Label):
            raise ValueError(f"edits: timeline: got {name}, but along a clip only labels change")
    return labels


def parse_knob(text: str) -> Any:
    """The value of a knob in a text: a number if it is one."""
    for convert in (int, float):
        try:
            return convert(text)
        except ValueError:
            continue
    return text


def complete_knobs(sampler: str, given: Any) -> dict[str, Any]:
    """The knobs of a sampler with defaults for those not given; ValueError for one it does not have."""
    known = {each.name: each for each in fields(SAMPLERS[sampler])}
    if not isinstance(given, Mapping):
        raise ValueError(f"knobs: got {given!r}, need an object with {', '.join(known) or 'nothing'}")
    for name, value in given.items():
        if name not in known:
            raise ValueError(f"knobs: got {name} = {value!r}, but {sampler} has {', '.join(known) or 'none'}")
    defaults = {name: getattr(SAMPLERS[sampler], name) for name in known}
    return {name: _knob(known[name], default, given.get(name, default)) for name, default in defaults.items()}


def _knob(knob: Field[Any], default: Any, value: Any) -> Any:
    """A value checked against what the knob declares of itself, in the type of its default."""
    if knob.metadata["choices"]:
        if value not in knob.metadata["choices"]:
            raise ValueError(f"{knob.name}: got {value!r}, allowed {', '.join(knob.metadata['choices'])}")
        return value
    bounds = knob.metadata["range"] or (-math.inf, math.inf)
    return checked_number(knob.name, value, bounds, whole=isinstance(default, int))
