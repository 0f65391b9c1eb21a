"""What several folders of tests need: properties checked on few examples and never against a clock, a checkpoint."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from diffusion import checkpoint
from diffusion.audio.ending import ENDINGS
from diffusion.audio.mel import MelParameters
from diffusion.data.labels import KEYS

settings.register_profile("steady", deadline=None, max_examples=25)
settings.load_profile("steady")

LABELS = {
    "style": ["chorale", "fiddle"],
    "ensemble": ["piano", "music_box", "flute"],
    "mode": ["major", "minor"],
    "tempo": ["slow", "medium", "fast"],
    "key": list(KEYS),
    "beat": ["62", "82", "104"],
    "ending": list(ENDINGS),
}


def _checkpoint(folder: Path, labels: dict[str, list[str]]) -> Path:
    size = {"width": 32, "depth": 1, "heads": 2, "hidden": 64, "outputs": 2, "pulse": 2 if "beat" in labels else 0}
    configuration = checkpoint.Configuration(
        {"name": "frame-transformer", **size},
        {"name": "cosine"},
        "moments",
        labels,
        640,
        asdict(MelParameters()),
    )
    torch.manual_seed(0)
    weights = {name: torch.randn(each.shape) * 0.1 for name, each in configuration.build().state_dict().items()}
    checkpoint.save(folder, configuration, weights, torch.float32)
    return folder


@pytest.fixture(scope="session")
def small_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole checkpoint of a network too small to know music: real files, real labels, quick evaluations."""
    return _checkpoint(tmp_path_factory.mktemp("checkpoints") / "small", LABELS)


@pytest.fixture(scope="session")
def plain_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another one, which knows neither modes nor tempi, keys nor beats."""
    labels = {name: LABELS[name] for name in ("style", "ensemble")}
    return _checkpoint(tmp_path_factory.mktemp("checkpoints") / "plain", labels)


@pytest.fixture(scope="session")
def small_gallery(small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small checkpoint with its gallery inside."""
    from diffusion import gallery
    from diffusion.studio import Studio

    folder = tmp_path_factory.mktemp("galleries") / "small"
    shutil.copytree(small_checkpoint, folder)
    list(gallery.make(Studio(folder, "cpu"), folder / gallery.FOLDER))
    return folder
