"""Transformation: a source under noise, from which a run begins (SDEdit, Meng et al. 2022)."""

from __future__ import annotations

from dataclasses import dataclass

from .source import check_number, check_reference


@dataclass(frozen=True)
class Transform:
    """Compose from a source that is hidden under noise: `strength` 1 leaves nothing of it, less leaves more."""

    source: str
    source_s: float
    strength: float

    def __post_init__(self) -> None:
        check_reference(self.source, self.source_s)
        check_number("strength", self.strength, (0.01, 1))


def start(strength: float) -> float:
    """The time at which a run of that strength begins: 1 - (1 - strength)^1.5, as the grid `early` goes.

    A Gaussian direction of variance v keeps the share SNR v / (1 + SNR v) of its variance, SNR that of the start. What
    music is as a whole has a v near 1000, so in time all of it would be lost between 0.9 and 1.

    >>> [round(start(strength), 2) for strength in (0.25, 0.5, 0.75, 1)]
    [0.35, 0.65, 0.88, 1.0]
    """
    return float(1 - (1 - strength) ** 1.5)
