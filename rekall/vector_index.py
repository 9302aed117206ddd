"""The vectors in memory, and the one call that searches them.

A VectorIndex holds passages' vectors as one float32 matrix (n, d) whose rows have unit length, so a
dot product is the cosine (-1 to 1). The database is the truth: this copy may be dropped at any
moment and loaded again, about 1.5 kB a row at d = 384.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rekall.errors import InvalidVector
from rekall.vectors import Matrix, unit_rows

Mask = NDArray[np.bool_]


class VectorIndex:
    """Exact cosine search over rows that carry an id; several rows may share one.

    Rows keep the order they came in. A deleted row stays as a tombstone that no search returns
    until the gaps are worth closing, so the order of the others never changes.
    """

    def __init__(self) -> None:
        self._store: Matrix = np.empty((0, 0), dtype=np.float32)  # more rows than ids: room to grow
        self._is_alive: Mask = np.empty(0, dtype=np.bool_)
        self._ids: list[str] = []
        self._rows: dict[str, list[int]] = {}

    @classmethod
    def from_matrix(cls, ids: Sequence[str], matrix: ArrayLike) -> VectorIndex:
        """Return an index of `matrix` (n, d), row i under ids[i]. Needs no base.

        Raises InvalidVector if a row is not finite or zero, or if the counts differ.
        """
        index = cls()
        index.rebuild(ids, matrix)
        return index

    @property
    def backend(self) -> str:
        """The name of what searches: numpy."""
        return "numpy"

    @staticmethod
    def is_available() -> bool:
        """Tell whether this backend can run here. NumPy always can."""
        return True

    @property
    def _matrix(self) -> Matrix:
        return self._store[: len(self._ids)]

    @property
    def _alive(self) -> Mask:
        return self._is_alive[: len(self._ids)]

    @property
    def dimensions(self) -> int | None:
        """The length of the vectors held, or None while there are none."""
        return self._matrix.shape[1] if self._ids else None

    @property
    def ids(self) -> list[str]:
        """The id of each row, tombstones included, in row order."""
        return self._ids

    def __len__(self) -> int:
        return int(np.count_nonzero(self._alive))

    def __contains__(self, key: str) -> bool:
        return key in self._rows

    def stats(self) -> dict[str, int | str]:
        """Return backend, rows, ids (distinct), tombstones and bytes held."""
        return {
            "backend": self.backend,
            "rows": len(self),
            "ids": len(self._rows),
            "tombstones": len(self._ids) - len(self),
            "bytes": int(self._store.nbytes + self._is_alive.nbytes),
        }

    def rebuild(self, ids: Sequence[str], matrix: ArrayLike) -> None:
        """Replace everything held by `matrix` (n, d), row i under ids[i]."""
        rows = unit_rows(matrix) if len(ids) else np.empty((0, 0), dtype=np.float32)
        if len(rows) != len(ids):
            raise InvalidVector(f"{len(ids)} ids for {len(rows)} vectors")
        self._store, self._ids = rows, list(ids)
        self._is_alive = np.ones(len(rows), dtype=np.bool_)
        self._rows = {}
        for row, key in enumerate(self._ids):
            self._rows.setdefault(key, []).append(row)

    def add(self, key: str, vectors: ArrayLike) -> None:
        """Append one vector (d,) or several (p, d) under `key`. Raises InvalidVector for another d."""
        rows = unit_rows(vectors, self.dimensions)
        first, end = len(self._ids), len(self._ids) + len(rows)
        self._reserve(end, rows.shape[1])
        self._store[first:end] = rows
        self._is_alive[first:end] = True
        self._ids.extend([key] * len(rows))
        self._rows.setdefault(key, []).extend(range(first, end))

    def delete(self, key: str) -> bool:
        """Remove every row under `key`; tell whether there was one."""
        rows = self._rows.pop(key, None)
        if rows is None:
            return False
        self._alive[rows] = False
        if len(self._ids) > 64 and len(self) * 2 < len(self._ids):
            self._close_gaps()
        return True

    def update(self, key: str, vectors: ArrayLike) -> None:
        """Replace the rows under `key`; the new ones stand at the end."""
        rows = unit_rows(vectors, self.dimensions)
        self.delete(key)
        self.add(key, rows)

    def mask_of(self, keys: Iterable[str]) -> Mask:
        """Return the mask (n,) that selects the rows of `keys`; keys that are not held are passed over."""
        mask = np.zeros(len(self._ids), dtype=np.bool_)
        mask[[row for key in keys for row in self._rows.get(key, ())]] = True
        return mask

    def rows_of(self, key: str) -> Matrix:
        """Return the vectors (p, d) under `key`, in the order they were added."""
        return self._matrix[self._rows.get(key, [])]

    def gather(self, keys: Iterable[str]) -> tuple[list[str], Matrix, list[int]]:
        """Return (those of `keys` that are held, all their rows (m, d), where each key's rows start)."""
        held = [key for key in keys if key in self._rows]
        places: list[int] = []
        starts: list[int] = []
        for key in held:
            starts.append(len(places))
            places.extend(self._rows[key])
        return held, self._matrix[places], starts

    def search(self, query: ArrayLike, k: int, mask: Mask | None = None) -> list[tuple[str, float]]:
        """Return up to k (id, cosine), best first; equal scores leave the earlier row in front.

        An id that has several rows may come several times. `mask` (n,) selects the rows that may
        answer, before the cut at k. Raises InvalidVector for a query that is not finite, zero or
        of another d. Cost: one pass over the rows.
        """
        vector = unit_rows(query, self.dimensions)[0]
        if not self._ids or k < 1:
            return []
        allowed = self._alive if mask is None else self._alive & mask
        rows = np.flatnonzero(allowed)
        scores = self._matrix @ vector if len(rows) == len(self._ids) else self._matrix[rows] @ vector
        best = _top(scores, min(k, len(rows)))
        return [(self._ids[rows[i]], float(scores[i])) for i in best]

    def _reserve(self, rows: int, dimensions: int) -> None:
        """Make room for `rows`, half as much again at a time, so that adding stays cheap."""
        if len(self._store) >= rows and self._store.flags.writeable:
            return
        room, held = max(rows, len(self._ids) * 3 // 2, 16), len(self._ids)
        store = np.empty((room, dimensions), dtype=np.float32)
        alive = np.zeros(room, dtype=np.bool_)
        if held:
            store[:held], alive[:held] = self._matrix, self._alive
        self._store, self._is_alive = store, alive

    def _close_gaps(self) -> None:
        kept = np.flatnonzero(self._alive)
        self.rebuild([self._ids[row] for row in kept], self._matrix[kept])


def _top(scores: NDArray[np.float32], k: int) -> NDArray[np.intp]:
    """Return the positions of the k highest scores, best first, the lower position on a tie."""
    if k < len(scores):
        threshold = np.partition(scores, len(scores) - k)[len(scores) - k]
        above = np.flatnonzero(scores > threshold)
        at = np.flatnonzero(scores == threshold)[: k - len(above)]
        candidates = np.concatenate([above, at])
    else:
        candidates = np.arange(len(scores))
    return candidates[np.lexsort((candidates, -scores[candidates]))]
