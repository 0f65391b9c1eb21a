"""Runs that go on otherwise, noises between seeds, labels that change along a clip, and sources under noise."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from exact import PLACES, PROCESS, noise, sampled
from torch import Tensor

from diffusion import checkpoint
from diffusion.checkpoint import Checkpoint
from diffusion.compose import Composed, compose
from diffusion.conditions import Conditions
from diffusion.edits import Blend, Blended, Relay, Section, Sectioned, Timeline, heard_pulse, shares, start
from diffusion.request import Request
from diffusion.samplers import SAMPLERS
from diffusion.theory import GaussianDenoiser, SeededNoise, Step, early_grid, jump

LABELS = {"style": "chorale", "ensemble": "piano", "beat": "82"}
REQUEST = Request(LABELS, 5, "unipc", 6, duration_s=2.56)


@pytest.fixture(scope="module")
def model(small_checkpoint: Path) -> Checkpoint:
    return checkpoint.load(small_checkpoint)


def features(model: Checkpoint, *requests: Request) -> Tensor:
    *_, composed = compose(model.denoiser, model.configuration, requests)
    assert isinstance(composed, Composed)
    return composed.features


def steps(model: Checkpoint, request: Request) -> list[Tensor]:
    return [each.x for each in compose(model.denoiser, model.configuration, [request]) if isinstance(each, Step)]


def forked(at: int, request: Request = REQUEST, **parent: Any) -> Request:
    return request.changed(edits={**request.edits, "fork": {"at": at, "parent": parent}})


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_fork_that_changes_nothing_is_the_same_clip(model: Checkpoint, sampler: str) -> None:
    request = REQUEST.changed(sampler=sampler)
    assert features(model, forked(3, request, style="chorale", seed=5)).equal(features(model, request))


@pytest.mark.parametrize(
    "parent", [{"style": "fiddle"}, {"sampler": "ddpm"}, {"seed": 9}, {"guidance_scale": 4}, {"steps": 8}]
)
def test_the_steps_before_a_fork_are_those_of_its_parent(model: Checkpoint, parent: dict[str, Any]) -> None:
    child, whole = steps(model, forked(2, **parent)), steps(model, REQUEST.changed(**parent))
    assert all(one.equal(other) for one, other in zip(child[:3], whole[:3], strict=True))
    assert not child[3].equal(whole[3])


def test_the_later_the_fork_the_closer_to_its_parent(model: Checkpoint) -> None:
    request = REQUEST.changed(steps=12)
    whole = features(model, request.changed(ensemble="flute"))
    far = [float((features(model, forked(at, request, ensemble="flute")) - whole).abs().mean()) for at in (1, 7, 11)]
    assert far == sorted(far, reverse=True)
    assert far[-1] > 0


def test_other_noise_from_a_fork_on_leaves_the_law_as_it_is() -> None:
    """x_s is drawn from q(x_s | x_t, x0): the variance of exact data stays, and the sample becomes another one."""
    times = early_grid(PROCESS.schedule, 40)
    other = lambda draw, like: noise(draw + 50, like)  # noqa: E731
    unipc = SAMPLERS["unipc"]
    plain = sampled(PROCESS, 40)
    correlations = []
    for at in (5, 20, 35):
        relay = Relay(unipc, times, at, unipc, PROCESS, {}, other)
        x = noise(0, plain)
        for step in relay.steps(PROCESS, x, times, cond={}, noise=noise):
            x = step.x
        assert float(x.var(0).mean()) == pytest.approx(float(plain.var(0).mean()), rel=0.08)
        correlations.append(float(torch.corrcoef(torch.stack([x.flatten(), plain.flatten()]))[0, 1]))
    assert correlations == sorted(correlations)
    assert correlations[0] < correlations[-1]


def test_all_but_the_noise_stays_that_of_the_parent() -> None:
    child = forked(3, seed=9)
    assert (child.own_seed, child.parent and child.parent.seed) == (9, 9)
    assert child.seed == 5


@pytest.mark.parametrize(
    "parent", [{"duration_s": 5.12}, {"model": "x"}, {"edits": {}}, {"steps": 0}, {"guidance_scale": "a"}]
)
def test_what_no_fork_may_change_is_refused(parent: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(parent))):
        forked(2, **parent)


def test_a_fork_begins_at_a_step_of_its_parent() -> None:
    with pytest.raises(ValueError, match="fork: at: got 6, allowed 0 to 5"):
        forked(6)
    with pytest.raises(ValueError, match="fork: at: got 3, allowed 0 to 2"):
        forked(3, steps=3)


def test_the_corners_of_a_blend_are_the_clips_of_their_seeds(model: Checkpoint) -> None:
    def at(*place: float) -> Tensor:
        seeds = [6] if len(place) == 1 else [6, 7, 8]
        return features(model, REQUEST.changed(edits={"blend": {"seeds": seeds, "place": list(place)}}))

    own = {seed: features(model, REQUEST.changed(seed=seed)) for seed in (5, 6, 7, 8)}
    assert at(0).equal(own[5])
    assert at(1).equal(own[6])
    for place, seed in (((0, 0), 5), ((1, 0), 6), ((0, 1), 7), ((1, 1), 8)):
        assert at(*place).equal(own[seed])
    assert not at(0.5).equal(at(0.6))


def test_blended_noise_is_standard_and_turns_evenly() -> None:
    like = torch.empty(1, 40_000)
    noises = [SeededNoise([1]), SeededNoise([2]), SeededNoise([3]), SeededNoise([4])]
    for place in ([0.3, 0.8], [0.5, 0.5]):
        weights = Blend([2, 3, 4], place).weights
        assert math.hypot(*weights) == pytest.approx(1)
        mixed = Blended(noises, weights)(0, like)
        assert float(mixed.std()) == pytest.approx(1, abs=0.02)
    steps = [Blended(noises[:2], Blend([2], [place]).weights)(0, like) for place in (0, 0.25, 0.5, 0.75, 1)]
    angles = [float(torch.cosine_similarity(a, b)) for a, b in pairwise(steps)]
    assert angles == pytest.approx([math.cos(math.pi / 8)] * 4, abs=0.01)


@pytest.mark.parametrize(
    "blend",
    [
        {"seeds": [1, 2], "place": [0.5]},
        {"seeds": [1], "place": [0.5, 0.5]},
        {"seeds": [1.5], "place": [0.5]},
        {"seeds": [-1], "place": [0.5]},
        {"seeds": [1], "place": [2]},
        {"seeds": [1], "place": ["a"]},
        {"seeds": "1", "place": [0.5]},
    ],
)
def test_other_blends_are_refused(blend: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"edits: blend: (seeds|place): got"):
        REQUEST.changed(edits={"blend": blend})


def test_shares_add_up_to_one_and_cross_at_the_border() -> None:
    found = shares([40, 100], [20, 10], 160)
    assert torch.allclose(found.sum(0), torch.ones(160))
    assert found[0, :30].eq(1).all()
    assert found[1, 50:95].eq(1).all()
    assert found[2, 105:].eq(1).all()
    assert float(found[0, 39] + found[0, 40]) == pytest.approx(1)


def test_a_timeline_follows_each_section_in_its_place() -> None:
    """On exact data of two means: each half gets its own."""
    schedule = PROCESS.schedule
    low, high = (
        GaussianDenoiser(schedule, torch.tensor(mean).double(), torch.tensor(0.01).double()) for mean in (-1.0, 1.0)
    )
    x = sampled(Sectioned([(low, {}), (high, {})], shares([PLACES / 2], [4], PLACES)), 20)
    mean = x.mean(0)
    assert torch.allclose(mean[:13], torch.tensor(-1.0).double(), atol=0.02)
    assert torch.allclose(mean[19:], torch.tensor(1.0).double(), atol=0.02)
    assert bool((mean.diff() > -0.02).all())


def test_sections_have_their_labels_and_the_beat_goes_on_across_borders(model: Checkpoint) -> None:
    sections = [{"from_s": 1.0, "labels": {"beat": "104", "style": "fiddle"}}]
    request = REQUEST.changed(edits={"timeline": {"sections": sections}})
    denoiser, _ = Conditions.of(model.configuration, [request], 160).believing(model.denoiser)
    assert isinstance(denoiser, Sectioned)
    (_, first), (_, second) = denoiser.parts
    assert [each["style"].tolist() for each in (first, second)] == [[1], [2]]
    border = 1.0 * 62.5
    places = [each["pulse"][0, 1] + each["pulse"][0, 0] * border for each in (first, second)]
    assert float(places[0]) == pytest.approx(float(places[1]), abs=1e-5)
    assert first["pulse"][0, 0] != second["pulse"][0, 0]


@pytest.mark.parametrize(
    "sections",
    [
        [],
        "x",
        [{"from_s": 1}],
        [{"from_s": 1, "labels": {"style": 3}}],
        [{"from_s": 1, "labels": {"steps": "3"}}],
        [{"from_s": 0, "labels": {}}],
        [{"from_s": 2, "labels": {}}, {"from_s": 1, "labels": {}}],
        [{"from_s": 3, "labels": {}}],
        [{"from_s": 0.1 * each, "labels": {}} for each in range(1, 9)],
    ],
)
def test_other_timelines_are_refused(sections: Any) -> None:
    with pytest.raises(ValueError, match=r"got"):
        REQUEST.changed(edits={"timeline": {"sections": sections}})
    assert Timeline([Section(1.0, {"style": "fiddle"})]).sections


def test_the_stronger_a_transformation_the_less_stays() -> None:
    source, grid = PROCESS.sample(4096, torch.Generator().manual_seed(0)), early_grid(PROCESS.schedule, 20)
    kept = []
    for strength in (0.2, 0.5, 0.8, 1.0):
        first = torch.tensor([start(strength)], dtype=torch.float64)
        x = jump(source, PROCESS.schedule(first[0]), noise(0, source))
        for step in SAMPLERS["unipc"].steps(PROCESS, x, torch.cat([first, grid[grid < first]]), cond={}, noise=noise):
            x = step.x
        kept.append(float(torch.corrcoef(torch.stack([x.flatten(), source.flatten()]))[0, 1]))
    assert kept == sorted(kept, reverse=True)
    assert kept[0] > 0.9
    assert abs(kept[-1]) < 0.06


def test_the_beat_of_a_source_is_heard_where_it_is_clear() -> None:
    rate, phase = 1 / 25, 0.3
    louder = np.exp(
        -((np.arange(200) + 0.5 + phase / rate) % 25) / 3
    )  # an attack whenever phase + rate frames is whole
    clear = torch.tensor(louder, dtype=torch.float32).expand(1, 16, -1)
    pulse = torch.tensor([[rate, 0.9], [0.0, 0.9]])
    heard = heard_pulse(pulse, clear, None)
    assert float(heard[0, 1]) == pytest.approx(phase, abs=0.05)
    assert heard[1].equal(pulse[1])
    assert heard_pulse(pulse, torch.zeros(1, 16, 200), None).equal(pulse)
