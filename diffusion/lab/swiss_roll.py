"""Points in a plane: from noise to the Swiss roll, with a network for each of four objectives.

What is right is known here. The roll is a curve under Gaussian noise, so the noised data are a mixture of Gaussians at
every time, and `diffusion.theory` has their score.
"""

from __future__ import annotations

import csv
import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from diffusion.checkpoint import Configuration
from diffusion.codecs import Points as PointsCodec
from diffusion.codecs import settings_of
from diffusion.networks import StepMLP
from diffusion.objectives import (
    Objective,
    PosteriorKL,
    SlicedScore,
    SohlDicksteinBound,
    SquaredError,
    antithetic,
    loss_curve,
    uniform,
)
from diffusion.samplers import DDPM
from diffusion.settings import Choice, Number, Setting
from diffusion.theory import (
    Cond,
    Denoiser,
    Estimate,
    LinearBetas,
    LogVariance,
    MixtureDenoiser,
    Schedule,
    SeededNoise,
    jump,
    uniform_grid,
)

from .experiment import (
    SWITCH,
    Arrows,
    Bars,
    Curve,
    Experiment,
    Frame,
    Measured,
    Panel,
    Points,
    Source,
    stopped,
)
from .training import LAB, Lesson, learn, ship, shipped

STEPS = 100
CHAIN = LinearBetas(STEPS, 1e-3, 0.2)
"""T = 100, and at the end a part in 50,000 of the variance is left of the data."""
BOX = (-3.0, 3.0, -3.0, 3.0)
TURNS = (1.5 * math.pi, 4.5 * math.pi)
SCALE = 0.1
SPREAD = 1.0 * SCALE
TAUGHT = 10_000
COMPARED = 2000
KNOTS = 600
SIDE = 17
SHARPNESS = 10
LOSSES = "losses.csv"
LINES = ("independent times", "mirrored times", "last weights", "averaged weights")
WATCHED = 4000
"""Steps of a training that somebody watches; what ships took more."""
CURVE_STEPS = 1000
"""How much of a training its shipped curves show."""


@dataclass(frozen=True)
class Way:
    """An objective with what its network's output means, and the variance of the steps back that fits it."""

    title: str
    summary: str
    objective: Objective
    prediction: str = "eps"
    variance: str = "beta-tilde"
    steps: int = 24_000


WAYS: dict[str, Way] = {
    "ddpm": Way("DDPM", "The squared error of the noise: the simplified loss.", SquaredError("eps")),
    "kl": Way(
        "KL",
        "The bound itself, with mean and variance learned.",
        SohlDicksteinBound(STEPS, relative=True),
        "eps-log-variance",
        "learned",
    ),
    "denoising": Way("Denoising", "Denoising score matching at every noise level.", SquaredError("score")),
    "sliced": Way(
        "Sliced", "Sliced score matching at every noise level: the noise is not looked at.", SlicedScore(), steps=48_000
    ),
}


def roll(count: int, seed: int) -> Tensor:
    """Points (count, 2) of scikit-learn's Swiss roll, seen along its axis and divided by ten (as Esling has it)."""
    from sklearn.datasets import make_swiss_roll

    points, _ = make_swiss_roll(count, noise=SPREAD / SCALE, random_state=seed)
    return torch.from_numpy(points[:, [0, 2]] * SCALE).float()


@cache
def taught() -> Tensor:
    """The points (TAUGHT, 2) that everything here learns from."""
    return roll(TAUGHT, seed=0)


def draw(batch: int, generator: torch.Generator) -> tuple[Tensor, Cond]:
    """A batch (B, 2) of the points that are learned from."""
    points = taught()
    return points[torch.randint(len(points), (batch,), generator=generator)], {}


def exact(schedule: Schedule) -> MixtureDenoiser:
    """The exact denoiser of the roll: Gaussians of its noise, close together along the curve."""
    start, end = TURNS
    angle = start + (end - start) * (torch.arange(KNOTS) + 0.5) / KNOTS
    means = SCALE * torch.stack([angle * angle.cos(), angle * angle.sin()], dim=1)
    return MixtureDenoiser(schedule, torch.full((KNOTS,), 1 / KNOTS), means, torch.full((KNOTS,), SPREAD**2))


def drawn(count: int, seed: int) -> Tensor:
    """Points (count, 2) of the same density as `roll`, without waiting for scikit-learn."""
    return exact(CHAIN).sample(count, torch.Generator().manual_seed(seed))


def energy_distance(a: Tensor, b: Tensor) -> float:
    """2 E|a - b| - E|a - a'| - E|b - b'| of points (N, D) (Székely & Rizzo 2013)."""
    return float(2 * torch.cdist(a, b).mean() - torch.cdist(a, a).mean() - torch.cdist(b, b).mean())


def likeness(points: Tensor) -> float:
    """The energy distance of points (N, 2) to fresh data, as a multiple of that between two fresh sets as large."""
    sets = [roll(len(points), 301 + i) for i in range(4)]
    others = [roll(len(points), 401 + i) for i in range(4)]
    apart = np.mean([energy_distance(a, b) for a, b in zip(sets, others, strict=True)])
    return float(np.mean([energy_distance(points, each) for each in sets]) / apart)


@torch.no_grad()
def alignment(denoiser: Denoiser, t: float, x0: Tensor) -> float:
    """The cosine between the learned score field and the exact one at t, both weighted by the density.

    sum s . s* / (|s| |s*|) over x0 (N, 2) noised to t: where data are, and by how much they are pulled there.
    """
    times = torch.full((len(x0),), t, dtype=torch.float64)
    level = denoiser.schedule(times)
    x_t = jump(x0, level, torch.randn(x0.shape, generator=torch.Generator().manual_seed(1)))
    found, true = (each(x_t, times, {}).score(level) for each in (denoiser, exact(denoiser.schedule)))
    return float((found * true).sum() / (found.norm() * true.norm()))


def lattice(box: tuple[float, float, float, float] = BOX, side: int = SIDE) -> Tensor:
    """Places (side², 2) on a square lattice in the middle of the box."""
    left, right, bottom, top = box
    x, y = torch.linspace(left, right, side + 2)[1:-1], torch.linspace(bottom, top, side + 2)[1:-1]
    return torch.cartesian_prod(x, y)


@torch.no_grad()
def arrows(denoiser: Denoiser, t: float, title: str) -> Arrows:
    """The learned score beside the exact one at t, in units of 1 / sigma, so that arrows keep their length."""
    at = lattice()
    found = -denoiser(at, torch.full((len(at),), t, dtype=torch.float64), {}).eps
    return Arrows(at.numpy(), found.numpy(), _exact_arrows(t).numpy(), BOX, title)


@cache
def _exact_arrows(t: float) -> Tensor:
    """The exact part of `arrows` along CHAIN, the same in all runs."""
    at = lattice()
    return -exact(CHAIN)(at, torch.full((len(at),), t, dtype=torch.float64), {}).eps


def configuration(way: Way) -> Configuration:
    """Esling's network with a gain for every step and unit, with a third hidden layer of 96 units."""
    times = torch.arange(1, STEPS + 1, dtype=torch.float64) / STEPS
    network = {
        "name": "step-mlp",
        "outputs": 2 if way.prediction == "eps-log-variance" else 1,
        "log_snrs": CHAIN.log_snr(times).tolist(),
        "width": 96,
        "depth": 3,
    }
    schedule = {"name": "linear", "steps": CHAIN.steps, "first": CHAIN.first, "last": CHAIN.last}
    return Configuration(network, schedule, way.prediction, {}, 1, settings_of(PointsCodec(COMPARED)))


def fresh(configuration: Configuration, seed: int) -> nn.Module:
    """A network of untrained weights whose first units bend within a tenth of the usual distance.

    The turns of the roll are 0.6 apart and 0.1 wide. With the usual weights a network sees nothing so narrow for
    thousands of steps.
    """
    torch.manual_seed(seed)
    network = configuration.build()
    assert isinstance(network, StepMLP)
    with torch.no_grad():
        for weights in network.layers[0].parameters():
            weights.mul_(SHARPNESS)
    return network


def lesson(name: str, *, mirrored: bool = True, ema: bool = True, steps: int | None = None, batch: int = 512) -> Lesson:
    """How the network of WAYS[name] is taught; `mirrored` times come in pairs t and 1 - t."""
    way = WAYS[name]
    times, decay = antithetic if mirrored else uniform, 0.998 if ema else 0.0
    return Lesson(draw, way.objective, configuration(way).denoiser, steps or way.steps, batch, times, decay, lr=5e-3)


@torch.no_grad()
def held_out(denoiser: Denoiser, objective: Objective) -> float:
    """The loss on fresh points and noise that never change."""
    x0, generator = drawn(2048, seed=1), torch.Generator().manual_seed(2)
    t, eps = antithetic(len(x0), generator), torch.randn(x0.shape, generator=generator)
    return float(objective(denoiser, x0, t, eps, {}).mean())


def losses(folder: Path) -> Curve:
    """The curves of a training that ships: its loss with mirrored times and with independent ones, and what a held-out
    set costs with the last weights and with the averaged ones."""
    with (folder / LOSSES).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    lines = {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}
    return Curve(lines.pop("step"), lines, "step", "loss", title="Loss while training")


def quality(denoiser: Denoiser, count: int = 1000) -> Curve:
    """How well the learned score agrees with the exact one, over time."""
    x0 = drawn(count, seed=5)
    times = np.array([0.02, 0.05, *np.arange(1, 10) / 10])
    cosines = np.array([alignment(denoiser, float(t), x0) for t in times])
    return Curve(times, {"cosine": cosines}, "t", "cosine", title="Agreement with the exact score")


@torch.no_grad()
def bits(denoiser: Denoiser, count: int = 500) -> tuple[Curve, Bars]:
    """The KL of each step, and the parts of the bound as Esling counts it: beyond the bits of N(0, 1)."""
    x0, generator = drawn(count, seed=6), torch.Generator().manual_seed(3)
    times = torch.arange(1, STEPS + 1, dtype=torch.float64) / STEPS
    kl = loss_curve(PosteriorKL(STEPS), denoiser, x0, torch.randn(x0.shape, generator=generator), times, {})
    first, last = (float(level.sigma.log2()) for level in (CHAIN(times[0]), CHAIN(times[-1])))
    parts = {
        "sum of the KLs": float(kl.sum()),
        "entropy after the first step": first,
        "entropy at the end": -last,
        "bound": float(kl.sum()) + first - last,
    }
    steps = np.arange(1, STEPS + 1)
    curve = Curve(steps, {"KL": kl.numpy()}, "step", "bits a dimension", logarithmic=True, title="KL of each step")
    return curve, Bars(parts, "bits a dimension beyond N(0, 1)", "The bound and its parts")


@dataclass(frozen=True)
class PointByPoint:
    """A denoiser of points (N, 2), for clouds of them (B, N, 2)."""

    inner: Denoiser

    @property
    def schedule(self) -> Schedule:
        return self.inner.schedule

    def __call__(self, x_t: Tensor, t: Tensor, cond: Cond) -> Estimate:
        clouds, count = x_t.shape[:2]
        belief = self.inner(x_t.flatten(0, 1), t.repeat_interleave(count), cond)
        variance = belief.variance
        if isinstance(variance, LogVariance):
            variance = LogVariance(variance.log_variance.unflatten(0, (clouds, count)))
        return Estimate(belief.x0.unflatten(0, (clouds, count)), belief.eps.unflatten(0, (clouds, count)), variance)


def fly(
    denoiser: Denoiser, way: Way, count: int, seed: int, extra: Mapping[str, Panel], stop: threading.Event | None
) -> Iterator[Frame]:
    """The frames of a run of the chain; `extra` panels come with the first, what is measured with the last."""
    noise = SeededNoise([seed])
    x = noise(0, torch.empty(1, count, 2))
    times = uniform_grid(denoiser.schedule, STEPS)
    for step in DDPM(way.variance).steps(PointByPoint(denoiser), x, times, cond={}, noise=noise):
        panels: dict[str, Panel] = {"cloud": Points(step.x[0].numpy(), BOX, "The points")}
        if step.index == 0:
            panels |= extra
        if step.s > 0:
            panels["arrows"] = arrows(denoiser, step.s, "Score, learned and exact")
        else:
            panels["agreement"] = quality(denoiser)
            panels["terms"], panels["bits"] = bits(denoiser)
        yield Frame(panels, step.index / step.total, step.s, f"t = {step.s:.2f}")
        if stopped(stop):
            return


@dataclass(frozen=True)
class SwissRoll(Experiment):
    """Two thousand points fly from noise to the spiral; arrows show what was learned beside what is right."""

    name: ClassVar[str] = "swiss-roll"
    title: ClassVar[str] = "Swiss roll"
    summary: ClassVar[str] = "Points fly from noise to a spiral. Arrows show the learned score beside the exact one."
    source: ClassVar[Source] = Source("Diffusion probabilistic models, Introduction", "Swiss roll, four models")
    claim: ClassVar[str] = (
        "A small network with a gain for each of a hundred steps learns the score of the noised data, and its samples "
        "are hard to tell from fresh data. Averaged weights and mirrored times make training calmer."
    )
    formula: ClassVar[str] = (
        r"x_{s} = \mu_q(x_t, \hat{x}_0) + \sqrt{\tilde\beta}\, z, \qquad \nabla \log q(x_t) = -\hat\epsilon / \sigma_t"
    )
    trains: ClassVar[bool] = True
    knobs: ClassVar[Mapping[str, Setting]] = {
        "objective": Choice(
            name="objective",
            title="Objective",
            help="What the network was trained to minimise.",
            default="ddpm",
            catalogue=WAYS,
        ),
        "ema": Choice(
            name="ema",
            title="Averaged weights",
            help="Sample with the moving average of the weights, or with those of the last step.",
            default="on",
            catalogue=SWITCH,
        ),
        "antithetic": Choice(
            name="antithetic",
            title="Mirrored times",
            help="Train on times in pairs, t and 1 − t, or on independent ones; both losses are drawn.",
            default="on",
            catalogue=SWITCH,
        ),
        "points": Number(
            name="points",
            title="Points",
            help="How many points fly.",
            default=COMPARED,
            range=(100, 5000),
            whole=True,
            step=100,
        ),
    }

    def code(self, knobs: Mapping[str, Any]) -> Callable[..., Any]:
        return type(WAYS[knobs["objective"]].objective)

    def run(self, knobs: Mapping[str, Any], seed: int, stop: threading.Event | None = None) -> Iterator[Frame]:
        name = knobs["objective"]
        model = shipped(f"roll-{name}" if knobs["ema"] == "on" else f"roll-{name}-last")
        yield from fly(
            model.denoiser, WAYS[name], knobs["points"], seed, {"losses": losses(LAB / f"roll-{name}")}, stop
        )

    def train(self, knobs: Mapping[str, Any], seed: int, stop: threading.Event | None = None) -> Iterator[Frame]:
        name, way = knobs["objective"], WAYS[knobs["objective"]]
        plan = lesson(name, mirrored=knobs["antithetic"] == "on", ema=knobs["ema"] == "on", steps=WATCHED)
        steps, means = [], []
        for learned in learn(fresh(configuration(way), seed), plan, seed, stop=stop):
            steps.append(learned.step)
            means.append(learned.loss)
            curve = Curve(np.array(steps), {"now": np.array(means)}, "step", "loss", title="Loss")
            denoiser = plan.denoiser(learned.average)
            panels: dict[str, Panel] = {"losses": curve, "arrows": arrows(denoiser, 0.3, "Score at t = 0.3")}
            yield Frame(panels, 0.9 * learned.progress, caption=f"Step {learned.step} of {learned.steps}")
        for frame in fly(denoiser, way, knobs["points"], seed, {}, stop):
            yield replace(frame, progress=0.9 + 0.1 * frame.progress)

    def make(self, folder: Path) -> Iterator[str]:
        for name, way in WAYS.items():
            made = configuration(way)
            rows: dict[int, dict[str, float]] = {}
            for mirrored, line in ((False, "independent times"), (True, "mirrored times")):
                plan = lesson(name, mirrored=mirrored)
                for learned in learn(fresh(made, seed=0), plan, seed=0):
                    if learned.step <= CURVE_STEPS:
                        row = rows.setdefault(learned.step, {"step": learned.step})
                        row[line] = learned.loss
                        for kind, each in (("last weights", learned.network), ("averaged weights", learned.average)):
                            row[kind] = held_out(made.denoiser(each), way.objective)
                    elif not mirrored:
                        break
            average = made.denoiser(learned.average)
            card = (
                f"# roll-{name}\n\nStepMLP for points of the Swiss roll, taught by {way.title}: {TAUGHT} points of "
                f"`sklearn.datasets.make_swiss_roll` (noise {SPREAD / SCALE:g}, divided by ten), {learned.steps} steps "
                f"of {plan.batch} points, {learned.seconds / 60:.1f} minutes on one core. Held-out loss "
                f"{held_out(average, way.objective):.4g}; cosine to the exact score at the worst time "
                f"{quality(average).y['cosine'].min():.3f}. Made by `python -m diffusion lab train {self.name}`."
            )
            ship(folder / f"roll-{name}", made, learned.average, card)
            ship(folder / f"roll-{name}-last", made, learned.network, f"{card} These are the weights of the last step.")
            with (folder / f"roll-{name}" / LOSSES).open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, ["step", *LINES], lineterminator="\n")
                writer.writeheader()
                writer.writerows({key: f"{value:.5g}" for key, value in each.items()} for each in rows.values())
            yield card

    def holds(self, frames: Sequence[Frame]) -> list[Measured]:
        panels = {name: panel for frame in frames for name, panel in frame.panels.items()}
        cloud, agreement, parts = panels["cloud"], panels["agreement"], panels["bits"]
        assert isinstance(cloud, Points)
        assert isinstance(agreement, Curve)
        assert isinstance(parts, Bars)
        ratio, cosine = likeness(torch.from_numpy(cloud.at)), float(agreement.y["cosine"].min())
        return [
            Measured(
                "Distance of the samples to fresh data; between two fresh sets it is 1", ratio, holds=ratio <= 1.5
            ),
            Measured("Cosine between learned and exact score, at the worst time", cosine, holds=cosine >= 0.95),
            Measured("Bits a dimension beyond those of N(0, 1), every step counted", parts.values["bound"], "bits"),
        ]
