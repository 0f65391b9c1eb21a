"""What can be measured of a clip without a model: tuning, key, onsets, silence, brightness, loudness."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from diffusion.audio.loudness import SILENCE_DB, loudness_db
from diffusion.audio.mel import MelParameters
from diffusion.data.key import PROFILES

TUNING_HZ = (200.0, 2000.0)  # where partials are both strong and far enough apart to measure
CHROMA_PITCHES = range(60, 108)  # MIDI: four octaves from middle C; lower ones fall between bands
DYNAMIC_RANGE_DB = 50.0  # below a clip's loudest band: what lies lower is the decoder's, and no onset
SILENT_DB = 40.0  # below a clip's loudest frame


def measure(wave: Tensor, heard: Tensor, mel: MelParameters) -> dict[str, Tensor]:
    """Measures {name: (n,)} float32 of finished waves (n, N) and their features (n, 1, bands, F).

    "in tune" (1 if every partial is a tone of twelve-tone equal temperament, 0 if they lie anywhere); "key clarity"
    (see `key_clarity`); "onsets per second"; "silence" (share of frames SILENT_DB below the loudest); "brightness"
    (octaves above 440 Hz); "loudness" (gated RMS in dB, at least the gate).
    """
    in_tune, classes = tuning(wave, mel.sample_rate_hz)
    measures = {
        "in tune": in_tune,
        "key clarity": key_clarity(classes),
        "onsets per second": onset_rate(heard, mel),
        "silence": silence(wave, mel),
        "brightness": brightness(heard, mel),
        "loudness": loudness_db(wave, mel.sample_rate_hz).clamp(min=SILENCE_DB),
    }
    return {name: values.float() for name, values in measures.items()}


def tuning(wave: Tensor, sample_rate_hz: int) -> tuple[Tensor, Tensor]:
    """Of waves (B, N): how well their partials keep to equal temperament at 440 Hz (B,), and pitch classes (B, 12).

    The first is the mean of cos(2 pi semitones), weighted by amplitude, over spectral peaks within TUNING_HZ: 1 if
    every peak is a tone, 0 if peaks lie anywhere, -1 if every peak is a quarter tone off. The second is the share of
    each pitch class, from C.
    """
    import librosa

    in_tune, classes = [], []
    for samples in wave.numpy():
        pitches, amplitudes = librosa.piptrack(
            y=samples,
            sr=sample_rate_hz,
            n_fft=8192,
            hop_length=4096,
            fmin=TUNING_HZ[0],
            fmax=TUNING_HZ[1],
            threshold=0.05,
        )
        found = pitches > 0
        weight = amplitudes[found].astype(np.float64)
        total = weight.sum()
        if total <= 0:
            in_tune.append(0.0)
            classes.append(np.full(12, 1 / 12))
            continue
        semitones = 69 + 12 * np.log2(pitches[found] / 440)
        in_tune.append(float((weight * np.cos(2 * np.pi * semitones)).sum() / total))
        nearest = np.round(semitones).astype(int) % 12
        classes.append(np.bincount(nearest, weight, minlength=12) / total)
    return torch.tensor(in_tune), torch.tensor(np.array(classes))


def pitch_classes(wave: Tensor, sample_rate_hz: int) -> Tensor:
    """The share (B, 12) of each pitch class, from C, in waves (B, N)."""
    return tuning(wave, sample_rate_hz)[1]


def entropy_bits(shares: Tensor) -> Tensor:
    """Entropy (B,) of shares (B, n): log2(n) for even ones, lower the clearer a key or a chord."""
    return -(shares * shares.clamp(min=1e-12).log2()).sum(-1)


@cache
def _key_profiles() -> Tensor:
    """(24, 12): the profiles of all major and minor keys, of mean 0 and norm 1."""
    profiles = torch.stack([torch.tensor(each).roll(tonic) for each in PROFILES for tonic in range(12)])
    return F.normalize(profiles - profiles.mean(1, keepdim=True))


def key_clarity(classes: Tensor) -> Tensor:
    """Correlation (B,) of pitch classes (B, 12) with the profile of the key that fits best; 0 where they are even.

    Krumhansl 1990, ch. 4. It tells whether the notes are those of a key. Unlike the entropy of pitch classes it is not
    raised by few notes, nor lowered by evenly spread noise.
    """
    centred = classes.double() - classes.double().mean(1, keepdim=True)
    return (F.normalize(centred) @ _key_profiles().T).amax(1)


def onset_rate(features: Tensor, mel: MelParameters) -> Tensor:
    """Onsets per second (B,) of features (B, 1, bands, F): peaks of their rise over time, averaged over bands."""
    import librosa

    rates = []
    for clip in features[:, 0].numpy():
        decibels = (clip * mel.scale + mel.mean) * (20 / math.log(10))
        rate, hop = mel.sample_rate_hz, mel.hop_size
        envelope = librosa.onset.onset_strength(S=decibels, sr=rate, hop_length=hop)
        onsets = librosa.onset.onset_detect(onset_envelope=envelope, sr=rate, hop_length=hop)
        rates.append(len(onsets) * mel.frames_per_s / clip.shape[1])
    return torch.tensor(rates)


def silence(wave: Tensor, mel: MelParameters) -> Tensor:
    """Share (B,) of the frames of waves (B, N) that are SILENT_DB or more below the loudest; 1 where all is zero."""
    power = F.avg_pool1d(wave.double().square()[:, None], mel.fft_size, mel.hop_size)[:, 0]
    return (power <= power.amax(1, keepdim=True) * 10 ** (-SILENT_DB / 10)).double().mean(1)


def brightness(features: Tensor, mel: MelParameters) -> Tensor:
    """Spectral centroid (B,) of features (B, 1, bands, F) in octaves above 440 Hz, weighted by amplitude."""
    octaves = torch.from_numpy(np.log2(mel.frequencies_hz / 440))
    amplitude = (features[:, 0].double() * mel.scale + mel.mean).exp().sum(-1)
    return amplitude @ octaves / amplitude.sum(-1)


@cache
def _contrast(mel: MelParameters) -> Tensor:
    """(bands, bands): each band less the mean of those at most four away."""
    near = (torch.arange(mel.bands)[:, None] - torch.arange(mel.bands)).abs() <= 4
    return torch.eye(mel.bands) - near / near.sum(1, keepdim=True)


@cache
def _fold(mel: MelParameters) -> Tensor:
    """(12, bands): from bands to pitch classes from C, by interpolation at the pitches of CHROMA_PITCHES."""
    fold = torch.zeros(12, mel.bands)
    for pitch in CHROMA_PITCHES:
        place = float(np.interp(440 * 2 ** ((pitch - 69) / 12), mel.frequencies_hz, np.arange(mel.bands)))
        low = min(int(place), mel.bands - 2)
        fold[pitch % 12, low] += low + 1 - place
        fold[pitch % 12, low + 1] += place - low
    return fold


def chroma(features: Tensor, mel: MelParameters) -> Tensor:
    """Strength (B, 12, F) of each pitch class, from C, in features (B, 1, bands, F); coarse, but it needs no wave.

    Square roots of amplitude, relative to the clip's greatest, above their mean over the neighbouring bands: partials,
    not the slope of the spectrum.
    """
    x = features[:, 0]
    root = ((x - x.amax((1, 2), keepdim=True)) * (mel.scale / 2)).exp()
    return _fold(mel) @ (_contrast(mel) @ root).relu()


def onset_strength(features: Tensor, mel: MelParameters) -> Tensor:
    """Rise (B, F) from frame to frame of features (B, 1, bands, F), mean over bands; 0 in the first frame.

    Only what comes within DYNAMIC_RANGE_DB of the clip's greatest amplitude counts.
    """
    x = features[:, 0]
    x = torch.maximum(x, x.amax((1, 2), keepdim=True) - DYNAMIC_RANGE_DB / mel.unit_db)
    return F.pad(x.diff(dim=-1).relu().mean(1), (1, 0))
