"""A loop's seam is a place like any other."""

from __future__ import annotations

import pytest
import torch
from exact import COVARIANCE, PROCESS, sampled
from torch import Tensor

from diffusion.edits import Rolled, whole_beats
from diffusion.edits.loop import roll_of
from diffusion.theory import Cond, Cosine, Estimate, Spread


def steps(x: Tensor) -> Tensor:
    """The mean squared difference (PLACES,) to the place before, round the seam, over that of the process."""
    return (x - x.roll(1, -1)).square().mean(0) / (2 * (COVARIANCE[0, 0] - COVARIANCE[0, 1]))


def test_the_seam_of_a_rolled_process_is_as_its_other_places() -> None:
    found, plain = steps(sampled(Rolled(PROCESS), 20)), steps(sampled(PROCESS, 20))
    assert plain[0] > 2  # as it is, the ends know nothing of each other
    assert found[1:].min() <= found[0] <= found[1:].max()
    assert float(found.mean()) == pytest.approx(float(plain[1:].mean()), rel=0.15)


def test_samples_stay_stationary() -> None:
    x = sampled(Rolled(PROCESS), 20)
    variance = x.var(0)
    assert float(variance.max() / variance.min()) < 1.25
    assert x.mean(0).sub(0.5).abs().max() < 0.1


def test_rolling_is_undone_and_the_pulse_goes_with_it() -> None:
    told: list[Cond] = []

    class Believer:
        schedule = Cosine()

        def __call__(self, x_t: Tensor, t: Tensor, cond: Cond) -> Estimate:
            told.append(cond)
            return Estimate(x_t, 2 * x_t, Spread(3 * x_t))

    x, t = torch.arange(16.0).reshape(1, 1, 2, 8), torch.tensor([0.3])
    pulse = torch.tensor([[0.25, 0.5]])
    belief = Rolled(Believer())(x, t, {"pulse": pulse})
    assert isinstance(belief.variance, Spread)
    assert belief.x0.equal(x)
    assert belief.eps.equal(2 * x)
    assert belief.variance.log_variance.equal(3 * x)
    assert told[0]["pulse"].tolist() == [[0.25, 0.5 + 0.25 * roll_of(0.3, 8)]]


def test_every_place_comes_to_the_ends() -> None:
    rolls = sorted(roll_of(float(t), 640) for t in torch.linspace(0, 1, 21, dtype=torch.float64)[1:])
    gaps = [later - earlier for earlier, later in zip(rolls, [*rolls[1:], rolls[0] + 640], strict=True)]
    assert max(gaps) < 640 / 5


def test_a_loop_has_whole_beats() -> None:
    rates = torch.tensor([0.0, 0.0213, 0.0001])
    assert (whole_beats(rates, 640) * 640).tolist() == pytest.approx([0, 14, 1])
