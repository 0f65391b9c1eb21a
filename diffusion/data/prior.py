"""What is likely of labels that are left open: how often they go together in the music of the training.

Ten seconds are in one key and keep one beat. A model that is told both need not find them, and agree with itself from
end to end, while everything is noise; whoever leaves them open gets what the music has, by the seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from diffusion.audio.ending import ENDING, ENDINGS, LEAST_S, RELEASE_S
from diffusion.data.dataset import Features
from diffusion.data.labels import GUIDED

TOGETHER: tuple[tuple[str, ...], ...] = (("style", "mode", "tempo", "beat"), ("key",))
"""Labels that depend on each other. Performances are transposed to every key alike, whatever else they are."""

Prior = Sequence[Mapping[str, Any]]
"""For each group its "labels", in order, and the "counts" of their values, an array with an axis for each."""


def count(features: Features, frames: int) -> list[dict[str, Any]]:
    """The prior of a split, in seconds of music; without labels that it lacks, and groups of nothing to draw.

    How often a clip of `frames` has the end of the music in it is counted where music was rendered, and so has one.
    """
    prior = []
    codec = features.settings["codec"]
    seconds = features.columns["frames"] * codec["hop_size"] / codec["sample_rate_hz"]
    for group in TOGETHER:
        names = [name for name in group if features.settings["labels"].get(name)]
        if not set(names) - set(GUIDED):
            continue
        counts = np.zeros([1 + len(features.settings["labels"][name]) for name in names])
        np.add.at(counts, tuple(features.columns[name] for name in names), seconds)
        known = counts[(slice(1, None),) * len(names)]  # 0 is a recording that does not say
        prior.append({"labels": names, "counts": known.round().astype(int).tolist()})
    if features.settings.get("sources"):
        starts_s = (features.columns["frames"] - frames).clip(0) * codec["hop_size"] / codec["sample_rate_hz"]
        ends_s = np.minimum(starts_s, RELEASE_S - LEAST_S)
        counts = np.zeros([1 + len(features.settings["labels"]["style"]), len(ENDINGS)])
        np.add.at(counts, features.columns["style"], np.stack([starts_s - ends_s, ends_s], axis=1))
        prior.append({"labels": ["style", ENDING], "counts": counts[1:].round().astype(int).tolist()})
    return prior


def draw(prior: Prior, chosen: Mapping[str, int], seed: int) -> dict[str, int]:
    """Values, counted from 1, for labels of the prior that are not `chosen` (0 or missing), as likely as in the music.

    Labels that guidance exaggerates stay open, and so does what never goes with the chosen ones.
    """
    drawn: dict[str, int] = {}
    for number, group in zip(np.random.default_rng((seed, 1)).random(len(prior)), prior, strict=True):
        names, counts = group["labels"], np.array(group["counts"])
        left = counts[tuple(chosen[name] - 1 if chosen.get(name) else slice(None) for name in names)]
        if not left.sum():
            continue
        cell = int(np.searchsorted(left.cumsum() / left.sum(), number, side="right"))
        still_open = [name for name in names if not chosen.get(name)]
        for name, value in zip(still_open, np.unravel_index(cell, left.shape), strict=True):
            if name not in GUIDED:
                drawn[name] = int(value) + 1
    return drawn
