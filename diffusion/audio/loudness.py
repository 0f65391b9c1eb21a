"""From a decoded wave to a clip: no offset, a known loudness, no clipping, no clicks."""

import math

import torch
from torch import Tensor
from torch.nn import functional

TARGET_DB = -16.0  # gated RMS, full scale = 1: level with streamed music, with room for most peaks
PEAK_DB = -1.0  # true peak: what lossy encoders and resamplers need as headroom
BLOCK_S = 0.4  # ITU-R BS.1770-4 measures blocks of 400 ms
SILENCE_DB = -70.0  # its absolute gate: what lies below is silence, and stays as it is
RELATIVE_GATE_DB = -10.0  # its relative gate: rests do not count
FADE_S = 0.005


def _amplitude(decibels: float) -> float:
    return 10 ** (decibels / 20)


def loudness_db(wave: Tensor, sample_rate_hz: int) -> Tensor:
    """Gated RMS (B,) in dB re full scale of waves (B, N); -inf where no block passes the absolute gate.

    The two gates of ITU-R BS.1770-4 (annex 1) over 400 ms blocks that overlap by three quarters, without its
    frequency weighting: a sine of amplitude 1 measures -3 dB. A shorter wave is one block.
    """
    block = min(round(BLOCK_S * sample_rate_hz), wave.shape[-1])
    power = functional.avg_pool1d(wave.double().square()[:, None], block, max(1, block // 4))[:, 0]
    heard = power > _amplitude(SILENCE_DB) ** 2
    mean = (power * heard).sum(-1) / heard.sum(-1).clamp(min=1)
    heard &= power > mean[:, None] * _amplitude(RELATIVE_GATE_DB) ** 2
    return 10 * ((power * heard).sum(-1) / heard.sum(-1).clamp(min=1)).log10()


def true_peak(wave: Tensor) -> Tensor:
    """Peak (B,) of waves (B, N) between the samples too: four times as many by sinc interpolation (BS.1770-4, annex 2).

    Never below the largest sample. The wave is taken as periodic, so it should start and end near zero.
    """
    samples = wave.shape[-1]
    finer = torch.fft.irfft(torch.fft.rfft(wave), n=4 * samples) * 4
    return torch.maximum(finer.abs().amax(-1), wave.abs().amax(-1))


def finish(wave: Tensor, sample_rate_hz: int = 32_000, gain: Tensor | None = None, *, looped: bool = False) -> Tensor:
    """A decoded wave (N,) or waves (B, N) as clips of the same shape.

    Removes the offset, fades both ends over 5 ms to exactly zero (raised cosine), and applies one gain per clip: `gain`
    (B,) if given, else `clip_gain`. No limiter and no clipping, so nothing is distorted. A `looped` wave has no ends to
    fade.
    """
    clips = _faded(wave, sample_rate_hz, looped)
    gain = _gain(clips, clips, sample_rate_hz) if gain is None else gain.cpu().double()
    return (clips * gain[:, None]).reshape(wave.shape).to(wave)


def clip_gain(
    wave: Tensor, sample_rate_hz: int = 32_000, *, looped: bool = False, like: Tensor | None = None
) -> Tensor:
    """The gain (B,), float64, with which a decoded wave (N,) or waves (B, N) become clips.

    It brings them to TARGET_DB, or to less if the true peak would pass PEAK_DB, however loud the input is. A wave that
    is silent by the absolute gate is not raised. The gain is that of `like`, a wave of the same kind, if there is one,
    as far as the peak allows.
    """
    clips = _faded(wave, sample_rate_hz, looped)
    if like is None:
        return _gain(clips, clips, sample_rate_hz)
    other = _faded(like, sample_rate_hz, looped)
    return torch.minimum(_gain(other, other, sample_rate_hz), _gain(clips, other, sample_rate_hz))


def _faded(wave: Tensor, sample_rate_hz: int, looped: bool = False) -> Tensor:
    if wave.ndim not in (1, 2) or not wave.numel() or not wave.is_floating_point():
        raise ValueError(
            f"wave must be floating point of shape (N,) or (B, N), not empty, got {wave.dtype} {tuple(wave.shape)}"
        )
    if not torch.isfinite(wave).all():
        raise ValueError("wave must be finite, got NaN or infinity")
    clips = wave.detach().cpu().double().reshape(-1, wave.shape[-1])
    clips = clips - clips.mean(-1, keepdim=True)
    if looped:
        return clips
    fade = min(max(1, round(FADE_S * sample_rate_hz)), (clips.shape[-1] + 1) // 2)
    ramp = (1 - torch.cos(math.pi * torch.arange(fade, dtype=torch.float64) / fade)) / 2
    clips[:, :fade] *= ramp
    clips[:, -fade:] *= ramp.flip(0)
    return clips


def _gain(clips: Tensor, like: Tensor, sample_rate_hz: int) -> Tensor:
    """The gain (B,) that brings `like` to TARGET_DB, or to less if the peak of the clips would pass PEAK_DB."""
    level_db = loudness_db(like, sample_rate_hz)
    gain = torch.where(level_db.isfinite(), 10 ** ((TARGET_DB - level_db) / 20), torch.ones_like(level_db))
    return torch.minimum(gain, _amplitude(PEAK_DB) / true_peak(clips).clamp(min=torch.finfo(torch.float64).tiny))
