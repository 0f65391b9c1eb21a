"""The one place where a clip is sampled: for the page, the command line, the gallery, the evaluation and training."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from diffusion.checkpoint import Configuration
from diffusion.codecs import LogMel
from diffusion.conditions import Conditions
from diffusion.corrections import CORRECTIONS
from diffusion.request import Request, check_batch
from diffusion.theory import GRIDS, Cond, Denoiser, Estimate, Schedule, SeededNoise, Step


class Stop(Protocol):
    """What ends a run when it is set, such as `threading.Event`."""

    def is_set(self) -> bool: ...


@dataclass(frozen=True)
class Composed:
    """The end of a run: the features (B, *shape), what was drawn of each clip's open labels, and the evaluations.

    `stopped_at` is the last step that was taken, None if that was all.
    """

    features: Tensor
    drawn: Sequence[dict[str, str]]
    evaluations: int
    stopped_at: int | None


def compose(
    denoiser: Denoiser,
    configuration: Configuration,
    requests: Sequence[Request],
    *,
    frames: int | None = None,
    corrections: Collection[str] = CORRECTIONS.keys(),
    stop: Stop | None = None,
    device: torch.device | None = None,
) -> Iterator[Step | Composed]:
    """Sample the requests as one batch: the noise, every step, and at last what was composed.

    `denoiser` is the model's, unguided. The requests share the settings in SHARED; ValueError, at once, if they do not.
    A clip's noise is the same to the bit in every batch. `frames` overrules their duration. Setting `stop` ends the run
    within one evaluation, and the features are then the last belief (there is at least one).
    """
    check_batch(requests)
    if frames is None:
        frames = frames_of(configuration, requests[0])
    conditions = Conditions.of(configuration, requests, frames, corrections)
    return _compose(denoiser, conditions, stop, device)


def frames_of(configuration: Configuration, request: Request) -> int:
    """The length of a request's features in frames; the checkpoint's own where the request leaves it to the model."""
    codec = configuration.features
    if isinstance(codec, LogMel) and request.duration_s is not None:
        return codec.frames_of(request.duration_s)
    return configuration.frames


def _compose(
    denoiser: Denoiser, conditions: Conditions, stop: Stop | None, device: torch.device | None
) -> Iterator[Step | Composed]:
    first, seeds = conditions.requests[0], conditions.seeds
    noise = SeededNoise(seeds)
    shape = conditions.configuration.features.shape(conditions.frames)
    x = noise(0, torch.empty(len(seeds), *shape, device=device))
    watched = _Watched(conditions.guide(denoiser), stop)
    times = GRIDS[first.grid](watched.schedule, first.steps)
    step: Step | None = None
    try:
        for step in first.method.steps(watched, x, times, cond=conditions.cond(device), noise=noise):
            yield step
        assert step is not None
        yield Composed(conditions.finish(step.x, step.t), conditions.drawn_words, watched.evaluations, None)
    except _Stopped:
        assert step is not None
        assert watched.belief is not None
        yield Composed(watched.belief, conditions.drawn_words, watched.evaluations, step.index)


class _Stopped(Exception):
    """Nobody wants further evaluations."""


@dataclass
class _Watched:
    """Keeps the last belief of one run, counts its evaluations, and refuses to go on once `stop` is set."""

    inner: Denoiser
    stop: Stop | None
    belief: Tensor | None = field(default=None, init=False)
    evaluations: int = field(default=0, init=False)

    @property
    def schedule(self) -> Schedule:
        return self.inner.schedule

    def __call__(self, x_t: Tensor, t: Tensor, cond: Cond) -> Estimate:
        if self.stop is not None and self.stop.is_set() and self.belief is not None:
            raise _Stopped
        estimate = self.inner(x_t, t, cond)
        self.belief = estimate.x0
        self.evaluations += 1
        return estimate
