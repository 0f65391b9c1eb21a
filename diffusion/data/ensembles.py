"""Who plays: the voices of every ensemble, and how the parts of a score are given to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from diffusion.data.labels import ENSEMBLES


@dataclass(frozen=True)
class Voice:
    """A General MIDI program (from 0), the MIDI pitches it plays, and how much of its written length a note sounds.

    `volume` is MIDI's channel volume, which evens out the voices of an ensemble (60 dB for each factor of ten);
    `tuning_cents` corrects samples that are out of tune in every font.
    """

    program: int
    lowest: int
    highest: int
    held: float
    volume: int = 100
    tuning_cents: float = 0.0


# From the highest voice to the lowest. A voice alone plays every part, as the hands of a keyboard player do.
VOICES: dict[str, tuple[Voice, ...]] = {
    "piano": (Voice(0, 28, 100, 0.95),),
    "harpsichord": (Voice(6, 29, 89, 0.92),),
    "organ": (Voice(19, 36, 93, 0.96),),
    "accordion": (Voice(21, 45, 91, 0.95),),
    "guitar": (Voice(24, 40, 83, 1.0),),
    "marimba": (Voice(12, 45, 96, 1.0),),
    "vibraphone": (Voice(11, 53, 89, 1.0),),
    # violin, viola, cello
    "strings": (Voice(40, 55, 96, 0.98), Voice(41, 48, 84, 0.98), Voice(42, 36, 72, 0.98, volume=106)),
    # flute, alto and bass flute
    "flute": (Voice(73, 60, 96, 0.95), Voice(73, 55, 91, 0.95), Voice(73, 48, 84, 0.95)),
    # oboe, clarinet, bassoon
    "reeds": (Voice(68, 58, 89, 0.95, volume=93), Voice(71, 50, 89, 0.95, volume=112), Voice(70, 34, 72, 0.95)),
    # trumpet, horn, trombone, tuba
    "brass": (
        Voice(56, 54, 84, 0.95),
        Voice(60, 43, 77, 0.95),
        Voice(57, 40, 72, 0.95, volume=82),
        Voice(58, 28, 60, 0.95, volume=86),
    ),
    # soprano, alto, tenor, bass; singers sampled a little flat
    "choir": (
        Voice(52, 60, 81, 0.98, tuning_cents=15.0),
        Voice(52, 55, 76, 0.98, tuning_cents=15.0),
        Voice(52, 48, 69, 0.98, volume=108, tuning_cents=15.0),
        Voice(52, 40, 62, 0.98, volume=108, tuning_cents=15.0),
    ),
}
assert tuple(VOICES) == ENSEMBLES


def cast(ensemble: str, heights: dict[int, float], rng: np.random.Generator) -> dict[int, Voice]:
    """The voice of every part, by the mean pitch `heights` of the parts: the highest part to the first voice.

    Parts share the voices evenly, the upper ones twice if need be (a quartet has two violins). A tune of one part is
    played by one of the two highest voices.
    """
    voices = VOICES[ensemble]
    if len(heights) == 1:
        return {part: voices[int(rng.integers(min(2, len(voices))))] for part in heights}
    ranked = sorted(heights, key=lambda part: -heights[part])
    return {part: voices[rank * len(voices) // len(ranked)] for rank, part in enumerate(ranked)}


def fold(pitches: np.ndarray, voice: Voice) -> np.ndarray:
    """MIDI pitches (n,) of a part moved by octaves into the range of its voice: as a whole first, then what is left."""
    octaves = 12 * np.array([0, 1, -1, 2, -2, 3, -3, 4, -4])  # the nearest wins a tie
    moved = pitches[None] + octaves[:, None]
    outside = ((moved < voice.lowest) | (moved > voice.highest)).sum(axis=1)
    folded = moved[np.argmin(outside)]
    folded = folded + 12 * np.ceil(np.maximum(voice.lowest - folded, 0) / 12).astype(int)
    return np.asarray(folded - 12 * np.ceil(np.maximum(folded - voice.highest, 0) / 12).astype(int))
