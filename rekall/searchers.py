"""What searches the rows of a VectorIndex: the compiled kernel, sqlite-vec, or NumPy.

One interface, one order: score descending, then row ascending. A Searcher is told what becomes of the
rows, because some keep a copy in a form of their own; the rows themselves belong to the index.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rekall.errors import BackendUnavailable
from rekall.language import _
from rekall.vec_table import LARGEST_K
from rekall.vectors import Matrix, one_row, to_blob

if TYPE_CHECKING:
    from rekall.schema import Connection

# Distances that differ by less may be equal: float32 sums in another order.
NEARLY = 1e-5
# Rows that sqlite-vec is asked for beyond k, to see whether the last one stands alone.
SPARE = 16

Mask: TypeAlias = NDArray[np.bool_]
Found: TypeAlias = list[tuple[int, float]]


class Searcher(Protocol):
    """One backend over the rows of one index."""

    name: str
    is_lock_free: bool  # whether a search may run while the searcher is told of changes

    @property
    def copies_bytes(self) -> int:
        """Bytes this backend holds besides the rows."""

    def unit(self, query: ArrayLike, dimensions: int | None) -> Matrix:
        """Return the query (d,) checked and at unit length. Raises InvalidVector."""

    def reset(self, store: Matrix, count: int) -> None:
        """Take the first `count` rows of `store` for all there are."""

    def added(self, store: Matrix, first: int, end: int) -> None:
        """Rows first to end - 1 of `store` are new."""

    def removed(self, rows: Sequence[int]) -> None:
        """These rows are tombstones now; no mask will select them again."""

    def search(self, store: Matrix, count: int, query: Matrix, k: int, mask: Mask | None, floor: float) -> Found:
        """Return up to k (row, score) of the first `count` rows that `mask` selects, best first."""

    def search_many(
        self, store: Matrix, count: int, queries: Sequence[Matrix], k: int, mask: Mask | None, floor: float
    ) -> list[Found]:
        """Return what `search` would for each query, to the bit."""


class NumpySearcher:
    """A matrix-vector product and a partition. No copy, no compiler."""

    name = "numpy"
    is_lock_free = True
    copies_bytes = 0

    def unit(self, query: ArrayLike, dimensions: int | None) -> Matrix:
        return one_row(query, dimensions)

    def reset(self, store: Matrix, count: int) -> None:
        """Nothing is kept."""

    def added(self, store: Matrix, first: int, end: int) -> None:
        """Nothing is kept."""

    def removed(self, rows: Sequence[int]) -> None:
        """Nothing is kept."""

    def search(self, store: Matrix, count: int, query: Matrix, k: int, mask: Mask | None, floor: float) -> Found:
        rows = np.arange(count) if mask is None else np.flatnonzero(mask)
        k = min(k, len(rows))
        if not k:
            return []
        scores = store[:count] @ query if mask is None else store[rows] @ query
        least = np.partition(scores, len(scores) - k)[len(scores) - k]
        # A matrix product rounds equal rows differently by their place; those near the cut are summed row by row.
        near = rows[scores >= least - NEARLY]
        return _best(near, _row_by_row(store[near], query), k, floor)

    def search_many(
        self, store: Matrix, count: int, queries: Sequence[Matrix], k: int, mask: Mask | None, floor: float
    ) -> list[Found]:
        return [self.search(store, count, query, k, mask, floor) for query in queries]


def _row_by_row(rows: Matrix, query: Matrix) -> NDArray[np.float32]:
    """Return the scores of `rows` (n, d): equal rows have equal scores."""
    exact: NDArray[np.float32] = (rows.astype(np.float64) * query.astype(np.float64)).sum(axis=1).astype(np.float32)
    return exact


def _best(rows: NDArray[np.intp], scores: NDArray[np.float32], k: int, floor: float) -> Found:
    """Return the k best (row, score), the lower row first on a tie."""
    order = np.lexsort((rows, -scores))[:k]
    return [(int(rows[place]), float(scores[place])) for place in order if scores[place] >= floor]


class SqliteVecSearcher(NumpySearcher):
    """The sqlite-vec extension over a table in memory."""

    name = "sqlite-vec"
    is_lock_free = False  # one connection, whose rows have the newest numbers

    def __init__(self) -> None:
        from rekall.db import open_memory_with_vec

        connection = open_memory_with_vec()
        if connection is None:
            raise BackendUnavailable(
                _(
                    "backend sqlite-vec does not load here; install rekall-notes[sqlite-vec], or run: "
                    "rekall config set performance.vector_backend auto"
                )
            )
        self._connection: Connection = connection
        self._bytes = 0

    @property
    def copies_bytes(self) -> int:  # type: ignore[override]  # a count that changes
        """Bytes of the vectors in the table."""
        return self._bytes

    def reset(self, store: Matrix, count: int) -> None:
        self._connection.execute("DROP TABLE IF EXISTS vectors")
        self._bytes = 0
        if count:
            self.added(store, 0, count)

    def added(self, store: Matrix, first: int, end: int) -> None:
        self._connection.execute(
            f"CREATE VIRTUAL TABLE IF NOT EXISTS vectors USING vec0(v float[{store.shape[1]}] distance_metric=cosine)"
        )
        self._connection.execute("BEGIN")
        self._connection.executemany(
            "INSERT INTO vectors(rowid, v) VALUES (?, ?)", [(row, to_blob(store[row])) for row in range(first, end)]
        )
        self._connection.execute("COMMIT")
        self._bytes += (end - first) * store.shape[1] * 4

    def removed(self, rows: Sequence[int]) -> None:
        self._connection.executemany("DELETE FROM vectors WHERE rowid = ?", [(row,) for row in rows])

    def search(self, store: Matrix, count: int, query: Matrix, k: int, mask: Mask | None, floor: float) -> Found:
        chosen = "" if mask is None else " AND rowid IN (SELECT value FROM json_each(:rows))"
        wanted = min(k, count)
        values: dict[str, object] = {"query": to_blob(query), "rows": "[]"}
        if mask is not None:
            values["rows"] = str(np.flatnonzero(mask).tolist())
        near = self._nearest(values, wanted, chosen)
        rows = np.array([row for row in near if row < count], dtype=np.intp)
        return _best(rows, _row_by_row(store[rows], query), k, floor)

    def _nearest(self, values: dict[str, object], wanted: int, chosen: str) -> list[int]:
        """Return the `wanted` nearest rows and any that are as near as the last of them.

        The extension leaves open which of equal rows it returns, so a few more are asked for; where even the
        last of those is as near, every row is looked at.
        """
        least = 2.0
        if wanted + SPARE <= LARGEST_K:
            sql = f"SELECT rowid, distance FROM vectors WHERE v MATCH :query AND k = :k{chosen}"
            found = self._connection.execute(sql, {**values, "k": wanted + SPARE}).fetchall()
            if len(found) <= wanted or found[-1][1] > found[wanted - 1][1] + NEARLY:
                return [row for row, _distance in found]
            least = found[wanted - 1][1]
        sql = f"SELECT rowid FROM vectors WHERE vec_distance_cosine(v, :query) <= :least{chosen}"
        return [row[0] for row in self._connection.execute(sql, {**values, "least": least + NEARLY})]
