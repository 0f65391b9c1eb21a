"""Everything that decides a training run."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar

from .run import RunConfig


@dataclass(frozen=True)
class TrainingConfig(RunConfig):
    """The training of a denoiser. A batch may also have as many frames in clips of `clip_frames`.

    `gain_db` is how far the level of a clip is moved up or down, at random; clips are brought to one loudness at last.
    Times are drawn with density k t^(k-1), k being `noise_emphasis`: 1 is uniform, more leaves most of a batch to the
    noisy times at which a clip's plan is made. Unlike `shift` it leaves the schedule, and so the sampling, as they are.
    """

    clip_frames: int = 640
    label_dropout: float = 0.1
    gain_db: float = 0.0
    prediction: str = "moments-spread"
    schedule: str = "cosine"
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

    @classmethod
    def from_dict(cls, settings: dict[str, Any]) -> TrainingConfig:
        """ValueError for a key that is no setting."""
        unknown = settings.keys() - {each.name for each in fields(cls)}
        if unknown:
            raise ValueError(
                f"unknown settings {', '.join(sorted(unknown))}; allowed {', '.join(f.name for f in fields(cls))}"
            )
        return cls(**settings)
