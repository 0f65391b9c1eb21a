"""What the mean of a last step leaves out, proven on Gaussian features, of which the exact mean is known."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from diffusion.corrections.texture import Texture, between_partials
from diffusion.theory import Cosine, Level, jump

LEVEL = Cosine()(torch.tensor(0.12, dtype=torch.float64))
DEVIATION = 0.07
WHITE = Texture(DEVIATION, [1.0], [1.0])


def level(noise: float) -> Level:
    """Of variance preserved, whose noise is so many times the music."""
    alpha = 1 / math.hypot(1, noise)
    return Level(torch.tensor(alpha, dtype=torch.float64), torch.tensor(alpha * noise, dtype=torch.float64))


def gaussian(at: Level, seed: int = 0) -> tuple[Tensor, Tensor]:
    """White features (4, 1, 128, 640) of DEVIATION, and the exact mean of them seen through the noise."""
    x0, eps = torch.randn(2, 4, 1, 128, 640, generator=torch.Generator().manual_seed(seed))
    x0 = DEVIATION * x0
    x_t = jump(x0, at, eps)
    gain = at.alpha * DEVIATION**2 / (at.alpha**2 * DEVIATION**2 + at.sigma**2)
    return x0, (gain * x_t).float()


@pytest.mark.parametrize("noise", [0.02, 0.12, 0.6])
def test_what_a_mean_has_kept_and_what_it_has_left_out_are_the_music(noise: float) -> None:
    x0, mean = gaussian(level(noise))
    left_out = WHITE.left_out(level(noise))
    torch.testing.assert_close((x0 - mean).std(), torch.tensor(left_out), rtol=0.01, atol=0)
    torch.testing.assert_close(mean.var() + left_out**2, x0.var(), rtol=0.01, atol=0)


def test_after_no_noise_nothing_was_left_out_and_after_nothing_but_noise_all() -> None:
    one, zero = torch.tensor(1.0), torch.tensor(0.0)
    assert WHITE.left_out(Level(one, zero)) == 0
    assert WHITE.left_out(Level(zero, one)) == pytest.approx(DEVIATION)
    assert Texture(0.0, [1.0], [1.0]).left_out(Level(one, zero)) == 0


@given(noise=st.floats(0.01, 1.0), deviation=st.floats(0.001, 1.0))
def test_no_more_is_left_out_than_there_is_nor_than_was_hidden(noise: float, deviation: float) -> None:
    left_out = Texture(deviation, [1.0], [1.0]).left_out(level(noise))
    assert 0 < left_out <= min(noise, deviation) * (1 + 1e-9)


@pytest.mark.parametrize("noise", [0.05, 0.12])
def test_white_music_is_measured_as_white(noise: float) -> None:
    x0, mean = gaussian(level(noise))
    found = Texture.measured(mean, x0, level(noise))
    assert found is not None
    assert found.deviation == pytest.approx(DEVIATION, rel=0.01)
    assert (found.frames[0], found.bands[0]) == (1, 1)
    assert max(map(abs, (*found.frames[1:], *found.bands[1:]))) < 0.02


def comb() -> Tensor:
    """A partial at every eighth band, and nothing between: (16, 1, 128, 640)."""
    features = torch.zeros(16, 1, 128, 640)
    features[:, :, ::8] = 0.5
    return features


def drawn_on(features: Tensor, texture: Texture) -> Tensor:
    """What is added of a texture, in multiples of what was left out."""
    return (texture.added(features, LEVEL, range(len(features))) - features) / texture.left_out(LEVEL)


def test_what_is_drawn_varies_as_was_asked_for() -> None:
    """Apart from partials neighbours vary together as much as the texture says, in time and across bands."""
    frames, bands = [0.5**lag for lag in range(12)], [1.0, 0.3, 0.1, *[0.05] * 20]
    drawn = drawn_on(comb(), Texture(DEVIATION, frames, bands))
    apart = [band for band in range(120) if 2 <= band % 8 <= 6]
    later = [(drawn[:, :, apart, : 640 - lag] * drawn[:, :, apart, lag:]).mean() for lag in range(12)]
    torch.testing.assert_close(torch.stack(later), torch.tensor(frames), rtol=0, atol=0.02)
    for lag in range(23):
        low = [band for band in apart if band + lag in apart]
        if low:
            higher = (drawn[:, :, low] * drawn[:, :, [band + lag for band in low]]).mean()
            assert higher == pytest.approx(bands[lag], abs=0.03)


def test_beside_a_partial_only_what_neighbours_share_is_drawn() -> None:
    """Of white noise that is the mean of nine bands; on the other side of the partial seven of them are the same."""
    drawn = drawn_on(comb(), WHITE)
    below, above = drawn[:, :, 15:120:8], drawn[:, :, 17:122:8]
    for variance in (below.square().mean(), above.square().mean()):
        assert variance == pytest.approx(1 / 9, rel=0.03)
    assert (below * above).mean() == pytest.approx(7 / 81, rel=0.03)


def test_partials_stay_as_they_are() -> None:
    features = torch.randn(2, 1, 128, 64, generator=torch.Generator().manual_seed(0))
    between = between_partials(features) > 0
    assert 0.3 < between.float().mean() < 0.7
    added = WHITE.added(features, LEVEL, [1, 2])
    assert added[~between].equal(features[~between])
    assert (added[between] != features[between]).float().mean() > 0.99


def test_a_clip_has_its_own_texture_alone_or_in_company() -> None:
    features = torch.zeros(2, 1, 128, 32)
    features[:, :, ::2] = 1
    texture = Texture(DEVIATION, [1.0, 0.4, 0.1], [1.0, 0.2])
    both = texture.added(features, LEVEL, [7, 8])
    torch.testing.assert_close(texture.added(features[1:], LEVEL, [8]), both[1:])
    assert not both[0].equal(both[1])


def nothing(x0: Tensor) -> Tensor:
    return x0


def far_off(x0: Tensor) -> Tensor:
    return x0 + torch.randn_like(x0)


def broken(x0: Tensor) -> Tensor:
    return torch.full_like(x0, math.nan)


@pytest.mark.parametrize("believe", [nothing, far_off, broken])
def test_who_leaves_out_nothing_or_knows_nothing_has_no_texture(believe: Callable[[Tensor], Tensor]) -> None:
    x0 = torch.randn(2, 1, 128, 64, generator=torch.Generator().manual_seed(0))
    assert Texture.measured(believe(x0), x0, LEVEL) is None
