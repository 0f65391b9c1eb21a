"""The clips that are judged: generated ones, held-out real ones and controls, each as features and as one hears it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from diffusion.audio.codec import LogMelCodec
from diffusion.audio.loudness import finish
from diffusion.audio.mel import MelParameters
from diffusion.checkpoint import Checkpoint
from diffusion.data.dataset import Features
from diffusion.data.labels import GUIDED
from diffusion.denoisers import Clipped, Guided
from diffusion.evaluation.controls import hold_chord, shuffle_frames
from diffusion.evaluation.measures import pitch_grid
from diffusion.networks.precision import fast_dtype
from diffusion.samplers import SAMPLERS
from diffusion.theory import SeededNoise, uniform_grid

CONTROLS: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "shuffled frames": shuffle_frames,
    "one held chord": hold_chord,
}


@dataclass(frozen=True)
class ClipSet:
    """N clips under one name, with what made them: `style` and `ensemble` (N,) counted from 0.

    `features` and `heard` (N, 1, bands, F): as made, and decoded, finished and encoded again. `grid` (N,) and
    `pitch_classes` (N, 12) are measured on the finished waves.
    """

    name: str
    style: Tensor
    ensemble: Tensor
    features: Tensor
    heard: Tensor
    grid: Tensor
    pitch_classes: Tensor

    def __len__(self) -> int:
        return len(self.style)


@dataclass(frozen=True)
class Recipe:
    """How a set is made, batch by batch. `settings` (JSON values) decide the result, and name its place on disk.

    `make(rows)` gives features (len(rows), 1, bands, F) of the clips with these indices.
    """

    name: str
    style: Tensor
    ensemble: Tensor
    settings: dict[str, Any]
    make: Callable[[range], Tensor]

    @property
    def digest(self) -> str:
        return hashlib.sha256(json.dumps([self.name, self.settings], sort_keys=True).encode()).hexdigest()[:12]


def pairs(styles: int, ensembles: int, clips: int) -> tuple[Tensor, Tensor]:
    """Styles and ensembles (styles * ensembles * clips,) from 0: every pair, `clips` times over."""
    if clips < 1:
        raise ValueError(f"clips: got {clips}, need at least 1")
    rows = torch.cartesian_prod(torch.arange(clips), torch.arange(styles), torch.arange(ensembles))
    return rows[:, 1], rows[:, 2]


def generated(
    checkpoint: Checkpoint, clips: int, *, guidance_scale: float, steps: int, seed: int, bounds: tuple[float, float]
) -> Recipe:
    """Clips of a checkpoint by UniPC on the uniform grid; clip i has its own noise, seeded by (seed, i)."""
    configuration = checkpoint.configuration
    style, ensemble = pairs(len(configuration.labels["style"]), len(configuration.labels["ensemble"]), clips)
    bands = MelParameters(**configuration.codec).bands
    device = next(checkpoint.network.parameters()).device
    dtype = fast_dtype(device)

    def make(rows: range) -> Tensor:
        shape = (len(rows), 1, bands, configuration.frames)
        noise = SeededNoise([seed * 1_000_000 + i for i in rows])
        x = noise(0, torch.empty(shape, device=device))
        scale = torch.full((len(rows),), guidance_scale, device=device)
        denoiser = Clipped(Guided(checkpoint.denoiser, {GUIDED[0]: scale}), bounds)
        cond = {"style": style[rows].to(device) + 1, "ensemble": ensemble[rows].to(device) + 1}
        times = uniform_grid(denoiser.schedule, steps)
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            for step in SAMPLERS["unipc"].steps(denoiser, x, times, cond=cond, noise=noise):
                x = step.x
        return x.float().cpu()

    settings = {
        "checkpoint": checkpoint.digest,
        "guidance_scale": guidance_scale,
        "guided": GUIDED[0],
        "sampler": "unipc",
        "steps": steps,
        "seed": seed,
        "clips": clips,
        "bounds": bounds,
    }
    return Recipe(f"generated, guidance {guidance_scale:g}", style, ensemble, settings, make)


def real(features: Features, clips: int, frames: int, seed: int) -> Recipe:
    """Crops of a split, as many of each pair of labels; the performances of a pair take turns."""
    c = features.columns
    labels = features.settings["labels"]
    style, ensemble = pairs(len(labels["style"]), len(labels["ensemble"]), clips)
    turns: dict[tuple[int, int], int] = {}
    chosen = []
    for s, e in zip(style.tolist(), ensemble.tolist(), strict=True):
        fitting = np.nonzero((c["style"] == s + 1) & (c["ensemble"] == e + 1) & (c["frames"] >= frames))[0]
        if not len(fitting):
            raise ValueError(f"frames: got {frames}, but split {features.split!r} has none so long of {s + 1}, {e + 1}")
        rng = np.random.default_rng((seed, s, e))
        order = rng.permutation(fitting)
        turn = turns[s, e] = turns.get((s, e), -1) + 1
        index = int(order[turn % len(order)])
        start = int(np.random.default_rng((seed, s, e, turn)).integers(int(c["frames"][index]) - frames + 1))
        chosen.append((index, start))

    def make(rows: range) -> Tensor:
        crops = (chosen[i] for i in rows)
        return torch.stack([features.performance(index)[..., start : start + frames] for index, start in crops])

    settings = {"data": features.settings, "clips": clips, "frames": frames, "seed": seed}
    return Recipe(f"real, {features.split}", style, ensemble, settings, make)


def control(kind: str, music: Recipe) -> Recipe:
    """Every clip of a recipe turned into a control of one of CONTROLS."""
    if kind not in CONTROLS:
        raise ValueError(f"kind: got {kind!r}, allowed {', '.join(CONTROLS)}")

    def make(rows: range) -> Tensor:
        made = music.make(rows)
        return torch.stack(
            [CONTROLS[kind](clip, torch.Generator().manual_seed(i)) for i, clip in zip(rows, made, strict=True)]
        )

    return Recipe(f"control, {kind}", music.style, music.ensemble, {"of": music.digest}, make)


def gather(
    recipe: Recipe,
    codec: LogMelCodec,
    cache: Path,
    *,
    batch: int = 8,
    progress: Callable[[Sequence[range]], Iterable[range]] = lambda batches: batches,
) -> ClipSet:
    """Make a set, or what of it is not yet in `cache`: each batch is a file, written whole or not at all."""
    count = len(recipe.style)
    folder = cache / f"{recipe.name.replace(', ', '-').replace(' ', '-')}-{recipe.digest}-{batch}"
    folder.mkdir(parents=True, exist_ok=True)
    batches = [range(first, min(first + batch, count)) for first in range(0, count, batch)]
    parts = []
    for rows in progress(batches):
        path = folder / f"{rows.start:05d}.safetensors"
        try:
            part = load_file(path)
        except (FileNotFoundError, SafetensorError):
            features = recipe.make(rows).half().float()  # as it will be read
            wave = finish(codec.decode(features), codec.mel.sample_rate_hz)
            grid, pitch_classes = pitch_grid(wave, codec.mel.sample_rate_hz)
            heard = codec.encode(wave).clamp(*codec.bounds)
            part = {
                "features": features.half(),
                "heard": heard.half(),
                "grid": grid.float(),
                "pitch_classes": pitch_classes.float(),
            }
            partial = path.with_name(f".{path.name}.part")
            save_file(part, partial)
            os.replace(partial, path)
        parts.append(part)
    joined = {name: torch.cat([part[name] for part in parts]).float() for name in parts[0]}
    return ClipSet(recipe.name, recipe.style, recipe.ensemble, **joined)
