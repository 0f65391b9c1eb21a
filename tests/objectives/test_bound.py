"""The bound against entropies that are known in closed form."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diffusion.objectives import (
    OBJECTIVES,
    PosteriorKL,
    SohlDicksteinBound,
    SquaredError,
    VariationalBound,
    bin_log_probability,
    loss_curve,
)
from diffusion.theory import LinearBetas, Spread

STEPS = 100
STEP_TIMES = torch.arange(1, STEPS + 1, dtype=torch.float64) / STEPS


def gaussian_entropy_bits(variance):
    return math.log2(2 * math.pi * math.e * float(variance)) / 2


def variance_at(exact, t):
    level = exact.denoiser.schedule(torch.tensor(t))
    return level.alpha**2 * exact.denoiser.inner.variance + level.sigma**2


def test_sohl_dickstein_of_the_exact_chain_is_a_difference_of_entropies(gaussian):
    bound = torch.stack([gaussian.expectation(SohlDicksteinBound(STEPS), gaussian.denoiser, t) for t in STEP_TIMES])
    first, last = (gaussian_entropy_bits(variance_at(gaussian, t)) for t in (1 / STEPS, 1.0))
    assert float(bound.mean()) == pytest.approx(first - last + gaussian_entropy_bits(1), abs=1e-9)


def test_relative_to_a_gaussian_every_step_counts(gaussian):
    """As Esling counts: the first KL too, and what is needed beyond the bits of N(0, 1)."""
    bent = replace(gaussian.denoiser.inner, mean=gaussian.denoiser.inner.mean + 0.1)
    paper, notebook = (total(gaussian.expectation, SohlDicksteinBound(STEPS, relative=r), bent) for r in (False, True))
    first = float(gaussian.expectation(PosteriorKL(STEPS), bent, 1 / STEPS))
    assert first > 0.01
    assert notebook == pytest.approx(paper - gaussian_entropy_bits(1) + first, abs=1e-9)


def quantise(exact, bins, nodes=24):
    """The Gaussian's bins with their probabilities, under every node of eps; their entropy; the bound."""
    bounds = (-2.0, 2.5)
    centres = torch.linspace(*bounds, bins, dtype=torch.float64)
    mean, variance = exact.denoiser.inner.mean, exact.denoiser.inner.variance
    log_p = bin_log_probability(centres, mean, variance.log(), bins, bounds)
    entropy_bits = -float((log_p.exp() * log_p).sum()) / math.log(2)
    eps, weight = exact.hermite(nodes)
    expectation = replace(
        exact.expectation,
        x0=centres.repeat_interleave(nodes)[:, None],
        eps=eps.repeat(bins)[:, None],
        weight=(log_p.exp()[:, None] * weight).flatten(),
    )
    return expectation, entropy_bits, VariationalBound(STEPS, bins=bins, bounds=bounds)


@pytest.fixture
def quantised(gaussian):
    return quantise(gaussian, 256)


def total(expectation, objective, denoiser):
    return float(torch.stack([expectation(objective, denoiser, t) for t in STEP_TIMES]).mean())


@pytest.mark.parametrize(
    ("schedule", "bins", "least_gap_bits"),
    [(LinearBetas(STEPS, 1e-3, 0.2), 256, 0.0), (LinearBetas(STEPS, 1e-4, 0.02), 2000, 0.06)],
)
def test_the_exact_chain_needs_the_entropy_of_the_data(gaussian, schedule, bins, least_gap_bits):
    """And what N(0, 1) misses of x_1: next to nothing, but on a schedule that does not end in noise."""
    inner = replace(gaussian.denoiser.inner, schedule=schedule)
    exact = replace(gaussian, denoiser=replace(gaussian.denoiser, inner=inner))
    level, variance = schedule(torch.tensor(1.0)), float(variance_at(exact, 1.0))
    mean = float(level.alpha * inner.mean)
    gap = (variance + mean**2 - 1 - math.log(variance)) / 2 / math.log(2)
    assert gap > least_gap_bits
    expectation, entropy_bits, bound = quantise(exact, bins, nodes=12)
    cost = total(expectation, bound, exact.denoiser)
    assert cost == pytest.approx(entropy_bits + gap, abs=1e-3)


def test_any_other_chain_needs_more(gaussian, quantised, bend):
    expectation, entropy_bits, bound = quantised
    fixed = gaussian.denoiser.inner
    costs = [total(expectation, replace(bound, variance=name), fixed) for name in ("beta", "beta-tilde")]
    bent = bend(gaussian.denoiser)
    with torch.no_grad():
        bent.mean.add_(0.05)
        costs.append(total(expectation, bound, bent))
    assert min(costs) > entropy_bits + 0.01


def test_the_terms_sum_to_the_bound(gaussian, quantised):
    expectation, _, bound = quantised
    denoiser = gaussian.denoiser.inner
    kl = PosteriorKL(STEPS)
    terms = [expectation(kl, denoiser, t) for t in STEP_TIMES[1:]]
    first = torch.full((len(expectation.x0),), 1 / STEPS, dtype=torch.float64)
    step = bound.step_back(denoiser, expectation.x0, first, expectation.eps, {})
    assert bool(step.first.all())
    x0, bins = expectation.x0, bound.bins
    decoder = -bin_log_probability(x0, step.belief.x0, step.log_variance, bins, bound.bounds)[:, 0] / math.log(2)
    prior = bound.prior(denoiser, x0)
    parts = torch.stack(terms).sum() + expectation.weight @ (decoder + prior)
    assert float(parts) == pytest.approx(total(expectation, bound, denoiser), rel=1e-12)


@settings(deadline=None)
@given(
    mean=st.floats(-3, 3),
    log_variance=st.floats(-14, 4),
    bins=st.integers(2, 300),
    bounds=st.sampled_from([(-1.0, 1.0), (-3.0, 2.0), (0.0, 0.1)]),
)
def test_the_decoder_is_a_distribution_over_the_bins(mean, log_variance, bins, bounds):
    centres = torch.linspace(*bounds, bins, dtype=torch.float64)
    log_p = bin_log_probability(centres, torch.tensor(mean).double(), torch.tensor(log_variance).double(), bins, bounds)
    torch.testing.assert_close(log_p.exp().sum(), torch.ones((), dtype=torch.float64), rtol=1e-9, atol=0)


def test_the_decoder_is_finite_and_differentiable_far_from_the_data():
    mean = torch.tensor([-40.0, -1.0, 0.3, 60.0], requires_grad=True)
    x0 = torch.tensor([0.5, -1.0, 0.3, 1.0])
    log_p = bin_log_probability(x0, mean, torch.full((4,), -12.0), 256, (-1.0, 1.0))
    (gradient,) = torch.autograd.grad(log_p.sum(), mean)
    assert bool(log_p.isfinite().all())
    assert bool(gradient.isfinite().all())
    assert gradient[0] > 0


def as_spread(denoiser):
    """What it learned of the step back, taken for the spread of x0."""

    def spread(x_t, t, cond):
        belief = denoiser(x_t, t, cond)
        return replace(belief, variance=Spread(belief.variance.log_variance))

    spread.schedule = denoiser.schedule
    return spread


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_term_and_gradient_is_finite_at_both_ends_in_float32(gaussian, bend, name):
    bent = bend(gaussian.denoiser, spread=True)
    x0, eps = torch.randn(2, 4, 1, generator=torch.Generator().manual_seed(1))
    t = torch.tensor([1 / STEPS, 1 / STEPS, 0.5, 1.0], dtype=torch.float64)
    loss = OBJECTIVES[name](as_spread(bent) if name == "error-and-spread" else bent, 0.3 * x0, t, eps, {})
    assert loss.shape == (4,)
    gradients = torch.autograd.grad(loss.sum(), (bent.mean, bent.spread), allow_unused=True)
    assert all(bool(each.isfinite().all()) for each in (loss, *gradients) if each is not None)


def test_times_between_the_steps_count_as_the_later_one(mixture):
    for t in (0.2, 0.293, 1.0):
        later = math.ceil(t * STEPS - 1e-9) / STEPS
        kl = PosteriorKL(STEPS)
        assert mixture.expectation(kl, mixture.denoiser, t) == mixture.expectation(kl, mixture.denoiser, later)


def test_a_chain_step_is_the_discrete_formula(gaussian):
    """Ho et al. 2020, eqs. 7 and 8, from the betas themselves."""
    betas = gaussian.denoiser.schedule.betas
    products = torch.cumprod(1 - betas, 0)
    denoiser, expectation = gaussian.denoiser.inner, gaussian.expectation
    for i in (2, 37, 100):
        beta, now, before = betas[i - 1], products[i - 1], products[i - 2]
        beta_tilde = (1 - before) / (1 - now) * beta
        error = expectation(SquaredError("x0"), denoiser, i / STEPS)
        gap = (before.sqrt() * beta / (1 - now)) ** 2 * error
        kl = ((beta / beta_tilde).log() - 1 + (beta_tilde + gap) / beta) / 2 / math.log(2)
        assert float(expectation(PosteriorKL(STEPS), denoiser, i / STEPS)) == pytest.approx(float(kl), rel=1e-9)


def test_curve_has_a_point_for_each_time_and_shares_the_noise(mixture):
    x0, eps = torch.randn(2, 64, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    curve = loss_curve(SquaredError("x0"), mixture.denoiser, x0, eps, STEP_TIMES, {})
    assert curve.shape == (STEPS,)
    assert bool((curve.diff() > -0.02).all())
    assert curve[-1] > 10 * curve[0]
    alone = SquaredError("x0")(mixture.denoiser, x0, STEP_TIMES[40].expand(64), eps, {}).mean()
    torch.testing.assert_close(curve[40], alone)
