"""Everything that decides a training run."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar

from diffusion.theory import SCHEDULES, schedule_from

from .run import RunConfig

SCHEDULE_NAMES = tuple(name for name in SCHEDULES if name not in ("shifted", "exploding"))
"""The schedules that can be named; `shift` makes a shifted one of each. Clips begin from N(0, 1), and `exploding` does
not end there."""
CHAIN = ("chain_steps", "first_beta", "last_beta")
BETAS = {
    "linear": ("steps", "first", "last"),
    "quadratic": ("steps", "first", "last"),
    "sigmoid": ("steps", "first", "last"),
    "constant": ("steps", "beta"),
}
"""The schedules of a chain, and what they call the settings in CHAIN."""


@dataclass(frozen=True)
class TrainingConfig(RunConfig):
    """The training of a denoiser. Half of the batches have as many frames in longer clips of `clip_frames`.

    `gain_db` is how far the level of a clip is moved up or down, at random. Times are drawn with density k t^(k-1),
    where k is `noise_emphasis`: 1 is uniform, more draws noisy times more often, at which the form of a clip is
    decided. `chain_steps`, T, `first_beta` and `last_beta` are those of a schedule of betas, 0 for its own; a constant
    one has the first alone. `shift` is added to the log-SNR of the schedule, and so changes sampling too;
    `noise_emphasis` does not.
    """

    clip_frames: int = 640
    label_dropout: float = 0.1
    gain_db: float = 0.0
    prediction: str = "moments-spread"
    schedule: str = "cosine"
    chain_steps: int = 0
    first_beta: float = 0.0
    last_beta: float = 0.0
    shift: float = 0.0
    noise_emphasis: float = 1.0
    weight_cap: float = 25.0
    spread_weight: float = 0.01
    width: int = 384
    depth: int = 8
    heads: int = 6
    hidden: int = 1152
    patch_frames: int = 4
    refinement: int = 0
    pulse: int = 0

    POSITIVE: ClassVar[tuple[str, ...]] = (*RunConfig.POSITIVE, "clip_frames", "noise_emphasis")
    FRACTIONS: ClassVar[tuple[str, ...]] = (*RunConfig.FRACTIONS, "label_dropout")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("frames", "clip_frames"):
            if getattr(self, name) % self.patch_frames:
                raise ValueError(
                    f"{name}: got {getattr(self, name)}, need a multiple of patch_frames {self.patch_frames}"
                )
        if self.schedule not in SCHEDULE_NAMES:
            raise ValueError(
                f"schedule: got {self.schedule!r}, allowed {', '.join(SCHEDULE_NAMES)}; shift moves any of them"
            )
        has = [name for name, _ in self._chain]
        for name in CHAIN:
            if (value := getattr(self, name)) and name not in has:
                raise ValueError(
                    f"{name}: got {value}, but the schedule {self.schedule} has {', '.join(has) or 'none'}"
                )
        try:
            schedule_from(self.schedule_settings)
        except ValueError as error:
            raise ValueError(f"schedule: {error}") from error

    @property
    def _chain(self) -> list[tuple[str, str]]:
        """The settings here that the schedule has, and what it calls them."""
        return list(zip(CHAIN, BETAS[self.schedule], strict=False)) if self.schedule in BETAS else []

    @property
    def schedule_settings(self) -> dict[str, Any]:
        """The schedule as a checkpoint names it."""
        if self.schedule == "cosine":
            return {"name": self.schedule, "shift": self.shift}
        plain: dict[str, Any] = {"name": self.schedule}
        plain |= {theirs: getattr(self, name) for name, theirs in self._chain if getattr(self, name)}
        return {"name": "shifted", "inner": plain, "shift": self.shift} if self.shift else plain

    @classmethod
    def from_dict(cls, settings: dict[str, Any]) -> TrainingConfig:
        """ValueError for a key that is no setting."""
        unknown = settings.keys() - {each.name for each in fields(cls)}
        if unknown:
            raise ValueError(
                f"unknown settings {', '.join(sorted(unknown))}; allowed {', '.join(f.name for f in fields(cls))}"
            )
        return cls(**settings)
