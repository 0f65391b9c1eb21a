import math

import numpy as np
import pytest
import torch

from diffusion.audio.mel import MelParameters
from diffusion.evaluation.classifier import Judgement
from diffusion.evaluation.measures import (
    entropy_bits,
    frechet_distance,
    onset_rate,
    pitch_grid,
    principal,
    score,
    wilson,
)

RATE_HZ = 32_000


def test_the_interval_of_a_proportion():
    assert wilson(5, 10) == pytest.approx((0.23659, 0.76341), abs=1e-5)  # Newcombe 1998's method 3
    assert wilson(0, 10)[0] == 0
    assert wilson(10, 10)[1] == 1
    low, high = wilson(90, 100)
    assert 0.8 < low < 0.9 < high < 0.95
    with pytest.raises(ValueError, match="got 3 of 2"):
        wilson(3, 2)


def test_frechet_distance_of_moved_and_stretched_clouds():
    rng = np.random.default_rng(0)
    a = torch.from_numpy(rng.normal(size=(200, 3)) * [1, 2, 3])
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(a, a + torch.tensor([3.0, 0, 4.0])) == pytest.approx(25)
    spread = a.var(0).sum().item()
    assert frechet_distance(a, a.mean(0) + 3 * (a - a.mean(0))) == pytest.approx(4 * spread)  # (3 - 1)² var
    turned = a @ torch.tensor([[0.0, 1, 0], [1, 0, 0], [0, 0, 1]], dtype=torch.float64)
    assert frechet_distance(a, turned) == pytest.approx(frechet_distance(turned, a))
    with pytest.raises(ValueError, match="two clips"):
        frechet_distance(a[:1], a)


def test_principal_directions_hold_the_variance():
    x = torch.randn(100, 5, generator=torch.Generator().manual_seed(0)) * torch.tensor([0.1, 5, 0.1, 3, 0.1])
    base = principal(x, 2)
    torch.testing.assert_close(base.T @ base, torch.eye(2))
    assert (x @ base).var(0).sum() > 0.99 * x.var(0).sum()


def test_onsets_are_counted():
    mel = MelParameters()
    clip = torch.full((1, 1, 128, 625), mel.bounds[0])  # 10 s
    for onset in range(20, 600, 60):
        clip[0, 0, 40:60, onset : onset + 30] = 0.5
    assert onset_rate(clip, mel)[0].item() == pytest.approx(1.0, abs=0.11)
    assert onset_rate(torch.full_like(clip, 0.0), mel)[0].item() == 0


@pytest.mark.parametrize(("semitones", "grid"), [(0, 1), (3, 1), (0.5, -1), (0.25, 0)])
def test_partials_on_and_off_the_grid(semitones, grid):
    time = torch.arange(2 * RATE_HZ) / RATE_HZ
    wave = 0.3 * torch.sin(2 * math.pi * 440 * 2 ** (semitones / 12) * time)[None]
    found, classes = pitch_grid(wave, RATE_HZ)
    assert found[0].item() == pytest.approx(grid, abs=0.15)
    if grid == 1:
        assert classes[0, (9 + semitones) % 12] > 0.95
        assert entropy_bits(classes)[0] < 0.5


def test_noise_is_off_the_grid_and_silence_is_no_pitch():
    noise = 0.1 * torch.randn(1, 4 * RATE_HZ, generator=torch.Generator().manual_seed(0))
    grid, classes = pitch_grid(torch.cat([noise, torch.zeros_like(noise)]), RATE_HZ)
    assert grid.abs().max() < 0.25
    assert entropy_bits(classes).min() > 3.3
    torch.testing.assert_close(classes.sum(1), torch.ones(2, dtype=torch.float64))


def test_a_clip_counts_for_its_style_only_if_it_is_heard_as_music():
    style = torch.tensor([0, 0, 1, 1])
    ensemble = torch.tensor([0, 1, 0, 1])
    heard = torch.tensor([[3.0, 1, 0], [2, 1, 3], [0, 1, 0], [3, 1, 0]])  # right, refused, right, wrong
    players = torch.eye(2)[torch.tensor([0, 1, 0, 0])]
    result = score(Judgement(heard, players, torch.zeros(4, 1)), style, ensemble)
    assert (result.style.right, result.style_forced.right, result.none.right, result.ensemble.right) == (2, 3, 1, 3)
    assert [each.value for each in result.style_within] == [1.0, 0.0]
    assert result.style_confusion.tolist() == [[1, 0, 1], [1, 1, 0]]
    assert result.ensemble_confusion.tolist() == [[2, 0], [1, 1]]
    assert not result.passed
    assert not result.failed  # four clips prove nothing
