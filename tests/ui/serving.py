"""A real server in its own process."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 180
SAME = ("--device", "cpu", "--no-compile")  # what makes a clip the same, bit for bit, as a studio in the test does


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(model: Path, log: Path, port: int, *arguments: str) -> Iterator[str]:
    """The address of a page that runs until the block ends; its log must not hold a traceback then."""
    with running(model, log, port, *arguments) as (address, _):
        yield address


@contextmanager
def running(model: Path, log: Path, port: int, *arguments: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """As `serving`, with the process, which may be stopped and continued."""
    with log.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, "app.py", "--checkpoint", model, "--port", str(port), *SAME, *arguments],
            cwd=ROOT,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(10 * PATIENCE_S):
            assert process.poll() is None, log.read_text()
            try:
                urllib.request.urlopen(address, timeout=5).close()
                break
            except OSError:
                time.sleep(0.1)
        else:
            pytest.fail(f"the server did not start: {log.read_text()}")
        yield address, process
        assert "Traceback" not in log.read_text(), log.read_text()
    finally:
        process.terminate()
        process.wait()
