"""The compiled kernel as a searcher: which path the CPU takes, and the small copies it scans first.

The plain scan reads 4 bytes a number. A copy with 8 bits a number, or 4, is scanned instead; each row's
error is known, so every row that could still be among the best is then scored in float32, and the answer is
the plain scan's to the bit (docs/kernel.md). Copies are made behind the first answers, by a thread.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from threading import Lock, Thread
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rekall.errors import BackendUnavailable
from rekall.language import _
from rekall.searchers import Found, Mask
from rekall.vectors import Matrix, one_row

try:
    from rekall import _topk
except ImportError:  # nothing was compiled: `kernel_is_there` says so, and nothing below is called
    _topk = None  # type: ignore[assignment]

Bytes: TypeAlias = NDArray[np.uint8]

# Below this many rows the plain scan, in the caches, is as fast; above, the copy wins. Measured: docs/kernel.md.
COPY_ROWS = 500
# From here on the 4-bit copy is faster than the 8-bit one: half the bytes outweigh more rows to score again.
FOUR_BIT_ROWS = 8_000
# Where a mask selects fewer than one row in this many, those rows are scored directly.
SPARSE = 10
# Rows encoded without a pause, so that a search that needs the interpreter waits a millisecond at most.
ENCODE_STEP = 256
# Queries of one call that share the reads of a copy.
BATCH = 64
# Searches to go without the copy after it was given up; doubled each time, up to the last.
PATIENCE = (8, 1024)


def kernel_is_there() -> bool:
    """Tell whether the kernel was compiled."""
    return _topk is not None


def path_number(named: str | None) -> int:
    """Return the number of the path to take: the best of this CPU, or the one REKALL_KERNEL names.

    Raises BackendUnavailable if this CPU cannot take the one named.
    """
    able = _topk.paths()
    if named and named not in able:
        raise BackendUnavailable(
            _("REKALL_KERNEL is {name!r}; this CPU can take: {able}").format(name=named, able=" ".join(able))
        )
    return _topk.PATHS.index(named or able[-1])


def path_name(named: str | None) -> str:
    """Return the name of the path to take: scalar, avx2, avx512 or neon. Raises BackendUnavailable."""
    return str(_topk.PATHS[path_number(named)])


class _Wait:
    """How long to go without a copy that told too little apart: each time for longer."""

    def __init__(self) -> None:
        self._searches = 0
        self._next = PATIENCE[0]

    def is_over(self) -> bool:
        """Tell whether the copy may be tried now; counts a search if not."""
        if self._searches:
            self._searches -= 1
        return not self._searches

    def remember(self, gave_up: bool) -> None:
        """Note how the copy did."""
        if gave_up:
            self._searches, self._next = self._next, min(self._next * 2, PATIENCE[1])
        else:
            self._next = PATIENCE[0]


class KernelSearcher:
    """The compiled kernel over the rows of one index."""

    name = "kernel"
    is_lock_free = True

    def __init__(self) -> None:
        self._path = path_number(os.environ.get("REKALL_KERNEL"))
        self._lock = Lock()  # of all below but the waits
        self._copies: dict[int, _topk.Copy] = {}
        self._builder: Thread | None = None
        self._generation = 0  # counts resets: within one, rows keep their numbers
        self._store: Matrix = np.empty((0, 0), dtype=np.float32)
        self._count = 0
        self._waits = {4: _Wait(), 8: _Wait()}

    @property
    def path(self) -> str:
        """The name of the path taken: scalar, avx2, avx512 or neon."""
        return str(_topk.PATHS[self._path])

    @property
    def copies_bytes(self) -> int:
        """Bytes of the small copies."""
        return sum(copy.nbytes for copy in list(self._copies.values()))

    def unit(self, query: ArrayLike, dimensions: int | None) -> Matrix:
        if dimensions is not None:
            try:
                return _topk.unit(query, dimensions)
            except ValueError:
                pass  # the slow way says what is wrong with it
        return one_row(query, dimensions)

    def reset(self, store: Matrix, count: int) -> None:
        with self._lock:
            self._generation += 1
            self._store, self._count = store, count
            self._copies = {}
            self._waits = {4: _Wait(), 8: _Wait()}

    def added(self, store: Matrix, first: int, end: int) -> None:
        """Bring the copies along, if they are there; a larger store gets larger copies."""
        with self._lock:
            self._store, self._count = store, end
            self._copies = {bits: self._brought_up(copy) for bits, copy in self._copies.items()}

    def _brought_up(self, copy: _topk.Copy) -> _topk.Copy:
        """Return `copy` with the rows there are now. Called under the lock."""
        if copy.store is not self._store:
            copy = copy.moved(self._store)
        copy.encode(self._path, self._count)
        return copy

    def removed(self, rows: Sequence[int]) -> None:
        """A mask keeps them out."""

    def search(self, store: Matrix, count: int, query: Matrix, k: int, mask: Mask | None, floor: float) -> Found:
        bitmap = None if mask is None else np.packbits(mask, bitorder="little")
        copy = self._copy_for(store, count, mask)
        found, _rescored, gave_up = _topk.search(self._path, store, count, query, k, bitmap, floor, copy)
        if copy is not None:
            self._waits[copy.bits].remember(gave_up)
        return found

    def search_many(
        self, store: Matrix, count: int, queries: Sequence[Matrix], k: int, mask: Mask | None, floor: float
    ) -> list[Found]:
        """Search BATCH queries at a time; what one of them reads of a copy is in the cache for the next."""
        bitmap = None if mask is None else np.packbits(mask, bitorder="little")
        answers: list[Found] = []
        for first in range(0, len(queries), BATCH):
            some = queries[first : first + BATCH]
            copy = self._copy_for(store, count, mask)
            if copy is None:
                answers += [_topk.search(self._path, store, count, query, k, bitmap, floor)[0] for query in some]
            else:
                found, gave_up = _topk.batch(self._path, store, count, np.stack(some), k, bitmap, floor, copy)
                self._waits[copy.bits].remember(gave_up * 2 > len(some))
                answers += found
        return answers

    def _copy_for(self, store: Matrix, count: int, mask: Mask | None) -> _topk.Copy | None:
        """Return the copy to scan, or None for the plain scan; start making one if it is missing."""
        if count < COPY_ROWS:
            return None
        if mask is not None and np.count_nonzero(mask) * SPARSE < count:
            return None
        is_missing = False
        for bits in (4, 8) if count >= FOUR_BIT_ROWS else (8,):
            copy = self._copies.get(bits)
            if copy is None:
                if not is_missing:
                    self._start_building(bits)
                is_missing = True
            elif copy.store is store and copy.count >= count and self._waits[bits].is_over():
                return copy
        return None

    def _start_building(self, bits: int) -> None:
        with self._lock:
            if self._builder is None or not self._builder.is_alive():
                self._builder = Thread(target=self.build_copy, args=(bits,), daemon=True)
                self._builder.start()

    def build_copy(self, bits: int) -> None:
        """Make a copy of the rows there are. Cost: 1 µs a row at 8 bits, 2 at 4."""
        with self._lock:
            generation, store, count = self._generation, self._store, self._count
        copy = _topk.Copy(bits, store)
        while copy.count < count:
            copy.encode(self._path, min(count, copy.count + ENCODE_STEP))
        with self._lock:
            if generation == self._generation:  # else other rows have taken their place
                self._copies[bits] = self._brought_up(copy)
