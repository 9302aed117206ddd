"""The thread of the warm process that gives new entries their vectors, newest first, behind everybody's back.

It is woken after a write through the server, and looks by itself for what other processes wrote. It works a
few entries at a time: what it holds, a query may want next.
"""

from __future__ import annotations

import logging
from pathlib import Path
from threading import Event, Thread

from rekall.base_file import stamp
from rekall.config import Base
from rekall.rooms import Rooms

# How often it looks for what others wrote; and how many entries it embeds between two commits.
LOOK_SECONDS = 2.0
AT_ONCE = 8
# After a failure it waits before it tries again, each time longer, up to the last.
PATIENCE_SECONDS = (1, 60)


class Embedder:
    """Embeds what waits. One thread, started once."""

    def __init__(self, rooms: Rooms, base: Path, log: logging.Logger) -> None:
        self._rooms = rooms
        self._base = Base(base, "option")
        self._log = log
        self._wake = Event()
        self._is_stopping = False
        self._thread: Thread | None = None

    def start(self) -> None:
        """Begin, if it has not begun."""
        if self._thread is None:
            self._wake.set()
            self._thread = Thread(target=self._work, name="rekall-embedder", daemon=True)
            self._thread.start()

    def wake(self) -> None:
        """Look now."""
        self._wake.set()

    def stop(self) -> None:
        """End after the entry at hand."""
        self._is_stopping = True
        self._wake.set()
        if self._thread:
            self._thread.join(5)

    def _work(self) -> None:
        seen: object = None
        is_warm = False
        patience = PATIENCE_SECONDS[0]
        while not self._is_stopping:
            was_called = self._wake.wait(LOOK_SECONDS)
            self._wake.clear()
            try:
                if not is_warm:
                    is_warm = True
                    self._rooms.warm_up()
                now = stamp(self._base.path)
                if not now or (now == seen and not was_called):
                    continue
                self._embed()
                seen, patience = now, PATIENCE_SECONDS[0]
            except Exception as error:  # no model; a base that is busy, full, gone: what waits stays in its queue
                self._log.warning("not embedded: %s", type(error).__name__)  # its message may quote an entry
                self._wait(patience)
                patience = min(patience * 2, PATIENCE_SECONDS[1])

    def _embed(self) -> None:
        with self._rooms.room(self._base) as room:
            while not self._is_stopping and room.embed_some(AT_ONCE):
                pass

    def _wait(self, seconds: int) -> None:
        """Wait, but not for the server's end."""
        for _second in range(seconds):
            if self._is_stopping:
                return
            self._wake.wait(1)
            self._wake.clear()
