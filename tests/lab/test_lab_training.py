"""A small training: any objective, averaged weights, watched and stopped, the same each time."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from diffusion import checkpoint
from diffusion.denoisers import NetworkDenoiser
from diffusion.lab.swiss_roll import CHAIN, WAYS, configuration, fresh
from diffusion.lab.training import Lesson, learn, ship
from diffusion.objectives import SquaredError, antithetic

WIDTH = 3.0


class Gain(nn.Module):
    """One number: the network's output is x_t times it."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.zeros(1))

    def forward(self, x_t, log_snr, cond):
        return self.gain * x_t


def gaussian(batch: int, generator: torch.Generator):
    return WIDTH * torch.randn(batch, 1, generator=generator), {}


def one_time(batch: int, generator: torch.Generator) -> torch.Tensor:
    return torch.full((batch,), 0.5, dtype=torch.float64)


LESSON = Lesson(
    gaussian, SquaredError("eps"), lambda network: NetworkDenoiser(network, CHAIN, "eps"), 600, 64, one_time, lr=0.02
)


def test_it_finds_the_minimiser() -> None:
    """Of all gains the best is sigma / (alpha² V + sigma²)."""
    level = CHAIN(torch.tensor(0.5))
    best = float(level.sigma / (level.alpha**2 * WIDTH**2 + level.sigma**2))
    *_, learned = learn(Gain(), LESSON, seed=1)
    assert float(learned.average.gain) == pytest.approx(best, abs=0.02)


def test_averaged_weights_are_calmer_than_the_last_ones() -> None:
    noisy = replace(LESSON, lr=0.2, batch=4, ema_decay=0.98)
    reports = list(learn(Gain(), noisy, seed=1, every=10))
    assert len(reports) == 60
    trail = [(float(each.network.gain), float(each.average.gain)) for each in _snapshots(noisy)][20:]
    last, average = torch.tensor(trail).std(0)
    assert average < 0.5 * last


def _snapshots(lesson: Lesson):
    """Each report before the next step changes its weights."""
    yield from learn(Gain(), lesson, seed=1, every=10)


def test_without_averaging_both_are_the_last_weights() -> None:
    for learned in learn(Gain(), replace(LESSON, ema_decay=0.0, steps=20), seed=1, every=5):
        assert learned.network.gain.equal(learned.average.gain)


def test_a_seed_gives_the_same_weights() -> None:
    plan = replace(LESSON, steps=30, times=antithetic)
    first, again, other = (list(learn(Gain(), plan, seed))[-1].average.gain for seed in (1, 1, 2))
    assert first.equal(again)
    assert not first.equal(other)


def test_setting_stop_ends_it_after_the_step_at_hand() -> None:
    stop = threading.Event()
    steps = []
    for learned in learn(Gain(), LESSON, seed=1, stop=stop, every=10):
        steps.append(learned.step)
        if learned.step == 20:
            stop.set()
    assert steps == [10, 20, 21]


def test_a_loss_that_is_no_number_ends_it() -> None:
    def broken(denoiser, x0, t, eps, cond):
        return denoiser(x0, t, cond).eps.sum(1) * torch.nan

    with pytest.raises(FloatingPointError, match="loss: got nan at step 10"):
        list(learn(Gain(), replace(LESSON, objective=broken), seed=1, every=10))


def test_wrong_plans_are_refused() -> None:
    with pytest.raises(ValueError, match="steps: got 0, need a positive number"):
        replace(LESSON, steps=0)


def test_what_is_shipped_is_a_checkpoint_with_a_card(tmp_path: Path) -> None:
    made = configuration(WAYS["ddpm"])
    network = fresh(made, seed=1)
    ship(tmp_path / "roll", made, network, "# roll\n\nPoints.\n")
    loaded = checkpoint.load(tmp_path / "roll")
    assert loaded.configuration == made
    assert (tmp_path / "roll" / "README.md").read_text(encoding="utf-8") == "# roll\n\nPoints.\n"
    for name, weights in loaded.network.state_dict().items():
        torch.testing.assert_close(weights, network.state_dict()[name], rtol=1e-3, atol=1e-4)
