"""A ladder of levels: which is the first that fewer than half of the listeners can tell from the reference?

A listener who hears a difference chooses the reference, any other guesses, so the reference is chosen in 1/2 + heard/2
of the pairs. The share who hear it falls along the levels k = 0, 1, ... as a logistic function of (threshold - k) /
width; a share `lapse` of the answers are mistakes. Threshold, width and lapse have a grid of values, all as likely at
first. The next pair is the one whose answer says most, in expectation, about the first level above the threshold: the
expected information of QUEST+ (Watson 2017, Journal of Vision 17(3):10), with width and lapse integrated out (Prins
2013, Journal of Vision 13(7):3). A posterior may be looked at after every vote, so the ladder may stop when it is sure.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

WIDTHS = (0.2, 0.4, 0.8, 1.6)  # in levels
LAPSES = (0.0, 0.05, 0.1)
THRESHOLDS = 8  # of the grid, between two levels


@dataclass(frozen=True)
class Ladder:
    """Levels 0 to `levels` - 1, from easily told to not. Counts and weights may have leading dimensions (...).

    An answer is a level, or `levels` where half of the listeners still hear the last one. Weights are of the grid's
    points (answers, points), those of an answer together.
    """

    levels: int

    def weights(self, chosen: np.ndarray, rejected: np.ndarray) -> np.ndarray:
        """The posterior (..., levels + 1, points) after the reference was chosen, and not, so often (..., levels)."""
        p = self._chosen()
        log = np.einsum("...k,apk->...ap", chosen, np.log(p)) + np.einsum("...k,apk->...ap", rejected, np.log1p(-p))
        weights: np.ndarray = np.exp(log - log.max((-2, -1), keepdims=True))
        weights /= weights.sum((-2, -1), keepdims=True)
        return weights

    def answers(self, weights: np.ndarray) -> np.ndarray:
        """How likely each answer is (..., levels + 1)."""
        answers: np.ndarray = weights.sum(-1)
        return answers

    def best(self, weights: np.ndarray) -> np.ndarray:
        """The level (...) to ask next."""
        p = self._chosen()
        of_answers = self.answers(weights)
        within = np.einsum("...ap,apk->...ak", weights, p)
        expected = _entropy(within / np.maximum(of_answers[..., None], np.finfo(float).tiny))
        information = _entropy(within.sum(-2)) - (of_answers[..., None] * expected).sum(-2)
        level: np.ndarray = information.argmax(-1)
        return level

    def _chosen(self) -> np.ndarray:
        """How often the reference is chosen (answers, points, levels) at every point of the grid."""
        threshold = np.arange(self.levels + 1)[:, None] - 1 + (np.arange(THRESHOLDS) + 0.5) / THRESHOLDS
        of = np.broadcast_arrays(
            threshold[:, :, None, None], np.array(WIDTHS)[:, None], np.array(LAPSES)
        )  # (answers, thresholds, widths, lapses)
        threshold, width, lapse = (each.reshape(self.levels + 1, -1, 1) for each in of)
        return chosen(np.arange(self.levels), threshold, width, lapse)


def chosen(
    level: np.ndarray | float, threshold: np.ndarray | float, width: np.ndarray | float, lapse: np.ndarray | float
) -> np.ndarray:
    """How often the reference is chosen over a level: 1 - lapse / 2 far below the threshold, 1/2 far above it."""
    heard = 1 / (1 + np.exp((np.asarray(level) - threshold) / width))
    # Nothing is certain, so that one answer rules nothing out.
    return np.clip(0.5 + 0.5 * (1 - lapse) * heard, None, 0.999)


def _entropy(p: np.ndarray) -> np.ndarray:
    """Of an answer with probability p, in nats."""
    p = p.clip(1e-12, 1 - 1e-12)
    entropy: np.ndarray = -(p * np.log(p) + (1 - p) * np.log1p(-p))
    return entropy
