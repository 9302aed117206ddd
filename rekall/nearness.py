"""Two places where the nearest vectors are found: in memory, or in the base itself.

Resident holds every vector in a VectorIndex and keeps it in step with the base, whatever process wrote
to it. Stored asks `embeddings_vec`, which needs nothing loaded: it is slower a query, but the first queries of a
process are answered before the vectors would have been read. Both give the same candidates.

Neither owns a connection: each call brings its own, so that threads that have one each may share the vectors.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from threading import Lock
from typing import Protocol

import numpy as np

from rekall.cache import EmbeddingCache
from rekall.db import Database
from rekall.query import Filters
from rekall.vector_index import VectorIndex
from rekall.vectors import Matrix, to_blob


class Nearness(Protocol):
    """Where the nearest passages are found."""

    def count(self, database: Database) -> int:
        """Return how many passages there are."""

    def passages(self, database: Database, query: Matrix, rows: int, filters: Filters | None) -> list[str]:
        """Return the entry ids of up to `rows` nearest passages, the nearest first; ids may repeat."""

    def vectors(self, database: Database, keys: Iterable[str]) -> tuple[list[str], Matrix, list[int]]:
        """Return (those of `keys` that have vectors, all their rows (m, d), where each key's rows start)."""


class Resident:
    """Every vector of one model in memory, in step with the base. Safe between threads."""

    def __init__(self, cache: EmbeddingCache, model: str, backend: str) -> None:
        """Raises BackendUnavailable if the named backend cannot run here."""
        self._cache = cache
        self._model = model
        self._backend = backend
        VectorIndex(backend)  # a backend that is not there is reported now, not by the first query
        self._lock = Lock()  # one thread reads or follows the base, the others wait for what it finds
        self._held: tuple[VectorIndex, int] | None = None  # the index, and the revision of the base it reflects

    @property
    def is_loaded(self) -> bool:
        """Whether the vectors have been read."""
        return self._held is not None

    def index_at(self, database: Database) -> VectorIndex:
        """Return the index, brought up to the base as `database` sees it now.

        Cost: one SELECT; the rows that changed; all of them the first time and after `drop`.
        """
        held = self._held
        if held is not None and held[1] == database.revision():
            return held[0]
        with self._lock:
            self._held = self._brought_up(self._held, database)
            return self._held[0]

    def drop(self) -> None:
        """Let the vectors and their copies go; the next query reads them anew. A search under way is not disturbed."""
        with self._lock:
            self._held = None

    def _brought_up(self, held: tuple[VectorIndex, int] | None, database: Database) -> tuple[VectorIndex, int]:
        revision = database.revision()
        if held is None or revision < held[1]:  # less: a transaction was rolled back
            return self._load(database)
        return held if revision == held[1] else self._follow(*held, database)

    def _load(self, database: Database) -> tuple[VectorIndex, int]:
        revision = database.revision()  # read first: what comes in between is followed up
        cached = self._cache.get_all_as_matrix(revision)
        ids, matrix = cached or database.get_all_vectors_batch(self._model)
        index = VectorIndex.from_matrix(ids, matrix, self._backend)
        if cached is None:
            self._cache.put_all(ids, matrix, revision)
        return index, revision

    def _follow(self, index: VectorIndex, revision: int, database: Database) -> tuple[VectorIndex, int]:
        """Bring the index from `revision` to now. A change too large to follow, or of another d, loads it anew."""
        changes = database.changes_since(revision)
        if len(changes.written) > max(1000, len(index) // 4):
            return self._load(database)
        vectors = database.vectors_of(sorted(changes.written), self._model)
        if any(rows.shape[1] != index.dimensions for rows in vectors.values() if len(index)):
            return self._load(database)
        for key in changes.gone | changes.written:
            self._cache.invalidate(key)
            if key not in vectors:
                index.delete(key)
        for key, rows in vectors.items():
            index.update(key, rows)  # no other thread misses an entry that was written again
        return index, changes.revision

    def count(self, database: Database) -> int:
        return len(self.index_at(database))

    def passages(self, database: Database, query: Matrix, rows: int, filters: Filters | None) -> list[str]:
        index = self.index_at(database)
        mask = index.mask_of(database.ids(filters)) if filters else None
        return [key for key, _score in index.search(query, rows, mask)]

    def vectors(self, database: Database, keys: Iterable[str]) -> tuple[list[str], Matrix, list[int]]:
        return self.index_at(database).gather(keys)


class Stored:
    """The vectors where they lie, searched by sqlite-vec inside the base."""

    def __init__(self, model: str) -> None:
        self._model = model

    def is_in_step(self, database: Database) -> bool:
        """Tell whether the extension loads and its copy reflects the base as it is, for this model."""
        vec = database.vec
        return vec.reflects() == (self._model, database.revision()) and vec.is_available

    def count(self, database: Database) -> int:
        return database.count_vectors(self._model)

    def passages(self, database: Database, query: Matrix, rows: int, filters: Filters | None) -> list[str]:
        return database.nearest_passages(to_blob(query), rows, filters)

    def vectors(self, database: Database, keys: Iterable[str]) -> tuple[list[str], Matrix, list[int]]:
        found = database.vectors_of(list(keys), self._model)
        starts: Sequence[int] = np.cumsum([0, *(len(rows) for rows in found.values())]).tolist()
        matrix = np.concatenate(list(found.values())) if found else np.empty((0, 0), dtype=np.float32)
        return list(found), matrix, list(starts[:-1])
