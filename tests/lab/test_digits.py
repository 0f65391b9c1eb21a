"""The claims of the blog post, on the weights that ship; each with a margin, and refused where it is broken."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from diffusion.denoisers import Guided
from diffusion.denoisers.guidance import PLAIN
from diffusion.lab.digits import (
    METHODS,
    NETWORKS,
    REAL,
    SCALES,
    ConditionOnOne,
    Digits,
    Skipping,
    finished,
    guided,
    nearest,
    network,
)
from diffusion.lab.experiment import Bars, Curve, Experiment, Frame, Images, Measured
from diffusion.lab.pictures import LABEL, SHOWN, panel, values
from diffusion.networks import AdaptiveUNet, DemoUNet
from diffusion.samplers import DDIM

DDIM_20 = {"sampler": "ddim", "steps": 20}


def measured(experiment: Experiment, **knobs: object) -> tuple[list[Frame], dict[str, Measured]]:
    frames = list(experiment.run(experiment.asked(knobs), seed=3))
    return frames, {each.name: each for each in experiment.holds(frames)}


def test_the_networks_are_those_of_the_documents() -> None:
    """Démo's U-Net, one with adaptive normalisation, and the same U-Net without a clock and with few pictures."""
    kinds = {name: type(network(name).inner.network if not kind.clock else network(name).network)
             for name, kind in NETWORKS.items()}  # fmt: skip
    assert kinds["unet"] is kinds["no-clock"] is kinds["few"] is DemoUNet
    assert kinds["adaptive"] is AdaptiveUNet
    assert [name for name, kind in NETWORKS.items() if not kind.clock] == ["no-clock"]
    assert [name for name, kind in NETWORKS.items() if kind.taught] == ["few"]


def test_a_u_net_beats_an_mlp_and_few_pictures_are_learned_by_heart() -> None:
    frames, _ = measured(Digits(), **DDIM_20)
    errors, by_heart = values(frames, "errors"), values(frames, "by heart")
    assert errors["MLP"] > 2 * errors["U-Net"]
    assert errors["Few pictures"] > 1.1 * errors["U-Net"]
    assert by_heart["Few pictures"] < 0.8 * by_heart["U-Net"]
    assert 0.9 < by_heart["U-Net"] < 1.2
    distances = values(frames, "distances")
    assert distances["U-Net"] < 1.5 * distances[REAL]
    assert distances["MLP"] > 1.5 * distances["U-Net"]
    assert {name: panel(frames, name, Images).pixels.shape for name in NETWORKS} == dict.fromkeys(
        NETWORKS, (SHOWN, 8, 8)
    )


def test_the_loss_falls_at_all_times_but_most_in_the_noise() -> None:
    """A map of the training that shipped: rows are steps of training, columns times."""
    frames = [next(iter(Digits().run(Digits().asked({}), 3)))]
    curve = panel(frames, "times", Curve)
    first, *_, last = curve.y.values()
    assert bool((last < 0.9 * first).all())
    assert last[0] > 20 * last[-1]
    assert first[-1] / last[-1] > 2 * first[0] / last[0]


@pytest.mark.parametrize("name", ["unet", "adaptive"])
def test_a_classifier_taught_by_other_digits_reads_what_was_asked_for(name: str) -> None:
    """At least 95 % over all ten digits; without guidance fewer, and without labels a tenth."""
    experiment, asked = ConditionOnOne(), network(name)

    def share(scale: float) -> float:
        right = [
            (experiment.reader(finished(guided(asked, scale), DDIM(), 15, 100 * i, 1 + i, count=24)) == i).mean()
            for i in range(10)
        ]
        return float(np.mean(right))

    assert share(3.0) >= 0.95
    assert share(0.0) < 0.3


def test_the_classifier_reads_digits() -> None:
    x0, labels = Digits().course.features(Digits().course.taught)
    assert (Digits().reader(x0) == labels.numpy() - 1).mean() > 0.97


def test_guidance_is_the_textbooks() -> None:
    """eps(none) + s (eps(c) - eps(none)), by the plain rule."""
    inner, x_t = network("unet"), torch.randn(2, 1, 8, 8)
    t, cond = torch.tensor([0.3, 0.8], dtype=torch.float64), {LABEL: torch.tensor([2, 5])}
    told, untold = inner(x_t, t, cond).eps, inner(x_t, t, {LABEL: torch.tensor([0, 0])}).eps
    found = guided(inner, 4.0)
    assert isinstance(found, Guided)
    assert (found.rule, dict(found.negatives)) == (PLAIN, {})
    torch.testing.assert_close(found(x_t, t, cond).eps, untold + 4 * (told - untold), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(guided(inner, 0.0)(x_t, t, cond).eps, untold, atol=1e-4, rtol=1e-4)


def test_conditioning_is_measured_and_guidance_costs_variety() -> None:
    frames, found = measured(ConditionOnOne(), digit=1, guidance=3.0, **DDIM_20)
    assert panel(frames, "scales", Curve).x.tolist() == sorted({*SCALES, 3.0})
    assert found["Digits that a classifier reads as asked"].value >= 90
    assert found["Variety at scale 8 over that at scale 1"].value < 0.95
    captions = panel(frames, "samples", Images).captions
    assert len(captions) == SHOWN
    assert captions.count("1") >= 0.85 * SHOWN


def test_naive_skipping_disappoints() -> None:
    frames, found = measured(Skipping(), steps=60)
    naive = found["Distance to digits of naive skipping over that of DDIM"]
    assert naive.holds
    assert naive.value > 3
    distances = values(frames, "distances")
    assert distances["DDIM"] < 2 * distances[REAL]
    assert set(values(frames, "sixteen")) == {each.title for each in METHODS.values()}


def test_without_skipping_naive_skipping_is_ddpm() -> None:
    """The claim breaks where nothing is skipped: then both are one chain."""
    knobs = Skipping().asked({"steps": 300})
    frames = []
    for frame in Skipping().run(knobs, 3):
        frames.append(frame)
        if frame.t is not None and frame.t < 0.9:
            break
    naive, ddpm = (panel(frames, name, Images).pixels for name in ("naive-skipping", "ddpm"))
    assert np.array_equal(naive, ddpm)


def test_a_claim_is_refused_where_it_does_not_hold() -> None:
    """A U-Net that says nothing is worse than an MLP, and then the number says so."""
    frames, _ = measured(Digits(), steps=5)
    errors = values(frames, "errors")
    broken = replace(frames[-1], panels={**frames[-1].panels,
                     "errors": replace(panel(frames, "errors", Bars), values={**errors, "U-Net": 1.0})})  # fmt: skip
    assert next(each.holds for each in Digits().holds([*frames, broken])) is False
    assert Digits().holds(frames)[0].holds


@pytest.mark.parametrize("experiment", [Digits(), ConditionOnOne(), Skipping()], ids=lambda each: each.name)
def test_the_first_frame_is_the_noise_and_a_stop_ends_the_run(experiment: Experiment) -> None:
    stop = threading.Event()
    run = experiment.run(experiment.asked({}), 3, stop)
    first = next(run)
    assert first.t == 1
    stop.set()
    assert list(run) == []


def test_nearest_is_a_distance() -> None:
    a = torch.zeros(2, 1, 1, 1)
    assert nearest(a, torch.tensor([3.0, -1.0]).reshape(2, 1, 1, 1)) == 1
