"""A real server in its own process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 60
SAME = ("--device", "cpu", "--no-compile")  # what makes a clip the same, bit for bit, as a studio in the test does


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(
    model: Path, log: Path, port: int, *arguments: str, host: str = "127.0.0.1", environment: Mapping[str, str] = {}
) -> Iterator[str]:
    """The address of a page that runs until the block ends; its log must not hold a traceback then.

    `host` is where it can be reached, as it stands in a URL, and `environment` changes the variables around it.
    """
    with running(model, log, port, *arguments, host=host, environment=environment) as (address, _):
        yield address


@contextmanager
def running(
    model: Path, log: Path, port: int, *arguments: str, host: str = "127.0.0.1", environment: Mapping[str, str] = {}
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """As `serving`, with the process, which may be stopped and continued."""

    def said() -> str:
        return log.read_text(encoding="utf-8")

    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "app.py", "--checkpoint", model, "--port", str(port), *SAME, *arguments],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    address = f"http://{host}:{port}"
    try:
        for _ in range(10 * PATIENCE_S):
            assert process.poll() is None, said()
            try:
                urllib.request.urlopen(address, timeout=5).close()
                break
            except OSError:
                time.sleep(0.1)
        else:
            pytest.fail(f"the server did not start: {said()}")
        yield address, process
        assert "Traceback" not in said(), said()
    finally:
        process.terminate()
        process.wait()
