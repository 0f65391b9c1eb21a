"""What the mean of a last step leaves out of music, and how it is drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from diffusion.theory import Level, Stream, stream

REACH = 4  # bands to either side, about the distance of two partials; a band below their mean lies between partials
FRAMES, BANDS = 16, 64  # how far correlations are measured: a quarter of a second, half of all bands


@dataclass(frozen=True)
class Texture:
    """How music varies between its partials beyond what can be foretold: a Gaussian of mean 0.

    `deviation` is its standard deviation, in features; `frames` and `bands` are its correlations with what lies 0, 1,
    2 ... frames later and bands higher, and the correlation over both is their product. Where the windows and filters
    of two features overlap they vary together, and so do all bands at an attack.
    """

    deviation: float
    frames: Sequence[float]
    bands: Sequence[float]

    def left_out(self, level: Level) -> float:
        """The standard deviation of what the mean of x0 leaves out, seen from x_t at this level.

        Of a Gaussian known to within noise of deviation sigma / alpha, the posterior's.
        """
        alpha, sigma = float(level.alpha), float(level.sigma)
        return self.deviation * sigma / max(math.hypot(self.deviation * alpha, sigma), math.ulp(0.0))

    def added(self, features: Tensor, level: Level, seeds: Sequence[int]) -> Tensor:
        """Features (B, 1, bands, F), which a step from `level` to none left, with what its mean left out, by the seeds.

        Only between partials: on them a mean is as uneven as music is. Of the two bands beside a partial the one must
        not rise while the other falls, which would put it out of tune: there only what the neighbourhood has in common
        is added.
        """
        bands, frames = features.shape[2:]
        shape = (1, bands + len(self.bands), frames + len(self.frames))
        white = np.stack([stream(seed, Stream.TEXTURE).standard_normal(shape, np.float32) for seed in seeds])
        drawn = _correlated(_correlated(torch.from_numpy(white), self.frames, -1), self.bands, -2)
        drawn = drawn[..., :bands, :frames].to(features)
        between = between_partials(features)
        beside = between * F.max_pool2d(1 - between, (3, 1), stride=1, padding=(1, 0))
        return features + self.left_out(level) * torch.where(beside > 0, _neighbourhood(drawn), between * drawn)

    @classmethod
    def measured(cls, belief: Tensor, x0: Tensor, level: Level) -> Texture | None:
        """The texture of music x0 (B, 1, bands, F), from the belief about it at this level.

        None where the belief is further off than what it was made from, or where there is nothing to hear.
        """
        between = between_partials(belief)
        covariance = _products((x0 - belief) * between) / _products(between).clamp(min=1)
        variance = float(covariance[0, 0])
        unseen = 1 - variance * float(level.alpha / level.sigma) ** 2
        if not variance > 0 or unseen <= 0:
            return None
        frames, bands = covariance[0, : min(FRAMES, x0.shape[3])], covariance[: min(BANDS, x0.shape[2]), 0]
        correlations = ([round(float(each) / variance, 3) for each in lags] for lags in (frames, bands))
        return cls(round(math.sqrt(variance / unseen), 4), *correlations)


def between_partials(features: Tensor) -> Tensor:
    """1.0 where features (B, 1, bands, F) lie below the mean of their neighbouring bands, else 0.0."""
    return (features < _neighbourhood(features)).to(features)


def _neighbourhood(features: Tensor) -> Tensor:
    """The mean of the neighbouring bands, one's own included."""
    padded = F.pad(features, (0, 0, REACH, REACH), mode="replicate")
    return F.avg_pool2d(padded, (2 * REACH + 1, 1), stride=1)


def _products(features: Tensor) -> Tensor:
    """The sum (2 bands, 2 F) of all products of two features of a clip that lie so many bands and frames apart."""
    size = (2 * features.shape[2], 2 * features.shape[3])  # twice, so that nothing wraps round
    power = sum(torch.fft.rfft2(clip[0].double(), s=size).abs().square() for clip in features)
    products: Tensor = torch.fft.irfft2(power, s=size)
    return products


def _correlated(white: Tensor, correlation: Sequence[float], dim: int) -> Tensor:
    """White noise made to vary together along `dim`, still of variance 1; its two ends vary together as well."""
    length, reach = white.shape[dim], len(correlation)
    kernel = torch.zeros(length)
    kernel[:reach] = torch.tensor(correlation)
    kernel[length - reach + 1 :] = kernel[1:reach].flip(0)
    spectrum = torch.fft.rfft(kernel).real.clamp(min=0)  # an estimate need not be a covariance
    spectrum = spectrum / torch.fft.irfft(spectrum, length)[0]
    shape = [-1 if axis == dim % white.ndim else 1 for axis in range(white.ndim)]
    filtered: Tensor = torch.fft.irfft(torch.fft.rfft(white, dim=dim) * spectrum.sqrt().reshape(shape), length, dim=dim)
    return filtered
