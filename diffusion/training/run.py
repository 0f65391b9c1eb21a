"""What every training run has: its length, its learning rate, and the folder from which it is resumed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn
from torch.optim import Optimizer

from diffusion.files import written

STATE, LOG = "state.pt", "log.jsonl"
Record = dict[str, Any]


@dataclass(frozen=True)
class RunConfig:
    """A run of `steps`, or of `minutes` if that is not 0. The learning rate decays over the last `decay_fraction`.

    A batch has `batch` clips of `frames` frames. `lr` is the highest learning rate, for matrices under Muon (whose step
    is scaled to AdamW's) and for everything else under AdamW. ValueError names the setting that is wrong.
    """

    steps: int = 0
    minutes: float = 0.0
    batch: int = 32
    frames: int = 320
    seed: int = 0
    optimizer: str = "muon"
    lr: float = 1e-3
    warmup_steps: int = 200
    decay_fraction: float = 0.3
    weight_decay: float = 0.01
    gradient_norm: float = 1.0
    ema_decay: float = 0.999
    save_minutes: float = 5.0
    log_steps: int = 50

    POSITIVE: ClassVar[tuple[str, ...]] = ("batch", "frames", "log_steps", "lr", "save_minutes")
    FRACTIONS: ClassVar[tuple[str, ...]] = ("ema_decay", "decay_fraction")

    def __post_init__(self) -> None:
        if self.steps <= 0 and self.minutes <= 0:
            raise ValueError(f"steps, minutes: got {self.steps} and {self.minutes}, need one of them positive")
        for name in self.POSITIVE:
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}: got {getattr(self, name)}, need a positive number")
        for name in self.FRACTIONS:
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}: got {getattr(self, name)}, allowed 0 to below 1")
        if self.optimizer not in ("muon", "adamw"):
            raise ValueError(f"optimizer: got {self.optimizer!r}, allowed muon, adamw")

    def progress(self, step: int, seconds: float, left_s: float = math.inf) -> float:
        """How much of the run is over, 0 to 1: of its own length, or of a shorter one if it must end in `left_s`."""
        if left_s <= 0:
            return 1.0
        own = seconds / (60 * self.minutes) if self.minutes > 0 else step / self.steps
        return min(1.0, max(own, seconds / (seconds + left_s)))

    def learning_rate(self, step: int, progress: float) -> float:
        """Linear warm-up, a plateau, and a linear decay to 0 over the last `decay_fraction` (Hu et al. 2024)."""
        warm = min(1.0, (step + 1) / max(1, self.warmup_steps))
        cool = min(1.0, (1 - progress) / self.decay_fraction) if self.decay_fraction else 1.0
        return self.lr * warm * cool

    @property
    def identity(self) -> dict[str, Any]:
        """What must agree for a run to go on: everything but its length, and how often it saves and logs."""
        free = ("steps", "minutes", "save_minutes", "log_steps")
        return {name: value for name, value in asdict(self).items() if name not in free}


@dataclass(frozen=True)
class RunFolder:
    """Where a run keeps its state and its log; `report` gets every record as well."""

    path: Path
    config: RunConfig
    report: Callable[[Record], None] = lambda record: None

    def resume(
        self, device: torch.device, network: nn.Module, average: nn.Module, optimizers: Sequence[Optimizer]
    ) -> tuple[int, float]:
        """Load the state that `save` wrote, if there is one; returns the steps and the seconds that are over.

        ValueError if it is the state of a run with other settings.
        """
        if not (self.path / STATE).exists():
            return 0, 0.0
        state: Record = torch.load(self.path / STATE, map_location=device, weights_only=True)
        saved, mine = state["config"], self.config.identity
        before = {
            k: saved.get(k, getattr(type(self.config), k)) for k in mine
        }  # a setting that is newer was its default
        differing = [f"{k}: saved {before[k]!r}, now {v!r}" for k, v in mine.items() if before[k] != v]
        if differing:
            raise ValueError(f"{self.path / STATE} belongs to another configuration: {', '.join(differing)}")
        network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        for optimizer, saved_state in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved_state)
        return state["step"], state["seconds"]

    def save(
        self, step: int, seconds: float, network: nn.Module, average: nn.Module, optimizers: Sequence[Optimizer]
    ) -> None:
        """Write the state, whole or not at all."""
        state = {
            "config": self.config.identity,
            "step": step,
            "seconds": seconds,
            "network": network.state_dict(),
            "average": average.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in optimizers],
        }
        self.path.mkdir(parents=True, exist_ok=True)
        with written(self.path / STATE) as partial:
            torch.save(state, partial)

    def log(self, record: Record) -> None:
        """Add a line to the log."""
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / LOG).open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        self.report(record)
