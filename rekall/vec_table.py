"""`embeddings_vec`: a copy of the vectors that the sqlite-vec extension can search, inside the base.

It is no part of the schema: it is made where the extension loads, and a process that cannot load the
extension leaves it alone. No trigger keeps it, for a trigger would fail in those very processes; it
carries the revision it reflects instead. Behind that, readers pass it over, and the next writer that
can brings it up to date.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from rekall.schema import Connection

# sqlite-vec's own limit on k in a KNN query.
LARGEST_K = 4096
# Rows a chunk of the copy. A row is written by way of its whole chunk: 256 take two thirds of the time of the
# extension's own 1,024 to write, and a search is as fast.
CHUNK = 256
# Rows that are looked at to learn the length of a model's vectors: cut ones are rare, and reading all takes as long
# as copying them.
SAMPLE = 1000

_STATE = """CREATE TABLE IF NOT EXISTS vec_state (   -- what embeddings_vec holds; one row
    model TEXT NOT NULL, dimensions INTEGER NOT NULL, revision INTEGER NOT NULL)"""


class VecTable:
    """The copy for one base. Rows bear the rowid of their embedding."""

    def __init__(
        self, connection: Connection, transaction: Callable[[], AbstractContextManager[None]], load: Callable[[], bool]
    ) -> None:
        self._connection = connection
        self._transaction = transaction
        self._load = load
        self._loaded: bool | None = None

    @property
    def is_available(self) -> bool:
        """Whether the extension loads into this connection."""
        if self._loaded is None:
            self._loaded = self._load()
        return self._loaded

    def reflects(self) -> tuple[str, int] | None:
        """Return (model, revision) of what the copy holds, or None if there is none, or none that says so."""
        columns = {row[1] for row in self._connection.execute("PRAGMA table_info(vec_state)").fetchall()}
        if not {"model", "dimensions", "revision"} <= columns or not self._has_rows:
            return None
        row = self._connection.execute(
            "SELECT model, revision FROM vec_state "
            "WHERE typeof(model) = 'text' AND typeof(revision) = 'integer' AND typeof(dimensions) = 'integer'"
        ).fetchone()
        return (row[0], row[1]) if row else None

    @property
    def is_there(self) -> bool:
        """Whether there is a copy of ours, or a part of one. An older rekall's has no vec_state; nobody reads it."""
        return bool(self._connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'vec_state'").fetchone())

    @property
    def _has_rows(self) -> bool:
        return bool(self._connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'embeddings_vec'").fetchone())

    def ensure_vec(self, model: str) -> bool:
        """Bring the copy up to the base as it is, making it if need be; tell whether it is there now.

        Cost: the rows that changed; all of them for another model or a copy of another shape.
        """
        if not self.is_available:
            return False
        with self._transaction():
            sizes = self._connection.execute(
                "SELECT length(vector) / 4 FROM (SELECT vector FROM embeddings WHERE model = ? LIMIT ?) "
                "GROUP BY 1 ORDER BY count(*) DESC LIMIT 1",
                (model, SAMPLE),
            ).fetchone()
            if not sizes:
                self._drop()
                return False
            if not self._fits(model, sizes[0]):
                self._create(model, sizes[0])
            self._catch_up(model, sizes[0])
        return True

    def nearest(self, query: bytes, k: int, condition: str = "1", parameters: Sequence[object] = ()) -> list[str]:
        """Return the entry ids of up to k rows nearest to `query`, the nearest first; ids may repeat.

        `condition` is SQL over the entries table (`e`), applied before the cut at k. Cost: one pass.
        """
        chosen = ""
        values: list[object]
        if condition != "1":
            chosen = (
                " AND rowid IN (SELECT m.rowid FROM embeddings m JOIN entries e ON e.rowid = m.entry_rowid "
                f"WHERE {condition})"
            )
        if k <= LARGEST_K:
            found = f"SELECT rowid, distance FROM embeddings_vec WHERE vector MATCH ? AND k = ?{chosen}"
            values = [query, k, *parameters]
        else:
            found = (
                f"SELECT rowid, vec_distance_cosine(vector, ?) AS distance FROM embeddings_vec WHERE 1{chosen} "
                "ORDER BY distance LIMIT ?"
            )
            values = [query, *parameters, k]
        sql = (
            f"WITH v AS MATERIALIZED ({found}) SELECT e.id FROM v CROSS JOIN embeddings m ON m.rowid = v.rowid "
            "JOIN entries e ON e.rowid = m.entry_rowid ORDER BY v.distance, v.rowid"
        )
        return [row[0] for row in self._connection.execute(sql, values)]

    def rebuild(self, model: str) -> bool:
        """Make the copy anew; tell whether it is there now."""
        if not self.is_available:
            if self.is_there and self.reflects() is None:  # it says nothing, and whoever can makes both anew
                self._connection.execute("DROP TABLE vec_state")
            return False
        with self._transaction():
            self._drop()
            return self.ensure_vec(model)

    def drift(self) -> int:
        """Return how many rows the copy has too many, too few or other than the base, at the revision it reflects."""
        reflected = self.reflects()
        if reflected is None:
            return 0
        model, revision = reflected
        wanted = "SELECT rowid, vector FROM embeddings WHERE model = :model AND changed <= :revision"
        held = "SELECT rowid, vector FROM embeddings_vec"
        late = "SELECT 1 FROM embeddings WHERE changed > :revision LIMIT 1"
        values = {"model": model, "revision": revision}
        missing = self._connection.execute(f"SELECT count(*) FROM ({wanted} EXCEPT {held})", values).fetchone()[0]
        if self._connection.execute(late, values).fetchone() or self._revision() > revision:
            return int(missing)  # behind: rows that are gone from the base may still be in the copy
        surplus = self._connection.execute(f"SELECT count(*) FROM ({held} EXCEPT {wanted})", values).fetchone()[0]
        return int(missing + surplus)

    def _revision(self) -> int:
        return int(self._connection.execute("SELECT value FROM state WHERE key = 'revision'").fetchone()[0])

    def _fits(self, model: str, dimensions: int) -> bool:
        """Tell whether the copy is ours, and of this model and size. An older rekall made one of another shape."""
        if self.reflects() is None:
            return False
        row = self._connection.execute("SELECT model, dimensions FROM vec_state").fetchone()
        return (row[0], row[1]) == (model, dimensions)

    def _drop(self) -> None:
        self._connection.execute("DROP TABLE IF EXISTS embeddings_vec")
        self._connection.execute("DROP TABLE IF EXISTS vec_state")

    def _create(self, model: str, dimensions: int) -> None:
        self._drop()
        self._connection.execute(
            "CREATE VIRTUAL TABLE embeddings_vec USING "
            f"vec0(vector float[{int(dimensions)}] distance_metric=cosine, chunk_size={CHUNK})"
        )
        self._connection.execute(_STATE)
        self._connection.execute("INSERT INTO vec_state VALUES (?, ?, -1)", (model, dimensions))

    def _catch_up(self, model: str, dimensions: int) -> None:
        since = self._connection.execute("SELECT revision FROM vec_state").fetchone()[0]
        changed = "FROM embeddings WHERE model = ? AND changed > ? AND length(vector) = ?"
        values = (model, since, dimensions * 4)
        if since >= 0:  # vec0 knows no INSERT OR REPLACE; a rowid may have been used before
            again = self._connection.execute(f"SELECT rowid {changed}", values).fetchall()
            self._connection.executemany("DELETE FROM embeddings_vec WHERE rowid = ?", again)
        self._connection.execute(f"INSERT INTO embeddings_vec(rowid, vector) SELECT rowid, vector {changed}", values)
        if since >= 0:
            gone = self._connection.execute(
                "SELECT rowid FROM embeddings_vec EXCEPT SELECT rowid FROM embeddings WHERE model = ?", (model,)
            ).fetchall()
            self._connection.executemany("DELETE FROM embeddings_vec WHERE rowid = ?", gone)
        self._connection.execute("UPDATE vec_state SET revision = ?", (self._revision(),))
