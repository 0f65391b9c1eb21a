"""Langevin dynamics: climb the score and shake."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor

from diffusion.theory import broadcast, posterior

from .base import Draws, Model, Sampler, Updates, knob

STEP_HELP = (
    "How long each Langevin step is, in units of the noise variance at its level: longer mixes faster, too noisy."
)


@dataclass(frozen=True)
class AnnealedLangevin(Sampler):
    """Annealed Langevin dynamics (Song & Ermon 2019, algorithm 1).

    At each level, a few steps x + (a / 2) score + sqrt(a) z with a = step sigma². Between levels x stays as it is, as
    in the paper, whose alpha is 1: what is wrong about it there is for the next steps to mend. The last update returns
    x0 (Jolicoeur-Martineau et al. 2021, section 3.1).
    """

    corrections: int = knob(2, "Langevin steps at each noise level.", range=(1, 20))
    step: float = knob(1.0, STEP_HELP, range=(0.01, 2))
    title: ClassVar[str] = "Annealed Langevin"
    summary: ClassVar[str] = "From before DDPM: shake at each noise level until it fits, then go one lower."
    limit: ClassVar[str] = "At each level its law tends to variance V / (1 - a / 4V) where V is right."

    def updates(self, model: Model, x: Tensor, times: Tensor, draw: Draws) -> Updates:
        for t, s in pairwise(times):
            if s == 0:
                x = x0 = model(x, t).x0
            else:
                x, x0 = langevin(model, x, s, self.step, self.corrections, draw)
            yield x, x0


@dataclass(frozen=True)
class DecayingLangevin(Sampler):
    """Langevin dynamics at a single noise level, each step shorter than the one before by the factor `decay`.

    x + (a / 2) score + sqrt(a) z with a = step decay^i sigma² at update i. The times only count the updates; every look
    is at `time`. The last update returns x0. It is stable where a < 4 V, V the variance at that level, so a sigma far
    below the spread of the data allows steps above 2: Esling's notebook has a = 10 sigma².
    """

    time: float = knob(0.2, "The one time, between data 0 and noise 1, whose score it follows.", range=(0.01, 0.99))
    step: float = knob(1.0, STEP_HELP, range=(0.001, 100))
    decay: float = knob(0.95, "What each step keeps of the length of the one before.", range=(0.5, 1))
    title: ClassVar[str] = "Langevin with a decaying step"
    summary: ClassVar[str] = (
        "Climbs towards the nearest data at one noise level: finds a mode, but rarely a fair share."
    )
    limit: ClassVar[str] = "It travels step sigma² / (1 - decay) in all: too short a way to forget where it began."

    def updates(self, model: Model, x: Tensor, times: Tensor, draw: Draws) -> Updates:
        time = torch.tensor(self.time, dtype=torch.float64)
        for update, s in enumerate(times[1:]):
            if s == 0:
                x = x0 = model(x, time).x0
            else:
                x, x0 = langevin(model, x, time, self.step * self.decay**update, 1, draw)
            yield x, x0


@dataclass(frozen=True)
class PredictorCorrector(Sampler):
    """Predictor-corrector sampling (Song et al. 2021b, algorithm 3): a step of DDPM, then Langevin steps where it led.

    The paper sets a = 2 (r |z| / |score|)² for a ratio r; here a = step sigma², which that is on average for step
    = 2 r², so that no clip depends on its batch. The last update returns x0.
    """

    corrections: int = knob(1, "Langevin steps after each step.", range=(1, 20))
    step: float = knob(0.3, STEP_HELP, range=(0.01, 2))
    title: ClassVar[str] = "Predictor-corrector"
    summary: ClassVar[str] = "A DDPM step, then a shake that settles it at the new noise level. Thorough and slow."
    limit: ClassVar[str] = "At each level the corrections lead to variance V / (1 - a / 4V) where V is right."

    def updates(self, model: Model, x: Tensor, times: Tensor, draw: Draws) -> Updates:
        for t, s in pairwise(times):
            x0 = model(x, t).x0
            if s == 0:
                x = x0
            else:
                q = posterior(x, x0, model.level(t), model.level(s))
                x = q.mean + broadcast(q.variance.sqrt(), x) * draw(x)
                x, x0 = langevin(model, x, s, self.step, self.corrections, draw)
            yield x, x0


def langevin(model: Model, x: Tensor, t: Tensor, step: float, count: int, draw: Draws) -> tuple[Tensor, Tensor]:
    """x after `count` steps x + (a / 2) score + sqrt(a) z at the level of t, a = step sigma², and the last x0 seen.

    On Gaussian data of variance V at this level the law tends to the variance V / (1 - a / 4V).
    """
    sigma = model.level(t).sigma
    for _ in range(count):
        belief = model(x, t)
        x = x - broadcast(step / 2 * sigma, x) * belief.eps + broadcast(step**0.5 * sigma, x) * draw(x)
    return x, belief.x0
