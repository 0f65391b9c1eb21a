"""What the document reports of its two channels, and each cure, at small size."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from diffusion.denoisers import NetworkDenoiser
from diffusion.lab.channels import (
    CHAIN,
    COSTS,
    STEPS,
    Channels,
    Dialled,
    burst,
    configuration,
    fly,
    lesson,
    meters,
    named,
    notes,
)
from diffusion.lab.experiment import Curve, Frame, Sound
from diffusion.lab.training import learn, shipped
from diffusion.theory import Estimate, Mix, jump


def frames_of(seed: int = 4, **knobs: object) -> list[Frame]:
    experiment = Channels()
    return list(experiment.run(experiment.asked(knobs), seed))


def measured(frames: list[Frame]) -> dict[str, float]:
    return {each.name: each.value for each in Channels().holds(frames)}


@pytest.fixture(scope="module")
def clipped() -> list[Frame]:
    return frames_of(clip="on")


@pytest.fixture(scope="module")
def free() -> list[Frame]:
    return frames_of(clip="off")


def test_beliefs_leave_the_range_without_clipping_and_only_then(clipped: list[Frame], free: list[Frame]) -> None:
    beyond = "Beliefs beyond [-1, 1] at most"
    assert measured(clipped)[beyond] == 0
    assert measured(free)[beyond] > 5


def test_the_first_kl_explodes_as_the_document_counts_it(clipped: list[Frame]) -> None:
    """5e7, 1.3e14 and 5e15 nats a value for v of 0.5, 0.1 and 0; and not where q has a variance that fits."""
    assert [burst(v) for v in (0.5, 0.1, 0.0)] == pytest.approx([5e7, 1.3e14, 5e15], rel=0.1)
    assert burst(1.0) == 0
    first = clipped[-1].panels["first"].values
    assert first["log10 of its KL, q with beta"] > 4
    assert first["log10 of its KL, q with beta-tilde of the next"] < 3


def test_sampling_starts_where_training_never_was(clipped: list[Frame]) -> None:
    assert measured(clipped)["Left of the variance where sampling starts"] == pytest.approx(36.4, abs=0.1)
    begun = {start: frames_of(start=start)[-1] for start in ("noise", "noised")}
    means = {start: frame.panels["magnitude"].values for start, frame in begun.items()}
    true = means["noise"]["mean, notes"]
    assert abs(means["noised"]["mean, samples"] - true) < abs(means["noise"]["mean, samples"] - true)


def test_a_linear_magnitude_is_nearly_all_silence_and_a_logarithmic_one_is_not() -> None:
    spread = {magnitude: float(notes(magnitude)[0][:, 0].std()) for magnitude in ("linear", "logarithmic")}
    below = {magnitude: float((notes(magnitude)[0][:, 0] < -0.9).float().mean()) for magnitude in spread}
    assert below["linear"] > 0.6
    assert below["logarithmic"] < 0.3
    assert spread["logarithmic"] > 1.5 * spread["linear"]


def test_notes_are_seen_and_heard(clipped: list[Frame]) -> None:
    first, last = clipped[0].panels, clipped[-1].panels
    for sound in (first["note"], last["sound"]):
        assert isinstance(sound, Sound)
        assert np.isfinite(sound.wave).all()
        assert 0.01 < np.abs(sound.wave).max() <= 1
    assert len(clipped) == STEPS + 1
    for name in ("magnitudes", "phases"):
        assert isinstance(last[name], Curve)
        assert last[name].y.keys() == {"notes", "samples"}


def test_the_dial_is_the_variance_of_every_step() -> None:
    x, t = torch.randn(2, 2, 64, 64), torch.full((2,), 0.5, dtype=torch.float64)
    belief = Dialled(shipped(named("sum", "linear")).denoiser, 0.25)(x, t, {})
    assert isinstance(belief.variance, Mix)
    assert float(belief.variance.fraction.unique()) == 0.25


@pytest.mark.parametrize("magnitude", ["linear", "logarithmic"])
@pytest.mark.parametrize("cost", COSTS)
def test_every_model_ships_and_knows_its_notes(cost: str, magnitude: str) -> None:
    """Its belief half-way is closer to a note than the mean of all notes is."""
    x0, _ = notes(magnitude)
    t = torch.full((len(x0),), 0.5, dtype=torch.float64)
    eps = torch.randn(x0.shape, generator=torch.Generator().manual_seed(0))
    denoiser = shipped(named(cost, magnitude)).denoiser
    with torch.no_grad():
        belief = denoiser(jump(x0, CHAIN(t), eps), t, {}).x0
    assert float((belief - x0).square().mean()) < 0.7 * float((x0 - x0.mean(0)).square().mean())


@pytest.mark.parametrize("cost", COSTS)
def test_a_training_of_seconds_goes_down(cost: str) -> None:
    made = configuration("linear")
    torch.manual_seed(0)
    plan = replace(lesson(cost, "linear"), steps=40, batch=4)
    losses = [learned.loss for learned in learn(made.build(), plan, seed=0, every=10)]
    assert losses[-1] < losses[0] or cost == "batch-maximum"  # which is always about as large
    assert all(math.isfinite(loss) for loss in losses)


def test_the_kl_meter_has_a_bar_of_every_step_and_none_is_negative() -> None:
    """An exact belief leaves the KL of the variances alone, which at v = 0 is none but in the first step."""
    x0, _ = notes("linear")

    class Knowing:
        schedule = CHAIN

        def __call__(self, x_t, t, cond) -> Estimate:
            belief = Estimate.from_x0(x_t, CHAIN(t), x0[:4])
            return replace(belief, variance=Mix(torch.zeros_like(x_t)))

    curve, _ = meters(Knowing(), x0[:4])
    assert len(curve.y["KL"]) == STEPS
    assert float(np.abs(curve.y["KL"]).max()) < 1e-4


def test_the_claims_fail_on_a_network_that_keeps_to_the_range() -> None:
    """One that believes in silence: nothing leaves [-1, 1], whether it is clipped or not."""

    def silent(x_t, log_snr, cond):
        level = CHAIN.level(log_snr.double()[0])
        eps = (x_t + float(level.alpha)) / float(level.sigma)
        return torch.cat([eps, torch.zeros_like(x_t)], dim=1)

    experiment = Channels()
    knobs = experiment.asked({"clip": "off"})
    found = measured(list(fly(NetworkDenoiser(silent, CHAIN, "eps-mix"), knobs, 4, None)))
    assert found["Beliefs beyond [-1, 1] at most"] < 1
    assert found["Spread of the samples' magnitude, beside the notes'"] < 0.1
