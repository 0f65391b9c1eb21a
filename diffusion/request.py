"""Everything that decides a clip, in a form that survives JSON and links."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import Field, dataclass, field, fields, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

from diffusion.samplers import SAMPLERS, Sampler, evaluations
from diffusion.settings import ANY, RESULTS, SETTINGS, SHARED, Label, checked_number, label_of
from diffusion.theory import GRIDS

KNOBS = frozenset(each.name for sampler in SAMPLERS.values() for each in fields(sampler))
"""The names of the knobs of all samplers; no setting and no label has such a name."""


def _default(name: str) -> Any:
    return field(default=SETTINGS[name].default)


@dataclass(frozen=True)
class Request:
    """The settings of one clip. `knobs` are those of the sampler, completed with their defaults.

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

    def __post_init__(self) -> None:
        labels = {name: label_of(name).checked(value) for name, value in self.labels.items()}
        said = {name: value for name, value in labels.items() if value != ANY or not label_of(name).open}
        object.__setattr__(self, "labels", said)
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name not in ("labels", "knobs") and not (each.name == "duration_s" and value is None):
                object.__setattr__(self, each.name, SETTINGS[each.name].checked(value))
        object.__setattr__(self, "knobs", complete_knobs(self.sampler, self.knobs))

    def label(self, name: str) -> str:
        """The value of a label, ANY where it is left open."""
        return self.labels.get(name, ANY)

    def __getitem__(self, name: str) -> Any:
        """The value of a setting, labels included."""
        return getattr(self, name) if name in _FIELDS else self.label(name)

    @property
    def method(self) -> Sampler:
        """The sampler with its knobs set."""
        return replace(SAMPLERS[self.sampler], **self.knobs)

    @property
    def evaluations(self) -> int:
        """How many evaluations a whole run takes."""
        return evaluations(self.method, GRIDS[self.grid], self.steps)

    @property
    def identity(self) -> str:
        """The same text for the same settings: what caches know a clip by."""
        return json.dumps(self.to_dict(), sort_keys=True)

    def changed(self, **settings: Any) -> Request:
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
        return {name: value for name, value in values.items() if value is not None} | {"knobs": dict(self.knobs)}

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


_FIELDS = frozenset(each.name for each in fields(Request)) - {"labels"}


def check_batch(requests: Sequence[Request]) -> None:
    """ValueError unless there are requests, and they have the settings in SHARED in common."""
    shared = [{name: each[name] for name in SHARED} for each in requests]
    if not shared or any(each != shared[0] for each in shared):
        raise ValueError(f"requests: got {shared}, need at least one, and one value of {', '.join(SHARED)}")


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
