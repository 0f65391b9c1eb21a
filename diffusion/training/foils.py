"""Which values of a label a network takes for each other."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn

from diffusion.checkpoint import Configuration
from diffusion.data.dataset import Features
from diffusion.data.labels import GUIDED
from diffusion.theory import schedule_from

from .belief import beliefs

SIGMA = 0.95  # where it is decided what a clip is to be
CLIPS = 16  # of each value
MOST = 12  # values; the time grows with their square


def find_foils(configuration: Configuration, network: nn.Module, features: Features) -> dict[str, dict[str, str]]:
    """For each value of the guided label the other one under which the network predicts such clips best.

    What predicts a clip best is what it most likely is (Li et al. 2023, "Your Diffusion Model is Secretly a Zero-Shot
    Classifier", eq. 4), so the second best is what it is most easily taken for. Always the same clips and noise. Labels
    of fewer than two or more than MOST values, and values that `features` have no clip of, have none.
    """
    name = GUIDED[0]
    values = configuration.labels.get(name, [])
    if not 2 <= len(values) <= MOST:
        return {}
    schedule = schedule_from(configuration.schedule)
    t = schedule.inverse(torch.tensor(2 * math.log(math.sqrt(1 - SIGMA**2) / SIGMA), dtype=torch.float64))
    x0, cond = features.crop(np.random.default_rng(0), configuration.frames, 2 * CLIPS * len(values))
    eps = torch.randn(x0.shape, generator=torch.Generator().manual_seed(0))
    foils = {}
    for index, value in enumerate(values, start=1):
        rows = (cond[name] == index).nonzero()[:CLIPS, 0]
        if not len(rows):
            continue
        known = {label: each[rows] for label, each in cond.items()}
        errors = {}
        for other, foil in enumerate(values, start=1):
            if foil == value:
                continue
            told = {**known, name: torch.full_like(known[name], other)}
            belief = beliefs(configuration, network, x0[rows], t, eps[rows], told)
            errors[foil] = float((belief - x0[rows]).square().mean())
        foils[value] = min(errors, key=errors.__getitem__)
    return {name: foils} if foils else {}
