"""Somebody's recording as the source of an edit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from diffusion.audio.codec import LogMelCodec, MelParameters
from diffusion.audio.loudness import loudness_db
from diffusion.audio.wav import FILE_BYTES
from diffusion.data.recordings import Refused, waves
from diffusion.data.render import normalise
from diffusion.edits import LONGEST_S, Source
from diffusion.edits.source import digest_of


def read_source(path: Path, mel: MelParameters, step_frames: int = 1) -> Source:
    """A WAV, FLAC, MP3 or Ogg file as features, as loud as the training music, in whole multiples of `step_frames`.

    Its digest is that of the file. Refused, a ValueError, for a file of more than FILE_BYTES or LONGEST_S, for one that
    is silent or too short, and for whatever `waves` refuses.
    """
    try:
        size = path.stat().st_size if path.is_file() else 0
        if size > FILE_BYTES:
            raise Refused(f"{size / 2**20:.0f} MiB, allowed up to {FILE_BYTES / 2**20:.0f} MiB")
        parts: list[np.ndarray] = []
        for part in waves(path, mel.sample_rate_hz):
            parts.append(part)
            if sum(map(len, parts)) > LONGEST_S * mel.sample_rate_hz:
                raise Refused(f"longer than {LONGEST_S:g} s")
        wave = np.concatenate(parts)
        frames = len(wave) // mel.hop_size // step_frames * step_frames
        if frames * mel.hop_size < mel.fft_size:
            raise Refused(f"{len(wave) / mel.sample_rate_hz:.2f} s long, which is too short")
        wave = wave[: frames * mel.hop_size] - wave.mean()
        if not bool(loudness_db(torch.from_numpy(wave)[None], mel.sample_rate_hz).isfinite()):
            raise Refused("silent")
        with torch.no_grad():
            features = LogMelCodec(mel).encode(torch.from_numpy(normalise(wave))[None])[0]
        return Source(digest_of(path.read_bytes()), features.clamp(*mel.bounds).numpy())
    except Refused as error:
        raise Refused(f"source: {path.name}: {error}") from error
