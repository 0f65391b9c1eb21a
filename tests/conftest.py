"""What several folders of tests need: properties checked on few examples and never against a clock, a checkpoint."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import settings
from small_models import LABELS, music, save

settings.register_profile("steady", deadline=None, max_examples=25)
settings.load_profile("steady")

SLOW = frozenset({"browser", "server"})
"""Fixtures that start a browser or a server: tests that use them are slow, and `tests/run --fast` leaves them out. One
that fails is tried once more, since a machine may stall for seconds; the summary names it."""


def pytest_configure() -> None:
    """Each worker has a cache of its own for what numba compiles: two that write one at a time may crash.

    A shell that starts the tests in the background lets them ignore Ctrl-C, and so every process that they start.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER", "alone")
    os.environ["NUMBA_CACHE_DIR"] = str(Path(sys.prefix, "numba", worker))
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if SLOW & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.flaky(reruns=1))
    # Files with slow tests come first: a worker that meets one at the end would leave the others idle.
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def small_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole checkpoint of a network too small to know music: real files, real labels, quick evaluations."""
    return save(tmp_path_factory.mktemp("checkpoints") / "small", music(LABELS))


@pytest.fixture(scope="session")
def plain_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another one, which knows neither modes nor tempi, keys nor beats."""
    labels = {name: LABELS[name] for name in ("style", "ensemble")}
    return save(tmp_path_factory.mktemp("checkpoints") / "plain", music(labels))


@pytest.fixture(scope="session")
def small_gallery(small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small checkpoint with its gallery inside."""
    from diffusion import gallery
    from diffusion.studio import open_studio

    folder = tmp_path_factory.mktemp("galleries") / "small"
    shutil.copytree(small_checkpoint, folder)
    list(gallery.make(open_studio(folder, "cpu"), folder / gallery.FOLDER))
    return folder
