"""What training reads: random crops of labelled features. Needs nothing of what made them."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from diffusion.audio.mel import MelParameters
from diffusion.files import written

VERSION = 4
BANDS = MelParameters.bands
LABELS = ("style", "ensemble", "mode", "tempo", "key", "beat")
PULSE = ("beat_frames", "beat_at")  # frames of a beat, and the frame of one of them; recordings do not say
_COLUMNS = ("start", "frames", *LABELS, "piece", "family", "transpose")


def save_shard(path: Path, tensors: dict[str, Tensor], settings: dict[str, Any]) -> None:
    """Write a shard, or nothing at all: a full disk or an interruption leaves no half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with written(path) as partial:
        save_file(tensors, partial, metadata={"settings": json.dumps(settings)})


@dataclass(frozen=True)
class _Cell:
    """Performances (n,) of one style on one ensemble: number, and length in frames."""

    index: np.ndarray
    frames: np.ndarray


def shards(folder: Path, split: str) -> list[Path]:
    """The files of a split that are there, in order; while they are still being made, more may come."""
    return sorted((Path(folder) / split).glob("[0-9]*.safetensors"))


class Features:
    """The performances of one split in `folder`/`split`/*.safetensors, their features mapped from disk.

    `mels` holds a tensor (frames, 128) for each shard. `columns` holds (n,) int64 arrays over all performances: shard,
    start, frames, the LABELS, piece, family, transpose (labels count from 1, 0 is "any"), and float64 ones of the
    PULSE, 0 where it is unknown. `settings` is what made the data: "labels" (name: values), codec, font, sources.
    `longest_frames` is the length of the longest performance, and so of the longest crop.
    """

    def __init__(self, folder: Path, split: str) -> None:
        """FileNotFoundError if there is nothing to read; ValueError for a broken one, other bands, another version."""
        paths = shards(folder, split)
        if not paths:
            raise FileNotFoundError(
                f"no features in {Path(folder) / split}: run python -m diffusion data --out {folder}"
            )
        self.split = split
        self.mels: list[Tensor] = []
        columns: dict[str, list[np.ndarray]] = {name: [] for name in ("shard", *_COLUMNS, *PULSE)}
        self.settings: dict[str, Any] = {}
        for index, path in enumerate(paths):
            try:
                with safe_open(path, "pt") as shard:
                    settings = json.loads((shard.metadata() or {}).get("settings", "{}"))
                    if settings.get("version") != VERSION:
                        raise ValueError(
                            f"{path} has format {settings.get('version')}, this version reads {VERSION}: make the "
                            "data again, into another folder, by python -m diffusion data"
                        )
                    mel = shard.get_tensor("mel")
                    table = {name: shard.get_tensor(name).numpy() for name in _COLUMNS}
                    unknown = np.zeros(len(table["start"]))
                    told = set(shard.keys())
                    table |= {name: shard.get_tensor(name).numpy() if name in told else unknown for name in PULSE}
            except SafetensorError as error:
                raise ValueError(f"{path} is truncated or not a shard of features ({error}): delete it") from error
            if mel.ndim != 2 or mel.shape[1] != BANDS:
                raise ValueError(f"{path}: mel must have shape (frames, {BANDS}), got {tuple(mel.shape)}")
            if int((table["start"] + table["frames"]).max(initial=0)) > len(mel):
                raise ValueError(f"{path}: performances reach past the {len(mel)} frames of mel")
            if self.settings and settings != self.settings:
                raise ValueError(f"{path} was made with other settings than {paths[0].name}")
            self.settings = settings
            self.mels.append(mel)
            columns["shard"].append(np.full(len(table["start"]), index))
            for name in (*_COLUMNS, *PULSE):
                columns[name].append(table[name])
        self.columns = {name: np.concatenate(parts) for name, parts in columns.items()}
        self._cells = self._by_label()
        self.longest_frames = max(int(cell.frames.max()) for cell in self._cells.values())

    def _by_label(self) -> dict[tuple[int, int], _Cell]:
        c = self.columns
        cells = {}
        for style, ensemble in np.unique(np.stack([c["style"], c["ensemble"]], axis=1), axis=0).tolist():
            mine = np.flatnonzero((c["style"] == style) & (c["ensemble"] == ensemble))
            cells[style, ensemble] = _Cell(mine, c["frames"][mine])
        return cells

    def __len__(self) -> int:
        """Number of performances."""
        return len(self.columns["frames"])

    def in_memory(self, device: torch.device) -> Features:
        """These features in the memory of a device and in one piece, so that one gather there makes a batch."""
        there = copy.copy(self)
        there.mels = [torch.cat([mel.to(device) for mel in self.mels])]
        shard, start = self.columns["shard"], self.columns["start"]
        before = np.cumsum([0, *map(len, self.mels)])
        there.columns = self.columns | {"shard": np.zeros_like(shard), "start": start + before[shard]}
        return there

    def performance(self, index: int) -> Tensor:
        """Features (1, 128, frames) float32 of one whole performance."""
        c = self.columns
        start, frames = int(c["start"][index]), int(c["frames"][index])
        return self.mels[int(c["shard"][index])][start : start + frames].T.float()[None]

    def crop(self, rng: np.random.Generator, frames: int, batch: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Crops (B, 1, 128, frames) float32 and their LABELS {name: (B,)} int64, counted from 1; 0 is "any".

        With them the "pulse" (B, 2) float32: beats a frame, 0 where they are unknown, and how far into a beat a crop
        begins. Crops are where the features are, labels on the CPU.

        Draws uniformly among the pairs of style and ensemble with a performance long enough, then a start uniformly
        over all starts in these. The result follows from the state of `rng` alone, so a run resumes exactly where its
        generator is restored. ValueError if no performance has `frames` frames.
        """
        if frames < 1 or batch < 1:
            raise ValueError(f"frames and batch must be positive, got frames={frames}, batch={batch}")
        if frames > self.longest_frames:
            raise ValueError(f"frames must be at most {self.longest_frames} in split {self.split!r}, got {frames}")
        cells = [cell for cell in self._cells.values() if cell.frames.max() >= frames]
        ends = [np.maximum(cell.frames - frames + 1, 0).cumsum() for cell in cells]  # of the starts in each performance
        chosen = np.empty(batch, dtype=np.int64)
        begins = np.empty(batch, dtype=np.int64)
        for row in range(batch):
            which = int(rng.integers(len(cells)))
            drawn = int(rng.integers(ends[which][-1]))
            index = int(np.searchsorted(ends[which], drawn, side="right"))
            begins[row] = drawn - (int(ends[which][index - 1]) if index else 0)
            chosen[row] = cells[which].index[index]
        crops = self._gather(self.columns["shard"][chosen], self.columns["start"][chosen] + begins, frames)
        labels = {name: torch.from_numpy(self.columns[name][chosen].astype(np.int64)) for name in LABELS}
        beat_frames, beat_at = (self.columns[name][chosen] for name in PULSE)
        rate = np.divide(1, beat_frames, out=np.zeros(batch), where=beat_frames > 0)
        pulse = np.stack([rate, (begins - beat_at) * rate % 1], axis=1)
        return crops, labels | {"pulse": torch.from_numpy(pulse.astype(np.float32))}

    def _gather(self, shard: np.ndarray, first: np.ndarray, frames: int) -> Tensor:
        """The crops (B, 1, 128, frames) float32 that begin at frame `first` (B,) of `shard` (B,)."""
        crops = torch.empty(len(shard), frames, BANDS, device=self.mels[0].device)
        for number in np.unique(shard):
            mine = np.flatnonzero(shard == number)
            rows = torch.from_numpy(first[mine]).to(crops.device)[:, None] + torch.arange(frames, device=crops.device)
            crops[torch.from_numpy(mine).to(crops.device)] = self.mels[number][rows].float()
        return crops.transpose(1, 2)[:, None].contiguous()
