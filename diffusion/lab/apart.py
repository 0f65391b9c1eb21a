"""A training in a process of its own, on one core and last in line: no music waits for it."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from .experiment import Frame

NICE = 10
LOOK_S = 0.1  # between two looks at whether somebody wants it to end


def apart(name: str, knobs: Mapping[str, Any], seed: int, stop: threading.Event) -> Iterator[Frame]:
    """The frames of `EXPERIMENTS[name].train(knobs, seed)`; RuntimeError if its process fails.

    It ends after the frame at hand when it is stopped, and at once when the iterator is closed.
    """
    context = multiprocessing.get_context("spawn")
    frames, sender = context.Pipe(duplex=False)
    halt = context.Event()
    process = context.Process(target=_train, args=(sender, name, dict(knobs), seed, halt), daemon=True)
    process.start()
    sender.close()
    try:
        while True:
            if stop.is_set():
                halt.set()
            try:
                if not frames.poll(LOOK_S):
                    continue
                said = frames.recv()
            except EOFError:
                raise RuntimeError(f"the training of {name} ended without a word") from None
            if said is None:
                return
            if isinstance(said, Exception):
                raise said
            yield said
    finally:
        process.terminate()
        process.join()
        frames.close()


def _train(sender: Connection, name: str, knobs: dict[str, Any], seed: int, halt: Any) -> None:
    import torch

    from . import EXPERIMENTS

    with suppress(OSError, AttributeError):  # where the system has no such thing
        os.nice(NICE)
    torch.set_num_threads(1)
    try:
        for frame in EXPERIMENTS[name].train(knobs, seed, halt):
            sender.send(frame)
        sender.send(None)
    except Exception as error:  # noqa: BLE001 - it is raised again where the frames are wanted
        sender.send(error)
