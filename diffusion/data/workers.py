"""Processes that share the work of a long command."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import TypeVar

Job = TypeVar("Job")
Done = TypeVar("Done")


@contextmanager
def shared(
    work: Callable[[Job], Done], jobs: Iterable[Job], count: int, chunksize: int = 1
) -> Iterator[Iterator[Done]]:
    """What `work` makes of each job, in their order, by `count` processes that take `chunksize` jobs at a time.

    An error or Ctrl-C ends the block when the jobs under way are done; the rest is dropped. A terminal sends Ctrl-C to
    every process of a command, but the workers leave it to their parent: they are begun while it is ignored.
    """
    pool = ProcessPoolExecutor(count, mp_context=get_context("spawn"))  # forked ones could hang in torch's thread pool
    heard = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        done = pool.map(work, jobs, chunksize=chunksize)
    finally:
        signal.signal(signal.SIGINT, heard)
    try:
        yield done
    finally:
        pool.shutdown(cancel_futures=True)
