"""The composer: one run beside another, ended early, and against a loop that is written out by hand."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import torch
from torch import Tensor

from diffusion import checkpoint
from diffusion.checkpoint import Checkpoint
from diffusion.compose import Composed, compose
from diffusion.conditions import Conditions
from diffusion.denoisers import GUIDANCE_RULES, Constrained, Guided, Interval
from diffusion.request import Request
from diffusion.samplers import DDPM, SAMPLERS
from diffusion.settings import PRESETS
from diffusion.theory import (
    GRIDS,
    Cond,
    Denoiser,
    Estimate,
    Schedule,
    SeededNoise,
    Spread,
    Step,
    broadcast,
    linear_betas_grid,
)

LABELS = {"style": "chorale", "ensemble": "piano", "beat": "82"}
REQUEST = Request(LABELS, 5, "ddpm", 4, duration_s=2.56)


@pytest.fixture(scope="module")
def model(small_checkpoint: Path) -> Checkpoint:
    return checkpoint.load(small_checkpoint)


def features(model: Checkpoint, requests: list[Request], **options: Any) -> Tensor:
    *_, composed = compose(model.denoiser, model.configuration, requests, **options)
    assert isinstance(composed, Composed)
    return composed.features


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_it_is_the_loop_that_one_would_write_by_hand(model: Checkpoint, sampler: str) -> None:
    """Noise by seed, guidance towards the style from a log-SNR on, beliefs within the bounds, the sampler's steps."""
    requests = [REQUEST.changed(sampler=sampler), REQUEST.changed(sampler=sampler, seed=6, style="any")]
    scales = {
        "style": torch.tensor([1.8, 1.0], dtype=torch.float64),
        "ensemble": torch.tensor([1.0, 1.8], dtype=torch.float64),
    }
    guided = Guided(model.denoiser, scales, GUIDANCE_RULES["moving"], also=("pulse",))
    interval = Interval(guided, model.denoiser, (-4.5, math.inf))
    bounds = model.configuration.features.bounds
    denoiser = Constrained(interval, lambda x0: x0.clamp(*bounds))
    cond = Conditions.of(model.configuration, requests, 160).cond()
    noise = SeededNoise([5, 6])
    x = noise(0, torch.empty(2, 1, 128, 160))
    for step in SAMPLERS[sampler].steps(denoiser, x, GRIDS["leap"](denoiser.schedule, 4), cond=cond, noise=noise):
        x = step.x
    assert features(model, requests).equal(x)


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_the_preset_2020_is_ddpm_as_its_paper_has_it(model: Checkpoint, scale: float) -> None:
    """Linear betas, their variance, guidance against no label from the first step to the last, and nothing else."""
    request = REQUEST.changed(**{"knobs": {}, "guidance_scale": scale, **PRESETS["2020"]})
    assert (request.method, request.steps) == (DDPM("beta"), 1000)
    guided = Guided(model.denoiser, {"style": torch.tensor(scale, dtype=torch.float64)}, also=("pulse",))
    cond, noise = Conditions.of(model.configuration, [request], 4).cond(), SeededNoise([5])
    x = noise(0, torch.empty(1, 1, 128, 4))
    for step in DDPM("beta").steps(guided, x, linear_betas_grid(guided.schedule, 1000), cond=cond, noise=noise):
        x = step.x
    assert features(model, [request], frames=4).equal(x)


def test_what_the_network_is_told(model: Checkpoint) -> None:
    cond = Conditions.of(model.configuration, [REQUEST, REQUEST.changed(style="any", key="F#", seed=6)], 160).cond()
    told = {name: each.tolist() for name, each in cond.items() if name != "pulse"}
    assert told == {"style": [1, 0], "ensemble": [1, 1], "mode": [0, 0], "tempo": [0, 0], "key": [0, 7], "beat": [2, 2]}
    rates, phases = cond["pulse"].T
    assert rates.tolist() == pytest.approx([82 / 60 / model.configuration.features.frames_per_s] * 2)  # type: ignore[attr-defined]
    assert phases[0] != phases[1]


def test_two_interleaved_runs_equal_two_separate_ones(model: Checkpoint) -> None:
    requests = [REQUEST.changed(steps=6), REQUEST.changed(sampler="dpmpp-2m", seed=9, style="fiddle")]
    apart = [features(model, [each]) for each in requests]
    runs = [compose(model.denoiser, model.configuration, [each]) for each in requests]
    ends: list[Composed | None] = [None, None]
    for pair in zip_longest(*runs):
        ends = [new if isinstance(new, Composed) else old for new, old in zip(pair, ends, strict=True)]
    for end, alone in zip(ends, apart, strict=True):
        assert end is not None
        assert end.features.equal(alone)


def test_a_run_that_is_closed_early_leaves_nothing_behind(model: Checkpoint) -> None:
    before, random = features(model, [REQUEST]), torch.random.get_rng_state()
    run = compose(model.denoiser, model.configuration, [REQUEST])
    for _ in range(3):
        next(run)
    run.close()  # type: ignore[attr-defined]
    assert torch.is_grad_enabled()
    assert torch.random.get_rng_state().equal(random)
    assert features(model, [REQUEST]).equal(before)


def test_a_stopped_run_says_where_and_is_the_last_belief(model: Checkpoint) -> None:
    stop, steps = Event(), []
    for each in compose(model.denoiser, model.configuration, [REQUEST.changed(steps=50)], stop=stop):
        if isinstance(each, Step):
            steps.append(each)
            if each.index == 3:
                stop.set()
        else:
            composed = each
    assert (composed.stopped_at, composed.evaluations, len(steps)) == (3, 3, 4)
    assert composed.features.equal(steps[-1].x0)


@pytest.mark.parametrize(
    "other", [{"sampler": "ddim"}, {"steps": 5}, {"grid": "karras"}, {"guidance_rule": "plain"}, {"duration_s": 5.12}]
)
def test_requests_that_share_no_batch_are_refused_at_once(model: Checkpoint, other: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"requests: got .*need at least one, and one value of .*{next(iter(other))}"):
        compose(model.denoiser, model.configuration, [REQUEST, REQUEST.changed(**other)])
    with pytest.raises(ValueError, match="need at least one"):
        compose(model.denoiser, model.configuration, [])


def test_frames_overrule_the_duration(model: Checkpoint) -> None:
    assert features(model, [REQUEST], frames=32).shape == (1, 1, 128, 32)
    assert features(model, [REQUEST.changed(duration_s=None, steps=1)]).shape == (1, 1, 128, model.configuration.frames)


@dataclass(frozen=True)
class Unsure:
    """A denoiser with a standard deviation of x0: the time at which it is asked."""

    inner: Denoiser

    @property
    def schedule(self) -> Schedule:
        return self.inner.schedule

    def __call__(self, x_t: Tensor, t: Tensor, cond: Cond) -> Estimate:
        spread = Spread(broadcast(2 * t.log(), x_t).expand_as(x_t))
        return replace(self.inner(x_t, t, cond), variance=spread)


def test_how_unsure_the_last_belief_is_comes_along(model: Checkpoint) -> None:
    request = REQUEST.changed(sampler="ddim")
    *_, composed = compose(Unsure(model.denoiser), model.configuration, [request])
    assert isinstance(composed, Composed)
    assert composed.deviation is not None
    last = GRIDS["leap"](model.denoiser.schedule, 4)[-2]
    torch.testing.assert_close(composed.deviation, torch.full_like(composed.features, float(last)))
    *_, composed = compose(model.denoiser, model.configuration, [request])
    assert isinstance(composed, Composed)
    assert composed.deviation is None
