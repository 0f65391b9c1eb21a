"""What the experiments with small pictures have in common: networks that learn the noise, and how they are asked."""

from __future__ import annotations

import csv
import threading
from abc import abstractmethod
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from diffusion.checkpoint import Configuration
from diffusion.codecs import ImageCodec, settings_of
from diffusion.data.images import Pictures
from diffusion.denoisers import Clipped, Network, TimeBlind
from diffusion.objectives import SquaredError, loss_curve, low_discrepancy
from diffusion.samplers import Sampler
from diffusion.theory import Cond, Denoiser, LinearBetas, SeededNoise, Step, trailing_grid

from .experiment import Bars, Curve, Experiment, Frame, Heat, Images, Measured, Panel, stopped
from .training import Lesson, learn, ship

P = TypeVar("P", bound=Panel)

STEPS = 300
CHAIN = LinearBetas(STEPS, 1e-4 * 1000 / STEPS, 2e-2 * 1000 / STEPS)
"""The blog's 300 steps, with the betas of Ho et al. 2020 stretched from their 1000, so that the end is noise."""
BOUNDS = (-1.0, 1.0)
MOST_TAUGHT = 4000
MOST_OTHERS = 2000
DROPPED = 0.5
LABEL = "class"
EPS = SquaredError("eps")
MAP_TIMES = torch.arange(1, 13, dtype=torch.float64) / 12
ROWS = 20
"""How often a training is looked at."""
REPORTS = 3
"""Reports of the loss to each such look."""
MAP = "losses.csv"
SHOWN = 16


@dataclass(frozen=True)
class Kind:
    """A network with what is special about it: whether it is told the time, and how many pictures teach it."""

    title: str
    summary: str
    network: Mapping[str, Any]
    clock: bool = True
    taught: int | None = None
    steps: int = 2400
    lr: float = 3e-3
    batch: int = 32

    def denoiser(self, configuration: Configuration, network: Network) -> Denoiser:
        """The network as a denoiser, blind to the time where it has no clock."""
        denoiser = configuration.denoiser(network)
        return denoiser if self.clock else TimeBlind(denoiser, "eps")


@dataclass(frozen=True)
class Course:
    """Pictures to learn from, and others to measure with."""

    taught: Pictures
    others: Pictures

    @classmethod
    def of(cls, pictures: Pictures) -> Course:
        """Two of three to learn from, up to MOST_TAUGHT."""
        taught, others = pictures.split(min(MOST_TAUGHT, 2 * len(pictures) // 3))
        return cls(taught, others[:MOST_OTHERS])

    @property
    def codec(self) -> ImageCodec:
        return ImageCodec(*self.taught.shape)

    def features(self, pictures: Pictures) -> tuple[Tensor, Tensor]:
        """x0 (N, C, H, W) and the labels (N,), counted from 1."""
        return torch.from_numpy(self.codec.encode(pictures.pixels)), torch.from_numpy(pictures.classes) + 1

    def configuration(self, kind: Kind) -> Configuration:
        """A network of that kind that predicts the noise along CHAIN."""
        network = dict(kind.network)
        if network["name"] == "flat-mlp":
            network["shape"] = list(self.codec.shape(1))
        else:
            network["channels"] = self.codec.channels
        if network["name"] != "adaptive-unet":  # which is told the noise level itself
            times = torch.arange(1, STEPS + 1, dtype=torch.float64) / STEPS
            network["log_snrs"] = [round(each, 4) for each in CHAIN.log_snr(times).tolist()]
        schedule = {"name": "linear", "steps": CHAIN.steps, "first": CHAIN.first, "last": CHAIN.last}
        return Configuration(network, schedule, "eps", {LABEL: list(self.taught.names)}, 1, settings_of(self.codec))

    def lesson(self, kind: Kind, configuration: Configuration) -> Lesson:
        """How a network is taught. Labels are dropped half of the time, for guidance against no label."""
        x0, labels = self.features(self.taught[: kind.taught] if kind.taught else self.taught)

        def some(batch: int, generator: torch.Generator) -> tuple[Tensor, Cond]:
            rows = torch.randint(len(x0), (batch,), generator=generator)
            kept = torch.rand(batch, generator=generator) >= DROPPED
            return x0[rows], {LABEL: labels[rows] * kept}

        def denoiser(network: Network) -> Denoiser:
            return kind.denoiser(configuration, network)

        return Lesson(some, EPS, denoiser, kind.steps, kind.batch, low_discrepancy, ema_decay=0.998, lr=kind.lr)

    @torch.no_grad()
    def losses(self, denoiser: Denoiser, times: Tensor = MAP_TIMES, count: int = 40) -> np.ndarray:
        """The squared error of the noise (N,) at each time (N,), on pictures that nobody has learned from."""
        x0, labels = self.features(self.others[:count])
        eps = torch.randn(x0.shape, generator=torch.Generator().manual_seed(0))
        return loss_curve(EPS, denoiser, x0, eps, times, {LABEL: labels}).numpy()


@dataclass(frozen=True)
class OfPictures(Experiment):
    """An experiment with small pictures. Other `pictures` take the place of those that ship, to train on."""

    pictures: Pictures | None = None

    @staticmethod
    @abstractmethod
    def usual() -> Pictures:
        """The pictures that ship."""

    @cached_property
    def course(self) -> Course:
        return Course.of(self.pictures or self.usual())


def shown(codec: ImageCodec, features: Tensor, title: str, captions: Sequence[str] = ()) -> Images:
    """Features (N, C, H, W) as pictures."""
    pixels = codec.decode(features.numpy())
    return Images(pixels[..., 0] if codec.channels == 1 else pixels, captions, title)


def draw(
    denoiser: Denoiser, sampler: Sampler, steps: int, shape: tuple[int, ...], seed: int, count: int, label: int = 0
) -> Iterator[Step]:
    """The steps of `count` pictures of a shape (C, H, W), each from a seed of its own; label 0 leaves the class open.

    `steps` are every so many steps of CHAIN, its last one included. Beliefs are clipped to what pictures can be, as in
    the code of Ho et al. 2020: where there is little but noise, a small error of the noise is a large one of the data.
    """
    noise = SeededNoise([seed + i for i in range(count)])
    x = noise(0, torch.empty(count, *shape))
    times = trailing_grid(denoiser.schedule, steps)
    clipped = Clipped(denoiser, BOUNDS)
    return sampler.steps(clipped, x, times, cond={LABEL: torch.full((count,), label)}, noise=noise)


def loss_map(rows: Mapping[int, np.ndarray]) -> Heat:
    """The logarithm of the losses (N,) at each time, a row for each step of training at which they were measured."""
    return Heat(
        np.log10(np.stack(list(rows.values()))),
        "t, from data to noise",
        "training, from its start to its end",
        "log10 of the error of the noise",
    )


def loss_by_time(rows: Mapping[int, np.ndarray]) -> Curve:
    """The same losses as lines over time, one for each of a few steps of training."""
    some = [list(rows)[place] for place in np.unique(np.geomspace(1, len(rows), 5).round().astype(int)) - 1]
    lines = {f"step {step}": rows[step] for step in some}
    return Curve(MAP_TIMES.numpy(), lines, "t", "squared error", logarithmic=True, title="Loss over time")


def last(frames: Sequence[Frame], name: str) -> Panel | None:
    """The last panel of a name, if there is one."""
    return next((frame.panels[name] for frame in reversed(frames) if name in frame.panels), None)


def panel(frames: Sequence[Frame], name: str, kind: type[P]) -> P:
    """The last panel of a name; ValueError for a run that has none, because it was stopped."""
    found = last(frames, name)
    if not isinstance(found, kind):
        raise ValueError(f"frames: got none with {name}, need those of a whole run")
    return found


def values(frames: Sequence[Frame], name: str) -> Mapping[str, float]:
    """The last bars of a name."""
    return panel(frames, name, Bars).values


def fallen(frames: Sequence[Frame]) -> list[Measured]:
    """What a training has come to, on pictures that nobody has learned from."""
    losses = (10 ** panel(frames, "map", Heat).values).mean(1)
    return [
        Measured("Error of the noise at the end of training", float(losses[-1])),
        Measured("That error over the one at the first look", float(losses[-1] / losses[0]), "times"),
    ]


def read_map(folder: Path) -> dict[int, np.ndarray]:
    """The losses that were measured while the weights in a folder were trained."""
    with (folder / MAP).open(encoding="utf-8", newline="") as file:
        _, *rows = csv.reader(file)
    return {int(step): np.array([float(value) for value in losses]) for step, *losses in rows}


def lesson_frames(
    course: Course,
    kind: Kind,
    sampler: Sampler,
    seed: int,
    stop: threading.Event | None = None,
    *,
    steps: int = 30,
    saves: int = ROWS,
    network: nn.Module | None = None,
) -> Generator[Frame, None, Tensor]:
    """A training as it goes on: its loss, and after each of so many saves the map of losses and what the network draws
    from a noise that stays the same. A `network` goes on from its weights. Returns the features that were drawn last.
    """
    configuration = course.configuration(kind)
    torch.manual_seed(seed)
    if network is None:
        network = configuration.build()
    lesson = course.lesson(kind, configuration)
    taken: list[int] = []
    losses: list[float] = []
    rows: dict[int, np.ndarray] = {}
    features = torch.empty(0)
    for learned in learn(network, lesson, seed, stop=stop, every=max(1, kind.steps // (REPORTS * saves))):
        taken.append(learned.step)
        losses.append(learned.loss)
        curve = Curve(np.array(taken), {"loss": np.array(losses)}, "step", "loss", logarithmic=True, title="Loss")
        panels: dict[str, Panel] = {"loss": curve}
        if len(taken) % REPORTS == 0 or learned.step == learned.steps or stopped(stop):
            denoiser = lesson.denoiser(learned.average)
            rows[learned.step] = course.losses(denoiser)
            *_, step = draw(denoiser, sampler, steps, course.codec.shape(1), seed, SHOWN)
            features = step.x
            panels |= {"map": loss_map(rows), "samples": shown(course.codec, features, f"Step {learned.step}")}
        yield Frame(panels, learned.progress, caption=f"Step {learned.step} of {learned.steps}")
    return features


def teach(course: Course, kind: Kind, name: str, what: str, folder: Path, experiment: str) -> str:
    """Train a network and put its weights, its map of losses and its card into a folder of `folder`; the card."""
    configuration = course.configuration(kind)
    torch.manual_seed(0)
    network = configuration.build()
    lesson = course.lesson(kind, configuration)
    rows = {}
    for learned in learn(network, lesson, seed=0, every=kind.steps // ROWS):
        rows[learned.step] = course.losses(lesson.denoiser(learned.average))
    count, parameters = kind.taught or len(course.taught), sum(each.numel() for each in network.parameters())
    card = (
        f"# {name}\n\n{kind.title} with {parameters:,} parameters. Data: {count} of {what}. "
        f"{learned.steps} steps of {kind.batch}, {learned.seconds / 60:.1f} minutes on one core. "
        f"Held-out squared error of the noise, over all times: {rows[learned.step].mean():.4f}. "
        f"Made by `python -m diffusion lab train {experiment}`."
    )
    ship(folder / name, configuration, learned.average, card)
    with (folder / name / MAP).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["step", *(f"{float(t):.4g}" for t in MAP_TIMES)])
        writer.writerows([step, *(f"{value:.4g}" for value in row)] for step, row in rows.items())
    return card
