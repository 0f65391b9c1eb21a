"""Processes that share the work of a long command."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from itertools import islice
from multiprocessing import get_context
from typing import TypeVar

Job = TypeVar("Job")
Done = TypeVar("Done")
AHEAD = 8  # tasks that wait for each process: a pool that is given tens of thousands at once may hang (CPython #105829)


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
    rest = iter(jobs)
    tasks = iter(lambda: list(islice(rest, chunksize)), [])

    def begin(most: int) -> Iterator[Future[list[Done]]]:
        return (pool.submit(_each, work, task) for task in islice(tasks, most))

    def results() -> Iterator[Done]:
        while waiting:
            yield from waiting.popleft().result()
            waiting.extend(begin(1))

    try:
        heard = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            waiting = deque(begin(AHEAD * count))
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, heard)
        yield results()
    finally:
        pool.shutdown(cancel_futures=True)


def _each(work: Callable[[Job], Done], jobs: Sequence[Job]) -> list[Done]:
    return [work(job) for job in jobs]
