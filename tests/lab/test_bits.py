"""The bound is above the entropy that is known, and an exact chain comes down to it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from diffusion.lab.bits import BINS, REACH, Bits, binned, entropy_bits
from diffusion.lab.experiment import Bars
from diffusion.lab.swiss_roll import CHAIN, drawn


def bound(**knobs: object) -> tuple[float, dict[str, float]]:
    experiment = Bits()
    frames = list(experiment.run(experiment.asked(knobs), seed=1))
    whole, terms = frames[-1].panels["sum"], frames[-1].panels["terms"]
    assert isinstance(whole, Bars)
    assert isinstance(terms, Bars)
    assert whole.values["bound so far"] == pytest.approx(sum(terms.values.values()))
    assert all(each.holds is not False for each in experiment.holds(frames))
    return whole.values["bound so far"], dict(terms.values)


def test_the_entropy_is_that_of_the_drawn_points() -> None:
    """Against counts of a coarser lattice, whose bins hold 8 x 8 of the fine ones: three bits less a dimension."""
    points = drawn(400_000, seed=2).clamp(*REACH).numpy()
    edges = np.linspace(*REACH, BINS // 8 + 1)
    counts, _, _ = np.histogram2d(*points.T, bins=[edges, edges])
    p = counts[counts > 0] / counts.sum()
    assert entropy_bits() - 3 == pytest.approx(-(p * np.log2(p)).sum() / 2, abs=0.06)


def test_an_exact_chain_comes_down_to_the_entropy_with_more_steps() -> None:
    gaps = {steps: bound(steps=steps)[0] - entropy_bits() for steps in (5, 20, 100)}
    assert 0 < gaps[100] < 0.25
    assert gaps[100] < gaps[20] < gaps[5]


def test_every_step_has_its_bar_and_so_have_start_and_decoder() -> None:
    _, terms = bound(steps=10)
    assert list(terms) == ["start", *map(str, range(10, 1, -1)), "decoder"]
    assert min(terms.values()) > -1e-9
    assert terms["start"] < 1e-3


@pytest.mark.parametrize("subject", ["ddpm", "kl"])
def test_learned_chains_cost_more_than_the_exact_one_and_not_much_more(subject: str) -> None:
    exact, _ = bound(steps=100)
    learned, terms = bound(subject=subject, steps=100)
    assert entropy_bits() < learned < exact + 0.5
    assert len(terms) == CHAIN.steps + 1


def test_a_digit_costs_less_than_its_pixels() -> None:
    """Sixty-four pixels of 17 shades are 4.1 bits each before anything is known of them."""
    experiment = Bits()
    frames = list(experiment.run(experiment.asked({"subject": "digits", "steps": 50}), seed=1))
    found = frames[-1].panels["sum"]
    assert isinstance(found, Bars)
    assert 0.5 < found.values["bound so far"] < np.log2(17)
    assert "entropy" not in found.values


def test_values_in_bins_stay_where_they_are() -> None:
    x = torch.linspace(-3, 3, 1001)
    cut = binned(x, 256, (-2.0, 2.0))
    assert len(cut.unique()) == 256
    assert float((cut - x.clamp(-2, 2)).abs().max()) <= 2 / 255 + 1e-6
    torch.testing.assert_close(binned(cut, 256, (-2.0, 2.0)), cut)
