"""The ladder finds a threshold that is known, is as sure as it says, and asks where it learns most."""

from __future__ import annotations

import numpy as np
import pytest

from diffusion.listening.ladder import LAPSES, WIDTHS, Ladder, chosen

LEVELS, LIMIT = 6, 400
LADDER = Ladder(LEVELS)


def climb(
    rng: np.random.Generator, threshold: np.ndarray, width: np.ndarray, lapse: np.ndarray, sure: float
) -> tuple[np.ndarray, np.ndarray]:
    """Listeners with these thresholds (R,) answer until the ladder is sure: its answers (R,), -1 where it never was,
    and the votes (R,) that it took."""
    count = len(threshold)
    votes = np.zeros((2, count, LEVELS))
    answer, took, running = np.full(count, -1), np.full(count, LIMIT), np.arange(count)
    for number in range(1, LIMIT + 1):
        level = LADDER.best(LADDER.weights(votes[0, running], votes[1, running]))
        right = rng.random(len(running)) < chosen(level, threshold[running], width[running], lapse[running])
        votes[np.where(right, 0, 1), running, level] += 1
        answers = LADDER.answers(LADDER.weights(votes[0, running], votes[1, running]))
        clear = answers.max(-1) >= sure
        answer[running[clear]], took[running[clear]] = answers[clear].argmax(-1), number
        running = running[~clear]
    return answer, took


def test_it_is_as_often_wrong_as_it_says_at_most() -> None:
    rng = np.random.default_rng(0)
    threshold = rng.uniform(-1, LEVELS, 300)
    answer, took = climb(rng, threshold, rng.choice(WIDTHS, 300), rng.choice(LAPSES, 300), 0.9)
    clear = answer >= 0
    assert clear.mean() > 0.6
    wrong = answer[clear] != np.ceil(threshold[clear]).clip(0)
    assert 0 < wrong.mean() <= 0.1
    assert np.median(took) < 200


@pytest.mark.parametrize("threshold", [-0.5, 2.5, 5.5])
def test_it_finds_a_threshold_between_two_levels(threshold: float) -> None:
    rng = np.random.default_rng(1)
    answer, _ = climb(rng, np.full(60, threshold), np.full(60, 0.3), np.full(60, 0.02), 0.95)
    assert np.mean(answer == np.ceil(threshold)) >= 0.9


def test_it_learns_more_where_it_asks_than_level_by_level() -> None:
    rng = np.random.default_rng(2)
    threshold = rng.uniform(0, LEVELS - 1, 200)
    votes = np.zeros((2, 2, 200, LEVELS))  # chosen or not; where it asks, level by level
    for number in range(60):
        here = LADDER.best(LADDER.weights(*votes[:, 0]))
        for way, level in enumerate((here, np.full(200, number % LEVELS))):
            right = rng.random(200) < chosen(level, threshold, 0.4, 0.0)
            votes[np.where(right, 0, 1), way, np.arange(200), level] += 1
    answers = LADDER.answers(LADDER.weights(*votes))
    of_truth = answers[:, np.arange(200), np.ceil(threshold).astype(int)].mean(1)
    assert of_truth[0] > of_truth[1] + 0.05


def test_nothing_is_known_before_the_first_vote() -> None:
    nothing = np.zeros(LEVELS)
    assert np.allclose(LADDER.answers(LADDER.weights(nothing, nothing)), 1 / (LEVELS + 1))


def test_the_reference_is_chosen_by_all_who_hear_and_by_half_of_the_others() -> None:
    level = np.arange(LEVELS)
    p = chosen(level, 2.0, 0.4, 0.0)
    assert p[2] == pytest.approx(0.75)
    assert (np.diff(p) < 0).all()
    assert p[0] > 0.99
    assert p[-1] == pytest.approx(0.5, abs=1e-3)
