"""The clips that are judged: generated ones, real ones and controls, each as features and as one hears it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from diffusion import checkpoint as checkpoints
from diffusion.audio.codec import LogMelCodec
from diffusion.audio.loudness import clip_gain, finish
from diffusion.audio.mel import MelParameters
from diffusion.checkpoint import Checkpoint
from diffusion.data.dataset import Features
from diffusion.data.labels import GUIDED
from diffusion.data.prior import draw
from diffusion.denoisers import GUIDANCE_RULES
from diffusion.evaluation.controls import CONTROLS
from diffusion.networks.precision import fast_dtype
from diffusion.samplers import SAMPLERS, evaluations
from diffusion.theory import GRIDS, LOG_SNR_RANGE, STEPPED_GRIDS, SeededNoise

Measure = Callable[[Tensor, Tensor], dict[str, Tensor]]
"""(waves (B, N), what one hears (B, 1, bands, F)) -> numbers (B,) by name."""


@dataclass(frozen=True)
class Way:
    """How clips are generated; by default as for a visitor who changes nothing.

    `length` is in clips of the length that the checkpoint was trained on, `guidance_from` a log-SNR.
    """

    sampler: str = "unipc"
    evaluations: int = 20
    guidance_scale: float = 1.8
    length: float = 1.0
    grid: str = "leap"
    guidance_rule: str = "moving"
    guidance_from: float = -4.5

    def __post_init__(self) -> None:
        if self.sampler not in SAMPLERS:
            raise ValueError(f"sampler: got {self.sampler!r}, allowed {', '.join(SAMPLERS)}")
        if not 1 <= self.guidance_scale < float("inf"):
            raise ValueError(f"guidance_scale: got {self.guidance_scale}, need a number from 1 (off)")
        if not 0 < self.length < float("inf"):
            raise ValueError(f"length: got {self.length}, need a positive number")
        if self.grid not in STEPPED_GRIDS:
            raise ValueError(f"grid: got {self.grid!r}, allowed {', '.join(STEPPED_GRIDS)}")
        if self.guidance_rule not in GUIDANCE_RULES:
            raise ValueError(f"guidance_rule: got {self.guidance_rule!r}, allowed {', '.join(GUIDANCE_RULES)}")
        low, high = LOG_SNR_RANGE
        if not low <= self.guidance_from <= high:
            raise ValueError(
                f"guidance_from: got {self.guidance_from}, allowed log-SNR {low:g} (all along) to {high:g}"
            )
        _ = self.steps

    @property
    def steps(self) -> int:
        """The most steps that need no more evaluations than these; ValueError where even one step needs more."""
        first, second, third = (evaluations(SAMPLERS[self.sampler], GRIDS[self.grid], steps) for steps in (1, 2, 3))
        if self.evaluations < first:
            raise ValueError(f"evaluations: got {self.evaluations}, but {self.sampler} needs at least {first}")
        if self.evaluations < second:
            return 1
        return 2 + (self.evaluations - second) // (third - second)  # from the second step on all cost the same

    def __str__(self) -> str:
        length = "" if self.length == 1 else f", {self.length:g} times as long"
        grid = "" if self.grid == Way.grid else f", {self.grid} grid"
        rule = "" if self.guidance_rule == Way.guidance_rule else f", {self.guidance_rule} rule"
        since = "" if self.guidance_from == Way.guidance_from else f", from {self.guidance_from:g}"
        guidance = f"guidance {self.guidance_scale:g}{rule}{since}"
        return f"{self.sampler}, {self.evaluations} evaluations, {guidance}{grid}{length}"


@dataclass(frozen=True)
class ClipSet:
    """N clips under one name, with what they were meant to be: `style` and `ensemble` (N,) counted from 0.

    `features` and `heard` (N, 1, bands, F): as made, and decoded, finished and encoded again. `gain` (N,) is what the
    decoded waves were amplified by; `measures` {group: {name: (N,)}} were taken on the finished waves.
    """

    name: str
    style: Tensor
    ensemble: Tensor
    features: Tensor
    heard: Tensor
    gain: Tensor
    measures: dict[str, dict[str, Tensor]]

    def __len__(self) -> int:
        return len(self.style)

    def first(self, count: int) -> ClipSet:
        """The first clips alone."""
        return ClipSet(
            self.name,
            self.style[:count],
            self.ensemble[:count],
            self.features[:count],
            self.heard[:count],
            self.gain[:count],
            {group: {name: each[:count] for name, each in found.items()} for group, found in self.measures.items()},
        )

    def undecoded(self, mel: MelParameters) -> Tensor:
        """The features (N, 1, bands, F), as loud as the clips are heard: what a perfect decoder would leave of them."""
        level = self.gain.log() / mel.scale
        return (self.features + level[:, None, None, None]).clamp(*mel.bounds)


@dataclass(frozen=True)
class Recipe:
    """How a set is made, batch by batch. `settings` (JSON values) decide every clip, and name its place on disk.

    `make(rows)` gives features (len(rows), 1, bands, F) of the clips with these indices. A clip is the same in a set
    of any length.
    """

    name: str
    style: Tensor
    ensemble: Tensor
    settings: dict[str, Any]
    make: Callable[[range], Tensor]

    @property
    def digest(self) -> str:
        return digest(self.name, self.settings)


def digest(*settings: Any) -> str:
    """12 hexadecimal digits that name JSON values."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Playback:
    """From features to what one hears; `decoder` names what decodes, its weights included."""

    codec: LogMelCodec
    decoder: str

    def __call__(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features (B, 1, bands, F) to finished waves (B, N), these encoded again (B, 1, bands, F), and gains (B,)."""
        rate_hz, device = self.codec.mel.sample_rate_hz, self.codec.window.device
        with torch.no_grad():
            wave = self.codec.decode(features.to(device))
            gain = clip_gain(wave, rate_hz)
            clips = finish(wave, rate_hz, gain)
            return clips.cpu(), self.codec.encode(clips).clamp(*self.codec.bounds).cpu(), gain.float()


def load_playback(mel: MelParameters, vocoder: Path | None, device: torch.device | None = None) -> Playback:
    """With the vocoder in a folder, as fast as the device allows, or with Griffin-Lim where it is None."""
    device = device or torch.device("cpu")
    if vocoder is None:
        return Playback(LogMelCodec(mel).to(device), "Griffin-Lim")
    network = checkpoints.load_vocoder(vocoder, device)
    if network.mel != mel:
        raise ValueError(f"vocoder: {vocoder} decodes features of {network.mel}, need {mel}")
    network.precision = fast_dtype(device)
    name = f"vocoder {vocoder.resolve().name} ({checkpoints.digest_of(vocoder)})"
    return Playback(LogMelCodec(mel, network).to(device), name)


def pairs(styles: int, ensembles: int, clips: int) -> tuple[Tensor, Tensor]:
    """Styles and ensembles (styles * ensembles * clips,) from 0: every pair, `clips` times over."""
    if clips < 1:
        raise ValueError(f"clips: got {clips}, need at least 1")
    rows = torch.cartesian_prod(torch.arange(clips), torch.arange(styles), torch.arange(ensembles))
    return rows[:, 1], rows[:, 2]


def compiled(checkpoint: Checkpoint) -> Checkpoint:
    """The same model with its network compiled, anew for every shape of its inputs; its weights may not change."""
    network = torch.compile(checkpoint.network, dynamic=False, options={"freezing": True})
    assert isinstance(network, nn.Module)
    return replace(checkpoint, network=network)


def generated(checkpoint: Checkpoint, clips: int, seed: int, way: Way | None = None) -> Recipe:
    """`clips` clips for each pair of style and ensemble, every other label drawn as the training music has it.

    Clip i has its own noise, seeded by (seed, i). Of clips longer than those that the checkpoint was trained on, it is
    the last stretch of that length: what a beginning may lead to. ValueError for a length of no whole patches.
    """
    way = way or Way()
    configuration = checkpoint.configuration
    frames, patch = configuration.frames * way.length, getattr(checkpoint.network, "patch_frames", 1)
    if frames % patch:
        raise ValueError(f"length: {way.length:g} times {configuration.frames} frames, need a multiple of {patch}")
    style, ensemble = pairs(len(configuration.labels["style"]), len(configuration.labels["ensemble"]), clips)
    mel = MelParameters(**configuration.codec)
    device = next(checkpoint.network.parameters()).device
    dtype = fast_dtype(device)

    def make(rows: range) -> Tensor:
        noise = SeededNoise([seed * 1_000_000 + i for i in rows])
        x = noise(0, torch.empty(len(rows), 1, mel.bands, int(frames), device=device))
        scale = torch.full((len(rows),), way.guidance_scale, device=device)
        rule = GUIDANCE_RULES[way.guidance_rule]
        labels = []
        for i, own_seed in zip(rows, noise.seeds, strict=True):
            chosen = {"style": int(style[i]) + 1, "ensemble": int(ensemble[i]) + 1}
            labels.append(chosen | draw(configuration.prior, chosen, own_seed))
        cond = configuration.cond(labels, noise.seeds, device)
        denoiser = configuration.guided(
            checkpoint.denoiser, {GUIDED[0]: scale}, rule, way.guidance_from, labels, noise.seeds, int(frames)
        )
        times = GRIDS[way.grid](denoiser.schedule, way.steps)
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            for step in SAMPLERS[way.sampler].steps(denoiser, x, times, cond=cond, noise=noise):
                x = step.x
        clips = configuration.finished(x.float(), float(times[-2]), labels, noise.seeds)
        return clips[..., -configuration.frames :].cpu()

    settings = {
        "checkpoint": checkpoint.digest,
        "sampler": way.sampler,
        "steps": way.steps,
        "grid": way.grid,
        "guidance_scale": way.guidance_scale,
        "guidance_rule": way.guidance_rule,
        "guidance_from": way.guidance_from,
        "guided": GUIDED[0],
        "length": way.length,
        "seed": seed,
    }
    return Recipe(f"generated, {way}", style, ensemble, settings, make)


def real(features: Features, clips: int, frames: int, seed: int, skip: int = 0, name: str = "") -> Recipe:
    """Crops of a split, as many of each pair of labels; the performances of a pair take turns.

    `skip` leaves out the first turns, for a set of other crops, from other performances where there are enough. `name`
    is added to that of the split.
    """
    c = features.columns
    labels = features.settings["labels"]
    style, ensemble = pairs(len(labels["style"]), len(labels["ensemble"]), clips)
    turns: dict[tuple[int, int], int] = {}
    chosen = []
    for s, e in zip(style.tolist(), ensemble.tolist(), strict=True):
        fitting = np.nonzero((c["style"] == s + 1) & (c["ensemble"] == e + 1) & (c["frames"] >= frames))[0]
        if not len(fitting):
            raise ValueError(f"frames: got {frames}, but split {features.split!r} has none so long of {s + 1}, {e + 1}")
        order = np.random.default_rng((seed, s, e)).permutation(fitting)
        turn = turns[s, e] = turns.get((s, e), skip - 1) + 1
        index = int(order[turn % len(order)])
        start = int(np.random.default_rng((seed, s, e, turn)).integers(int(c["frames"][index]) - frames + 1))
        chosen.append((index, start))

    def make(rows: range) -> Tensor:
        crops = (chosen[i] for i in rows)
        return torch.stack([features.performance(index)[..., start : start + frames] for index, start in crops])

    settings = {"data": features.settings, "frames": frames, "seed": seed, "skip": skip}
    return Recipe(f"real, {features.split}{name and f', {name}'}", style, ensemble, settings, make)


def control(kind: str, music: Recipe) -> Recipe:
    """The clips of a recipe of whole rounds of `pairs` turned, label by label, into a control of one of CONTROLS."""
    if kind not in CONTROLS:
        raise ValueError(f"kind: got {kind!r}, allowed {', '.join(CONTROLS)}")
    every = len(torch.stack([music.style, music.ensemble]).unique(dim=1).T)

    def one(row: int) -> Tensor:
        so_far = music.make(range(row % every, row + 1, every))  # those of the same label, up to this one
        return CONTROLS[kind](so_far, torch.Generator().manual_seed(row))[-1]

    def make(rows: range) -> Tensor:
        return torch.stack([one(row) for row in rows])

    return Recipe(f"control, {kind}", music.style, music.ensemble, {"of": music.digest}, make)


def gather(
    recipe: Recipe,
    playback: Playback,
    cache: Path,
    *,
    measures: Mapping[str, Measure] | None = None,
    measured_by: str = "",
    batch: int = 8,
    progress: Callable[[Sequence[range]], Iterable[range]] = lambda batches: batches,
) -> ClipSet:
    """Make a set, or what of it is not yet in `cache`: each batch is a file, written whole or not at all.

    The clips of another recipe, decoder or batch have another folder; `measured_by` names what else the measures, by
    group, depend on.
    """
    measures = measures or {}
    count = len(recipe.style)
    name = recipe.name.replace(", ", "-").replace(" ", "-")
    folder = cache / f"{name}-{digest(recipe.digest, playback.decoder, measured_by, batch)}"
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    for rows in progress([range(first, min(first + batch, count)) for first in range(0, count, batch)]):
        path = folder / f"{rows.start:05d}-{len(rows)}.safetensors"
        part = _read(path)
        missing = [group for group in measures if not any(key.startswith(f"{group}/") for key in part)]
        if not part or missing:
            features = part["features"] if part else recipe.make(rows).half()
            wave, heard, gain = playback(features.float())  # as it will be read
            heard = heard.half()
            part |= {"features": features, "heard": heard, "gain": gain}
            for group in missing:
                found = measures[group](wave, heard.float())
                part |= {f"{group}/{key}": value.float() for key, value in found.items()}
            partial = path.with_name(f".{path.name}.part")
            save_file({key: value.contiguous() for key, value in part.items()}, partial)
            os.replace(partial, path)
        parts.append(part)

    def joined(key: str) -> Tensor:
        return torch.cat([part[key] for part in parts]).float()

    taken = {
        group: {key.partition("/")[2]: joined(key) for key in sorted(parts[0]) if key.startswith(f"{group}/")}
        for group in measures
    }
    return ClipSet(
        recipe.name, recipe.style, recipe.ensemble, joined("features"), joined("heard"), joined("gain"), taken
    )


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return dict(load_file(path))
    except (FileNotFoundError, SafetensorError):
        return {}
