"""The key, by the pitches that are played and the key signature they are written under."""

from __future__ import annotations

import numpy as np

from diffusion.data.labels import KEYS, MODES
from diffusion.data.performance import Performance, excerpt
from diffusion.data.scores import Piece

# How well listeners find each degree of a major and of a minor scale to fit (Krumhansl & Kessler 1982), in semitones.
PROFILES = np.array(
    [
        [6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88],
        [6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17],
    ]
)
_SIGNATURE = 0.25  # correlation that the two keys of the signature are given ahead


def key_scores(notes: np.ndarray, fifths: int) -> np.ndarray:
    """How well notes (n, 4) fit the keys (2 modes, 12 tonics): correlation with their profiles, and the signature."""
    weights = np.bincount(notes[:, 2].astype(int) % 12, weights=notes[:, 1], minlength=12)
    scores = np.array([[np.corrcoef(np.roll(profile, k), weights)[0, 1] for k in range(12)] for profile in PROFILES])
    major = 7 * fifths % 12
    scores[0, major] += _SIGNATURE
    scores[1, (major + 9) % 12] += _SIGNATURE
    return scores


def key(piece: Piece, performance: Performance) -> tuple[str, str]:
    """Which of KEYS is the tonic of the excerpt, as it sounds, and which of MODES it is in."""
    scores = key_scores(excerpt(piece, performance), piece.fifths)
    mode, tonic = np.unravel_index(int(scores.argmax()), scores.shape)
    return KEYS[(int(tonic) + performance.transpose) % 12], MODES[int(mode)]
