"""What votes say: how a trial stands while it is open, and its outcome once it is over."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from diffusion.evaluation.distances import Interval
from diffusion.evaluation.measures import Proportion
from diffusion.listening import ratings
from diffusion.listening.ladder import Ladder
from diffusion.listening.order import ASK, CATCH, REPEAT
from diffusion.listening.ratings import LEVEL
from diffusion.listening.trial import BOTH_BAD, FIRST, RATINGS, SECOND, TIE, Trial
from diffusion.listening.votes import Listener, Vote, asked

FEW = 10
"""Fewer listeners than these are too few to resample; their votes then speak for themselves alone."""


@dataclass(frozen=True)
class Standing:
    """How a trial stands. `votes` are those on the question, without checks; `ended` says why it is over, or None.

    `tally` has the votes for each side, ties and both bad, or with MUSHRA the mean ratings. `first` is how often the
    first side is chosen where one is, with a confidence sequence, if every pair has it; `answers` is how likely each
    level of a ladder is the first that fewer than half can tell from the reference, "none" among them.
    """

    listeners: int
    votes: int
    ended: str | None
    tally: dict[str, float]
    first: Interval | None
    answers: dict[str, float] | None


@dataclass(frozen=True)
class Outcome:
    """What came out. `sides` has the values that `measure` names, with intervals that `method` has made.

    `clickers` are the listeners whose votes were left out: by their checks they did not listen, or with MUSHRA they did
    not hear the reference. `p_value` is that of the exact binomial test, where votes or listeners could be counted.
    """

    sentence: str
    measure: str
    method: str
    sides: dict[str, Interval]
    tally: dict[str, float]
    listeners: int
    votes: int
    clickers: tuple[str, ...]
    p_value: float | None = None


def standing(trial: Trial, listeners: Sequence[Listener], votes: Sequence[Vote], ended: str | None) -> Standing:
    """How a trial stands; it may be asked at any time, and as often as one likes."""
    ours = asked(votes)
    first = sequential(trial, finished(trial, votes)) if trial.of_first and trial.kind != "ladder" else None
    answers = None
    if trial.kind == "ladder":
        names = [*(side.name for side in trial.sides[1:]), "none"]
        answers = dict(zip(names, map(float, _ladder_answers(trial, votes)), strict=True))
    return Standing(len(listeners), len(ours), ended, _tally(trial, ours), first, answers)


def is_clear(trial: Trial, votes: Sequence[Vote]) -> bool:
    """Whether a trial with `clear_at` is over by itself. A mistake has a probability of 1 - clear_at at most.

    A ladder is clear when one answer is that likely. Otherwise it is the bet against "either side is chosen as often"
    that has won enough: a sequential test by betting, see `ratings.log_capital`.
    """
    assert trial.clear_at is not None
    if trial.kind == "ladder":
        return bool(_ladder_answers(trial, votes).max() >= trial.clear_at)
    values, counts = np.unique(scores(trial, finished(trial, votes)), return_counts=True)
    return bool(ratings.log_capital(counts, values, 0.5) >= -math.log(1 - trial.clear_at))


def sequential(trial: Trial, votes: Iterable[Vote]) -> Interval | None:
    """How often the first side is chosen, with a confidence sequence at the level `clear_at` (else 95 %).

    None where nobody has chosen. The votes are those that `finished` gives.
    """
    found = scores(trial, votes)
    if not len(found):
        return None
    values, counts = np.unique(found, return_counts=True)
    return ratings.interval(float(found.mean()), ratings.sequence(counts, values, trial.clear_at or LEVEL))


def finished(trial: Trial, votes: Iterable[Vote]) -> list[Vote]:
    """The votes that count while a trial may still end by itself: all, or those of listeners who have heard all.

    A mean of a listener's votes that is looked at while it grows would not be one observation.
    """
    votes = list(votes)
    heard = Counter(each.listener for each in votes)
    return [each for each in votes if trial.unit == "vote" or heard[each.listener] == trial.turns]


def scores(trial: Trial, votes: Iterable[Vote]) -> np.ndarray:
    """How often the first side was chosen where one was: a number (U,) for each unit, in the order of their last vote.

    1 or 0 for each vote, or for each listener the mean.
    """
    decided = [each for each in asked(votes) if each.chosen is not None]
    if trial.unit == "vote":
        return np.array([float(each.chosen == 0) for each in decided])
    return np.array([np.mean([each.chosen == 0 for each in theirs]) for theirs in _by_listener(decided).values()])


def ladder_counts(trial: Trial, votes: Iterable[Vote]) -> tuple[np.ndarray, np.ndarray]:
    """How often the reference was chosen, and was not, at each level (levels,)."""
    counts = np.zeros((2, len(trial.sides) - 1))
    for each in asked(votes):
        counts[int(each.chosen != 0), max(each.shown) - 1] += 1
    return counts[0], counts[1]


def clickers(trial: Trial, votes: Sequence[Vote]) -> tuple[str, ...]:
    """The listeners who click without listening, by their catch trials and by what they answered to the same pair."""
    if not trial.checks:
        return ()
    places = {answer: place for place, answer in enumerate(trial.answers)}
    mirrored = {FIRST: SECOND, SECOND: FIRST}
    found: dict[str, list[tuple[int, int, bool]]] = {}
    for listener, theirs in _by_listener(votes).items():
        before = {each.item: each for each in theirs if each.role == ASK}
        checks = found.setdefault(listener, [])
        for each in theirs:
            given = places[str(each.answer)]
            if each.role == CATCH:
                checks.append((1 - each.shown.index(trial.anchor), given, True))
            if each.role == REPEAT:
                answer = str(before[each.item].answer)
                checks.append((places[mirrored.get(answer, answer)], given, False))
    again = [right == given for checks in found.values() for right, given, catch in checks if not catch]
    # How often people give the same answer twice depends on the pairs, so it is measured on all.
    agreeing = max((sum(again) + 1) / (len(again) + 2), 1 / len(places))
    out = []
    for listener, checks in found.items():
        rights, answers, catches = np.array(checks, dtype=int).reshape(-1, 3).T
        careful = np.where(catches, ratings.CAREFUL, agreeing)
        if ratings.clicking(rights, answers, careful, len(places)) >= ratings.CLICKING:
            out.append(listener)
    return tuple(out)


def outcome(trial: Trial, votes: Sequence[Vote]) -> Outcome:
    """What came out of all votes. ValueError if none answers the question."""
    if not asked(votes):
        raise ValueError("trial: got no vote on its question, need one at least")
    if trial.kind == "mushra":
        return _rated(trial, votes)
    out = clickers(trial, votes)
    kept = [each for each in votes if each.listener not in out]
    if not asked(kept):
        raise ValueError("trial: got votes only of listeners who click without listening, need one of another")
    if trial.kind == "ladder":
        return _climbed(trial, kept, out)
    return _shared(trial, votes, kept, out) if trial.of_first else _strengths(trial, kept, out)


def _shared(trial: Trial, votes: Sequence[Vote], kept: Sequence[Vote], out: tuple[str, ...]) -> Outcome:
    """The first side against the others."""
    if trial.clear_at is None:
        share, method, p_value = _share(trial, kept)
    else:  # it was looked at after every vote, which no other interval allows, and nobody was left out
        kept, out = finished(trial, votes), ()
        share, method, p_value = sequential(trial, kept), "confidence sequence", None
    ours = asked(kept)
    if share is None:
        sentence = f"{_people(ours)} chose neither side in {len(ours)} pairs."
    else:
        first, other = trial.sides[0].name, trial.sides[1].name if len(trial.sides) == 2 else "the others"
        did = f"took {first} for real beside {other}" if trial.kind == "real-or-made" else f"chose {first} over {other}"
        decided, level = sum(each.chosen is not None for each in ours), trial.clear_at or LEVEL
        test = "" if p_value is None else f", exact test p = {p_value:.2g}"
        sentence = (
            f"{_people(ours)} {did} in {share.value:.0%} of {decided} decided votes "
            f"({level:.0%} interval {share.low:.0%} to {share.high:.0%}, {method}{test})"
            f"{'; that may be chance' if share.low <= 0.5 <= share.high else ''}."
        )
    measure, sides = f"how often {trial.sides[0].name} was chosen over it", _against_first(trial, kept)
    return Outcome(sentence, measure, method, sides, _tally(trial, ours), _count(ours), len(ours), out, p_value)


def _climbed(trial: Trial, kept: Sequence[Vote], out: tuple[str, ...]) -> Outcome:
    """The level of a ladder."""
    ours, answers = asked(kept), _ladder_answers(trial, kept)
    best, reference = int(answers.argmax()), trial.sides[0].name
    sure = f"with a probability of {answers[best]:.0%}"
    if best < len(answers) - 1:
        heard = f"from {trial.sides[1 + best].name} on, fewer than half hear a difference from {reference}"
    else:
        heard = f"half or more hear a difference between {trial.sides[-1].name} and {reference}"
    sentence = f"{_people(ours)}, {len(ours)} votes: {sure} {heard}."
    measure = f"how often {reference} was chosen over it"
    method = "posterior of the ladder; binomial or by listeners at each level"
    sides = _against_first(trial, kept)
    return Outcome(sentence, measure, method, sides, _tally(trial, ours), _count(ours), len(ours), out)


def _strengths(trial: Trial, kept: Sequence[Vote], out: tuple[str, ...]) -> Outcome:
    """Many sides, each against any other: Bradley and Terry's model with ties."""
    ours, many = asked(kept), len(trial.sides)
    pairs = np.array([*combinations(range(many), 2)])
    place = {tuple(pair): number for number, pair in enumerate(pairs.tolist())}
    by_listener = trial.unit == "listener" and _count(ours) >= FEW
    rows = {each: row for row, each in enumerate(dict.fromkeys(_unit(each, by_listener) for each in ours))}
    units = np.zeros((len(rows), len(pairs), 3))
    for each in ours:
        pair = tuple(sorted(each.shown))
        result = 1 if each.chosen is None else 2 * pair.index(each.chosen)
        units[rows[_unit(each, by_listener)], place[pair], result] += 1

    def strengths(sums: np.ndarray) -> np.ndarray:
        return ratings.davidson(sums.reshape(-1, len(pairs), 3), pairs, many)[0]

    found = strengths(units.sum(0))[0]
    best, next_best = np.argsort(-found)[:2]

    def lead(sums: np.ndarray) -> np.ndarray:
        each = strengths(sums)
        share: np.ndarray = 1 / (1 + np.exp(each[:, [next_best]] - each[:, [best]]))
        return share

    flat = units.reshape(len(units), -1)
    nothing = np.full(many, -np.inf), np.full(many, np.inf)
    low, high = ratings.resampled(flat, strengths) if len(flat) > 1 else nothing
    # The two were picked by their votes, so the interval is that of as many comparisons as the best one has.
    level = 1 - (1 - LEVEL) / (many - 1)
    ends = ratings.resampled(flat, lead, level) if len(flat) > 1 else (np.zeros(1), np.ones(1))
    share = ratings.interval(float(lead(units.sum(0).reshape(1, -1))[0, 0]), ends)
    method = f"bootstrap over {'listeners' if by_listener else 'votes'}"
    sentence = (
        f"{_people(ours)} preferred {trial.sides[best].name} of {many}: they would choose it over "
        f"{trial.sides[next_best].name}, the next, in {share.value:.0%} of decided votes (95 % interval "
        f"{share.low:.0%} to {share.high:.0%}, {method}, {many - 1} comparisons)"
        f"{'; that may be chance' if share.low <= 0.5 <= share.high else ''}."
    )
    sides = {side.name: Interval(*map(float, each)) for side, *each in zip(trial.sides, found, low, high, strict=True)}
    measure = "strength: the logarithm of Bradley and Terry's, with mean 0"
    return Outcome(sentence, measure, method, sides, _tally(trial, ours), _count(ours), len(ours), out)


def _rated(trial: Trial, votes: Sequence[Vote]) -> Outcome:
    """Mean ratings of MUSHRA, of the listeners who hear the reference."""
    listeners = list(_by_listener(votes))
    rated = np.full((len(listeners), trial.pairs, trial.anchor + 1), np.nan)
    for each in votes:
        assert isinstance(each.answer, tuple)
        rated[listeners.index(each.listener), each.item, list(each.shown)] = each.answer
    hear = ratings.screened(rated[:, :, 0])
    out = tuple(listener for listener, kept in zip(listeners, hear, strict=True) if not kept)
    kept = [each for each in votes if each.listener not in out]
    if not kept:
        raise ValueError("trial: got ratings only of listeners who do not hear the reference, need one of another")
    pages = rated[hear].reshape(-1, rated.shape[-1])
    by_listener = trial.unit == "listener" and hear.sum() >= FEW
    units = np.nanmean(rated[hear], 1) if by_listener else pages[~np.isnan(pages[:, 0])]
    nothing = tuple(np.full(units.shape[1], end) for end in RATINGS)
    low, high = ratings.resampled(units, lambda sums: sums / len(units)) if len(units) > 1 else nothing
    names = [trial.side(number).name for number in range(trial.anchor + 1)]
    sides = _intervals(names, units.mean(0), low, high)
    best = max(names[1:], key=lambda name: sides[name].value)
    method = f"bootstrap over {'listeners' if by_listener else 'pages'}"
    sentence = (
        f"{_people(kept)} rated {best} highest, at {sides[best].value:.0f} of 100 (95 % interval "
        f"{sides[best].low:.0f} to {sides[best].high:.0f}, {method}); {names[0]}, hidden among them, "
        f"{sides[names[0]].value:.0f}."
    )
    return Outcome(sentence, "mean rating", method, sides, _tally(trial, kept), _count(kept), len(kept), out)


def _against_first(trial: Trial, kept: Sequence[Vote]) -> dict[str, Interval]:
    """How often the first side is chosen over each of the others, where either is."""
    found = {}
    for number, side in enumerate(trial.sides[1:], 1):
        those = [each for each in kept if number in each.shown]
        stops = trial.clear_at is not None and trial.kind != "ladder"
        share = sequential(trial, those) if stops else _share(trial, those)[0]
        if share is not None:
            found[side.name] = share
    return found


def _share(trial: Trial, kept: Sequence[Vote]) -> tuple[Interval | None, str, float | None]:
    """How often the first side is chosen where one is, how its interval is made, and the p-value of the exact test.

    Listeners are resampled. Where they are few their votes are counted, and where each was of one mind, they are.
    """
    found = scores(trial, kept)
    if not len(found):
        return None, "binomial", None
    if len(found) < FEW:
        return _binomial(np.array([each.chosen == 0 for each in asked(kept) if each.chosen is not None]))
    if np.isin(found, (0, 1)).all():
        return _binomial(found)
    ends = ratings.resampled(found[:, None], lambda sums: sums / len(found))
    return ratings.interval(float(found.mean()), ends), "bootstrap over listeners", None


def _binomial(outcomes: np.ndarray) -> tuple[Interval, str, float]:
    from scipy.stats import binomtest

    share = Proportion(int(outcomes.sum()), len(outcomes))
    return Interval(share.value, *share.interval), "binomial", float(binomtest(share.right, share.count).pvalue)


def _intervals(names: Iterable[str], values: np.ndarray, low: np.ndarray, high: np.ndarray) -> dict[str, Interval]:
    return {
        name: Interval(float(value), float(least), float(most))
        for name, value, least, most in zip(names, values, low, high, strict=True)
    }


def _ladder_answers(trial: Trial, votes: Iterable[Vote]) -> np.ndarray:
    ladder = Ladder(len(trial.sides) - 1)
    return ladder.answers(ladder.weights(*ladder_counts(trial, votes)))


def _tally(trial: Trial, ours: Sequence[Vote]) -> dict[str, float]:
    if trial.kind == "mushra":
        given: dict[str, list[float]] = {}
        for each in ours:
            assert isinstance(each.answer, tuple)
            for side, rating in zip(each.shown, each.answer, strict=True):
                given.setdefault(trial.side(side).name, []).append(rating)
        return {name: sum(each) / len(each) for name, each in given.items()}
    counts = Counter(each.answer if each.chosen is None else each.chosen for each in ours)
    of_sides = {side.name: float(counts[number]) for number, side in enumerate(trial.sides)}
    return of_sides | {answer: float(counts[answer]) for answer in (TIE, BOTH_BAD) if answer in trial.answers}


def _by_listener(votes: Iterable[Vote]) -> dict[str, list[Vote]]:
    """The votes of each listener, in the order of their last votes."""
    found: dict[str, list[Vote]] = {}
    for each in votes:
        found[each.listener] = [*found.pop(each.listener, []), each]
    return found


def _unit(vote: Vote, by_listener: bool) -> tuple[str, int]:
    return vote.listener, 0 if by_listener else vote.number


def _count(votes: Iterable[Vote]) -> int:
    return len({each.listener for each in votes})


def _people(votes: Iterable[Vote]) -> str:
    count = _count(votes)
    return f"{count} listener{'s' if count > 1 else ''}"
