"""Denoisers that wrap denoisers: whatever changes a prediction is one of these."""

from .clipping import Clipped, Constrained, DynamicallyClipped
from .guidance import GUIDANCE_RULES, Guided, Interval, Moving, Plain, Projected, Rescaled, Rule
from .network import LEARNED_VARIANCES, PREDICTIONS, Network, NetworkDenoiser
from .time_blind import TimeBlind

Wrapper = Guided | Interval | Clipped | Constrained | DynamicallyClipped | TimeBlind
WRAPPERS: dict[str, type[Wrapper]] = {
    "guided": Guided,
    "guidance-interval": Interval,
    "clipped": Clipped,
    "constrained": Constrained,
    "dynamically-clipped": DynamicallyClipped,
    "time-blind": TimeBlind,
}
"""Each class has a `title` and a `summary`, one plain sentence; the `GUIDANCE_RULES` too."""

__all__ = [
    "GUIDANCE_RULES",
    "LEARNED_VARIANCES",
    "PREDICTIONS",
    "WRAPPERS",
    "Clipped",
    "Constrained",
    "DynamicallyClipped",
    "Guided",
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
