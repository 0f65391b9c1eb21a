"""Colour: the chain, objective and lessons of the digits, with another U-Net; then finetuning on one class."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from inspect import getsource
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from diffusion.codecs import ImageCodec
from diffusion.data.images import Pictures, emoji
from diffusion.settings import Choice, Number, Setting, Words

from .digits import METHOD, METHODS, TAKEN, guided
from .experiment import Bars, Frame, Measured, Panel, Source, stopped
from .pictures import SHOWN, Course, Kind, OfPictures, draw, fallen, last, lesson_frames, shown, teach, values
from .training import shipped

NETWORK = Kind(
    "U-Net",
    "That of Démo DDPM, with its widths and its three channels.",
    {"name": "demo-unet", "widths": [8, 16, 32, 64], "time": 32},
    batch=16,
)
"""The line that changes: all else is as for digits."""
NAME = "emoji-unet"
GROUPS = {
    "any": "Any",
    "smileys": "Smileys & Emotion",
    "people": "People & Body",
    "animals": "Animals & Nature",
    "food": "Food & Drink",
    "places": "Travel & Places",
    "activities": "Activities",
    "objects": "Objects",
    "symbols": "Symbols",
    "flags": "Flags",
}
"""What a knob and what Unicode calls a group."""
SAVES = 10
FINETUNING = replace(NETWORK, steps=200, lr=1e-3)
QUICK = 20
WHAT = (
    "1,870 emoji (`diffusion/data/emoji.json`), drawn at 32x32 from Noto Color Emoji 2.042 "
    "(Google, SIL Open Font License 1.1), their classes Unicode's groups"
)


@cache
def _network() -> str:
    """The lines of this file that say what NETWORK is."""
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("NETWORK ="))
    last = next(i for i in range(first, len(lines)) if lines[i] == ")")
    return "\n".join(lines[first : last + 1])


@dataclass(frozen=True)
class Colour(OfPictures):
    """Emoji out of noise; and a network that knows all of them, taught one group more, while the same noise is drawn
    again after every save."""

    name: ClassVar[str] = "colour"
    title: ClassVar[str] = "Colour"
    summary: ClassVar[str] = "Small pictures in colour by the code of the digits, and finetuning on one class."
    source: ClassVar[Source] = Source("Module 18a, DDPM", "CIFAR-10 and finetuning on single classes; Démo DDPM, U-Net")
    claim: ClassVar[str] = (
        "From grey digits to colour only the U-Net changes. A trained network that goes on with one class soon draws "
        "that class alone, out of the same noise."
    )
    formula: ClassVar[str] = (
        r"x_{t-1} = \frac{1}{\sqrt{\alpha_t}} \Big( x_t - \frac{\beta_t}{\sqrt{1 - \bar\alpha_t}}\, "
        r"\epsilon_\theta(x_t, t) \Big) + \sigma_t z"
    )
    trains: ClassVar[bool] = True
    training: ClassVar[str] = "Finetune on this group"
    knobs: ClassVar[Mapping[str, Setting]] = {
        "group": Choice(
            name="group",
            title="Group",
            help="What is drawn, and what training goes on with.",
            default="flags",
            catalogue={name: Words(name.capitalize(), f"Unicode's group: {title}.") for name, title in GROUPS.items()},
        ),
        "guidance": Number(
            name="guidance",
            title="Guidance",
            help="0 ignores the group, 1 follows it, more exaggerates it.",
            default=2.0,
            range=(0, 8),
            step=0.5,
        ),
        "sampler": replace(METHOD, default="ddpm"),
        "steps": replace(TAKEN, default=QUICK),
    }

    @staticmethod
    def usual() -> Pictures:
        return emoji()

    def code(self, knobs: Mapping[str, Any]) -> Callable[..., Any]:
        return Course.lesson

    def source_code(self, knobs: Mapping[str, Any]) -> str:
        """How the noise is learned and how pictures are drawn, for digits as for colour; and before it the network."""
        return "\n\n".join([_network(), super().source_code(knobs), getsource(draw)])

    def lit(self, knobs: Mapping[str, Any]) -> range:
        return range(1, 1 + len(_network().splitlines()))

    def run(self, knobs: Mapping[str, Any], seed: int, stop: threading.Event | None = None) -> Iterator[Frame]:
        model = shipped(NAME)
        codec, sampler = model.configuration.features, METHODS[knobs["sampler"]]
        assert isinstance(codec, ImageCodec)
        label = list(GROUPS).index(knobs["group"])
        asked = guided(model.denoiser, knobs["guidance"]) if label else model.denoiser
        title = GROUPS[knobs["group"]]
        for step in draw(asked, sampler, knobs["steps"], codec.shape(1), seed, SHOWN, label):
            panels: dict[str, Panel] = {"samples": shown(codec, step.x, title)}
            if step.x0 is not None:
                panels["belief"] = shown(codec, step.x0, "What the network believes")
            yield Frame(panels, 0.95 * step.index / step.total, step.s, f"Step {step.index} of {step.total}")
            if stopped(stop):
                return
        yield Frame({"near": self.near({"drawn": step.x}, knobs["group"])}, 1.0, 0.0, "Measured")

    def train(self, knobs: Mapping[str, Any], seed: int, stop: threading.Event | None = None) -> Iterator[Frame]:
        """Pictures of one's own teach a network from its start. The emoji go on teaching, by one group, the network
        that ships."""
        sampler, course = METHODS[knobs["sampler"]], self.course
        if self.pictures is not None:
            yield from lesson_frames(course, NETWORK, sampler, seed, stop)
            return
        model = shipped(NAME)
        network = model.configuration.build()
        network.load_state_dict(model.network.state_dict())
        *_, step = draw(model.denoiser, sampler, QUICK, course.codec.shape(1), seed, SHOWN)
        yield Frame({"before": shown(course.codec, step.x, "Before")}, 0.0, caption="What the network draws before")
        group = GROUPS[knobs["group"]]
        taught = course if knobs["group"] == "any" else Course(course.taught.of(group), course.others.of(group))
        after = yield from lesson_frames(
            taught, FINETUNING, sampler, seed, stop, steps=QUICK, saves=SAVES, network=network
        )
        yield Frame({"near": self.near({"before": step.x, "after": after}, knobs["group"])}, 1.0, caption="Measured")

    def make(self, folder: Path) -> Iterator[str]:
        yield teach(self.course, NETWORK, NAME, WHAT, folder, self.name)

    def near(self, drawn: Mapping[str, Tensor], group: str) -> Bars:
        """Of each set of features (N, C, H, W) the share whose nearest real picture is one of the group."""
        x0, _ = self.course.features(self.course.taught)
        classes = self.course.taught.classes

        def share(features: Tensor) -> float:
            place = torch.cdist(features.flatten(1), x0.flatten(1)).argmin(1).numpy()
            return float(np.mean(classes[place] == list(GROUPS).index(group) - 1)) if group != "any" else 1.0

        shares = {name: share(each) for name, each in drawn.items()}
        return Bars(shares, "share", f"Nearest to one of: {GROUPS[group]}")

    def holds(self, frames: Sequence[Frame]) -> list[Measured]:
        if last(frames, "near") is None:
            return fallen(frames)
        near = values(frames, "near")
        if "after" not in near:
            return [Measured("Drawn pictures that are nearest to one of the group", 100 * near["drawn"], "%")]
        more = near["after"] > near["before"]
        return [
            Measured("Nearest to one of the group before finetuning", 100 * near["before"], "%"),
            Measured("Nearest to one of the group after it", 100 * near["after"], "%", "the class alone", more),
        ]
