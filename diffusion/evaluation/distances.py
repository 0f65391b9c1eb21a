"""How far a set of clips is from another: distances of embeddings and of measures, with their intervals."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

DIRECTIONS = 16
"""In how many principal directions of the reference distances are taken: few enough for some hundred clips."""


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """Squared Fréchet distance of two Gaussians fitted to embeddings a (N, D) and b (M, D) (Heusel et al. 2017, eq. 6).

    |mean difference|² + tr(A + B - 2 (A B)^½). Biased upwards for few clips: compare only at equal counts.
    """
    x, y = a.double().numpy(), b.double().numpy()
    if min(len(x), len(y)) < 2 or x.shape[1] != y.shape[1]:
        raise ValueError(f"a, b: got shapes {x.shape} and {y.shape}, need two clips at least and the same width")
    cov_x, cov_y = (np.atleast_2d(np.cov(each, rowvar=False)) for each in (x, y))
    values, vectors = np.linalg.eigh(cov_x)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    crossed = np.sqrt(np.linalg.eigvalsh(root @ cov_y @ root).clip(0)).sum()
    return float(((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(cov_x) + np.trace(cov_y) - 2 * crossed)


def principal(reference: Tensor, directions: int) -> Tensor:
    """The orthonormal directions (D, directions) in which embeddings (N, D) vary most; fewer if N or D is smaller."""
    centred = (reference - reference.mean(0)).double()
    base: Tensor = torch.linalg.svd(centred, full_matrices=False)[2]
    return base[:directions].T.to(reference)


def precision_recall(real: Tensor, made: Tensor, neighbours: int = 3) -> tuple[float, float]:
    """Improved precision and recall of embeddings made (M, D) against real (N, D) (Kynkäänniemi et al. 2019, eq. 1-3).

    A set's manifold is the union of balls around its clips, each reaching to the clip's `neighbours`-th nearest within
    the set. Precision is the share of `made` on the manifold of `real`, recall that of `real` on that of `made`.
    """
    if real.ndim != 2 or made.ndim != 2 or real.shape[1] != made.shape[1]:
        raise ValueError(f"real, made: got shapes {tuple(real.shape)} and {tuple(made.shape)}, need (N, D) and (M, D)")
    if not 1 <= neighbours < min(len(real), len(made)):
        raise ValueError(f"neighbours: got {neighbours}, allowed 1 to {min(len(real), len(made)) - 1}")

    def distances(a: Tensor, b: Tensor) -> Tensor:  # not by a matrix product, which leaves copies a distance apart
        return torch.cdist(a.double(), b.double(), compute_mode="donot_use_mm_for_euclid_dist")

    def radii(x: Tensor) -> Tensor:
        return distances(x, x).kthvalue(neighbours + 1, dim=1).values  # the nearest is the clip itself

    between = distances(real, made)
    precision = (between <= radii(real)[:, None]).any(0).double().mean()
    recall = (between <= radii(made)[None]).any(1).double().mean()
    return float(precision), float(recall)


def diversity(embedding: Tensor, label: Tensor) -> float:
    """Mean distance of two clips of one label: embeddings (N, D), labels (N,) int; each label counts the same.

    A label with a single clip has no pair and does not count; ValueError if none has two.
    """
    if len(embedding) != len(label):
        raise ValueError(f"embedding, label: got {len(embedding)} and {len(label)} clips, need as many of both")
    groups = [embedding[label == each].double() for each in label.unique()]
    means = [torch.pdist(group).mean() for group in groups if len(group) > 1]
    if not means:
        raise ValueError("label: got no label with two clips, need one at least")
    return float(torch.stack(means).mean())


@dataclass(frozen=True)
class Interval:
    """A value and the ends of its 95 % interval."""

    value: float
    low: float
    high: float


def bootstrap(statistic: Callable[..., float], *sets: Tensor, resamples: int = 200, seed: int = 0) -> Interval:
    """The statistic of sets (n_i, ...) with a 95 % interval, by resampling the clips of each set with replacement.

    Tensors that belong together (embeddings and labels) are resampled together by passing `torch.arange(n)` as the
    set and indexing in the statistic.

    Resampling shifts some statistics: a Fréchet distance grows, since resampled moments carry the error of estimation
    twice, and the manifolds of precision and recall shrink around clips drawn more than once. Percentiles would
    centre on the shifted value. So this is the pivot (basic) interval without the shift: deviations from the mean of
    the resamples stand for deviations of the value from its expectation (Efron and Tibshirani 1993, ch. 10 and 13). It
    covers the expectation *at these counts*, which may be compared at equal counts; it does not extrapolate to
    infinitely many clips. For a distance near zero it is wider than necessary, and may reach below zero.
    """
    if not sets or any(len(each) < 2 for each in sets):
        raise ValueError(f"sets: got {[len(each) for each in sets]} clips, need one set at least and two clips in each")
    if resamples < 2:
        raise ValueError(f"resamples: got {resamples}, need at least 2")
    value = statistic(*sets)
    rng = np.random.default_rng(seed)
    drawn = np.array(
        [
            statistic(*(each[torch.from_numpy(rng.integers(len(each), size=len(each)))] for each in sets))
            for _ in range(resamples)
        ]
    )
    low, high = np.quantile(drawn - drawn.mean(), [0.025, 0.975])
    return Interval(value, value - float(high), value - float(low))


def two_sample(a: Tensor, b: Tensor) -> float:
    """Wasserstein-1 distance of the distributions of a (N,) and b (M,), in standard deviations of b.

    Zero between equal constants and infinite from a constant b to anything else.
    """
    from scipy.stats import wasserstein_distance

    distance = float(wasserstein_distance(a.double().numpy(), b.double().numpy()))
    spread = float(b.double().std(correction=0))
    if spread == 0:
        return 0.0 if distance == 0 else math.inf
    return distance / spread
