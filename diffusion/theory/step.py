"""What a sampler shows of each of its updates."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Step:
    """One update from time t to time s. Index 0 of `total` is the initial noise, before the first evaluation.

    x (B, ...) is the state at s, x0 (B, ...) the belief that led there (None at index 0), `log_snr` that of s and
    `evaluations` how often the denoiser has been called so far.
    """

    index: int
    total: int
    t: float
    s: float
    log_snr: float
    x: Tensor
    x0: Tensor | None
    evaluations: int
