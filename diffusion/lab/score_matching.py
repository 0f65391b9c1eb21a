"""A score at one noise level, and walkers that climb it from where somebody clicks: score matching before diffusion.

`sliced` learns the score of the data as they are, `denoising` that of x + sigma z: the document's two forms. The same
two objectives at every noise level are in `swiss_roll`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from diffusion.checkpoint import Configuration
from diffusion.codecs import Points as PointsCodec
from diffusion.codecs import settings_of
from diffusion.objectives import Objective, SlicedScore, SquaredError
from diffusion.samplers import DecayingLangevin
from diffusion.settings import Choice, Named, Number, Setting, Words
from diffusion.theory import (
    Denoiser,
    MixtureDenoiser,
    Noise,
    SeededNoise,
    VarianceExploding,
    uniform_grid,
)

from .experiment import Arrows, Bars, Curve, Experiment, Frame, Measured, Panel, Points, Source, stopped
from .swiss_roll import SPREAD, TAUGHT, PointByPoint, draw, drawn, exact, fresh, lattice, likeness
from .training import Lesson, learn, ship, shipped

SIGMA = 0.1
LEVEL = VarianceExploding(SIGMA / 2, 2 * SIGMA)
TIME = 0.5
"""Where sigma is SIGMA, the only time that these networks know."""
BOX = (-2.0, 2.0, -2.0, 2.0)
WALKERS = 200
UPDATES = 100


@dataclass(frozen=True)
class Form:
    """What a score is learned from. `noise` is the sigma of the data whose score it is, beside their own spread."""

    title: str
    summary: str
    objective: Objective
    noise: float

    @property
    def truth(self) -> MixtureDenoiser:
        """The exact denoiser: at SIGMA it has the score that is learned.

        The data are a curve under noise of standard deviation SPREAD. So without further noise their score is that of
        a curve under SIGMA, as long as the two are one number.
        """
        whole = exact(LEVEL)
        return replace(whole, variances=whole.variances + self.noise**2 - SIGMA**2)


FORMS: dict[str, Form] = {
    "sliced": Form("Sliced", "The score of the data as they are; no noise is added.", SlicedScore(noised=False), 0.0),
    "denoising": Form(
        "Denoising", "The score of x + σz, learned from the noise that was added.", SquaredError("score"), SIGMA
    ),
}
FIELDS: dict[str, Named] = {
    **FORMS,
    "exact": Words("Exact", "The score of the data, from the formula of their density."),
}
NOISES = {
    "normal": Words("Normal", "Langevin dynamics."),
    "uniform": Words("Uniform", "As the notebook draws it, between 0 and 1: every step drifts up and to the right."),
}


@dataclass(frozen=True)
class UniformNoise:
    """Noise (B, ...) between 0 and 1, for each draw of a seed, where a normal one is meant (Esling's `torch.rand`)."""

    normal: Noise

    def __call__(self, draw: int, like: Tensor) -> Tensor:
        uniform: Tensor = torch.special.ndtr(self.normal(draw, like))
        return uniform


@torch.no_grad()
def cosine(denoiser: Denoiser, form: Form, count: int = 2000) -> float:
    """The cosine between the learned field and the exact one, weighted by the density of what it is learned from."""
    points, times = drawn(count, seed=5), torch.full((count,), TIME, dtype=torch.float64)
    noise = form.noise * torch.randn(points.shape, generator=torch.Generator().manual_seed(1))
    found, true = (each(points + noise, times, {}).eps for each in (denoiser, form.truth))
    return float((found * true).sum() / (found.norm() * true.norm()))


@torch.no_grad()
def field(denoiser: Denoiser, truth: Denoiser) -> Arrows:
    """Both scores in units of 1 / SIGMA."""
    at = lattice(BOX)
    times = torch.full((len(at),), TIME, dtype=torch.float64)
    found, true = (-each(at, times, {}).eps.numpy() for each in (denoiser, truth))
    return Arrows(at.numpy(), found, true, BOX, "Score, learned and exact")


def on_the_roll(points: Tensor) -> float:
    """The share of points (N, 2) that lie within two spreads of the curve; of data nearly all do."""
    away = torch.cdist(points, exact(LEVEL).means).amin(1)
    return float((away < 2 * SPREAD).float().mean())


def configuration() -> Configuration:
    network = {
        "name": "step-mlp",
        "log_snrs": [float(LEVEL.log_snr(torch.tensor(TIME)))],
        "width": 128,
        "depth": 3,
    }
    schedule = {"name": "exploding", "least": LEVEL.least, "most": LEVEL.most}
    return Configuration(network, schedule, "eps", {}, 1, settings_of(PointsCodec(WALKERS)))


def lesson(form: Form, steps: int = 3000, batch: int = 256) -> Lesson:
    def one_time(batch: int, generator: torch.Generator) -> Tensor:
        return torch.full((batch,), TIME, dtype=torch.float64)

    return Lesson(draw, form.objective, configuration().denoiser, steps, batch, one_time, 0.999, lr=4e-3)


@dataclass(frozen=True)
class ScoreMatching(Experiment):
    """Walkers climb a score that was learned without diffusion."""

    name: ClassVar[str] = "score-matching"
    title: ClassVar[str] = "Score matching"
    summary: ClassVar[str] = "Walkers start where you click and climb the score of the data, each step shorter."
    source: ClassVar[Source] = Source("Diffusion probabilistic models, Introduction", "Score matching, Langevin")
    claim: ClassVar[str] = (
        "Sliced and denoising score matching learn a score without knowing the density. Langevin dynamics with a "
        "decaying step climbs it to the data, but stops on its way: it does not forget where it began."
    )
    formula: ClassVar[str] = r"x_{k+1} = x_k + \frac{a_k}{2} \nabla \log q(x_k) + \sqrt{a_k}\, z, \quad a_k = a\, d^k"
    trains: ClassVar[bool] = True
    knobs: ClassVar[Mapping[str, Setting]] = {
        "objective": Choice(
            name="objective", title="Score", help="Which score the walkers climb.", default="sliced", catalogue=FIELDS
        ),
        "x": Number(name="x", title="Start, x", help="Where they begin.", default=0.0, range=BOX[:2], step=0.1),
        "y": Number(name="y", title="Start, y", help="Where they begin.", default=0.0, range=BOX[2:], step=0.1),
        "step": Number(
            name="step", title="Step", help="The length a of the first step.", default=0.01, range=(1e-4, 0.05)
        ),
        "decay": Number(
            name="decay",
            title="Decay",
            help="What each step keeps of the length of the one before.",
            default=0.95,
            range=(0.5, 1.0),
            step=0.01,
        ),
        "noise": Choice(
            name="noise", title="Noise", help="What shakes the walkers.", default="normal", catalogue=NOISES
        ),
    }

    def code(self, knobs: Mapping[str, Any]) -> Callable[..., Any]:
        return DecayingLangevin

    def run(self, knobs: Mapping[str, Any], seed: int, stop: threading.Event | None = None) -> Iterator[Frame]:
        chosen = knobs["objective"]
        form = FORMS.get(chosen, FORMS["sliced"])
        denoiser: Denoiser = form.truth if chosen == "exact" else shipped(f"score-{chosen}").denoiser
        yield from walk(denoiser, form, knobs, seed, stop)

    def train(self, knobs: Mapping[str, Any], seed: int, stop: threading.Event | None = None) -> Iterator[Frame]:
        if knobs["objective"] not in FORMS:
            raise ValueError(f"objective: got {knobs['objective']!r}, which is not learned; allowed {', '.join(FORMS)}")
        form = FORMS[knobs["objective"]]
        plan = lesson(form)
        steps, losses = [], []
        for learned in learn(fresh(configuration(), seed), plan, seed, stop=stop):
            steps.append(learned.step)
            losses.append(learned.loss)
            denoiser = plan.denoiser(learned.average)
            curve = Curve(np.array(steps), {"now": np.array(losses)}, "step", "loss", title="Loss")
            panels: dict[str, Panel] = {"losses": curve, "arrows": field(denoiser, form.truth)}
            yield Frame(panels, 0.9 * learned.progress, caption=f"Step {learned.step} of {learned.steps}")
        for frame in walk(denoiser, form, knobs, seed, stop):
            yield replace(frame, progress=0.9 + 0.1 * frame.progress)

    def make(self, folder: Path) -> Iterator[str]:
        for name, form in FORMS.items():
            plan = lesson(form)
            *_, learned = learn(fresh(configuration(), seed=0), plan, seed=0)
            agreement = cosine(plan.denoiser(learned.average), form)
            card = (
                f"# score-{name}\n\nStepMLP of one level for points of the Swiss roll, taught by {form.title} score "
                f"matching at sigma {form.noise:g}: {TAUGHT} points of `sklearn.datasets.make_swiss_roll` "
                f"(noise 1, divided by ten), {learned.steps} steps of {plan.batch} points, "
                f"{learned.seconds / 60:.1f} minutes on one core. Last loss {learned.loss:.4g}; "
                f"cosine to the exact score {agreement:.3f}. Made by "
                f"`python -m diffusion lab train {self.name}`."
            )
            ship(folder / f"score-{name}", configuration(), learned.average, card)
            yield card

    def holds(self, frames: Sequence[Frame]) -> list[Measured]:
        panels = {name: panel for frame in frames for name, panel in frame.panels.items()}
        clouds = [
            torch.from_numpy(each.at) for frame in frames if isinstance(each := frame.panels.get("cloud"), Points)
        ]
        agreement = panels["agreement"]
        assert isinstance(agreement, Bars)
        cosine, (x, y) = agreement.values["cosine"], (clouds[-1] - clouds[0]).mean(0).tolist()
        apart = likeness(clouds[-1])
        return [
            Measured("Cosine between learned and exact score", cosine, holds=cosine >= 0.95),
            Measured("Share of the walkers on the roll at the start", on_the_roll(clouds[0])),
            Measured(
                "Share of the walkers on the roll at the end", found := on_the_roll(clouds[-1]), holds=found > 0.9
            ),
            Measured("Distance to fresh data; between two fresh sets it is 1", apart, holds=apart > 10),
            Measured("Mean way to the right", x),
            Measured("Mean way up", y),
        ]


def walk(
    denoiser: Denoiser, form: Form, knobs: Mapping[str, Any], seed: int, stop: threading.Event | None
) -> Iterator[Frame]:
    """The frames of WALKERS that start at the knobs' place. The sampler's last update, which returns x0, is not shown:
    the document has none."""
    sampler = DecayingLangevin(TIME, knobs["step"] / SIGMA**2, knobs["decay"])
    normal = SeededNoise([seed])
    noise: Noise = UniformNoise(normal) if knobs["noise"] == "uniform" else normal
    start = torch.tensor([[knobs["x"], knobs["y"]]]).expand(1, WALKERS, 2).contiguous()
    times = uniform_grid(LEVEL, UPDATES + 1)
    for step in sampler.steps(PointByPoint(denoiser), start, times, cond={}, noise=noise):
        if step.index > UPDATES:
            return
        panels: dict[str, Panel] = {"cloud": Points(step.x[0].numpy(), BOX, "The walkers")}
        if step.index == 0:
            panels["arrows"] = field(denoiser, form.truth)
            panels["agreement"] = Bars({"cosine": cosine(denoiser, form)}, "", "Agreement with the exact score")
        yield Frame(panels, step.index / UPDATES, caption=f"Step {step.index}")
        if stopped(stop):
            return
