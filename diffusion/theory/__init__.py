"""The mathematics that everything else shares: schedules, the two-time process, beliefs, exact denoisers.

One symbol, one meaning: t runs from 0 (data) to 1 (noise) and x_t = alpha x0 + sigma eps.
"""

from .estimate import Cond, Denoiser, Estimate, LogVariance, Mix, Spread
from .gaussian import GaussianDenoiser, MixtureDenoiser, gaussian_belief
from .grid import (
    GRIDS,
    STEPPED_GRIDS,
    Grid,
    NamedGrid,
    early_grid,
    full_grid,
    karras_grid,
    log_snr_grid,
    trailing_grid,
    uniform_grid,
)
from .noise import Noise, SeededNoise
from .process import (
    Posterior,
    Transition,
    jump,
    learned_log_variance,
    log_variances,
    posterior,
    posterior_variance,
    transition,
)
from .schedule import (
    LOG_SNR_RANGE,
    SCHEDULES,
    ConstantBetas,
    Cosine,
    Level,
    LinearBetas,
    QuadraticBetas,
    RectifiedFlow,
    Schedule,
    Shifted,
    SigmoidBetas,
    TabulatedBetas,
    broadcast,
    schedule_from,
)
from .step import Step

__all__ = [
    "GRIDS",
    "LOG_SNR_RANGE",
    "SCHEDULES",
    "STEPPED_GRIDS",
    "Cond",
    "ConstantBetas",
    "Cosine",
    "Denoiser",
    "Estimate",
    "GaussianDenoiser",
    "Grid",
    "Level",
    "LinearBetas",
    "LogVariance",
    "Mix",
    "MixtureDenoiser",
    "NamedGrid",
    "Noise",
    "Posterior",
    "QuadraticBetas",
    "RectifiedFlow",
    "Schedule",
    "SeededNoise",
    "Shifted",
    "SigmoidBetas",
    "Spread",
    "Step",
    "TabulatedBetas",
    "Transition",
    "broadcast",
    "early_grid",
    "full_grid",
    "gaussian_belief",
    "jump",
    "karras_grid",
    "learned_log_variance",
    "log_snr_grid",
    "log_variances",
    "posterior",
    "posterior_variance",
    "schedule_from",
    "trailing_grid",
    "transition",
    "uniform_grid",
]
