"""How far loud moments stand out, and the limiter."""

import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from diffusion.audio.mel import MelParameters
from diffusion.corrections.prominence import LOUD, limited, prominence_db

MEL = MelParameters()


def clips(seed: int, frames: int = 160) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 0.3 * torch.randn(3, 1, MEL.bands, frames, generator=generator).cumsum(-1) / math.sqrt(frames)


def test_a_frame_that_is_twice_as_loud_as_all_others_stands_out_by_six_decibels() -> None:
    features = torch.zeros(1, 1, MEL.bands, 100)
    assert prominence_db(features, MEL).tolist() == [0]
    features[..., 40] += math.log(2) / MEL.scale
    torch.testing.assert_close(prominence_db(features, MEL), torch.tensor([20 * math.log10(2)]), rtol=0, atol=1e-4)
    features[..., : round(LOUD * 100) + 1] = features[..., 40:41]  # a long loud note is no peak
    assert prominence_db(features, MEL).tolist() == [0]


def test_it_is_power_that_counts_however_it_is_spread_over_bands() -> None:
    features = torch.full((1, 1, MEL.bands, 100), -1.0)
    features[:, :, 0] = 1.0
    features[:, :, 0, 7] = -1.0
    features[:, :, 100, 7] = 1.0 + math.log(2) / 2 / MEL.scale  # another note of twice the power
    torch.testing.assert_close(prominence_db(features, MEL), torch.tensor([10 * math.log10(2)]), rtol=0, atol=1e-3)


@given(st.integers(0, 2**31), st.floats(0, 6), st.sampled_from([16, 160, 640]))
def test_the_limiter_is_a_gain_per_frame_and_does_nothing_the_second_time(seed: int, most: float, frames: int) -> None:
    before, bound = clips(seed, frames), torch.tensor([most, 2.0, 99.0])
    after = limited(before, bound, MEL)
    assert bool((prominence_db(after, MEL) <= bound + 1e-3).all())
    gain = after - before
    torch.testing.assert_close(gain, gain[:, :, :1].expand_as(gain))
    assert bool((gain <= 0).all())
    kept = prominence_db(before, MEL) <= bound
    assert after[kept].equal(before[kept])
    assert kept[2]
    torch.testing.assert_close(limited(after, bound, MEL), after, rtol=0, atol=1e-5)
