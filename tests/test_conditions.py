"""What a batch of requests means for one model: what the network is told, how beliefs are guided and corrected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from diffusion.audio.mel import MelParameters
from diffusion.checkpoint import Configuration
from diffusion.conditions import Conditions, told
from diffusion.corrections import CORRECTIONS, ENDINGS, LEAST_S, RELEASE_S, prominence_db
from diffusion.request import Request
from diffusion.theory import Cond, Cosine, Estimate

CONFIGURATION = Configuration(
    network={"name": "frame-transformer", "outputs": 2, "width": 32, "depth": 1, "heads": 2, "hidden": 32},
    schedule={"name": "cosine", "shift": -0.5},
    prediction="moments",
    labels={"style": ["a", "b"]},
    frames=32,
)
MEL = MelParameters()
UNGUIDED = {"guidance_scale": 1.0, "guidance_rule": "plain", "guidance_from": -15.0}


class Believer:
    """Believes in x0, or in a tenth of the style, and notes what it is told."""

    schedule = Cosine()

    def __init__(self, x0: Tensor | None = None) -> None:
        self.x0 = x0
        self.told: list[Cond] = []

    def __call__(self, x_t: Tensor, t: Tensor, cond: Cond) -> Estimate:
        self.told.append(cond)
        x0 = 0.1 * cond["style"].to(x_t).reshape(-1, 1, 1, 1).expand_as(x_t) if self.x0 is None else self.x0
        return Estimate.from_x0(x_t, self.schedule(t), x0)


def conditions(
    configuration: Configuration,
    labels: Sequence[Mapping[str, str]],
    seeds: Sequence[int],
    frames: int = 32,
    corrections: Sequence[str] = tuple(CORRECTIONS),
    **settings: Any,
) -> Conditions:
    requests = [Request(each, seed, **{**UNGUIDED, **settings}) for each, seed in zip(labels, seeds, strict=True)]
    return Conditions.of(configuration, requests, frames, corrections)


def test_beliefs_are_kept_low_where_music_ends_and_the_network_is_not_told() -> None:
    ending = replace(CONFIGURATION, labels={**CONFIGURATION.labels, "ending": list(ENDINGS)})
    assert ending.build().state_dict().keys() == CONFIGURATION.build().state_dict().keys()
    assert "ending" not in told(ending, [{"ending": each} for each in (0, 1, 2, 2)], range(4))
    goes_on, ends = {"ending": "goes_on"}, {"ending": "ends"}
    assert conditions(ending, [{}, goes_on], [5, 6], 640).ceiling is None
    assert conditions(CONFIGURATION, [{}], [7], 640).ceiling is None
    some = conditions(ending, [{}, goes_on, ends, ends], [5, 6, 7, 8], 640)
    high = some.ceiling
    assert high is not None
    assert high[:2].eq(MEL.bounds[1]).all()
    starts = (high[2:] < MEL.bounds[1]).flatten(1).int().argmax(1) / MEL.frames_per_s
    assert starts[0] != starts[1]
    assert bool(((starts >= 10.24 - RELEASE_S) & (starts <= 10.24 - LEAST_S)).all())
    alone = conditions(ending, [ends], [7], 640).ceiling
    assert alone is not None
    assert alone.equal(high[2:3])  # the seed alone says where
    everywhere = torch.full((4, 1, MEL.bands, 640), 99.0)
    assert some.kept(everywhere).equal(high.expand_as(everywhere))
    assert some.kept(-everywhere).eq(MEL.bounds[0]).all()


def test_the_loudest_moments_stand_out_as_in_the_training_music() -> None:
    steps = [1.0, 2.0, 4.0]
    some = replace(CONFIGURATION, labels={"ensemble": ["a", "b"]}, prominences={"any": [3.0], "a": steps})
    drawn = conditions(some, [{"ensemble": "a"}] * 4000, range(4000)).prominence_db
    assert drawn is not None
    torch.testing.assert_close(
        drawn.quantile((torch.arange(3, dtype=torch.float64) + 0.5) / 3),
        torch.tensor(steps, dtype=torch.float64),
        rtol=0,
        atol=0.1,
    )
    assert drawn[7] == conditions(some, [{"ensemble": "a"}], [7]).prominence_db  # the seed alone draws it
    others = conditions(some, [{}, {"ensemble": "any"}, {"ensemble": "b"}], range(3)).prominence_db
    assert others is not None
    assert others.tolist() == [3.0, 3.0, 3.0]

    x0 = torch.full((2, 1, 128, 32), -1.0)
    x0[..., 9] = 0.5
    x_t, t = torch.randn_like(x0), torch.tensor([0.5, 0.5], dtype=torch.float64)
    seeds = [int((drawn - 2).abs().argmin()), 0]
    for configuration, expected in ((some, [2.0, 3.0]), (replace(some, prominences={}), [1.5 * MEL.unit_db] * 2)):
        belief = conditions(configuration, [{"ensemble": "a"}, {}], seeds).guide(Believer(x0))(x_t, t, {}).x0
        torch.testing.assert_close(prominence_db(belief, MEL), torch.tensor(expected), rtol=0, atol=0.02)


def test_guidance_begins_where_it_is_asked_to_and_costs_nothing_before() -> None:
    x_t, times = torch.zeros(1, 1, 128, 32), Cosine().inverse(torch.tensor([-6.0, -5.0, 5.0]))

    def beliefs(guidance_from: float) -> tuple[list[float], list[int]]:
        believer = Believer()
        asked = conditions(CONFIGURATION, [{"style": "b"}], [0], guidance_scale=3.0, guidance_from=guidance_from)
        guided = asked.guide(believer)
        found = [round(float(guided(x_t, t[None], asked.cond()).x0.max()), 4) for t in times]
        return found, [len(each["style"]) for each in believer.told]

    assert beliefs(-15.0) == ([0.6, 0.6, 0.6], [2, 2, 2])
    assert beliefs(-5.5) == ([0.2, 0.6, 0.6], [1, 2, 2])
    assert beliefs(15.0) == ([0.2, 0.2, 0.2], [1, 1, 1])


def test_finished_music_has_texture_and_stays_where_music_is() -> None:
    """No louder than its room lets it be where it ends, and no moment more prominent than it may be."""
    labels = {**CONFIGURATION.labels, "ending": list(ENDINGS)}
    plain = replace(CONFIGURATION, labels=labels, prominences={"any": [2.0]})
    uneven = replace(plain, texture={"deviation": 0.3, "frames": [1.0, 0.4], "bands": [1.0, 0.2]})
    asked = [{}, {"ending": "ends"}]
    with_texture = conditions(uneven, asked, [5, 6], 320)
    features = torch.zeros(2, 1, MEL.bands, 320)
    features[:, :, ::3] = 1
    features = with_texture.kept(features)
    assert conditions(plain, asked, [5, 6], 320).finish(features, 0.1) is features

    finished = with_texture.finish(features, 0.1)
    assert (finished - features).std() > 0.05
    assert with_texture.ceiling is not None
    assert (finished <= with_texture.ceiling).all()
    assert (prominence_db(finished, MEL) <= 2 + 1e-3).all()
    coarse, fine = (float((with_texture.finish(features, t) - features).std()) for t in (0.3, 0.003))
    assert coarse > 10 * fine  # a last step from little noise leaves little out


def test_guidance_leads_away_from_the_negatives() -> None:
    three = replace(CONFIGURATION, labels={"style": ["a", "b", "c"]}, negatives={"style": {"a": "c", "c": "b"}})
    labels = [{"style": each} for each in ("any", "a", "b", "c")]
    t = torch.full((4,), 0.5, dtype=torch.float64)
    for corrections, without in ((tuple(CORRECTIONS), [0, 3, 0, 2]), ((), [0, 0, 0, 0])):
        believer = Believer()
        asked = conditions(three, labels, range(4), corrections=corrections, guidance_scale=2.0)
        asked.guide(believer)(torch.zeros(4, 1, 128, 32), t, asked.cond())
        assert believer.told[0]["style"].tolist() == [0, 1, 2, 3, *without]


def test_guidance_against_no_label_is_a_choice_and_not_that_of_old_links() -> None:
    """Ho & Salimans 2022: away from the belief without the label, whatever negatives the model has."""
    known = replace(CONFIGURATION, labels={"style": ["a", "b"]}, negatives={"style": {"a": "b", "b": "a"}})
    t = torch.full((1,), 0.5, dtype=torch.float64)
    for said, without in (({"guidance_against": "no-label"}, 0), ({"guidance_against": "negative"}, 2), ({}, 2)):
        believer = Believer()
        query = Request.from_dict({"seed": 1, "style": "a", "guidance_scale": 2.0, **said}).to_query()
        asked = Conditions.of(known, [Request.from_query(query)], 32)
        asked.guide(believer)(torch.zeros(1, 1, 128, 32), t, asked.cond())
        assert believer.told[0]["style"].tolist() == [1, without]
