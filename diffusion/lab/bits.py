"""The variational bound as a bar for each step: what a chain costs in bits, beside the entropy that is known."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import torch
from torch import Tensor

from diffusion import checkpoint
from diffusion.codecs import ImageCodec
from diffusion.data.images import digits
from diffusion.objectives import VariationalBound
from diffusion.settings import Choice, Number, Setting, Words
from diffusion.theory import Denoiser, SeededNoise

from .experiment import Bars, Experiment, Frame, Measured, Panel, Source, stopped
from .noising import shipped_clip
from .swiss_roll import CHAIN, drawn, exact
from .training import shipped

POINTS = 500
DIGITS, SHADES = 64, 17
BINS = 256
REACH = (-2.0, 2.0)
"""Between what the coordinates of points are cut into bins."""

SUBJECTS = {
    "exact": Words("Points, exact", "The Swiss roll and its exact denoiser: what is left is the fault of the chain."),
    "ddpm": Words("Points, DDPM", "The Swiss roll and the network that learned the simplified loss."),
    "kl": Words(
        "Points, KL",
        "The network that learned the bound with its variance, which is that of a hundred steps, whatever is set.",
    ),
    "digits": Words("Digits", "Handwritten digits of 17 shades and the U-Net that draws them."),
    "clip": Words("Clip", "Music and the model that composes it; its values are cut into bins."),
}


def binned(x: Tensor, bins: int, bounds: tuple[float, float]) -> Tensor:
    """x with every value at the centre of its bin."""
    low, high = bounds
    width = (high - low) / (bins - 1)
    return ((x.clamp(low, high) - low) / width).round() * width + low


@cache
def entropy_bits() -> float:
    """Of a point of the Swiss roll in bins, in bits a dimension: by the sum over all of its bins."""
    centres = torch.linspace(*REACH, BINS, dtype=torch.float64)
    truth = exact(CHAIN)
    spread = float(truth.variances[0])
    means = truth.means.double()
    # The density of a mixture on the lattice is a product of two Gaussians for each knot.
    along = [torch.exp(-((centres[:, None] - means[:, axis]) ** 2) / (2 * spread)) for axis in (0, 1)]
    p = along[0] @ along[1].T
    p = p / p.sum()
    return -float(torch.xlogy(p, p).sum()) / math.log(2) / 2


@dataclass(frozen=True)
class Subject:
    """What is encoded, x0 (B, ...) in bins between bounds, the denoiser that does it, and the least bits if known."""

    x0: Tensor
    denoiser: Denoiser
    bounds: tuple[float, float]
    bins: int = BINS
    entropy_bits: float | None = None


@cache
def subject(name: str) -> Subject:
    if name == "clip":
        model = checkpoint.load(checkpoint.find_checkpoint())
        bounds = model.configuration.features.bounds
        x0 = torch.from_numpy(shipped_clip())[None]
        return Subject(binned(x0, BINS, bounds), model.denoiser, bounds)
    if name == "digits":
        x0 = torch.from_numpy(ImageCodec().encode(digits().pixels[:DIGITS]))
        return Subject(x0, shipped("digits-unet").denoiser, ImageCodec().bounds, SHADES)
    denoiser: Denoiser = exact(CHAIN) if name == "exact" else shipped(f"roll-{name}").denoiser
    return Subject(binned(drawn(POINTS, seed=7), BINS, REACH), denoiser, REACH, entropy_bits=entropy_bits())


def taken(knobs: Mapping[str, Any]) -> int:
    """How many steps the chain takes: a free variance is that of the steps it was learned on."""
    return CHAIN.steps if knobs["subject"] == "kl" else int(knobs["steps"])


@dataclass(frozen=True)
class Bits(Experiment):
    """The terms of the bound, from the noise to the data, and their sum beside the entropy."""

    name: ClassVar[str] = "bits"
    title: ClassVar[str] = "Bits"
    summary: ClassVar[str] = "What each step of a chain costs in bits, and how far the sum is above the entropy."
    source: ClassVar[Source] = Source("Module 18a", "The variational bound; Esling, the discretised decoder")
    claim: ClassVar[str] = (
        "The bound is what the start costs, a KL for each step and the decoder of the last one. "
        "It is never below the entropy of the data, and with exact steps back it comes down to it."
    )
    formula: ClassVar[str] = (
        r"H \le \mathrm{KL}(q(x_T|x_0) \| p(x_T)) + \sum_{t>1} \mathrm{KL}(q(x_{t-1}|x_t,x_0) \| p(x_{t-1}|x_t)) "
        r"- \log p(x_0|x_1)"
    )
    knobs: ClassVar[Mapping[str, Setting]] = {
        "subject": Choice(
            name="subject", title="Subject", help="What is encoded, and by what.", default="exact", catalogue=SUBJECTS
        ),
        "steps": Number(
            name="steps",
            title="Steps",
            help="T, the number of steps of the chain.",
            default=20,
            range=(5, 100),
            whole=True,
            step=5,
        ),
        "variance": Choice(
            name="variance",
            title="Variance",
            help="That of the steps back, where none was learned.",
            default="beta",
            catalogue={
                "beta": Words("Beta", "As large as that of the noising step."),
                "beta-tilde": Words("Beta-tilde", "That of the posterior."),
            },
        ),
    }

    def code(self, knobs: Mapping[str, Any]) -> Callable[..., Any]:
        return VariationalBound

    @torch.no_grad()
    def terms(self, knobs: Mapping[str, Any], seed: int) -> Iterator[tuple[str, float]]:
        """The parts of the bound in bits a dimension: the start, each step from T down to 2, and the decoder."""
        chosen, steps = subject(knobs["subject"]), taken(knobs)
        bound = VariationalBound(steps, knobs["variance"], chosen.bins, chosen.bounds)
        yield "start", float(bound.prior(chosen.denoiser, chosen.x0).mean())
        noise = SeededNoise([seed])
        for step in range(steps, 0, -1):
            t = torch.full((len(chosen.x0),), step / steps, dtype=torch.float64)
            eps = noise(step, chosen.x0[None])[0]
            back = bound.step_back(chosen.denoiser, chosen.x0, t, eps, {})
            term = float(bound.term(chosen.x0, back).mean())
            yield ("decoder" if step == 1 else str(step)), term

    def run(self, knobs: Mapping[str, Any], seed: int, stop: threading.Event | None = None) -> Iterator[Frame]:
        steps, least = taken(knobs), subject(knobs["subject"]).entropy_bits
        parts: dict[str, float] = {}
        for name, term in self.terms(knobs, seed):
            parts[name] = term
            between = sum(value for part, value in parts.items() if part not in ("start", "decoder"))
            whole = {"start": parts["start"], "steps": between, "decoder": parts.get("decoder", 0.0)}
            whole["bound so far"] = sum(whole.values())
            panels: dict[str, Panel] = {
                "terms": Bars(dict(parts), "bits a dimension", "What each step costs"),
                "sum": Bars(whole | ({"entropy": least} if least else {}), "bits a dimension", "The sum"),
            }
            at = 1 - (len(parts) - 1) / steps
            yield Frame(panels, (len(parts) - 1) / steps, at, f"{whole['bound so far']:.2f} bits a dimension so far")
            if stopped(stop):
                return

    def holds(self, frames: Sequence[Frame]) -> list[Measured]:
        whole = frames[-1].panels["sum"]
        assert isinstance(whole, Bars)
        bound, least = whole.values["bound so far"], whole.values.get("entropy")
        found = [Measured("The bound", bound, "bits a dimension")]
        if least is not None:
            found.append(Measured("The entropy of the data in bins", least, "bits a dimension"))
            found.append(
                Measured("What the chain costs beyond it", bound - least, "bits", "not below 0", bound > least)
            )
        return found
