"""Two settings against each other: clips that differ in nothing else, their cost and how far they got."""

from __future__ import annotations

import csv
import io
import json
import math
import threading
from collections.abc import Generator, Iterable, MutableMapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from diffusion.audio.mel import MelParameters
from diffusion.conditions import guided_label
from diffusion.engine import Clip, Preview, Stop
from diffusion.request import Request
from diffusion.settings import BY_THE_BOOK, LABELS, RESULTS, SETTINGS, SHARED, Label, label_of
from diffusion.studio import Studio

AXES = (*(name for name, each in SETTINGS.items() if each.axis and not isinstance(each, Label)), *LABELS)
CELLS = 25
BATCH_CLIPS = 5  # on two CPU cores a guided evaluation costs 0.83, 0.76, 0.75, 0.78 a clip in batches of 2, 3, 4, 5
CONVERGED: dict[str, Any] = {"sampler": "unipc", "steps": 100, "knobs": {}}
"""What distances are measured to: 0.2 dB from three times as many steps, where 20 are at 1.2 and another seed at 11."""

Place = tuple[int, int]
"""Row and column, from 0."""


@dataclass(frozen=True)
class Comparison:
    """A request and two of its settings with up to CELLS pairs of values, x across the columns and y down the rows.

    Values may come as a text with commas. A sampler other than that of `base` has its knobs at their defaults. `own`
    are the labels that may be an axis because the model has them, beside AXES.
    """

    base: Request
    axis_x: str
    values_x: tuple[Any, ...]
    axis_y: str
    values_y: tuple[Any, ...]
    own: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        axes = dict.fromkeys((*AXES, *self.own))
        for name in ("axis_x", "axis_y"):
            if getattr(self, name) not in axes:
                raise ValueError(f"{name}: got {getattr(self, name)!r}, allowed {', '.join(axes)}")
        if self.axis_x == self.axis_y:
            others = ", ".join(name for name in axes if name != self.axis_x)
            raise ValueError(f"axis_y: got {self.axis_y!r}, which is axis_x already; allowed {others}")
        object.__setattr__(self, "values_x", self._values("values_x", self.axis_x, self.values_x))
        object.__setattr__(self, "values_y", self._values("values_y", self.axis_y, self.values_y))
        columns, rows = len(self.values_x), len(self.values_y)
        if columns * rows > CELLS:
            raise ValueError(f"values_x, values_y: got {columns} x {rows} cells, allowed up to {CELLS} in all")
        if any(self.request(place).booked for place in self.places):
            for name in ("axis_x", "axis_y"):
                if (axis := getattr(self, name)) in BY_THE_BOOK:
                    raise ValueError(f"{name}: got {axis!r}, which the book decides; allowed with by_the_book no")

    @property
    def places(self) -> list[Place]:
        """Every cell, row by row."""
        return [(row, column) for row in range(len(self.values_y)) for column in range(len(self.values_x))]

    def request(self, place: Place) -> Request:
        """What a cell asks for."""
        row, column = place
        return self.base.changed(**{self.axis_x: self.values_x[column], self.axis_y: self.values_y[row]})

    def _values(self, argument: str, axis: str, given: Any) -> tuple[Any, ...]:
        """The values of an axis as requests have them."""
        if isinstance(given, str):
            given = [part.strip() for part in given.split(",") if part.strip()]
        if not isinstance(given, Sequence) or not given:
            raise ValueError(f"{argument}: got {given!r}, need at least one value, or several with commas between them")
        setting = SETTINGS.get(axis) or label_of(axis)
        try:
            values = [setting.checked(setting.parsed(each) if isinstance(each, str) else each) for each in given]
        except ValueError as error:
            raise ValueError(f"{argument}: {error}") from error
        if len(set(values)) < len(values):
            raise ValueError(f"{argument}: got {', '.join(map(str, values))}, need each value once")
        return tuple(values)


@dataclass(frozen=True)
class Progress:
    """How far a batch is: `index` of `total` steps. `reference` if it is the converged clips that places need."""

    places: tuple[Place, ...]
    index: int
    total: int
    reference: bool


@dataclass(frozen=True)
class Cell:
    """A finished cell. `cached` if an earlier run made the clip, and then its seconds are those of that run.

    `distance_db` is the mean absolute difference to the converged clip, None while that is not known.
    """

    place: Place
    clip: Clip
    cached: bool
    distance_db: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON values: the place, the settings and the numbers."""
        return {
            "row": self.place[0],
            "column": self.place[1],
            **{name: value for name, value in self.clip.settings.items() if name not in RESULTS},
            "evaluations": self.clip.settings["evaluations"],
            "seconds": round(self.clip.seconds, 3),
            "distance_db": None if self.distance_db is None else round(self.distance_db, 3),
            "cached": self.cached,
        }


Cache = MutableMapping[str, Clip]
"""Finished clips by the identity of their requests; it may forget any of them at any time."""


def compare(
    studio: Studio,
    comparison: Comparison,
    stop: Stop | None = None,
    cache: Cache | None = None,
    distances: bool = True,
) -> Generator[Progress | Cell]:
    """Every cell as it is finished, those in the cache first and then the cheapest, and how far each batch is.

    With `distances`, the converged clips (CONVERGED, of the same seed, labels and guidance) come after all cells, each
    once, and their cells come again with their distance. A sampler that draws noise on its way tends to another clip
    than the converged one, so its distance tends to that between two seeds. Setting `stop` ends it within one
    evaluation. Few clips are held at a time. ValueError, at once, for a cell that does not fit the model. Only music
    has distances.
    """
    jobs = [
        _Job(request, (place,)) for place, request in zip(comparison.places, _requests(studio, comparison), strict=True)
    ]
    return _compare(studio, jobs, stop or threading.Event(), cache, distances and _has_distances(studio))


def work(studio: Studio, comparison: Comparison, cache: Cache | None = None, distances: bool = True) -> tuple[int, int]:
    """The evaluations that `compare` would make now: for cells, and after them for converged clips."""
    cells = {each.identity: each for each in _requests(studio, comparison)}
    measured = cells.values() if distances and _has_distances(studio) else ()
    references = {converged(each).identity: converged(each) for each in measured}
    known = set() if cache is None else {name for name in (*cells, *references) if name in cache}
    return (
        sum(each.evaluations for name, each in cells.items() if name not in known),
        sum(each.evaluations for name, each in references.items() if name not in known | set(cells)),
    )


def converged(request: Request) -> Request:
    """The request of the clip that more steps tend to: on the grid that leaps another than on all that do not."""
    return request.changed(**CONVERGED, grid="leap" if request.grid == "leap" else "early")


def distance_db(features: np.ndarray, others: np.ndarray, mel: MelParameters) -> float:
    """Mean absolute difference in dB between two clips' features (bands, F)."""
    return float(np.abs(features - others).mean()) * mel.unit_db


def to_csv(cells: Iterable[Cell]) -> str:
    """A table of the cells, row by row."""
    rows = [{**each.to_dict(), "knobs": json.dumps(each.clip.settings["knobs"])} for each in in_order(cells)]
    text = io.StringIO()
    table = csv.DictWriter(text, rows[0] if rows else [], lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()


def in_order(cells: Iterable[Cell]) -> list[Cell]:
    """Row by row."""
    return sorted(cells, key=lambda cell: cell.place)


@dataclass(frozen=True)
class _Job:
    """A clip to make, for one cell or as what several cells tend to."""

    request: Request
    places: tuple[Place, ...]
    reference: bool = False


def _compare(
    studio: Studio, jobs: list[_Job], stop: Stop, cache: Cache | None, distances: bool
) -> Generator[Progress | Cell]:
    tending: dict[str, list[tuple[Cell, np.ndarray]]] = {}
    for each in _make(studio, jobs, stop, cache):
        if isinstance(each, Progress):
            yield each
            continue
        job, clip, cached = each
        cell = Cell(job.places[0], clip, cached)
        yield cell
        if distances:
            tending.setdefault(converged(job.request).identity, []).append((cell, clip.features))
    references = [
        _Job(converged(cells[0][0].clip.request), tuple(cell.place for cell, _ in cells), reference=True)
        for cells in tending.values()
    ]
    for each in _make(studio, references, stop, cache):
        if isinstance(each, Progress):
            yield each
            continue
        job, reference, _ = each
        for cell, features in tending.pop(job.request.identity):
            yield replace(cell, distance_db=distance_db(features, reference.features, studio.mel))


def _make(
    studio: Studio, jobs: list[_Job], stop: Stop, cache: Cache | None
) -> Generator[Progress | tuple[_Job, Clip, bool]]:
    """Each job with its clip and whether the cache knew it; nothing more once `stop` is set."""
    missing = []
    for job in jobs:
        clip = None if cache is None else cache.get(job.request.identity)
        if clip is None:
            missing.append(job)
        else:
            yield job, clip, True
    for batch in _batches(studio, missing):
        if stop.is_set():
            return
        places = tuple(place for job in batch for place in job.places)
        waiting = iter(batch)
        with closing(studio.generate_many([job.request for job in batch])) as steps:
            for each in steps:
                if isinstance(each, Preview):
                    yield Progress(places, each.index, each.total, batch[0].reference)
                else:
                    job = next(waiting)
                    if cache is not None:
                        cache[job.request.identity] = each
                    yield job, each, False
                if stop.is_set():
                    return


def _batches(studio: Studio, jobs: list[_Job]) -> list[list[_Job]]:
    """Jobs that can share a batch and cost the same, in even batches of up to BATCH_CLIPS, the quickest runs first."""
    groups: dict[str, list[_Job]] = {}
    for job in jobs:
        shared = [str(job.request[name]) for name in SHARED]
        groups.setdefault(f"{shared} {guided_label(studio.engine.model.configuration, job.request)}", []).append(job)
    batches = []
    for group in sorted(groups.values(), key=lambda group: group[0].request.evaluations):
        count = math.ceil(len(group) / BATCH_CLIPS)
        batches += [group[i * len(group) // count : (i + 1) * len(group) // count] for i in range(count)]
    return batches


def _has_distances(studio: Studio) -> bool:
    """Whether clips can be compared in dB."""
    return studio.codec.medium == "sound"


def _requests(studio: Studio, comparison: Comparison) -> list[Request]:
    """The complete request of every place; ValueError for one that does not fit it."""
    requests = [comparison.request(place) for place in comparison.places]
    for request in requests:
        studio.check(request)
    return [studio.complete(request) for request in requests]
