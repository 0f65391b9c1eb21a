import pytest
import torch

from diffusion.evaluation.classifier import Judgement
from diffusion.evaluation.measures import accuracy, wilson


def test_the_interval_of_a_proportion():
    assert wilson(5, 10) == pytest.approx((0.23659, 0.76341), abs=1e-5)  # Newcombe 1998's method 3
    assert wilson(0, 10)[0] == 0
    assert wilson(10, 10)[1] == 1
    low, high = wilson(90, 100)
    assert 0.8 < low < 0.9 < high < 0.95
    with pytest.raises(ValueError, match="got 3 of 2"):
        wilson(3, 2)


def test_a_clip_counts_for_its_style_only_if_it_is_heard_as_music():
    style = torch.tensor([0, 0, 1, 1])
    ensemble = torch.tensor([0, 1, 0, 1])
    heard = torch.tensor([[3.0, 1, 0], [2, 1, 3], [0, 1, 0], [3, 1, 0]])  # right, refused, right, wrong
    players = torch.eye(2)[torch.tensor([0, 1, 0, 0])]
    result = accuracy(Judgement(heard, players, torch.zeros(4, 1)), style, ensemble)
    assert (result.style.right, result.style_forced.right, result.none.right, result.ensemble.right) == (2, 3, 1, 3)
    assert [each.value for each in result.style_within] == [1.0, 0.0]
    assert result.style_confusion.tolist() == [[1, 0, 1], [1, 1, 0]]
    assert result.ensemble_confusion.tolist() == [[2, 0], [1, 1]]
    low, high = result.style.interval
    assert low < 0.5 < 0.7 < high  # four clips prove nothing
