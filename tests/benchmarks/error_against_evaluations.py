"""Error against evaluations: `python tests/benchmarks/error_against_evaluations.py [--checkpoint FOLDER]`.

Every sampler at its defaults on a two-dimensional mixture whose denoiser is exact, so that all of the error is the
sampler's; and the deterministic ones against a run of many evaluations from the same noise, which tells them apart
where samples no longer do. With a checkpoint every sampler also on its music, by the distance of the clip to the
converged one of the same seed, at the page's default guidance, and the default sampler on other grids of times too. A
stochastic sampler has no such run to tend to, since other steps mean other noise: on music it tends to some other clip,
and its distance to that between two seeds, which stands above the table.

Writes a table (Markdown and CSV) and a plot for each.
"""

from __future__ import annotations

import argparse
import csv
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from diffusion.samplers import SAMPLERS, Sampler
from diffusion.theory import GRIDS, Cosine, Denoiser, MixtureDenoiser, Noise, SeededNoise

BUDGETS = (5, 10, 20, 50, 100)
CLIPS = 3000
DETERMINISTIC = ("ddim", "euler", "heun", "dpmpp-2m", "dpmpp-3m", "unipc")
CONVERGED = 300
GRID = "early"
Table = dict[str, dict[int, float]]
Run = Callable[[str, str, int], Tensor]
"""(sampler, grid, steps) -> where a run from always the same noise ends, (B, ...)."""


class Stream:
    """Noise for many clips from one generator, in order."""

    def __init__(self) -> None:
        self.generator = torch.Generator().manual_seed(0)

    def __call__(self, draw: int, like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=self.generator, dtype=like.dtype)


def steps_within(sampler: Sampler, budget: int) -> int:
    """The most steps that need no more evaluations than the budget."""
    tiny = MixtureDenoiser(Cosine(), torch.ones(1), torch.ones(1, 1), torch.ones(1))
    for steps in range(budget, 0, -1):
        noise = SeededNoise([0])
        run = sampler.steps(tiny, torch.zeros(1, 1), GRIDS[GRID](Cosine(), steps), cond={}, noise=noise)
        *_, last = run
        if last.evaluations <= budget:
            return steps
    raise ValueError(f"budget: got {budget}, too few for {sampler.title}")


def final(
    sampler: Sampler, denoiser: Denoiser, x: Tensor, times: Tensor, cond: dict[str, Tensor], noise: Noise
) -> Tensor:
    *_, last = sampler.steps(denoiser, x, times, cond=cond, noise=noise)
    return last.x


def energy_distance(a: Tensor, b: Tensor) -> float:
    """2 E|a - b| - E|a - a'| - E|b - b'| (Székely & Rizzo 2013)."""
    return float(2 * torch.cdist(a, b).mean() - torch.cdist(a, a).mean() - torch.cdist(b, b).mean())


def mixture() -> MixtureDenoiser:
    """Three clusters, two wide and one narrow."""
    return MixtureDenoiser(
        Cosine(),
        torch.tensor([0.3, 0.5, 0.2], dtype=torch.float64),
        torch.tensor([[1.0, 2.0], [-1.5, 0.2], [0.8, -1.2]], dtype=torch.float64),
        torch.tensor([0.05, 0.2, 0.01], dtype=torch.float64),
    )


def distance_table() -> tuple[Table, float]:
    """Energy distances of every sampler to exact samples of the mixture, and that between two sets of exact ones."""
    denoiser, generator = mixture(), torch.Generator().manual_seed(1)
    exact = denoiser.sample(CLIPS, generator)
    floors = [energy_distance(exact, denoiser.sample(CLIPS, generator)) for _ in range(5)]
    table: Table = {}
    for name, sampler in SAMPLERS.items():
        table[name] = {}
        for budget in BUDGETS:
            noise = Stream()
            times = GRIDS[GRID](denoiser.schedule, steps_within(sampler, budget))
            samples = final(sampler, denoiser, noise(0, exact), times, {}, noise)
            table[name][budget] = energy_distance(samples, exact)
    return table, sum(floors) / len(floors)


def path_table(run: Run, ways: Mapping[str, tuple[str, str]]) -> tuple[Table, Tensor]:
    """Mean absolute differences of runs from a long one out of the same noise, and where the long one ends.

    `ways` are a sampler and a grid each.
    """
    converged = run("unipc", GRID, CONVERGED)
    table: Table = {
        name: {
            budget: float((run(sampler, grid, steps_within(SAMPLERS[sampler], budget)) - converged).abs().mean())
            for budget in BUDGETS
        }
        for name, (sampler, grid) in ways.items()
    }
    return table, converged


def music_table(folder: Path, seeds: Sequence[int]) -> tuple[Table, float]:
    """Mean absolute differences in dB between spectrograms at few evaluations and at many, as the page composes them.

    Of every sampler, and of the default one on other grids; without texture, which is no part of sampling. And between
    the converged clips of one label and two seeds.
    """
    from diffusion.checkpoint import load
    from diffusion.compose import Composed, compose
    from diffusion.corrections import CORRECTIONS, ENDING, ENDINGS
    from diffusion.denoisers import InFormat
    from diffusion.networks.precision import fast_dtype
    from diffusion.request import Request

    loaded, device = load(folder), torch.device("cpu")
    configuration = loaded.configuration
    denoiser = InFormat(loaded.denoiser, device, fast_dtype(device))
    labels = [
        {ENDING: ENDINGS[0], **{name: values[i % len(values)] for name, values in configuration.told.items()}}
        for i in range(len(seeds))
    ]

    def composed(sampler: str, grid: str, steps: int, seeds: Sequence[int] = seeds) -> Tensor:
        settings = {"sampler": sampler, "grid": grid, "steps": steps, "duration_s": None}
        requests = [Request(each, seed, **settings) for each, seed in zip(labels, seeds, strict=True)]
        kept = CORRECTIONS.keys() - {"texture"}
        [last] = deque(compose(denoiser, configuration, requests, corrections=kept), maxlen=1)
        assert isinstance(last, Composed)
        return last.features

    decibels = configuration.features.unit_db
    table, converged = path_table(composed, {**on_grid(SAMPLERS), **on_grids("unipc")})
    other = composed("unipc", GRID, CONVERGED, [seed + 1000 for seed in seeds])
    scaled = {name: {budget: error * decibels for budget, error in row.items()} for name, row in table.items()}
    return scaled, float((other - converged).abs().mean()) * decibels


def on_grid(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    return {name: (name, GRID) for name in names}


def on_grids(name: str) -> dict[str, tuple[str, str]]:
    """One sampler on the other grids that follow the number of steps; named with a colon."""
    return {f"{name}: {grid}": (name, grid) for grid in ("uniform", "log-snr", "karras")}


def title_of(way: str) -> str:
    name, colon, grid = way.partition(": ")
    return SAMPLERS[name].title + (f", {grid}" if colon else "")


def write(table: Table, stem: Path, title: str, unit: str, line: tuple[str, float] | None = None) -> None:
    """stem.csv, stem.md and stem.png."""
    with stem.with_suffix(".csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["sampler", *BUDGETS])
        rows.writerows([name, *(f"{errors[budget]:.5g}" for budget in BUDGETS)] for name, errors in table.items())
    lines = [
        f"# {title}",
        "",
        f"Each number is the {unit}.",
        "The columns count evaluations of the denoiser. The grid of times is Early unless a row names another.",
        "",
    ]
    if line is not None:
        lines += [f"Between {line[0]} that number is {line[1]:.2g}.", ""]
    lines += ["| sampler | " + " | ".join(map(str, BUDGETS)) + " |", "|---|" + "---:|" * len(BUDGETS)]
    for name, errors in sorted(table.items(), key=lambda row: row[1][20]):
        cells = " | ".join(f"{errors[budget]:.2g}" for budget in BUDGETS)
        lines.append(f"| {title_of(name)} | {cells} |")
    stem.with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    plot(table, stem.with_suffix(".png"), title, unit, line)


def plot(table: Table, path: Path, title: str, unit: str, line: tuple[str, float] | None) -> None:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 6), layout="constrained")
    for i, (name, errors) in enumerate(table.items()):
        axes.loglog(
            *zip(*errors.items(), strict=True), marker="os^Dvx"[i % 6], color=f"C{i % 10}", label=title_of(name)
        )
    if line is not None:
        axes.axhline(line[1], color="grey", linestyle="dashed", label=line[0])
    axes.set(title=title, xlabel="evaluations of the denoiser", ylabel=unit, xticks=BUDGETS)
    axes.set_xticks([], minor=True)
    axes.set_xticklabels([str(each) for each in BUDGETS])
    axes.legend(fontsize="small", bbox_to_anchor=(1.01, 1), loc="upper left")
    figure.savefig(path, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, help="a folder with a model: measure it too")
    parser.add_argument("--seeds", type=int, default=2, help="clips for that measurement")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    arguments = parser.parse_args()
    stem = arguments.out / Path(__file__).stem
    table, floor = distance_table()
    line = ("two sets of exact samples", floor)
    write(table, stem, "Error against evaluations on an exact mixture", "energy distance to exact samples", line)
    against = f"from {CONVERGED} steps of UniPC out of the same noise"
    start = Stream()(0, torch.empty(CLIPS, 2, dtype=torch.float64))
    denoiser = mixture()

    def run(sampler: str, grid: str, steps: int) -> Tensor:
        return final(SAMPLERS[sampler], denoiser, start, GRIDS[grid](denoiser.schedule, steps), {}, Stream())

    table, _ = path_table(run, on_grid(DETERMINISTIC))
    unit = f"mean absolute difference {against}"
    write(table, stem.with_name(f"{stem.name}_paths"), "Error of deterministic samplers on an exact mixture", unit)
    if arguments.checkpoint:
        table, between = music_table(arguments.checkpoint, range(arguments.seeds))
        unit = f"mean absolute difference in dB {against}"
        line = ("two seeds", between)
        write(table, stem.with_name(f"{stem.name}_music"), "Error against evaluations on music", unit, line)


if __name__ == "__main__":
    main()
