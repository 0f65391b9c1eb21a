"""What a command says: in any locale, and in one line where something is wrong."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper


@contextmanager
def command() -> Iterator[None]:
    """A block that is one command for a person: an error in what was asked for is one line and exit status 1.

    That is a ValueError, a file that is missing or may not be read or written, and a run that diverges. Output to a
    file or a pipe is UTF-8 in every locale; a console keeps its encoding, and what that cannot say is escaped.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="backslashreplace")
    try:
        yield
    except (ValueError, FloatingPointError) as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: {error.filename}: {error.strerror}" if error.filename else f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)  # as shells have it


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """An event that Ctrl-C or SIGTERM sets, so that the block can save what it has; a second one ends the process.

    Only the main thread of a process hears signals; in any other the event is never set.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for name, handler in before.items():
            signal.signal(name, handler)

    def hear(*_: object) -> None:
        stop.set()
        restore()
        print("stopping: what has been learned is saved; once more ends at once", file=sys.stderr, flush=True)

    for name in before:
        signal.signal(name, hear)
    try:
        yield stop
    finally:
        restore()
