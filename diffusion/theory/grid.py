"""At which times a sampler looks."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .schedule import Schedule

Grid = Callable[[Schedule, int], Tensor]
"""(schedule, steps) -> times (steps + 1,), float64, from the noisiest down to 0."""


def uniform_grid(schedule: Schedule, steps: int) -> Tensor:
    """Evenly spaced in t, from 1 to 0."""
    return torch.linspace(1, 0, _positive(steps) + 1, dtype=torch.float64)


def trailing_grid(schedule: Schedule, steps: int, total: int = 1000) -> Tensor:
    """Every (total / steps)-th time of a chain of `total`, counted from its end (Lin et al. 2023, section 3.3)."""
    if not 1 <= steps <= total:
        raise ValueError(f"steps: got {steps}, allowed 1 to {total}")
    times = torch.linspace(total, 0, steps + 1, dtype=torch.float64).round()
    return times / total


def log_snr_grid(schedule: Schedule, steps: int) -> Tensor:
    """Evenly spaced in log-SNR (Lu et al. 2022, section 3.3) from t = 1 to the end of the declared range, then 0."""
    first = schedule.log_snr(torch.ones((), dtype=torch.float64))
    last = schedule.log_snr(torch.zeros((), dtype=torch.float64))
    ramp = torch.linspace(0, 1, _positive(steps), dtype=torch.float64)
    times = schedule.inverse(first + (last - first) * ramp)
    return torch.cat([torch.ones_like(times[:1]), times[1:], torch.zeros_like(times[:1])])


def _positive(steps: int) -> int:
    if steps < 1:
        raise ValueError(f"steps: got {steps}, need at least 1")
    return steps
