"""Everything that decides a training run."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class TrainingConfig:
    """One run. Its length is `steps`, or `minutes` where that is not 0; the learning rate decays over the last part.

    A batch has `batch` clips of `frames` frames, or as many frames in clips of `clip_frames`. `lr` is the peak for
    matrices under Muon (scaled to match AdamW); everything else is trained by AdamW at the same rate.
    """

    steps: int = 0
    minutes: float = 0.0
    batch: int = 32
    frames: int = 320
    clip_frames: int = 640
    seed: int = 0
    optimizer: str = "muon"
    lr: float = 1e-3
    warmup_steps: int = 200
    decay_fraction: float = 0.3
    weight_decay: float = 0.01
    gradient_norm: float = 1.0
    ema_decay: float = 0.999
    label_dropout: float = 0.1
    prediction: str = "moments"
    schedule: str = "cosine"
    shift: float = 0.0
    weight_cap: float = 25.0
    width: int = 384
    depth: int = 8
    heads: int = 6
    hidden: int = 1152
    patch_frames: int = 4
    save_minutes: float = 5.0
    log_steps: int = 50

    def __post_init__(self) -> None:
        if self.steps <= 0 and self.minutes <= 0:
            raise ValueError(f"steps, minutes: got {self.steps} and {self.minutes}, need one of them positive")
        for name in ("batch", "frames", "clip_frames", "log_steps", "lr", "save_minutes"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}: got {getattr(self, name)}, need a positive number")
        for name in ("label_dropout", "ema_decay", "decay_fraction"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}: got {getattr(self, name)}, allowed 0 to below 1")
        if self.optimizer not in ("muon", "adamw"):
            raise ValueError(f"optimizer: got {self.optimizer!r}, allowed muon, adamw")
        for name in ("frames", "clip_frames"):
            if getattr(self, name) % self.patch_frames:
                raise ValueError(
                    f"{name}: got {getattr(self, name)}, need a multiple of patch_frames {self.patch_frames}"
                )

    @classmethod
    def from_dict(cls, settings: dict[str, Any]) -> TrainingConfig:
        """ValueError for a key that is no setting."""
        unknown = settings.keys() - {each.name for each in fields(cls)}
        if unknown:
            raise ValueError(
                f"unknown settings {', '.join(sorted(unknown))}; allowed {', '.join(f.name for f in fields(cls))}"
            )
        return cls(**settings)

    def progress(self, step: int, seconds: float) -> float:
        """How much of the run is over, 0 to 1."""
        return min(1.0, seconds / (60 * self.minutes) if self.minutes > 0 else step / self.steps)

    def learning_rate(self, step: int, progress: float) -> float:
        """Linear warm-up, a plateau, and a linear decay to 0 over the last `decay_fraction` (Hu et al. 2024)."""
        warm = min(1.0, (step + 1) / max(1, self.warmup_steps))
        cool = min(1.0, (1 - progress) / self.decay_fraction) if self.decay_fraction else 1.0
        return self.lr * warm * cool
