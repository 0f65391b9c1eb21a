"""What runs a model. Everything above asks an `Engine` and cannot tell which one it is."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from diffusion.audio.wav import to_bytes
from diffusion.checkpoint import Configuration, Removed
from diffusion.compose import Stop
from diffusion.edits import Sources
from diffusion.request import Request


@dataclass(frozen=True)
class Model:
    """The model of an engine: what its folder is called, the digest of its weights, and what it is.

    `decoders` turn its features into sound, the best first; `step_frames` is the raster of its lengths; `removed` are
    the models that were here before it, by digest; `device` is what it runs on.
    """

    name: str
    digest: str
    configuration: Configuration
    decoders: tuple[str, ...]
    step_frames: int
    removed: dict[str, Removed]
    device: str


@dataclass(frozen=True)
class Preview:
    """One step of a run: the numbers of `Step`, and the first clip's state and belief as features (*shape).

    `x0` is None for the initial noise.
    """

    index: int
    total: int
    t: float
    log_snr: float
    alpha: float
    sigma: float
    evaluations: int
    seconds: float
    x: np.ndarray
    x0: np.ndarray | None


@dataclass(frozen=True)
class Clip:
    """A finished clip: its features (*shape), the settings that make it again, and the time it took.

    `wave` (N,) float32 is its sound, empty where the model makes none. `settings` hold the whole request with every
    label that the model has, what was `drawn` of those left open, the evaluations, the version and, if it was stopped,
    the last step it took. They leave out the time, so that the same request gives the same file. `gain` is what the
    decoded wave was amplified by, so that beliefs can be heard as loud as they are beside the clip. `deviation` is the
    standard deviation (*shape) of the last belief, None where the model has learned none.
    """

    features: np.ndarray
    settings: dict[str, Any]
    seconds: float
    wave: np.ndarray
    sample_rate_hz: int
    gain: float
    deviation: np.ndarray | None = None

    @property
    def request(self) -> Request:
        return Request.from_dict(self.settings)

    def to_wav(self) -> bytes:
        """A WAV file with the settings inside."""
        return to_bytes(self.wave, self.sample_rate_hz, self.settings)


class Engine(Protocol):
    """Runs requests that have been checked. Any number of runs may be under way, in any threads."""

    @property
    def model(self) -> Model: ...

    def run(self, requests: Sequence[Request], stop: Stop, sources: Sources = ()) -> Generator[Preview | Clip]:
        """The requests as one batch: previews of the first, then a clip for each. `sources` are what their edits need.

        Setting `stop` ends it within one evaluation, and the clips are then what the model believed last (it is asked
        at least once). Closing the iterator ends it without clips. A clip is what it would be alone within
        MEL_TOLERANCE_DB, its noise the same to the bit, and its seconds are its share of the batch's.
        """

    def sound(self, features: np.ndarray, decoder: str, most: float) -> np.ndarray:
        """The wave (N,) float32 of features (*shape), made as that of a clip: as loud, or amplified by `most`."""

    def prepare(self, request: Request, compile: bool) -> None:
        """Pay now for what would make the first visitors wait; `compile` for requests such as this one, if it can."""


__all__ = ["Clip", "Engine", "Model", "Preview", "Stop"]
