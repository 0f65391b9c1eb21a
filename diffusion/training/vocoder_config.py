"""Everything that decides the training of a vocoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .run import RunConfig


@dataclass(frozen=True)
class VocoderTraining(RunConfig):
    """The training of a vocoder.

    `mel_weight` and `phase_weight` are those of the distance between waves and of the phase's derivatives beside the
    error of the log amplitudes.
    """

    batch: int = 16
    frames: int = 40
    lr: float = 2e-3
    warmup_steps: int = 100
    decay_fraction: float = 0.4
    mel_weight: float = 3.0
    phase_weight: float = 1.0
    width: int = 384
    depth: int = 6
    hidden: int = 960
    refinements: int = 2

    POSITIVE: ClassVar[tuple[str, ...]] = (*RunConfig.POSITIVE, "width", "depth", "hidden")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.frames < 4:
            raise ValueError(f"frames: got {self.frames}, need 4 or more, the length of a window")
