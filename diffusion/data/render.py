"""The sound of a performance: its ensemble in a room, as loud as every other."""

from __future__ import annotations

import math

import numpy as np
import torch

from diffusion.audio.loudness import loudness_db
from diffusion.data.performance import HOP, SAMPLE_RATE_HZ, Performance, note_events, voices
from diffusion.data.scores import Piece
from diffusion.data.synthesiser import Synthesiser

LOUDNESS_DB = -23.0  # gated RMS relative to full scale; quiet enough that few performances meet PEAK
PEAK = 0.95
FADE_S = 0.2
ROOM_DECAY_S = (0.35, 0.8)  # time in which a room's sound falls by 60 dB
ROOM_LEVEL_DB = (-17.0, -11.0)  # energy of the room's sound relative to the direct one


def room(seed: tuple[int, ...]) -> np.ndarray:
    """Impulse response (n,) of a small room, different for each seed: the direct sound, then a decaying noise.

    High frequencies decay twice as fast as low ones, as air and walls swallow them.
    """
    from scipy.signal import butter, sosfilt

    rng = np.random.default_rng((*seed, 3))
    decay_s, level_db = rng.uniform(*ROOM_DECAY_S), rng.uniform(*ROOM_LEVEL_DB)
    delay = int(rng.uniform(0.006, 0.016) * SAMPLE_RATE_HZ)
    time_s = np.arange(int(decay_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    noise = rng.normal(size=len(time_s))
    low = sosfilt(butter(1, 3000.0, fs=SAMPLE_RATE_HZ, output="sos"), noise)
    fall = 10 ** (-3 * time_s / decay_s)
    tail = low * fall + (noise - low) * fall**2
    tail *= 10 ** (level_db / 20) / np.sqrt((tail**2).sum())
    return np.concatenate([[1.0], np.zeros(delay), tail])


def normalise(wave: np.ndarray) -> np.ndarray:
    """The wave (N,) at LOUDNESS_DB, or less where its peak would pass PEAK; ValueError for a silent wave."""
    level_db = float(loudness_db(torch.from_numpy(wave)[None], SAMPLE_RATE_HZ))
    if not math.isfinite(level_db):
        raise ValueError(f"wave must not be silent, got a peak of {np.abs(wave).max()}")
    gain = 10 ** ((LOUDNESS_DB - level_db) / 20)
    return (wave * min(gain, PEAK / float(np.abs(wave).max()))).astype(np.float32)


def render_performance(piece: Piece, performance: Performance, synthesiser: Synthesiser) -> np.ndarray:
    """Wave (performance.frames * HOP,) float32 at 32 kHz, mono, at LOUDNESS_DB."""
    from scipy.signal import oaconvolve

    samples = performance.frames * HOP
    dry = synthesiser.render(note_events(piece, performance), voices(piece, performance), samples)
    wave = oaconvolve(dry.astype(np.float64), room(performance.seed))[:samples]
    fade = round(FADE_S * SAMPLE_RATE_HZ)
    wave[-fade:] *= np.linspace(1, 0, fade)
    return normalise(wave.astype(np.float32))
