"""Work begun ahead, beside what the caller does meanwhile. For waits: a model in a process of its own."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import TypeVar

Result = TypeVar("Result")


class Ahead:
    """One thread for one thing at a time. Where many ask at once, handing over costs more than it saves."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "rekall-ahead")
        self._busy = Lock()

    def begin(self, work: Callable[[], Result]) -> Callable[[], Result]:
        """Begin `work` if the thread is free; return what gives its result, or raises what it raised.

        Where the thread is busy, that does the work itself.
        """
        if not self._busy.acquire(blocking=False):
            return work
        try:
            begun = self._thread.submit(contextvars.copy_context().run, work)  # the language of the caller
        except RuntimeError:  # closed meanwhile
            self._busy.release()
            return work
        begun.add_done_callback(lambda _begun: self._busy.release())
        return begun.result

    def close(self) -> None:
        """Let the thread go when it has done what was begun."""
        self._thread.shutdown(wait=False)
