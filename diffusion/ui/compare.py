"""The room in which clips are compared: the grids of its visitors, what the browser shows, the file to take along."""

from __future__ import annotations

import base64
import io
import json
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import gradio as gr
import soundfile

from diffusion.compare import AXES, Cell, Grid, Place, Progress, compare, in_order, to_csv, work
from diffusion.studio import ANY, Clip, Preview, Request, Studio
from diffusion.ui.assets import BROWSER, starting
from diffusion.ui.clips import Latest
from diffusion.ui.events import AT_ONCE, QUEUED
from diffusion.ui.film import score
from diffusion.ui.words import FRENCH, sentence

SCRIPTS = ("player.js", "compare_grid.js")  # what a report takes along
INTERVAL_S = 0.1  # between two messages that only say how far a batch is
GRIDS, GRID_BYTES = 16, 256 * 2**20
TITLES = {
    "sampler": "Sampler",
    "steps": "Steps",
    "grid": "Time grid",
    "guidance_scale": "Guidance",
    "guidance_rule": "Guidance rule",
    "guidance_from": "Guidance from",
    "seed": "Seed",
    "style": "Style",
    "ensemble": "Ensemble",
    "mode": "Mode",
    "tempo": "Tempo",
    "key": "Key",
    "beat": "Beat",
    "ending": "Ending",
}
SETTINGS = {**TITLES, "duration_s": "Length", "decoder": "Sound", "knobs": "Knobs", "model": "Model"}
SUGGESTED = {
    "steps": "5, 10, 20",
    "guidance_scale": "1, 2, 4, 8",
    "guidance_from": "-15, -4.5, -3, 0",
    "seed": "1, 2, 3, 4",
}
SUGGESTED_SAMPLERS = ["unipc", "ddim", "ddpm"]
BEGIN_LABELS = 3


@dataclass
class Comparison:
    """A grid that a visitor asked for and the cells that it has so far."""

    grid: Grid
    size_bytes: int
    cells: dict[Place, Cell] = field(default_factory=dict)


class Comparisons:
    """The grids of all visitors: `clips` is what is known of earlier runs, and a visitor has one grid under way."""

    def __init__(self, studio: Studio, clips: Latest[Clip]) -> None:
        self.studio, self.clips = studio, clips
        self.options = studio.options()
        self._kept: Latest[Comparison] = Latest(GRIDS, GRID_BYTES, lambda comparison: comparison.size_bytes)
        self._stops: dict[str, threading.Event] = {}
        self._rate: float | None = None  # seconds for an evaluation of a second of music, as last measured

    def perform(self, grid: Grid, distances: bool, session: str) -> Iterator[dict[str, Any]]:
        """The messages of one grid, each with all that is known of every cell: one that gets lost is not missed."""
        stop, name = threading.Event(), uuid.uuid4().hex
        steps = compare(self.studio, grid, stop, self.clips, distances)
        self.stop(session)
        self._stops[session] = stop
        comparison = Comparison(grid, len(grid.places) * self._clip_bytes(grid.base))
        self._kept[name] = comparison
        head = {"kind": "grid", "run": name, "axes": axes(grid, self.options)}
        start, sent, evaluations = time.monotonic(), 0.0, 0
        progress: Progress | None = None
        try:
            with closing(steps):
                for each in steps:
                    if isinstance(each, Cell):
                        if each.place not in comparison.cells and not each.cached:
                            evaluations += each.clip.settings["evaluations"]
                            self._rate = (time.monotonic() - start) / evaluations / grid.base.duration_s
                        comparison.cells[each.place] = each
                    progress = each if isinstance(each, Progress) else None
                    if progress is None or time.monotonic() - sent >= INTERVAL_S:
                        sent = time.monotonic()
                        yield {**head, **_state(comparison, progress), "over": None}
            yield {**head, **_state(comparison, None), "over": "stopped" if stop.is_set() else "done"}
        finally:
            if self._stops.get(session) is stop:
                del self._stops[session]

    def stop(self, session: str) -> None:
        """Let the grid that a visitor has under way end."""
        if session in self._stops:
            self._stops[session].set()

    def cost(self, grid: Grid, distances: bool) -> dict[str, Any]:
        """What a grid would take now: evaluations and about how many seconds, for its cells and for the distances."""
        evaluations = work(self.studio, grid, self.clips, distances)
        if self._rate is None:
            self._rate = self._look_s(grid.base) / grid.base.duration_s
        seconds = [round(each * self._rate * grid.base.duration_s, 1) for each in evaluations]
        return {
            "kind": "cost",
            "id": uuid.uuid4().hex,
            "cells": len(grid.places),
            "evaluations": evaluations,
            "seconds": seconds,
        }

    def cell(self, asked: Any) -> dict[str, str] | None:
        """The picture and the WAV file of the cell at {run, row, column}; None where it is not kept."""
        comparison = self._kept.get(asked["run"])
        cell = comparison.cells.get((asked["row"], asked["column"])) if comparison else None
        if cell is None:
            return None
        audio = base64.b64encode(cell.clip.to_wav()).decode()
        return {"picture": score(cell.clip.features, self.studio.mel), "audio": audio}

    def report(self, run: Any, french: bool = False) -> str | None:
        """The file of a grid, or None where it is not kept."""
        comparison = self._kept.get(run)
        return report(self.studio, comparison.grid, comparison.cells.values(), french) if comparison else None

    def table(self, run: Any) -> str | None:
        """The CSV file of a grid, or None where it is not kept."""
        comparison = self._kept.get(run)
        return to_csv(comparison.cells.values()) if comparison else None

    def choices(self) -> dict[str, Any]:
        """The axes that there are: their titles, and the values to choose from or a text to begin with."""
        described: dict[str, Any] = {}
        for name in AXES:
            values = self.options[name].get("choices")
            if values == [ANY]:
                continue
            if values is None:
                described[name] = {"title": TITLES[name], "text": SUGGESTED[name]}
            else:
                begin = SUGGESTED_SAMPLERS if name == "sampler" else values[1 : BEGIN_LABELS + 1]
                titles = self.options[name]["titles"]
                described[name] = {"title": TITLES[name], "values": values, "titles": titles, "chosen": begin}
        return described

    def _look_s(self, request: Request) -> float:
        """How long one evaluation takes: the second of a run, so that nothing is paid for the first time."""
        with closing(self.studio.generate(self.studio.request(**{**request.to_dict(), "steps": 2}))) as steps:
            looks = [each.seconds for each, _ in zip(steps, range(3), strict=False) if isinstance(each, Preview)]
        return looks[-1] - looks[-2]

    def _clip_bytes(self, request: Request) -> int:
        mel = self.studio.mel
        return 4 * mel.frames_of(request.duration_s) * (mel.hop_size + mel.bands)


def compare_room(comparisons: Comparisons) -> gr.HTML:
    """What the browser draws the room in; `connect` makes it answer."""

    def choices(_: Any) -> dict[str, Any]:
        return comparisons.choices()

    def cell(asked: Any) -> dict[str, str] | None:
        return comparisons.cell(asked)

    def report(asked: Any) -> str | None:
        return comparisons.report(asked["run"], asked["language"] == "fr")

    def table(asked: Any) -> str | None:
        return comparisons.table(asked["run"])

    return gr.HTML(
        html_template=(BROWSER / "compare.html").read_text(),
        js_on_load=starting("compare.js", ["compare", "cost", "halt"]),
        elem_id="compare",
        apply_default_css=False,
        padding=False,
        server_functions=[choices, cell, report, table],
    )


def connect(
    blocks: gr.Blocks,
    view: gr.HTML,
    comparisons: Comparisons,
    base: Callable[[tuple[Any, ...]], Request],
    inputs: list[Any],
) -> None:
    """Let the room's `view` ask for grids. `base` makes a request of the values of `inputs`, the rail's."""

    def asked(event: gr.EventData, values: tuple[Any, ...]) -> tuple[Grid, bool]:
        given = event._data
        grid = Grid(base(values), *(given[name] for name in ("axis_x", "values_x", "axis_y", "values_y")))
        return grid, bool(given["distances"])

    def on_compare(event: gr.EventData, http: gr.Request, *values: Any) -> Iterator[dict[str, Any]]:
        try:
            yield from comparisons.perform(*asked(event, values), http.session_hash or "")
        except ValueError as error:
            yield _error(error, "compare")
        except Exception:
            yield _error("The model failed; its log says why. Try again.", "compare")
            raise

    def on_cost(event: gr.EventData, *values: Any) -> dict[str, Any]:
        try:
            return comparisons.cost(*asked(event, values))
        except ValueError as error:
            return _error(error, "cost")

    def on_halt(http: gr.Request) -> None:
        comparisons.stop(http.session_hash or "")

    # The newest grid ends the one before.
    view.compare(on_compare, inputs=inputs, outputs=view, trigger_mode="multiple", **QUEUED)
    view.cost(on_cost, inputs=inputs, outputs=view, trigger_mode="multiple", **AT_ONCE)
    view.halt(on_halt, **AT_ONCE)
    blocks.unload(on_halt)


def axes(grid: Grid, options: dict[str, Any]) -> dict[str, Any]:
    """How the two axes are called and what stands at their columns and rows."""
    named = {"x": (grid.axis_x, grid.values_x), "y": (grid.axis_y, grid.values_y)}
    return {
        axis: {
            "name": name,
            "title": TITLES[name],
            "labels": [_shown(options[name], value) for value in values],
        }
        for axis, (name, values) in named.items()
    }


def report(studio: Studio, grid: Grid, cells: Iterable[Cell], french: bool = False) -> str:
    """One HTML file with the pictures, the sound (MP3) and the numbers of the cells, which needs nothing else."""
    options = studio.options()
    settings = grid.base.to_dict() | {"model": f"{studio.name} ({studio.digest})"}
    fixed = {name: value for name, value in settings.items() if name not in (grid.axis_x, grid.axis_y)}
    data = {
        "axes": axes(grid, options),
        "settings": {SETTINGS.get(name, name): _shown(options.get(name, {}), value) for name, value in fixed.items()},
        "french": FRENCH if french else None,
        "sample_rate_hz": studio.mel.sample_rate_hz,
        "cells": [
            {
                **_numbers(cell),
                "picture": score(cell.clip.features, studio.mel),
                "audio": base64.b64encode(_mp3(cell.clip)).decode(),
            }
            for cell in in_order(cells)
        ],
    }
    scripts = [re.sub(r"^export ", "", (BROWSER / name).read_text(), flags=re.M) for name in SCRIPTS]
    parts = {
        "@colours": (BROWSER / "page.css").read_text().partition("\n\n")[0],
        "@style": (BROWSER / "compare.css").read_text(),
        "@scripts": "\n".join(scripts),
        "@data": json.dumps(data).replace("<", "\\u003c"),
    }
    page = (BROWSER / "compare_report.html").read_text()
    for mark, text in parts.items():
        page = page.replace(mark, text)
    return page


def _shown(option: dict[str, Any], value: Any) -> str:
    """The value of a setting as the page has it."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {each}" for name, each in value.items()) or "None"
    shown: str = option.get("titles", {}).get(value, _text(value))
    return shown


def _numbers(cell: Cell) -> dict[str, Any]:
    """What the browser says of a finished cell."""
    row, column = cell.place
    return {
        "row": row,
        "column": column,
        "state": "done",
        "evaluations": cell.clip.settings["evaluations"],
        "seconds": round(cell.clip.seconds, 2),
        "distance_db": None if cell.distance_db is None else round(cell.distance_db, 2),
        "cached": cell.cached,
    }


def _state(comparison: Comparison, progress: Progress | None) -> dict[str, Any]:
    """Every cell as it is now."""
    places = progress.places if progress else ()
    done = progress.index / progress.total if progress else 0
    cells: list[dict[str, Any]] = []
    for place in comparison.grid.places:
        if place in comparison.cells:
            cells.append(_numbers(comparison.cells[place]))
        else:
            state = {"state": "working", "progress": done} if place in places else {"state": "waiting"}
            cells.append({"row": place[0], "column": place[1], **state})
    reference = {"done": done, "cells": len(places)} if progress and progress.reference else None
    return {"cells": cells, "reference": reference}


def _mp3(clip: Clip) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(
        buffer, clip.wave, clip.sample_rate_hz, format="MP3", bitrate_mode="VARIABLE", compression_level=0.2
    )
    return buffer.getvalue()


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _error(text: object, event: str) -> dict[str, Any]:
    """What went wrong with an event, in a message that is never equal to the one before."""
    return {"kind": "error", "of": event, "text": sentence(text), "id": uuid.uuid4().hex}
