"""What an evaluation covers, and how many clips it takes."""

from __future__ import annotations

from dataclasses import dataclass

from diffusion.denoisers import GUIDANCE_RULES
from diffusion.evaluation.clips import CLIPS_A_SEED, Way
from diffusion.settings import SEEDS

CURVES = {  # the title of each, and the field of `Way` that it varies
    "evaluations": ("Evaluations", "evaluations"),
    "guidance": ("Guidance", "guidance_scale"),
    "intervals": ("Where guidance begins", "guidance_from"),
    "rules": ("Guidance rules", "guidance_rule"),
    "samplers": ("Samplers", "evaluations"),
    "grids": ("Time grids", "grid"),
    "lengths": ("Lengths", "length"),
}
SECTIONS = ("marks", *CURVES)
NO_VOCODER = "none"
SAMPLER_EVALUATIONS = (5, 10, 20, 50)

_LEAST = (("clips", 2), ("control_clips", 2), ("curve_clips", 1), ("batch", 1), ("seed", 0), ("resamples", 2))
_LAST_SEED = SEEDS // CLIPS_A_SEED - 1


@dataclass(frozen=True)
class Plan:
    """What a report holds. `clips` and `control_clips` are for each style on each ensemble.

    `curve_clips` are for each point of a curve, rounded up to equally many of each style on each ensemble. ValueError
    names the field that is wrong.
    """

    sections: tuple[str, ...] = SECTIONS
    clips: int = 4
    control_clips: int = 2
    curve_clips: int = 72
    evaluations: tuple[int, ...] = (5, 10, 16, 20, 50, 250)
    guidance_scales: tuple[float, ...] = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0)
    guidance_from: tuple[float, ...] = (-15.0, -7.0, -5.5, -4.5, -3.0)
    rules: tuple[str, ...] = tuple(GUIDANCE_RULES)
    samplers: tuple[str, ...] = ("unipc", "dpmpp-2m", "ddim", "ddpm")
    grids: tuple[str, ...] = ("leap", "early", "uniform", "log-snr", "karras")
    lengths: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0)
    batch: int = 8
    seed: int = 0
    resamples: int = 200

    def __post_init__(self) -> None:
        for section in self.sections:
            if section not in SECTIONS:
                raise ValueError(f"sections: got {section!r}, allowed {', '.join(SECTIONS)}")
        for name, least in _LEAST:
            if getattr(self, name) < least:
                raise ValueError(f"{name}: got {getattr(self, name)}, need at least {least}")
        if self.seed > _LAST_SEED:
            raise ValueError(f"seed: got {self.seed}, allowed 0 to {_LAST_SEED}")
        if self.control_clips > self.clips:
            raise ValueError(f"control_clips: got {self.control_clips}, need at most {self.clips}, as many as clips")
        for name in ("evaluations", "guidance_scales", "guidance_from", "rules", "samplers", "grids", "lengths"):
            if not getattr(self, name):
                raise ValueError(f"{name}: got none, need at least one")
        _ = self.ways

    @property
    def ways(self) -> dict[str, list[Way]]:
        """The ways that each curve compares; ValueError for one that is impossible."""
        return {
            "evaluations": [Way(evaluations=evaluations) for evaluations in self.evaluations],
            "guidance": [Way(guidance_scale=scale) for scale in self.guidance_scales],
            "intervals": [Way(guidance_from=log_snr) for log_snr in self.guidance_from],
            "rules": [Way(guidance_rule=rule) for rule in self.rules],
            "samplers": [Way(sampler, each) for sampler in self.samplers for each in SAMPLER_EVALUATIONS],
            "grids": [Way(grid=grid) for grid in self.grids],
            "lengths": [Way(length=length) for length in self.lengths],
        }
