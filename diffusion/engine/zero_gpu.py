"""ZeroGPU Spaces lend a GPU to one call at a time, in a process of its own; elsewhere nothing of this is used."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

import numpy as np

from diffusion.edits import Sources
from diffusion.engine import Clip, Engine, Model, Preview, Stop
from diffusion.request import Request

START_S = 5  # to load the weights onto the lent GPU and to decode
EVALUATION_S = 0.03  # a guided one of ten seconds of music on two CPU cores, which no GPU exceeds
EVALUATION_OF_S = 10.24


def duration(requests: Sequence[Request], stop: object = None, sources: object = ()) -> int:
    """For how many seconds a run of `requests` asks for the GPU, at most."""
    evaluations = len(requests) * requests[0].evaluations
    length_s = requests[0].duration_s or EVALUATION_OF_S
    return START_S + math.ceil(evaluations * EVALUATION_S * length_s / EVALUATION_OF_S)


class ZeroGpuEngine:
    """Another engine, whose runs go through `spaces.GPU`: it forks a process with the GPU for each, which sends items
    back."""

    def __init__(self, open_engine: Callable[[], Engine]) -> None:
        """`open_engine` is called once `spaces` is imported, which must be before anything asks PyTorch for a GPU."""
        import spaces

        self._inner = open_engine()
        self._lent_run = spaces.GPU(self._inner.run, duration=duration)
        self._lent_sound = spaces.GPU(self._inner.sound, duration=START_S)

    @property
    def model(self) -> Model:
        return self._inner.model

    def run(self, requests: Sequence[Request], stop: Stop, sources: Sources = ()) -> Generator[Preview | Clip]:
        """As `Engine.run`; the other process sees `stop` as a file."""
        with tempfile.TemporaryDirectory() as folder:
            flag = FileFlag(Path(folder) / "stop")
            try:
                for each in self._lent_run(requests, flag, sources):
                    if stop.is_set():
                        flag.set()
                    yield each
            finally:
                flag.set()  # nobody may listen any more

    def sound(self, features: np.ndarray, decoder: str, most: float) -> np.ndarray:
        """As `Engine.sound`."""
        wave: np.ndarray = self._lent_sound(features, decoder, most)
        return wave

    def prepare(self, request: Request, compile: bool) -> None:
        """As `Engine.prepare`; nothing is compiled for a GPU that is lent."""
        self._inner.prepare(request, compile=False)


class FileFlag:
    """An event that another process sees: it is set once its file is there."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def set(self) -> None:
        self.path.touch()

    def is_set(self) -> bool:
        return self.path.exists()
