"""The comparisons of all visitors: what each has under way, what is kept of it, and what it would cost."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice

from diffusion.compare import Cell, Comparison, Place, Progress, compare, work
from diffusion.engine import Clip, Preview
from diffusion.request import Request
from diffusion.studio import Studio
from diffusion.ui import messages
from diffusion.ui.compare.report import axes_of, numbers_of
from diffusion.ui.messages import CellState, ComparisonMessage, CostMessage, Reference
from diffusion.ui.shared.latest import Latest

INTERVAL_S = 0.1  # between two messages that only say how far a batch is
KEPT, KEPT_BYTES = 16, 256 * 2**20


@dataclass
class Filled:
    """A comparison that a visitor asked for and the cells that it has so far."""

    comparison: Comparison
    size_bytes: int
    cells: dict[Place, Cell] = field(default_factory=dict)


class Comparisons:
    """Those that are `kept`, by the names of their runs. A visitor has one under way. `clips` is what is known of
    earlier runs."""

    def __init__(self, studio: Studio, clips: Latest[Clip]) -> None:
        self.studio, self.clips = studio, clips
        self.kept: Latest[Filled] = Latest(KEPT, KEPT_BYTES, lambda filled: filled.size_bytes)
        self._stops: dict[str, threading.Event] = {}
        self._rate: float | None = None  # seconds for an evaluation of a second of music, as last measured

    def perform(self, comparison: Comparison, distances: bool, session: str) -> Iterator[ComparisonMessage]:
        """The messages of one comparison. A visitor's next one ends the one before."""
        stop, run = threading.Event(), uuid.uuid4().hex
        steps = compare(self.studio, comparison, stop, self.clips, distances)
        self.stop(session)
        self._stops[session] = stop
        filled = Filled(comparison, len(comparison.places) * self._clip_bytes(comparison.base))
        self.kept[run] = filled
        axes = axes_of(self.studio, comparison)
        start, sent, evaluations = time.monotonic(), 0.0, 0
        try:
            with closing(steps):
                for each in steps:
                    progress = each if isinstance(each, Progress) else None
                    if isinstance(each, Cell):
                        if each.place not in filled.cells and not each.cached:
                            evaluations += each.clip.settings["evaluations"]
                            self._rate = (time.monotonic() - start) / evaluations / self._length_s(comparison.base)
                        filled.cells[each.place] = each
                    if progress is None or time.monotonic() - sent >= INTERVAL_S:
                        sent = time.monotonic()
                        yield messages.comparison(run, axes, _states(filled, progress), _reference(progress))
            yield messages.comparison(run, axes, _states(filled, None), over="stopped" if stop.is_set() else "done")
        finally:
            if self._stops.get(session) is stop:
                del self._stops[session]

    def stop(self, session: str) -> None:
        """Let the comparison that a visitor has under way end."""
        stop = self._stops.get(session)
        if stop:
            stop.set()

    def cost(self, comparison: Comparison, distances: bool) -> CostMessage:
        """What a comparison would take now: evaluations and about how many seconds."""
        cells, references = work(self.studio, comparison, self.clips, distances)
        length_s = self._length_s(comparison.base)
        if self._rate is None:
            self._rate = self._evaluation_s(comparison.base) / length_s
        seconds = round(cells * self._rate * length_s, 1), round(references * self._rate * length_s, 1)
        return messages.cost(len(comparison.places), (cells, references), seconds)

    def _evaluation_s(self, request: Request) -> float:
        """How long one evaluation takes: the second of a run, so that nothing is paid for the first time."""
        with closing(self.studio.generate(request.changed(steps=2))) as steps:
            seconds = [each.seconds for each in islice(steps, 3) if isinstance(each, Preview)]
        return seconds[-1] - seconds[-2]

    def _length_s(self, request: Request) -> float:
        duration_s = self.studio.complete(request).duration_s
        assert duration_s is not None  # of sound
        return duration_s

    def _clip_bytes(self, request: Request) -> int:
        mel = self.studio.mel
        return 4 * mel.frames_of(self._length_s(request)) * (mel.hop_size + mel.bands)


def _states(filled: Filled, progress: Progress | None) -> list[CellState]:
    """Every cell as it is now."""
    working = progress.places if progress else ()
    states: list[CellState] = []
    for place in filled.comparison.places:
        row, column = place
        if place in filled.cells:
            states.append(numbers_of(filled.cells[place]))
        elif progress and place in working:
            done = progress.index / progress.total
            states.append({"row": row, "column": column, "state": "working", "progress": done})
        else:
            states.append({"row": row, "column": column, "state": "waiting"})
    return states


def _reference(progress: Progress | None) -> Reference | None:
    """How far the converged clip is that some cells are measured by."""
    if progress is None or not progress.reference:
        return None
    return {"done": progress.index / progress.total, "cells": len(progress.places)}
