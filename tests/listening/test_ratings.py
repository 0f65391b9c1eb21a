"""Every procedure on simulated listeners: intervals hold what they promise, and so do rules that stop."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import beta, binom

from diffusion.evaluation.measures import Proportion
from diffusion.listening import ratings

COVERED = (0.93, 0.97)
HORIZON = 300


def stopped(counts: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Whether the bet against 1/2 has ever won twentyfold (...), of counts that grow along the last axis but one."""
    return (ratings.log_capital(counts, values, 0.5) >= math.log(20)).any(-1)


def growing(scores: np.ndarray, values: np.ndarray) -> np.ndarray:
    """How often each of the values (V,) came up among the first scores (..., N): (..., N, V)."""
    return np.isclose(scores[..., None], values).cumsum(-2)


@pytest.mark.parametrize("share", [0.6, 0.75, 0.9])
def test_power_is_that_of_the_exact_test(share: float) -> None:
    votes = ratings.needed(share)
    wins = np.arange(votes + 1)
    p_values = np.array([2 * min(binom.cdf(k, votes, 0.5), binom.sf(k - 1, votes, 0.5)) for k in wins])
    assert ratings.power(votes, share) == pytest.approx(binom.pmf(wins, votes, share)[p_values <= 0.05].sum())
    assert ratings.power(votes, share) >= 0.8 > ratings.power(votes - 1, share)
    assert (ratings.power(np.arange(votes, 3 * votes), share) >= 0.8).all()
    assert ratings.told(votes) <= share + 1e-9


def test_power_in_numbers_that_others_have() -> None:
    assert ratings.needed(0.6) == 210  # 194 by the normal approximation with z 1.96 and 0.84
    assert ratings.told(24) == 0.8
    assert ratings.told(3) is None
    with pytest.raises(ValueError, match=r"^share: got 0\.5, allowed more than"):
        ratings.needed(0.5)


def test_intervals_of_few_votes_cover() -> None:
    covered = []
    for count in range(12, 61, 4):
        intervals = np.array([Proportion(right, count).interval for right in range(count + 1)])
        for share in np.arange(0.3, 0.71, 0.02):
            inside = (intervals[:, 0] <= share) & (share <= intervals[:, 1])
            covered.append(binom.pmf(np.arange(count + 1), count, share)[inside].sum())
    assert COVERED[0] <= np.mean(covered) <= COVERED[1]


@pytest.mark.parametrize("listeners", [10, 20, 60])
def test_intervals_over_listeners_cover(listeners: int) -> None:
    rng = np.random.default_rng(listeners)
    covered = []
    for number in range(1000):
        taste = rng.beta(6, 4, listeners)  # 60 % on average, and people differ
        scores = rng.binomial(12, taste) / 12
        low, high = ratings.resampled(scores[:, None], lambda sums: sums / listeners, draws=400, seed=number)
        covered.append(low[0] <= 0.6 <= high[0])
    assert COVERED[0] <= np.mean(covered) <= COVERED[1]


def test_intervals_over_votes_of_listeners_who_differ_would_not() -> None:
    rng = np.random.default_rng(0)
    right = rng.binomial(12, rng.beta(6, 4, (2000, 20))).sum(1)
    intervals = np.array([Proportion(int(each), 240).interval for each in right])
    assert np.mean((intervals[:, 0] <= 0.6) & (intervals[:, 1] >= 0.6)) < 0.9


def test_the_bet_on_yes_and_no_is_the_mixture_of_robbins() -> None:
    counts = np.array([[10, 20], [3, 0], [0, 40]])
    closed = beta_mixture(counts[:, 1], counts.sum(1))
    assert np.allclose(ratings.log_capital(counts, np.array([0.0, 1.0]), 0.5), closed, rtol=0.02, atol=0.01)


def beta_mixture(ones: np.ndarray, total: np.ndarray) -> np.ndarray:
    """The logarithm of 2^n B(k + 1, n - k + 1): the coin of unknown, evenly spread bias against the fair one."""
    return np.array(
        [
            n * math.log(2) + math.lgamma(k + 1) + math.lgamma(n - k + 1) - math.lgamma(n + 2)
            for k, n in zip(ones.tolist(), total.tolist(), strict=True)
        ]
    )


def test_a_rule_that_looks_after_every_vote_keeps_its_error_rate() -> None:
    values = np.array([0.0, 1.0])
    scores = np.random.default_rng(1).integers(0, 2, (1000, HORIZON)).astype(float)
    assert 0.001 < stopped(growing(scores, values), values).mean() <= 0.05
    # The usual test, looked at after every vote from the tenth on, does not.
    ones, total = scores.cumsum(1), np.arange(1, HORIZON + 1)
    p = 2 * np.minimum(binom.cdf(ones, total, 0.5), binom.sf(ones - 1, total, 0.5))
    assert (p[:, 9:] <= 0.05).any(1).mean() > 0.2


def test_a_rule_that_looks_after_every_listener_keeps_its_error_rate_though_people_differ() -> None:
    rng = np.random.default_rng(2)
    taste = rng.beta(2, 2, (500, 200))  # nobody is preferred on average
    votes = rng.random((500, 200, 5)) < taste[..., None]
    values = np.linspace(0, 1, 6)
    assert stopped(growing(votes.mean(-1), values), values).mean() <= 0.05
    of_votes, yes_no = votes.reshape(500, -1).astype(float), np.array([0.0, 1.0])
    assert stopped(growing(of_votes, yes_no)[:, ::5], yes_no).mean() > 0.1  # what counting votes would do


def test_a_rule_that_stops_does_stop_where_there_is_something_to_hear() -> None:
    values = np.array([0.0, 1.0])
    scores = (np.random.default_rng(3).random((500, HORIZON)) < 0.7).astype(float)
    found = ratings.log_capital(growing(scores, values), values, 0.5) >= math.log(20)
    assert found.any(1).mean() > 0.99
    assert np.median(found.argmax(1)) < 100


@pytest.mark.parametrize("share", [0.5, 0.65, 0.9])
def test_a_confidence_sequence_holds_at_all_times_at_once(share: float) -> None:
    rng = np.random.default_rng(int(100 * share))
    values, times = np.array([0.0, 0.5, 1.0]), np.unique(np.geomspace(1, 300, 12).astype(int)) - 1
    p = np.array([1 - share - 0.05, 0.1, share - 0.05])
    scores = rng.choice(values, (300, 300), p=p)
    low, high = ratings.sequence(growing(scores, values)[:, times], values)
    held = ((low <= share) & (share <= high)).all(1)
    assert held.mean() >= 0.95
    assert (high - low)[:, -1].mean() < 0.25
    assert (low <= high).all()


PAIRS = np.array([[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]])


def outcomes(strengths: np.ndarray, log_nu: float) -> np.ndarray:
    """The probabilities (..., P, 3) of Davidson's model, as he writes them."""
    pi = np.exp(strengths)
    first, second = pi[..., PAIRS[:, 0]], pi[..., PAIRS[:, 1]]
    odds = np.stack([first, math.exp(log_nu) * np.sqrt(first * second), second], -1)
    return odds / odds.sum(-1, keepdims=True)


def test_a_margin_is_recovered_with_ties() -> None:
    strengths = np.array([0.8, 0.2, -0.3, -0.7])
    found, log_nu = ratings.davidson(50_000 * outcomes(strengths, -0.4), PAIRS, 4)
    assert np.allclose(found, strengths, atol=1e-3)
    assert log_nu == pytest.approx(-0.4, abs=1e-3)


def test_strengths_are_the_most_likely_ones() -> None:
    counts = np.random.default_rng(0).multinomial(9, outcomes(np.array([2.0, 0.0, 0.0, -2.0]), -1.0)).astype(float)

    def loss(x: np.ndarray) -> float:
        return float(-(counts * np.log(outcomes(x[:4], x[4]))).sum() + ratings.RIDGE / 2 * (x**2).sum())

    best = minimize(loss, np.zeros(5), tol=1e-10).x
    found, log_nu = ratings.davidson(counts, PAIRS, 4)
    assert np.allclose([*found, log_nu], best, atol=1e-4)
    assert found.sum() == pytest.approx(0, abs=1e-9)


def test_a_side_that_always_wins_has_a_strength() -> None:
    counts = np.zeros((6, 3))
    counts[:3, 0] = 200
    found, log_nu = ratings.davidson(counts, PAIRS, 4)
    assert np.isfinite([*found, log_nu]).all()
    assert np.allclose(found[1:], found[1])
    assert found[0] > found[1] + 5


def test_intervals_of_strengths_cover() -> None:
    rng = np.random.default_rng(5)
    average, covered = np.array([0.6, 0.1, -0.2, -0.5]), []

    def taste(count: int) -> np.ndarray:
        return outcomes(average + 0.5 * rng.standard_normal((count, 4)), -0.5)

    truth = ratings.davidson(1e6 * taste(200_000).mean(0), PAIRS, 4)[0]  # of a crowd whose listeners differ
    for number in range(400):
        units = rng.multinomial(4, taste(24)).reshape(24, -1)
        low, high = ratings.resampled(
            units, lambda sums: ratings.davidson(sums.reshape(-1, 6, 3), PAIRS, 4)[0], draws=500, seed=number
        )
        covered.append((low <= truth) & (truth <= high))
    assert COVERED[0] <= np.mean(covered) <= COVERED[1]


def test_ratings_cover_and_listeners_who_miss_the_reference_are_out() -> None:
    rng = np.random.default_rng(6)
    covered = []
    for number in range(1000):
        bias = 10 * rng.standard_normal((20, 1))  # each has a scale of their own
        given = (60 + bias + 15 * rng.standard_normal((20, 6))).mean(1)
        low, high = ratings.resampled(given[:, None], lambda sums: sums / 20, draws=400, seed=number)
        covered.append(low[0] <= 60 <= high[0])
    assert COVERED[0] <= np.mean(covered) <= COVERED[1]
    reference = np.full((4, 10), 100.0)
    reference[1, :1] = 50  # once in ten pages
    reference[2, :2] = 50
    reference[3, 4:] = np.nan
    reference[3, 0] = 50  # once in four
    assert ratings.screened(reference).tolist() == [True, True, False, False]


def test_few_units_cannot_be_resampled() -> None:
    with pytest.raises(ValueError, match="units: got 1, need at least 2"):
        ratings.resampled(np.ones((1, 1)), lambda sums: sums)


def test_evidence_of_clicking_is_an_e_value() -> None:
    """For somebody who listens its mean is 1 at most, so that it is seldom large; it is large for those who click."""
    rng = np.random.default_rng(7)
    right, careful = rng.integers(0, 4, (4000, 12)), np.array([ratings.CAREFUL] * 6 + [0.7] * 6)
    other = (right + rng.integers(1, 4, right.shape)) % 4
    listened = np.where(rng.random(right.shape) < careful, right, other)
    evidence = [ratings.clicking(*each, careful, 4) for each in zip(right, listened, strict=True)]
    assert np.mean(np.array(evidence) >= ratings.CLICKING) <= 1 / ratings.CLICKING
    for given in (rng.integers(0, 4, right.shape), np.zeros_like(right), np.full_like(right, 2)):
        clicked = [ratings.clicking(*each, careful, 4) for each in zip(right, given, strict=True)]
        assert np.mean(np.array(clicked) >= ratings.CLICKING) > 0.9


def test_a_confidence_sequence_of_yes_and_no_ends_where_the_closed_form_says() -> None:
    low, high = ratings.sequence(np.array([20, 40]), np.array([0.0, 1.0]))
    grid = np.linspace(0.001, 0.999, 1999)
    log = -beta.logpdf(grid, 41, 21)  # B(41, 21) / (m^40 (1 - m)^20) is what the gambler owns
    inside = grid[log < math.log(20)]
    assert inside[0] - 2 / ratings.MEANS < low <= inside[0]
    assert inside[-1] <= high < inside[-1] + 2 / ratings.MEANS
