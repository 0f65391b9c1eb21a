"""A performance (piece, ensemble, key, tempo, dynamics) and its sound, through FluidSynth and a sound font."""

from __future__ import annotations

import ctypes
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diffusion.audio.loudness import loudness_db
from diffusion.audio.mel import MelParameters
from diffusion.data.fonts import check_font
from diffusion.data.labels import ENSEMBLES
from diffusion.data.scores import Piece

SAMPLE_RATE_HZ = MelParameters.sample_rate_hz
HOP = MelParameters.hop_size  # waves are whole numbers of feature frames
BLOCK = 64  # FluidSynth acts on events at the start of a block of 64 samples: 2 ms
MAX_S = 60.0
MIN_S = 12.0
TAIL_S = 1.5
LEAD_S = 0.1
LOUDNESS_DB = -23.0  # gated RMS relative to full scale; quiet enough that few performances meet PEAK
PEAK = 0.95


@dataclass(frozen=True)
class Instrument:
    """A General MIDI program (from 0), the MIDI pitches it plays, and how much of its written length a note sounds."""

    program: int
    lowest: int
    highest: int
    held: float


INSTRUMENTS: dict[str, Instrument] = {
    "piano": Instrument(0, 28, 100, 0.95),
    "organ": Instrument(19, 36, 93, 0.96),
    "harpsichord": Instrument(6, 29, 89, 0.92),
    "guitar": Instrument(24, 40, 83, 1.0),
    "strings": Instrument(48, 33, 93, 0.97),
    "choir": Instrument(52, 41, 81, 0.97),
    "flute": Instrument(73, 60, 96, 0.93),
    "music_box": Instrument(10, 60, 99, 1.0),
}
assert tuple(INSTRUMENTS) == ENSEMBLES


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
    """Draw transposition (-5..6 semitones), tempo factor (0.8..1.25) and, in a long piece, the bars to play.

    Everything follows from `seed`. The result lasts at most `max_s` and about MIN_S at least (a short piece
    is repeated).
    """
    score = pieces[piece]
    rng = np.random.default_rng((*seed, 0))
    transpose = int(rng.integers(-5, 7))
    quarter_s = score.quarter_s / float(np.exp(rng.uniform(np.log(0.8), np.log(1.25))))
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


def fold(pitches: np.ndarray, parts: np.ndarray, instrument: Instrument) -> np.ndarray:
    """MIDI pitches (n,) moved by octaves into the instrument's range: each part as a whole first, then what is left."""
    folded = pitches.copy()
    octaves = 12 * np.array([0, 1, -1, 2, -2, 3, -3, 4, -4])  # the nearest wins a tie
    for part in np.unique(parts):
        mine = parts == part
        moved = pitches[mine][None] + octaves[:, None]
        outside = ((moved < instrument.lowest) | (moved > instrument.highest)).sum(axis=1)
        folded[mine] = moved[np.argmin(outside)]
    folded += 12 * np.ceil(np.maximum(instrument.lowest - folded, 0) / 12).astype(int)
    folded -= 12 * np.ceil(np.maximum(folded - instrument.highest, 0) / 12).astype(int)
    return folded


def note_events(piece: Piece, performance: Performance) -> np.ndarray:
    """Notes (n, 5) float64 of a performance, by onset: onset and end in seconds, MIDI pitch, velocity, part.

    Onsets are a few milliseconds off the grid; velocity varies by performance, part, phrase, beat and note.
    """
    rng = np.random.default_rng((*performance.seed, 1))
    instrument = INSTRUMENTS[performance.ensemble]
    length = performance.stop - performance.start
    inside = (piece.notes[:, 0] >= performance.start - 1e-3) & (piece.notes[:, 0] < performance.stop - 1e-3)
    once = piece.notes[inside].astype(np.float64)
    once[:, 0] -= performance.start
    once[:, 1] = np.minimum(once[:, 1], length - once[:, 0])
    notes = np.concatenate([once + np.array([k * length, 0, 0, 0]) for k in range(performance.repeats)])
    onset_q, duration_q, parts = notes[:, 0], notes[:, 1], notes[:, 3].astype(int)

    bars = piece.bars - performance.start
    bar = bars[np.maximum(np.searchsorted(bars, onset_q % length + 1e-3, side="right") - 1, 0)]
    beat = onset_q % length - bar
    accent = np.where(np.abs(beat) < 1e-2, 7.0, np.where(np.abs(beat - np.round(beat)) < 1e-2, 2.0, -3.0))
    by_part = np.where(parts == parts.min(), 6.0, 0.0) + rng.normal(0, 4, parts.max() + 1)[parts]
    phase, period_q = rng.uniform(0, 2 * np.pi), rng.uniform(12, 40)
    phrase = rng.uniform(3, 10) * np.sin(2 * np.pi * onset_q / period_q + phase)
    velocity = rng.uniform(64, 92) + by_part + accent + phrase + rng.normal(0, 3, len(notes))

    jitter_s = np.clip(rng.normal(0, 0.006, len(notes)), -0.015, 0.015)
    onset = LEAD_S + onset_q * performance.quarter_s + jitter_s
    end = onset + np.maximum(duration_q * performance.quarter_s * instrument.held, 0.06)
    pitch = fold(notes[:, 2].astype(int) + performance.transpose, parts, instrument)
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


class Synthesiser:
    """FluidSynth with one sound font. Every render is the same, bit for bit, whatever was rendered before.

    A reset synthesiser keeps traces (reverberation, filters, the order of its voices), so each render gets a new one.
    FluidSynth shares the samples of a font among its synthesisers as long as one of them holds it: `_keeper` does.
    """

    def __init__(self, font: Path) -> None:
        """FileNotFoundError for a missing font or library, ValueError if the file is not a sound font."""
        check_font(font)
        try:
            import fluidsynth
        except ImportError as error:
            message = "FluidSynth is missing: apt-get install libfluidsynth3, pip install pyfluidsynth"
            raise ImportError(message) from error
        self.font = font
        self._fluidsynth = fluidsynth
        # pyfluidsynth binds only the 16-bit output, whose quantisation and dither would show in a log spectrogram.
        self._write = fluidsynth._fl.fluid_synth_write_float
        self._write.argtypes = [ctypes.c_void_p, ctypes.c_int] + [ctypes.c_void_p, ctypes.c_int, ctypes.c_int] * 2
        self._write.restype = ctypes.c_int
        self._keeper, _ = self._start()

    def _start(self) -> tuple[Any, int]:
        synth = self._fluidsynth.Synth(
            gain=0.3,
            samplerate=float(SAMPLE_RATE_HZ),
            channels=32,
            **{"synth.chorus.active": 0, "synth.reverb.level": 0.3, "synth.reverb.room-size": 0.3},
        )
        font_id = synth.sfload(str(self.font))
        if font_id < 0:
            synth.delete()
            raise ValueError(f"font must be a sound font (sf2 or sf3), got {self.font}")
        return synth, font_id

    def render(self, events: np.ndarray, program: int, samples: int) -> np.ndarray:
        """Wave (samples,) float32, mono, of `note_events` (n, 5) played by one General MIDI program; not normalised."""
        synth, font_id = self._start()
        try:
            # A channel per part, between two percussion channels (9 and 25), so that two parts may hold the same pitch.
            part_channel = {part: 10 + int(part) % 15 for part in np.unique(events[:, 4])}
            for channel in set(part_channel.values()):
                synth.program_select(channel, font_id, 0, program)
            blocks = -(-samples // BLOCK)
            queue = []
            for onset, end, pitch, velocity, part in events:
                first = round(onset * SAMPLE_RATE_HZ / BLOCK)
                last = max(first + 1, round(end * SAMPLE_RATE_HZ / BLOCK))
                channel = part_channel[part]
                queue += [(first, 1, channel, int(pitch), int(velocity)), (last, 0, channel, int(pitch), 0)]
            left, right = np.zeros(blocks * BLOCK, np.float32), np.zeros(blocks * BLOCK, np.float32)
            done = 0
            for block, starts, channel, pitch, velocity in [*sorted(queue), (blocks, 0, 0, 0, 0)]:
                until = min(block, blocks)
                if until > done:
                    offset = done * BLOCK
                    self._write(
                        synth.synth, (until - done) * BLOCK, left.ctypes.data, offset, 1, right.ctypes.data, offset, 1
                    )
                    done = until
                if block >= blocks:
                    break
                if starts:
                    synth.noteon(channel, pitch, velocity)
                else:
                    synth.noteoff(channel, pitch)
        finally:
            synth.delete()
        return ((left + right) / 2)[:samples]


def normalise(wave: np.ndarray) -> np.ndarray:
    """The wave (N,) at LOUDNESS_DB, or less where its peak would pass PEAK; ValueError for a silent wave."""
    level_db = float(loudness_db(torch.from_numpy(wave)[None], SAMPLE_RATE_HZ))
    if not math.isfinite(level_db):
        raise ValueError(f"wave must not be silent, got a peak of {np.abs(wave).max()}")
    gain = 10 ** ((LOUDNESS_DB - level_db) / 20)
    return (wave * min(gain, PEAK / float(np.abs(wave).max()))).astype(np.float32)


def render_performance(piece: Piece, performance: Performance, synthesiser: Synthesiser) -> np.ndarray:
    """Wave (performance.frames * HOP,) float32 at 32 kHz, mono, at LOUDNESS_DB."""
    program = INSTRUMENTS[performance.ensemble].program
    samples = performance.frames * HOP
    wave = synthesiser.render(note_events(piece, performance), program, samples)
    fade = np.linspace(1, 0, int(0.2 * SAMPLE_RATE_HZ), dtype=np.float32)
    wave[-len(fade) :] *= fade
    return normalise(wave)
