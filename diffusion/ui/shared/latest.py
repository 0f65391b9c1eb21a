"""What the server remembers: the latest values, in memory, and no more than a number of bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, MutableMapping
from typing import Generic, TypeVar

from diffusion.engine import Clip

Value = TypeVar("Value")

CLIPS, CLIP_BYTES = 64, 64 * 2**20


class Latest(MutableMapping[str, Value], Generic[Value]):
    """A mapping that any threads share and that forgets what was not used for longest.

    It holds at most `limit` values and `limit_bytes`, as `size` counts them; a value beyond that is not kept at all.
    """

    def __init__(self, limit: int, limit_bytes: int, size: Callable[[Value], int]) -> None:
        self._limit, self._limit_bytes, self._size = limit, limit_bytes, size
        self._values: OrderedDict[str, Value] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def __getitem__(self, name: str) -> Value:
        with self._lock:
            self._values.move_to_end(name)
            return self._values[name]

    def __setitem__(self, name: str, value: Value) -> None:
        with self._lock:
            if name in self._values:
                self._bytes -= self._size(self._values.pop(name))
            self._values[name] = value
            self._bytes += self._size(value)
            while len(self._values) > self._limit or self._bytes > self._limit_bytes:
                self._bytes -= self._size(self._values.popitem(last=False)[1])

    def __delitem__(self, name: str) -> None:
        with self._lock:
            self._bytes -= self._size(self._values.pop(name))

    def __iter__(self) -> Iterator[str]:
        with self._lock:
            return iter(list(self._values))

    def __len__(self) -> int:
        return len(self._values)


def latest_clips() -> Latest[Clip]:
    """The clips that comparisons have in common with one another and with the canvas, by `Request.identity`."""
    return Latest(CLIPS, CLIP_BYTES, lambda clip: clip.wave.nbytes + clip.features.nbytes)
