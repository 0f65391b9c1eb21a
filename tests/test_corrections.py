"""Each correction can be switched off where clips are sampled, and takes nothing with it but what it mends."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import pytest
import torch
from small_models import LABELS, music
from torch import Tensor

from diffusion.audio.mel import MelParameters
from diffusion.checkpoint import Configuration
from diffusion.compose import Composed, compose
from diffusion.corrections import CORRECTIONS
from diffusion.denoisers import Guided
from diffusion.request import Request
from diffusion.settings import BY_THE_BOOK
from diffusion.theory import GRIDS, Cond, Cosine, Estimate, SeededNoise

MEL = MelParameters()
LOW, HIGH = MEL.bounds
MUSIC = music({name: LABELS[name] for name in ("style", "ensemble", "ending")})
REQUEST = Request(
    {"style": "chorale"}, 5, steps=3, guidance_scale=2.0, guidance_rule="plain", guidance_from=-15.0, duration_s=2.56
)


@dataclass(frozen=True)
class Believer:
    """Believes in something like x_t within `reach`, a little brighter the higher the index of the style."""

    reach: float = 0.5
    schedule = Cosine()

    def __call__(self, x_t: Tensor, t: Tensor, cond: Cond) -> Estimate:
        x0 = self.reach * x_t.tanh() + 0.1 * cond["style"].to(x_t).reshape(-1, 1, 1, 1)
        return Estimate.from_x0(x_t, self.schedule(t), x0)


SCENES: dict[str, tuple[Believer, Configuration, Request]] = {
    "bounds": (Believer(reach=9.0), MUSIC, REQUEST),
    "ending": (Believer(), MUSIC, REQUEST.changed(ending="ends")),
    "prominence": (Believer(), replace(MUSIC, prominences={"any": [0.0, 0.1]}), REQUEST),
    "negatives": (Believer(), replace(MUSIC, negatives={"style": {"chorale": "fiddle"}}), REQUEST),
    "texture": (Believer(), replace(MUSIC, texture={"deviation": 0.1, "frames": [1.0], "bands": [1.0]}), REQUEST),
}
"""For each correction a model and a request that nothing else mends."""


def features(
    denoiser: Believer,
    configuration: Configuration,
    request: Request,
    corrections: Collection[str] = tuple(CORRECTIONS),
) -> Tensor:
    *_, composed = compose(denoiser, configuration, [request], corrections=corrections)
    assert isinstance(composed, Composed)
    return composed.features


@pytest.mark.parametrize("name", CORRECTIONS)
def test_without_it_only_what_it_mends_is_different(name: str) -> None:
    mended = features(*SCENES[name])
    without = {each: features(*SCENES[name], CORRECTIONS.keys() - {each}) for each in CORRECTIONS}
    assert {each for each, made in without.items() if not made.equal(mended)} == {name}
    assert features(*SCENES[name], ()).equal(without[name])
    assert features(*SCENES[name], [name]).equal(mended)


@pytest.mark.parametrize("name", CORRECTIONS)
def test_by_the_book_nothing_is_mended(name: str) -> None:
    denoiser, configuration, request = SCENES[name]
    booked = request.changed(by_the_book="yes")
    ordinary = request.changed(**{each: booked[each] for each in BY_THE_BOOK})
    assert features(denoiser, configuration, booked).equal(features(denoiser, configuration, ordinary, ()))


def test_what_each_mends() -> None:
    mended = {name: features(*scene) for name, scene in SCENES.items()}
    left = {name: features(*scene, ()) for name, scene in SCENES.items()}
    assert left["bounds"].amin() < LOW
    assert left["bounds"].amax() > HIGH
    assert mended["bounds"].aminmax() == (LOW, HIGH)
    assert (mended["ending"] <= left["ending"]).all()
    end = mended["ending"][..., -1]
    assert end.amax() < left["ending"][..., -1].amin()  # silence
    power = [(made * 2 * MEL.scale).logsumexp(2) for made in (mended["prominence"], left["prominence"])]
    assert power[0].amax() < power[1].amax()
    assert mended["negatives"].mean() < left["negatives"].mean()  # away from what is brighter
    between = mended["texture"] != left["texture"]
    assert 0.2 < between.float().mean() < 0.8  # the partials stay


def test_with_all_switched_off_nothing_but_guidance_touches_what_the_model_says() -> None:
    """Although each of them would have something to do."""
    configuration = replace(
        MUSIC,
        prominences={"any": [0.0, 0.1]},
        negatives={"style": {"chorale": "fiddle"}},
        texture={"deviation": 0.1, "frames": [1.0], "bands": [1.0]},
    )
    denoiser, request = Believer(reach=9.0), REQUEST.changed(ending="ends")
    guided = Guided(denoiser, {"style": torch.tensor([2.0], dtype=torch.float64)}, also=("pulse",))
    noise = SeededNoise([5])
    cond = {"style": torch.tensor([1]), "ensemble": torch.tensor([0])}
    start, times = noise(0, torch.empty(1, 1, 128, 160)), GRIDS[request.grid](guided.schedule, 3)
    *_, last = request.method.steps(guided, start, times, cond=cond, noise=noise)
    assert features(denoiser, configuration, request, ()).equal(last.x)


def test_an_unknown_name_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="corrections: got 'reverb', allowed bounds, ending, prominence"):
        compose(Believer(), MUSIC, [REQUEST], corrections=["bounds", "reverb"])
