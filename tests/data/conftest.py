from collections.abc import Callable

import numpy as np
import pytest

from diffusion.data.labels import STYLES
from diffusion.data.scores import SOURCES, TUNE_STYLES, TUNES, Piece

SOURCE_OF = {source.style: source.name for source in SOURCES}
SOURCE_OF |= dict.fromkeys(TUNE_STYLES, SOURCE_OF[TUNES])


def invent(seed: int, style: str = "chorale", bars: int = 8, parts: int = 2, key: str = "") -> Piece:
    """A random walk for every part, in quarter and eighth notes, four quarters a bar."""
    rng = np.random.default_rng(seed)
    rows = []
    for part in range(parts):
        onset, pitch = 0.0, 72 - 12 * part
        while onset < 4 * bars:
            duration = float(rng.choice([0.5, 1.0]))
            rows.append((onset, min(duration, 4 * bars - onset), pitch, part))
            onset += duration
            pitch = int(np.clip(pitch + rng.integers(-4, 5), 50, 84))
    notes = np.array(sorted(rows), dtype=np.float32)
    grid = np.arange(0, 4 * bars, 4, dtype=np.float32)
    name = key or f"{style}/{seed}"
    return Piece(name, f"Song number {seed}", SOURCE_OF[style], style, 0.5, 0, notes, grid)


@pytest.fixture
def make_piece() -> Callable[..., Piece]:
    return invent


@pytest.fixture(scope="session")
def pieces() -> list[Piece]:
    """Ten invented pieces of each style: enough for every split to hold every style."""
    return [invent(100 * s + k, style) for s, style in enumerate(STYLES) for k in range(10)]
