"""Two places where the nearest vectors are found: in memory, or in the base itself.

Resident holds every vector in a VectorIndex and keeps it in step with the base, whatever process wrote
to it. Stored asks `embeddings_vec`, which needs nothing loaded: it is slower a query, but the first queries of a
process are answered before the vectors would have been read. Both give the same candidates.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    """Every vector of the current model in memory, in step with the base."""

    def __init__(self, database: Database, cache: EmbeddingCache, model: str, backend: str) -> None:
        self._database = database
        self._cache = cache
        self._model = model
        self._index = VectorIndex(backend)
        self._revision: int | None = None  # of the base, that the index reflects

    @property
    def is_loaded(self) -> bool:
        """Whether the vectors have been read."""
        return self._revision is not None

    @property
    def index(self) -> VectorIndex:
        """The index, brought up to the base as it is now."""
        if self._revision is None:
            self._load()
        elif self._revision != self._database.revision():
            self._follow(self._revision)
        return self._index

    def _load(self) -> None:
        revision = self._database.revision()  # read first: what comes in between is followed up
        held = self._cache.get_all_as_matrix(revision)
        ids, matrix = held or self._database.get_all_vectors_batch(self._model)
        self._index.rebuild(ids, matrix)
        if held is None:
            self._cache.put_all(ids, matrix, revision)
        self._revision = revision

    def _follow(self, revision: int) -> None:
        """Bring the index from `revision` to now. A change too large to follow loads it anew."""
        changes = self._database.changes_since(revision)
        if len(changes.written) > max(1000, len(self._index) // 4):
            self._load()
            return
        for key in changes.gone | changes.written:
            self._index.delete(key)
            self._cache.invalidate(key)
        vectors = self._database.vectors_of(sorted(changes.written), self._model)
        for key, rows in vectors.items():
            if self._index.dimensions in (None, rows.shape[1]):
                self._index.add(key, rows)
        self._revision = changes.revision

    def count(self) -> int:
        return len(self.index)

    def passages(self, query: Matrix, rows: int, filters: Filters | None) -> list[str]:
        index = self.index
        mask = index.mask_of(self._database.ids(filters)) if filters else None
        return [key for key, _score in index.search(query, rows, mask)]

    def vectors(self, keys: Iterable[str]) -> tuple[list[str], Matrix, list[int]]:
        return self.index.gather(keys)


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
