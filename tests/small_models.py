"""Checkpoints too small to know anything: real files, real labels, evaluations in milliseconds."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from diffusion import checkpoint
from diffusion.audio.mel import MelParameters
from diffusion.checkpoint import Configuration
from diffusion.corrections import ENDINGS
from diffusion.data.labels import KEYS
from diffusion.theory import Cosine

LABELS = {
    "style": ["chorale", "fiddle"],
    "ensemble": ["piano", "music_box", "flute"],
    "mode": ["major", "minor"],
    "tempo": ["slow", "medium", "fast"],
    "key": list(KEYS),
    "beat": ["62", "82", "104"],
    "ending": list(ENDINGS),
}


def music(labels: dict[str, list[str]], **measured: Any) -> Configuration:
    """A model of music with these labels, and what was `measured` of it."""
    size = {"width": 32, "depth": 1, "heads": 2, "hidden": 64, "outputs": 2, "pulse": 2 if "beat" in labels else 0}
    return Configuration(
        {"name": "frame-transformer", **size},
        {"name": "cosine"},
        "moments",
        labels,
        640,
        asdict(MelParameters()),
        **measured,
    )


def points(labels: dict[str, list[str]], count: int = 64) -> Configuration:
    """A model of points in a plane: in each clip `count` of them."""
    log_snrs = Cosine().log_snr(torch.linspace(0.05, 1, 20, dtype=torch.float64)).tolist()
    network = {"name": "step-mlp", "log_snrs": log_snrs, "width": 64}
    return Configuration(network, {"name": "cosine"}, "x0", labels, 1, {"name": "points", "count": count})


def images(labels: dict[str, list[str]]) -> Configuration:
    """A model of grey pictures of 8 x 8 pixels."""
    network = {"name": "adaptive-unet", "widths": [8, 16], "condition": 32}
    codec = {"name": "image", "channels": 1, "height": 8, "width": 8}
    return Configuration(network, {"name": "cosine"}, "eps", labels, 1, codec)


def save(folder: Path, configuration: Configuration) -> Path:
    """A checkpoint whose weights are random, and always the same."""
    torch.manual_seed(0)
    weights = {name: torch.randn(each.shape) * 0.1 for name, each in configuration.build().state_dict().items()}
    checkpoint.save(folder, configuration, weights, torch.float32)
    return folder
