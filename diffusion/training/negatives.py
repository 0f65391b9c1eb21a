"""Which values of a label a network confuses."""

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

SIGMA = 0.95  # the noise level at which a clip's label is decided
CLIPS = 16  # of each value
MOST = 12  # values; the time grows with their square


def find_negatives(configuration: Configuration, network: nn.Module, features: Features) -> dict[str, dict[str, str]]:
    """For each value of the guided label the other value under which the network predicts its clips best.

    A network is a classifier: the value that predicts a clip best is the most likely one (Li et al. 2023, "Your
    Diffusion Model is Secretly a Zero-Shot Classifier", eq. 4). So the best among the others is the one that is most
    easily confused with the clip's own. Clips and noise are always the same. A label with fewer than two or more than
    MOST values has no negatives, nor has a value without a clip in `features`.
    """
    name = GUIDED[0]
    values = configuration.labels.get(name, [])
    if not 2 <= len(values) <= MOST:
        return {}
    schedule = schedule_from(configuration.schedule)
    t = schedule.inverse(torch.tensor(2 * math.log(math.sqrt(1 - SIGMA**2) / SIGMA), dtype=torch.float64))
    x0, cond = features.crop(np.random.default_rng(0), configuration.frames, 2 * CLIPS * len(values))
    eps = torch.randn(x0.shape, generator=torch.Generator().manual_seed(0))
    negatives = {}
    for index, value in enumerate(values, start=1):
        rows = (cond[name] == index).nonzero()[:CLIPS, 0]
        if not len(rows):
            continue
        known = {label: each[rows] for label, each in cond.items()}
        errors = {}
        for other, negative in enumerate(values, start=1):
            if negative == value:
                continue
            told = {**known, name: torch.full_like(known[name], other)}
            belief = beliefs(configuration, network, x0[rows], t, eps[rows], told)
            errors[negative] = float((belief - x0[rows]).square().mean())
        negatives[value] = min(errors, key=errors.__getitem__)
    return {name: negatives} if negatives else {}
