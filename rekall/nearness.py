"""Two places where the nearest vectors are found: in memory, or in the base itself.

Resident holds every vector in a VectorIndex and keeps it in step with the base, whatever process wrote
to it. Stored asks `embeddings_vec`, which needs nothing loaded: it is slower a query, but the first queries of a
process are answered before the vectors would have been read. Both give the same candidates.
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

    def count(self) -> int:
        """Return how many passages there are."""

    def passages(self, query: Matrix, rows: int, filters: Filters | None) -> list[str]:
        """Return the entry ids of up to `rows` nearest passages, the nearest first; ids may repeat."""

    def vectors(self, keys: Iterable[str]) -> tuple[list[str], Matrix, list[int]]:
        """Return (those of `keys` that have vectors, all their rows (m, d), where each key's rows start)."""


class Resident:
    """Every vector of the current model in memory, in step with the base. Safe between threads.

    Owns no connection: whoever asks brings a Database of its own, and the vectors are brought up to what that one
    sees. They may be dropped at any moment; who asks next reads them again.
    """

    def __init__(self, cache: EmbeddingCache, model: str, backend: str) -> None:
        """Raises BackendUnavailable."""
        self._cache = cache
        self._model = model
        self._backend = backend
        self._index = VectorIndex(backend)
        self._lock = Lock()
        self._seen: tuple[object, int] | None = None  # the file and its revision that the index reflects

    @property
    def is_loaded(self) -> bool:
        """Whether the vectors have been read."""
        return self._seen is not None

    def stats(self) -> dict[str, int | str]:
        """Return what VectorIndex.stats tells of the vectors held now."""
        return self._index.stats()

    def drop(self) -> None:
        """Let the vectors go; who searches them now still has them."""
        with self._lock:
            self._index, self._seen = VectorIndex(self._backend), None

    def index_at(self, database: Database) -> VectorIndex:
        """Return the index, brought up to what `database` sees now. Cost: one read, if nothing changed."""
        now = (database.file, database.revision())
        if self._seen == now:
            return self._index
        with self._lock:
            now = (database.file, database.revision())
            if self._seen is None or self._seen[0] != now[0] or self._seen[1] > now[1]:
                self._load(database)  # for the first time; another base; an older state of this one, put back in place
            elif self._seen[1] < now[1]:
                self._follow(database, self._seen[1])
            return self._index

    def _load(self, database: Database) -> None:
        revision = database.revision()  # read first: what comes in between is followed up
        held = self._cache.get_all_as_matrix(revision) if self._seen is None else None
        ids, matrix = held or database.get_all_vectors_batch(self._model)
        index = VectorIndex(self._backend)  # another one: a search may be running over the old
        index.rebuild(ids, matrix)
        if held is None:
            self._cache.put_all(ids, matrix, revision)
        self._index, self._seen = index, (database.file, revision)

    def _follow(self, database: Database, revision: int) -> None:
        """Bring the index from `revision` to now. A change too large to follow loads it anew."""
        changes = database.changes_since(revision)
        if len(changes.written) > max(1000, len(self._index) // 4):
            self._load(database)
            return
        for key in changes.gone | changes.written:
            self._index.delete(key)
            self._cache.invalidate(key)
        vectors = database.vectors_of(sorted(changes.written), self._model)
        for key, rows in vectors.items():
            if self._index.dimensions in (None, rows.shape[1]):
                self._index.add(key, rows)
        self._seen = (database.file, changes.revision)

    def over(self, database: Database) -> Nearness:
        """Return these vectors as `database` sees them, for one answer."""
        return _InMemory(self.index_at(database), database)


class _InMemory:
    """The vectors in memory, for one answer: one index throughout, whatever changes meanwhile."""

    def __init__(self, index: VectorIndex, database: Database) -> None:
        self._index = index
        self._database = database

    def count(self) -> int:
        return len(self._index)

    def passages(self, query: Matrix, rows: int, filters: Filters | None) -> list[str]:
        mask = self._index.mask_of(self._database.ids(filters)) if filters else None
        return [key for key, _score in self._index.search(query, rows, mask)]

    def vectors(self, keys: Iterable[str]) -> tuple[list[str], Matrix, list[int]]:
        return self._index.gather(keys)


class Stored:
    """The vectors where they lie, searched by sqlite-vec inside the base."""

    def __init__(self, database: Database, model: str) -> None:
        self._database = database
        self._model = model

    def is_in_step(self) -> bool:
        """Tell whether the extension loads and its copy reflects the base as it is, for this model."""
        vec = self._database.vec
        return vec.reflects() == (self._model, self._database.revision()) and vec.is_available

    def count(self) -> int:
        return self._database.count_vectors(self._model)

    def passages(self, query: Matrix, rows: int, filters: Filters | None) -> list[str]:
        return self._database.nearest_passages(to_blob(query), rows, filters)

    def vectors(self, keys: Iterable[str]) -> tuple[list[str], Matrix, list[int]]:
        found = self._database.vectors_of(list(keys), self._model)
        starts: Sequence[int] = np.cumsum([0, *(len(rows) for rows in found.values())]).tolist()
        matrix = np.concatenate(list(found.values())) if found else np.empty((0, 0), dtype=np.float32)
        return list(found), matrix, list(starts[:-1])
