"""How often clips are heard as what they are: accuracies with their intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from diffusion.evaluation.classifier import Judgement

PASS_MARK = 0.7


def wilson(successes: int, count: int, z: float = 1.96) -> tuple[float, float]:
    """The interval of a proportion, 95 % with z 1.96 (Wilson 1927); it supposes independent clips."""
    if not 0 <= successes <= count or count < 1:
        raise ValueError(f"successes, count: got {successes} of {count}")
    p = successes / count
    centre = (p + z**2 / (2 * count)) / (1 + z**2 / count)
    reach = z / (1 + z**2 / count) * math.sqrt(p * (1 - p) / count + z**2 / (4 * count**2))
    return max(0.0, centre - reach), min(1.0, centre + reach)


@dataclass(frozen=True)
class Accuracy:
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
class Score:
    """How clips of known style and ensemble were heard.

    `style` counts a clip heard as its style and as music; `style_forced` the best of the styles, "none" not allowed.
    `style_within` is `style` for each ensemble; `none` the clips heard as no music. `style_confusion` (S, S + 1) and
    `ensemble_confusion` (E, E) have the truth in rows.
    """

    style: Accuracy
    style_forced: Accuracy
    ensemble: Accuracy
    none: Accuracy
    style_within: tuple[Accuracy, ...]
    style_confusion: np.ndarray
    ensemble_confusion: np.ndarray

    @property
    def passed(self) -> bool:
        """The style test: at least PASS_MARK of the clips are heard as their style, within ensembles on average."""
        return self.style.value >= PASS_MARK

    @property
    def failed(self) -> bool:
        """The whole interval lies below PASS_MARK: what a control must do."""
        return self.style.interval[1] < PASS_MARK


def score(judgement: Judgement, style: Tensor, ensemble: Tensor) -> Score:
    """Compare a judgement of B clips with their styles (B,) and ensembles (B,), both counted from 0."""
    styles, ensembles = judgement.style.shape[1] - 1, judgement.ensemble.shape[1]
    heard_style, heard_ensemble = judgement.style.argmax(1), judgement.ensemble.argmax(1)
    right = heard_style == style
    count = len(style)
    confusion = torch.zeros(styles, styles + 1, dtype=torch.long)
    confusion.index_put_((style, heard_style), torch.ones(count, dtype=torch.long), accumulate=True)
    between = torch.zeros(ensembles, ensembles, dtype=torch.long)
    between.index_put_((ensemble, heard_ensemble), torch.ones(count, dtype=torch.long), accumulate=True)
    within = [Accuracy(int(right[ensemble == e].sum()), int((ensemble == e).sum())) for e in range(ensembles)]
    return Score(
        style=Accuracy(int(right.sum()), count),
        style_forced=Accuracy(int((judgement.style[:, :-1].argmax(1) == style).sum()), count),
        ensemble=Accuracy(int((heard_ensemble == ensemble).sum()), count),
        none=Accuracy(int((heard_style == styles).sum()), count),
        style_within=tuple(within),
        style_confusion=confusion.numpy(),
        ensemble_confusion=between.numpy(),
    )
