"""Threads that answer: a few at a time, in the order in which they were asked.

A thread that is done takes the next task itself, so that under load nobody is woken and nothing is started anew; an
idle one ends after a while. A task that has to wait for somebody steps aside, and another takes its place.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition, Lock, Thread

# A thread without a task ends after this, and its memory with it.
IDLE_SECONDS = 10.0

Task = Callable[[], None]


class Pool:
    """Runs tasks in threads, `places` of them at a time, first come first served. Safe between threads."""

    def __init__(self, places: int, name: str, idle_seconds: float = IDLE_SECONDS) -> None:
        self._free = places  # below 0 while tasks that had stepped aside are back beside those that took their places
        self._name = name
        self._idle_seconds = idle_seconds
        self._waiting: deque[Task] = deque()
        self._handed: deque[Task] = deque()  # their turn has come, and an idle thread is to take them
        self._idle = 0  # threads that wait and that nothing was handed to
        # Not a SimpleQueue: its get() may wait for ever where another thread is faster (CPython 3.11).
        self._changed = Condition(Lock())

    def run(self, task: Task) -> None:
        """Run `task` in a thread when its turn comes. It must not raise. Returns at once."""
        with self._changed:
            self._waiting.append(task)
            self._admit()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Let another task have the caller's place for the length of the block."""
        with self._changed:
            self._free += 1
            self._admit()
        try:
            yield
        finally:
            with self._changed:
                self._free -= 1

    def _admit(self) -> None:
        """Hand out the free places. The lock is held."""
        while self._waiting and self._free > 0:
            self._free -= 1
            task = self._waiting.popleft()
            if self._idle:
                self._idle -= 1
                self._handed.append(task)
                self._changed.notify()
            else:
                Thread(target=self._work, args=(task,), name=self._name, daemon=True).start()

    def _work(self, task: Task | None) -> None:
        while task:
            task()
            task = self._next()

    def _next(self) -> Task | None:
        """Return the task whose turn it is, or wait for one. None: there was none for long enough."""
        with self._changed:
            if self._waiting and self._free >= 0:
                return self._waiting.popleft()
            self._free += 1
            self._idle += 1
            if self._changed.wait_for(lambda: self._handed, self._idle_seconds):
                return self._handed.popleft()
            self._idle -= 1
            return None
