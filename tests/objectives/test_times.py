import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diffusion.objectives import TIME_SAMPLERS, antithetic, low_discrepancy, uniform


@pytest.mark.parametrize("name", TIME_SAMPLERS)
@settings(deadline=None)
@given(batch=st.integers(1, 65), seed=st.integers(0, 2**32))
def test_times_are_within_range_and_repeat(name, batch, seed):
    draw = TIME_SAMPLERS[name]
    t = draw(batch, torch.Generator().manual_seed(seed))
    assert t.shape == (batch,)
    assert t.dtype == torch.float64
    assert bool(((t > 0) & (t <= 1)).all())
    assert torch.equal(t, draw(batch, torch.Generator().manual_seed(seed)))


@pytest.mark.parametrize("name", TIME_SAMPLERS)
def test_every_place_in_the_batch_is_uniform(name):
    generator = torch.Generator().manual_seed(0)
    t = torch.stack([TIME_SAMPLERS[name](4, generator) for _ in range(4000)])
    for place in t.T:
        # Kolmogorov-Smirnov at one in a million
        ranks = torch.arange(1, 4001, dtype=torch.float64) / 4000
        assert (place.sort().values - ranks).abs().max() < 2.7 / 4000**0.5


def test_antithetic_pairs_are_steps_t_and_total_minus_t():
    t = antithetic(7, torch.Generator().manual_seed(3))
    torch.testing.assert_close(t[:3] + t[4:], torch.ones(3, dtype=torch.float64))
    steps = (t * 100).ceil()
    assert bool((steps[:3] + steps[4:] == 101).all())


def test_the_mean_over_a_batch_varies_less():
    """The mean of t itself: constant for antithetic pairs, and nearly so for the low-discrepancy rule."""
    spread = {}
    for draw in (uniform, antithetic, low_discrepancy):
        generator = torch.Generator().manual_seed(0)
        spread[draw] = torch.stack([draw(16, generator).mean() for _ in range(500)]).std()
    assert spread[antithetic] < 1e-12
    assert spread[low_discrepancy] < spread[uniform] / 3
