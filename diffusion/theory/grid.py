"""At which times a sampler evaluates the denoiser."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .schedule import LinearBetas, Schedule

Grid = Callable[[Schedule, int], Tensor]
"""(schedule, steps) -> times (steps + 1,), float64, from the noisiest, at or near 1, down to 0."""

CHAIN_STEPS = 1000
"""T, where a schedule is not that of a chain."""

LEAP_LOG_SNR = 3.0
"""The log-SNR at which the last step of the grid `leap` begins; sigma / alpha is 0.22 there."""

EDM_RANGE = (80.0, 0.002)
"""The first and the last sigma / alpha of Karras et al. 2022."""


def uniform_grid(schedule: Schedule, steps: int) -> Tensor:
    """Evenly spaced in t, from 1 to 0.

    >>> from diffusion.theory import Cosine
    >>> uniform_grid(Cosine(), 4).tolist()
    [1.0, 0.75, 0.5, 0.25, 0.0]
    """
    return torch.linspace(1, 0, _positive(steps) + 1, dtype=torch.float64)


def early_grid(schedule: Schedule, steps: int, power: float = 1.5) -> Tensor:
    """1 - u^power for even steps of u from 0 to 1: the closer to pure noise, the shorter the steps.

    What a sample is as a whole is decided near pure noise. Along a direction of variance v the signal outweighs the
    noise as soon as alpha² v exceeds sigma², and for the first principal components of music v is about 1000. A first
    step that jumps over that moment leaves these components near their mean: UniPC keeps 49 % of their standard
    deviation in 20 even steps, and 92 % in 20 of these.

    >>> from diffusion.theory import Cosine
    >>> [round(t, 3) for t in early_grid(Cosine(), 4).tolist()]
    [1.0, 0.875, 0.646, 0.35, 0.0]
    """
    return 1 - torch.linspace(0, 1, _positive(steps) + 1, dtype=torch.float64) ** power


def leap_grid(schedule: Schedule, steps: int) -> Tensor:
    """Times as in `early_grid` down to LEAP_LOG_SNR, and from there one step to 0.

    So little noise hides only fine detail. An inexact denoiser makes errors there, which add up over small steps, until
    notes are out of tune. One step leads to the mean instead, which is too smooth, but in tune. More steps therefore
    converge to that mean, not to a sample.

    >>> from diffusion.theory import Cosine
    >>> [round(t, 3) for t in leap_grid(Cosine(), 4).tolist()]
    [1.0, 0.834, 0.532, 0.14, 0.0]
    """
    last = schedule.inverse(torch.tensor(LEAP_LOG_SNR, dtype=torch.float64))
    return torch.cat([1 - (1 - last) * _ramp(steps) ** 1.5, torch.zeros(1, dtype=torch.float64)])


def trailing_grid(schedule: Schedule, steps: int, total: int | None = None) -> Tensor:
    """Every (total / steps)-th time of a chain, counted from its end (Lin et al. 2023, section 3.3).

    `total` is T, the schedule's own or 1000 unless it is given.

    >>> from diffusion.theory import Cosine
    >>> trailing_grid(Cosine(), 3).tolist()
    [1.0, 0.667, 0.333, 0.0]
    """
    total = total or schedule.chain_steps or CHAIN_STEPS
    if not 1 <= steps <= total:
        raise ValueError(f"steps: got {steps}, allowed 1 to {total}")
    times = torch.linspace(total, 0, steps + 1, dtype=torch.float64).round()
    return times / total


def full_grid(schedule: Schedule, steps: int) -> Tensor:
    """Each of the chain's T steps, whatever `steps` says: the T-step DDPM. T is 1000 without a chain."""
    return uniform_grid(schedule, schedule.chain_steps or CHAIN_STEPS)


def log_snr_grid(schedule: Schedule, steps: int) -> Tensor:
    """Evenly spaced in log-SNR (Lu et al. 2022, section 3.3) from t = 1 to the schedule's `t_min`, then 0."""
    first, last = _ends(schedule)
    return _from_log_snr(schedule, first + (last - first) * _ramp(steps))


def karras_grid(schedule: Schedule, steps: int, rho: float = 7.0) -> Tensor:
    """Evenly spaced in (sigma / alpha)^(1/rho) (Karras et al. 2022, eq. 5) from t = 1 to `t_min`, then 0."""
    noisiest, cleanest = _ends(schedule).tolist()
    return _from_log_snr(schedule, _karras_levels(noisiest, cleanest, steps, rho))


def edm_grid(schedule: Schedule, steps: int, rho: float = 7.0) -> Tensor:
    """As `karras_grid`, with sigma / alpha from 80 to 0.002 as in EDM (Karras et al. 2022, table 1), then 0.

    It begins where sigma / alpha is 80 and not at t = 1, so pure noise stands for data with a hundred and sixtieth of a
    per cent of signal. Where a schedule has no such level, its own first or last one takes its place.

    >>> from diffusion.theory import Cosine
    >>> times = edm_grid(Cosine(), 5)
    >>> level = Cosine()(times[:-1])
    >>> [round(ratio, 3) for ratio in (level.sigma / level.alpha).tolist()]
    [80.0, 17.528, 2.515, 0.17, 0.002]
    """
    noisiest, cleanest = _ends(schedule).tolist()
    first, last = (-2 * math.log(ratio) for ratio in EDM_RANGE)
    times = schedule.inverse(_karras_levels(max(first, noisiest), min(last, cleanest), steps, rho))
    return torch.cat([times, torch.zeros_like(times[:1])])


def linear_betas_grid(schedule: Schedule, steps: int) -> Tensor:
    """The noise levels of the first DDPM: betas that rise linearly from 1e-4 to 0.02 in 1000 steps (Ho et al. 2020).

    With 1000 steps it is that chain, whatever the schedule; fewer take even parts of it. It begins where that chain
    ends, at a sigma / alpha of 157 and not at t = 1. Where a schedule does not go as far, its own ends stand instead.

    >>> from diffusion.theory import Cosine
    >>> level = Cosine()(linear_betas_grid(Cosine(), 1000)[[0, -2]])
    >>> [f"{alpha_bar:.5g}" for alpha_bar in (level.alpha**2).tolist()]
    ['4.0358e-05', '0.9999']
    """
    chain = LinearBetas()
    first, last = chain.inverse(_ends(schedule)).tolist()
    along = torch.linspace(first, max(last, first / _positive(steps)), steps, dtype=torch.float64)
    return torch.cat([schedule.inverse(chain.log_snr(along)), torch.zeros(1, dtype=torch.float64)])


@dataclass(frozen=True)
class NamedGrid:
    """A grid with its name and a sentence for people."""

    grid: Grid
    title: str
    summary: str
    stepped: bool = True
    """Whether there are as many steps as `steps` says."""

    def __call__(self, schedule: Schedule, steps: int) -> Tensor:
        """Times (steps + 1,), or of another number where the grid is not `stepped`."""
        return self.grid(schedule, steps)


GRIDS: dict[str, NamedGrid] = {
    "leap": NamedGrid(leap_grid, "Leap", "As Early, but the last step leaps over what the model would get wrong."),
    "early": NamedGrid(early_grid, "Early", "Short steps in the noise, where it is decided what the music will be."),
    "uniform": NamedGrid(uniform_grid, "Even", "Even steps of time."),
    "log-snr": NamedGrid(log_snr_grid, "Log-SNR", "Each step multiplies the signal-to-noise ratio by the same factor."),
    "karras": NamedGrid(karras_grid, "Karras", "Long steps in the noise, ever shorter ones near the data."),
    "edm": NamedGrid(edm_grid, "EDM", "As Karras, but from 80 to 0.002: no steps are lost in what is all noise."),
    "linear-betas": NamedGrid(linear_betas_grid, "Linear betas", "The noise levels of the first DDPM, of 2020."),
    "trailing": NamedGrid(trailing_grid, "Trailing", "Every n-th step of the training chain, its last one included."),
    "full": NamedGrid(full_grid, "Full", "Every step of the training chain, whatever number is set.", False),
}
STEPPED_GRIDS = tuple(name for name, grid in GRIDS.items() if grid.stepped)


def _positive(steps: int) -> int:
    if steps < 1:
        raise ValueError(f"steps: got {steps}, need at least 1")
    return steps


def _ramp(steps: int) -> Tensor:
    return torch.linspace(0, 1, _positive(steps), dtype=torch.float64)


def _ends(schedule: Schedule) -> Tensor:
    """log-SNR (2,) at t = 1 and at t_min."""
    return schedule.log_snr(torch.tensor([1, schedule.t_min], dtype=torch.float64))


def _karras_levels(noisiest: float, cleanest: float, steps: int, rho: float) -> Tensor:
    """log-SNR (steps,) from one to another, evenly spaced in (sigma / alpha)^(1/rho)."""
    ends = torch.tensor([noisiest, cleanest], dtype=torch.float64)
    first, last = torch.exp(-ends / (2 * rho))
    return -2 * rho * torch.log(first + (last - first) * _ramp(steps))


def _from_log_snr(schedule: Schedule, log_snr: Tensor) -> Tensor:
    """The times of these levels, the first of which is that of t = 1, and then 0."""
    times = schedule.inverse(log_snr)
    return torch.cat([torch.ones_like(times[:1]), times[1:], torch.zeros_like(times[:1])])
