"""Vectors kept at hand: of queries that were asked before, and of entries.

A hit saves an encode or a read; a miss never changes an answer. The base is the truth, so whoever
writes tells the cache (`Database(on_change=…)`), and nothing is kept longer than `ttl_seconds`.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from threading import Lock
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from rekall.vectors import Matrix

Found = TypeVar("Found")


class EmbeddingCache:
    """The most recently used vectors, at most `maxsize` of them, each for at most `ttl_seconds`.

    Keys are strings: an entry's id, or a query text under a prefix that no id can have. A value is
    a float32 matrix of shape (passages, d), or (d,) for a single vector. Safe to share between
    threads.
    """

    def __init__(
        self, maxsize: int = 1000, ttl_seconds: float = 600, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.maxsize = maxsize
        self.ttl_seconds = ttl_seconds
        self._clock = clock
        self._lock = Lock()
        self._held: OrderedDict[str, tuple[float, Matrix]] = OrderedDict()
        self._complete: tuple[int, frozenset[str]] | None = None

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: str) -> Matrix | None:
        """Return the vector under `key` and count it as used, or None if it is not there or too old."""
        with self._lock:
            return self._fresh(key)

    def put(self, key: str, vector: Matrix) -> None:
        """Keep `vector` under `key`; the one unused for longest goes when there is no room."""
        with self._lock:
            self._held[key] = (self._clock() + self.ttl_seconds, vector)
            self._held.move_to_end(key)
            while len(self._held) > self.maxsize:
                self._held.popitem(last=False)

    def invalidate(self, key: str) -> None:
        """Forget the vector under `key`, if there is one; the entries held are no longer all."""
        with self._lock:
            self._held.pop(key, None)
            self._complete = None

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._held.clear()
            self._complete = None

    def put_all(self, ids: Sequence[str], matrix: Matrix, revision: int) -> None:
        """Keep the vectors of every entry of the base as it stood at `revision`, row i under ids[i].

        Where there is no room for all of them, none is kept.
        """
        rows: dict[str, list[int]] = {}
        for row, key in enumerate(ids):
            rows.setdefault(key, []).append(row)
        if len(rows) > self.maxsize:
            return
        for key, places in rows.items():
            self.put(key, matrix[places])
        with self._lock:
            self._complete = (revision, frozenset(rows))

    def get_all_as_matrix(self, revision: int | None = None) -> tuple[list[str], Matrix] | None:
        """Return (ids, matrix), an id for each row, or None unless every entry is held.

        Complete means: put_all was called with every entry of the base at `revision` (None: at
        whatever revision), and since then nothing was invalidated, evicted or grew too old.
        """
        import numpy as np

        with self._lock:
            if not self._complete or revision not in (None, self._complete[0]):
                return None
            parts = [(key, self._fresh(key)) for key in sorted(self._complete[1])]
        held = [(key, np.atleast_2d(vector)) for key, vector in parts if vector is not None]
        if len(held) < len(parts) or not held:
            return None
        ids = [key for key, vector in held for _row in vector]
        return ids, np.concatenate([vector for _key, vector in held])

    def _fresh(self, key: str) -> Matrix | None:
        held = self._held.get(key)
        if held is None:
            return None
        expires, vector = held
        if self._clock() >= expires:
            del self._held[key]
            return None
        self._held.move_to_end(key)
        return vector


class HitCache(Generic[Found]):
    """What was found for the questions asked last, at most `maxsize` of them. Safe to share between threads.

    A key holds all that an answer depends on, the base's file and revision among it, so nothing has to be invalidated:
    after any change the same question has another key.
    """

    def __init__(self, maxsize: int = 256) -> None:
        self.maxsize = maxsize
        self._lock = Lock()
        self._held: OrderedDict[Hashable, Found] = OrderedDict()

    def get(self, key: Hashable) -> Found | None:
        """Return what was found, or None if this was not asked lately."""
        with self._lock:
            found = self._held.get(key)
            if found is not None:
                self._held.move_to_end(key)
            return found

    def put(self, key: Hashable, found: Found) -> None:
        """Keep what was found; the question unasked for longest goes when there is no room."""
        with self._lock:
            self._held[key] = found
            self._held.move_to_end(key)
            while len(self._held) > self.maxsize:
                self._held.popitem(last=False)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._held.clear()
