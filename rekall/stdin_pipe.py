"""What a client sends of its stdin, as a stream that a command may read in a thread of its own; and how to
listen to any stdin, a client's or this process's own, without waiting for more than a while.
"""

from __future__ import annotations

import io
import os
import select
from collections import deque
from collections.abc import Callable
from threading import Condition
from typing import BinaryIO

from rekall.errors import Cancelled
from rekall.language import _

# Read at a time: what a pipe holds.
PART_BYTES = 1 << 16


def arrived(stdin: BinaryIO, seconds: float | None) -> bytes | None:
    """Return the bytes that came to `stdin`, b"" at its end, or None if none came within `seconds` (None: wait).

    Nothing else may have read from `stdin` but through this function. Raises Cancelled, OSError.
    """
    raw = getattr(stdin, "raw", stdin)
    if isinstance(raw, StdinPipe):
        return raw.read(PART_BYTES) if raw.wait(seconds) else None
    try:
        descriptor = raw.fileno()
    except OSError:  # bytes in memory
        return stdin.read(PART_BYTES)
    readable, _writable, _other = select.select([descriptor], [], [], seconds)
    return os.read(descriptor, PART_BYTES) if readable else None


class StdinPipe(io.RawIOBase):
    """Bytes that one thread feeds and another reads, in order. Reading waits; the end reads as b"".

    `on_level` is called with the bytes that wait to be read, whenever that changes: whoever feeds it can pause.
    """

    def __init__(self, on_level: Callable[[int], None] = lambda _waiting: None) -> None:
        self._parts: deque[bytes] = deque()
        self._waiting = 0
        self._ended = self._is_broken = False
        self._changed = Condition()
        self._on_level = on_level

    def feed(self, data: bytes) -> None:
        """Add bytes at the end."""
        if not data:
            return  # to a reader it would be the end
        with self._changed:
            self._parts.append(data)
            self._waiting += len(data)
            self._changed.notify()
        self._on_level(self._waiting)

    def end(self) -> None:
        """Say that nothing follows."""
        with self._changed:
            self._ended = True
            self._changed.notify()

    def break_off(self) -> None:
        """Say that the rest will never come, unless the end was there already: reading raises Cancelled then.

        Half of what somebody piped in must not be taken for all of it.
        """
        with self._changed:
            self._is_broken = not self._ended
            self._ended = True
            self._changed.notify()

    def wait(self, seconds: float | None) -> bool:
        """Wait until there is something to read, the end too; tell whether there is, after `seconds` at most."""
        with self._changed:
            return bool(self._changed.wait_for(lambda: self._parts or self._ended, seconds))

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        with self._changed:
            self._changed.wait_for(lambda: self._parts or self._ended)
            if self._is_broken:
                raise Cancelled(_("stdin broke off; nothing was kept of it"))
            if not self._parts:
                return 0
            part = self._parts.popleft()
            count = min(len(part), len(view))
            if count < len(part):
                self._parts.appendleft(part[count:])
            self._waiting -= count
        view[:count] = part[:count]
        self._on_level(self._waiting)
        return count
