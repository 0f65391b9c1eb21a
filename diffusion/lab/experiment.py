"""What an experiment is, and what it shows.

An experiment has knobs, runs, and yields frames. A frame is a set of panels, which are plain data: the page draws them
in the browser, the command line with matplotlib. Beside its pictures an experiment says which document it comes from,
what that document claims, the formula, and the function that computes it. Its numbers are measured in each run.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from inspect import getsource
from pathlib import Path
from textwrap import dedent
from typing import Any, ClassVar

import numpy as np

from diffusion.settings import Setting, Words

MOST_KNOBS = 6
SWITCH = {"on": Words("On", "With it."), "off": Words("Off", "Without it.")}
"""The catalogue of a knob that is on or off."""


@dataclass(frozen=True)
class Points:
    """A cloud (N, 2) in the `box` (left, right, bottom, top). Frames of one run keep the order of the points."""

    at: np.ndarray
    box: tuple[float, float, float, float]
    title: str = ""


@dataclass(frozen=True)
class Arrows:
    """Vectors (M, 2) at the places (M, 2) of a cloud's box: what was `learned`, and where it is known the `exact`."""

    at: np.ndarray
    learned: np.ndarray
    exact: np.ndarray | None
    box: tuple[float, float, float, float]
    title: str = ""


@dataclass(frozen=True)
class Images:
    """Pictures side by side, (N, H, W) or (N, H, W, 3) uint8, each with a caption or none."""

    pixels: np.ndarray
    captions: Sequence[str] = ()
    title: str = ""


@dataclass(frozen=True)
class Curve:
    """Lines over one axis: `y` has a named line (N,) for each, over `x` (N,)."""

    x: np.ndarray
    y: Mapping[str, np.ndarray]
    x_title: str
    y_title: str
    logarithmic: bool = False
    title: str = ""


@dataclass(frozen=True)
class Bars:
    """A bar a name, in `unit`."""

    values: Mapping[str, float]
    unit: str
    title: str = ""


@dataclass(frozen=True)
class Heat:
    """A map (rows, columns) of a quantity over two axes, such as the loss over training and time."""

    values: np.ndarray
    x_title: str
    y_title: str
    title: str = ""


@dataclass(frozen=True)
class Sound:
    """A wave (N,) in [-1, 1]."""

    wave: np.ndarray
    rate_hz: int
    title: str = ""


Panel = Points | Arrows | Images | Curve | Bars | Heat | Sound


@dataclass(frozen=True)
class Frame:
    """A moment of a run. `t` is its time, from 1 (noise) to 0 (data), or None where there is none; `progress` goes
    from 0 to 1. A panel that a later frame lacks stays as it was."""

    panels: Mapping[str, Panel]
    progress: float
    t: float | None = None
    caption: str = ""


@dataclass(frozen=True)
class Measured:
    """A number of today's run beside what the document says of it; `holds` is None where it says no number."""

    name: str
    value: float
    unit: str = ""
    said: str = ""
    holds: bool | None = None


@dataclass(frozen=True)
class Source:
    """Where an experiment comes from: the document and the place in it."""

    document: str
    place: str = ""


class Experiment(ABC):
    """One experiment: its words as class attributes, its knobs, and `run`.

    `formula` is LaTeX without dollar signs. `knobs` are entries as SETTINGS has them, at most six.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    summary: ClassVar[str]
    source: ClassVar[Source]
    claim: ClassVar[str]
    formula: ClassVar[str]
    knobs: ClassVar[Mapping[str, Setting]]
    trains: ClassVar[bool] = False
    """Whether there is something to train again: then `train` does."""
    training: ClassVar[str] = "Train again"
    """What the button says that begins it."""
    own: ClassVar[Mapping[str, Callable[[bytes], np.ndarray]]] = {}
    """What somebody may bring, by the field whose place it takes, and how it is read from a file: ValueError, in a
    sentence, for one that is no such thing. A knob `subject` has values of these names."""

    @abstractmethod
    def code(self, knobs: Mapping[str, Any]) -> Callable[..., Any]:
        """The function or class of this repository that the run with these knobs is about: the room shows it."""

    @abstractmethod
    def run(self, knobs: Mapping[str, Any], seed: int, stop: threading.Event | None = None) -> Iterator[Frame]:
        """The frames of a run from shipped weights; the first one comes within half a second on two cores.

        `knobs` are checked and complete (`asked`). A run that is stopped ends after the frame at hand.
        """

    def train(self, knobs: Mapping[str, Any], seed: int, stop: threading.Event | None = None) -> Iterator[Frame]:
        """The frames of a training from the start, with the loss as it falls and pictures in between."""
        raise ValueError(f"{self.name}: there is nothing to train")

    def make(self, folder: Path) -> Iterator[str]:
        """Train what ships for this experiment into folders of `folder`, the same each time on one machine and one
        thread; a line for each. Experiments without weights of their own make nothing."""
        yield from ()

    @abstractmethod
    def holds(self, frames: Sequence[Frame]) -> list[Measured]:
        """The numbers of a whole run, each beside what the document says."""

    def asked(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """All knobs: those given, checked, and the others at their defaults. ValueError names the knob, the value and
        what is allowed."""
        for name in given:
            if name not in self.knobs:
                raise ValueError(f"{name}: not a knob of {self.name}, which has {', '.join(self.knobs)}")
        return {name: knob.checked(given.get(name, knob.default)) for name, knob in self.knobs.items()}

    def source_code(self, knobs: Mapping[str, Any]) -> str:
        """The lines that run."""
        return dedent(getsource(self.code(knobs)))

    def lit(self, knobs: Mapping[str, Any]) -> range:
        """Which of them are to be seen at once, counted from 1."""
        return range(0)


def stopped(stop: threading.Event | None) -> bool:
    """Whether somebody wants a run to end."""
    return stop is not None and stop.is_set()
