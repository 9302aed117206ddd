"""The vectors in memory, and the one call that searches them.

A VectorIndex holds passages' vectors as one float32 matrix (n, d) whose rows have unit length, so a
dot product is the cosine (-1 to 1). The database is the truth: this copy may be dropped at any
moment and loaded again, about 1.5 kB a row at d = 384.

A row never changes in place: an update appends and leaves a tombstone. So a search may run over the
rows there were when it began, without a lock, while another thread adds and deletes. Rows keep their numbers
until a rebuild or a sweep of tombstones; a mask remembers which rows it was made for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from threading import RLock
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from rekall.errors import BackendUnavailable, InvalidVector
from rekall.kernel import KernelSearcher, kernel_is_there
from rekall.language import _
from rekall.searchers import Mask, NumpySearcher, Searcher, SqliteVecSearcher
from rekall.vectors import Matrix, new_rows, on_a_line, unit_rows

Pairs: TypeAlias = list[tuple[str, float]]

# Tombstones are swept out when they are more than half of the rows, and more than this many.
SWEEP = 64


@dataclass(frozen=True, slots=True)
class _View:
    """What a search runs over: taken in one step, never changed. Only tombstones appear under it."""

    ids: list[str]  # grows at its end; another list where the rows have got other numbers
    store: Matrix
    alive: Mask
    count: int
    dead: int


class RowMask(np.ndarray[tuple[int, ...], np.dtype[np.bool_]]):
    """A mask (n,) over the rows of an index that remembers which rows those were."""

    made_for: _View | None = None

    def __array_finalize__(self, source: object) -> None:
        self.made_for = getattr(source, "made_for", None)


def choose(backend: str) -> Searcher:
    """Return a new searcher of this name; auto takes the kernel, or NumPy where nothing was compiled.

    sqlite-vec is never auto's choice for rows in memory: it is 15 times slower than either (decision 020).
    Raises BackendUnavailable.
    """
    if backend in ("auto", "kernel"):
        if kernel_is_there():
            return KernelSearcher()
        if backend == "kernel":
            raise BackendUnavailable(
                _("backend kernel was not compiled here; run: rekall config set performance.vector_backend auto")
            )
    if backend == "sqlite-vec":
        return SqliteVecSearcher()
    return NumpySearcher()


def is_available(backend: str) -> bool:
    """Tell whether `choose` would return a searcher of this name."""
    if backend == "kernel":
        return kernel_is_there()
    if backend == "sqlite-vec":
        from rekall.db import open_memory_with_vec

        return open_memory_with_vec() is not None
    return backend in ("auto", "numpy")


class VectorIndex:
    """Exact cosine search over rows that carry an id; several rows may share one.

    Rows keep the order they came in. `backend` names what searches them: kernel, sqlite-vec, numpy, or
    auto, the best that is there. Safe between threads: any number search, gather and write at once.
    """

    def __init__(self, backend: str = "auto") -> None:
        """Raises BackendUnavailable if the named backend cannot run here."""
        self._searcher: Searcher = choose(backend)
        self._lock = RLock()  # of all below; a search needs only the view
        self._clear()
        self._publish()

    def _clear(self) -> None:
        self._store: Matrix = np.empty((0, 0), dtype=np.float32)  # more rows than ids: room to grow
        self._is_alive: Mask = np.empty(0, dtype=np.bool_)
        self._ids: list[str] = []
        self._rows: dict[str, list[int]] = {}
        self._dead = 0
        self._searcher.reset(self._store, 0)

    def _publish(self) -> None:
        """Let searches see the rows as they are now."""
        self._view = _View(self._ids, self._store, self._is_alive, len(self._ids), self._dead)

    @classmethod
    def from_matrix(cls, ids: Sequence[str], matrix: ArrayLike, backend: str = "auto") -> VectorIndex:
        """Return an index of `matrix` (n, d), row i under ids[i]. Needs no base.

        Raises InvalidVector if a row is not finite or zero, or if the counts differ.
        """
        index = cls(backend)
        index.rebuild(ids, matrix)
        return index

    @property
    def backend(self) -> str:
        """The name of what searches: kernel, sqlite-vec or numpy."""
        return self._searcher.name

    @staticmethod
    def is_available(backend: str = "auto") -> bool:
        """Tell whether a backend can run here. NumPy always can, and so can auto."""
        return is_available(backend)

    @property
    def _matrix(self) -> Matrix:
        return self._store[: len(self._ids)]

    @property
    def _alive(self) -> Mask:
        return self._is_alive[: len(self._ids)]

    @property
    def dimensions(self) -> int | None:
        """The length of the vectors held, or None while there are none."""
        return self._store.shape[1] if self._ids else None

    @property
    def ids(self) -> list[str]:
        """The id of each row, tombstones included, in row order."""
        return self._ids

    def __len__(self) -> int:
        return len(self._ids) - self._dead

    def count_ids(self) -> int:
        """Return how many different ids the rows bear."""
        return len(self._rows)

    def __contains__(self, key: str) -> bool:
        return key in self._rows

    def stats(self) -> dict[str, int | str]:
        """Return backend, rows, ids (distinct), tombstones, bytes of the matrix, bytes of copies."""
        return {
            "backend": self.backend,
            "rows": len(self),
            "ids": len(self._rows),
            "tombstones": self._dead,
            "bytes": int(self._store.nbytes + self._is_alive.nbytes),
            "copies_bytes": self._searcher.copies_bytes,
        }

    def rebuild(self, ids: Sequence[str], matrix: ArrayLike) -> None:
        """Replace everything held by `matrix` (n, d), row i under ids[i].

        A float32 matrix of unit rows that begins on a cache line (`new_rows`) is taken over, any other copied.
        """
        rows = on_a_line(unit_rows(matrix)) if np.size(matrix) else np.empty((0, 0), dtype=np.float32)
        if len(rows) != len(ids):
            raise InvalidVector(_("{ids} ids for {rows} vectors").format(ids=len(ids), rows=len(rows)))
        with self._lock:
            self._fill(list(ids), rows)

    def _fill(self, ids: list[str], rows: Matrix) -> None:
        self._clear()
        for row, key in enumerate(ids):
            self._rows.setdefault(key, []).append(row)
        self._store, self._is_alive, self._ids = rows, np.ones(len(rows), dtype=np.bool_), ids
        self._searcher.reset(rows, len(rows))
        self._publish()

    def add(self, key: str, vectors: ArrayLike) -> None:
        """Append one vector (d,) or several (p, d) under `key`. Raises InvalidVector for another d."""
        rows = self._checked(vectors)
        with self._lock:
            self._append(key, rows)

    def _checked(self, vectors: ArrayLike) -> Matrix:
        """Return one or several vectors as unit rows (p, d). Raises InvalidVector."""
        if isinstance(vectors, np.ndarray) and vectors.ndim == 1:
            return self._searcher.unit(vectors, self.dimensions)[None]
        return unit_rows(vectors, self.dimensions)

    def _append(self, key: str, rows: Matrix) -> None:
        first, end = len(self._ids), len(self._ids) + len(rows)
        self._reserve(end, rows.shape[1])
        self._store[first:end] = rows
        self._is_alive[first:end] = True
        self._searcher.added(self._store, first, end)
        self._rows.setdefault(key, []).extend(range(first, end))
        self._ids.extend([key] * len(rows))
        self._publish()

    def delete(self, key: str) -> bool:
        """Remove every row under `key`; tell whether there was one."""
        with self._lock:
            buried = self._bury(key)
            self._publish()
            return buried

    def _bury(self, key: str) -> bool:
        rows = self._rows.pop(key, None)
        if rows is None:
            return False
        self._bury_rows(rows)
        return True

    def _bury_rows(self, rows: list[int]) -> None:
        self._is_alive[rows] = False
        self._dead += len(rows)
        self._searcher.removed(rows)
        if self._dead == len(self._ids):
            self._clear()
        elif self._dead > SWEEP and self._dead * 2 > len(self._ids):
            kept = np.flatnonzero(self._alive)
            self._fill([self._ids[row] for row in kept], on_a_line(self._matrix[kept]))

    def update(self, key: str, vectors: ArrayLike) -> None:
        """Replace the rows under `key`; the new ones stand at the end. A search meanwhile sees either or both."""
        rows = self._checked(vectors)
        with self._lock:
            old = self._rows.pop(key, [])
            self._append(key, rows)
            self._bury_rows(old)
            self._publish()

    def _reserve(self, rows: int, dimensions: int) -> None:
        """Make room for `rows`, half as much again at a time, so that adding stays cheap."""
        if len(self._store) >= rows and self._store.flags.writeable:
            return
        room, held = max(rows, len(self._ids) * 3 // 2, 16), len(self._ids)
        store = new_rows(room, dimensions)
        alive = np.zeros(room, dtype=np.bool_)
        if held:
            store[:held], alive[:held] = self._matrix, self._alive
        self._store, self._is_alive = store, alive

    def mask_of(self, keys: Iterable[str]) -> RowMask:
        """Return the mask (n,) that selects the rows of `keys`; keys that are not held are passed over.

        It may be used later, whatever has become of the rows: it selects the same ids.
        """
        wanted = list(keys)
        with self._lock:
            view = self._view
            mask = np.zeros(view.count, dtype=np.bool_).view(RowMask)
            mask[[row for key in wanted for row in self._rows.get(key, ())]] = True
        mask.made_for = view
        return mask

    def rows_of(self, key: str) -> Matrix:
        """Return the vectors (p, d) under `key`, in the order they were added."""
        return self.gather([key])[1]

    def gather(self, keys: Iterable[str]) -> tuple[list[str], Matrix, list[int]]:
        """Return (those of `keys` that are held, all their rows (m, d), where each key's rows start)."""
        wanted = list(keys)
        held: list[str] = []
        places: list[int] = []
        starts: list[int] = []
        with self._lock:
            for key in wanted:
                if rows := self._rows.get(key):
                    held.append(key)
                    starts.append(len(places))
                    places.extend(rows)
            matrix = self._matrix
        return held, matrix[places], starts

    def search(self, query: ArrayLike, k: int, mask: Mask | None = None, floor: float = -2.0) -> Pairs:
        """Return up to k (id, cosine), best first; equal scores leave the earlier row in front.

        An id that has several rows may come several times. `mask` (n,) selects the rows that may
        answer and `floor` the least score, both before the cut at k. Raises InvalidVector for a query that is
        not finite, zero or of another d. Cost: one pass over the rows, or over a copy an eighth of their size.
        """
        if not self._searcher.is_lock_free:
            with self._lock:
                return self._search_now(query, k, mask, floor)
        return self._search_now(query, k, mask, floor)

    def _search_now(self, query: ArrayLike, k: int, mask: Mask | None, floor: float) -> Pairs:
        view, mask = self._seen(mask)
        vector = self._searcher.unit(query, view.store.shape[1] if view.count else None)
        if not view.count or k < 1:
            return []
        found = self._searcher.search(view.store, view.count, vector, k, mask, floor)
        ids = view.ids
        return [(ids[row], score) for row, score in found]

    def search_many(
        self, queries: Iterable[ArrayLike], k: int, mask: Mask | None = None, floor: float = -2.0
    ) -> list[Pairs]:
        """Return what `search` would for each query (d,), to the bit; all of them see the same rows.

        Raises InvalidVector. Cost: at 100,000 rows and more two thirds of as many searches or less, because
        queries share what each brings into the cache; below that as much as they.
        """
        with nullcontext() if self._searcher.is_lock_free else self._lock:
            view, mask = self._seen(mask)
            dimensions = view.store.shape[1] if view.count else None
            vectors = [self._searcher.unit(query, dimensions) for query in queries]
            if not view.count or k < 1:
                return [[] for _query in vectors]
            answers = self._searcher.search_many(view.store, view.count, vectors, k, mask, floor)
        ids = view.ids
        return [[(ids[row], score) for row, score in found] for found in answers]

    def _seen(self, mask: Mask | None) -> tuple[_View, Mask | None]:
        """Return the rows as they are, and `mask` over them without their tombstones."""
        view, living = self._living(mask)
        if view is not self._view:  # a new tombstone may stand for a row that came later than the view
            with self._lock:
                view, living = self._living(mask)
        return view, living

    def _living(self, mask: Mask | None) -> tuple[_View, Mask | None]:
        view = self._view
        if isinstance(mask, RowMask) and mask.made_for is not None and mask.made_for is not view:
            ids = mask.made_for.ids
            mask = self.mask_of({ids[row] for row in np.flatnonzero(mask)})
            view = mask.made_for or view
        if view.dead:
            alive = view.alive[: view.count]
            mask = alive.copy() if mask is None else alive & mask
        return view, mask
