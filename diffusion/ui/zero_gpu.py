"""ZeroGPU Spaces lend a GPU to one call at a time, in a process of its own; elsewhere nothing of this is used."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diffusion.compare import evaluations_of
from diffusion.studio import Clip, Preview, Request, Stop, Studio

START_S = 5  # to load the weights onto the lent GPU and to decode
LOOK_S = 0.03  # a guided evaluation of ten seconds of music on two CPU cores, which no GPU exceeds
LOOK_OF_S = 10.24


def open_studio(folder: Path, device: str = "auto") -> Studio:
    """The studio for this machine. Errors as `Studio` has them."""
    return ZeroGpuStudio(folder, device) if "SPACES_ZERO_GPU" in os.environ else Studio(folder, device)


def duration(requests: Sequence[Request], stop: object = None) -> int:
    """For how many seconds a run of `requests` asks for the GPU, at most."""
    looks = len(requests) * evaluations_of(requests[0])
    return START_S + math.ceil(looks * LOOK_S * requests[0].duration_s / LOOK_OF_S)


class ZeroGpuStudio(Studio):
    """A studio whose runs go through `spaces.GPU`, which forks a process with the GPU for each and sends items back."""

    def __init__(self, folder: Path, device: str = "auto", dtype: torch.dtype | None = None) -> None:
        import spaces  # before anything asks PyTorch for a GPU

        super().__init__(folder, device, dtype)
        self._lent_run = spaces.GPU(super()._run, duration=duration)
        self._lent_sound = spaces.GPU(super().sound, duration=START_S)

    def _run(self, requests: list[Request], stop: Stop) -> Generator[Preview | Clip]:
        with tempfile.TemporaryDirectory() as folder:
            flag = FileFlag(Path(folder) / "stop")
            try:
                for each in self._lent_run(requests, flag):
                    if stop.is_set():
                        flag.set()
                    yield each
            finally:
                flag.set()  # nobody may listen any more

    def sound(self, *arguments: Any, **options: Any) -> np.ndarray:
        wave: np.ndarray = self._lent_sound(*arguments, **options)
        return wave


class FileFlag:
    """An event that another process sees: it is set once its file is there."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def set(self) -> None:
        self.path.touch()

    def is_set(self) -> bool:
        return self.path.exists()
