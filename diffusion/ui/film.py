"""The pictures of a run, as the page shows and replays them."""

from __future__ import annotations

import time
from typing import Any

from diffusion.audio.mel import MelParameters
from diffusion.picture import belief_range, data_uri, state_range
from diffusion.studio import Preview

INTERVAL_S = 0.05  # at most twenty pictures a second
FEWEST = 10  # pictures of a run that is over sooner
KEPT = 16  # pictures to replay


class Film:
    """The pictures of one run: each a dict of data URIs `noise` and `belief` (None before the first) and numbers."""

    def __init__(self, mel: MelParameters) -> None:
        self.mel = mel
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
            "index": preview.index,
            "total": preview.total,
            "t": preview.t,
            "log_snr": preview.log_snr,
            "evaluations": preview.evaluations,
            "seconds": round(preview.seconds, 2),
            "noise": data_uri(preview.x, state_range(self.mel, preview.alpha, preview.sigma)),
            "belief": None if preview.x0 is None else data_uri(preview.x0, belief_range(self.mel)),
        }
        self._last_s = time.monotonic()
        if self._seen % self._stride == 0:
            self.frames.append(frame)
        if len(self.frames) > KEPT:
            self.frames = self.frames[::2]
            self._stride *= 2
        self._seen += 1
        return frame
