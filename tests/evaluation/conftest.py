"""Invented spectrograms: two styles that differ in rhythm alone, two ensembles that differ in overtones alone."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from diffusion import checkpoint
from diffusion.audio.mel import MelParameters
from diffusion.data.dataset import LABELS, VERSION, Features
from diffusion.evaluation.classifier import Ear, EarTraining, save_ear, train_ear

STYLES, ENSEMBLES = ["slow", "fast"], ["dull", "bright"]
FRAMES = 64


def invent(style: int, ensemble: int, seed: int, frames: int = 160) -> Tensor:
    """Features (128, frames): decaying notes at random pitches, every 32 frames or every 8."""
    rng = np.random.default_rng(seed)
    mel = MelParameters()
    floor, _ = mel.bounds
    every = (32, 8)[style]
    clip = torch.full((mel.bands, frames), floor)
    bands = torch.arange(mel.bands)[:, None]
    time = torch.arange(every)
    for onset in range(0, frames, every):
        pitch_hz = 300 * 2 ** rng.uniform(0, 1)
        for overtone in range(1, (2, 7)[ensemble]):
            band = float(np.interp(overtone * pitch_hz, mel.frequencies_hz, np.arange(mel.bands)))
            bump = 1.8 * torch.exp(-((bands - band) ** 2) / 3) * torch.exp(-3 * time / every)
            part = clip[:, onset : onset + every]
            part.copy_(torch.maximum(part, floor + bump[:, : part.shape[1]]))
    return clip


def write_split(folder: Path, split: str, first_seed: int, families: int) -> None:
    mels, columns = [], {name: [] for name in (*LABELS, "piece", "family", "transpose")}
    for style in range(2):
        for family in range(families):
            for ensemble in range(2):
                seed = first_seed + 1000 * style + 10 * family + ensemble
                mels.append(invent(style, ensemble, seed).T.half())
                for name, value in zip(LABELS, (style + 1, ensemble + 1, 1, style + 1, 1, 1), strict=True):
                    columns[name].append(value)
                columns["transpose"].append(0)
                for name in ("piece", "family"):
                    columns[name].append(100 * style + family)
    frames = torch.tensor([len(mel) for mel in mels])
    tensors = {name: torch.tensor(values) for name, values in columns.items()}
    tensors |= {"mel": torch.cat(mels), "frames": frames, "start": frames.cumsum(0) - frames}
    labels = {
        "style": STYLES,
        "ensemble": ENSEMBLES,
        "mode": ["major", "minor"],
        "tempo": ["slow", "fast"],
        "key": ["C"],
        "beat": ["60"],
    }
    settings = {"version": VERSION, "labels": labels, "codec": asdict(MelParameters()), "split": split}
    (folder / split).mkdir(parents=True)
    save_file(tensors, folder / split / "00000.safetensors", metadata={"settings": json.dumps(settings)})


@pytest.fixture(scope="session")
def invented_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("invented")
    for number, split in enumerate(("train", "ear", "test")):
        write_split(folder, split, 100_000 * number, 8)
    return folder


@pytest.fixture(scope="session")
def quick_training() -> EarTraining:
    return EarTraining(steps=160, batch=16, round_trips=8, iterations=1, check_steps=20, controls=0.3)


@pytest.fixture(scope="session")
def small_ear(invented_data: Path, quick_training: EarTraining) -> Ear:
    """An ear of the invented ear split."""
    return train_ear(Features(invented_data, "ear"), frames=FRAMES, width=8, training=quick_training)[0]


@pytest.fixture(scope="session")
def ear_folder(small_ear: Ear, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ear")
    save_ear(folder, small_ear, {})
    return folder


@pytest.fixture(scope="session")
def invented_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network too small to know music, with the labels of the invented data."""
    size = {"width": 16, "depth": 1, "heads": 2, "hidden": 16}
    configuration = checkpoint.Configuration(
        {"name": "frame-transformer", **size},
        {"name": "cosine"},
        "x0",
        {"style": STYLES, "ensemble": ENSEMBLES},
        FRAMES,
        asdict(MelParameters()),
    )
    torch.manual_seed(0)
    weights = {name: torch.randn(each.shape) * 0.1 for name, each in configuration.build().state_dict().items()}
    folder = tmp_path_factory.mktemp("checkpoint") / "small"
    checkpoint.save(folder, configuration, weights, torch.float32)
    return folder
