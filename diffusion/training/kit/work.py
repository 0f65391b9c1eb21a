"""On the borrowed machine: render, train meanwhile until the time is over, and keep what is to be brought home."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from diffusion.data.dataset import shards
from diffusion.data.features import shard_count
from diffusion.training import command
from diffusion.training.config import TrainingConfig

from .pieces import split

MARGIN_S = 5.0  # for what follows the last save
SAVES = 8  # how many there are in a short run; a long one saves as often as any other


def work(
    kit: Path,
    out: Path,
    minutes: float,
    *,
    hours: float,
    test_hours: float,
    workers: int,
    settings: Sequence[str] = (),
    began: float | None = None,
) -> None:
    """Render the data of a kit into `out`/data, train in `out`/run, and put it in pieces into `out`/pieces.

    Training begins with the first file that is rendered and learns from the others as they come. All of it ends
    `minutes` after `began` (seconds since the epoch, by default now), the last save included. What a call before has
    left in `out` is not done again: rendering goes on with the next file, training with its state. `settings` are
    arguments of `train`. ValueError for those it refuses, and if there is nothing to train on in time.
    """
    if minutes <= 0:
        raise ValueError(f"minutes: got {minutes}, need a positive number")
    elapsed_s = 0.0 if began is None else time.time() - began
    deadline = time.monotonic() - elapsed_s + 60 * minutes - MARGIN_S
    arguments = _training_arguments(kit, out, minutes, settings)
    with _rendering(kit, out / "data", hours, test_hours, workers, deadline):
        left = (deadline - time.monotonic()) / 60
        print(
            f"of {minutes:g} minutes {minutes - left:.1f} are over, {max(left, 0.0):.1f} are left to train", flush=True
        )
        command.run(arguments, deadline=deadline, on_save=lambda: split(out / "run", out / "pieces"))
    if not (out / "pieces").is_dir():
        raise ValueError(f"minutes: {minutes:g} were over before the first step; run again with the same --out")
    sizes = [each.stat().st_size for each in (out / "pieces").iterdir()]
    print(f"{out / 'pieces'}: {len(sizes)} files, {sum(sizes) / 1e6:.0f} MB, the largest {max(sizes) / 1e6:.0f} MB")


def _training_arguments(kit: Path, out: Path, minutes: float, settings: Sequence[str]) -> argparse.Namespace:
    """The arguments of `train`: `settings` after the kit's own, so that a mistake is found before anything is done."""
    parser = argparse.ArgumentParser(prog="kit run … --", description="Settings of train.")
    command.add_arguments(parser)
    # The length of the run is the deadline's; more than one call may share a schedule of the learning rate.
    save_minutes = min(TrainingConfig.save_minutes, minutes / SAVES)
    own = [
        "--data",
        str(out / "data"),
        "--out",
        str(out / "run"),
        "--minutes",
        "inf",
        "--save-minutes",
        f"{save_minutes}",
    ]
    if (kit / "init").is_dir():
        own += ["--init", str(kit / "init")]
    parsed = parser.parse_args([*own, *settings])
    command.configuration(parsed)
    return parsed


@contextmanager
def _rendering(kit: Path, data: Path, hours: float, test_hours: float, workers: int, deadline: float) -> Iterator[None]:
    """While `data` runs on the scores and the font of a kit, from when there is something to train on.

    That is all held-out pieces, which are rendered first, and one file of the others.
    """
    data.mkdir(parents=True, exist_ok=True)
    for file in (kit / "scores").iterdir():
        if not (data / file.name).exists():
            shutil.copy(file, data)
    (font,) = (kit / "font").iterdir()
    options = {"--out": data, "--font": font, "--hours": hours, "--test-hours": test_hours, "--workers": workers}
    words = [str(word) for option in options.items() for word in option]
    # nice, since training goes first; in a session of its own, so that all its workers can be stopped at once
    command = ["nice", sys.executable, "-m", "diffusion", "data", *words, "--splits", "test", "train"]
    process = subprocess.Popen(command, start_new_session=True)
    try:
        while process.poll() is None and not (
            len(shards(data, "test")) >= shard_count(test_hours) and shards(data, "train")
        ):
            if time.monotonic() > deadline:
                raise ValueError(
                    "minutes: they were over before anything was rendered; run again with the same --out, or with "
                    f"fewer --hours than {hours:g}"
                )
            time.sleep(0.2)
        _check(process)
        yield
        _check(process)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _check(process: subprocess.Popen[bytes]) -> None:
    if process.poll():
        raise ValueError(f"data: rendering ended with status {process.returncode}; its message is above")
