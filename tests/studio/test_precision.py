"""The same request is the same music on any device and in any number format, within the stated tolerance."""

import math

import numpy as np
import pytest
import torch

from diffusion.checkpoint import find_checkpoint
from diffusion.engine import Clip
from diffusion.engine.local import MEL_TOLERANCE_DB
from diffusion.studio import Studio, open_studio


def features(studio: Studio, seed: int, steps: int = 20) -> np.ndarray:
    *_, clip = studio.generate(studio.request(style="chorale", ensemble="flute", seed=seed, steps=steps))
    assert isinstance(clip, Clip)
    return clip.features * studio.mel.scale * 20 / math.log(10)


@pytest.fixture(scope="module")
def exact() -> Studio:
    return open_studio(find_checkpoint(), "cpu", torch.float32)


def test_bf16_is_the_same_music_and_another_seed_is_not(exact: Studio) -> None:
    quick = open_studio(find_checkpoint(), "cpu", torch.bfloat16)
    reference = features(exact, 1)
    assert np.abs(features(quick, 1) - reference).mean() < MEL_TOLERANCE_DB
    assert np.abs(features(quick, 2) - reference).mean() > 4 * MEL_TOLERANCE_DB


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU at hand")
def test_a_gpu_is_the_same_music(exact: Studio) -> None:
    assert np.abs(features(open_studio(find_checkpoint(), "cuda"), 1) - features(exact, 1)).mean() < MEL_TOLERANCE_DB
