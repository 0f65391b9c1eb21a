"""Every sampler is held to what it declares: an order, measured here, or a limit, proven in test_limits.py."""

from __future__ import annotations

import inspect
import math

import pytest
import torch

from diffusion.samplers import DDIM, DDPM, SAMPLERS, DPMSolver2MSDE, Draws, Model
from diffusion.samplers.multistep import half_log_snr
from diffusion.theory import Cosine, RectifiedFlow, SeededNoise, log_snr_grid

BAND = 0.2
STEPS = (16, 24, 36, 54, 80)
INTERVALS = [(-3.0, 1.0), (0.0, 5.0)]
NOISE = SeededNoise([0])

DETERMINISTIC = {name: SAMPLERS[name] for name in ("ddim", "euler", "heun", "dpmpp-2m", "dpmpp-3m", "unipc")}
STOCHASTIC = {
    "ddpm": (SAMPLERS["ddpm"], 1),
    "ddpm beta": (DDPM("beta"), 1),
    "ddim eta 0.5": (DDIM(0.5), 0.25),
    "ddim eta 1": (DDIM(1.0), 1),
    "dpmpp-2m-sde": (SAMPLERS["dpmpp-2m-sde"], 1),
    "dpmpp-2m-sde eta 0.5": (DPMSolver2MSDE(0.5), 0.5),
}
"""With the rate of their noise, 1 that of the reverse process."""
LIMITED = {"annealed-langevin", "decaying-langevin", "predictor-corrector", "naive-skipping"}


def order(errors: list[float], steps: tuple[int, ...] = STEPS) -> float:
    """The slope of log error against log step, by least squares."""
    x = torch.tensor([-math.log(each) for each in steps], dtype=torch.float64)
    y = torch.tensor([math.log(each) for each in errors], dtype=torch.float64)
    x, y = x - x.mean(), y - y.mean()
    return float((x * y).sum() / (x * x).sum())


def interior(schedule, interval, steps):
    """Times between two log-SNR, even in log-SNR."""
    return schedule.inverse(torch.linspace(*interval, steps + 1, dtype=torch.float64))


def test_every_sampler_declares_an_order_or_a_limit():
    for name, sampler in SAMPLERS.items():
        assert (sampler.order is None) == bool(sampler.limit), f"{name}: declare an order or a limit, not both"
        proven = LIMITED if sampler.order is None else {*DETERMINISTIC, *STOCHASTIC}
        assert name in proven, f"{name}: no test holds it to what it declares"


@pytest.mark.parametrize("schedule", [Cosine(), RectifiedFlow()], ids=["cosine", "flow"])
@pytest.mark.parametrize("interval", INTERVALS, ids=str)
@pytest.mark.parametrize("name", DETERMINISTIC)
def test_deterministic_order(name, interval, schedule, gaussians, record_property):
    """The error in x, from an exact start; multistep methods are given the beliefs that came before it."""
    sampler, exact = DETERMINISTIC[name], gaussians(schedule)
    x = torch.tensor([[1.5, -0.4, 0.9], [-0.2, 0.3, -2.0]], dtype=torch.float64)
    errors = []
    for steps in STEPS:
        times = interior(schedule, interval, steps)
        history = {}
        if "past" in inspect.signature(sampler.updates).parameters:
            gap = (interval[1] - interval[0]) / steps
            before = schedule.inverse(torch.tensor([interval[0] - 2 * gap, interval[0] - gap], dtype=torch.float64))
            seen = [(t, exact.flow(x, times[0], t)) for t in before]
            history["past"] = tuple(
                (half_log_snr(schedule(t)), exact.denoiser(x_t, t.expand(2), {}).x0) for t, x_t in seen
            )
        *_, (reached, _) = sampler.updates(Model(exact.denoiser, {}), x, times, Draws(NOISE), **history)
        errors.append(float((reached - exact.flow(x, times[0], times[-1])).norm()))
    measured = order(errors)
    record_property("order", measured)
    print(f"{name}: {measured:.2f}")
    assert measured >= sampler.order - BAND


@pytest.mark.parametrize("schedule", [Cosine(), RectifiedFlow()], ids=["cosine", "flow"])
@pytest.mark.parametrize("interval", INTERVALS, ids=str)
@pytest.mark.parametrize("name", STOCHASTIC)
def test_stochastic_order(name, interval, schedule, gaussians, record_property):
    """The errors in the mean and the variance of x, propagated exactly from a law whose mean is off by one."""
    (sampler, noise_rate), exact = STOCHASTIC[name], gaussians(schedule)
    means, variances = [], []
    for steps in STEPS:
        times = interior(schedule, interval, steps)
        start, spread = exact.law(times[0])
        mean, variance = exact.propagate(sampler, times, (start + 1, spread))
        true_mean, true_variance = exact.law(times[-1])
        # with all the noise of the reverse process x0 is a martingale: on Gaussians the mean is exact
        means.append(float((mean - true_mean - exact.relax(times[0], times[-1], noise_rate)).norm()))
        variances.append(float((variance - true_variance).norm()))
    measured = order(means) if max(means) > 1e-12 else math.inf, order(variances)
    record_property("order of mean and variance", measured)
    print(f"{name}: mean {measured[0]:.2f}, variance {measured[1]:.2f}")
    assert min(measured) >= sampler.order - BAND


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_self_started_over_the_whole_range(name, gaussians, record_property):
    """Reported beside the order: from noise to data, with the first and last steps that a whole run has.

    Held only to falling: the range has steps long enough at both ends for higher terms to count.
    """
    sampler, exact = SAMPLERS[name], gaussians(Cosine())
    x = torch.tensor([[1.5, -0.4, 0.9]], dtype=torch.float64)
    steps, errors = (40, 60, 90, 135), []
    for count in steps:
        times = log_snr_grid(Cosine(), count)
        *_, last = sampler.steps(exact.denoiser, x, times, cond={}, noise=NOISE)
        errors.append(float((last.x - exact.flow(x, times[0], times[-1])).norm()))
    measured = order(errors, steps)
    record_property("self-started order", measured)
    print(f"{name}: {measured:.2f}, errors {errors[0]:.1e} to {errors[-1]:.1e}")
    assert errors[-1] < errors[0] / 2
