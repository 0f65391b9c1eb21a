"""What the samplers without an order tend to, exactly; and all of them on a mixture."""

from __future__ import annotations

import math

import pytest
import torch

from diffusion.samplers import (
    SAMPLERS,
    AnnealedLangevin,
    DecayingLangevin,
    Draws,
    Model,
    NaiveSkipping,
    PredictorCorrector,
)
from diffusion.theory import Cosine, GaussianDenoiser, LinearBetas, MixtureDenoiser, RectifiedFlow, uniform_grid

SCHEDULES = [Cosine(), RectifiedFlow()]


def stationary_variance(exact, t, step):
    """V / (1 - a / 4V): the fixed point of v -> (1 - a / 2V)² v + a."""
    _, variance = exact.law(t)
    return variance / (1 - step * exact.schedule(t).sigma ** 2 / (4 * variance))


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("method", [AnnealedLangevin, PredictorCorrector])
@pytest.mark.parametrize("step", [0.3, 1.0, 2.0])
def test_langevin_settles_at_its_stationary_law(schedule, method, step, gaussians):
    """Many corrections, from a wrong law: the mean becomes right, the variance as large as the step makes it."""
    exact = gaussians(schedule)
    times = torch.tensor([0.9, 0.7], dtype=torch.float64)
    mean, variance = exact.law(times[0])
    sampler = method(corrections=20, step=step)
    law = exact.propagate(sampler, times, (mean + 1, variance / 2))
    for _ in range(30):  # the level again, as if there were more corrections than the knob allows
        law = exact.propagate(AnnealedLangevin(20, step), times[1].expand(2), law)
    torch.testing.assert_close(law[0], exact.law(times[1])[0], rtol=0, atol=1e-9)
    torch.testing.assert_close(law[1], stationary_variance(exact, times[1], step), rtol=1e-9, atol=0)


@pytest.mark.parametrize("corrections", [1, 7])
def test_the_stationary_law_stays(corrections, gaussians):
    exact = gaussians(Cosine())
    t = torch.tensor([0.4, 0.4], dtype=torch.float64)
    law = exact.law(t[0])[0], stationary_variance(exact, t[0], 0.5)
    after = exact.propagate(AnnealedLangevin(corrections, 0.5), t, law)
    torch.testing.assert_close(after, law)


def test_between_levels_annealed_langevin_keeps_x(gaussians):
    """What one step from x = 1 does is the step at the new level: x - (a / 2V) (x - mean)."""
    exact = gaussians(Cosine())
    times = torch.tensor([0.9, 0.7], dtype=torch.float64)
    mean, _ = exact.propagate(AnnealedLangevin(1, 0.4), times, (torch.ones(3).double(), torch.ones(3).double()))
    true_mean, variance = exact.law(times[1])
    torch.testing.assert_close(mean, 1 - 0.2 * Cosine()(times[1]).sigma ** 2 / variance * (1 - true_mean))


@pytest.mark.parametrize("decay", [0.8, 0.95])
def test_decaying_langevin_stops_on_its_way(decay, gaussians):
    """After any number of updates the product of (1 - a_i / 2V) is left of where it began."""
    exact = gaussians(Cosine())
    sampler = DecayingLangevin(time=0.3, step=1.0, decay=decay)
    t = torch.tensor(0.3, dtype=torch.float64)
    true_mean, variance = exact.law(t)
    start = (torch.full((3,), 5.0).double(), torch.ones(3).double())
    shift, spread = start[0] - true_mean, start[1]
    for i in range(300):
        a = decay**i * Cosine()(t).sigma ** 2
        shift, spread = (1 - a / (2 * variance)) * shift, (1 - a / (2 * variance)) ** 2 * spread + a
    times = torch.linspace(1, 0.01, 301, dtype=torch.float64)
    mean, spread_reached = exact.propagate(sampler, times, start)
    torch.testing.assert_close(mean, true_mean + shift)
    torch.testing.assert_close(spread_reached, spread)
    half_way = exact.propagate(sampler, times[:251], start)
    torch.testing.assert_close(half_way[0], mean, rtol=0, atol=1e-4)
    assert float(shift.abs().max()) > 0.1


@pytest.mark.parametrize("t", [0.3, 0.6, 0.9])
def test_naive_skipping_leaves_the_law_of_one_chain_step_on(t, gaussians):
    """From the exact law at t the mean becomes that of t - 1/T, whatever s it is called; so does a point's variance."""
    chain = LinearBetas()
    exact = gaussians(chain)
    times = torch.tensor([t, t - 0.1], dtype=torch.float64)
    mean, variance = exact.propagate(NaiveSkipping(), times, exact.law(times[0]))
    reached = exact.law(times[0] - 1e-3)
    torch.testing.assert_close(mean, reached[0])
    torch.testing.assert_close(variance, reached[1], rtol=1e-3, atol=0)
    assert float((mean - exact.law(times[1])[0]).abs().max()) > 0.03

    point = GaussianDenoiser(chain, exact.denoiser.mean, torch.zeros(3).double())
    level, after = chain(times[0]), chain(times[0] - 1e-3)
    states = []
    for noise in (0.0, 1.0):
        draw = Draws(lambda _, like, noise=noise: torch.full_like(like, noise))
        x = (level.alpha * point.mean)[None]
        ((state, _),) = NaiveSkipping().updates(Model(point, {}), x, times, draw)
        states.append(state[0])
    kept = (level.sigma**2 - (level.alpha / after.alpha) ** 2 * after.sigma**2) * after.sigma**2 / level.sigma**2
    torch.testing.assert_close(states[0], after.alpha * point.mean)
    torch.testing.assert_close((states[1] - states[0]) ** 2, kept.expand(3), rtol=1e-6, atol=0)


def test_naive_skipping_does_not_get_better_until_it_no_longer_skips(gaussians):
    """Its bias in the final mean, exactly propagated: at 10 and at 100 of 1000 steps it is gross, at 1000 gone."""
    exact = gaussians(LinearBetas())
    bias = {}
    for steps in (10, 100, 1000):
        times = uniform_grid(exact.schedule, steps)
        mean, _ = exact.propagate(NaiveSkipping(), times, exact.law(times[0]))
        bias[steps] = float((mean - exact.law(times[-1])[0]).norm())
    assert min(bias[10], bias[100]) > 0.5
    assert bias[1000] < 1e-6


WEIGHTS = torch.tensor([0.3, 0.7], dtype=torch.float64)
MEANS = torch.tensor([[1.0, 2.0], [-1.5, 0.2]], dtype=torch.float64)
VARIANCES = torch.tensor([0.05, 0.2], dtype=torch.float64)


class GlobalNoise:
    """One stream for the whole batch: quick, and in order only."""

    def __init__(self):
        self.generator = torch.Generator().manual_seed(1)

    def __call__(self, draw, like):
        return torch.randn(like.shape, generator=self.generator, dtype=like.dtype)


def energy_distance(a, b) -> float:
    """2 E|a - b| - E|a - a'| - E|b - b'| (Székely & Rizzo 2013)."""
    return float(2 * torch.cdist(a, b).mean() - torch.cdist(a, a).mean() - torch.cdist(b, b).mean())


@pytest.mark.parametrize("name", SAMPLERS)
def test_samples_of_a_mixture(name, record_property):
    """The energy distance to exact samples, beside that between two sets of exact ones.

    Within 2.5 of it for a sampler with an order or a corrector; annealed Langevin, too noisy by its step, within 8.
    Naive skipping and the decaying step fail, and are kept to show it.
    """
    denoiser = MixtureDenoiser(Cosine(), WEIGHTS, MEANS, VARIANCES)
    generator = torch.Generator().manual_seed(0)
    exact, other = (denoiser.sample(2000, generator) for _ in range(2))
    between_exact = energy_distance(exact, other)
    noise = GlobalNoise()
    x = noise(0, exact)
    *_, last = SAMPLERS[name].steps(denoiser, x, uniform_grid(Cosine(), 60), cond={}, noise=noise)
    ratio = energy_distance(last.x, exact) / between_exact
    record_property("energy distance, exact = 1", ratio)
    print(f"{name}: {ratio:.2f}")
    if name in ("naive-skipping", "decaying-langevin"):
        assert 10 < ratio < math.inf
    else:
        assert ratio < (8 if name == "annealed-langevin" else 2.5)
