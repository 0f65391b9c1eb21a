"""Inpainting: what is known is kept, and the rest is composed so that it fits.

Let y be what is known of x0. A denoiser believes in E[x0 | x_t], where E[x0 | x_t, y] is wanted. For Gaussian data,
if x_t is moved within the known part until the belief there is y, then the belief everywhere else is exactly that
conditional mean: both are the belief plus Cov[., known] Cov[known, known]^-1 (y - belief), the covariances given x_t.
How far to move is a linear system, solved by conjugate residuals. Each of its steps asks the denoiser once more. The
covariance is never known: a look at a moved x_t shows it applied to the move (Tweedie's second formula), as the
gradient of pseudo-inverse guidance does (Song et al. 2023, "Pseudoinverse-guided diffusion models"), but by a second
evaluation in place of a gradient, so that compiled networks serve too. tests/benchmarks/inpainting.py compares it with
replacement, resampling and guidance.
"""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffusion.theory import Cond, Denoiser, Estimate, Schedule

from .source import check_number, check_reference

LOOKS = 2
"""Further looks at each time."""
STEPS_SHARE = 0.5
"""Of the steps that are asked for so many are taken: with LOOKS it makes half as many evaluations again."""
MASK_TEXT = 1100  # characters
MASK_BINS = 2**20
LEAST = torch.finfo(torch.float32).tiny


@dataclass(frozen=True)
class Inpaint:
    """Compose the bins in `mask` anew; all others stay as the source has them, exactly.

    `mask` is text, as `mask_of` makes it; `source` is a digest, `source_s` how long the source is.
    """

    source: str
    source_s: float
    mask: str

    def __post_init__(self) -> None:
        check_reference(self.source, self.source_s)
        read_mask(self.mask)


@dataclass(frozen=True)
class Continue:
    """Go on from a source: the first `keep_s` seconds of the clip are the last ones of the source, exactly."""

    source: str
    source_s: float
    keep_s: float

    def __post_init__(self) -> None:
        check_reference(self.source, self.source_s)
        check_number("keep_s", self.keep_s, (0.1, self.source_s))


@dataclass(frozen=True)
class Inpainted:
    """The inner denoiser, told that x0 is `known` (B, ...) where `keep` (..., broadcast) is true."""

    inner: Denoiser
    known: Tensor
    keep: Tensor
    looks: int = LOOKS

    @property
    def schedule(self) -> Schedule:
        return self.inner.schedule

    def __call__(self, x_t: Tensor, t: Tensor, cond: Cond) -> Estimate:
        belief = self.inner(x_t, t, cond)
        x0, wrong = belief.x0, self._known(self.known - belief.x0)
        moves: list[tuple[Tensor, Tensor]] = []
        for _ in range(self.looks):
            answer = self.inner(x_t + wrong, t, cond).x0 - belief.x0
            for other, seen in moves:
                answer = answer - _share(self._known(answer), seen) * other
            seen = self._known(answer)
            length = _share(wrong, seen)
            x0, wrong = x0 + length * answer, wrong - length * seen
            moves.append((answer, seen))
        return replace(Estimate.from_x0(x_t, self.schedule(t), self.pasted(x0)), variance=belief.variance)

    def pasted(self, x0: Tensor) -> Tensor:
        """x0 (B, ...) with what is known in its place."""
        return torch.where(self.keep, self.known, x0)

    def _known(self, x: Tensor) -> Tensor:
        return torch.where(self.keep, x, torch.zeros_like(x))


def _share(x: Tensor, direction: Tensor) -> Tensor:
    """How many times `direction` (B, ...) lies in x (B, ...), for each of the batch (B, 1, ...)."""
    ratio = (x * direction).flatten(1).sum(1) / direction.square().flatten(1).sum(1).clamp(min=LEAST)
    return ratio.reshape(-1, *[1] * (x.ndim - 1))


def bins_of(parts: Any, frequencies_hz: np.ndarray, frames_per_s: float, frames: int) -> np.ndarray:
    """The bins (bands, frames) bool that lie in any of `parts`, mappings with from_s, to_s, low_hz and high_hz.

    What is missing of them is unbounded. ValueError for other names and values.
    """
    names = ("from_s", "to_s", "low_hz", "high_hz")
    if not isinstance(parts, list) or not all(isinstance(each, Mapping) for each in parts):
        raise ValueError(f"mask: got {str(parts)[:40]}, need a list of objects with {', '.join(names)}")
    times_s = (np.arange(frames) + 0.5) / frames_per_s
    bins = np.zeros((len(frequencies_hz), frames), bool)
    for part in parts:
        if not part.keys() <= set(names):
            raise ValueError(f"mask: got {', '.join(part)}, allowed {', '.join(names)}")
        for name, value in part.items():
            check_number(name, value, (0, math.inf))
        bands = (frequencies_hz >= part.get("low_hz", 0)) & (frequencies_hz <= part.get("high_hz", math.inf))
        within = (times_s >= part.get("from_s", 0)) & (times_s < part.get("to_s", math.inf))
        bins |= bands[:, None] & within
    return bins


def mask_of(bins: np.ndarray) -> str:
    """Bins (bands, frames) bool, true where music is to be composed, as text; ValueError for more than can be kept."""
    packed = zlib.compress(np.packbits(bins, axis=None).tobytes(), 9)
    text = f"{bins.shape[0]}x{bins.shape[1]}." + base64.urlsafe_b64encode(packed).decode().rstrip("=")
    if len(text) > MASK_TEXT:
        raise ValueError(f"mask: got one that takes {len(text)} characters, allowed {MASK_TEXT}; draw it less finely")
    return text


def read_mask(text: object) -> np.ndarray:
    """Inverts `mask_of`; ValueError for a text that it does not make, and for a mask of nothing or of everything."""
    wrong = ValueError(f"mask: got {str(text)[:40]!r}, need the text of a mask of up to {MASK_TEXT} characters")
    if not isinstance(text, str) or len(text) > MASK_TEXT:
        raise wrong
    size, _, code = text.partition(".")
    try:
        bands, frames = map(int, size.split("x"))
        if not 0 < bands * frames <= MASK_BINS:
            raise wrong
        wanted = -(-bands * frames // 8)
        packed = zlib.decompressobj().decompress(base64.urlsafe_b64decode(code + "=" * (-len(code) % 4)), wanted + 1)
        if len(packed) != wanted:
            raise wrong
    except (ValueError, zlib.error) as error:
        raise wrong from error
    bins = np.unpackbits(np.frombuffer(packed, np.uint8), count=bands * frames).astype(bool).reshape(bands, frames)
    if bins.all() or not bins.any():
        raise ValueError(f"mask: got {'everything' if bins.all() else 'nothing'}, need a part")
    return bins
