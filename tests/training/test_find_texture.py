"""A training measures the texture of its music with what it has learned."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from diffusion.audio.mel import MelParameters
from diffusion.checkpoint import Configuration, load
from diffusion.data.dataset import LABELS, VERSION, Features
from diffusion.training.config import TrainingConfig
from diffusion.training.loop import train
from diffusion.training.texture import find_texture

FRAMES = 64
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
def data(tmp_path: Path) -> Path:
    """Combs that are uneven from bin to bin, and nothing foretells how."""
    mel = COMB + UNEVEN * torch.randn(600, 128, generator=torch.Generator().manual_seed(0))
    columns = {name: torch.ones(6, dtype=torch.long) for name in (*LABELS, "piece", "family", "transpose")}
    columns |= {"start": torch.arange(6) * 100, "frames": torch.full((6,), 100)}
    labels = {"style": ["x"], "ensemble": ["x"], "mode": ["major"], "tempo": ["slow"], "key": ["C"], "beat": ["62"]}
    settings = {"version": VERSION, "labels": labels, "codec": asdict(MelParameters())}
    (tmp_path / "data" / "train").mkdir(parents=True)
    save_file(
        {**columns, "mel": mel.half()}, tmp_path / "data/train/00000.safetensors", {"settings": json.dumps(settings)}
    )
    return tmp_path / "data"


def configuration() -> Configuration:
    labels = {"style": ["x"], "ensemble": ["x"]}
    return Configuration(
        {"name": "frame-transformer"}, {"name": "cosine"}, "x0", labels, FRAMES, asdict(MelParameters())
    )


def test_unevenness_that_nothing_foretells_is_texture(data: Path) -> None:
    """A belief that does not look at x_t leaves all of it out, where one that does would know a little."""
    found = find_texture(configuration(), Comb(), Features(data, "train"))
    variance = UNEVEN**2
    assert found["deviation"] == pytest.approx((variance / (1 - variance * torch.e**4.3)) ** 0.5, rel=0.01)
    assert max(map(abs, found["frames"][1:])) < 0.05
    assert json.loads(json.dumps(found)) == found


def test_a_network_that_knows_less_than_it_sees_finds_none(data: Path) -> None:
    assert find_texture(configuration(), Comb(error=0.2), Features(data, "train")) == {}


def test_a_checkpoint_says_it(data: Path, tmp_path: Path) -> None:
    size = {"width": 32, "depth": 1, "heads": 2, "hidden": 64}
    train(TrainingConfig(steps=2, batch=4, frames=16, clip_frames=FRAMES, **size), data, tmp_path / "run")
    made = load(tmp_path / "run")
    assert made.configuration.texture == find_texture(made.configuration, made.network, Features(data, "train"))
