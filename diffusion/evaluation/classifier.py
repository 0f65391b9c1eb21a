"""A small classifier: which style and which ensemble is this, and is it music at all?

It is trained on the `ear` split alone: other pieces and other sound fonts than the generator ever sees.
Besides the styles it has one more answer, "none", for clips of shuffled frames and of one held chord, both made from
music of the ear split. Without it a classifier may name the style by timbre and register alone, and a model that makes
a single chord would pass. So a clip counts for its style only if it is named that style, and not "none".
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from diffusion.audio.codec import LogMelCodec
from diffusion.audio.griffin_lim import GriffinLim
from diffusion.audio.loudness import finish
from diffusion.audio.mel import MelParameters
from diffusion.data.dataset import Features
from diffusion.evaluation.augmentation import augment
from diffusion.evaluation.controls import hold_chord, shuffle_frames
from diffusion.files import write_text, written
from diffusion.networks.precision import fast_dtype

NONE = "none"
QUICK_FRAMES = (8, 16)  # between which the quickest pulse lies: an eighth note of a dance
LONGEST_FRAMES, LAGS, PULSES = 200, 64, 16
WEIGHTS, CONFIG = "classifier.safetensors", "classifier.json"
FORMAT = 1


@dataclass(frozen=True)
class EarConfig:
    """What a classifier is: the names of its answers, the parameters of its features, the frames of a clip.

    `time_stride` is that of the first layer. `time_layers` is how many convolutions follow over time alone, each
    reaching twice as far as the one before. With `rhythm` another input is how attacks recur: a jig differs from a reel
    by beats that divide in three, not in two.
    """

    styles: tuple[str, ...]
    ensembles: tuple[str, ...]
    frames: int
    mel: MelParameters
    width: int = 24
    time_stride: int = 4
    time_layers: int = 1
    rhythm: bool = False

    @property
    def answers(self) -> tuple[str, ...]:
        """The answers of the style head."""
        return (*self.styles, NONE)


@dataclass(frozen=True)
class Judgement:
    """Of B clips: log-probabilities of styles (B, S + 1), "none" last, and of ensembles (B, E); embedding (B, D)."""

    style: Tensor
    ensemble: Tensor
    embedding: Tensor


class Ear(nn.Module):
    """Features (B, 1, bands, frames) -> Judgement. Convolutions over frequency and time, then over time alone.

    A second input channel is the clip less each band's mean over time: what changes, without the timbre.
    """

    def __init__(self, config: EarConfig) -> None:
        super().__init__()
        self.config = config
        w = config.width
        self.front = nn.Sequential(
            _convolution(2, w, (5, 7), (2, config.time_stride)),
            _convolution(w, 2 * w, (3, 3), (2, 2)),
            _convolution(2 * w, 4 * w, (3, 3), (2, 2)),
            _convolution(4 * w, 4 * w, (3, 3), (1, 1)),
            _convolution(4 * w, 4 * w, (3, 3), (2, 1)),
        )
        self.over_bands = nn.Sequential(
            nn.Conv2d(4 * w, 6 * w, (config.mel.bands // 16, 1), bias=False), nn.BatchNorm2d(6 * w), nn.ReLU()
        )
        self.over_time = nn.Sequential(
            nn.Conv1d(6 * w, 6 * w, 5, padding=2, bias=False),
            nn.BatchNorm1d(6 * w),
            nn.ReLU(),
            *(_Further(6 * w, 2**layer) for layer in range(1, config.time_layers)),
        )
        self.rhythm = _rhythm_layers(4 * w) if config.rhythm else None
        self.embed = nn.Sequential(nn.Linear(28 * w if config.rhythm else 24 * w, 128), nn.ReLU())
        self.dropout = nn.Dropout(0.3)
        self.style = nn.Linear(128, len(config.answers))
        self.ensemble = nn.Linear(128, len(config.ensembles))

    def forward(self, features: Tensor) -> Judgement:
        bands = self.config.mel.bands
        if features.ndim != 4 or features.shape[1:3] != (1, bands):
            raise ValueError(f"features: got shape {tuple(features.shape)}, need (B, 1, {bands}, frames)")
        x = torch.cat([features, features - features.mean(-1, keepdim=True)], 1)
        h = self.over_bands(self.front(x.contiguous(memory_format=torch.channels_last))).squeeze(2)
        h = torch.cat([h, self.over_time(h)], 1).float()
        heard = [h.mean(-1), h.std(-1)]
        if self.rhythm is not None:
            heard.append(self.rhythm(recurrence(features)).float())
        embedding = self.embed(torch.cat(heard, 1)).float()
        seen = self.dropout(embedding)
        return Judgement(
            self.style(seen).float().log_softmax(-1), self.ensemble(seen).float().log_softmax(-1), embedding
        )

    @torch.no_grad()
    def judge(self, features: Tensor, batch: int = 16) -> Judgement:
        """The judgement of features (B, 1, bands, frames), in float32, `batch` clips at a time."""
        self.eval()
        parts = [self(rows) for rows in features.split(batch)]
        return Judgement(
            torch.cat([p.style for p in parts]),
            torch.cat([p.ensemble for p in parts]),
            torch.cat([p.embedding for p in parts]),
        )


def recurrence(features: Tensor) -> Tensor:
    """How attacks of features (B, 1, bands, F) recur, in all bands, the lower and the upper: (B, 3 * (LAGS + PULSES)).

    It is the autocorrelation of how much bands rise from frame to frame. The lags are spread evenly over the octaves up
    to about three seconds; further lags are multiples of the quickest pulse, which do not depend on the tempo.
    """
    rises = features[:, 0].float().diff(dim=-1).clamp(min=0)
    half = rises.shape[1] // 2
    attacks = torch.stack([rises.mean(1), rises[:, :half].mean(1), rises[:, half:].mean(1)], 1)
    attacks = attacks - attacks.mean(-1, keepdim=True)
    attacks = attacks / attacks.std(-1, keepdim=True).clamp(min=1e-4)
    frames = attacks.shape[-1]
    power = torch.fft.rfft(attacks, 2 * frames).abs().square()
    alike = torch.fft.irfft(power, 2 * frames)[..., :frames] / frames
    shortest, longest = QUICK_FRAMES
    pulse = shortest + alike[:, 0, shortest:longest].argmax(-1)
    lags = shortest / 2 * (2 * LONGEST_FRAMES / shortest) ** torch.linspace(0, 1, LAGS, device=features.device)
    multiples = pulse[:, None] * torch.arange(1, PULSES + 1, device=features.device)
    return torch.cat([_at(alike, lags.expand(len(features), -1)), _at(alike, multiples.float())], -1).flatten(1)


def _at(curve: Tensor, places: Tensor) -> Tensor:
    """curve (B, C, F) at places (B, n) between its points, (B, C, n); 0 beyond its end."""
    low = places.floor().long()
    inside = (low + 1 < curve.shape[-1]).to(curve)[:, None]
    low = low.clamp(max=curve.shape[-1] - 2)[:, None].expand(-1, curve.shape[1], -1)
    part = (places - places.floor())[:, None]
    return inside * ((1 - part) * curve.gather(-1, low) + part * curve.gather(-1, low + 1))


def _rhythm_layers(width: int) -> nn.Module:
    size = 3 * (LAGS + PULSES)
    layers = [nn.BatchNorm1d(size), nn.Linear(size, width), nn.ReLU(), nn.Dropout(0.3), nn.Linear(width, width)]
    return nn.Sequential(*layers, nn.ReLU())


class _Further(nn.Module):
    """(B, C, F) plus its convolution over five frames that are `dilation` apart."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.convolve = nn.Conv1d(channels, channels, 5, padding=2 * dilation, dilation=dilation, bias=False)
        self.norm = nn.BatchNorm1d(channels)

    def forward(self, h: Tensor) -> Tensor:
        return h + F.relu(self.norm(self.convolve(h)))


def _convolution(channels: int, out: int, size: tuple[int, int], stride: tuple[int, int]) -> nn.Module:
    padding = (size[0] // 2, size[1] // 2)
    return nn.Sequential(nn.Conv2d(channels, out, size, stride, padding, bias=False), nn.BatchNorm2d(out), nn.ReLU())


@dataclass(frozen=True)
class TrainingSet:
    """Performances of some families of a split, drawn evenly over style x ensemble.

    `rows` maps (style, ensemble), counted from 1, to performances of at least `frames` frames.
    """

    features: Features
    rows: dict[tuple[int, int], list[int]]
    frames: int

    def draw(self, rng: np.random.Generator, pair: tuple[int, int] | None = None) -> tuple[Tensor, tuple[int, int]]:
        """A crop (1, bands, frames) and its labels (style, ensemble) from 1, which are `pair` if that is given."""
        pairs = sorted(self.rows)
        pair = pairs[int(rng.integers(len(pairs)))] if pair is None else pair
        clip = self.features.performance(self.rows[pair][int(rng.integers(len(self.rows[pair])))])
        start = int(rng.integers(clip.shape[-1] - self.frames + 1))
        return clip[..., start : start + self.frames], pair


def hold_back(features: Features, frames: int, fraction: float, seed: int) -> tuple[TrainingSet, TrainingSet]:
    """Two sets without a family in common: the larger to learn from, the smaller to stop by.

    ValueError if a style has fewer than two families, or a label pair no performance of `frames` frames.
    """
    c = features.columns
    held: set[int] = set()
    for style in np.unique(c["style"]):
        families = np.unique(c["family"][c["style"] == style])
        if len(families) < 2:
            raise ValueError(f"features: style {style} of split {features.split!r} needs two families at least")
        count = max(1, round(fraction * len(families)))
        held |= set(np.random.default_rng((seed, int(style))).permutation(families)[:count].tolist())
    sets = []
    for inside in (False, True):
        rows: dict[tuple[int, int], list[int]] = {}
        for i in range(len(features)):
            if (int(c["family"][i]) in held) == inside and int(c["frames"][i]) >= frames:
                rows.setdefault((int(c["style"][i]), int(c["ensemble"][i])), []).append(i)
        sets.append(TrainingSet(features, rows, frames))
    missing = {(int(s), int(e)) for s in np.unique(c["style"]) for e in np.unique(c["ensemble"])} - sets[0].rows.keys()
    if missing:
        raise ValueError(f"features: split {features.split!r} lacks {frames} frames of the label pairs {missing}")
    return sets[0], sets[1]


@dataclass(frozen=True)
class EarTraining:
    """How a classifier is trained. `controls` is the fraction of control clips, whose style is "none".

    A quarter of each batch comes from a bank of `round_trips` clips that were decoded and encoded again.
    """

    steps: int = 2400
    batch: int = 32
    lr: float = 3e-3
    weight_decay: float = 0.05
    label_smoothing: float = 0.1
    controls: float = 0.15
    held_back: float = 0.12
    round_trips: int = 96
    iterations: int = 6  # of Griffin-Lim: few, so that its artefacts are stronger than in any clip that is judged
    check_steps: int = 50
    seed: int = 0


def as_heard(features: Tensor, codec: LogMelCodec, batch: int = 8) -> Tensor:
    """Features (B, 1, bands, F) as heard: decoded, finished, encoded again."""
    parts = [
        codec.encode(finish(codec.decode(rows), codec.mel.sample_rate_hz)).clamp(*codec.bounds)
        for rows in features.float().split(batch)
    ]
    return torch.cat(parts)


def spoil(clip: Tensor, rng: np.random.Generator) -> Tensor:
    """A control clip of random kind and grain, made from a clip (1, bands, F)."""
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    grain = int(2 ** rng.uniform(0, 3.6))
    return (shuffle_frames if rng.random() < 0.5 else hold_chord)(clip, generator, grain)


_Item = tuple[Tensor, tuple[int, int], bool]
"""A clip (1, bands, F), its labels from 1, and whether it was spoilt."""


@dataclass(frozen=True)
class _Examples:
    """Clips (B, 1, bands, frames), style answers (B,) and ensembles (B,) from 0; ensemble -1 for controls."""

    clips: Tensor
    style: Tensor
    ensemble: Tensor


def _examples(items: list[_Item], none: int) -> _Examples:
    return _Examples(
        torch.stack([clip for clip, _, _ in items]),
        torch.tensor([none if spoilt else pair[0] - 1 for _, pair, spoilt in items]),
        torch.tensor([-1 if spoilt else pair[1] - 1 for _, pair, spoilt in items]),
    )


def _loss(judgement: Judgement, examples: _Examples, smoothing: float) -> Tensor:
    def cross_entropy(log_p: Tensor, target: Tensor) -> Tensor:
        summed = F.nll_loss(log_p, target, ignore_index=-1, reduction="sum")
        return summed / (target >= 0).sum().clamp(min=1) * (1 - smoothing) - log_p.mean() * smoothing

    return cross_entropy(judgement.style, examples.style) + cross_entropy(judgement.ensemble, examples.ensemble)


def _items(data: TrainingSet, count: int, controls: float, rng: np.random.Generator) -> list[_Item]:
    pairs = sorted(data.rows)
    items: list[_Item] = []
    for i in range(count):
        clip, pair = data.draw(rng, pairs[i % len(pairs)])
        spoilt = bool(rng.random() < controls)
        items.append((spoil(clip, rng) if spoilt else clip, pair, spoilt))
    return items


def train_ear(
    features: Features,
    *,
    frames: int = 640,
    width: int = 24,
    time_stride: int = 2,
    time_layers: int = 5,
    rhythm: bool = True,
    training: EarTraining | None = None,
    progress: Callable[[Iterable[int]], Iterable[int]] = lambda steps: steps,
    stop: threading.Event | None = None,
) -> tuple[Ear, dict[str, Any]]:
    """Train a classifier on a split: the weights that were best on families held back, and a record of the training.

    The same features and seed give the same weights on one machine. `stop` ends it after the step under way; the
    record's history then ends there.
    """
    training, stop = training or EarTraining(), stop or threading.Event()
    settings = features.settings
    mel = MelParameters(**settings["codec"])
    labels = settings["labels"]
    styles, ensembles = tuple(labels["style"]), tuple(labels["ensemble"])
    config = EarConfig(styles, ensembles, frames, mel, width, time_stride, time_layers, rhythm)
    none = len(config.styles)
    learn, held_back = hold_back(features, frames, training.held_back, training.seed)
    codec = LogMelCodec(mel, GriffinLim(training.iterations, mel=mel))

    def heard(items: list[_Item]) -> list[_Item]:
        if not items:
            return []
        clips = as_heard(torch.stack([clip for clip, _, _ in items]), codec)
        return [(clip, pair, spoilt) for clip, (_, pair, spoilt) in zip(clips, items, strict=True)]

    bank_rng = np.random.default_rng((training.seed, 1))
    bank = heard(_items(learn, training.round_trips, training.controls, bank_rng))
    check_items = _items(held_back, 96, training.controls, bank_rng)
    check = _examples(check_items[:64] + heard(check_items[64:]), none)

    torch.manual_seed(training.seed)
    ear = Ear(config).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(ear.parameters(), lr=training.lr, weight_decay=training.weight_decay)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, training.lr, total_steps=training.steps, pct_start=0.15)
    dtype = fast_dtype(torch.device("cpu"))
    best, best_loss, history = {}, float("inf"), []
    for step in progress(range(training.steps)):
        rng = np.random.default_rng((training.seed, 2, step))
        items = []
        for _ in range(training.batch):
            if bank and rng.random() < 0.25:
                clip, pair, spoilt = bank[int(rng.integers(len(bank)))]
            else:
                clip, pair = learn.draw(rng)
                spoilt = bool(rng.random() < training.controls)
                clip = spoil(clip, rng) if spoilt else clip
            items.append((augment(clip, frames, rng, mel), pair, spoilt))
        examples = _examples(items, none)
        ear.train()
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            judgement = ear(examples.clips)
        loss = _loss(judgement, examples, training.label_smoothing)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        scheduler.step()
        stopped = stop.is_set()
        if (step + 1) % training.check_steps == 0 or step + 1 == training.steps or stopped:
            judgement = ear.judge(check.clips)
            check_loss = _loss(judgement, check, 0.0).item()
            music = check.ensemble >= 0
            record = {
                "step": step + 1,
                "loss": round(loss.item(), 4),
                "held_back_loss": round(check_loss, 4),
                "style": round((judgement.style.argmax(1) == check.style)[music].double().mean().item(), 4),
                "ensemble": round((judgement.ensemble.argmax(1) == check.ensemble)[music].double().mean().item(), 4),
                "refused": round((judgement.style.argmax(1) == check.style)[~music].double().mean().item(), 4),
            }
            history.append(record)
            if check_loss < best_loss:
                best_loss = check_loss
                best = {name: value.clone() for name, value in ear.state_dict().items()}
        if stopped:
            break
    ear.load_state_dict(best)
    return ear.eval(), {"training": asdict(training), "split": features.split, "history": history}


def save_ear(folder: Path, ear: Ear, record: dict[str, Any]) -> None:
    """Write weights (half precision) and, in JSON, everything else; each file whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in ear.state_dict().items()
    }
    with written(folder / WEIGHTS) as partial:
        save_file(tensors, partial)
    stored = {"format": FORMAT, "ear": asdict(ear.config), "record": record}
    write_text(folder / CONFIG, json.dumps(stored, indent=1) + "\n")


def load_ear(folder: Path) -> Ear:
    """Read a classifier; FileNotFoundError if a file is missing, ValueError if one is damaged or not ours."""
    folder = Path(folder)
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"classifier: {folder} has no file {name}; python -m diffusion evaluate --train-classifier {folder}"
            )
    try:
        stored = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        if stored["format"] != FORMAT:
            raise ValueError(f"format: got {stored['format']!r}, this version reads {FORMAT}")
        s = stored["ear"]
        config = EarConfig(
            **{**s, "styles": tuple(s["styles"]), "ensembles": tuple(s["ensembles"]), "mel": MelParameters(**s["mel"])}
        )
        ear = Ear(config)
        weights = load_file(folder / WEIGHTS)
        ear.load_state_dict({n: v.float() if v.is_floating_point() else v for n, v in weights.items()})
    except (KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise ValueError(f"classifier: {folder} is damaged or not one of ours ({error})") from error
    return ear.to(memory_format=torch.channels_last).eval().requires_grad_(False)  # type: ignore[call-overload,no-any-return]
