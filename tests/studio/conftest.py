"""A studio that evaluates in milliseconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from diffusion.studio import Studio, open_studio


@pytest.fixture(scope="session")
def studio(small_checkpoint: Path) -> Studio:
    return open_studio(small_checkpoint, "cpu")
