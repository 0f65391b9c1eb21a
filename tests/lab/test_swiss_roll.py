"""Exact scores, the networks that ship, and what a training of seconds learns."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch

from diffusion.denoisers import NetworkDenoiser
from diffusion.lab import swiss_roll
from diffusion.lab.experiment import Arrows, Bars, Curve, Frame, Points
from diffusion.lab.swiss_roll import (
    CHAIN,
    KNOTS,
    SPREAD,
    STEPS,
    WAYS,
    SwissRoll,
    alignment,
    bits,
    configuration,
    drawn,
    energy_distance,
    exact,
    fly,
    fresh,
    lesson,
    likeness,
    roll,
)
from diffusion.lab.training import learn, shipped
from diffusion.objectives import SohlDicksteinBound, low_discrepancy
from diffusion.theory import jump

every_way = pytest.mark.parametrize("name", WAYS)


def frames_of(experiment: SwissRoll, seed: int = 5, **knobs: object) -> list[Frame]:
    return list(experiment.run(experiment.asked(knobs), seed))


def test_scikit_learn_and_the_mixture_draw_the_same_points() -> None:
    between = energy_distance(roll(2000, 1), roll(2000, 2))
    assert energy_distance(roll(2000, 3), drawn(2000, 4)) < 1.5 * between


def test_the_exact_score_is_the_slope_of_the_density() -> None:
    """By differences of the log density of the noised mixture."""
    t, truth = torch.tensor([0.3], dtype=torch.float64), exact(CHAIN)
    level = CHAIN(t)
    means, spread = float(level.alpha) * truth.means.double(), float(level.alpha**2) * 0.01 + float(level.sigma**2)

    def log_density(x: torch.Tensor) -> float:
        return float(torch.logsumexp(-((x - means) ** 2).sum(1) / (2 * spread), 0))

    at, width = torch.tensor([[0.7, -0.4]], dtype=torch.float64), 1e-4
    for axis in (0, 1):
        aside = width * torch.eye(2, dtype=torch.float64)[axis]
        slope = (log_density(at + aside) - log_density(at - aside)) / (2 * width)
        assert float(truth(at, t, {}).score(level)[0, axis]) == pytest.approx(slope, rel=1e-4)


@every_way
def test_what_ships_has_the_exact_score_and_its_samples_are_hard_to_tell_from_data(name: str) -> None:
    experiment = SwissRoll()
    frames = frames_of(experiment, objective=name)
    ratio, cosine, _ = experiment.holds(frames)
    assert ratio.value <= 1.5
    assert cosine.value >= 0.95
    assert ratio.holds
    assert cosine.holds


def test_the_claim_is_refused_where_the_score_is_wrong() -> None:
    """The same network a little astray: less than 0.95, and clouds that can be told from data."""

    def astray(x_t: torch.Tensor, log_snr: torch.Tensor, cond: dict) -> torch.Tensor:
        return shipped("roll-ddpm").network(x_t, log_snr, cond) * 0.8 + 0.2

    frames = list(fly(NetworkDenoiser(astray, CHAIN, "eps"), WAYS["ddpm"], 2000, 5, {}, None))
    ratio, cosine, _ = SwissRoll().holds(frames)
    assert ratio.value > 3
    assert not ratio.holds
    assert cosine.value < 0.95
    assert not cosine.holds


def test_the_last_weights_are_no_better_than_the_averaged_ones() -> None:
    x0 = drawn(2000, seed=9)
    found = {end: alignment(shipped(f"roll-ddpm{end}").denoiser, 0.1, x0) for end in ("", "-last")}
    assert found[""] > found["-last"] - 0.01


def test_frames_tell_the_run() -> None:
    frames = frames_of(SwissRoll(), points=150)
    assert len(frames) == 101
    assert (frames[0].t, frames[-1].t) == (1, 0)
    clouds = [frame.panels["cloud"] for frame in frames]
    assert all(isinstance(each, Points) and each.at.shape == (150, 2) for each in clouds)
    assert all(isinstance(frame.panels["arrows"], Arrows) for frame in frames[:-1])
    assert frames_of(SwissRoll(), points=150)[-1].panels["cloud"].at.tobytes() == clouds[-1].at.tobytes()
    losses = frames[0].panels["losses"]
    assert isinstance(losses, Curve)
    assert len(losses.y) == 4
    assert np.isfinite(np.stack(list(losses.y.values()))).all()


@every_way
def test_a_training_of_seconds_learns_most_of_the_noisy_score(name: str) -> None:
    made, x0 = configuration(WAYS[name]), drawn(500, seed=9)
    untrained = alignment(made.denoiser(fresh(made, seed=1)), 0.4, x0)
    plan = replace(lesson(name), steps=200, batch=128)
    *_, learned = learn(fresh(made, seed=1), plan, seed=1, every=100)
    assert alignment(made.denoiser(learned.average), 0.4, x0) > max(0.9, untrained)


def test_training_is_drawn_and_can_be_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    experiment, stop = SwissRoll(), threading.Event()
    run = experiment.train(experiment.asked({"points": 100}), 1, stop)
    first, second = islice(run, 2)
    assert len(second.panels["losses"].x) == 2
    assert second.progress > first.progress
    stop.set()
    rest = list(run)
    assert len(rest) <= 2
    assert isinstance(rest[0].panels["losses"], Curve)


def test_bits_are_counted_as_the_document_does() -> None:
    """The sum of all KLs and the entropies at both ends, less the bits of N(0, 1): the objective's mean over time."""
    denoiser = shipped("roll-kl").denoiser
    curve, parts = bits(denoiser)
    assert isinstance(parts, Bars)
    assert float(np.sum(curve.y["KL"])) == pytest.approx(parts.values["sum of the KLs"], rel=1e-4)
    x0 = drawn(4000, seed=11)
    generator = torch.Generator().manual_seed(0)
    t = low_discrepancy(4000, generator)
    eps = torch.randn(x0.shape, generator=generator)
    with torch.no_grad():
        mean = float(SohlDicksteinBound(100, relative=True)(denoiser, x0, t, eps, {}).mean())
    assert parts.values["bound"] == pytest.approx(mean, abs=0.3)
    _, fixed = bits(exact(CHAIN))
    assert entropy() < parts.values["bound"]
    assert parts.values["bound"] < fixed.values["bound"] < 0  # a learned variance is worth more than exact means


def entropy() -> float:
    """Bits a dimension of the points after the first step, beyond those of N(0, 1)."""
    level, truth = CHAIN(torch.tensor(1 / STEPS, dtype=torch.float64)), exact(CHAIN)
    x0 = drawn(4000, seed=12).double()
    x = jump(x0, level, torch.randn(x0.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64))
    variance = float(level.alpha * SPREAD) ** 2 + float(level.sigma) ** 2
    apart = torch.cdist(x, float(level.alpha) * truth.means.double())
    nats = torch.logsumexp(-apart.square() / (2 * variance), 1) - math.log(KNOTS * 2 * math.pi * variance)
    return -float(nats.mean()) / (2 * math.log(2)) - 0.5 * math.log2(2 * math.pi * math.e)


def test_mirrored_times_make_the_loss_calmer() -> None:
    """Of the simplified loss: the spread of a batch's mean, from batches of one network."""
    from diffusion.objectives import SquaredError, antithetic, uniform

    denoiser, generator = shipped("roll-ddpm").denoiser, torch.Generator().manual_seed(0)

    def spread(times) -> float:
        means = []
        for _ in range(300):
            x0, _ = swiss_roll.draw(64, generator)
            eps = torch.randn(x0.shape, generator=generator)
            with torch.no_grad():
                means.append(float(SquaredError("eps")(denoiser, x0, times(64, generator), eps, {}).mean()))
        return float(np.std(means))

    assert spread(antithetic) < 0.95 * spread(uniform)


def test_likeness_is_one_for_fresh_data() -> None:
    """Of one cloud of 2000 points the ratio has a spread of about a third."""
    assert 0.4 < likeness(roll(2000, 77)) < 1.5
    assert likeness(roll(2000, 77) + 0.1) > 5
