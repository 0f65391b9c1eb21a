"""What was measured, as Markdown, CSV and pictures."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from diffusion.audio.mel import MelParameters
from diffusion.evaluation.classifier import NONE, Ear
from diffusion.evaluation.clips import ClipSet
from diffusion.evaluation.measures import (
    PASS_MARK,
    Score,
    entropy_bits,
    frechet_distance,
    onset_rate,
    principal,
    score,
)

DIRECTIONS = 16
EXPLANATION = f"""\
Each clip is judged *as heard*: its features are decoded to a wave, finished to a clip, and encoded again. The column
*features* leaves that out. The listener was trained on other pieces and another sound font than the generator's, and
has one more answer besides the styles, "{NONE}": it has learned to refuse clips of shuffled frames and of one held
chord, made from the music that it was trained on. A clip counts as right for its style only if it is heard as that
style, so a refused clip is wrong; *forced* is the style without that answer, which shows how much timbre and register
alone give away. Every ensemble holds every style equally often, so style accuracy is its mean within ensembles;
chance is one style in all. A set passes the style test at {PASS_MARK:.0%}; a control fails as it must where its
whole interval lies below. Intervals are Wilson's, 95 %, as if clips were independent: generated ones are, real ones of
a style come from few pieces.
"""


@dataclass(frozen=True)
class Row:
    """One set with everything that was measured of it; `frechet` maps a view to the distance to the real test clips."""

    clips: ClipSet
    heard: Score
    direct: Score
    frechet: dict[str, float]
    onsets_hz: np.ndarray
    grid: np.ndarray
    entropy: np.ndarray
    pitch_classes: np.ndarray


def measure(sets: Sequence[ClipSet], reference: ClipSet, ear: Ear) -> list[Row]:
    """One row for each set. Distances are taken in the directions in which the reference varies most."""
    own = {"heard": ear.judge(reference.heard).embedding, "features": ear.judge(reference.features).embedding}
    bases = {view: principal(embedding, DIRECTIONS) for view, embedding in own.items()}
    rows = []
    for clips in sets:
        judged = {"heard": ear.judge(clips.heard), "features": ear.judge(clips.features)}
        distances = {
            view: frechet_distance(judged[view].embedding @ bases[view], own[view] @ bases[view]) for view in own
        }
        rows.append(
            Row(
                clips,
                score(judged["heard"], clips.style, clips.ensemble),
                score(judged["features"], clips.style, clips.ensemble),
                distances,
                onset_rate(clips.heard, ear.config.mel).numpy(),
                clips.grid.numpy(),
                entropy_bits(clips.pitch_classes).numpy(),
                clips.pitch_classes.numpy(),
            )
        )
    return rows


def write(out: Path, rows: Sequence[Row], ear: Ear, title: str, reference: ClipSet) -> str:
    """Write report.md, report.csv and the pictures into `out`; returns the Markdown."""
    out.mkdir(parents=True, exist_ok=True)
    text = _markdown(rows, ear, title)
    _csv(out / "report.csv", rows, ear)
    _accuracies(out / "accuracy.png", rows)
    pictures = ["accuracy.png"]
    for row in rows:
        slug = row.clips.name.replace(", ", "-").replace(" ", "-")
        _confusions(out / f"confusion-{slug}.png", row, ear)
        pictures.append(f"confusion-{slug}.png")
        if row.clips.name.startswith("generated"):
            _sheet(out / f"sheet-{slug}.png", row.clips, reference, ear)
            pictures.append(f"sheet-{slug}.png")
    text += "\n## Pictures\n\n" + "\n".join(f"- [{name}]({name})" for name in pictures) + "\n"
    (out / "report.md").write_text(text, encoding="utf-8")
    return text


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _markdown(rows: Sequence[Row], ear: Ear, title: str) -> str:
    accuracy = _table(
        ["clips", "n", "ensemble", "style", "forced", "none", "style test", "ensemble, features", "style, features"],
        [
            [
                row.clips.name,
                str(len(row.clips)),
                str(row.heard.ensemble),
                str(row.heard.style),
                f"{row.heard.style_forced.value:.1%}",
                f"{row.heard.none.value:.1%}",
                _verdict(row),
                str(row.direct.ensemble),
                str(row.direct.style),
            ]
            for row in rows
        ],
    )
    within = _table(
        ["clips", *ear.config.ensembles],
        [[row.clips.name, *(f"{each.value:.0%}" for each in row.heard.style_within)] for row in rows],
    )
    statistics = _table(
        ["clips", "Fréchet", "Fréchet, features", "onsets per second", "on the grid", "entropy of pitch classes, bits"],
        [
            [
                row.clips.name,
                f"{row.frechet['heard']:.2f}",
                f"{row.frechet['features']:.2f}",
                _spread(row.onsets_hz),
                _spread(row.grid),
                _spread(row.entropy),
            ]
            for row in rows
        ],
    )
    confusions = "\n".join(
        f"### {row.clips.name}\n\n"
        + _table(
            ["style is ↓, heard →", *ear.config.answers],
            [
                [name, *map(str, counts)]
                for name, counts in zip(ear.config.styles, row.heard.style_confusion.tolist(), strict=True)
            ],
        )
        + "\n"
        + _table(
            ["ensemble is ↓, heard →", *ear.config.ensembles],
            [
                [name, *map(str, counts)]
                for name, counts in zip(ear.config.ensembles, row.heard.ensemble_confusion.tolist(), strict=True)
            ],
        )
        for row in rows
    )
    return f"""# {title}

{EXPLANATION}
## Accuracy

{accuracy}
## Style within each ensemble

{within}
## Distance and statistics

Fréchet distance to the real test clips in the {DIRECTIONS} main directions of the listener's last layer: compare it
with that of the real training clips, which is the floor. The other columns are mean ± standard deviation over clips.
*On the grid* is 1 where every partial is on the twelve-tone grid at 440 Hz and 0 where partials lie anywhere; onsets
are peaks of the spectral flux; an even spread over the pitch classes has {np.log2(12):.2f} bits.

{statistics}
## Confusions, as heard

{confusions}"""


def _verdict(row: Row) -> str:
    if row.clips.name.startswith("control"):
        return "fails, as it must" if row.heard.failed else "NOT REFUSED"
    return "passes" if row.heard.passed else "fails"


def _spread(values: np.ndarray) -> str:
    return f"{values.mean():.2f} ± {values.std():.2f}"


def _csv(path: Path, rows: Sequence[Row], ear: Ear) -> None:
    """One line for each set and view, in the order of the report."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        measures = ("style", "style_forced", "ensemble", "none")
        ends = ("", "_low", "_high")
        writer.writerow(
            ["clips", "view", "n", *(f"{m}{end}" for m in measures for end in ends), "frechet", "onsets_hz", "grid"]
            + ["entropy_bits", *(f"style_{name}" for name in ear.config.ensembles)]
            + [f"pitch_class_{k}" for k in range(12)]
        )
        for row in rows:
            for view, result in (("heard", row.heard), ("features", row.direct)):
                numbers: list[float] = []
                for name in measures:
                    accuracy = getattr(result, name)
                    numbers += [accuracy.value, *accuracy.interval]
                numbers += [row.frechet[view], row.onsets_hz.mean(), row.grid.mean(), row.entropy.mean()]
                numbers += [each.value for each in result.style_within]
                numbers += row.pitch_classes.mean(0).tolist()
                writer.writerow([row.clips.name, view, len(row.clips), *(f"{each:.6g}" for each in numbers)])


def _accuracies(path: Path, rows: Sequence[Row]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 0.5 * len(rows) + 1.2), layout="constrained")
    axes = figure.subplots()
    for offset, name, colour in ((-0.15, "ensemble", "tab:blue"), (0.15, "style", "tab:orange")):
        accuracies = [getattr(row.heard, name) for row in rows]
        values = np.array([each.value for each in accuracies])
        intervals = np.array([each.interval for each in accuracies]).T
        axes.errorbar(
            values,
            np.arange(len(rows)) + offset,
            xerr=np.abs(intervals - values),
            fmt="o",
            color=colour,
            capsize=3,
            label=name,
        )
    axes.axvline(PASS_MARK, color="tab:orange", linestyle=":", linewidth=1)
    axes.set_yticks(range(len(rows)), [row.clips.name for row in rows])
    axes.invert_yaxis()
    axes.set(xlim=(-0.02, 1.02), xlabel="accuracy as heard, 95 % interval; dotted: pass mark of the style test")
    axes.legend()
    figure.savefig(path, dpi=90)


def _confusions(path: Path, row: Row, ear: Ear) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.4))
    for axes, counts, truth, answers in (
        (left, row.heard.style_confusion, ear.config.styles, ear.config.answers),
        (right, row.heard.ensemble_confusion, ear.config.ensembles, ear.config.ensembles),
    ):
        axes.imshow(counts / counts.sum(1, keepdims=True).clip(1), cmap="Blues", vmin=0, vmax=1)
        axes.set_xticks(range(len(answers)), answers, rotation=45, ha="right")
        axes.set_yticks(range(len(truth)), truth)
        axes.set(xlabel="heard", ylabel="is")
        for (i, j), count in np.ndenumerate(counts):
            if count:
                axes.text(j, i, str(count), ha="center", va="center", fontsize=8)
    figure.suptitle(row.clips.name)
    figure.savefig(path, dpi=90)


def _sheet(path: Path, made: ClipSet, reference: ClipSet, ear: Ear) -> None:
    """Two rows for each style, generated above real, and a column for each ensemble; as heard."""
    from matplotlib.figure import Figure

    styles, ensembles, mel = ear.config.styles, ear.config.ensembles, ear.config.mel
    figure = Figure(figsize=(3.2 * len(ensembles), 3.4 * len(styles)), layout="constrained")
    axes = figure.subplots(2 * len(styles), len(ensembles), squeeze=False)
    for s, style in enumerate(styles):
        for e, ensemble in enumerate(ensembles):
            for row, clips, label in ((2 * s, made, "generated"), (2 * s + 1, reference, "real")):
                panel = axes[row, e]
                panel.axis("off")
                found = ((clips.style == s) & (clips.ensemble == e)).nonzero()
                if not len(found):
                    continue
                _spectrogram(panel, clips.heard[found[0, 0], 0], mel)
                panel.set_title(f"{label}: {style}, {ensemble}", fontsize=9)
    figure.savefig(path, dpi=60)


def _spectrogram(panel, clip: torch.Tensor, mel: MelParameters) -> None:  # type: ignore[no-untyped-def]
    low, high = mel.bounds
    panel.imshow(clip.numpy(), origin="lower", aspect="auto", cmap="inferno", vmin=low, vmax=0.6 * high)
