"""Denoisers around denoisers. Whatever changes a belief is one: guidance, clipping, constraints."""

from .clipping import Clipped, Constrained, DynamicallyClipped
from .guidance import GUIDANCE_RULES, Guided, Interval, Moving, Plain, Projected, Rescaled, Rule
from .network import LEARNED_VARIANCES, PREDICTIONS, InFormat, Network, NetworkDenoiser
from .time_blind import TimeBlind

__all__ = [
    "GUIDANCE_RULES",
    "LEARNED_VARIANCES",
    "PREDICTIONS",
    "Clipped",
    "Constrained",
    "DynamicallyClipped",
    "Guided",
    "InFormat",
    "Interval",
    "Moving",
    "Network",
    "NetworkDenoiser",
    "Plain",
    "Projected",
    "Rescaled",
    "Rule",
    "TimeBlind",
]
