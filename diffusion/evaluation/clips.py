"""The clips that are judged: generated ones, real ones and controls, each as features and as heard."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
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
from diffusion.compose import Composed, compose
from diffusion.data.dataset import Features
from diffusion.data.labels import GUIDED
from diffusion.denoisers import InFormat
from diffusion.evaluation.controls import CONTROLS
from diffusion.files import written
from diffusion.networks.precision import fast_dtype
from diffusion.request import Request
from diffusion.samplers import SAMPLERS, evaluations
from diffusion.settings import SETTINGS
from diffusion.theory import GRIDS

CLIPS_A_SEED = 1_000_000
"""How many clips have seeds of their own for each seed of an evaluation."""

Measure = Callable[[Tensor, Tensor], dict[str, Tensor]]
"""(waves (B, N), their features (B, 1, bands, F)) -> numbers (B,) by name."""

VISITOR = Request(labels={}, seed=0)
"""The settings of a visitor who changes none."""


@dataclass(frozen=True)
class Way:
    """How clips are generated; by default as for a visitor who changes nothing.

    `length` is in clips of the length that the checkpoint was trained on, and `evaluations` bound the steps. Everything
    else is a setting of a request. ValueError names the one that is wrong.
    """

    sampler: str = VISITOR.sampler
    evaluations: int = VISITOR.evaluations
    guidance_scale: float = VISITOR.guidance_scale
    length: float = 1.0
    grid: str = VISITOR.grid
    guidance_rule: str = VISITOR.guidance_rule
    guidance_from: float = VISITOR.guidance_from

    def __post_init__(self) -> None:
        for name, value in self.settings.items():
            SETTINGS[name].checked(value)
        if not 0 < self.length < float("inf"):
            raise ValueError(f"length: got {self.length}, need a positive number")
        _ = self.request

    @property
    def settings(self) -> dict[str, Any]:
        """The fields that are settings of a request."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name in SETTINGS}

    @property
    def request(self) -> Request:
        """The request of every clip, but for its labels and its seed."""
        return VISITOR.changed(**self.settings, steps=self.steps)

    @property
    def steps(self) -> int:
        """The most steps that need at most these evaluations; ValueError where even one step needs more."""
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
    """N clips under one name, with the labels that they should have: `style` and `ensemble` (N,) counted from 0.

    `features` (N, 1, bands, F) are as made, `heard` (N, 1, bands, F) were decoded, finished and encoded again. `gain`
    (N,) is by how much the decoded waves were amplified. `measures` {group: {name: (N,)}} are of the finished waves.
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
        """The features (N, 1, bands, F), as loud as the finished clips: what a perfect decoder would give."""
        level = self.gain.log() / mel.scale
        return (self.features + level[:, None, None, None]).clamp(*mel.bounds)


@dataclass(frozen=True)
class Recipe:
    """How a set is made, batch by batch. `settings` (JSON values) decide every clip, and name its folder on disk.

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
    """From features to sound. `decoder` names the decoder, its weights included."""

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
    """With the vocoder in a folder, in the device's fastest format, or with Griffin-Lim where it is None.

    ValueError for a vocoder of other features.
    """
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
    """The same model with its network compiled, once for every shape of its inputs; its weights may not change."""
    network = torch.compile(checkpoint.network, dynamic=False, options={"freezing": True})
    assert isinstance(network, nn.Module)
    return replace(checkpoint, network=network)


def generated(checkpoint: Checkpoint, clips: int, seed: int, way: Way | None = None) -> Recipe:
    """`clips` clips for each pair of style and ensemble, as the page composes them; all other labels are left open.

    The seed of clip i is CLIPS_A_SEED * seed + i. Clips may be longer than those that the checkpoint was trained on:
    then only their last stretch of that length is judged, to see what a beginning leads to. ValueError for a length
    that is no whole number of patches, and for a seed beyond those of requests.
    """
    way = way or Way()
    configuration = checkpoint.configuration
    styles, ensembles = (configuration.labels[name] for name in ("style", "ensemble"))
    frames, patch = configuration.frames * way.length, getattr(checkpoint.network, "patch_frames", 1)
    if frames % patch:
        raise ValueError(f"length: {way.length:g} times {configuration.frames} frames, need a multiple of {patch}")
    style, ensemble = pairs(len(styles), len(ensembles), clips)
    request = way.request
    requests = [
        request.changed(style=styles[s], ensemble=ensembles[e], seed=CLIPS_A_SEED * seed + i)
        for i, (s, e) in enumerate(zip(style.tolist(), ensemble.tolist(), strict=True))
    ]
    device = next(checkpoint.network.parameters()).device
    denoiser = InFormat(checkpoint.denoiser, device, fast_dtype(device))

    def make(rows: range) -> Tensor:
        batch = [requests[i] for i in rows]
        [last] = deque(compose(denoiser, configuration, batch, frames=int(frames), device=device), maxlen=1)
        assert isinstance(last, Composed)
        return last.features[..., -configuration.frames :].float().cpu()

    settings = {
        **way.settings,
        "checkpoint": checkpoint.digest,
        "steps": way.steps,
        "guided": GUIDED[0],
        "length": way.length,
        "seed": seed,
    }
    return Recipe(f"generated, {way}", style, ensemble, settings, make)


def real(features: Features, clips: int, frames: int, seed: int, skip: int = 0, name: str = "") -> Recipe:
    """`clips` crops of a split for each pair of style and ensemble; the performances of a pair take turns.

    `skip` leaves out the first turns, for a set of other crops, from other performances where there are enough. `name`
    is added to that of the split. ValueError for a pair without a performance of so many frames.
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
    """A control of one of CONTROLS, made of a recipe that has the same number of clips of every pair of labels."""
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
    """Make a set, or what of it is not yet in `cache`. Each batch is a file, written whole or not at all.

    The clips of another recipe, decoder or batch size have another folder. `measures` are by group, and `measured_by`
    names what they depend on besides the clips.
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
            with written(path) as partial:
                save_file({key: value.contiguous() for key, value in part.items()}, partial)
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
