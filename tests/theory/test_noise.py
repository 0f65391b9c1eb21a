import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diffusion.theory import SeededNoise


@given(seeds=st.lists(st.integers(0, 2**63), min_size=1, max_size=4), draw=st.integers(0, 1000))
def test_a_seed_alone_is_the_seed_in_a_batch(seeds, draw):
    together = SeededNoise(seeds)(draw, torch.empty(len(seeds), 1, 5, 7))
    for seed, clip in zip(seeds, together, strict=True):
        assert SeededNoise([seed])(draw, torch.empty(1, 1, 5, 7))[0].equal(clip)


def test_draws_and_seeds_are_independent():
    noise = SeededNoise([0, 1, 2, 3])
    draws = torch.stack([noise(draw, torch.empty(4, 4000)) for draw in range(4)]).flatten(0, 1)
    torch.testing.assert_close(torch.corrcoef(draws), torch.eye(16), rtol=0, atol=0.08)
    torch.testing.assert_close(draws.mean(1), torch.zeros(16), rtol=0, atol=0.08)


def test_a_draw_has_no_memory_and_touches_no_global_state():
    before = torch.get_rng_state()
    noise = SeededNoise([7])
    late = noise(5, torch.empty(1, 3))
    noise(1, torch.empty(1, 3))
    assert noise(5, torch.empty(1, 3)).equal(late)
    assert torch.get_rng_state().equal(before)


def test_precision_changes_no_clip():
    like = torch.empty(2, 9)
    single, double = SeededNoise([1, 2])(3, like), SeededNoise([1, 2])(3, like.double())
    assert double.dtype == torch.float64
    assert double.float().equal(single)


@pytest.mark.parametrize(
    ("seeds", "message"), [([1, 2], "seeds: got 2, need one for each of the 3 clips"), ([-1, 0, 1], "seeds: got .*-1")]
)
def test_errors(seeds, message):
    with pytest.raises(ValueError, match=message):
        SeededNoise(seeds)(0, torch.empty(3, 2))
