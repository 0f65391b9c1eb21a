"""How often labels go together in the training music, and how values of open labels are drawn from that.

A clip has one key and one beat from end to end. A model that is told both need not settle them while everything is
noise. So a seed draws what a request leaves open, as likely as it is in the music.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffusion.audio.mel import MelParameters
from diffusion.corrections import ENDING, ENDINGS, LEAST_S, RELEASE_S, prominence_db
from diffusion.data.dataset import Features
from diffusion.data.labels import GUIDED
from diffusion.theory import Stream, stream

TOGETHER: tuple[tuple[str, ...], ...] = (("style", "mode", "tempo", "beat"), ("key",))
"""Groups of labels that depend on each other. The key is alone: all performances are transposed to every key alike."""

PROMINENCE_CLIPS, PROMINENCE_STEPS = 256, 10

Prior = Sequence[Mapping[str, Any]]
"""For each group its "labels", in order, and the "counts" of their values, an array with an axis for each."""


def count(features: Features, frames: int) -> list[dict[str, Any]]:
    """The prior of a split, in seconds of music; without labels that it lacks, and without groups of nothing to draw.

    For rendered music, which has an end, it also counts how often a clip of `frames` contains the end.
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


def prominences(features: Features, frames: int) -> dict[str, list[float]]:
    """How far in dB the loudest moments of clips of `frames` stand out, in PROMINENCE_STEPS even steps of probability.

    For each ensemble that has such clips, from at most PROMINENCE_CLIPS of them, and under "any" for all these clips.
    """
    mel = MelParameters(**features.settings["codec"])
    columns = features.columns
    every: list[Tensor] = []
    found: dict[str, Tensor] = {}
    for ensemble, name in enumerate([None, *features.settings["labels"].get("ensemble", [])]):  # 0 does not say
        clips = [
            (int(index), start)
            for index in np.flatnonzero(columns["ensemble"] == ensemble)
            for start in range(0, int(columns["frames"][index]) - frames + 1, frames)
        ]
        some = [clips[i] for i in np.linspace(0, len(clips) - 1, min(PROMINENCE_CLIPS, len(clips))).astype(int)]
        if not some:
            continue
        rows = (features.performance(index)[None, ..., start : start + frames] for index, start in some)
        every.append(torch.cat([prominence_db(each, mel) for each in rows]))
        if name is not None:
            found[name] = every[-1]
    if every:
        found["any"] = torch.cat(every)
    probability = (torch.arange(PROMINENCE_STEPS) + 0.5) / PROMINENCE_STEPS
    return {name: [round(q, 2) for q in each.quantile(probability).tolist()] for name, each in found.items()}


def draw(prior: Prior, chosen: Mapping[str, int], seed: int) -> dict[str, int]:
    """Values, counted from 1, for labels of the prior that are not `chosen` (0 or missing), as likely as in the music.

    Labels that guidance exaggerates stay open, and so does what never goes with the chosen ones.
    """
    drawn: dict[str, int] = {}
    for number, group in zip(stream(seed, Stream.LABELS).random(len(prior)), prior, strict=True):
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
