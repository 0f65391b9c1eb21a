"""Everything that decides the training of a vocoder."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class VocoderTraining:
    """One run of `steps`, or of `minutes` where that is not 0; the learning rate decays over the last part.

    A batch has `batch` crops of `frames` frames. `mel_weight` and `phase_weight` are those of the distance between
    waves and of the phase's derivatives beside the error of the log amplitudes.
    """

    steps: int = 0
    minutes: float = 0.0
    batch: int = 16
    frames: int = 40
    seed: int = 0
    optimizer: str = "muon"
    lr: float = 2e-3
    warmup_steps: int = 100
    decay_fraction: float = 0.4
    weight_decay: float = 0.01
    gradient_norm: float = 1.0
    ema_decay: float = 0.999
    mel_weight: float = 3.0
    phase_weight: float = 1.0
    width: int = 384
    depth: int = 6
    hidden: int = 960
    refinements: int = 2
    save_minutes: float = 5.0
    log_steps: int = 50

    def __post_init__(self) -> None:
        if self.steps <= 0 and self.minutes <= 0:
            raise ValueError(f"steps, minutes: got {self.steps} and {self.minutes}, need one of them positive")
        for name in ("batch", "log_steps", "lr", "save_minutes", "width", "depth", "hidden"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}: got {getattr(self, name)}, need a positive number")
        if self.frames < 4:
            raise ValueError(f"frames: got {self.frames}, need 4 or more, the length of a window")
        for name in ("ema_decay", "decay_fraction"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}: got {getattr(self, name)}, allowed 0 to below 1")

    def rate(self, step: int, seconds: float) -> tuple[float, float]:
        """How much of the run is over, 0 to 1, and the learning rate: warm-up, plateau, linear decay."""
        progress = min(1.0, seconds / (60 * self.minutes) if self.minutes > 0 else step / self.steps)
        warm = min(1.0, (step + 1) / max(1, self.warmup_steps))
        cool = min(1.0, (1 - progress) / self.decay_fraction) if self.decay_fraction else 1.0
        return progress, self.lr * warm * cool

    @property
    def identity(self) -> dict[str, Any]:
        """What must agree for a run to go on: everything but its length and how often it reports."""
        free = ("steps", "minutes", "save_minutes", "log_steps")
        return {name: value for name, value in asdict(self).items() if name not in free}
