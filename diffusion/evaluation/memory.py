"""Does a model recite? A search for clips in all training music, by harmony and rhythm, in every key, at every place.

The same search for held-out clips tells how similar music of these styles is without reciting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from scipy import fft
from torch import Tensor
from torch.nn import functional as F

from diffusion.audio.mel import MelParameters
from diffusion.data.dataset import Features
from diffusion.evaluation.music import chroma, onset_strength

FRAMES = 4  # of the features for one frame of the memory: 15.6 a second
WINDOW_FRAMES = 16  # of the features, weighted by a raised cosine, that one frame of the memory describes
BLOCK = 2**14  # frames of the memory that are transformed at once
SILENT = 1e-3  # a norm below which nothing changes
ONSET_WEIGHT = 30.0  # gives the onsets a quarter of the variance of the twelve pitch classes together


def describe(features: Tensor, mel: MelParameters) -> Tensor:
    """What is stored of features (n, 1, bands, F): (n, 13, F // FRAMES), twelve pitch classes and onset strength.

    It is so smooth that a copy is found even if its frames fall between those of the memory.
    """
    rows = torch.cat([chroma(features, mel), ONSET_WEIGHT * onset_strength(features, mel)[:, None]], 1)
    window = torch.hann_window(WINDOW_FRAMES).to(rows)
    window = (window / window.sum()).expand(rows.shape[1], 1, -1)
    beyond = (WINDOW_FRAMES - FRAMES) // 2
    padded = F.pad(rows, (beyond, beyond), mode="replicate")
    return F.conv1d(padded, window, stride=FRAMES, groups=rows.shape[1])


@dataclass(frozen=True)
class _Places:
    """What a search for clips of `length` frames needs: overlapping blocks of `size`, and a norm for each place."""

    length: int
    size: int
    inverse_norms: np.ndarray
    spectra: list[np.ndarray]


class Memory:
    """All music of a split, described (13, positions), to be searched for clips."""

    def __init__(
        self,
        features: Features,
        *,
        progress: Callable[[Iterable[int]], Iterable[int]] = lambda performances: performances,
    ) -> None:
        """Describe every performance: 70 MB for 24 hours, and 90 MB more while they are searched."""
        self.mel = MelParameters(**features.settings["codec"])
        parts = [
            describe(features.performance(index)[None], self.mel)[0].numpy() for index in progress(range(len(features)))
        ]
        self.rows = np.concatenate(parts, 1)
        self.lengths = np.array([part.shape[1] for part in parts])
        self._places: _Places | None = None

    def nearest(
        self, heard: Tensor, *, progress: Callable[[Iterable[int]], Iterable[int]] = lambda clips: clips
    ) -> Tensor:
        """The best similarity (n,) float32 of clips (n, 1, bands, F) to any stretch of a performance, in any key.

        Similarity is the normalised cross-correlation over time, pitch classes and onsets, each of the 13 rows less its
        mean over the stretch: 1 for the same music, near 0 for unrelated, and 0 where either does not change at all.
        ValueError if the clips are shorter than two frames of the memory or longer than every performance.
        """
        clips = describe(heard.float(), self.mel).numpy()
        length = clips.shape[2]
        if not 2 <= length <= self.lengths.max():
            raise ValueError(
                f"heard: got {heard.shape[-1]} frames, allowed {2 * FRAMES} to {FRAMES * self.lengths.max()}"
            )
        if self._places is None or self._places.length != length:
            self._places = self._prepare(length)
        places = self._places
        hop = places.size - length + 1
        clips -= clips.mean(2, keepdims=True)
        best = np.zeros(len(clips), dtype=np.float32)
        for index in progress(range(len(clips))):
            norm = np.linalg.norm(clips[index])
            if norm < SILENT:
                continue
            conjugate = _spectrum(clips[index], places.size).conj()
            for start, spectrum in zip(range(0, len(places.inverse_norms), hop), places.spectra, strict=True):
                product = spectrum * conjugate
                product[0] += 12 * product[12]  # the onsets are the same in every key: a constant over pitch classes
                inverse = places.inverse_norms[start : start + hop]
                found = fft.irfft2(product[:12], s=(12, places.size))[:, : len(inverse)].max(0)  # over keys
                best[index] = max(best[index], (found * inverse).max() / norm)
        return torch.from_numpy(best)

    def _prepare(self, length: int) -> _Places:
        inverse = self._inverse_norms(length)
        size = fft.next_fast_len(max(BLOCK, 2 * length), real=True)
        starts = range(0, len(inverse), size - length + 1)
        return _Places(length, size, inverse, [_spectrum(self.rows[:, start : start + size], size) for start in starts])

    def _inverse_norms(self, length: int) -> np.ndarray:
        """1 / the norm, rows less their means, of each stretch of `length`; 0 for silence and across performances."""
        sums = np.pad(self.rows.cumsum(1, dtype=np.float64), ((0, 0), (1, 0)))
        squares = np.pad(np.square(self.rows, dtype=np.float64).sum(0).cumsum(), (1, 0))
        mean_squares = np.square(sums[:, length:] - sums[:, :-length]).sum(0) / length
        norms = np.sqrt((squares[length:] - squares[:-length] - mean_squares).clip(0))
        left = np.concatenate([np.arange(count, 0, -1) for count in self.lengths])[: len(norms)]  # in the performance
        inverse: np.ndarray = np.where((left >= length) & (norms >= SILENT), 1 / norms.clip(SILENT), 0)
        return inverse.astype(np.float32)


def _spectrum(rows: np.ndarray, size: int) -> np.ndarray:
    """(13, size // 2 + 1) of rows (13, positions): pitch classes over both axes, onsets over time; padded to `size`."""
    classes = fft.rfft2(rows[:12], s=(12, size))
    return np.concatenate([classes, fft.rfft(rows[12:], size)])
