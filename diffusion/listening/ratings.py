"""Statistics of votes: how many it takes, who is preferred, how sure that is, and who only clicks.

Everything is vectorised: (...) are leading dimensions, such as trials that a test simulates.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from diffusion.evaluation.distances import Interval

LEVEL = 0.95
POWER = 0.8
BETS = 64
MEANS = 400  # to which a confidence sequence is known
RESAMPLES = 1000
RIDGE = 0.1  # a normal prior of strengths with a standard deviation of 3.2: keeps them finite where one always wins
NEWTON_STEPS, CONVERGED = 50, 1e-9
CAREFUL = 0.95  # of the catch trials that somebody who listens gets right
CLICKING = 20.0  # evidence that a careful listener reaches with a probability of 1/20 at most


def power(votes: np.ndarray | int, share: float) -> np.ndarray:
    """How likely so many votes (...), each for the better side with probability `share`, tell it from a toss of a coin.

    By the exact two-sided binomial test at 5 %, each tail apart.
    """
    from scipy.stats import binom

    votes = np.asarray(votes)
    most = binom.isf((1 - LEVEL) / 2, votes, 0.5)  # more than this is significant
    found: np.ndarray = binom.sf(most, votes, share) + binom.cdf(votes - most - 1, votes, share)
    return found


def needed(share: float) -> int:
    """How many votes tell `share` from 50 % with the power POWER, as do all higher numbers."""
    if not 0.5 < share < 1:
        raise ValueError(f"share: got {share!r}, allowed more than 0.5 and less than 1")
    votes = np.arange(1, 20 + int(4 / (share - 0.5) ** 2))
    return int(votes[power(votes, share) < POWER].max()) + 1


def told(votes: int) -> float | None:
    """The least share, in hundredths, that so many votes tell from 50 % with the power POWER; None if none."""
    shares = np.arange(0.51, 1.0, 0.01)
    enough = [share for share in shares if power(votes, share) >= POWER]
    return round(float(enough[0]), 2) if enough else None


def log_capital(counts: np.ndarray, values: np.ndarray, mean: float) -> np.ndarray:
    """What a gambler owns (...), as a logarithm, who began with 1 and bet against the claim that scores have that mean.

    The scores, in [0, 1], are given as how often (..., V) each of the values (V,) came up. A bet b multiplies the
    capital by 1 + b (score - mean) with each score; the gambler spreads it evenly over all bets that cannot ruin
    (diversified Kelly, Waudby-Smith and Ramdas 2024, JRSS B 86(1):1; for scores of 0 and 1 this is the
    mixture of Robbins 1970). If the claim is true, the capital ever reaches 1/a with a probability of a at most (Ville
    1939), so one may look at it after every vote, and stop when one likes.
    """
    low, high = -1 / (1 - mean), 1 / mean
    bets = low + (high - low) * (np.arange(BETS) + 0.5) / BETS
    log = counts @ np.log1p((values[:, None] - mean) * bets)
    best = log.max(-1, keepdims=True)
    capital: np.ndarray = best[..., 0] + np.log(np.exp(log - best).mean(-1))
    return capital


def sequence(counts: np.ndarray, values: np.ndarray, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
    """The ends (...) of a confidence sequence of the mean of scores in [0, 1], given as `log_capital` has them.

    With probability `level` it holds the mean at all times at once.
    """
    means = (np.arange(MEANS) + 0.5) / MEANS
    inside = np.stack([log_capital(counts, values, mean) for mean in means], -1) < -math.log(1 - level)
    # What is between two means of the grid is not known, so the ends are those of the next ones outside.
    low = (inside.argmax(-1) - 0.5) / MEANS
    high = 1 - (inside[..., ::-1].argmax(-1) - 0.5) / MEANS
    return low.clip(0, 1), high.clip(0, 1)


def resampled(
    units: np.ndarray,
    statistic: Callable[[np.ndarray], np.ndarray],
    level: float = LEVEL,
    draws: int = RESAMPLES,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """The ends (S,) of the interval of a statistic, by drawing units, such as listeners, with replacement.

    `units` (U, C) has what each adds up to, and `statistic` makes of sums (draws, C) the statistics (draws, S). The
    quantiles are those of Student's t, wider for few units, since resampled units vary less than units do (the
    expanded percentile interval: Hesterberg 2015, The American Statistician 69(4):371).
    """
    from scipy.stats import norm, t

    count = len(units)
    if count < 2:
        raise ValueError(f"units: got {count}, need at least 2")
    reach = norm.cdf(-math.sqrt(count / (count - 1)) * t.isf((1 - level) / 2, count - 1))
    often = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=draws)
    low, high = np.quantile(statistic(often @ units), [reach, 1 - reach], axis=0)
    return low, high


def davidson(counts: np.ndarray, pairs: np.ndarray, sides: int) -> tuple[np.ndarray, np.ndarray]:
    """Strengths (..., sides) with mean 0, and log nu (...), of Bradley and Terry's model with ties.

    `counts` (..., P, 3) says how often, of each of the pairs (P, 2) of sides, the first won, neither, and the second.
    Davidson 1970 (JASA 65:317, equation 2.3): the odds of the three are pi_i : nu sqrt(pi_i pi_j) : pi_j, and a
    strength is log pi. By Newton's method; the prior RIDGE keeps what the votes leave open at 0.
    """
    design = np.zeros((len(pairs), 3, sides + 1))  # what each outcome has in its exponent
    rows = np.arange(len(pairs))
    for outcome, (first, second) in enumerate(((1.0, 0.0), (0.5, 0.5), (0.0, 1.0))):
        design[rows, outcome, pairs[:, 0]] += first
        design[rows, outcome, pairs[:, 1]] += second
    design[:, 1, -1] = 1
    flat = design.reshape(-1, sides + 1)
    squares = (flat[:, :, None] * flat[:, None, :]).reshape(len(flat), -1)
    total = counts.sum(-1, keepdims=True)
    found = np.zeros((*counts.shape[:-2], sides + 1))
    for _ in range(NEWTON_STEPS):
        exponent = (found @ flat.T).reshape(counts.shape)
        p = np.exp(exponent - exponent.max(-1, keepdims=True))
        p /= p.sum(-1, keepdims=True)
        gradient = (counts - total * p).reshape(*found.shape[:-1], -1) @ flat - RIDGE * found
        mean = np.einsum("...po,pod->...pd", p, design)
        hessian = ((total * p).reshape(*found.shape[:-1], -1) @ squares).reshape(*found.shape, sides + 1)
        hessian = hessian - np.einsum("...pd,...pe->...de", total * mean, mean) + RIDGE * np.eye(sides + 1)
        step = np.linalg.solve(hessian, gradient[..., None])[..., 0].clip(-2, 2)
        found = found + step
        if np.abs(step).max() < CONVERGED:
            break
    return found[..., :-1], found[..., -1]


def clicking(right: np.ndarray, given: np.ndarray, careful: np.ndarray, answers: int) -> float:
    """The evidence that somebody clicks without listening, from checks (N,) whose `right` answer is known.

    Answers are numbers below `answers`; somebody who listens gives the right one with probability `careful` (N,), and
    any other as likely. The others click at random, half of them, or nine times in ten on one and the same answer. The
    evidence is the likelihood ratio of these habits, an e-value: somebody who listens has CLICKING or more with a
    probability of 1 / CLICKING at most (Markov's inequality). Four checks of each kind find nine in ten of those who
    click at random, and six of each nineteen in twenty.
    """
    listened = np.where(given == right, careful, (1 - careful) / (answers - 1))
    favourite = np.where(given == np.arange(answers)[:, None], 0.9, 0.1 / (answers - 1))
    at_random = np.full(len(given), 1 / answers)
    return float((at_random / listened).prod() / 2 + (favourite / listened).prod(-1).mean() / 2)


def screened(ratings: np.ndarray) -> np.ndarray:
    """Which listeners (L,) hear the reference: ratings of the hidden reference (L, P), NaN where there is none.

    ITU-R BS.1534-3, post-screening: out are those who give it less than 90 in more than 15 % of the pages.
    """
    given = ~np.isnan(ratings)
    kept: np.ndarray = ((ratings < 90) & given).sum(1) <= 0.15 * given.sum(1)
    return kept


def interval(value: float, ends: tuple[np.ndarray, np.ndarray]) -> Interval:
    """A single statistic with its ends."""
    return Interval(value, *(float(np.asarray(each).reshape(-1)[0]) for each in ends))
