"""At which times a batch is noised."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

TimeSampler = Callable[[int, torch.Generator], Tensor]
"""(batch, generator) -> t (batch,), float64, in (0, 1]."""


def uniform(batch: int, generator: torch.Generator) -> Tensor:
    """Independent and uniform."""
    return 1 - torch.rand(batch, generator=generator, dtype=torch.float64)


def antithetic(batch: int, generator: torch.Generator) -> Tensor:
    """Pairs t and 1 - t: each is uniform, and their mean is always a half, so the loss varies less.

    The second half of the batch mirrors the first; in an odd batch the last of the first half is alone.
    """
    t = uniform((batch + 1) // 2, generator).clamp(max=1 - 2**-53)
    return torch.cat([t, 1 - t])[:batch]


def low_discrepancy(batch: int, generator: torch.Generator) -> Tensor:
    """One uniform draw, and the others spread evenly around it (Kingma et al. 2021, appendix I.1).

    Each time is uniform on its own, and together they cover all noise levels: the loss varies less.
    """
    spread = torch.arange(batch, dtype=torch.float64) / batch
    return 1 - (torch.rand(1, generator=generator, dtype=torch.float64) + spread) % 1


TIME_SAMPLERS: dict[str, TimeSampler] = {
    "uniform": uniform,
    "antithetic": antithetic,
    "low-discrepancy": low_discrepancy,
}
