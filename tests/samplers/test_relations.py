"""Methods that are one another in disguise, found to be so to the last bits."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch

from diffusion.samplers import DDIM, DDPM, SAMPLERS, DPMSolver2M, DPMSolver2MSDE, Euler, Heun, NaiveSkipping
from diffusion.samplers.multistep import drift, half_log_snr, integrate
from diffusion.theory import (
    Cosine,
    Estimate,
    GaussianDenoiser,
    LinearBetas,
    LogVariance,
    Mix,
    MixtureDenoiser,
    RectifiedFlow,
    SeededNoise,
    Spread,
    full_grid,
    log_snr_grid,
    log_variances,
    uniform_grid,
)

WEIGHTS = torch.tensor([0.3, 0.7]).double()
MEANS = torch.tensor([[1.0, 2.0], [-1.5, 0.2]]).double()
VARIANCES = torch.tensor([0.05, 0.4]).double()


def mixture(schedule) -> MixtureDenoiser:
    return MixtureDenoiser(schedule, WEIGHTS, MEANS, VARIANCES)


def run(sampler, denoiser, times) -> torch.Tensor:
    """All states (steps + 1, B, D)."""
    noise = SeededNoise([1, 2, 3])
    x = noise(0, torch.empty(3, 2, dtype=torch.float64))
    return torch.stack([step.x for step in sampler.steps(denoiser, x, times, cond={}, noise=noise)])


@pytest.mark.parametrize("schedule", [Cosine(), LinearBetas(), RectifiedFlow()])
def test_ddim_with_eta_1_is_ddpm_with_beta_tilde(schedule):
    times = uniform_grid(schedule, 12)
    torch.testing.assert_close(
        run(DDIM(1.0), mixture(schedule), times), run(DDPM("beta-tilde"), mixture(schedule), times), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("schedule", [Cosine(), LinearBetas(), RectifiedFlow()])
def test_ddim_is_euler_in_the_noise_to_signal_ratio(schedule):
    """x / alpha moves along eps by the change of sigma / alpha (Song et al. 2021a, eq. 13)."""
    times = uniform_grid(schedule, 12)
    denoiser, states = mixture(schedule), run(DDIM(), mixture(schedule), times)
    for i in range(11):
        t, s = schedule(times[i]), schedule(times[i + 1])
        eps = denoiser(states[i], times[i].expand(3), {}).eps
        moved = states[i] / t.alpha + (s.sigma / s.alpha - t.sigma / t.alpha) * eps
        torch.testing.assert_close(states[i + 1], s.alpha * moved, rtol=0, atol=1e-11)


def test_euler_on_rectified_flow_is_ddim():
    times = uniform_grid(RectifiedFlow(), 12)[1:]  # from where log-SNR is not clipped
    denoiser = mixture(RectifiedFlow())
    torch.testing.assert_close(run(Euler(), denoiser, times), run(DDIM(), denoiser, times), rtol=0, atol=1e-12)


def test_2m_sde_without_noise_is_2m():
    times = uniform_grid(Cosine(), 12)
    denoiser = mixture(Cosine())
    torch.testing.assert_close(
        run(DPMSolver2MSDE(0.0), denoiser, times), run(DPMSolver2M(), denoiser, times), rtol=0, atol=1e-12
    )


def test_all_first_steps_without_a_past_are_ddim():
    times = uniform_grid(Cosine(), 8)
    denoiser = mixture(Cosine())
    first = run(DDIM(), denoiser, times)[1]
    for name in ("dpmpp-2m", "dpmpp-3m", "unipc"):
        torch.testing.assert_close(run(SAMPLERS[name], denoiser, times)[1], first, rtol=0, atol=1e-12)


def test_heun_starts_as_ddim_above_sigma_80():
    """From pure noise there is nothing to correct; on a schedule that begins lower there is, from the first step on."""
    denoiser, times = mixture(Cosine()), uniform_grid(Cosine(), 8)
    heun, ddim = run(SAMPLERS["heun"], denoiser, times), run(DDIM(), denoiser, times)
    torch.testing.assert_close(heun[1], ddim[1], rtol=0, atol=1e-12)
    low = mixture(LinearBetas(100))
    assert float((run(SAMPLERS["heun"], low, times)[1] - run(DDIM(), low, times)[1]).abs().max()) > 1e-3


def test_heun_without_churn_draws_nothing_and_with_it_forgets_errors(gaussians):
    """Karras et al. 2022, section 4: the law stays right, and a wrong mean is forgotten sooner."""
    exact = gaussians(Cosine())
    times = log_snr_grid(Cosine(), 200)[70:]
    mean, variance = exact.law(times[0])
    wrong = mean + 1
    found = {churn: exact.propagate(Heun(churn=churn), times, (wrong, variance)) for churn in (0.0, 40.0)}
    left = {churn: (law[0] - exact.denoiser.mean).abs() for churn, law in found.items()}
    assert bool((left[40.0] < 0.5 * left[0.0]).all())
    torch.testing.assert_close(found[40.0][1], exact.denoiser.variance, rtol=0.03, atol=0.002)
    kept = exact.propagate(Heun(churn=40.0), times, (mean, variance))
    torch.testing.assert_close(kept[0], exact.denoiser.mean, rtol=0.01, atol=0.01)


def test_naive_skipping_without_skipping_is_ddpm():
    chain = LinearBetas(50)
    times = full_grid(chain, 50)
    torch.testing.assert_close(
        run(NaiveSkipping(), mixture(chain), times), run(DDPM(), mixture(chain), times), rtol=0, atol=1e-10
    )


@dataclass(frozen=True)
class WithVariance:
    """A denoiser that has learned a variance."""

    inner: MixtureDenoiser
    fraction: float | None

    @property
    def schedule(self):
        return self.inner.schedule

    def __call__(self, x_t, t, cond) -> Estimate:
        belief = self.inner(x_t, t, cond)
        if self.fraction is not None:
            return replace(belief, variance=Mix(torch.full_like(x_t, self.fraction)))
        _, high = log_variances(self.schedule, t, t - 0.1)
        return replace(belief, variance=LogVariance(high[:, None].expand(x_t.shape)))


@pytest.mark.parametrize(("fraction", "same"), [(0.0, "beta-tilde"), (1.0, "beta"), (None, "beta")])
def test_learned_variance_meets_its_bounds(fraction, same):
    times = uniform_grid(Cosine(), 10)
    learned = run(DDPM("learned"), WithVariance(mixture(Cosine()), fraction), times)
    torch.testing.assert_close(learned, run(DDPM(same), mixture(Cosine()), times), rtol=0, atol=1e-10)


@dataclass(frozen=True)
class WithSpread:
    """The exact denoiser of Gaussian data, which knows what it does not know."""

    inner: GaussianDenoiser

    @property
    def schedule(self):
        return self.inner.schedule

    def __call__(self, x_t, t, cond) -> Estimate:
        level, prior = self.schedule(t), self.inner.variance
        unknown = prior * level.sigma**2 / (level.alpha**2 * prior + level.sigma**2)
        return replace(self.inner(x_t, t, cond), variance=Spread(unknown.log()[:, None].expand_as(x_t)))


@pytest.mark.parametrize("steps", [2, 3, 8])
def test_with_a_learned_spread_every_number_of_steps_is_exact_on_gaussian_data(steps):
    """The step back is Gaussian: with its true mean and variance, a chain of any length has the data's distribution.

    On such data the sampler is affine in its noises, so one clip for each noise that is 1 shows mean and variance.
    """
    mean, variance, schedule = 1.3, 2.5, Cosine()
    denoiser = WithSpread(GaussianDenoiser(schedule, torch.tensor([mean]), torch.tensor([variance]).double()))
    times = uniform_grid(schedule, steps)

    def impulse(index: int, like: torch.Tensor) -> torch.Tensor:
        return (torch.arange(len(like)) == index + 1).to(like)[:, None]

    top = schedule(times[0])
    start = top.alpha * mean + (top.alpha**2 * variance + top.sigma**2).sqrt() * impulse(0, torch.empty(steps + 1, 1))
    states = [step.x for step in DDPM("learned").steps(denoiser, start.double(), times, cond={}, noise=impulse)]
    for time, x in zip(times[:-1], states[:-1], strict=True):  # the last step returns the belief
        level = schedule(time)
        torch.testing.assert_close(x[0, 0], level.alpha * mean)
        torch.testing.assert_close((x[1:] - x[0]).square().sum(), level.alpha**2 * variance + level.sigma**2)


def test_learned_variance_needs_a_denoiser_that_learned_one():
    with pytest.raises(ValueError, match=r"variance: got 'learned', .*; allowed beta, beta-tilde"):
        run(DDPM("learned"), mixture(Cosine()), uniform_grid(Cosine(), 4))


@pytest.mark.parametrize("degree", [0, 1, 2])
def test_integration_is_exact_for_polynomials(degree):
    """Against a fine sum of e^(lambda - lambda_s) x0(lambda), x0 a polynomial in lambda."""
    t, s = (Cosine()(torch.tensor(each, dtype=torch.float64)) for each in (0.6, 0.45))
    x = torch.tensor([[0.3, -1.2]], dtype=torch.float64)

    def x0(at):
        return (torch.tensor([[1.0, -2.0]]).double() * at + 0.3) ** degree

    start, end = half_log_snr(t), half_log_snr(s)
    beliefs = tuple((start - gap, x0(start - gap)) for gap in (0.9, 0.4, 0.0)[2 - degree :])
    edges = torch.linspace(float(start), float(end), 20_001, dtype=torch.float64)
    centres = (edges[1:] + edges[:-1]) / 2
    values = torch.stack([x0(each)[0] for each in centres]) * torch.exp(centres - end)[:, None]
    expected = s.sigma / t.sigma * x + s.alpha * values.sum(0) * (edges[1] - edges[0])
    torch.testing.assert_close(integrate(x, t, s, beliefs), expected, rtol=1e-8, atol=1e-8)
    if degree == 0:
        torch.testing.assert_close(drift(x, x0(start), t, s), expected, rtol=1e-8, atol=1e-8)
