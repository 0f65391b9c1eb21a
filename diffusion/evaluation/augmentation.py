"""Random changes of features that leave the music as it is: those of other sound fonts, rooms, decoders and models."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from diffusion.audio.mel import MelParameters

GAIN = 0.35  # in units of the features: about 12 dB
TILT = 0.4
SLOPE = 0.8  # at the highest band, of those above a random one
SEMITONES = 3
TEMPO = 0.05  # no more: how fast the notes go is what tells a chorale from a madrigal
NOISE = 0.06


@cache
def _transposition(mel: MelParameters, semitones: float) -> Tensor:
    """(bands, bands): features as if every frequency were `semitones` higher, by interpolation between bands."""
    centres = mel.frequencies_hz
    position = np.interp(centres * 2 ** (-semitones / 12), centres, np.arange(mel.bands))
    low = np.minimum(position.astype(int), mel.bands - 2)
    matrix = np.zeros((mel.bands, mel.bands), dtype=np.float32)
    rows = np.arange(mel.bands)
    matrix[rows, low] = 1 - (position - low)
    matrix[rows, low + 1] = position - low
    return torch.from_numpy(matrix)


def augment(clip: Tensor, frames: int, rng: np.random.Generator, mel: MelParameters) -> Tensor:
    """A crop (1, bands, frames) of clip (1, bands, F): another key, tempo, level, room, equaliser and grain.

    F is at least `frames`; the tempo slows down at most as far as F allows.
    """
    shift = float(rng.integers(-2 * SEMITONES, 2 * SEMITONES + 1)) / 2
    if shift:
        clip = _transposition(mel, shift) @ clip
    wanted = min(clip.shape[-1], round(frames * math.exp(rng.uniform(-TEMPO, TEMPO))))
    start = int(rng.integers(clip.shape[-1] - wanted + 1))
    clip = clip[..., start : start + wanted]
    if wanted != frames:
        clip = F.interpolate(clip, frames, mode="linear", align_corners=False)
    if rng.random() < 0.3:  # the blur of a decoder or of an uncertain generator
        clip = F.avg_pool2d(clip, *((3, 1), 1, (1, 0)) if rng.random() < 0.5 else ((1, 3), 1, (0, 1)))
    floor, ceiling = mel.bounds
    ramp = torch.linspace(-1, 1, mel.bands)
    curve = rng.uniform(-GAIN, GAIN) + rng.uniform(-TILT, TILT) * ramp
    for cycles in (1, 2, 3):
        curve = curve + rng.normal(0, 0.2 / cycles) * torch.cos(math.pi * cycles * (ramp + rng.uniform(-1, 1)))
    knee = rng.uniform(0.1, 0.9) * mel.bands
    curve = curve + rng.uniform(-SLOPE, SLOPE) * (torch.arange(mel.bands) - knee).clamp(min=0) / (mel.bands - knee)
    audible = clip > floor + 0.05  # an equaliser does not raise silence
    clip = torch.where(audible, clip + curve[:, None], clip)
    if rng.random() < 0.5:
        grain = torch.from_numpy(rng.standard_normal(clip.shape, dtype=np.float32))
        clip = clip + grain * rng.uniform(0, NOISE)
    if rng.random() < 0.3:  # a noise floor, as Griffin-Lim leaves between the partials
        clip = clip.clamp(min=floor + float(rng.uniform(0, 0.35)))
    clip = clip.clamp(floor, ceiling)
    if rng.random() < 0.25:  # samples without treble
        clip[:, int(rng.integers(60, mel.bands)) :] = floor
    return clip
