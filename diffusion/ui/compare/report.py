"""What is said of a comparison: its axes, the numbers of its cells, and the file that a visitor takes along."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from typing import Any

import soundfile

from diffusion.compare import Cell, Comparison, in_order
from diffusion.engine import Clip
from diffusion.film import finished_picture
from diffusion.settings import Setting
from diffusion.studio import Studio
from diffusion.ui.messages import Axes, AxisLabels, CellState, encoded
from diffusion.ui.shared.assets import asset, inlined
from diffusion.ui.shared.words import FRENCH

SCRIPTS = ("shared/part.js", "shared/dom.js", "shared/player.js", "compare/comparison.js")  # what a report takes along


def axes_of(studio: Studio, comparison: Comparison) -> Axes:
    """How the two axes are called and what stands at their columns and rows."""
    return {
        "x": _axis(studio.settings[comparison.axis_x], comparison.values_x),
        "y": _axis(studio.settings[comparison.axis_y], comparison.values_y),
    }


def numbers_of(cell: Cell) -> CellState:
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


def report(studio: Studio, comparison: Comparison, cells: Iterable[Cell], french: bool = False) -> str:
    """One HTML file with the pictures, the sound (MP3) and the numbers of the cells, which needs nothing else."""
    settings = comparison.base.to_dict() | {"model": f"{studio.name} ({studio.digest})"}
    fixed = [name for name in settings if name not in (comparison.axis_x, comparison.axis_y)]
    data = {
        "axes": axes_of(studio, comparison),
        "settings": {studio.settings[name].title: _shown(studio.settings[name], settings[name]) for name in fixed},
        "french": FRENCH if french else None,
        "sample_rate_hz": studio.mel.sample_rate_hz,
        "cells": [
            {
                **numbers_of(cell),
                "picture": finished_picture(cell.clip.features, studio.codec),
                "audio": encoded(_mp3(cell.clip)),
            }
            for cell in in_order(cells)
        ],
    }
    parts = {
        "@palette": asset("shared/palette.css"),
        "@style": asset("compare/comparison.css"),
        "@scripts": inlined(*SCRIPTS),
        "@data": json.dumps(data).replace("<", "\\u003c"),
    }
    page = asset("compare/report.html")
    for mark, text in parts.items():
        page = page.replace(mark, text)
    return page


def _axis(setting: Setting, values: Iterable[Any]) -> AxisLabels:
    labels = [setting.titled(value) for value in values]
    return {"name": setting.name, "title": setting.title, "labels": labels}


def _shown(setting: Setting, value: Any) -> str:
    """The value of a setting as the page has it."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {each}" for name, each in value.items()) or "None"
    return setting.titled(value)


def _mp3(clip: Clip) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(
        buffer, clip.wave, clip.sample_rate_hz, format="MP3", bitrate_mode="VARIABLE", compression_level=0.2
    )
    return buffer.getvalue()
