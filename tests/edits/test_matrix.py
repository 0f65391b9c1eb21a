"""Every edit by every sampler, at few steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from diffusion import checkpoint
from diffusion.checkpoint import Checkpoint
from diffusion.compose import Composed, compose
from diffusion.edits import Source, mask_of
from diffusion.request import Request
from diffusion.samplers import SAMPLERS
from diffusion.theory import Step

LABELS = {"style": "chorale", "ensemble": "piano", "beat": "82"}
FRAMES = 160
SOURCE = Source.of(np.random.default_rng(0).normal(0, 0.5, (1, 128, FRAMES)).clip(-1.5, 1.5))
BINS = np.zeros((128, FRAMES), bool)
BINS[20:70, 50:90] = True
GIVEN = {"source": SOURCE.digest, "source_s": FRAMES * 512 / 32000}
EDITS: dict[str, dict[str, Any]] = {
    "inpaint": {"inpaint": {**GIVEN, "mask": mask_of(BINS)}},
    "continue": {"continue": {**GIVEN, "keep_s": 0.8}},
    "transform": {"transform": {**GIVEN, "strength": 0.6}},
    "loop": {"loop": {}},
    "fork": {"fork": {"at": 1, "parent": {"style": "fiddle", "seed": 9}}},
    "fork to another sampler": {"fork": {"at": 1, "parent": {"sampler": "ddpm", "steps": 3, "guidance_scale": 1}}},
    "blend": {"blend": {"seeds": [6], "place": [0.4]}},
    "square": {"blend": {"seeds": [6, 7, 8], "place": [0.4, 0.7]}},
    "timeline": {"timeline": {"sections": [{"from_s": 1, "labels": {"style": "fiddle", "beat": "104"}}]}},
    "all that go together": {
        "continue": {**GIVEN, "keep_s": 0.8},
        "loop": {},
        "fork": {"at": 1, "parent": {"ensemble": "flute"}},
        "blend": {"seeds": [6], "place": [0.4]},
        "timeline": {"sections": [{"from_s": 1, "labels": {"key": "D"}}]},
    },
}


@pytest.fixture(scope="module")
def model(small_checkpoint: Path) -> Checkpoint:
    return checkpoint.load(small_checkpoint)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("name", EDITS)
def test_every_edit_with_every_sampler(model: Checkpoint, name: str, sampler: str) -> None:
    request = Request(LABELS, 5, sampler, 4, duration_s=2.56, edits=EDITS[name])
    assert Request.from_query(request.to_query()) == request
    *steps, end = compose(model.denoiser, model.configuration, [request], sources=[SOURCE])
    assert isinstance(end, Composed)
    assert all(isinstance(each, Step) and each.total == len(steps) - 1 for each in steps)
    assert end.features.shape == (1, 1, 128, FRAMES)
    assert bool(end.features.isfinite().all())
    assert end.evaluations == request.evaluations
    *_, plain = compose(model.denoiser, model.configuration, [request.changed(edits={})])
    assert isinstance(plain, Composed)
    assert not end.features.equal(plain.features)
    if "inpaint" in request.edits:
        assert end.features[0, 0][torch.from_numpy(~BINS)].equal(
            torch.from_numpy(SOURCE.features)[0][torch.from_numpy(~BINS)]
        )
    if "continue" in request.edits:
        assert end.features[0, ..., :50].equal(torch.from_numpy(SOURCE.features)[..., -50:])
