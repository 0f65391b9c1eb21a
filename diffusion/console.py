"""What a command says: in any locale, and in one line where something is wrong."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper


@contextmanager
def command() -> Iterator[None]:
    """A block that is one command for a person: an error in what was asked for is one line and exit status 1.

    That is a ValueError, and a file that is missing or may not be read or written. Output to a file or a pipe is UTF-8
    in every locale; a console keeps its encoding, and what that cannot say is escaped.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="backslashreplace")
    try:
        yield
    except ValueError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: {error.filename}: {error.strerror}" if error.filename else f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)  # as shells have it
