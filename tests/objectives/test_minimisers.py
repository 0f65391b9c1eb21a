"""The exact denoiser is a stationary point of every objective that claims it, by quadrature."""

from dataclasses import replace

import pytest
import torch

from diffusion.denoisers import NetworkDenoiser
from diffusion.objectives import (
    OBJECTIVES,
    CleanError,
    ErrorAndSpread,
    ErrorPlusKL,
    Hybrid,
    MinSNR,
    NormalisedKL,
    PosteriorKL,
    SlicedScore,
    SohlDicksteinBound,
    SquaredError,
    VariationalBound,
)
from diffusion.theory import Estimate, LinearBetas, Spread

TIMES = [0.1, 0.29, 0.5, 1.0]
OF_THE_MEAN = ["eps", "x0", "v", "capped-v", "min-snr", "posterior-kl", "variational-bound", "sohl-dickstein"]
OF_THE_MEAN += ["error-plus-kl", "denoising-score-matching", "sliced-score-matching"]
OF_THE_VARIANCE = ["posterior-kl", "variational-bound", "sohl-dickstein", "hybrid", "error-plus-kl"]


def test_every_objective_is_proven_here():
    assert OBJECTIVES.keys() == {*OF_THE_MEAN, *OF_THE_VARIANCE, "error-and-spread", "normalised-kl"}


@pytest.mark.parametrize("name", OF_THE_MEAN)
@pytest.mark.parametrize("t", TIMES)
def test_exact_mean_is_stationary_on_a_mixture(mixture, bend, name, t):
    bent = bend(mixture.denoiser)
    loss = mixture.expectation(OBJECTIVES[name], bent, t)
    (gradient,) = torch.autograd.grad(loss, bent.mean)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=2e-7, rtol=0)
    elsewhere = bend(mixture.denoiser)
    with torch.no_grad():
        elsewhere.mean.add_(0.05)
    assert mixture.expectation(OBJECTIVES[name], elsewhere, t) > loss


@pytest.mark.parametrize("name", [*OF_THE_MEAN, "hybrid"])
@pytest.mark.parametrize("t", TIMES)
def test_exact_mean_is_stationary_on_gaussian_data(gaussian, bend, name, t):
    bent = bend(gaussian.denoiser)
    (gradient,) = torch.autograd.grad(gaussian.expectation(OBJECTIVES[name], bent, t), bent.mean)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-9, rtol=0)


@pytest.mark.parametrize("name", OF_THE_VARIANCE)
@pytest.mark.parametrize("t", TIMES)
def test_exact_variance_is_stationary(gaussian, bend, name, t):
    bent = bend(gaussian.denoiser, spread=True)
    loss = gaussian.expectation(OBJECTIVES[name], bent, t)
    (gradient,) = torch.autograd.grad(loss, bent.spread)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-9, rtol=0)
    elsewhere = bend(gaussian.denoiser, spread=True)
    with torch.no_grad():
        elsewhere.spread.add_(0.05)
    assert gaussian.expectation(OBJECTIVES[name], elsewhere, t) > loss


@pytest.mark.parametrize("t", TIMES)
def test_the_exact_spread_is_stationary_and_leaves_the_belief_alone(gaussian, t):
    exact = gaussian.denoiser.inner

    def off(mean: torch.Tensor, spread: torch.Tensor):
        """The exact denoiser with belief and spread led astray."""

        def denoiser(x_t, t, cond):
            belief, level = exact(x_t, t, cond), exact.schedule(t)
            unknown = exact.variance * level.sigma**2 / (level.alpha**2 * exact.variance + level.sigma**2)
            variance = Spread(unknown.log()[:, None] + spread * torch.sin(x_t) + spread)
            return replace(belief, x0=belief.x0 + mean * torch.cos(x_t), variance=variance)

        denoiser.schedule = exact.schedule
        return denoiser

    mean, spread = torch.zeros(2, dtype=torch.float64).requires_grad_().unbind()
    objective = ErrorAndSpread(weight=1.0)
    loss = gaussian.expectation(objective, off(mean, spread), t)
    for gradient in torch.autograd.grad(loss, (mean, spread)):
        torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-9, rtol=0)
    for error in (-0.1, 0.1):
        assert gaussian.expectation(objective, off(mean, spread + error), t) > loss
    # away from the optimum, too, the likelihood says nothing to the belief
    both, alone = (
        torch.autograd.grad(gaussian.expectation(each, off(mean + 0.3, spread + 0.5), t), mean)[0]
        for each in (objective, objective.error)
    )
    torch.testing.assert_close(both, alone)


def test_error_and_spread_needs_a_spread(gaussian):
    with pytest.raises(ValueError, match="prediction moments-spread"):
        gaussian.expectation(ErrorAndSpread(), gaussian.denoiser.inner, 0.5)


@pytest.mark.parametrize("t", TIMES)
def test_sliced_score_matching_is_the_fisher_divergence_up_to_a_constant(mixture, bend, t):
    bent = bend(mixture.denoiser)
    with torch.no_grad():
        bent.mean.add_(torch.tensor([0.1, -0.2, 0.05, 0.1]))
    sliced, denoising = SlicedScore(), SquaredError("score")
    level = mixture.denoiser.schedule(torch.tensor(t))
    rise = mixture.expectation(sliced, bent, t) - mixture.expectation(sliced, mixture.denoiser, t)
    fisher = mixture.expectation(denoising, bent, t) - mixture.expectation(denoising, mixture.denoiser, t)
    torch.testing.assert_close(rise, level.sigma**2 * fisher / 2, atol=1e-7, rtol=1e-6)


def test_sliced_score_matching_is_exact_in_more_dimensions_over_all_signs(gaussian):
    # On Gaussian data the slope of the score is diagonal: every choice of signs sees all of it.
    x0, eps = torch.randn(2, 3, 5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    t = torch.full((3,), 0.4, dtype=torch.float64)
    level = gaussian.denoiser.schedule(t)
    variance = level.alpha**2 * 0.2 + level.sigma**2
    x_t = level.alpha[0] * x0 + level.sigma[0] * eps
    score = (level.alpha[0] * 0.3 - x_t) / variance[0]
    expected = level.sigma[0] ** 2 * (score.square() / 2 - 1 / variance[0]).flatten(1).mean(1)
    torch.testing.assert_close(SlicedScore()(gaussian.denoiser.inner, x0, t, eps, {}), expected)


def test_sliced_score_matching_without_noise_finds_the_score_of_the_data(gaussian):
    """Whatever t says: of the scores -a x, that of N(0, V) has a = 1 / V."""
    x0 = gaussian.hermite(24)[0][:, None] * gaussian.denoiser.inner.variance.sqrt()
    weight, eps = gaussian.hermite(24)[1], torch.ones_like(x0)
    variance = float(gaussian.denoiser.inner.variance)

    def loss(a, t):
        def denoiser(x_t, t, cond):
            level = denoiser.schedule(t)
            return Estimate.from_eps(x_t, level, level.sigma[:, None] * a * x_t)

        denoiser.schedule = gaussian.denoiser.schedule
        times = torch.full((len(x0),), t, dtype=torch.float64)
        return float(weight @ SlicedScore(noised=False)(denoiser, x0, times, eps, {}))

    for t in (0.01, 0.5):
        for a in (0.5, 1.0, 1.5):
            assert loss(a / variance, t) == pytest.approx((a**2 / 2 - a) / variance, rel=1e-9)


@pytest.mark.parametrize("size", [1, 2])
def test_normalised_kl_is_biased(size):
    """Data of two values that x_t hardly tells apart: small batches pull the belief to the more frequent one."""
    loss = NormalisedKL(steps=10, variance="beta-tilde")
    values, chances = torch.tensor([-1.0, 0.8], dtype=torch.float64), torch.tensor([0.8, 0.2], dtype=torch.float64)
    belief = (values @ chances).clone().requires_grad_()
    denoiser = NetworkDenoiser(lambda x_t, log_snr, cond: belief.expand_as(x_t), LinearBetas(10, 0.1, 0.9), "x0")
    gradients = {}
    for objective in (loss, PosteriorKL(steps=10, variance="beta-tilde")):
        total = torch.zeros((), dtype=torch.float64)
        for picks in torch.cartesian_prod(*[torch.arange(2)] * size).reshape(-1, size):
            t = torch.ones(size, dtype=torch.float64)
            batch = objective(denoiser, values[picks][:, None], t, torch.zeros(size, 1, dtype=torch.float64), {})
            total = total + chances[picks].prod() * batch.mean()
        gradients[type(objective)] = torch.autograd.grad(total, belief)[0]
    torch.testing.assert_close(gradients[PosteriorKL], torch.zeros((), dtype=torch.float64), atol=1e-12, rtol=0)
    assert gradients[NormalisedKL] > 0.1  # descent leads down, to the frequent value


def test_normalised_kl_is_the_kl_over_its_largest(mixture):
    x0, eps = torch.randn(2, 8, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    inputs = (mixture.denoiser, x0, torch.linspace(0.1, 1, 8, dtype=torch.float64), eps, {})
    kl = PosteriorKL()(*inputs)
    torch.testing.assert_close(NormalisedKL()(*inputs), kl / kl.max())


def test_weights_are_those_of_the_papers(mixture, bend):
    bent = bend(mixture.denoiser)
    with torch.no_grad():
        bent.mean.add_(torch.tensor([0.1, -0.2, 0.05, 0.1]))
    for t in TIMES:
        level = bent.schedule(torch.tensor(t))
        snr = level.log_snr.exp()
        loss = {name: mixture.expectation(SquaredError(name), bent, t) for name in ("eps", "x0", "v", "score")}
        torch.testing.assert_close(loss["eps"], snr * loss["x0"])
        torch.testing.assert_close(loss["v"], (1 + snr) * loss["x0"])
        torch.testing.assert_close(loss["score"], loss["eps"] / level.sigma**2)
        # Hang et al. 2023: min(SNR, gamma) / SNR for eps, / (SNR + 1) for v
        min_snr = mixture.expectation(MinSNR(gamma=5), bent, t)
        torch.testing.assert_close(min_snr, snr.clamp(max=5) / snr * loss["eps"])
        torch.testing.assert_close(min_snr, snr.clamp(max=5) / (snr + 1) * loss["v"])
        torch.testing.assert_close(mixture.expectation(CleanError(cap=1e9), bent, t), loss["v"])


def test_hybrid_sends_the_gradient_of_the_error_alone_into_the_mean(gaussian, bend):
    for t in TIMES:
        gradients = {}
        for objective in (Hybrid(weight=10.0), SquaredError("eps"), ErrorPlusKL()):
            bent = bend(gaussian.denoiser, spread=True)
            with torch.no_grad():
                bent.mean.add_(0.1)
                bent.spread.add_(0.2)
            loss = gaussian.expectation(objective, bent, t)
            mean, spread = torch.autograd.grad(loss, (bent.mean, bent.spread), allow_unused=True)
            gradients[type(objective)] = mean
            assert (spread is None) == (type(objective) is SquaredError)
        torch.testing.assert_close(gradients[Hybrid], gradients[SquaredError], rtol=1e-12, atol=0)
        assert not torch.allclose(gradients[ErrorPlusKL], gradients[SquaredError], rtol=1e-3)


def test_hybrid_at_the_first_step_too(gaussian, bend):
    bent = bend(gaussian.denoiser, spread=True)
    with torch.no_grad():
        bent.mean.add_(0.01)
    difference = gaussian.expectation(Hybrid(weight=10.0), bent, 0.01) - gaussian.expectation(
        SquaredError("eps"), bent, 0.01
    )
    mean, spread = torch.autograd.grad(difference, (bent.mean, bent.spread))
    torch.testing.assert_close(mean, torch.zeros_like(mean), atol=1e-9, rtol=0)
    assert spread.abs().max() > 1e-3


def test_refusals(mixture):
    with pytest.raises(ValueError, match="variance"):
        mixture.expectation(Hybrid(), mixture.denoiser, 0.5)
    with pytest.raises(ValueError, match="target"):
        SquaredError("noise")
    with pytest.raises(ValueError, match="gamma"):
        MinSNR(gamma=0)
    with pytest.raises(ValueError, match="steps"):
        PosteriorKL(steps=1)
    with pytest.raises(ValueError, match="variance"):
        SohlDicksteinBound(variance="exact")
    with pytest.raises(ValueError, match="bounds"):
        VariationalBound(bounds=(1, -1))
    with pytest.raises(ValueError, match="at least 2"):
        SlicedScore()(mixture.denoiser, *[torch.ones(1, 1)] * 3, {})
