"""Two places where the nearest vectors are found: in memory, or in the base itself.

Resident holds every vector in a VectorIndex and keeps it in step with the base, whatever process wrote
to it. Stored asks `embeddings_vec`, which needs nothing loaded: it is slower a query, but the first queries of a
process are answered before the vectors would have been read. Both give the same candidates.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
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

    def count_entries(self) -> int:
        """Return how many entries there are, about: some may have no vector yet."""

    def passages(self, query: Matrix, rows: int, filters: Filters | None) -> list[str]:
        """Return the entry ids of up to `rows` nearest passages, the nearest first; ids may repeat."""

    def vectors(self, keys: Iterable[str]) -> tuple[list[str], Matrix, list[int]]:
        """Return (those of `keys` that have vectors, all their rows (m, d), where each key's rows start)."""


@dataclass(frozen=True, slots=True)
class _Held:
    """The index, and which file at which revision it reflects."""

    index: VectorIndex
    file: object
    revision: int


class Resident:
    """Every vector of one model in memory, in step with the base. Safe between threads.

    Owns no connection: whoever asks brings a Database of its own, and the vectors are brought up to what that one
    sees. They may be dropped at any moment; who asks next reads them again.
    """

    def __init__(self, cache: EmbeddingCache, model: str, backend: str) -> None:
        """Raises BackendUnavailable if the named backend cannot run here."""
        self._cache = cache
        self._model = model
        self._backend = backend
        VectorIndex(backend)  # a backend that is not there is reported now, not by the first query
        self._lock = Lock()  # one thread reads or follows the base, the others wait for what it finds
        self._held: _Held | None = None

    @property
    def is_loaded(self) -> bool:
        """Whether the vectors have been read."""
        return self._held is not None

    def index_at(self, database: Database) -> VectorIndex:
        """Return the index, brought up to the base as `database` sees it now.

        Cost: one SELECT; the rows that changed; all of them the first time and after `drop`.
        """
        held = self._held
        if held is not None and (held.file, held.revision) == (database.file, database.revision()):
            return held.index
        with self._lock:
            self._held = self._brought_up(self._held, database)
            return self._held.index

    def drop(self) -> None:
        """Let the vectors and their copies go; the next query reads them anew. A search under way is not disturbed."""
        with self._lock:
            self._held = None

    def stats(self) -> dict[str, int | str]:
        """Return what VectorIndex.stats tells of the vectors held now; nothing if none are."""
        held = self._held
        return held.index.stats() if held else {}

    def over(self, database: Database) -> Nearness:
        """Return these vectors as `database` sees them now, for one answer."""
        return _InMemory(self.index_at(database), database)

    def _brought_up(self, held: _Held | None, database: Database) -> _Held:
        revision = database.revision()
        if held is None or held.file != database.file or revision < held.revision:  # less: it was rolled back
            return self._load(database)
        return held if revision == held.revision else self._follow(held, database)

    def _load(self, database: Database) -> _Held:
        revision = database.revision()  # read first: what comes in between is followed up
        cached = self._cache.get_all_as_matrix(revision) if self._held is None else None
        ids, matrix = cached or database.get_all_vectors_batch(self._model)
        index = VectorIndex.from_matrix(ids, matrix, self._backend)
        if cached is None:
            self._cache.put_all(ids, matrix, revision)
        return _Held(index, database.file, revision)

    def _follow(self, held: _Held, database: Database) -> _Held:
        """Bring the index up to now. A change too large to follow, or of another d, loads it anew."""
        index, changes = held.index, database.changes_since(held.revision)
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
        return _Held(index, held.file, changes.revision)


class _InMemory:
    """The vectors in memory, for one answer: one index throughout, whatever changes meanwhile."""

    def __init__(self, index: VectorIndex, database: Database) -> None:
        self._index = index
        self._database = database

    def count(self) -> int:
        return len(self._index)

    def count_entries(self) -> int:
        return self._index.count_ids()

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

    def count_entries(self) -> int:
        return self._database.count()

    def passages(self, query: Matrix, rows: int, filters: Filters | None) -> list[str]:
        return self._database.nearest_passages(to_blob(query), rows, filters)

    def vectors(self, keys: Iterable[str]) -> tuple[list[str], Matrix, list[int]]:
        found = self._database.vectors_of(list(keys), self._model)
        starts: Sequence[int] = np.cumsum([0, *(len(rows) for rows in found.values())]).tolist()
        matrix = np.concatenate(list(found.values())) if found else np.empty((0, 0), dtype=np.float32)
        return list(found), matrix, list(starts[:-1])
