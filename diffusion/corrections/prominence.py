"""How far the loudest moments of a clip stand out of it, and a limiter for features."""

from __future__ import annotations

import torch
from torch import Tensor

from diffusion.audio.mel import MelParameters

LOUD = 1 / 20  # of the frames may be louder than the level that peaks are measured from: half a second of ten


def prominence_db(features: Tensor, mel: MelParameters) -> Tensor:
    """How far (B,) the loudest frame of features (B, 1, bands, F) lies above the level that LOUD of them exceed."""
    return mel.unit_db * _prominence(features, mel).amax(-1)


def limited(features: Tensor, most_db: Tensor, mel: MelParameters) -> Tensor:
    """Features (B, 1, bands, F) with every frame that stands out by more than `most_db` (B,) turned down to that.

    All bands of a frame alike, as a gain would. Nothing else changes, nor does the level that peaks are measured from.
    """
    excess = _prominence(features, mel) - most_db.to(features)[:, None] / mel.unit_db
    return features - excess.clamp(min=0)[:, None, None]


def _prominence(features: Tensor, mel: MelParameters) -> Tensor:
    """How far (B, F) the power of each frame lies above the level that LOUD of the frames exceed, in features."""
    power = 2 * mel.scale  # features are logarithms of amplitude
    level = torch.logsumexp(features[:, 0] * power, dim=1) / power
    return level - level.sort(1, descending=True).values[:, int(LOUD * level.shape[1]), None]
