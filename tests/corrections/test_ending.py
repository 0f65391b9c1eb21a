"""Where music ends, features fall as a room goes silent."""

import math

import pytest
import torch

from diffusion.audio.mel import MelParameters
from diffusion.corrections.ending import FALL_DB_PER_S, LOUDEST, ceiling

MEL = MelParameters()
FRAMES = 640


def test_before_its_last_note_is_released_music_may_be_as_loud_as_it_likes() -> None:
    heights = ceiling(torch.tensor([math.inf, 5.12]), FRAMES, MEL)
    assert heights.shape == (2, 1, 1, FRAMES)
    assert heights[0].eq(MEL.bounds[1]).all()
    assert heights[1, ..., :320].eq(MEL.bounds[1]).all()
    assert heights[1, ..., 320:].lt(LOUDEST).all()


@pytest.mark.parametrize("release_s", [0.0, 3.0, 8.19])
def test_then_it_falls_evenly_to_silence(release_s: float) -> None:
    heights = ceiling(torch.tensor([release_s]), FRAMES, MEL).flatten()
    after = heights[math.ceil(release_s * MEL.frames_per_s) :]
    falling = after[after > MEL.bounds[0]]
    per_s = falling.diff() * MEL.unit_db * MEL.frames_per_s
    torch.testing.assert_close(per_s, torch.full_like(per_s, -FALL_DB_PER_S), rtol=1e-3, atol=0)
    silent_s = (LOUDEST - MEL.bounds[0]) * MEL.unit_db / FALL_DB_PER_S
    assert len(falling) == pytest.approx(silent_s * MEL.frames_per_s, abs=1)
    assert after[len(falling) :].eq(torch.tensor(MEL.bounds[0])).all()
