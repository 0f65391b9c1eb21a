"""The mathematics that everything else shares: schedules, the two-time process, beliefs, exact denoisers.

One symbol, one meaning: t runs from 0 (data) to 1 (noise) and x_t = alpha x0 + sigma eps.
"""

from .estimate import Cond, Denoiser, Estimate
from .grid import Grid, log_snr_grid, trailing_grid, uniform_grid
from .noise import Noise, SeededNoise
from .process import Posterior, Transition, jump, posterior, transition
from .schedule import SCHEDULES, Cosine, Level, LinearBetas, Schedule, TabulatedBetas, broadcast
from .step import Step

__all__ = [
    "SCHEDULES",
    "Cond",
    "Cosine",
    "Denoiser",
    "Estimate",
    "Grid",
    "Level",
    "LinearBetas",
    "Noise",
    "Posterior",
    "Schedule",
    "SeededNoise",
    "Step",
    "TabulatedBetas",
    "Transition",
    "broadcast",
    "jump",
    "log_snr_grid",
    "posterior",
    "trailing_grid",
    "transition",
    "uniform_grid",
]
