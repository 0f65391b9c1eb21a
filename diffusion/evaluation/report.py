"""The report, as Markdown, CSV, JSON and pictures; all have the same numbers."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from diffusion.evaluation import plots
from diffusion.evaluation.classifier import NONE, EarConfig
from diffusion.evaluation.distances import DIRECTIONS, Interval
from diffusion.evaluation.marks import (
    FALL_RATIO,
    NEAREST_QUANTILE,
    Heard,
    Mark,
    Point,
    Real,
    Verdict,
    enough,
    share,
)
from diffusion.evaluation.plan import CURVES

QUANTILES = (0.5, 0.9, NEAREST_QUANTILE, 1.0)


@dataclass(frozen=True)
class Results:
    """Everything that a report says. `checkpoint` and `decoder` name weights, `ears` describes each ear.

    `warning` is that of the checkpoint's schedule. The first of `verdicts` is that of the judged clips; `curves` has
    points by section.
    """

    title: str
    checkpoint: str
    decoder: str
    seed: int
    warning: str
    config: EarConfig
    ears: dict[str, str]
    real: Real
    judged: Heard
    verdicts: list[Verdict]
    curves: dict[str, list[Point]]
    marks: list[Mark]


def write(out: Path, results: Results) -> str:
    """Write report.md, report.csv, marks.json and the pictures into `out`; returns the Markdown."""
    out.mkdir(parents=True, exist_ok=True)
    found = numbers(results)
    (out / "marks.json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    with (out / "report.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["section", "of", "measure", "value", "low", "high"])
        for section in ("marks", "sets", "curves", "breaks"):
            writer.writerows([section, *row] for row in _rows(found[section]))
    text = _markdown(results)
    pictures = plots.write(out, results.config, results.judged, results.real, results.verdicts, results.curves)
    text += "\n## Pictures\n\n" + "\n".join(f"- [{title}]({name})" for name, title in pictures.items()) + "\n"
    (out / "report.md").write_text(text, encoding="utf-8")
    return text


def numbers(results: Results) -> dict[str, Any]:
    """All numbers as JSON values: six digits, None for what is not finite."""
    found: dict[str, Any] = {
        "title": results.title,
        "checkpoint": results.checkpoint,
        "decoder": results.decoder,
        "seed": results.seed,
        "ears": results.ears,
        "marks": {
            mark.name: {
                **asdict(mark.value),
                "threshold": mark.threshold,
                "at_least": mark.at_least,
                "beyond": mark.beyond,
                "holds": mark.holds,
            }
            for mark in results.marks
        },
        "sets": {verdict.name: _set(verdict) for verdict in results.verdicts},
        "curves": {
            f"{section}: {point.way}": {
                "clips": point.count,
                "ensemble": asdict(share(point.ensemble)),
                "style": asdict(share(point.style)),
                **{name: {ear: _json(value) for ear, value in getattr(point, name).items()} for name in _OF_EARS},
            }
            for section, points in results.curves.items()
            for point in points
        },
        "breaks": {sampler: dict(ears) for sampler, ears in _breaks(results).items()},
    }
    return _json(found)  # type: ignore[no-any-return]


_OF_EARS = ("frechet", "against", "precision", "recall")


def _set(verdict: Verdict) -> dict[str, Any]:
    accuracy, measures = verdict.heard.accuracy, verdict.heard.clips.measures
    found: dict[str, Any] = {"clips": len(verdict.heard)}
    for name in ("ensemble", "style", "style_forced", "none"):
        found[name] = asdict(share(getattr(accuracy, name)))
    found["ears"] = {ear: asdict(each) for ear, each in verdict.distances.items()}
    found["music"] = {name: asdict(each) for name, each in verdict.music.items()}
    if "memory" in measures:
        nearest = measures["memory"]["nearest"]
        found["nearest"] = {f"quantile {q:g}": float(nearest.quantile(q)) for q in QUANTILES}
    if verdict.recited:
        found["recited"] = asdict(share(verdict.recited[0]))
    found["failed"] = verdict.failed
    return found


def _json(value: Any) -> Any:
    if isinstance(value, Interval):
        value = asdict(value)
    if isinstance(value, Mapping):
        return {name: _json(each) for name, each in value.items()}
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


def _rows(found: Mapping[str, Any]) -> Iterator[list[Any]]:
    """Of what, which measure, value, low, high."""
    for of, measures in found.items():
        for path, value in _leaves(measures):
            ends = [value["value"], value["low"], value["high"]] if isinstance(value, dict) else [value, None, None]
            yield [of, " / ".join(path), *ends]


def _leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, dict):
        rest = dict(value)
        if rest.keys() >= {"value", "low", "high"}:
            yield path or ("value",), {name: rest.pop(name) for name in ("value", "low", "high")}
        for name, each in rest.items():
            yield from _leaves(each, (*path, name))
    elif isinstance(value, list):
        yield path, "; ".join(value)
    else:
        yield path, value


def _breaks(results: Results) -> dict[str, dict[str, int | None]]:
    """For each sampler and ear the evaluations from which on its clips are as good as converged ones."""
    points = results.curves.get("samplers", [])
    samplers = dict.fromkeys(point.way.sampler for point in points)
    return {
        sampler: {ear: enough([p for p in points if p.way.sampler == sampler], ear) for ear in results.ears}
        for sampler in samplers
    }


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _number(value: float, percent: bool = False) -> str:
    if percent:
        return f"{value:.1%}"
    if not math.isfinite(value) or abs(value) >= 1e4:
        return "> 10,000"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def _interval(value: Interval, percent: bool = False) -> str:
    ends = f"{_number(value.low, percent)} to {_number(value.high, percent)}"
    return f"{_number(value.value, percent)} ({ends})"


def _markdown(results: Results) -> str:
    sections = [f"# {results.title}\n", _head(results)]
    if results.marks:
        sections += ["## Marks\n", _marks(results.marks)]
    sections += ["## How to read\n", _explanation(results)]
    if results.verdicts:
        sections += [*_accuracy(results), *_distances(results), *_music(results), *_nearest(results)]
        sections += [*_controls(results)]
    for section, (title, _) in CURVES.items():
        if section in results.curves:
            sections += [f"## {title}\n", _curve(results, section)]
    return "\n".join(sections)


def _head(results: Results) -> str:
    judged = f"{len(results.judged)}, {results.judged.clips.name}"
    head = ["checkpoint", "judged clips", "decoder", "seed"]
    table = _table(head, [[results.checkpoint, judged, results.decoder, str(results.seed)]])
    return f"{table}\n{results.warning}\n" if results.warning else table


def _marks(marks: Sequence[Mark]) -> str:
    body = []
    for mark in marks:
        side = "at least" if mark.at_least else "at most"
        required = f"{side} {_number(mark.threshold, mark.percent)}{', within its interval' if mark.beyond else ''}"
        body.append(
            [
                mark.name,
                _number(mark.value.value, mark.percent),
                f"{_number(mark.value.low, mark.percent)} to {_number(mark.value.high, mark.percent)}",
                required,
                "holds" if mark.holds else "**fails**",
            ]
        )
    holding = sum(mark.holds for mark in marks)
    summary = f"{holding} of {len(marks)} hold.\n"
    return _table(["mark", "value", "95 % interval", "required", ""], body) + "\n" + summary


def _explanation(results: Results) -> str:
    ears = "\n".join(f"- *{name}*: {sentence}" for name, sentence in results.ears.items())
    return f"""\
Each clip is judged *as heard*: its features are decoded to a wave, finished to a clip, and encoded again. Real clips go
the same way, so the loss of the decoder does not count against a model. That loss is the *ceiling*, the distance
between the real test clips with and without the decoder (equally loud). The *floor* is the distance between clips of
the training music and the held-out real clips, at equal counts. Three ears embed every clip:

{ears}

Fréchet distance, precision and recall are taken in the {DIRECTIONS} directions in which other real clips vary most.
A distance over the floor, over real clips, or over other evaluations is a ratio of two distances at equal counts.
Intervals of accuracies are Wilson's. All others come from resampling clips (pairs of labels for diversity). Both assume
independent clips: generated clips are, real clips of one style are not, since they come from few pieces. A mark holds
if its value does. With *within its interval* in the column *required*, it fails only if the whole interval does.
Controls must fail at least one mark with their whole interval.

A clip counts for its style only if the classifier names that style. It may also answer "{NONE}", which it has learned
from clips of shuffled frames and of one held chord. *Forced* is the accuracy without that answer. Every ensemble has
every style equally often, so style accuracy is the mean over ensembles.
"""


def _accuracy(results: Results) -> list[str]:
    rows = [
        [
            verdict.name,
            str(len(verdict.heard)),
            str(verdict.heard.accuracy.ensemble),
            str(verdict.heard.accuracy.style),
            f"{verdict.heard.accuracy.style_forced.value:.1%}",
            f"{verdict.heard.accuracy.none.value:.1%}",
        ]
        for verdict in results.verdicts
    ]
    within = [
        [verdict.name, *(f"{each.value:.0%}" for each in verdict.heard.accuracy.style_within)]
        for verdict in results.verdicts
    ]
    return [
        "## Accuracy\n",
        _table(["clips", "n", "ensemble", "style", "forced", "none"], rows),
        "Style within each ensemble:\n",
        _table(["clips", *results.config.ensembles], within),
    ]


def _distances(results: Results) -> list[str]:
    sections = ["## Distances\n"]
    for ear in results.ears:
        rows = []
        for verdict in results.verdicts:
            found = verdict.distances[ear]
            rows.append(
                [
                    verdict.name,
                    _interval(found.frechet),
                    _number(found.floor.value),
                    _interval(found.frechet_ratio),
                    _interval(found.frechet_undecoded),
                    _interval(found.precision, True),
                    _interval(found.recall, True),
                    _interval(found.diversity_ratio, True),
                ]
            )
        head = ["clips", "Fréchet", "floor", "over the floor", "Fréchet, to undecoded", "precision", "recall"]
        sections += [f"### To the real test clips, {ear} ear\n", _table([*head, "diversity over real"], rows)]
    sections.append(
        f"The ceiling is the distance to undecoded clips in the row of {results.real.test.clips.name!r}. Sets of other "
        "sizes have other floors.\n"
    )
    return sections


def _music(results: Results) -> list[str]:
    names = list(results.verdicts[0].music)
    rows = [
        [
            verdict.name,
            *(
                f"{each.mean:.2f} ± {each.deviation:.2f}; {_number(each.distance.value)}, "
                f"{_number(each.distance_ratio.value)} x"
                for each in verdict.music.values()
            ),
        ]
        for verdict in results.verdicts
    ]
    return [
        "## Musical measures\n",
        "Mean ± standard deviation; then the two-sample distance (Wasserstein-1) to the real test clips, in their\n"
        "standard deviations, and its ratio to that of two real sets (the mean of other test clips and train).\n",
        _table(["clips", *names], rows),
    ]


def _nearest(results: Results) -> list[str]:
    rows = []
    for verdict in results.verdicts:
        measures = verdict.heard.clips.measures
        if "memory" in measures and verdict.recited:
            nearest = measures["memory"]["nearest"]
            rows.append(
                [verdict.name, *(f"{float(nearest.quantile(q)):.3f}" for q in QUANTILES), str(verdict.recited[0])]
            )
    head = ["clips", "median", *(f"{q:.0%}" for q in QUANTILES[1:-1]), "largest", "beyond held-out"]
    return [
        "## Memory\n",
        "Similarity of each clip to the nearest stretch of all training music, in pitch classes and onsets, over\n"
        f"twelve keys and all shifts. *Beyond held-out* is the share above the {NEAREST_QUANTILE:.0%} quantile of the\n"
        "real test clips. The mark is how far this share exceeds theirs. Clips of the training music itself are the\n"
        "nearest, which shows that the search works.\n",
        _table(head, rows),
    ]


def _controls(results: Results) -> list[str]:
    rows = [
        [verdict.name, "refused" if verdict.failed else "**not refused**", "; ".join(verdict.failed) or "none"]
        for verdict in results.verdicts
        if verdict.name.startswith("control")
    ]
    return ["## Controls\n", _table(["clips", "", "marks failed with the whole interval"], rows)]


def _curve(results: Results, section: str) -> str:
    points = results.curves[section]
    ears = list(results.ears)
    converged = "the clips of the default sampler with the most evaluations, from the same noise"
    rows = [
        [
            str(point.way),
            str(point.ensemble),
            str(point.style),
            *(_interval(point.frechet[ear]) for ear in ears),
            *(_interval(point.against[ear]) for ear in ears),
            *(f"{point.precision[ear]:.0%}, {point.recall[ear]:.0%}" for ear in ears),
        ]
        for point in points
    ]
    head = ["clips", "ensemble", "style", *(f"Fréchet, {ear}" for ear in ears)]
    head += [*(f"over converged, {ear}" for ear in ears), *(f"precision, recall, {ear}" for ear in ears)]
    text = f"{points[0].count} clips each. *Converged* are {converged}"
    if section == "lengths":
        text += (
            ";\nfor clips of other lengths, those of the usual length at the default settings. Of longer clips the\n"
            "last stretch of the usual length is judged; shorter ones are compared with real ones cut to their length"
        )
    text += ".\n\n" + _table(head, rows)
    if section == "samplers":
        most = max(point.way.evaluations for point in points)
        breaks = [
            [sampler, *(f"more than {most}" if count is None else str(count) for count in by_ear.values())]
            for sampler, by_ear in _breaks(results).items()
        ]
        text += (
            "\nWhere each sampler breaks: from this many evaluations on its Fréchet distance is at most "
            f"{FALL_RATIO:g} times that of the converged clips, as far as intervals tell.\n\n"
        )
        text += _table(["sampler", *(f"{ear} ear" for ear in ears)], breaks)
    return text
