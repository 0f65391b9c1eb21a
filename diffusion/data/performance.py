"""A performance: piece, ensemble, key, tempo, place, and the notes as somebody would play them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from diffusion.audio.mel import MelParameters
from diffusion.data.ensembles import Voice, cast, fold
from diffusion.data.labels import BEATS, TEMPI
from diffusion.data.practice import PRACTICES
from diffusion.data.scores import Piece

SAMPLE_RATE_HZ = MelParameters.sample_rate_hz
HOP = MelParameters.hop_size  # waves are whole numbers of feature frames
MAX_S = 32.0
MIN_S = 12.0
TAIL_S = 1.5
LEAD_S = 0.1
TRANSPOSE = (-5, 6)  # semitones
TEMPO_FACTOR = (0.78, 1.28)
TEMPO_BOUNDS = (2.3, 4.4)
"""Attacks a second, over all parts: fewer than the first are a slow tempo, as many as the second a fast one.

They stand near the terciles of all performances, and a listener hears them within a bar, unlike a beat, which may be
counted in halves or in doubles.
"""


@dataclass(frozen=True)
class Performance:
    """What is played: quarters [start, stop) of a piece, `repeats` times, `frames` feature frames long."""

    piece: int
    ensemble: str
    seed: tuple[int, ...]
    transpose: int
    quarter_s: float
    start: float
    stop: float
    repeats: int
    frames: int


def plan_performance(
    pieces: list[Piece], piece: int, ensemble: str, seed: tuple[int, ...], max_s: float = MAX_S
) -> Performance:
    """Draw a transposition, a tempo (log-uniform about the usual one) and, in a long piece, the bars to play.

    Everything follows from `seed`. The result lasts at most `max_s` and about MIN_S at least (a short piece
    is repeated).
    """
    score = pieces[piece]
    rng = np.random.default_rng((*seed, 0))
    transpose = int(rng.integers(TRANSPOSE[0], TRANSPOSE[1] + 1))
    quarter_s = score.quarter_s / float(np.exp(rng.uniform(*np.log(TEMPO_FACTOR))))
    room = (max_s - TAIL_S - LEAD_S) / quarter_s
    start, stop, repeats = 0.0, score.quarters, 1
    if stop > room:
        latest = stop - room
        starts = score.bars[score.bars <= latest + 1e-3]
        start = float(rng.choice(starts)) if len(starts) else 0.0
        ends = score.bars[(score.bars > start) & (score.bars <= start + room)]
        # Cut at a bar line, unless the bars are so long that too little would be left.
        stop = float(ends[-1]) if len(ends) and ends[-1] - start > 0.7 * room else start + room
    sounding_s = (stop - start) * quarter_s
    if sounding_s < MIN_S:
        repeats = max(1, min(int(np.ceil(MIN_S / sounding_s)), int(room / (stop - start))))
    seconds = LEAD_S + repeats * sounding_s + TAIL_S
    frames = int(np.ceil(seconds * SAMPLE_RATE_HZ / HOP))
    return Performance(piece, ensemble, seed, transpose, quarter_s, start, stop, repeats, frames)


def excerpt(piece: Piece, performance: Performance) -> np.ndarray:
    """The notes (n, 4) float64 that are played, once; columns as in `Piece.notes`, onsets from the excerpt's start."""
    inside = (piece.notes[:, 0] >= performance.start - 1e-3) & (piece.notes[:, 0] < performance.stop - 1e-3)
    notes = piece.notes[inside].astype(np.float64)
    notes[:, 0] -= performance.start
    notes[:, 1] = np.minimum(notes[:, 1], performance.stop - performance.start - notes[:, 0])
    return notes


def tempo(piece: Piece, performance: Performance) -> str:
    """Which of TEMPI it is played at, by the attacks a second; notes struck together are one attack."""
    attacks = len(np.unique(np.round(12 * excerpt(piece, performance)[:, 0])))
    rate = attacks / ((performance.stop - performance.start) * performance.quarter_s)
    return TEMPI[int(np.searchsorted(TEMPO_BOUNDS, rate, side="right"))]


def beat(piece: Piece, performance: Performance) -> str:
    """Which of BEATS it is played at; what counts as a beat is for its style to say."""
    octaves = -np.log2(_beat_s(piece, performance))  # above a beat a second
    return BEATS[int(len(BEATS) * octaves) % len(BEATS)]


def pulse(piece: Piece, performance: Performance) -> tuple[float, float]:
    """Frames from one beat to the next, and the frame of one of them: the metronome that BEATS count, from a bar line.

    The players sway about it.
    """
    bars = piece.bars[piece.bars >= performance.start - 1e-3]
    first_q = float(bars[0]) - performance.start if len(bars) else 0.0
    frames_per_s = SAMPLE_RATE_HZ / HOP
    return _beat_s(piece, performance) * frames_per_s, (LEAD_S + first_q * performance.quarter_s) * frames_per_s


def _beat_s(piece: Piece, performance: Performance) -> float:
    """Seconds of a beat, more than a half and at most 1: counted in halves or doubles until it lies there."""
    seconds = PRACTICES[piece.style].beat_q * performance.quarter_s
    return float(2 ** -(-np.log2(seconds) % 1))


def voices(piece: Piece, performance: Performance) -> dict[int, Voice]:
    """The voice of every part that plays."""
    notes = excerpt(piece, performance)
    heights = {int(part): float(notes[notes[:, 3] == part, 2].mean()) for part in np.unique(notes[:, 3])}
    return cast(performance.ensemble, heights, np.random.default_rng((*performance.seed, 2)))


def note_events(piece: Piece, performance: Performance) -> np.ndarray:
    """Notes (n, 5) float64 of a performance, by onset: onset and end in seconds, MIDI pitch, velocity, part.

    The tempo sways by a percent or two; players who start together are a few milliseconds apart. Dynamics follow
    phrases, meter and melody, and differ by performance, part and note, as does how long notes are held; all of it
    as PRACTICES says of the style.
    """
    practice = PRACTICES[piece.style]
    rng = np.random.default_rng((*performance.seed, 1))
    length = performance.stop - performance.start
    once = excerpt(piece, performance)
    notes = np.concatenate([once + np.array([k * length, 0, 0, 0]) for k in range(performance.repeats)])
    onset_q, duration_q, parts = notes[:, 0], notes[:, 1], notes[:, 3].astype(int)
    count = parts.max() + 1

    bars = piece.bars - performance.start
    index = np.maximum(np.searchsorted(bars, onset_q % length + 1e-3, side="right") - 1, 0)
    beat = onset_q % length - bars[index]
    inside = beat / practice.beat_q % 1
    on_beat = np.minimum(inside, 1 - inside) < 1e-2
    accent = np.select([np.abs(beat) < 1e-2, on_beat], practice.accents[:2], practice.accents[2])
    bar_q = float(np.median(np.diff(bars))) if len(bars) > 1 else 4.0
    phrase_q = bar_q * rng.choice([2, 4, 8])
    swell = rng.uniform(*practice.swell) * np.sin(np.pi * (onset_q % phrase_q) / phrase_q)
    by_part = np.where(parts == parts.min(), 5.0, 0.0) + rng.normal(0, 3, count)[parts]
    velocity = rng.uniform(62, 94) + by_part + accent + swell + rng.normal(0, 3, len(notes))
    for part in np.unique(parts):
        mine = parts == part
        velocity[mine] += np.clip(0.5 * (notes[mine, 2] - notes[mine, 2].mean()), -6, 6)

    period_q, phase = bar_q * rng.uniform(1.5, 8, 2), rng.uniform(0, 2 * np.pi, 2)
    sway = rng.uniform(*practice.sway, 2) * period_q / (2 * np.pi)  # amplitude of the delay, in quarters
    delay_q = (sway * np.sin(2 * np.pi * onset_q[:, None] / period_q + phase)).sum(axis=1)
    delay_q += rng.uniform(*practice.lilt) * practice.beat_q * np.sin(np.pi * inside)
    _, together = np.unique(np.round(onset_q, 3), return_inverse=True)
    jitter_s = rng.normal(0, 0.005, together.max() + 1)[together] + rng.normal(0, 0.003, len(notes))
    jitter_s += rng.normal(0, 0.003, count)[parts]
    onset = LEAD_S + (onset_q + delay_q) * performance.quarter_s + np.clip(jitter_s, -0.018, 0.018)
    onset = np.maximum(onset, 0.02)

    cast_of = voices(piece, performance)
    legato = rng.uniform(*practice.held) + rng.normal(0, 0.03, len(notes))
    pitch = np.empty(len(notes))
    for part, voice in cast_of.items():
        mine = parts == part
        pitch[mine] = fold(notes[mine, 2].astype(int) + performance.transpose, voice)
        legato[mine] = np.clip(legato[mine], 0.5, 1.0) * voice.held
    end = onset + np.maximum(duration_q * performance.quarter_s * legato, 0.06)
    events = np.column_stack([onset, end, pitch, np.clip(np.round(velocity), 25, 120), parts])
    events = events[np.lexsort((events[:, 4], events[:, 2], events[:, 0]))]
    return _without_overlaps(events)


def _without_overlaps(events: np.ndarray) -> np.ndarray:
    """End a note a moment before the next one of the same part and pitch; drop the second of two that coincide."""
    keep = np.ones(len(events), dtype=bool)
    last: dict[tuple[float, float], int] = {}
    for i, (onset, _, pitch, _, part) in enumerate(events):
        previous = last.get((pitch, part))
        if previous is not None:
            if onset - events[previous, 0] < 0.03:
                keep[i] = False
                continue
            events[previous, 1] = min(events[previous, 1], onset - 0.008)
        last[pitch, part] = i
    return events[keep]
