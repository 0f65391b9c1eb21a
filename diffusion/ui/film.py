"""The pictures of a run, as the page shows and replays them."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from diffusion.audio.mel import MelParameters
from diffusion.picture import belief_range, data_uri, state_range
from diffusion.studio import Clip, Preview, Request

INTERVAL_S = 0.05  # at most twenty pictures a second
FEWEST = 10  # pictures of a run that is over sooner
KEPT = 16  # pictures to replay
FRAME_QUALITY, SCORE_QUALITY = 60, 90
NOTES_HZ = {f"C{octave}": 440 * 2 ** (octave - 4 - 9 / 12) for octave in range(3, 10)}


class Film:
    """The pictures of one run: each a dict of data URIs `noise` and `belief` (None before the first) and numbers."""

    def __init__(self, mel: MelParameters, request: Request) -> None:
        self.mel = mel
        self.request = request
        self.frames: list[dict[str, Any]] = []
        self._last_s = -INTERVAL_S
        self._stride = 1
        self._seen = 0

    def wants(self, preview: Preview) -> bool:
        """Whether a picture is due: enough time has gone by, or it takes one of `FEWEST` evenly spread places."""
        place = preview.index * FEWEST // preview.total
        marked = preview.index == 0 or place != (preview.index - 1) * FEWEST // preview.total
        return marked or time.monotonic() - self._last_s >= INTERVAL_S

    def add(self, preview: Preview) -> dict[str, Any]:
        """Draw the picture of a preview and keep it; of a long run, only every second, fourth, ... is kept."""
        frame = {
            "seed": self.request.seed,
            "duration_s": self.request.duration_s,
            "index": preview.index,
            "total": preview.total,
            "t": preview.t,
            "log_snr": preview.log_snr,
            "evaluations": preview.evaluations,
            "seconds": round(preview.seconds, 2),
            "noise": data_uri(preview.x, state_range(self.mel, preview.alpha, preview.sigma), FRAME_QUALITY),
            "belief": None if preview.x0 is None else data_uri(preview.x0, belief_range(self.mel), FRAME_QUALITY),
        }
        self._last_s = time.monotonic()
        if self._seen % self._stride == 0:
            self.frames.append(frame)
        if len(self.frames) > KEPT:
            self.frames = self.frames[::2]
            self._stride *= 2
        self._seen += 1
        return frame

    def story(self, clip: Clip) -> dict[str, Any]:
        """All that the page shows of a finished run, beside its WAV file."""
        return {
            "settings": clip.settings,
            "seconds": round(clip.seconds, 2),
            "film": self.frames,
            "score": score(clip.features, self.mel),
        }


def score(features: np.ndarray, mel: MelParameters) -> str:
    """The finished picture of features (bands, F), a data URI."""
    return data_uri(features, belief_range(mel), SCORE_QUALITY)


def notes(mel: MelParameters) -> str:
    """The frequency axis: where the Cs lie, as HTML."""
    centres = mel.frequencies_hz
    bands = {name: float(np.interp(hz, centres, np.arange(mel.bands))) for name, hz in NOTES_HZ.items()}
    marks = (
        f'<span style="bottom:{100 * (band + 0.5) / mel.bands:.2f}%">{name}</span>' for name, band in bands.items()
    )
    return f'<div class="notes" aria-hidden="true">{"".join(marks)}</div>'
