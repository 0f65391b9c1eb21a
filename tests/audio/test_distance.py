import math

import pytest
import torch

from diffusion.audio.distance import RESOLUTIONS, log_mel, mel_distance

RATE = 32_000


def noise(seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(2, RATE // 2, generator=torch.Generator().manual_seed(seed))


def test_equal_waves_have_no_distance_and_it_is_symmetric():
    one, other = noise(0), noise(1)
    assert torch.equal(mel_distance(one, one), torch.zeros(2))
    assert (mel_distance(one, other) > 0.1).all()
    torch.testing.assert_close(mel_distance(one, other), mel_distance(other, one))


def test_a_gain_is_as_far_as_its_logarithm():
    wave = noise()
    torch.testing.assert_close(mel_distance(2 * wave, wave), torch.full((2,), math.log(2)), atol=1e-3, rtol=0)
    torch.testing.assert_close(mel_distance(-wave, wave), torch.zeros(2), atol=1e-6, rtol=0)


def test_it_hears_time_and_pitch():
    t = torch.arange(RATE // 2) / RATE
    wave = (0.3 * torch.sin(2 * math.pi * 440 * t) * (t % 0.1 < 0.02))[None]
    near = mel_distance(wave.roll(32, 1), wave)  # a millisecond late
    assert near < 0.5 * mel_distance(wave.roll(800, 1), wave)
    semitone = (0.3 * torch.sin(2 * math.pi * 466.2 * t) * (t % 0.1 < 0.02))[None]
    assert near < 0.7 * mel_distance(semitone, wave)


def test_what_lies_below_the_floor_does_not_count():
    assert mel_distance(1e-9 * noise(0), 1e-9 * noise(1)).max() == 0


def test_every_resolution_has_its_bands():
    for fft_size, bands in RESOLUTIONS:
        assert log_mel(noise(), RATE, fft_size, bands).shape == (2, bands, RATE // 2 // (fft_size // 4))


@pytest.mark.parametrize("shapes", [((1, 4096), (1, 4097)), ((4096,), (4096,)), ((1, 1, 4096), (1, 1, 4096))])
def test_other_shapes_are_refused(shapes):
    with pytest.raises(ValueError, match=r"one shape \(B, N\), got"):
        mel_distance(torch.zeros(shapes[0]), torch.zeros(shapes[1]))
