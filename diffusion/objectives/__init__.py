"""What training minimises, and at which times."""

from .bound import Chain, PosteriorKL, SohlDicksteinBound, StepBack, VariationalBound, bin_log_probability
from .combined import ErrorAndSpread, ErrorPlusKL, Hybrid, NormalisedKL
from .curve import loss_curve
from .score import SlicedScore
from .simple import TARGETS, CleanError, MinSNR, Objective, SquaredError
from .times import TIME_SAMPLERS, TimeSampler, antithetic, low_discrepancy, uniform

OBJECTIVES: dict[
    str,
    SquaredError
    | CleanError
    | MinSNR
    | PosteriorKL
    | VariationalBound
    | SohlDicksteinBound
    | Hybrid
    | ErrorAndSpread
    | ErrorPlusKL
    | NormalisedKL
    | SlicedScore,
] = {
    "eps": SquaredError("eps"),
    "x0": SquaredError("x0"),
    "v": SquaredError("v"),
    "capped-v": CleanError(),
    "min-snr": MinSNR(),
    "posterior-kl": PosteriorKL(),
    "variational-bound": VariationalBound(),
    "sohl-dickstein": SohlDicksteinBound(),
    "hybrid": Hybrid(),
    "error-and-spread": ErrorAndSpread(),
    "error-plus-kl": ErrorPlusKL(),
    "normalised-kl": NormalisedKL(),
    "denoising-score-matching": SquaredError("score"),
    "sliced-score-matching": SlicedScore(),
}
"""Each with its defaults."""

__all__ = [
    "OBJECTIVES",
    "TARGETS",
    "TIME_SAMPLERS",
    "Chain",
    "CleanError",
    "ErrorAndSpread",
    "ErrorPlusKL",
    "Hybrid",
    "MinSNR",
    "NormalisedKL",
    "Objective",
    "PosteriorKL",
    "SlicedScore",
    "SohlDicksteinBound",
    "SquaredError",
    "StepBack",
    "TimeSampler",
    "VariationalBound",
    "antithetic",
    "bin_log_probability",
    "loss_curve",
    "low_discrepancy",
    "uniform",
]
