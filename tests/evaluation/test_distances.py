import math

import numpy as np
import pytest
import torch

from diffusion.evaluation.distances import (
    Interval,
    bootstrap,
    diversity,
    frechet_distance,
    precision_recall,
    principal,
    two_sample,
)


def cloud(count, width=3, seed=0):
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_frechet_distance_of_moved_and_stretched_clouds():
    rng = np.random.default_rng(0)
    a = torch.from_numpy(rng.normal(size=(200, 3)) * [1, 2, 3])
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(a, a + torch.tensor([3.0, 0, 4.0])) == pytest.approx(25)
    spread = a.var(0).sum().item()
    assert frechet_distance(a, a.mean(0) + 3 * (a - a.mean(0))) == pytest.approx(4 * spread)  # (3 - 1)² var
    turned = a @ torch.tensor([[0.0, 1, 0], [1, 0, 0], [0, 0, 1]], dtype=torch.float64)
    assert frechet_distance(a, turned) == pytest.approx(frechet_distance(turned, a))
    with pytest.raises(ValueError, match="two clips"):
        frechet_distance(a[:1], a)


def test_frechet_distance_of_gaussians_that_do_not_commute():
    root_a = torch.tensor([[2.0, 1], [0, 1]], dtype=torch.float64)
    root_b = torch.tensor([[1.0, 0], [-1, 3]], dtype=torch.float64)
    x = cloud(400, 2)
    white = (x - x.mean(0)) @ torch.linalg.inv(torch.linalg.cholesky(x.T.cov()).T)
    cov_a, cov_b = root_a @ root_a.T, root_b @ root_b.T
    # tr (A B)^½ of 2 x 2 matrices from the trace and the determinant of A B
    crossed = math.sqrt(float((cov_a @ cov_b).trace()) + 2 * math.sqrt(float(torch.linalg.det(cov_a @ cov_b))))
    expected = float(cov_a.trace() + cov_b.trace()) - 2 * crossed
    assert frechet_distance(white @ root_a.T, white @ root_b.T) == pytest.approx(expected)


def test_principal_directions_hold_the_variance():
    x = torch.randn(100, 5, generator=torch.Generator().manual_seed(0)) * torch.tensor([0.1, 5, 0.1, 3, 0.1])
    base = principal(x, 2)
    torch.testing.assert_close(base.T @ base, torch.eye(2))
    assert (x @ base).var(0).sum() > 0.99 * x.var(0).sum()


def test_precision_and_recall_of_clouds_alike_apart_narrow_and_lopsided():
    real = cloud(200)
    assert precision_recall(real, real) == (1, 1)
    assert precision_recall(real, real + 100) == (0, 0)
    assert min(precision_recall(real, cloud(200, seed=1))) > 0.85
    precision, recall = precision_recall(real, 0.2 * cloud(200, seed=1))
    assert precision > 0.95
    assert recall < 0.3
    half = torch.cat([cloud(100, seed=1), cloud(100, seed=2) + 100])
    precision, recall = precision_recall(real, half)
    assert 0.4 < precision <= 0.5
    assert recall > 0.7
    assert precision_recall(half, real) == (recall, precision)


def test_precision_and_recall_by_hand():
    real = torch.tensor([[0.0], [1], [3], [10]])  # radii to the nearest: 1, 1, 2, 7
    made = torch.tensor([[4.5], [17], [17.5]])  # radii 12.5, 0.5, 0.5
    assert precision_recall(real, made, neighbours=1) == (pytest.approx(2 / 3), 1)
    assert precision_recall(real[:2], made[1:], neighbours=1) == (0, 0)
    for neighbours in (0, 3):
        with pytest.raises(ValueError, match=f"neighbours: got {neighbours}, allowed 1 to 2"):
            precision_recall(real, made, neighbours)
    with pytest.raises(ValueError, match="real, made"):
        precision_recall(real, torch.zeros(9, 2), 1)


def test_diversity_is_the_distance_within_labels():
    embedding = torch.tensor([[0.0, 0], [3, 4], [100, 0], [100, 1], [100, 2], [7, 7]])
    label = torch.tensor([5, 5, 2, 2, 2, 9])  # distances 5; 1, 1 and 2; no pair
    assert diversity(embedding, label) == pytest.approx((5 + 4 / 3) / 2)
    assert diversity(2 * embedding, label) == pytest.approx(5 + 4 / 3)
    with pytest.raises(ValueError, match="no label with two clips"):
        diversity(embedding[:2], torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="got 6 and 2 clips"):
        diversity(embedding, label[:2])


def test_the_interval_of_a_mean_is_the_textbook_one():
    x = cloud(400, 1)[:, 0]
    interval = bootstrap(lambda a: float(a.mean()), x, resamples=2000)
    error = 1.96 * float(x.std()) / math.sqrt(400)
    assert interval.value == pytest.approx(float(x.mean()))
    assert interval.low == pytest.approx(interval.value - error, abs=0.1 * error)
    assert interval.high == pytest.approx(interval.value + error, abs=0.1 * error)


def test_intervals_of_frechet_distances_cover_their_expectation():
    """About 95 of 100 must; plain percentiles of the resamples, which are shifted, cover fewer than 60."""
    generator = torch.Generator().manual_seed(0)
    scale = torch.linspace(0.5, 2, 12)

    def draw():
        a, b = (torch.randn(40, 12, generator=generator) for _ in range(2))
        return a * scale + 0.3, b

    expected = float(np.mean([frechet_distance(*draw()) for _ in range(1000)]))
    covered = covered_by_percentiles = 0
    for seed in range(100):
        drawn = []

        def distance(a, b, drawn=drawn):
            drawn.append(frechet_distance(a, b))
            return drawn[-1]

        interval = bootstrap(distance, *draw(), resamples=60, seed=seed)
        assert interval.low <= interval.value <= interval.high
        covered += interval.low <= expected <= interval.high
        low, high = np.quantile(drawn[1:], [0.025, 0.975])
        covered_by_percentiles += low <= expected <= high
    assert covered >= 88
    assert covered_by_percentiles < 60


def test_intervals_repeat_with_their_seed_and_resample_sets_apart_or_together():
    a, b = cloud(30), cloud(20, seed=1) + 1
    assert bootstrap(frechet_distance, a, b, seed=3) == bootstrap(frechet_distance, a, b, seed=3)
    assert bootstrap(frechet_distance, a, b, seed=3) != bootstrap(frechet_distance, a, b, seed=4)
    label = torch.arange(30) % 3
    together = bootstrap(lambda rows: float((label[rows] == torch.arange(30)[rows] % 3).all()), torch.arange(30))
    assert together == Interval(1.0, 1.0, 1.0)
    assert bootstrap(lambda a, b: len(a) / len(b), a, b) == Interval(1.5, 1.5, 1.5)
    for sets in ((), (a, b[:1])):
        with pytest.raises(ValueError, match="sets: got"):
            bootstrap(frechet_distance, *sets)


def test_wasserstein_distance_in_standard_deviations():
    b = torch.tensor([1.0, 3, 5, 7])  # standard deviation √5
    assert two_sample(b, b) == 0
    assert two_sample(b + 2, b) == pytest.approx(2 / math.sqrt(5))
    assert two_sample(b.flip(0) * 10 + 20, b * 10) == pytest.approx(2 / math.sqrt(5))
    assert two_sample(torch.tensor([4.0]), b) == pytest.approx(2 / math.sqrt(5))  # mean of 3, 1, 1, 3
    quantiles = torch.special.ndtri((torch.arange(4000, dtype=torch.float64) + 0.5) / 4000)
    assert two_sample(3 * quantiles, quantiles) == pytest.approx(2 * math.sqrt(2 / math.pi), rel=0.01)  # E 2|z|
    constant = torch.ones(3)
    assert two_sample(constant, constant) == 0
    assert two_sample(b, constant) == math.inf
