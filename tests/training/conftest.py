"""What is measured with a network: clips that a test has made up, and the configuration of a model of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from diffusion.audio.mel import MelParameters
from diffusion.checkpoint import Configuration
from diffusion.data.dataset import LABELS, VERSION

FRAMES = 64
ROWS = 100


@pytest.fixture
def write_clips(tmp_path: Path) -> Callable[[Tensor, Sequence[str], Tensor], Path]:
    """Writes features (n * 100, bands) as n performances, whose styles (n,) are counted from 1."""

    def write(mel: Tensor, names: Sequence[str], style: Tensor) -> Path:
        count = len(style)
        columns = {name: torch.ones(count, dtype=torch.long) for name in (*LABELS, "piece", "family", "transpose")}
        columns |= {"style": style, "start": torch.arange(count) * ROWS, "frames": torch.full((count,), ROWS)}
        labels = {
            "style": [*names],
            "ensemble": ["x"],
            "mode": ["major"],
            "tempo": ["slow"],
            "key": ["C"],
            "beat": ["62"],
        }
        settings = {"version": VERSION, "labels": labels, "codec": asdict(MelParameters())}
        path = tmp_path / "data" / "train" / "00000.safetensors"
        path.parent.mkdir(parents=True)
        save_file({**columns, "mel": mel.half()}, path, {"settings": json.dumps(settings)})
        return tmp_path / "data"

    return write


@pytest.fixture
def configured() -> Callable[[Sequence[str]], Configuration]:
    """A model of clips of 64 frames in some styles."""

    def configure(styles: Sequence[str]) -> Configuration:
        labels = {"style": [*styles], "ensemble": ["x"]}
        return Configuration(
            {"name": "frame-transformer"}, {"name": "cosine"}, "x0", labels, FRAMES, asdict(MelParameters())
        )

    return configure
