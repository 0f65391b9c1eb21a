"""What a checkpoint's clips are held to: each mark is a number with an interval, a threshold, and whether it holds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from diffusion.evaluation.classifier import Ear, Judgement
from diffusion.evaluation.clips import ClipSet, Way
from diffusion.evaluation.distances import (
    DIRECTIONS,
    Interval,
    bootstrap,
    diversity,
    frechet_distance,
    precision_recall,
    principal,
    two_sample,
)
from diffusion.evaluation.measures import Accuracy, Proportion, accuracy

ENSEMBLE_SHARE = 0.9
STYLE_SHARE = 0.8
FRECHET_RATIO = 2.5
DIVERSITY_RATIO = 0.8
MUSIC_RATIO = 2.0
NEAREST_QUANTILE = 0.99  # of the held-out clips' similarity to the training music
EVALUATIONS = 20
FEW, MANY = 16, 50  # evaluations between which quality may not fall
FALL_RATIO = 1.1
SMALL, FAR = 1e-9, 1e6  # a divisor in place of 0, and a distance in place of infinity

Embed = Callable[[Tensor], Tensor]
"""Features as heard (B, 1, bands, F) -> embeddings (B, D)."""


@dataclass(frozen=True)
class Heard:
    """A set of N clips, the classifier's judgement of them, and an embedding (N, D) for each ear."""

    clips: ClipSet
    judgement: Judgement
    embeddings: dict[str, Tensor]

    def __len__(self) -> int:
        return len(self.clips)

    def first(self, count: int) -> Heard:
        """The first clips alone."""
        j = self.judgement
        return Heard(
            self.clips.first(count),
            Judgement(j.style[:count], j.ensemble[:count], j.embedding[:count]),
            {ear: each[:count] for ear, each in self.embeddings.items()},
        )

    @cached_property
    def accuracy(self) -> Accuracy:
        return accuracy(self.judgement, self.clips.style, self.clips.ensemble)


def hear(
    clips: ClipSet,
    ear: Ear,
    ears: Mapping[str, Embed],
    *,
    batch: int = 16,
    progress: Callable[[Sequence[Tensor]], Iterable[Tensor]] = lambda batches: batches,
) -> Heard:
    """Judge a set by the classifier and embed it in all ears, `batch` clips at a time."""
    judgements, embeddings = [], []
    for rows in progress(clips.heard.split(batch)):
        judgements.append(ear.judge(rows))
        embeddings.append({name: embed(rows) for name, embed in ears.items()})
    return Heard(
        clips,
        Judgement(*(torch.cat([getattr(j, name) for j in judgements]) for name in ("style", "ensemble", "embedding"))),
        {name: torch.cat([each[name] for each in embeddings]) for name in ears},
    )


@dataclass(frozen=True)
class Real:
    """What clips are compared with: real clips held out, others held out, and clips of the training music.

    `undecoded` {ear: (N, D)} are the embeddings of `test` without the decoder. Distances are taken in the principal
    directions of `others`. A set seems wider than others in directions that were fitted to it, so they are fitted to
    none of the sets that are compared. Intervals come from `resamples` resamples.
    """

    test: Heard
    others: Heard
    train: Heard
    undecoded: dict[str, Tensor]
    resamples: int = 200

    @cached_property
    def bases(self) -> dict[str, Tensor]:
        return {ear: principal(embedding, DIRECTIONS) for ear, embedding in self.others.embeddings.items()}

    def interval(self, statistic: Callable[..., float], *sets: Tensor) -> Interval:
        """The statistic of sets with its interval."""
        return bootstrap(statistic, *sets, resamples=self.resamples)


@dataclass(frozen=True)
class Distances:
    """How far a set is from the real test clips in one ear, at equal counts.

    `frechet` is the Fréchet distance to the test clips as heard, `frechet_undecoded` that to the same clips without the
    decoder, and `floor` that of clips of the training music. Precision, recall and diversity are of clips as heard.
    Diversity is the mean distance of two clips of the same style and ensemble, in all directions, over that of real
    ones.
    """

    frechet: Interval
    frechet_undecoded: Interval
    floor: Interval
    frechet_ratio: Interval
    precision: Interval
    recall: Interval
    diversity_ratio: Interval


def distances(made: Heard, real: Real) -> dict[str, Distances]:
    """How far a set is from the real test clips, in every ear."""
    count = len(made)
    found = {}
    for ear, base in real.bases.items():
        own, test, train = (each.embeddings[ear][:count] @ base for each in (made, real.test, real.train))
        undecoded = real.undecoded[ear][:count] @ base
        found[ear] = Distances(
            real.interval(frechet_distance, own, test),
            real.interval(frechet_distance, own, undecoded),
            real.interval(frechet_distance, train, test),
            real.interval(lambda a, b, c: ratio(frechet_distance(a, b), frechet_distance(c, b)), own, test, train),
            _within_one(real.interval(lambda a, b: precision_recall(b, a)[0], own, test)),
            _within_one(real.interval(lambda a, b: precision_recall(b, a)[1], own, test)),
            _diversity_ratio(made, real, ear),
        )
    return found


def _within_one(share: Interval) -> Interval:
    return Interval(share.value, max(0.0, share.low), min(1.0, share.high))


def _diversity_ratio(made: Heard, real: Real, ear: str) -> Interval:
    """Pairs of style and ensemble are resampled, not clips: a clip drawn twice would have a copy at distance 0."""

    def within(heard: Heard) -> Tensor:
        pair = heard.clips.style * 1000 + heard.clips.ensemble
        embedding = heard.embeddings[ear]
        return torch.tensor([diversity(embedding[pair == each], pair[pair == each]) for each in pair.unique()])

    a, b = within(made), within(real.test.first(len(made)))
    return real.interval(lambda rows: ratio(float(a[rows].mean()), float(b[rows].mean())), torch.arange(len(a)))


def ratio(a: float, b: float) -> float:
    """a / b, where 0 / 0 is 1, and never infinite."""
    return 1.0 if a == b else a / max(b, SMALL)


def apart(a: Tensor, b: Tensor) -> float:
    """The two-sample distance of a (N,) from b (M,), at most FAR, even if all of b is one number."""
    return min(two_sample(a, b), FAR)


@dataclass(frozen=True)
class Music:
    """A measure of a set: its mean and standard deviation, and its two-sample distance from the real test clips.

    `distance_ratio` is that distance over the mean of those of other real clips, held out and of the training music.
    """

    mean: float
    deviation: float
    distance: Interval
    distance_ratio: Interval


def music(made: Heard, real: Real) -> dict[str, Music]:
    """The musical measures of a set beside the real ones', at equal counts."""

    def over_real(own: Tensor, test: Tensor, others: Tensor, train: Tensor) -> float:
        return ratio(apart(own, test), (apart(others, test) + apart(train, test)) / 2)

    found = {}
    for name, own in made.clips.measures["music"].items():
        sets = [each.clips.measures["music"][name][: len(own)] for each in (real.test, real.others, real.train)]
        found[name] = Music(
            float(own.mean()),
            float(own.std(correction=0)),
            real.interval(apart, own, sets[0]),
            real.interval(over_real, own, *sets),
        )
    return found


def recited(made: Heard, real: Real) -> tuple[Proportion, Proportion] | None:
    """How many clips, and how many held-out ones, are nearer to the training music than a bound.

    The bound is the NEAREST_QUANTILE of the held-out clips. None for a set without the measure.
    """
    own, test = (each.clips.measures.get("memory") for each in (made, real.test))
    if own is None or test is None:
        return None
    bound = test["nearest"].quantile(NEAREST_QUANTILE)
    near, near_test = (Proportion(int((each["nearest"] > bound).sum()), len(each["nearest"])) for each in (own, test))
    return near, near_test


def excess(a: Proportion, b: Proportion) -> Interval:
    """The difference of two proportions, with the interval of Newcombe 1998 (method 10)."""
    (low_a, high_a), (low_b, high_b) = a.interval, b.interval
    difference = a.value - b.value
    low = difference - math.hypot(a.value - low_a, high_b - b.value)
    return Interval(difference, low, difference + math.hypot(high_a - a.value, b.value - low_b))


@dataclass(frozen=True)
class Mark:
    """A value held to a threshold, which is the least that is allowed with `at_least`, else the most.

    The mark holds if the value is on the right side. With `beyond` it fails only if its whole interval is not.
    """

    name: str
    value: Interval
    threshold: float
    at_least: bool = False
    beyond: bool = False
    percent: bool = False

    @property
    def holds(self) -> bool:
        return not self.fails_beyond if self.beyond else self._right(self.value.value)

    @property
    def fails_beyond(self) -> bool:
        """The whole interval lies on the wrong side."""
        return not (self._right(self.value.low) or self._right(self.value.high) or self._right(self.value.value))

    def _right(self, value: float) -> bool:
        return value >= self.threshold if self.at_least else value <= self.threshold


@dataclass(frozen=True)
class Verdict:
    """Everything that was measured of a set, and its marks."""

    heard: Heard
    distances: dict[str, Distances]
    music: dict[str, Music]
    recited: tuple[Proportion, Proportion] | None

    @property
    def name(self) -> str:
        return self.heard.clips.name

    @cached_property
    def marks(self) -> list[Mark]:
        result = self.heard.accuracy
        marks = [
            Mark("ensemble named correctly", share(result.ensemble), ENSEMBLE_SHARE, at_least=True, percent=True),
            Mark("style named correctly within ensembles", share(result.style), STYLE_SHARE, True, percent=True),
        ]
        for ear, found in self.distances.items():
            marks.append(Mark(f"Fréchet distance over the floor, {ear} ear", found.frechet_ratio, FRECHET_RATIO))
        for ear, found in self.distances.items():
            marks.append(
                Mark(
                    f"diversity within a label over real, {ear} ear", found.diversity_ratio, DIVERSITY_RATIO, True,
                    percent=True,
                )
            )  # fmt: skip
        for name, measured in self.music.items():
            marks.append(Mark(f"{name}: distance over that of two real sets", measured.distance_ratio, MUSIC_RATIO))
        if self.recited:
            marks.append(
                Mark(
                    "clips near to training music, more than of held-out clips",
                    excess(*self.recited),
                    0,
                    beyond=True,
                    percent=True,
                )
            )
        return marks

    @property
    def failed(self) -> list[str]:
        """The marks that fail with their whole interval."""
        return [mark.name for mark in self.marks if mark.fails_beyond]


def judge(made: Heard, real: Real) -> Verdict:
    """Measure everything of a set."""
    return Verdict(made, distances(made, real), music(made, real), recited(made, real))


def share(proportion: Proportion) -> Interval:
    """Its value with Wilson's interval."""
    return Interval(proportion.value, *proportion.interval)


def refusal(control: Verdict) -> Mark:
    """The mark of a control: it must fail at least one mark with the whole interval."""
    count = float(len(control.failed))
    return Mark(f"{control.name}: marks failed", Interval(count, count, count), 1, at_least=True)


def brevity(way: Way) -> Mark:
    """At most EVALUATIONS."""
    count = float(way.evaluations)
    return Mark("evaluations at the default settings", Interval(count, count, count), EVALUATIONS)


@dataclass(frozen=True)
class Point:
    """One point of a curve: Fréchet distances to the real test clips in every ear, precision, recall, accuracies.

    `against` is the Fréchet distance over that of the converged clips from the same noise.
    """

    way: Way
    count: int
    ensemble: Proportion
    style: Proportion
    frechet: dict[str, Interval]
    precision: dict[str, float]
    recall: dict[str, float]
    against: dict[str, Interval]


def point(way: Way, made: Heard, converged: Heard, real: Real) -> Point:
    """Measure the clips of one way beside converged ones, clip by clip from the same noise."""
    own = {ear: made.embeddings[ear] @ base for ear, base in real.bases.items()}
    test = {ear: real.test.embeddings[ear] @ base for ear, base in real.bases.items()}
    both = {ear: precision_recall(test[ear], own[ear]) for ear in own}
    return Point(
        way,
        len(made),
        made.accuracy.ensemble,
        made.accuracy.style,
        {ear: real.interval(frechet_distance, own[ear], test[ear]) for ear in own},
        {ear: precision for ear, (precision, _) in both.items()},
        {ear: recall for ear, (_, recall) in both.items()},
        frechet_ratios(made, converged, real),
    )


def frechet_ratios(made: Heard, other: Heard, real: Real) -> dict[str, Interval]:
    """Fréchet distance of a set over that of another from the same noise, in every ear; resampled clip by clip."""

    def one(a: Tensor, b: Tensor, test: Tensor) -> Interval:
        def statistic(rows: Tensor, test: Tensor) -> float:
            return ratio(frechet_distance(a[rows], test), frechet_distance(b[rows], test))

        return real.interval(statistic, torch.arange(len(a)), test)

    return {
        ear: one(made.embeddings[ear] @ base, other.embeddings[ear] @ base, real.test.embeddings[ear] @ base)
        for ear, base in real.bases.items()
    }


def steadiness(few: Heard, many: Heard, real: Real) -> list[Mark]:
    """The marks, one for each ear, that FEW evaluations are not worse than MANY."""
    return [
        Mark(f"Fréchet distance at {FEW} over {MANY} evaluations, {ear} ear", value, FALL_RATIO, beyond=True)
        for ear, value in frechet_ratios(few, many, real).items()
    ]


def enough(points: Sequence[Point], ear: str) -> int | None:
    """The evaluations from which on a sampler's clips are as good as converged ones, as far as their intervals tell.

    As good means a Fréchet distance of at most FALL_RATIO times theirs. None if not even the most evaluations suffice.
    """
    reached = None
    for each in sorted(points, key=lambda point: -point.way.evaluations):
        if each.against[ear].low > FALL_RATIO or math.isnan(each.against[ear].low):
            break
        reached = each.way.evaluations
    return reached
