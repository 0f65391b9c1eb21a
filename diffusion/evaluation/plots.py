"""The pictures of a report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from diffusion.audio.mel import MelParameters
from diffusion.evaluation.classifier import EarConfig
from diffusion.evaluation.distances import Interval
from diffusion.evaluation.marks import (
    ENSEMBLE_SHARE,
    FALL_RATIO,
    FRECHET_RATIO,
    STYLE_SHARE,
    Heard,
    Point,
    Real,
    Verdict,
)
from diffusion.evaluation.plan import CURVES

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")  # Okabe and Ito's
DPI = 90


def write(
    out: Path,
    config: EarConfig,
    judged: Heard,
    real: Real,
    verdicts: Sequence[Verdict],
    curves: Mapping[str, Sequence[Point]],
) -> dict[str, str]:
    """Draw what was measured into `out`: file names with their titles."""
    pictures: dict[str, str] = {}

    def add(name: str, title: str, draw: Callable[..., Any], *arguments: Any) -> None:
        draw(*arguments).savefig(out / name, dpi=DPI, metadata={"Software": None})
        pictures[name] = title

    if verdicts:
        add("accuracy.png", "Accuracies", _accuracies, verdicts)
        add("distances.png", "Fréchet distances", _distances, verdicts)
        add("music.png", "Musical measures", _measures, verdicts, "music")
        add("memory.png", "Similarity to the training music", _measures, verdicts, "memory")
        for verdict in verdicts:
            slug = verdict.name.replace(", ", "-").replace(" ", "-")
            add(f"confusion-{slug}.png", f"Confusions: {verdict.name}", _confusions, verdict, config)
    for section, (_, across) in CURVES.items():
        if section in curves:
            add(f"{section}.png", f"Quality against {section}", _curves, curves[section], across)
    if judged.clips.name.startswith("generated"):
        add("sheet.png", "Generated clips above real ones", _sheet, judged, real.test, config)
    return pictures


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _reach(intervals: Sequence[Interval]) -> np.ndarray:
    """(2, n): how far the ends lie from the values."""
    return np.array([(each.value - each.low, each.high - each.value) for each in intervals]).clip(0).T


def _accuracies(verdicts: Sequence[Verdict]) -> Any:
    figure = _figure(8, 0.5 * len(verdicts) + 1.4)
    axes = figure.subplots()
    for offset, name, colour, threshold in (
        (-0.15, "ensemble", COLOURS[0], ENSEMBLE_SHARE),
        (0.15, "style", COLOURS[1], STYLE_SHARE),
    ):
        accuracies = [getattr(verdict.heard.accuracy, name) for verdict in verdicts]
        values = np.array([each.value for each in accuracies])
        ends = np.abs(np.array([each.interval for each in accuracies]).T - values)
        places = np.arange(len(verdicts)) + offset
        axes.errorbar(values, places, xerr=ends, fmt="o", color=colour, capsize=3, label=name)
        axes.axvline(threshold, color=colour, linestyle=":", linewidth=1)
    axes.set_yticks(range(len(verdicts)), [verdict.name for verdict in verdicts])
    axes.invert_yaxis()
    axes.set(xlim=(-0.02, 1.02), xlabel="accuracy as heard, 95 % interval; dotted: required")
    axes.legend()
    return figure


def _distances(verdicts: Sequence[Verdict]) -> Any:
    ears = list(verdicts[0].distances)
    figure = _figure(4.2 * len(ears), 0.4 * len(verdicts) + 1.6)
    panels = figure.subplots(1, len(ears), sharey=True, squeeze=False)[0]
    for axes, ear in zip(panels, ears, strict=True):
        intervals = [verdict.distances[ear].frechet_ratio for verdict in verdicts]
        places = np.arange(len(verdicts))
        values = [each.value for each in intervals]
        axes.errorbar(values, places, xerr=_reach(intervals), fmt="o", color=COLOURS[0], capsize=3)
        axes.axvline(1, color="grey", linewidth=1)
        axes.axvline(FRECHET_RATIO, color=COLOURS[1], linestyle=":", linewidth=1)
        axes.set(title=f"{ear} ear", xlabel="Fréchet distance over the floor", xscale="symlog", xlim=(0, None))
        axes.set_yticks(places, [verdict.name for verdict in verdicts])
    panels[0].invert_yaxis()
    return figure


def _measures(verdicts: Sequence[Verdict], group: str) -> Any:
    """The distribution of every measure of a group, for the sets that have them."""
    sets = [verdict.heard.clips for verdict in verdicts if group in verdict.heard.clips.measures]
    names = list(sets[0].measures[group])
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure = _figure(max(6.4, 4 * columns), 3.2 * rows)
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes, name in zip(panels, names, strict=False):
        for number, clips in enumerate(sets):
            control = clips.name.startswith("control")
            axes.ecdf(
                clips.measures[group][name].numpy(),
                label=clips.name,
                color=COLOURS[number % len(COLOURS)],
                linestyle=":" if control else "-",
                linewidth=2.2 if number == 0 else 1.2,
            )
        axes.set(xlabel=name, ylabel="share of clips")
    panels[0].legend(fontsize=7)
    return figure


def _curves(points: Sequence[Point], across: str) -> Any:
    """Fréchet distance in every ear, and accuracies, against a setting; a line for each sampler.

    Positive numbers lie on a logarithmic axis, names side by side.
    """
    values = dict.fromkeys(getattr(point.way, across) for point in points)
    named = isinstance(next(iter(values)), str)
    places = {value: turn for turn, value in enumerate(values)} if named else {value: value for value in sorted(values)}
    scale = "linear" if named or min(values) <= 0 else "log"
    solid, dotted = ("", "") if named else ("-", ":")
    ears = list(points[0].frechet)
    figure = _figure(3.6 * (len(ears) + 1), 3.6)
    *panels, last = figure.subplots(1, len(ears) + 1, squeeze=False)[0]
    lines = {sampler: [p for p in points if p.way.sampler == sampler] for sampler in {p.way.sampler: 0 for p in points}}
    for colour, (sampler, own) in zip(COLOURS * 2, lines.items(), strict=False):
        x = [places[getattr(point.way, across)] for point in own]
        for axes, ear in zip(panels, ears, strict=True):
            intervals = [point.frechet[ear] for point in own]
            y = [each.value for each in intervals]
            axes.errorbar(x, y, yerr=_reach(intervals), fmt=f"o{solid}", color=colour, capsize=3, label=sampler)
        last.plot(x, [point.ensemble.value for point in own], f"o{solid}", color=colour, label=f"{sampler}, ensemble")
        last.plot(x, [point.style.value for point in own], f"s{dotted}", color=colour, label=f"{sampler}, style")
    for axes, ear in zip(panels, ears, strict=True):
        good = [p.frechet[ear].value / max(p.against[ear].value, 1e-9) for p in points]
        axes.axhline(FALL_RATIO * float(np.median(good)), color="grey", linestyle=":", linewidth=1)
        axes.set(title=f"{ear} ear", ylabel="Fréchet distance; dotted: required", ylim=(0, None))
    last.set(title="classifier", ylabel="accuracy", ylim=(0, 1.02))
    for axes in (*panels, last):
        axes.set(xlabel=across.replace("_", " "), xscale=scale)
        axes.set_xticks([*places.values()], [value if named else f"{value:g}" for value in places])
        axes.set_xticks([], minor=True)
    last.legend(fontsize=7)
    return figure


def _confusions(verdict: Verdict, config: EarConfig) -> Any:
    figure = _figure(13, 5.4)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.4))
    accuracy = verdict.heard.accuracy
    for axes, counts, truth, answers in (
        (left, accuracy.style_confusion, config.styles, config.answers),
        (right, accuracy.ensemble_confusion, config.ensembles, config.ensembles),
    ):
        axes.imshow(counts / counts.sum(1, keepdims=True).clip(1), cmap="Blues", vmin=0, vmax=1)
        axes.set_xticks(range(len(answers)), answers, rotation=45, ha="right")
        axes.set_yticks(range(len(truth)), truth)
        axes.set(xlabel="heard", ylabel="is")
        for (i, j), count in np.ndenumerate(counts):
            if count:
                axes.text(j, i, str(count), ha="center", va="center", fontsize=8)
    figure.suptitle(verdict.name)
    return figure


def _sheet(made: Heard, test: Heard, config: EarConfig) -> Any:
    """Two rows for each style, generated above real, and a column for each ensemble; as heard."""
    figure = _figure(2 * len(config.ensembles), 2.2 * len(config.styles))
    axes = figure.subplots(2 * len(config.styles), len(config.ensembles), squeeze=False)
    for s, style in enumerate(config.styles):
        for e, ensemble in enumerate(config.ensembles):
            for row, heard, label in ((2 * s, made, "generated"), (2 * s + 1, test, "real")):
                panel, clips = axes[row, e], heard.clips
                panel.axis("off")
                found = ((clips.style == s) & (clips.ensemble == e)).nonzero()
                if len(found):
                    _spectrogram(panel, clips.heard[found[0, 0], 0], config.mel)
                    panel.set_title(f"{label}: {style}, {ensemble}", fontsize=6)
    return figure


def _spectrogram(panel: Any, clip: Tensor, mel: MelParameters) -> None:
    low, high = mel.bounds
    panel.imshow(clip.numpy(), origin="lower", aspect="auto", cmap="inferno", vmin=low, vmax=0.6 * high)
