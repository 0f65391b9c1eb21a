"""The slow reveal: what the model believed at the steps of a run, to be heard one after the other."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from diffusion.codecs import BELIEF
from diffusion.engine import Clip
from diffusion.film import Film
from diffusion.studio import Studio
from diffusion.ui.messages import Heard, encoded

AGE_S = 600  # without use
FILMS = 64
BYTES = 200 * 2**20
REVEAL_S = 8.0
LONGEST_S = 2.0  # for one step
HISS_DB = -10.0  # noise covers the whole range of hearing: at the loudness of music it would be a blast


@dataclass(frozen=True)
class Reel:
    """The beliefs of one run by step, features (*shape) float16, and how long each takes to become the next.

    `gain` is that of the clip, so that every belief is as loud as the model believes the music to be: early ones are
    averages over all music that is still possible, 10 to 20 dB below the clip, and they swell as they clear up.
    """

    beliefs: dict[int, np.ndarray]
    seconds: dict[int, float]
    gain: float
    decoder: str

    @classmethod
    def of(cls, film: Film, clip: Clip, studio: Studio) -> Reel:
        """The reel of a run that is over."""
        steps = [frame["index"] for frame in film.cut()]
        low, high = studio.codec.limits(*BELIEF)
        heard = [each.astype(np.float32).clip(low, high) for each in (*film.beliefs, clip.features)]
        changes = [float(np.abs(after - before).mean()) for before, after in pairwise(heard)]
        # The mean change in dB falls a hundredfold from the first step to the last. Time in proportion to its square
        # root gives the noise about a quarter, and neither races through the outlines nor dwells on what is settled.
        roots = np.sqrt(changes)
        seconds = (REVEAL_S * roots / max(roots.sum(), 1e-9)).clip(0.1, LONGEST_S).tolist()
        return cls(
            dict(zip(steps, film.beliefs, strict=True)),
            dict(zip(steps, seconds, strict=True)),
            clip.gain,
            clip.settings["decoder"],
        )

    @property
    def size_bytes(self) -> int:
        return sum(each.nbytes for each in self.beliefs.values())

    def heard(self, step: int, studio: Studio) -> Heard:
        """What is heard of a step, and the seconds of its crossfade into the next.

        All sounds are as long as the clip, sample for sample, which lossy formats do not promise. A FLAC file takes
        half as much as a WAV.
        """
        belief = self.beliefs[step].astype(np.float32)
        if step:
            wave = studio.sound(belief, self.gain, self.decoder)
        else:
            wave = studio.sound(belief, decoder=self.decoder) * 10 ** (HISS_DB / 20)
        return {
            "audio": encoded(_flac(wave, studio.mel.sample_rate_hz)),
            "seconds": round(self.seconds[step], 3),
        }


class Reels:
    """The reel of each visitor's latest run, by the run's name, which nobody else can guess. In memory alone.

    One that nobody has asked for in `AGE_S` is dropped, and so is the one asked for longest ago when they become more
    than `FILMS` or take more than `BYTES`.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._reels: dict[str, tuple[str, Reel, float]] = {}  # owner, reel, last use; in the order of last use

    def keep(self, run: str, owner: str, reel: Reel) -> None:
        """Keep the reel of a run in place of its owner's last."""
        with self._lock:
            self._drop(owner)
            self._reels[run] = owner, reel, self._clock()
            self._tidy()

    def get(self, run: str) -> Reel | None:
        """The reel of a run, or None where it has expired or never was."""
        with self._lock:
            self._tidy()
            if run not in self._reels:
                return None
            owner, reel, _ = self._reels.pop(run)
            self._reels[run] = owner, reel, self._clock()
            return reel

    def drop(self, owner: str) -> None:
        """Forget what an owner has."""
        with self._lock:
            self._drop(owner)

    def __len__(self) -> int:
        return len(self._reels)

    def _drop(self, owner: str) -> None:
        self._reels = {run: entry for run, entry in self._reels.items() if entry[0] != owner}

    def _tidy(self) -> None:
        oldest = self._clock() - AGE_S
        self._reels = {run: entry for run, entry in self._reels.items() if entry[2] >= oldest}
        size = sum(reel.size_bytes for _, reel, _ in self._reels.values())
        while len(self._reels) > FILMS or size > BYTES:
            _, reel, _ = self._reels.pop(next(iter(self._reels)))
            size -= reel.size_bytes


def _flac(wave: np.ndarray, sample_rate_hz: int) -> bytes:
    """A wave (N,) within -1 and 1 as a 16-bit FLAC file."""
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, wave, sample_rate_hz, format="FLAC", subtype="PCM_16")
    return file.getvalue()
