"""What an evaluation covers, and how many clips it takes."""

from __future__ import annotations

from dataclasses import dataclass

SECTIONS = ("marks", "evaluations", "guidance", "intervals", "rules", "samplers", "grids", "lengths")
NO_VOCODER = "none"
SAMPLER_EVALUATIONS = (5, 10, 20, 50)


_LEAST = (("clips", 2), ("control_clips", 2), ("curve_clips", 1), ("batch", 1), ("seed", 0), ("resamples", 2))


@dataclass(frozen=True)
class Plan:
    """What a report holds. `clips` and `control_clips` are for each style on each ensemble.

    `curve_clips` is for each point of a curve, rounded up to as many of each style on each ensemble.
    """

    sections: tuple[str, ...] = SECTIONS
    clips: int = 4
    control_clips: int = 2
    curve_clips: int = 72
    evaluations: tuple[int, ...] = (5, 10, 16, 20, 50, 250)
    guidance_scales: tuple[float, ...] = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0)
    guidance_from: tuple[float, ...] = (-15.0, -7.0, -5.5, -4.3, -3.0)
    rules: tuple[str, ...] = ("moving", "plain", "rescaled", "projected")
    samplers: tuple[str, ...] = ("unipc", "dpmpp-2m", "ddim", "ddpm")
    grids: tuple[str, ...] = ("early", "uniform", "log-snr", "karras")
    lengths: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0)
    batch: int = 8
    seed: int = 0
    resamples: int = 200

    def __post_init__(self) -> None:
        from diffusion.evaluation.clips import Way

        for section in self.sections:
            if section not in SECTIONS:
                raise ValueError(f"sections: got {section!r}, allowed {', '.join(SECTIONS)}")
        for name, least in _LEAST:
            if getattr(self, name) < least:
                raise ValueError(f"{name}: got {getattr(self, name)}, need at least {least}")
        if self.control_clips > self.clips:
            raise ValueError(f"control_clips: got {self.control_clips}, need at most {self.clips}, as many as clips")
        for name in ("evaluations", "guidance_scales", "guidance_from", "rules", "samplers", "grids", "lengths"):
            if not getattr(self, name):
                raise ValueError(f"{name}: got none, need at least one")
        for evaluations in self.evaluations:
            Way(evaluations=evaluations)
        for scale in self.guidance_scales:
            Way(guidance_scale=scale)
        for log_snr in self.guidance_from:
            Way(guidance_from=log_snr)
        for rule in self.rules:
            Way(guidance_rule=rule)
        for sampler in self.samplers:
            Way(sampler, min(SAMPLER_EVALUATIONS))
        for grid in self.grids:
            Way(grid=grid)
        for length in self.lengths:
            Way(length=length)
