"""What an edit begins from: features that somebody has, named by a digest."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

DIGEST_DIGITS = 16
LONGEST_S = 600.0  # of a recording


@dataclass(frozen=True)
class Source:
    """Features (1, bands, frames) float32 that are kept or changed. `digest` names them, and whoever has them."""

    digest: str
    features: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray) -> Source:
        """The source that the features of a clip are."""
        values = np.ascontiguousarray(features, np.float32)
        return cls(digest_of(values.tobytes()), values)

    def named(self, frames_per_s: float) -> dict[str, Any]:
        """How an edit names it."""
        return {"source": self.digest, "source_s": self.features.shape[-1] / frames_per_s}


Sources = Sequence[Source]
"""What somebody has brought."""


def digest_of(content: bytes) -> str:
    """The start of the SHA-256 of a file, or of features."""
    return hashlib.sha256(content).hexdigest()[:DIGEST_DIGITS]


def needed(digest: str, source_s: float, sources: Sources) -> Source:
    """The source of that digest; ValueError, which names it and its length, where nobody has brought it."""
    found = next((each for each in sources if each.digest == digest), None)
    if found is None:
        raise ValueError(f"edits: need the source {digest} of {source_s:g} s, which is not here")
    return found


def check_reference(digest: object, source_s: object) -> None:
    """ValueError unless these name a source."""
    if not isinstance(digest, str) or not re.fullmatch(f"[0-9a-f]{{{DIGEST_DIGITS}}}", digest):
        raise ValueError(f"source: got {digest!r}, need its digest, {DIGEST_DIGITS} hexadecimal digits")
    check_number("source_s", source_s, (0, LONGEST_S))


def check_number(name: str, value: object, allowed: tuple[float, float], *, whole: bool = False) -> None:
    """ValueError for what is no number, not whole, or outside `allowed`."""
    kinds = int if whole else (int, float)
    low, high = allowed
    if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
        raise ValueError(f"{name}: got {value!r}, allowed {'a whole number from ' if whole else ''}{low:g} to {high:g}")
