"""A style's negative is the other style that predicts its clips best, proven where every prediction is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from diffusion.checkpoint import Configuration, load
from diffusion.data.dataset import Features
from diffusion.training.config import TrainingConfig
from diffusion.training.loop import train
from diffusion.training.negatives import find_negatives

LEVELS = {"low": 0.0, "middle": 0.4, "high": 1.0}
FRAMES = 64
WriteClips = Callable[[Tensor, Sequence[str], Tensor], Path]
Configured = Callable[[Sequence[str]], Configuration]


class Levels(nn.Module):
    """Believes that every clip of a style is its level, whatever it sees."""

    def __init__(self, levels: list[float]) -> None:
        super().__init__()
        self.levels = nn.Parameter(torch.tensor([0.0, *levels]))

    def forward(self, x_t: Tensor, log_snr: Tensor, cond: dict[str, Tensor]) -> Tensor:
        return self.levels[cond["style"]][:, None, None, None].expand_as(x_t)


@pytest.fixture
def data(write_clips: WriteClips) -> Path:
    """Clips of three levels, a little uneven."""
    styles = torch.arange(6) % 3 + 1
    level = torch.tensor(list(LEVELS.values()))[styles - 1]
    mel = level.repeat_interleave(100)[:, None] + 0.05 * torch.randn(
        600, 128, generator=torch.Generator().manual_seed(0)
    )
    return write_clips(mel, list(LEVELS), styles)


def test_the_nearest_level_is_the_negative(data: Path, configured: Configured) -> None:
    found = find_negatives(configured(list(LEVELS)), Levels(list(LEVELS.values())), Features(data, "train"))
    assert found == {"style": {"low": "middle", "middle": "low", "high": "middle"}}


def test_a_style_that_is_alone_or_has_no_clip_has_none(data: Path, configured: Configured) -> None:
    features = Features(data, "train")
    assert find_negatives(configured(["low"]), Levels([0.0]), features) == {}
    unheard = {**LEVELS, "unheard": 0.9}
    found = find_negatives(configured(list(unheard)), Levels(list(unheard.values())), features)
    assert found == {"style": {"low": "middle", "middle": "low", "high": "unheard"}}


def test_a_checkpoint_says_them(data: Path, tmp_path: Path) -> None:
    size = {"width": 32, "depth": 1, "heads": 2, "hidden": 64}
    train(TrainingConfig(steps=2, batch=4, frames=16, clip_frames=FRAMES, **size), data, tmp_path / "run")
    made = load(tmp_path / "run")
    assert made.configuration.negatives["style"].keys() == LEVELS.keys()
    assert made.configuration.negatives == find_negatives(made.configuration, made.network, Features(data, "train"))
