"""One way to learn small pictures, for digits, emoji and the pictures of one's own."""

from __future__ import annotations

import re
import threading
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from diffusion.checkpoint import load
from diffusion.data.images import Pictures, digits
from diffusion.denoisers import TimeBlind
from diffusion.lab import colour
from diffusion.lab.digits import NETWORKS, Digits
from diffusion.lab.experiment import Heat, Images
from diffusion.lab.pictures import (
    CHAIN,
    DROPPED,
    LABEL,
    MAP_TIMES,
    SHOWN,
    STEPS,
    Course,
    Kind,
    draw,
    fallen,
    lesson_frames,
    panel,
    read_map,
    teach,
)
from diffusion.samplers import SAMPLERS, evaluations
from diffusion.theory import GRIDS

TINY = Kind("Tiny", "", {"name": "demo-unet", "widths": [8, 16], "time": 8}, steps=60)


@pytest.fixture(scope="module")
def course() -> Course:
    return Course.of(digits())


def test_the_chain_ends_in_noise_and_is_longer_than_any_run() -> None:
    assert CHAIN.warning == ""
    assert CHAIN.chain_steps == STEPS == 300
    assert evaluations(SAMPLERS["ddim"], GRIDS["trailing"], 60) == 60


def test_nobody_is_measured_with_what_was_learned(course: Course) -> None:
    assert (len(course.taught), len(course.others)) == (1198, 599)
    taught, others = (each.pixels.reshape(len(each), -1) for each in (course.taught, course.others))
    assert not (taught[:, None] == others[None]).all(-1).any()


def test_labels_are_dropped_half_of_the_time(course: Course) -> None:
    lesson = course.lesson(TINY, course.configuration(TINY))
    x0, cond = lesson.data(4000, torch.Generator().manual_seed(0))
    assert float((cond[LABEL] == 0).float().mean()) == pytest.approx(DROPPED, abs=0.03)
    assert set(cond[LABEL].tolist()) == set(range(11))
    taught, labels = course.features(course.taught)
    row = torch.cdist(x0[:100].flatten(1), taught.flatten(1)).argmin(1)
    assert bool(((cond[LABEL][:100] == labels[row]) | (cond[LABEL][:100] == 0)).all())


def test_few_pictures_are_the_same_few(course: Course) -> None:
    kind = replace(TINY, taught=3)
    x0, _ = course.lesson(kind, course.configuration(kind)).data(500, torch.Generator().manual_seed(0))
    assert len(x0.unique(dim=0)) == 3


def test_colour_changes_the_network_and_nothing_else() -> None:
    """Module 18a: the same code, another U-Net. What is not the network is how long it learns."""
    grey, coloured = NETWORKS["unet"], colour.NETWORK
    changed = {each.name for each in fields(Kind) if getattr(grey, each.name) != getattr(coloured, each.name)}
    assert changed <= {"network", "summary", "batch", "steps"}
    assert "network" in changed
    one, other = (each().course for each in (Digits, colour.Colour))
    first, then = one.configuration(grey), other.configuration(coloured)
    assert (first.schedule, first.prediction) == (then.schedule, then.prediction)
    assert one.lesson(grey, first).objective == other.lesson(coloured, then).objective


def test_a_network_without_a_clock_is_blind_in_training_and_in_sampling(course: Course) -> None:
    kind = replace(TINY, clock=False)
    denoiser = course.lesson(kind, course.configuration(kind)).denoiser(course.configuration(kind).build())
    assert isinstance(denoiser, TimeBlind)
    x_t = torch.randn(1, 1, 8, 8)
    early, late = (denoiser(x_t, torch.tensor([t], dtype=torch.float64), {}).eps for t in (0.1, 0.9))
    assert torch.equal(early, late)


def test_each_picture_has_its_own_seed_and_a_run_its_own_steps_of_the_chain(course: Course) -> None:
    torch.manual_seed(0)
    configuration = course.configuration(TINY)
    denoiser = configuration.denoiser(configuration.build())
    *_, four = draw(denoiser, SAMPLERS["ddpm"], 5, (1, 8, 8), seed=1, count=4)
    *_, one = draw(denoiser, SAMPLERS["ddpm"], 5, (1, 8, 8), seed=3, count=1)
    torch.testing.assert_close(four.x[2:3], one.x, rtol=1e-3, atol=1e-3)
    times = [step.s for step in draw(denoiser, SAMPLERS["ddpm"], 60, (1, 8, 8), seed=1, count=1)]
    assert times[1:] == pytest.approx([1 - 5 * i / 300 for i in range(1, 61)])


def test_a_training_is_watched_stops_and_is_measured(course: Course) -> None:
    frames = list(lesson_frames(course, TINY, SAMPLERS["ddim"], 0, steps=5, saves=4))
    assert frames[-1].progress == 1
    heat, samples = panel(frames, "map", Heat), panel(frames, "samples", Images)
    assert heat.values.shape == (4, len(MAP_TIMES))
    assert samples.pixels.shape == (SHOWN, 8, 8)
    assert heat.values[-1].mean() < heat.values[0].mean()  # it has learned
    end, ratio = fallen(frames)
    assert ratio.value < 0.9
    assert end.value == pytest.approx(float((10 ** heat.values[-1]).mean()))
    stop = threading.Event()
    stop.set()
    assert len(list(lesson_frames(course, TINY, SAMPLERS["ddim"], 0, stop, steps=5))) == 1
    with pytest.raises(ValueError, match="got none with errors, need those of a whole run"):
        panel(frames, "errors", Heat)


def test_what_is_taught_is_shipped_with_its_map_and_its_card_and_the_same_each_time(
    course: Course, tmp_path: Path
) -> None:
    torch.set_num_threads(1)
    card = teach(course, replace(TINY, steps=20), "tiny", "digits", tmp_path / "a", "digits")
    teach(course, replace(TINY, steps=20), "tiny", "digits", tmp_path / "b", "digits")
    first, again = (load(tmp_path / each / "tiny") for each in "ab")
    assert first.digest == again.digest
    rows = read_map(tmp_path / "a" / "tiny")
    assert list(rows) == list(range(1, 21))
    assert float(re.findall(r"all times: ([0-9.]+)\. ", card)[0]) == pytest.approx(rows[20].mean(), abs=1e-3)
    assert "1198 of digits" in card
    assert (tmp_path / "a" / "tiny" / "README.md").read_text(encoding="utf-8").startswith("# tiny")


def test_pictures_of_any_size_that_a_network_can_halve_are_learned() -> None:
    rng = np.random.default_rng(0)
    for side, channels in ((28, 1), (32, 3)):
        pixels = rng.integers(0, 256, (30, side, side, channels), dtype=np.uint8)
        course = Course.of(Pictures(pixels, np.arange(30) % 10, tuple("0123456789")))
        for name in ("unet", "adaptive", "mlp"):
            kind = replace(NETWORKS[name], steps=2, batch=4)
            frames = list(lesson_frames(course, kind, SAMPLERS["ddim"], 0, steps=2, saves=1))
            shape = panel(frames, "samples", Images).pixels.shape
            assert shape == ((SHOWN, side, side) if channels == 1 else (SHOWN, side, side, 3))
