"""The pictures of a run, as they are shown while it goes on and replayed afterwards."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from diffusion.codecs import BELIEF, Codec
from diffusion.engine import Clip, Preview
from diffusion.picture import data_uri
from diffusion.request import Request

INTERVAL_S = 0.05  # at most twenty pictures a second
FEWEST = 10  # pictures of a run that is over sooner
KEPT = 24  # steps to replay: their pictures and their beliefs
FRAME_QUALITY, FINISHED_QUALITY = 60, 90


class Film:
    """What is kept of one run: of up to `KEPT` steps evenly spread over it, the first and the last included, a frame
    and what the model believed.

    A frame is a dict of data URIs `noise` and `belief` (None before the first) and numbers; `beliefs` are features
    (*shape) float16, and before the first it is the noise, with the contrast that its picture has.
    """

    def __init__(self, codec: Codec, request: Request) -> None:
        self.codec = codec
        self.request = request
        self.frames: list[dict[str, Any]] = []
        self.beliefs: list[np.ndarray] = []
        self._last: Preview | None = None
        self._last_s = -INTERVAL_S
        self._stride = 1

    def add(self, preview: Preview) -> dict[str, Any] | None:
        """Keep a preview for now, and give its frame if one is due to be shown while the run goes on.

        Which steps are kept depends on nothing but the run; while it lasts they are up to twice as many.
        """
        self._last = preview
        due, kept = self._due(preview), preview.index % self._stride == 0
        if not due and not kept:
            return None
        frame = self._frame(preview)
        if kept:
            self._keep(preview, frame)
        if len(self.frames) > 2 * KEPT:
            self.frames, self.beliefs = self.frames[::2], self.beliefs[::2]
            self._stride *= 2
        if due:
            self._last_s = time.monotonic()
        return frame if due else None

    def cut(self) -> list[dict[str, Any]]:
        """The frames of a run that is over."""
        if self._last is not None and self._last.index != self.frames[-1]["index"]:
            self._keep(self._last, self._frame(self._last))
        if len(self.frames) > KEPT:
            places = np.linspace(0, len(self.frames) - 1, KEPT).round().astype(int)
            self.frames = [self.frames[place] for place in places]
            self.beliefs = [self.beliefs[place] for place in places]
        return self.frames

    def story(self, clip: Clip) -> dict[str, Any]:
        """All that the page shows of a finished run, beside its WAV file."""
        return {
            "settings": clip.settings,
            "seconds": round(clip.seconds, 2),
            "film": self.cut(),
            "picture": finished_picture(clip.features, self.codec),
        }

    def _due(self, preview: Preview) -> bool:
        """Whether enough time has gone by since the last picture, or it takes one of `FEWEST` evenly spread places."""
        place = preview.index * FEWEST // preview.total
        marked = preview.index == 0 or place != (preview.index - 1) * FEWEST // preview.total
        return marked or time.monotonic() - self._last_s >= INTERVAL_S

    def _frame(self, preview: Preview) -> dict[str, Any]:
        return {
            "seed": self.request.seed,
            "duration_s": self.request.duration_s,
            "index": preview.index,
            "total": preview.total,
            "t": preview.t,
            "log_snr": preview.log_snr,
            "evaluations": preview.evaluations,
            "seconds": round(preview.seconds, 2),
            "noise": state_picture(preview, self.codec),
            "belief": None if preview.x0 is None else belief_picture(preview.x0, self.codec),
        }

    def _keep(self, preview: Preview, frame: dict[str, Any]) -> None:
        belief = preview.x0
        if belief is None:
            low, high = self.codec.limits(*BELIEF)
            dark, bright = self.codec.limits(preview.alpha, preview.sigma)
            belief = low + (preview.x - dark) * ((high - low) / (bright - dark))
        self.frames.append(frame)
        self.beliefs.append(belief.astype(np.float16))


def state_picture(preview: Preview, codec: Codec) -> str:
    """The state of a step, a data URI."""
    return data_uri(codec.picture(preview.x, codec.limits(preview.alpha, preview.sigma)), FRAME_QUALITY)


def belief_picture(features: np.ndarray, codec: Codec) -> str:
    """A belief (*shape) on the way, a data URI."""
    return data_uri(codec.picture(features, codec.limits(*BELIEF)), FRAME_QUALITY)


def finished_picture(features: np.ndarray, codec: Codec) -> str:
    """The picture of finished features (*shape), a data URI."""
    return data_uri(codec.picture(features, codec.limits(*BELIEF)), FINISHED_QUALITY)
