"""A trial as files: the sentence that may be quoted, tables as CSV and JSON, and pictures."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from diffusion.files import write_text, written
from diffusion.listening import ratings
from diffusion.listening.ratings import LEVEL
from diffusion.listening.tally import Outcome, finished, outcome, scores
from diffusion.listening.trial import Trial
from diffusion.listening.votes import Vote, Votes, to_csv, to_json
from diffusion.request import Request

DPI = 100
SIZE_IN = (6.0, 4.0)
Ears = Mapping[str, Mapping[str, float]]
"""Fréchet distances of sides, ear by ear."""


def write(votes: Votes, out: Path, marks: Any = None) -> Outcome:
    """Write outcome.json, sides.csv, votes.csv, votes.json, report.md and the pictures; returns what came out.

    `marks` is what `evaluate` wrote as marks.json: the distances of sides that it has measured stand beside the votes.
    ValueError if nobody has voted.
    """
    trial, cast = votes.trial, votes.cast_votes()
    found = outcome(trial, cast)
    ears = {} if marks is None else heard_by_machine(trial, marks)
    write_text(out / "outcome.json", json.dumps({**_json(asdict(found)), "ears": ears}, indent=1, ensure_ascii=False))
    write_text(out / "sides.csv", _sides(found, ears))
    write_text(out / "votes.csv", to_csv(trial, cast))
    write_text(out / "votes.json", to_json(trial, votes.listeners(), cast))
    pictures = {"sides.png": found.measure}
    _draw(out / "sides.png", found)
    if trial.of_first and trial.kind != "ladder" and len(scores(trial, finished(trial, cast))):
        pictures["growth.png"] = f"how often {trial.sides[0].name} was chosen, as votes came in"
        _draw_growth(out / "growth.png", trial, cast)
    write_text(out / "report.md", _markdown(trial, found, ears, pictures))
    return found


def heard_by_machine(trial: Trial, marks: Any) -> dict[str, dict[str, float]]:
    """The Fréchet distances that a report of `evaluate` gives for the settings of sides; ValueError if it is none."""
    from diffusion.evaluation.clips import Way

    if not isinstance(marks, Mapping) or not isinstance(marks.get("curves"), Mapping):
        raise ValueError("ears: got a file without curves, need a marks.json that `evaluate` has written")
    points = {name.partition(": ")[2]: point for name, point in marks["curves"].items()}
    found = {}
    for side in trial.sides:
        if not side.settings:
            continue
        asked = Request.from_dict({**side.settings, "seed": 0})
        named = ("sampler", "evaluations", "guidance_scale", "grid", "guidance_rule", "guidance_from")
        point = points.get(str(Way(**{name: getattr(asked, name) for name in named})))
        if point is not None:
            found[side.name] = {ear: each["value"] for ear, each in point["frechet"].items()}
    return found


def _sides(found: Outcome, ears: Ears) -> str:
    names = sorted({ear for each in ears.values() for ear in each})
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["side", "value", "low", "high", *(f"frechet {ear}" for ear in names)])
    for side, each in found.sides.items():
        heard = [ears.get(side, {}).get(ear, "") for ear in names]
        table.writerow([side, *(f"{end:.6g}" for end in (each.value, each.low, each.high)), *heard])
    return text.getvalue()


def _markdown(trial: Trial, found: Outcome, ears: Ears, pictures: Mapping[str, str]) -> str:
    rows = ["| side | value | from | to |", "|---|---:|---:|---:|"]
    rows += [f"| {side} | {each.value:.3g} | {each.low:.3g} | {each.high:.3g} |" for side, each in found.sides.items()]
    tally = ", ".join(f"{name}: {count:.4g}" for name, count in found.tally.items())
    parts = [
        f"# {trial.question}",
        found.sentence,
        f"Left out, since their checks say that they did not listen: {len(found.clickers)} listeners.",
        f"The table has {found.measure}, with 95 % intervals ({found.method}).",
        "\n".join(rows),
        f"{'Mean ratings' if trial.kind == 'mushra' else 'Votes'}: {tally}.",
        *(
            f"Fréchet distance of {side}: {', '.join(f'{value:.4g} ({ear})' for ear, value in each.items())}."
            for side, each in ears.items()
        ),
        *(f"![{title}]({name})" for name, title in pictures.items()),
        "votes.csv and votes.json have every vote, with the settings that make its clips again.",
    ]
    return "\n\n".join(parts) + "\n"


def _draw(path: Path, found: Outcome) -> None:
    """Each side with its interval."""
    names = list(found.sides)
    values = np.array([[each.value, each.low, each.high] for each in found.sides.values()]).reshape(-1, 3)
    places = np.arange(len(names))[::-1]

    def draw(axes: Any) -> None:
        axes.hlines(places, values[:, 1], values[:, 2])
        axes.plot(values[:, 0], places, "o")
        axes.set_yticks(places, names)
        axes.set(xlabel=found.measure)

    _save(path, draw)


def _draw_growth(path: Path, trial: Trial, votes: Sequence[Vote]) -> None:
    """The share of the first side and its confidence sequence, unit by unit."""
    found = scores(trial, finished(trial, votes))
    values = np.unique(found)
    counts = (found[:, None] == values).cumsum(0)
    low, high = ratings.sequence(counts, values, trial.clear_at or LEVEL)
    heard = np.arange(1, 1 + len(found))

    def draw(axes: Any) -> None:
        axes.axhline(0.5, linewidth=0.5)
        axes.fill_between(heard, low, high, alpha=0.3)
        axes.plot(heard, found.cumsum() / heard)
        axes.set(xlabel=f"{trial.unit}s", ylabel=f"how often {trial.sides[0].name} was chosen", ylim=(0, 1))

    _save(path, draw)


def _save(path: Path, draw: Any) -> None:
    from matplotlib.figure import Figure

    drawing = Figure(figsize=SIZE_IN, dpi=DPI, layout="constrained")
    draw(drawing.add_subplot())
    with written(path) as partial:
        drawing.savefig(partial, format="png", metadata={"Software": None})


def _json(value: Any) -> Any:
    """JSON has no infinity, so an end that is not known is None."""
    if isinstance(value, Mapping):
        return {name: _json(each) for name, each in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
