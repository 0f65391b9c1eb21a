"""The one place where a clip is sampled: for the page, the command line, the gallery, the evaluation and training."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from diffusion.checkpoint import Configuration
from diffusion.codecs import LogMel
from diffusion.conditions import Conditions, part_of
from diffusion.corrections import CORRECTIONS
from diffusion.edits import (
    Blend,
    Blended,
    Sources,
)
from diffusion.request import Request, check_batch
from diffusion.samplers import Sampler
from diffusion.theory import Cond, Denoiser, Estimate, Noise, Schedule, SeededNoise, Step, jump


class Stop(Protocol):
    """What ends a run when it is set, such as `threading.Event`."""

    def is_set(self) -> bool: ...


@dataclass(frozen=True)
class Composed:
    """The end of a run: the features (B, *shape), what was drawn of each clip's open labels, and the evaluations.

    `stopped_at` is the last step that was taken, None if that was all. `deviation` (B, *shape) is the standard
    deviation that the last belief has, None where the model has learned none.
    """

    features: Tensor
    drawn: Sequence[dict[str, str]]
    evaluations: int
    stopped_at: int | None
    deviation: Tensor | None = None


def compose(
    denoiser: Denoiser,
    configuration: Configuration,
    requests: Sequence[Request],
    *,
    frames: int | None = None,
    corrections: Collection[str] = CORRECTIONS.keys(),
    sources: Sources = (),
    stop: Stop | None = None,
    device: torch.device | None = None,
) -> Iterator[Step | Composed]:
    """Sample the requests as one batch: the noise, every step, and at last what was composed.

    `denoiser` is the model's, unguided. The requests share the settings in SHARED; ValueError, at once, if they do not,
    and if a source that their edits need is not among `sources` or does not fit. A clip's noise is the same to the bit
    in every batch. Of the `corrections` none is made by the book. `frames` overrules their duration. Setting `stop`
    ends the run within one evaluation, and the features are then the last belief (there is at least one).
    """
    check_batch(requests)
    if frames is None:
        frames = frames_of(configuration, requests[0])
    part = part_of(configuration, requests[0], frames, sources, device)
    if requests[0].booked:
        corrections = ()
    conditions = Conditions.of(configuration, requests, frames, corrections, part)
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
    first, watch = conditions.requests[0], _Watch(stop)
    asked, times = _Counted(denoiser, watch), first.times(denoiser.schedule)
    believing, cond = conditions.believing(asked, device)
    watched, noise = _Watched(believing, watch), _noise(conditions.requests)
    method: Sampler = first.method
    if relay := first.forked(watched, cond, noise):
        before = conditions.of_parents()
        believing, cond = before.believing(asked, device)
        watched, noise, method = _Watched(believing, watch), _noise(before.requests), relay
    shape = conditions.configuration.features.shape(conditions.frames)
    x = noise(0, torch.empty(len(conditions.requests), *shape, device=device))
    if "transform" in first.edits and conditions.part is not None:
        x = jump(conditions.part.features.expand_as(x), denoiser.schedule(times[0]), x)
    step: Step | None = None
    try:
        for step in method.steps(watched, x, times, cond=cond, noise=noise):
            yield replace(step, evaluations=watch.evaluations)
        assert step is not None
        features = conditions.finish(step.x, step.t)
        yield Composed(features, conditions.drawn_words, watch.evaluations, None, watch.deviation)
    except _Stopped:
        assert step is not None
        assert watch.belief is not None
        yield Composed(watch.belief.x0, conditions.drawn_words, watch.evaluations, step.index, watch.deviation)


def _noise(requests: Sequence[Request]) -> Noise:
    """The noise of each clip's seed, blended with that of others where an edit says so."""
    own, blend = SeededNoise([each.seed for each in requests]), requests[0].edited.get("blend")
    if not isinstance(blend, Blend):
        return own
    return Blended([own, *(SeededNoise([seed] * len(requests)) for seed in blend.seeds)], blend.weights)


class _Stopped(Exception):
    """Nobody wants further evaluations."""


@dataclass
class _Watch:
    """What is seen of one run: its evaluations so far, and its last belief. `stop` ends it."""

    stop: Stop | None
    belief: Estimate | None = None
    evaluations: int = 0

    @property
    def deviation(self) -> Tensor | None:
        return None if self.belief is None else self.belief.deviation


@dataclass(frozen=True)
class _Counted:
    """The model's denoiser, which counts its evaluations, and refuses to go on once the watch is to stop."""

    inner: Denoiser
    watch: _Watch

    @property
    def schedule(self) -> Schedule:
        return self.inner.schedule

    def __call__(self, x_t: Tensor, t: Tensor, cond: Cond) -> Estimate:
        if self.watch.stop is not None and self.watch.stop.is_set() and self.watch.belief is not None:
            raise _Stopped
        self.watch.evaluations += 1
        return self.inner(x_t, t, cond)


@dataclass(frozen=True)
class _Watched:
    """The denoiser that a sampler asks, whose last belief is kept."""

    inner: Denoiser
    watch: _Watch

    @property
    def schedule(self) -> Schedule:
        return self.inner.schedule

    def __call__(self, x_t: Tensor, t: Tensor, cond: Cond) -> Estimate:
        self.watch.belief = self.inner(x_t, t, cond)
        return self.watch.belief
