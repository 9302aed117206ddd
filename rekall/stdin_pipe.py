"""What a client sends of its stdin, as a stream that a command may read in a thread of its own."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable
from threading import Condition

from rekall.errors import Cancelled
from rekall.language import _


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
