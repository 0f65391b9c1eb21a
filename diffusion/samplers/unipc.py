"""UniPC: what a look finds out also corrects the step that led there."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from torch import Tensor

from diffusion.theory import Level

from .base import Draws, Model, Sampler, Updates
from .dpm_solver import midpoint
from .multistep import Past, drift, integrate, remember


@dataclass(frozen=True)
class UniPC(Sampler):
    """UniPC-2 on the data prediction (Zhao et al. 2023, algorithms 5 and 6, B(h) = e^h - 1).

    The predictor UniP-2 is the step of DPM-Solver++(2M). The look from its end then replaces the step by UniC-2: the
    parabola through that look and the two before it, integrated exactly; on the first step the mean of its two looks.
    The correction costs no evaluation and brings third order. The last step returns x0.
    """

    title: ClassVar[str] = "UniPC"
    summary: ClassVar[str] = (
        "Predicts a step, then corrects it with what it saw there, free of charge. The closest at any number of steps."
    )
    order: ClassVar[int | None] = 3

    def updates(self, model: Model, x: Tensor, times: Tensor, draw: Draws, past: Past = ()) -> Updates:
        """`past` holds looks from before the first time, none in a whole run."""
        before: tuple[Tensor, Level] | None = None
        for t, s in pairwise(times):
            x0 = model(x, t).x0
            level_t, level_s = model.level(t), model.level(s)
            looks = remember(past, level_t, x0, keep=3)
            if before is not None:
                x = _correct(*before, level_t, looks)
            before = x, level_t
            past = looks[-2:]
            x = drift(x, midpoint(past, level_s), level_t, level_s)
            yield x, x0


def _correct(x: Tensor, t: Level, s: Level, looks: Past) -> Tensor:
    """The step from x at t to s once more, now that its end has been looked at."""
    if len(looks) < 3:
        return drift(x, (looks[0][1] + looks[-1][1]) / 2, t, s)
    return integrate(x, t, s, looks)
