"""How rendered music ends: the last note is released, and the room goes silent."""

from __future__ import annotations

import torch
from torch import Tensor

from diffusion.audio.mel import MelParameters

ENDING = "ending"
ENDINGS = ("goes_on", "ends")
RELEASE_S = 1.55  # from the release of the last note to the end of a performance, its silence included
LEAST_S = 0.5  # from there to the end of a clip in which the music is heard to end
LOUDEST = 1.25  # as a feature: three quarters of all endings are nowhere louder when the last note is released
FALL_DB_PER_S = 80.0  # nor louder after it than what falls so fast from there


def ceiling(release_s: Tensor, frames: int, mel: MelParameters) -> Tensor:
    """How high features (B, 1, bands, frames) may be, (B, 1, 1, frames), of clips whose last note is released then.

    `release_s` (B,) counts from the beginning of the clip; infinite for music that goes on, which may be as high as
    features go.
    """
    since_s = (torch.arange(frames, device=release_s.device) + 0.5) / mel.frames_per_s - release_s[:, None]
    low, high = mel.bounds
    falling = (LOUDEST - since_s * FALL_DB_PER_S / mel.unit_db).clamp(min=low)
    return torch.where(since_s < 0, high, falling).float()[:, None, None]
