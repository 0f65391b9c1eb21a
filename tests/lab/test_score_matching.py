"""The two clean forms learn the exact score, and Langevin dynamics does what the document says and no more."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from diffusion.lab.experiment import Frame, Points
from diffusion.lab.score_matching import FORMS, LEVEL, SIGMA, TIME, ScoreMatching, UniformNoise, cosine
from diffusion.lab.swiss_roll import drawn
from diffusion.lab.training import shipped
from diffusion.theory import SeededNoise


def frames_of(seed: int = 2, **knobs: object) -> list[Frame]:
    experiment = ScoreMatching()
    return list(experiment.run(experiment.asked(knobs), seed))


def walkers(frame: Frame) -> np.ndarray:
    cloud = frame.panels["cloud"]
    assert isinstance(cloud, Points)
    return cloud.at


def measured(frames: list[Frame]) -> dict[str, float]:
    return {each.name: each.value for each in ScoreMatching().holds(frames)}


def test_the_level_is_x_plus_sigma_z() -> None:
    level = LEVEL(torch.tensor(TIME))
    assert (float(level.alpha), float(level.sigma)) == pytest.approx((1, SIGMA))


@pytest.mark.parametrize("name", FORMS)
def test_what_ships_has_the_exact_score(name: str) -> None:
    assert cosine(shipped(f"score-{name}").denoiser, FORMS[name]) >= 0.95
    assert cosine(FORMS[name].truth, FORMS[name]) == pytest.approx(1)


def test_the_clean_form_has_the_steeper_score() -> None:
    """The score of the data is not that of x + sigma z: across the curve it is as much steeper as it is less wide."""
    at, times = drawn(500, seed=3), torch.full((500,), TIME, dtype=torch.float64)
    clean, noised = (float(FORMS[name].truth(at, times, {}).eps.norm()) for name in ("sliced", "denoising"))
    assert clean > 1.5 * noised


def test_walkers_climb_to_the_data_and_stop_on_their_way() -> None:
    frames = frames_of(objective="exact", x=0.4, y=0.2)
    assert len(frames) == 101
    assert np.ptp(walkers(frames[0]), axis=0).max() == 0
    found = measured(frames)
    assert found["Share of the walkers on the roll at the end"] > 0.9
    assert found["Distance to fresh data; between two fresh sets it is 1"] > 10
    assert all(each.holds is not False for each in ScoreMatching().holds(frames))


def test_where_a_walker_begins_decides_where_it_ends() -> None:
    ends = {x: walkers(frames_of(objective="exact", x=x)[-1]).mean(0) for x in (-1.5, 1.5)}
    assert ends[1.5][0] - ends[-1.5][0] > 1


def test_without_decay_walkers_spread_along_the_roll() -> None:
    spread = {decay: walkers(frames_of(objective="exact", decay=decay, step=0.02)[-1]).std() for decay in (0.8, 1.0)}
    assert spread[1.0] > 1.5 * spread[0.8]


def test_uniform_noise_drifts_up_and_to_the_right() -> None:
    away = {noise: measured(frames_of(objective="exact", step=0.002, noise=noise)) for noise in ("normal", "uniform")}
    for way in ("Mean way to the right", "Mean way up"):
        assert away["uniform"][way] > away["normal"][way] + 0.1


def test_uniform_noise_is_uniform() -> None:
    draws = UniformNoise(SeededNoise([1]))(1, torch.empty(1, 50_000))
    assert 0 <= float(draws.min()) < float(draws.max()) <= 1
    assert float(draws.mean()) == pytest.approx(0.5, abs=0.01)
    assert float(draws.std()) == pytest.approx(12**-0.5, abs=0.01)


def test_the_document_step_is_allowed_and_longer_ones_are_refused_by_name() -> None:
    """Esling's 1e-3, which is a tenth of sigma² here and ten of his own."""
    assert len(frames_of(objective="exact", step=1e-3, decay=0.9)) == 101
    with pytest.raises(ValueError, match=r"step: got 1, allowed 0.0001 to 0.05"):
        frames_of(step=1)


def test_the_exact_score_is_not_trained() -> None:
    experiment = ScoreMatching()
    with pytest.raises(ValueError, match="objective: got 'exact', which is not learned"):
        next(experiment.train(experiment.asked({"objective": "exact"}), 1))
