"""How often the classifier names what a clip is: proportions with their intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from diffusion.evaluation.classifier import Judgement


def wilson(successes: int, count: int, z: float = 1.96) -> tuple[float, float]:
    """The interval of a proportion, 95 % with z 1.96 (Wilson 1927); it assumes independent clips."""
    if not 0 <= successes <= count or count < 1:
        raise ValueError(f"successes, count: got {successes} of {count}")
    p = successes / count
    centre = (p + z**2 / (2 * count)) / (1 + z**2 / count)
    reach = z / (1 + z**2 / count) * math.sqrt(p * (1 - p) / count + z**2 / (4 * count**2))
    return max(0.0, centre - reach), min(1.0, centre + reach)


@dataclass(frozen=True)
class Proportion:
    """`right` of `count` clips."""

    right: int
    count: int

    @property
    def value(self) -> float:
        return self.right / self.count

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.right, self.count)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.value:.1%} ({low:.1%}–{high:.1%})"


@dataclass(frozen=True)
class Accuracy:
    """How the classifier named clips of known style and ensemble.

    `style` counts a clip if its style was the answer, `style_forced` if its style would be with "none" left out.
    `style_within` is `style` for each ensemble, and `none` counts the clips heard as no music. `style_confusion`
    (S, S + 1) and `ensemble_confusion` (E, E) have the truth in rows.
    """

    style: Proportion
    style_forced: Proportion
    ensemble: Proportion
    none: Proportion
    style_within: tuple[Proportion, ...]
    style_confusion: np.ndarray
    ensemble_confusion: np.ndarray


def accuracy(judgement: Judgement, style: Tensor, ensemble: Tensor) -> Accuracy:
    """Compare a judgement of B clips with their styles (B,) and ensembles (B,), both counted from 0."""
    styles, ensembles = judgement.style.shape[1] - 1, judgement.ensemble.shape[1]
    heard_style, heard_ensemble = judgement.style.argmax(1), judgement.ensemble.argmax(1)
    right = heard_style == style
    count = len(style)
    confusion = torch.zeros(styles, styles + 1, dtype=torch.long)
    confusion.index_put_((style, heard_style), torch.ones(count, dtype=torch.long), accumulate=True)
    between = torch.zeros(ensembles, ensembles, dtype=torch.long)
    between.index_put_((ensemble, heard_ensemble), torch.ones(count, dtype=torch.long), accumulate=True)
    within = [Proportion(int(right[ensemble == e].sum()), int((ensemble == e).sum())) for e in range(ensembles)]
    return Accuracy(
        style=Proportion(int(right.sum()), count),
        style_forced=Proportion(int((judgement.style[:, :-1].argmax(1) == style).sum()), count),
        ensemble=Proportion(int((heard_ensemble == ensemble).sum()), count),
        none=Proportion(int((heard_style == styles).sum()), count),
        style_within=tuple(within),
        style_confusion=confusion.numpy(),
        ensemble_confusion=between.numpy(),
    )
