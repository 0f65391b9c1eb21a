"""From pieces to shards of features on disk: which performance goes where, and the writing of it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open

from diffusion.audio.codec import LogMelCodec
from diffusion.data.dataset import PULSE, VERSION, save_shard
from diffusion.data.families import SPLITS
from diffusion.data.fonts import check_font, playing
from diffusion.data.key import key
from diffusion.data.labels import ENSEMBLES, LABELS, STYLES
from diffusion.data.performance import (
    HOP,
    MAX_S,
    MIN_S,
    SAMPLE_RATE_HZ,
    TAIL_S,
    TEMPO_BOUNDS,
    TEMPO_FACTOR,
    TRANSPOSE,
    Performance,
    beat,
    plan_performance,
    pulse,
    tempo,
)
from diffusion.data.practice import PRACTICES
from diffusion.data.render import LOUDNESS_DB, render_performance
from diffusion.data.scores import SOURCES, Piece, load_pieces
from diffusion.data.synthesiser import Synthesiser
from diffusion.data.workers import shared

SHARD_S = 3600.0  # about an hour of audio, every style on every ensemble
SHARES: dict[str, float] = {"madrigal": 0.6, "quartet": 0.6}
"""The share of the usual time that styles of few pieces get, so that their bars do not come back too often."""


@dataclass(frozen=True)
class Job:
    """Everything a worker needs for the shards of one split. `hours` are of audio, over all labels.

    Every performance is played with one of `fonts`, drawn from those that can play its ensemble.
    """

    out: Path
    scores: Path
    split: str
    hours: float
    seed: int
    fonts: tuple[Path, ...]

    def settings(self, shards: int) -> dict[str, Any]:
        """What the content of the shards depends on, as JSON brings it back from each of them."""
        settings = {
            "version": VERSION,
            "split": self.split,
            "hours": self.hours,
            "seed": self.seed,
            "fonts": {font.name: font.stat().st_size for font in self.fonts},
            "codec": asdict(LogMelCodec().mel),
            "loudness_db": LOUDNESS_DB,
            "labels": LABELS,
            "shares": SHARES,
            "practice": {style: asdict(practice) for style, practice in PRACTICES.items()},
            "transpose": TRANSPOSE,
            "tempo_factor": TEMPO_FACTOR,
            "tempo_bounds": TEMPO_BOUNDS,
            "shards": shards,
            "scores": _digest(self.scores),
            "sources": [asdict(source) for source in SOURCES],
        }
        return dict(json.loads(json.dumps(settings)))


def _digest(path: Path) -> str:
    """Digest of the notes of a score cache (its file also holds dates)."""
    with np.load(path, allow_pickle=False) as stored:
        parts = (np.ascontiguousarray(stored[name]).tobytes() for name in ("head", "notes", "bars"))
        return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


def _tickets(pieces: list[Piece], members: list[int], rng: np.random.Generator) -> list[int]:
    """Pieces in random order, a long one once for every MAX_S of it, so that its bars are heard as often as others'."""
    counts = [max(1, round(pieces[i].quarters * pieces[i].quarter_s / MAX_S)) for i in members]
    return [int(i) for i in rng.permutation(np.repeat(members, counts))]


def shard_count(hours: float) -> int:
    """How many shards a split of so many hours has."""
    return max(1, math.ceil(hours * 3600 / SHARD_S))


def plan_split(pieces: list[Piece], members: list[int], split: str, hours: float, seed: int) -> list[list[Performance]]:
    """The performances of every shard: each shard holds every style on every ensemble, for the same time but SHARES.

    The ensembles take turns on one shuffled list of the style's pieces, each time around in a new order.
    """
    shares = {style: SHARES.get(style, 1.0) for style in STYLES}
    least = MIN_S / 3600 * len(ENSEMBLES) * sum(shares.values()) / min(shares.values())
    if hours < least:
        raise ValueError(f"hours: got {hours}, need {least:.2f} or more for every style on every ensemble")
    missing = [style for style in STYLES if not any(pieces[i].style == style for i in members)]
    if missing:
        raise ValueError(f"split {split!r} holds no piece of the styles {missing}")
    shards = shard_count(hours)
    plan: list[list[Performance]] = [[] for _ in range(shards)]
    split_index = list(SPLITS).index(split)
    for style_index, style in enumerate(STYLES):
        mine = [i for i in members if pieces[i].style == style]
        rng = np.random.default_rng((seed, split_index, style_index))
        queue: list[int] = []
        target_s = hours * 3600 * shares[style] / (sum(shares.values()) * len(ENSEMBLES))
        done_s = [0.0] * len(ENSEMBLES)
        drawn = 0
        for shard in range(shards):
            until_s = target_s * (shard + 1) / shards
            while min(done_s) < until_s - 0.5 * MIN_S:
                ensemble = done_s.index(min(done_s))
                left_s = target_s - done_s[ensemble]
                queue = queue or _tickets(pieces, mine, rng)
                key = (seed, split_index, style_index, drawn)
                limit_s = min(MAX_S, max(left_s, MIN_S + TAIL_S))
                performance = plan_performance(pieces, queue.pop(), ENSEMBLES[ensemble], key, limit_s)
                drawn += 1
                done_s[ensemble] += performance.frames * HOP / SAMPLE_RATE_HZ
                plan[shard].append(performance)
    return plan


def shard_path(out: Path, split: str, index: int) -> Path:
    return out / split / f"{index:05d}.safetensors"


def is_finished(path: Path, settings: dict[str, Any]) -> bool:
    """Whether a shard exists and was made with these settings; ValueError if it was made with others."""
    if not path.exists():
        return False
    with safe_open(path, "pt") as shard:
        stored = json.loads((shard.metadata() or {}).get("settings", "{}"))
    differing = sorted(k for k in settings.keys() | stored.keys() if settings.get(k) != stored.get(k))
    if differing:
        what = ", ".join(f"{k}: {str(stored.get(k))[:40]} there, {str(settings.get(k))[:40]} wanted" for k in differing)
        raise ValueError(f"out: {path} was made with other settings ({what}); choose another folder or delete it")
    return True


@cache
def _synthesiser(font: Path) -> Synthesiser:
    return Synthesiser(font)


@cache
def _pieces(path: Path) -> list[Piece]:
    return load_pieces(path)


def font_for(performance: Performance, fonts: tuple[Path, ...]) -> Path:
    """The font that plays a performance."""
    able = playing(fonts, performance.ensemble)
    return able[int(np.random.default_rng((*performance.seed, 4)).integers(len(able)))]


def write_shard(
    path: Path,
    performances: list[Performance],
    pieces: list[Piece],
    families: list[int],
    fonts: tuple[Path, ...],
    settings: dict[str, Any],
) -> None:
    """Render performances, encode them, and write one shard atomically."""
    torch.set_num_threads(1)
    codec = LogMelCodec()
    mels = []
    with torch.no_grad():
        for performance in performances:
            synthesiser = _synthesiser(font_for(performance, fonts))
            wave = render_performance(pieces[performance.piece], performance, synthesiser)
            mels.append(codec.encode(torch.from_numpy(wave)[None])[0, 0].T.to(torch.float16))
    frames = torch.tensor([len(mel) for mel in mels])
    keys = [key(pieces[p.piece], p) for p in performances]
    labels = {
        "style": [pieces[p.piece].style for p in performances],
        "ensemble": [p.ensemble for p in performances],
        "mode": [mode for _, mode in keys],
        "tempo": [tempo(pieces[p.piece], p) for p in performances],
        "key": [tonic for tonic, _ in keys],
        "beat": [beat(pieces[p.piece], p) for p in performances],
    }
    columns = {name: [1 + LABELS[name].index(value) for value in values] for name, values in labels.items()}
    pulses = [pulse(pieces[p.piece], p) for p in performances]
    columns |= {
        "piece": [p.piece for p in performances],
        "family": [families[p.piece] for p in performances],
        "transpose": [p.transpose for p in performances],
    }
    tensors = {name: torch.tensor(values) for name, values in columns.items()}
    tensors |= {name: torch.tensor(values) for name, values in zip(PULSE, zip(*pulses, strict=True), strict=True)}
    tensors |= {"mel": torch.cat(mels).contiguous(), "frames": frames, "start": frames.cumsum(0) - frames}
    save_shard(path, tensors, settings)


def _shard_job(arguments: tuple[Path, list[Performance], Path, list[int], tuple[Path, ...], dict[str, Any]]) -> int:
    path, performances, scores, families, fonts, settings = arguments
    write_shard(path, performances, _pieces(scores), families, fonts, settings)
    return sum(p.frames for p in performances)


def write_splits(
    jobs: Iterable[Job],
    families: list[int],
    split_of: list[str],
    workers: int,
    progress: Callable[[Iterable[int], int], Iterable[int]] = lambda results, _: results,
) -> int:
    """Write all shards that are not there yet, in order, over processes. Returns how many were written.

    `families` and `split_of` say of every piece its family and the split that it belongs to.
    """
    todo = []
    for job in jobs:
        for font in job.fonts:
            check_font(font)
        members = [index for index, split in enumerate(split_of) if split == job.split]
        plan = plan_split(_pieces(job.scores), members, job.split, job.hours, job.seed)
        settings = job.settings(len(plan))
        for index, performances in enumerate(plan):
            path = shard_path(job.out, job.split, index)
            if not is_finished(path, settings):
                todo.append((path, performances, job.scores, families, job.fonts, settings))
    if workers == 1:
        for _ in progress(map(_shard_job, todo), len(todo)):
            pass
        return len(todo)
    with shared(_shard_job, todo, workers) as done:
        try:
            for _ in progress(done, len(todo)):
                pass
        except BrokenProcessPool as error:
            said = "a worker ended early (out of memory?); run again to go on where it stopped"
            raise ChildProcessError(said) from error
    return len(todo)
