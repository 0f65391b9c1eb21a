"""A long command that shares its work ends at Ctrl-C, at once and without a traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

# Every job says that it begins; all of them would take an hour.
COMMAND = """
import time
from diffusion.console import command
from diffusion.data.workers import shared

def work(index):
    print(f"job {index}", flush=True)
    time.sleep(0.5)

if __name__ == "__main__":
    with command(), shared(work, range(10_000), 2) as done:
        list(done)
"""


def test_ctrl_c_reaches_every_process_and_ends_them(tmp_path: Path) -> None:
    script = tmp_path / "work.py"
    script.write_text(COMMAND, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    with subprocess.Popen(
        [sys.executable, script],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("job ")
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        begun, said = process.communicate(timeout=300)
    assert process.returncode == 130
    assert said == ""
    assert len(begun.splitlines()) < 100
