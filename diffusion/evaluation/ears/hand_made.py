"""Musical features that were chosen by hand: harmony, rhythm, movement and colour, and nothing learned."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from diffusion.audio.mel import MelParameters
from diffusion.evaluation.music import chroma, onset_strength

BATCH = 32
CHANGE_FRAMES = 8  # 128 ms: between a fast note and the next
QUANTILES = (0.5, 0.9)
LAGS_S = (0.08, 0.12, 0.16, 0.2, 0.25, 0.3, 0.36, 0.43, 0.5, 0.6, 0.72, 0.86, 1.0, 1.25, 1.5, 2.0)
MODULATIONS_HZ = (0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6)  # the edges of six octaves
MODULATION_GROUPS = 8
SPECTRUM_GROUPS = 16

# They bring the variance of each group to about 1. Measured once on training music, then rounded; part of the ear, like
# the lags above.
SCALES = {
    "chroma": 1.0,
    "changes": 1.5,
    "onsets": 33.0,
    "rhythm": 1.5,
    "modulation": 2.6,
    "spectrum": 0.7,
}


class HandMade:
    """Features of a clip, each group times a fixed constant. Frozen: constants, lags and edges may not change."""

    title = "Hand-made features"
    summary = (
        "pitch classes and their changes, onsets and how they repeat, modulation of bands, mean spectrum; nothing in "
        "it was learned"
    )

    def __init__(self, mel: MelParameters) -> None:
        self.mel = mel

    @torch.no_grad()
    def embed(self, heard: Tensor) -> Tensor:
        """Embeddings (n, D) float32 of features (n, 1, bands, frames); D does not depend on the length."""
        return torch.cat(
            [
                torch.cat([SCALES[name] * values for name, values in self.groups(rows).items()], 1)
                for rows in heard.float().split(BATCH)
            ]
        )

    def groups(self, heard: Tensor) -> dict[str, Tensor]:
        """The features (n, d) of features (n, 1, bands, frames) by group, before they are scaled."""
        onsets = onset_strength(heard, self.mel)
        pitches = chroma(heard, self.mel)
        changes = (pitches[..., CHANGE_FRAMES:] - pitches[..., :-CHANGE_FRAMES]).abs()
        return {
            "chroma": _spread(pitches),
            "changes": _spread(changes),
            "onsets": _spread(onsets[:, None]),
            "rhythm": self._rhythm(onsets),
            "modulation": self._modulation(heard),
            "spectrum": F.avg_pool2d(heard, (heard.shape[2] // SPECTRUM_GROUPS, heard.shape[3])).flatten(1),
        }

    def _rhythm(self, onsets: Tensor) -> Tensor:
        """Autocorrelation (n, lags) of onset strengths (n, frames); 0 at lags longer than the clip."""
        centred = onsets - onsets.mean(1, keepdim=True)
        power = torch.fft.rfft(centred, 2 * onsets.shape[1]).abs().square()
        correlation = torch.fft.irfft(power)[:, : onsets.shape[1]]
        correlation = correlation / correlation[:, :1].clamp(min=1e-6)
        lags = [round(lag_s * self.mel.frames_per_s) for lag_s in LAGS_S]
        correlation = F.pad(correlation, (0, max(0, lags[-1] + 1 - onsets.shape[1])))
        return correlation[:, lags]

    def _modulation(self, heard: Tensor) -> Tensor:
        """Spread (n, groups * octaves) of each group of bands within each octave of modulation."""
        frames = heard.shape[3]
        levels = F.avg_pool2d(heard, (heard.shape[2] // MODULATION_GROUPS, 1))[:, 0]
        window = torch.hann_window(frames)
        levels = (levels - levels.mean(2, keepdim=True)) * window
        power = torch.fft.rfft(levels).abs().square() / (frames * window.square().sum() / 2)
        edges = torch.tensor(MODULATIONS_HZ) * frames / self.mel.frames_per_s
        bins = torch.arange(power.shape[2])
        octaves = ((bins >= edges[:-1, None]) & (bins < edges[1:, None])).float()
        spread: Tensor = (power @ octaves.T).sqrt()
        return spread.flatten(1)


def _spread(rows: Tensor) -> Tensor:
    """Means, standard deviations and quantiles over time, (n, 4 d), of rows (n, d, frames)."""
    quantiles = rows.quantile(torch.tensor(QUANTILES), dim=2)
    return torch.cat([rows.mean(2), rows.std(2, correction=0), *quantiles], 1)
