"""From notes to sound: TinySoundFont with one sound font."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from diffusion.audio.mel import MelParameters
from diffusion.data.ensembles import Voice
from diffusion.data.fonts import check_font

SAMPLE_RATE_HZ = MelParameters.sample_rate_hz
_OVERSAMPLING = 2  # TinySoundFont interpolates samples linearly: what that folds back lies mostly above the half rate
_RELEASE_S = 0.1  # a voice that is cut fades within this time
_MAX_VOICES = 256


class Synthesiser:
    """TinySoundFont with one sound font. Every render is the same, bit for bit, whatever was rendered before."""

    def __init__(self, font: Path) -> None:
        """FileNotFoundError for a missing font, ImportError without TinySoundFont, ValueError if `font` is none."""
        check_font(font)
        try:
            import tinysoundfont
        except ImportError as error:
            # its declared dependency, PyAudio, only plays to a sound card, and does not build everywhere
            raise ImportError("TinySoundFont is missing: pip install --no-deps tinysoundfont") from error
        self._synth = tinysoundfont.Synth(gain=-12.0, samplerate=_OVERSAMPLING * SAMPLE_RATE_HZ)
        try:
            self._font = self._synth.sfload(str(font), max_voices=_MAX_VOICES)
        except Exception as error:  # the bindings raise bare exceptions of several kinds
            raise ValueError(f"font must be a sound font (sf2 or sf3), got {font}") from error

    def render(self, events: np.ndarray, voices: dict[int, Voice], samples: int) -> np.ndarray:
        """Wave (samples,) float32, mono, 32 kHz, not normalised, of `events` (n, 5), each part played by its voice.

        Columns of `events`: onset and end in seconds, MIDI pitch, velocity, part.
        """
        from scipy.signal import resample_poly

        rate_hz = _OVERSAMPLING * SAMPLE_RATE_HZ
        self._reset()
        channel_of = {part: channel for channel, part in enumerate(voices)}
        for part, voice in voices.items():
            channel = channel_of[part]
            self._synth.program_select(channel, self._font, 0, voice.program)
            self._synth.control_change(channel, 7, voice.volume)
            self._synth.set_tuning(channel, voice.tuning_cents / 100)
        queue = []
        for onset, end, pitch, velocity, part in events:
            first = round(onset * rate_hz)
            last = max(first + 1, round(end * rate_hz))
            channel = channel_of[int(part)]
            queue += [(first, 1, channel, int(pitch), int(velocity)), (last, 0, channel, int(pitch), 0)]
        wave = np.zeros((samples * _OVERSAMPLING, 2), np.float32)
        done = 0
        for sample, starts, channel, pitch, velocity in sorted(queue):
            self._write(wave[done:sample])
            done = sample
            if starts:
                self._synth.noteon(channel, pitch, velocity)
            else:
                self._synth.noteoff(channel, pitch)
        self._write(wave[done:])
        return np.asarray(resample_poly(wave.mean(axis=1), 1, _OVERSAMPLING), dtype=np.float32)

    def _write(self, wave: np.ndarray) -> None:
        """Fill wave (n, 2) with what sounds next."""
        if len(wave):
            self._synth.generate_simple(len(wave), wave.data.cast("B"))

    def _reset(self) -> None:
        """Silence, with every channel as at the start: what still sounds is cut, and its last moment thrown away."""
        self._synth.soundfonts[self._font].reset()
        self._write(np.empty((round(_RELEASE_S * _OVERSAMPLING * SAMPLE_RATE_HZ), 2), np.float32))
