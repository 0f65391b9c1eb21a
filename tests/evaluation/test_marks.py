import pytest
import torch

from diffusion.evaluation.clips import Way
from diffusion.evaluation.distances import Interval
from diffusion.evaluation.marks import Mark, Point, apart, enough, excess, ratio
from diffusion.evaluation.measures import Proportion


@pytest.mark.parametrize(
    ("interval", "at_least", "beyond", "holds", "fails_beyond"),
    [
        ((3, 1, 5), False, False, False, False),
        ((1, 0, 5), False, False, True, False),
        ((3, 2.1, 5), False, False, False, True),
        ((3, 1, 5), False, True, True, False),
        ((3, 2.1, 5), False, True, False, True),
        ((3, 1, 5), True, False, True, False),
        ((1, 0, 5), True, False, False, False),
        ((1, 0, 1.9), True, True, False, True),
        ((2, 2, 2), True, False, True, False),
    ],
)
def test_a_mark_holds_by_its_value_or_its_interval(interval, at_least, beyond, holds, fails_beyond):
    mark = Mark("of 2", Interval(*map(float, interval)), 2, at_least, beyond)
    assert (mark.holds, mark.fails_beyond) == (holds, fails_beyond)


def test_more_near_clips_than_held_out_ones_is_an_excess():
    found = excess(Proportion(56, 70), Proportion(48, 80))
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)  # Newcombe 1998
    assert excess(Proportion(4, 288), Proportion(3, 288)).low < 0
    assert excess(Proportion(30, 288), Proportion(3, 288)).low > 0


def test_ratios_and_distances_are_finite():
    assert ratio(0, 0) == 1
    assert ratio(3, 2) == 1.5
    same, other = torch.ones(5), torch.zeros(5)
    assert apart(same, same) == 0
    assert 1 < ratio(apart(other, same), apart(same, same)) < float("inf")
    assert ratio(apart(other, same), apart(other, same)) == 1


def points(lows: dict[int, float]) -> list[Point]:
    none = Proportion(1, 2)
    return [
        Point(Way("ddim", count), 2, none, none, {}, {}, {}, {"ear": Interval(low + 0.1, low, low + 0.2)})
        for count, low in lows.items()
    ]


def test_a_sampler_breaks_below_the_evaluations_from_which_all_are_good_enough():
    assert enough(points({5: 3.0, 10: 1.5, 20: 1.05, 50: 1.0}), "ear") == 20
    assert enough(points({50: 1.0, 5: 1.0, 20: 1.2, 10: 1.05}), "ear") == 50  # what 10 gains, 20 loses
    assert enough(points({5: 3.0, 50: 1.2}), "ear") is None
    assert enough(points({5: 1.0, 50: 1.0}), "ear") == 5
