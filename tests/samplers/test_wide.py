"""What a grid of times keeps of the directions in which data vary most, exactly."""

from __future__ import annotations

import pytest
import torch

from diffusion.samplers import SAMPLERS
from diffusion.theory import GRIDS, LEAP_LOG_SNR, Cosine

VARIANCE = torch.tensor([1.0, 100.0, 1000.0], dtype=torch.float64)  # the last: the first component of music


def kept(gaussians, name, grid, steps):
    """The share (3,) of the standard deviation of data that a run from noise ends with."""
    exact = gaussians(Cosine(), VARIANCE)
    times = GRIDS[grid](exact.schedule, steps)
    _, variance = exact.propagate(SAMPLERS[name], times, exact.law(times[0]))
    return (variance / VARIANCE).sqrt()


def test_even_steps_lose_what_a_sample_is_as_a_whole(gaussians):
    """The numbers that `early_grid` states."""
    even, early = (kept(gaussians, "unipc", grid, 20) for grid in ("uniform", "early"))
    torch.testing.assert_close(even[2], torch.tensor(0.49, dtype=torch.float64), rtol=0, atol=0.01)
    torch.testing.assert_close(early[2], torch.tensor(0.92, dtype=torch.float64), rtol=0, atol=0.01)
    torch.testing.assert_close(early[:2], torch.ones(2, dtype=torch.float64), rtol=0, atol=0.01)


@pytest.mark.parametrize("name", ["unipc", "dpmpp-2m", "dpmpp-3m", "heun", "ddim", "euler", "ddpm", "dpmpp-2m-sde"])
@pytest.mark.parametrize("steps", [8, 20, 50])
def test_early_steps_keep_more_of_it_with_any_sampler(gaussians, name, steps):
    even, early = (kept(gaussians, name, grid, steps) for grid in ("uniform", "early"))
    assert (1 - early[1:]).abs().le((1 - even[1:]).abs()).all()
    assert early[2] > 1.2 * even[2] or even[2] > 0.8


def test_more_steps_keep_everything(gaussians):
    for grid in ("early", "uniform", "log-snr", "karras", "trailing"):
        few, many = (kept(gaussians, "unipc", grid, steps) for steps in (20, 320))
        torch.testing.assert_close(many, torch.ones(3, dtype=torch.float64), rtol=0, atol=0.06)
        assert (1 - many[2]).abs() < (1 - few[2]).abs()


def test_a_leap_leads_to_the_mean_where_it_begins(gaussians):
    """Of variance v a mean keeps v snr / (1 + v snr), however many steps come before: all of what is far above it."""
    snr = torch.e**LEAP_LOG_SNR
    mean = (VARIANCE * snr / (1 + VARIANCE * snr)).sqrt()
    for name in ("unipc", "dpmpp-2m", "ddim"):
        errors = [(kept(gaussians, name, "leap", steps) - mean).abs() for steps in (80, 320)]
        torch.testing.assert_close(errors[1], torch.zeros_like(mean), rtol=0, atol=0.02)
        assert errors[1][2] < errors[0][2]
