"""Digits: what a blog post found out by coding DDPM for them, with networks that learn alike.

All networks have the pictures, the chain, the objective and the labels in common, unless their entry in NETWORKS says
otherwise. Each label is dropped half of the time, so the same weights draw any digit and a digit of choice.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from diffusion.codecs import ImageCodec
from diffusion.data.images import Pictures, digits
from diffusion.denoisers import Guided
from diffusion.networks import NETWORKS as MODULES
from diffusion.samplers import SAMPLERS, Sampler
from diffusion.settings import Choice, Number, Setting
from diffusion.theory import Denoiser, Step

from .experiment import Bars, Curve, Frame, Heat, Measured, Panel, Source, stopped
from .pictures import (
    SHOWN,
    STEPS,
    Kind,
    OfPictures,
    draw,
    fallen,
    last,
    lesson_frames,
    loss_by_time,
    loss_map,
    panel,
    read_map,
    shown,
    teach,
    values,
)
from .swiss_roll import energy_distance
from .training import LAB, shipped

FEW = 40
DEMO = {"name": "demo-unet", "widths": [16, 32, 64], "time": 32}
NETWORKS: dict[str, Kind] = {
    "unet": Kind("U-Net", "The one of Démo DDPM: convolutions, Mish and GroupNorm.", DEMO),
    "adaptive": Kind(
        "Adaptive U-Net",
        "Residual paths divided by √2; time scales and shifts what is normalised.",
        {"name": "adaptive-unet", "widths": [24, 40], "condition": 64},
    ),
    "mlp": Kind(
        "MLP",
        "Every pixel is an input of its own: nothing is known of neighbours.",
        {"name": "flat-mlp", "width": 192, "depth": 3},
        lr=1e-3,
    ),
    "no-clock": Kind("No clock", "The U-Net that is not told the time.", DEMO, clock=False),
    "few": Kind("Few pictures", f"The U-Net that {FEW} digits have taught.", DEMO, taught=FEW, steps=1200, batch=16),
}
WHAT = "the 8x8 digits of `sklearn.datasets.load_digits` (Alpaydin & Kaynak 1998, UCI, CC BY 4.0)"
TITLES = {name: each.title for name, each in NETWORKS.items()}
METHODS = {name: SAMPLERS[name] for name in ("naive-skipping", "ddim", "ddpm")}
BLOG = "DDPM (blog post)"
REAL = "Real digits"
SCALES = (0.0, 1.0, 2.0, 4.0, 8.0)
QUICK = 20
"""Steps of the runs that are measured beside the one that is shown."""
MEASURED = 32
"""Pictures of those runs."""

NETWORK = Choice(
    name="network", title="Network", help="Which one is looked at and trained.", default="unet", catalogue=NETWORKS
)
TAKEN = Number(
    name="steps",
    title="Steps",
    help="How many of the 300 steps are taken: 60 is every fifth.",
    default=60,
    range=(5, STEPS),
    whole=True,
    step=5,
)
METHOD = Choice(
    name="sampler",
    title="Sampler",
    help="The method that leads from noise to pictures.",
    default="ddim",
    catalogue=METHODS,
)


@dataclass(frozen=True)
class OfDigits(OfPictures):
    """What the experiments with digits have in common."""

    @staticmethod
    def usual() -> Pictures:
        return digits()

    @cached_property
    def reader(self) -> Callable[[Tensor], np.ndarray]:
        """Names the classes (N,) of features (N, C, H, W), taught by pictures that no network has learned from."""
        from sklearn.svm import SVC

        x0, labels = self.course.features(self.course.others)
        known = SVC().fit(x0.flatten(1).numpy(), labels.numpy() - 1)
        return lambda features: np.asarray(known.predict(features.flatten(1).numpy()))

    def variety(self, features: Tensor) -> float:
        """The mean distance between two of the pictures (N, C, H, W), as a part of that between as many real ones."""
        real, _ = self.course.features(self.course.others[: len(features)])
        return float(torch.pdist(features.flatten(1)).mean() / torch.pdist(real.flatten(1)).mean())

    def distances(self, drawn: Mapping[str, Tensor]) -> Bars:
        """The energy distance of sets of pictures (N, C, H, W), by title, to real ones; and that of N other real ones,
        which is not 0 since N are few. In units of the mean distance between real ones."""
        real, _ = self.course.features(self.course.others)
        other, _ = self.course.features(self.course.taught[: len(next(iter(drawn.values())))])
        apart = float(torch.pdist(real.flatten(1)).mean())
        found = {
            title: energy_distance(each.flatten(1), real.flatten(1)) / apart
            for title, each in {**drawn, REAL: other}.items()
        }
        return Bars(found, "", "Distance to digits")


def finished(
    denoiser: Denoiser, sampler: Sampler, steps: int, seed: int, label: int = 0, count: int = MEASURED
) -> Tensor:
    """Features (count, C, H, W) of the pictures at the end of a run, from other seeds than those that are shown."""
    *_, step = draw(denoiser, sampler, steps, codec().shape(1), seed + SHOWN, count, label)
    return step.x.clamp(*codec().bounds)


def codec() -> ImageCodec:
    """What the features of the shipped networks stand for."""
    found = shipped("digits-unet").configuration.features
    assert isinstance(found, ImageCodec)
    return found


def network(name: str) -> Denoiser:
    """A shipped network of NETWORKS."""
    found = shipped(f"digits-{name}")
    return NETWORKS[name].denoiser(found.configuration, found.network)


def side_by_side(
    runs: Mapping[str, Iterator[Step]],
    titles: Mapping[str, str],
    stop: threading.Event | None,
    extra: Mapping[str, Panel] | None = None,
) -> Generator[Frame, None, dict[str, Tensor]]:
    """A frame for each step of runs that have as many of them, a panel for each run; `extra` ones come with the first.

    Returns the features of the pictures at the end of each run.
    """
    features: dict[str, Tensor] = {}
    for steps in zip(*runs.values(), strict=True):
        features = {name: step.x for name, step in zip(runs, steps, strict=True)}
        panels: dict[str, Panel] = {name: shown(codec(), each, titles[name]) for name, each in features.items()}
        step = steps[0]
        if step.index == 0:
            panels |= extra or {}
        yield Frame(panels, 0.9 * step.index / step.total, step.s, f"Step {step.index} of {step.total}")
        if stopped(stop):
            break
    return {name: each.clamp(*codec().bounds) for name, each in features.items()}


@dataclass(frozen=True)
class Digits(OfDigits):
    """Five networks draw from the same noise, and each shows how it has learned."""

    name: ClassVar[str] = "digits"
    title: ClassVar[str] = "Digits"
    summary: ClassVar[str] = (
        "Five networks draw from one noise: two U-Nets, an MLP, one without a clock, one of few digits."
    )
    source: ClassVar[Source] = Source(BLOG, "the networks; Démo DDPM, U-Net; Module 18a, MNIST")
    claim: ClassVar[str] = (
        "A U-Net predicts noise better than an MLP, and better still with residual paths divided by √2 and a "
        "normalisation that time steers. Without time as an input it still draws digits. The loss falls at all times "
        "of the chain, but not at the same pace."
    )
    formula: ClassVar[str] = (
        r"\mathcal{L}(t) = \mathbb{E}_{x_0, \epsilon} \lVert \epsilon - "
        r"\epsilon_\theta(\sqrt{\bar\alpha_t}\, x_0 + \sqrt{1 - \bar\alpha_t}\, \epsilon,\; t) \rVert^2"
    )
    trains: ClassVar[bool] = True
    knobs: ClassVar[Mapping[str, Setting]] = {
        "network": NETWORK,
        "sampler": METHOD,
        "steps": replace(TAKEN, default=10),
    }

    def code(self, knobs: Mapping[str, Any]) -> Callable[..., Any]:
        return MODULES[NETWORKS[knobs["network"]].network["name"]]

    def run(self, knobs: Mapping[str, Any], seed: int, stop: threading.Event | None = None) -> Iterator[Frame]:
        sampler, shape = METHODS[knobs["sampler"]], codec().shape(1)
        rows = read_map(LAB / f"digits-{knobs['network']}")
        extra: dict[str, Panel] = {"map": loss_map(rows), "times": loss_by_time(rows)}
        runs = {name: draw(network(name), sampler, knobs["steps"], shape, seed, SHOWN) for name in NETWORKS}
        features = yield from side_by_side(runs, TITLES, stop, extra)
        if stopped(stop):
            return
        errors = {each.title: float(self.course.losses(network(name)).mean()) for name, each in NETWORKS.items()}
        known, _ = self.course.features(self.course.taught[:FEW])
        unknown, _ = self.course.features(self.course.others[:FEW])
        by_heart = {TITLES[name]: nearest(x, known) / nearest(x, unknown) for name, x in features.items()}
        panels: dict[str, Panel] = {
            "errors": Bars(errors, "squared error", "Error of the noise on digits that no network knows"),
            "distances": self.distances({TITLES[name]: x for name, x in features.items()}),
            "by heart": Bars(by_heart, "", f"Distance to the {FEW} digits over that to others"),
        }
        yield Frame(panels, 1.0, 0.0, "Measured")

    def train(self, knobs: Mapping[str, Any], seed: int, stop: threading.Event | None = None) -> Iterator[Frame]:
        yield from lesson_frames(self.course, NETWORKS[knobs["network"]], METHODS[knobs["sampler"]], seed, stop)

    def make(self, folder: Path) -> Iterator[str]:
        for name, kind in NETWORKS.items():
            yield teach(self.course, kind, f"digits-{name}", WHAT, folder, self.name)

    def holds(self, frames: Sequence[Frame]) -> list[Measured]:
        if last(frames, "errors") is None:
            return fallen(frames)
        errors, distances, by_heart = (values(frames, name) for name in ("errors", "distances", "by heart"))
        heat = panel(frames, "map", Heat).values
        fall = heat[0] - heat[-1]
        return [
            Measured("Error of the MLP over that of the U-Net", errors["MLP"] / errors["U-Net"], "times",
                     "the U-Net is better", errors["MLP"] > errors["U-Net"]),
            Measured("Error of the adaptive U-Net over that of the U-Net", errors["Adaptive U-Net"] / errors["U-Net"],
                     "times", "the adaptive one is better", errors["Adaptive U-Net"] < errors["U-Net"]),
            Measured("Error without a clock over that with one", errors["No clock"] / errors["U-Net"], "times"),
            Measured("Distance to digits without a clock over that of as many real ones",
                     distances["No clock"] / distances[REAL], "times", "it works without time",
                     distances["No clock"] < 2 * distances[REAL]),
            Measured("Distance to the few digits over that to others, for the network that they have taught",
                     by_heart["Few pictures"], "", "few pictures are learned by heart", by_heart["Few pictures"] < 0.8),
            Measured("Factor by which the loss fell at the first twelfth of the chain", float(10 ** fall[0])),
            Measured("Factor by which the loss fell at its end", float(10 ** fall[-1])),
        ]  # fmt: skip


@dataclass(frozen=True)
class ConditionOnOne(OfDigits):
    """One digit of choice, by guidance against no label."""

    name: ClassVar[str] = "condition-on-1"
    title: ClassVar[str] = "Condition on 1"
    summary: ClassVar[str] = (
        "Press a digit: a network that was told half of the labels draws it, the more strictly the more guidance."
    )
    source: ClassVar[Source] = Source(BLOG, "classifier-free guidance")
    claim: ClassVar[str] = (
        "Labels that are dropped half of the time teach one network both beliefs. Their difference, exaggerated, draws "
        "the digit that was asked for; the more it is exaggerated, the more alike the digits are."
    )
    formula: ClassVar[str] = (
        r"\hat\epsilon = \epsilon_\theta(x_t, t, \varnothing) + "
        r"s\, (\epsilon_\theta(x_t, t, c) - \epsilon_\theta(x_t, t, \varnothing))"
    )
    knobs: ClassVar[Mapping[str, Setting]] = {
        "digit": Number(
            name="digit", title="Digit", help="What is drawn.", default=1, range=(0, 9), whole=True, step=1
        ),
        "guidance": Number(
            name="guidance",
            title="Guidance",
            help="0 ignores the digit, 1 follows it, more exaggerates it.",
            default=2.0,
            range=(0, 8),
            step=0.5,
        ),
        "network": Choice(
            name="network",
            title="Network",
            help="Which one is asked.",
            default="unet",
            catalogue={name: NETWORKS[name] for name in ("unet", "adaptive")},
        ),
        "sampler": METHOD,
        "steps": replace(TAKEN, default=QUICK),
    }

    def code(self, knobs: Mapping[str, Any]) -> Callable[..., Any]:
        return Guided

    def run(self, knobs: Mapping[str, Any], seed: int, stop: threading.Event | None = None) -> Iterator[Frame]:
        asked, sampler = network(knobs["network"]), METHODS[knobs["sampler"]]
        label = 1 + knobs["digit"]
        runs = {
            "samples": draw(
                guided(asked, knobs["guidance"]), sampler, knobs["steps"], codec().shape(1), seed, SHOWN, label
            )
        }
        features = yield from side_by_side(runs, {"samples": f"Asked for {knobs['digit']}"}, stop)
        if stopped(stop):
            return
        read = self.reader(features["samples"])
        panels: dict[str, Panel] = {
            "samples": shown(codec(), features["samples"], "What a classifier reads", tuple(map(str, read))),
        }
        yield Frame(panels, 0.92, 0.0, "Read")
        scales = np.array(sorted({*SCALES, knobs["guidance"]}))
        right, various = [], []
        for scale in scales:
            found = finished(guided(asked, scale), sampler, QUICK, seed, label)
            right.append(float((self.reader(found) == label - 1).mean()))
            various.append(self.variety(found))
            if stopped(stop):
                return
        named = float(right[list(scales).index(knobs["guidance"])])
        yield Frame(
            {
                "scales": Curve(
                    scales, {"read as asked": np.array(right), "variety": np.array(various)}, "guidance", "share"
                ),
                "named": Bars({"read as asked": named}, "share", "Read as the digit that was asked for"),
            },
            1.0,
            0.0,
            "Measured",
        )

    def holds(self, frames: Sequence[Frame]) -> list[Measured]:
        named = values(frames, "named")["read as asked"]
        curve = panel(frames, "scales", Curve)
        at_one = list(curve.x).index(1)
        right, various = curve.y["read as asked"], curve.y["variety"]
        ratio = float(various[-1] / various[at_one])
        return [
            Measured("Digits that a classifier reads as asked", 100 * named, "%", "conditioning works", named >= 0.95),
            Measured("Digits that it reads as asked at scale 1", 100 * float(right[at_one]), "%"),
            Measured("Variety at scale 8 over that at scale 1", ratio, "times", "guidance costs variety", ratio < 1),
        ]


@dataclass(frozen=True)
class Skipping(OfDigits):
    """Fewer steps, three ways, from one noise."""

    name: ClassVar[str] = "skipping"
    title: ClassVar[str] = "Skipping steps"
    summary: ClassVar[str] = "Naive skipping, DDIM and DDPM side by side from one noise, in 5 to 300 steps."
    source: ClassVar[Source] = Source(BLOG, "faster sampling: every fifth of 300 steps")
    claim: ClassVar[str] = (
        "Naive skipping disappoints. DDIM draws digits in 60 of the 300 steps. Without noise of its own it is less "
        "varied than DDPM."
    )
    formula: ClassVar[str] = (
        r"x_s = \sqrt{\bar\alpha_s}\, \hat x_0 + \sqrt{1 - \bar\alpha_s - \tau^2}\, \hat\epsilon + \tau z, \qquad "
        r"\tau = 0 \text{ (DDIM)}"
    )
    knobs: ClassVar[Mapping[str, Setting]] = {
        "steps": TAKEN,
        "network": NETWORK,
        "sampler": replace(METHOD, help="Whose code is shown."),
    }

    def code(self, knobs: Mapping[str, Any]) -> Callable[..., Any]:
        return type(METHODS[knobs["sampler"]])

    def run(self, knobs: Mapping[str, Any], seed: int, stop: threading.Event | None = None) -> Iterator[Frame]:
        asked, steps, shape = network(knobs["network"]), knobs["steps"], codec().shape(1)
        runs = {name: draw(asked, each, steps, shape, seed, SHOWN) for name, each in METHODS.items()}
        features = yield from side_by_side(runs, {name: each.title for name, each in METHODS.items()}, stop)
        if stopped(stop):
            return
        sixteen = {METHODS[name].title: self.variety(x) for name, x in features.items()}
        yield Frame({"sixteen": Bars(sixteen, "of digits' own", "Variety of the sixteen")}, 0.92, 0.0, "Measured")
        many: dict[str, Tensor] = {}
        for each in METHODS.values():
            if stopped(stop):
                return
            many[each.title] = finished(asked, each, steps, seed, count=4 * MEASURED)
        various = {title: self.variety(x) for title, x in many.items()}
        panels: dict[str, Panel] = {
            "distances": self.distances(many),
            "variety": Bars(various, "of digits' own", f"Variety of {4 * MEASURED} more"),
        }
        yield Frame(panels, 1.0, 0.0, "Measured")

    def holds(self, frames: Sequence[Frame]) -> list[Measured]:
        distances, various, sixteen = (values(frames, name) for name in ("distances", "variety", "sixteen"))
        naive, ddim, ddpm = (each.title for each in (METHODS["naive-skipping"], METHODS["ddim"], METHODS["ddpm"]))
        return [
            Measured("Distance to digits of naive skipping over that of DDIM", distances[naive] / distances[ddim],
                     "times", "naive skipping disappoints", distances[naive] > 1.5 * distances[ddim]),
            Measured("Distance to digits of DDIM over that of as many real ones", distances[ddim] / distances[REAL],
                     "times", "DDIM draws digits", distances[ddim] < 2 * distances[REAL]),
            Measured("Variety of DDIM over that of DDPM", various[ddim] / various[ddpm], "times",
                     "DDIM is less varied", various[ddim] < various[ddpm]),
            Measured("Variety of sixteen by DDIM", sixteen[ddim], "of digits' own"),
            Measured("Variety of sixteen by DDPM", sixteen[ddpm], "of digits' own"),
        ]  # fmt: skip


def guided(denoiser: Denoiser, scale: float) -> Guided:
    """Guidance by a plain rule against no label."""
    return Guided(denoiser, torch.tensor(float(scale), dtype=torch.float64))


def nearest(features: Tensor, others: Tensor) -> float:
    """The mean distance of pictures (N, C, H, W) to the nearest of others (M, C, H, W)."""
    return float(torch.cdist(features.flatten(1), others.flatten(1)).min(1).values.mean())
