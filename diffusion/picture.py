"""Spectrograms as pixels: a colour look-up table, no plotting."""

from __future__ import annotations

import base64
import io
from functools import cache

import numpy as np

from diffusion.audio.mel import MelParameters

NOISE_RANGE = (-2.5, 2.5)  # standard deviations: one value in eighty of white noise lies beyond


@cache
def colours() -> np.ndarray:
    """Matplotlib's inferno, perceptually uniform from black to pale yellow: (256, 3) uint8."""
    from matplotlib import colormaps

    return (colormaps["inferno"](np.arange(256))[:, :3] * 255).round().astype(np.uint8)


def belief_range(mel: MelParameters) -> tuple[float, float]:
    """Features from black to the brightest colour: from 80 to 5 dB below full scale."""
    decibels = np.array([-80.0, -5.0]) + 20 * np.log10(np.exp(mel.ceiling))
    low, high = (decibels * np.log(10) / 20 - mel.mean) / mel.scale
    return float(low), float(high)


def state_range(mel: MelParameters, alpha: float, sigma: float) -> tuple[float, float]:
    """The range of x = alpha x0 + sigma eps: that of the belief at the data's end, that of white noise at the other."""
    low, high = (alpha * x0 + sigma * eps for x0, eps in zip(belief_range(mel), NOISE_RANGE, strict=True))
    return low, high


def pixels(features: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """RGB (bands, F, 3) uint8 of features (bands, F): low frequencies at the bottom, values clipped to `limits`."""
    low, high = limits
    index = ((features[::-1] - low) * (255 / (high - low))).clip(0, 255).astype(np.uint8)
    return colours().take(index, axis=0)


def data_uri(features: np.ndarray, limits: tuple[float, float], quality: int) -> str:
    """The picture of features (bands, F) as a JPEG inside a data URI: half a millisecond for ten seconds."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels(features, limits)).save(buffer, "JPEG", quality=quality)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
