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
    every process of a command, but the workers leave it to their parent: they are begun while it is held back, which
    they inherit, and the parent hears it afterwards.
    """
    pool = ProcessPoolExecutor(count, mp_context=get_context("spawn"))  # forked ones could hang in torch's thread pool
    try:
        heard = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            done = pool.map(work, jobs, chunksize=chunksize)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, heard)
        yield done
    finally:
        pool.shutdown(cancel_futures=True)
