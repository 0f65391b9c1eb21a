"""What several folders of tests need: properties checked on few examples and never against a clock, a checkpoint."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from diffusion import checkpoint
from diffusion.audio.mel import MelParameters

settings.register_profile("steady", deadline=None, max_examples=25)
settings.load_profile("steady")

LABELS = {"style": ["chorale", "fiddle"], "ensemble": ["piano", "music_box", "flute"]}


@pytest.fixture(scope="session")
def small_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole checkpoint of a network too small to know music: real files, real labels, quick evaluations."""
    size = {"width": 32, "depth": 1, "heads": 2, "hidden": 64, "outputs": 2}
    configuration = checkpoint.Configuration(
        {"name": "frame-transformer", **size},
        {"name": "cosine"},
        "moments",
        LABELS,
        640,
        asdict(MelParameters()),
    )
    torch.manual_seed(0)
    weights = {name: torch.randn(each.shape) * 0.1 for name, each in configuration.build().state_dict().items()}
    folder = tmp_path_factory.mktemp("checkpoints") / "small"
    checkpoint.save(folder, configuration, weights, torch.float32)
    return folder
