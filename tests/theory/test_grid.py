import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diffusion.theory import (
    GRIDS,
    LEAP_LOG_SNR,
    STEPPED_GRIDS,
    ConstantBetas,
    Cosine,
    LinearBetas,
    RectifiedFlow,
    Shifted,
    early_grid,
    edm_grid,
    karras_grid,
    leap_grid,
    linear_betas_grid,
    log_snr_grid,
    trailing_grid,
    uniform_grid,
)

SCHEDULES = [Cosine(), Cosine(-3.0), LinearBetas(), ConstantBetas(), RectifiedFlow(), Shifted(LinearBetas(), 2.0)]


@given(
    name=st.sampled_from([*GRIDS]),
    schedule=st.sampled_from(SCHEDULES),
    steps=st.sampled_from([1, 2, 3, 7, 20, 66, 100]),
)
def test_every_grid_falls_from_one_to_zero(name, schedule, steps):
    times = GRIDS[name](schedule, steps)
    assert times.dtype == torch.float64
    assert times[-1] == 0
    first, least = float(schedule.log_snr(times[0])), float(schedule.log_snr(torch.tensor(1.0)))
    begins = {"edm": -2 * math.log(80), "linear-betas": float(LinearBetas().log_snr(torch.tensor(1.0)))}
    assert times[0] == 1 or first == pytest.approx(max(begins[name], least))
    assert bool((times.diff() < 0).all())
    assert len(times) == 1 + (steps if name in STEPPED_GRIDS else schedule.chain_steps or 1000)


def test_the_last_evaluation_is_never_at_the_data():
    """A chain's log-SNR grid ends at its first knot, not at 0, where there is no noise to believe anything about."""
    for schedule in SCHEDULES:
        for grid in (log_snr_grid, karras_grid, edm_grid):
            assert schedule(grid(schedule, 10)[-2]).sigma > 0
    assert float(log_snr_grid(LinearBetas(), 10)[-2]) == pytest.approx(1e-3)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_even_in_log_snr(schedule):
    gaps = schedule.log_snr(log_snr_grid(schedule, 12)[:-1]).diff()
    torch.testing.assert_close(gaps, gaps.mean().expand(11))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_karras_is_even_in_the_seventh_root(schedule):
    level = schedule(karras_grid(schedule, 12)[:-1])
    gaps = ((level.sigma / level.alpha) ** (1 / 7)).diff()
    torch.testing.assert_close(gaps, gaps.mean().expand(11))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_edm_has_the_levels_of_its_table(schedule):
    """Those of Karras et al. 2022, eq. 5, but for a schedule that ends before them."""
    ramp = torch.linspace(0, 1, 18, dtype=torch.float64)
    paper = (80 ** (1 / 7) + ramp * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    level = schedule(edm_grid(schedule, 18)[:-1])
    ratios = level.sigma / level.alpha
    assert float(ratios.max()) <= 80 * (1 + 1e-9)
    assert float(ratios.min()) >= 0.002 * (1 - 1e-9)
    if schedule.log_snr(torch.tensor(1.0)) < -2 * math.log(80) and not schedule.chain_steps:
        torch.testing.assert_close(ratios, paper)


@pytest.mark.parametrize("schedule", [Cosine(), RectifiedFlow(), LinearBetas()])
def test_linear_betas_are_those_of_ho_whatever_the_schedule(schedule):
    """alpha-bar of Ho et al. 2020, section 4, from the betas themselves, as the log-SNR that it has."""
    alpha_bar = torch.cumprod(1 - torch.linspace(1e-4, 2e-2, 1000, dtype=torch.float64), 0).flip(0)
    paper = (alpha_bar / (1 - alpha_bar)).log()
    for steps, every in ((1000, 1), (100, 10), (8, 125)):
        times = linear_betas_grid(schedule, steps)
        torch.testing.assert_close(schedule.log_snr(times[:-1]), paper[::every])


def test_no_step_of_edm_lies_beyond_sigma_80_and_many_of_karras_do():
    beyond = {grid: int((Cosine().log_snr(grid(Cosine(), 20)) < -8.77).sum()) for grid in (karras_grid, edm_grid)}
    assert beyond[edm_grid] == 0
    assert beyond[karras_grid] >= 6


@given(steps=st.integers(1, 100))
def test_trailing_times_are_those_of_the_chain(steps):
    times = trailing_grid(ConstantBetas(100), steps) * 100
    torch.testing.assert_close(times, times.round())
    assert bool((times.diff().abs() <= 100 / steps + 1).all())


def test_all_steps_of_a_chain():
    chain = LinearBetas(100)
    for name in ("trailing", "full", "uniform"):
        torch.testing.assert_close(GRIDS[name](chain, 100), torch.arange(100, -1, -1).double() / 100)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_leap_begins_at_the_same_noise_however_many_steps_come_before(schedule):
    for steps in (2, 20, 50):
        times = leap_grid(schedule, steps)
        assert float(schedule.log_snr(times[-2])) == pytest.approx(LEAP_LOG_SNR, abs=1e-6)
        share = (1 - times[:-1]) / (1 - times[-2])
        torch.testing.assert_close(share, 1 - early_grid(schedule, steps - 1))


def test_explained():
    assert all(grid.summary.endswith(".") for grid in GRIDS.values())


@pytest.mark.parametrize(
    ("grid", "steps", "message"),
    [
        (uniform_grid, 0, "steps: got 0, need at least 1"),
        (log_snr_grid, -2, "steps: got -2"),
        (karras_grid, 0, "steps: got 0"),
        (trailing_grid, 2000, "steps: got 2000, allowed 1 to 1000"),
    ],
)
def test_errors(grid, steps, message):
    with pytest.raises(ValueError, match=message):
        grid(Cosine(), steps)
