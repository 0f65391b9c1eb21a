"""A training measures the texture of its music with what it has learned."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from diffusion.checkpoint import Configuration, load
from diffusion.data.dataset import Features
from diffusion.theory import LEAP_LOG_SNR
from diffusion.training.config import TrainingConfig
from diffusion.training.loop import train
from diffusion.training.texture import find_texture

FRAMES = 64
WriteClips = Callable[[Tensor, Sequence[str], Tensor], Path]
Configured = Callable[[Sequence[str]], Configuration]
UNEVEN = 0.05
COMB = torch.arange(128) % 4 / 4


class Comb(nn.Module):
    """Believes that every clip is the comb, higher by `error`."""

    def __init__(self, error: float = 0.0) -> None:
        super().__init__()
        self.comb = nn.Parameter(COMB + error)

    def forward(self, x_t: Tensor, log_snr: Tensor, cond: dict[str, Tensor]) -> Tensor:
        return self.comb[:, None].expand_as(x_t)


@pytest.fixture
def data(write_clips: WriteClips) -> Path:
    """Combs that are uneven from bin to bin, and nothing foretells how."""
    mel = COMB + UNEVEN * torch.randn(600, 128, generator=torch.Generator().manual_seed(0))
    return write_clips(mel, ["x"], torch.ones(6, dtype=torch.long))


def test_unevenness_that_nothing_foretells_is_texture(data: Path, configured: Configured) -> None:
    """A belief that does not depend on x_t leaves all of it out; one that does would know a little."""
    found = find_texture(configured(["x"]), Comb(), Features(data, "train"))
    variance = UNEVEN**2
    assert found["deviation"] == pytest.approx((variance / (1 - variance * torch.e**LEAP_LOG_SNR)) ** 0.5, rel=0.01)
    assert max(map(abs, found["frames"][1:])) < 0.05
    assert json.loads(json.dumps(found)) == found


def test_a_network_that_knows_less_than_it_sees_finds_none(data: Path, configured: Configured) -> None:
    assert find_texture(configured(["x"]), Comb(error=0.3), Features(data, "train")) == {}


def test_a_checkpoint_says_it(data: Path, tmp_path: Path) -> None:
    size = {"width": 32, "depth": 1, "heads": 2, "hidden": 64}
    train(TrainingConfig(steps=2, batch=4, frames=16, clip_frames=FRAMES, **size), data, tmp_path / "run")
    made = load(tmp_path / "run")
    assert made.configuration.texture == find_texture(made.configuration, made.network, Features(data, "train"))
