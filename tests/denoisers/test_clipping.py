"""Static clipping: alone, and in whole runs."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diffusion.denoisers import Clipped, Constrained
from diffusion.samplers import SAMPLERS
from diffusion.theory import Cosine, GaussianDenoiser, RectifiedFlow, SeededNoise, jump, uniform_grid

MEAN, VARIANCE = torch.tensor([0.7, -1.3, 2.0]).double(), torch.tensor([0.04, 0.5, 2.3]).double()
BOUNDS = (-1.0, 1.5)


@settings(deadline=None, max_examples=30)
@given(schedule=st.sampled_from([Cosine(), RectifiedFlow()]), t=st.floats(0.05, 1), seed=st.integers(0, 2**31))
def test_x0_stays_within_and_eps_agrees(schedule, t, seed):
    inner = GaussianDenoiser(schedule, MEAN, VARIANCE)
    x_t = 3 * torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    times = torch.full((5,), t, dtype=torch.float64)
    clipped, plain = Clipped(inner, BOUNDS)(x_t, times, {}), inner(x_t, times, {})
    assert bool(((clipped.x0 >= BOUNDS[0]) & (clipped.x0 <= BOUNDS[1])).all())
    torch.testing.assert_close(jump(clipped.x0, schedule(times), clipped.eps), x_t)
    inside = (plain.x0 >= BOUNDS[0]) & (plain.x0 <= BOUNDS[1])
    assert clipped.x0[inside].equal(plain.x0[inside])
    torch.testing.assert_close(clipped.eps[inside], plain.eps[inside])


def test_what_is_known_of_one_element_holds_there_alone():
    """A constraint on one of two clips, of which one must be between -0.1 and 0 in its last element."""
    inner = GaussianDenoiser(Cosine(), MEAN, VARIANCE)
    noise, times = SeededNoise([1, 1]), uniform_grid(Cosine(), 8)
    low, high = torch.full((2, 3), -9.0), torch.full((2, 3), 9.0)
    low[1, 2], high[1, 2] = -0.1, 0.0
    x = noise(0, torch.empty(2, 3, dtype=torch.float64))
    *_, free = SAMPLERS["unipc"].steps(inner, x, times, cond={}, noise=noise)
    *_, bound = SAMPLERS["unipc"].steps(
        Constrained(inner, lambda x0: x0.clamp(low, high)), x, times, cond={}, noise=noise
    )
    torch.testing.assert_close(bound.x[0], free.x[0])
    torch.testing.assert_close(bound.x[1, :2], free.x[1, :2])
    assert free.x[1, 2] > 0
    assert -0.1 <= bound.x[1, 2] <= 0


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_run_ends_within_the_bounds(name):
    """The last step returns a clipped x0, with every sampler; without clipping some clip leaves the bounds."""
    inner = GaussianDenoiser(Cosine(), MEAN, VARIANCE)
    noise = SeededNoise(range(20))
    x = noise(0, torch.empty(20, 3, dtype=torch.float64))
    ends = []
    for denoiser in (inner, Clipped(inner, BOUNDS)):
        *_, last = SAMPLERS[name].steps(denoiser, x, uniform_grid(Cosine(), 8), cond={}, noise=noise)
        ends.append(((last.x < BOUNDS[0]) | (last.x > BOUNDS[1])).any())
    assert ends == [True, False]


def test_bounds_that_hold_all_data_change_nothing():
    inner = GaussianDenoiser(Cosine(), MEAN, VARIANCE)
    noise, times = SeededNoise([1]), uniform_grid(Cosine(), 8)
    x = noise(0, torch.empty(1, 3, dtype=torch.float64))
    runs = [
        SAMPLERS["dpmpp-2m"].steps(each, x, times, cond={}, noise=noise) for each in (inner, Clipped(inner, (-99, 99)))
    ]
    for plain, clipped in zip(*runs, strict=True):
        assert plain.x.equal(clipped.x)
