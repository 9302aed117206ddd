"""Meaning: where the base, the vectors, the model and the words come together.

EmbeddingService is the one place that knows all four. It embeds what waits to be embedded, and answers
a query by meaning, by words, or by both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial

import numpy as np

from rekall.ahead import Ahead
from rekall.base_parts import Pending
from rekall.cache import EmbeddingCache
from rekall.db import Database
from rekall.duplicates import ALIKE, Pair, mean_rows, near_pairs
from rekall.engine import RECIPE, Engine
from rekall.errors import ModelUnavailable, RekallError
from rekall.language import _
from rekall.model_manager import ModelManager
from rekall.nearness import Nearness, Resident, Stored
from rekall.query import Filters
from rekall.ranking import POOL, TITLES_READ, Cosine, Hit, by_meaning, by_words, fuse, with_titles
from rekall.vectors import Matrix, best_and_whole, cosines, unit_rows

# A submitted query first embeds this many waiting entries, so that what was just added is found.
CATCH_UP = 32
# Entries with longer texts (in characters) are embedded by the command that brings them; no query waits for a book.
LONGEST_CAUGHT_UP = 60_000
# … and reads the errors of this many: 0.2 ms each.
ERRORS_READ = 500
# Entries embedded between two commits: about a second's work, all that an interruption loses.
BATCH = 25
# Passages fetched beyond what so many entries usually have, as a factor.
SPARE = 1.125
# Neighbours by their best passage among which an entry that says the same is looked for.
TWINS = 20
# Queries of a process that sqlite-vec answers before the vectors are read into memory.
COLD_QUERIES = 3


class EmbeddingService:
    """Search and embedding over one base. Owns the vectors in memory unless they are lent to it, as the rest is."""

    def __init__(
        self,
        database: Database,
        models: ModelManager,
        cache: EmbeddingCache,
        backend: str = "auto",
        on_loading: Callable[[], None] | None = None,
        resident: Resident | None = None,
        ahead: Ahead | None = None,
    ) -> None:
        """`backend` searches the vectors: see VectorIndex. Raises BackendUnavailable.

        `on_loading` is called before a wait for the model to be loaded, so that a door can say why.
        `resident` is the vectors of this base and model that other services hold already, each with a
        connection and in a thread of its own. `ahead` has a query encoded while its words are looked for.
        """
        self._database = database
        self._on_loading = on_loading
        self._models = models
        self._cache = cache
        self._backend = backend
        self._resident = resident or Resident(cache, models.name, backend)
        self._ahead = ahead
        self._asked = 0
        self._settled: dict[int | None, int] = {}  # longest → revision at which nothing waited to be embedded

    # --- finding ---

    def semantic_search(self, text: str, k: int = 10, filters: Filters | None = None) -> list[Hit]:
        """Return up to k hits nearest in meaning, best first; the score is the cosine.

        Raises ModelUnavailable. Cost: one encode (or a cache hit), one pass over the vectors.
        """
        query = self.query_vector(text)
        return by_meaning(self._nearest(query, max(k, POOL), filters))[:k]

    def find_similar(self, key: str, k: int = 10, filters: Filters | None = None) -> list[Hit]:
        """Return up to k entries nearest in meaning to the entry `key`, itself left out.

        An entry of several passages is compared by their mean. No model is needed unless the entry
        has no vector yet. Raises EntryNotFound, ModelUnavailable.
        """
        rows = self._entry_vectors(key)
        query = unit_rows(rows.mean(axis=0))[0]
        near = self._nearest(query, max(k, POOL) + 1, filters)
        near.pop(key, None)
        return by_meaning(near)[:k]

    def find_duplicates(self, check: Callable[[], None] = lambda: None) -> list[Pair]:
        """Return the pairs of entries that may say the same, nearest first; entries without a vector are left out.

        `check` is called now and then, and may raise. Cost: a search for each entry.
        """
        index = self._resident.index_at(self._database)
        held, rows, starts = index.gather(sorted(set(index.ids)))
        return near_pairs(held, mean_rows(rows, starts), self._backend, check=check)

    def find_twin(self, key: str) -> Pair | None:
        """Return the nearest entry that may say the same as `key`, if there is one, as the pair's other.

        Raises EntryNotFound, ModelUnavailable.
        """
        own = mean_rows(self._entry_vectors(key), [0])[0]
        source = self._source()
        near = self._nearest(own, TWINS, Filters(status="active"), source)
        near.pop(key, None)
        if not near:
            return None
        held, rows, starts = source.vectors(near)
        scores = cosines(mean_rows(rows, starts), own).tolist()
        pairs = [Pair(key, other, score) for other, score in zip(held, scores, strict=True) if score >= ALIKE]
        return min(pairs, key=lambda pair: (-pair.cosine, pair.other), default=None)

    def hybrid_search(
        self, text: str, k: int = 10, filters: Filters | None = None, is_typing: bool = False
    ) -> list[Hit]:
        """Return up to k hits that match by meaning, by words, or both, best first.

        Each arm puts POOL candidates forward, whatever k; `ranking.fuse` makes one order of them. A
        k beyond that is filled up in cosine order. `is_typing`: the last word may be unfinished.
        Raises ModelUnavailable if the model cannot run; `words_search` needs none.
        Cost: one encode (or a cache hit), one pass over the vectors, two SELECTs.
        """
        query_vector = self._query_ahead(text.strip())
        matches = self._database.search_words(text, POOL, filters, is_typing)
        query, source = query_vector(), self._source()
        near = self._nearest(query, max(k, POOL), filters, source)
        pool = list(near)[:POOL]
        candidates = dict.fromkeys([*(key for key, _score in matches.found), *pool])
        known = {key: near[key] for key in candidates if key in near}
        rest = self._cosines(source, (key for key in candidates if key not in near), query)
        hits = self._titled(fuse(matches, known | rest, max(k, TITLES_READ)), text)[:k]
        beyond = {key: cosine for key, cosine in near.items() if key not in candidates}
        return hits + [Hit(hit.id, 0.0, cosine=hit.cosine) for hit in by_meaning(beyond)][: k - len(hits)]

    def words_search(self, text: str, k: int = 10, filters: Filters | None = None) -> list[Hit]:
        """Return up to k hits by words alone, best first. Needs no model and no vectors."""
        return self._titled(by_words(self._database.search_words(text, max(k, POOL), filters)), text)[:k]

    def _titled(self, hits: list[Hit], text: str) -> list[Hit]:
        """Return `hits` with the entry first whose title `text` is."""
        return with_titles(hits, text, self._database.titles([hit.id for hit in hits[:TITLES_READ]]))

    def _query_ahead(self, text: str) -> Callable[[], Matrix]:
        """Return what gives the vector (d,) of a query: a model in a process of its own may be at it meanwhile."""
        work = partial(self.query_vector, text)
        if self._ahead is None or not self._models.is_loaded or self._cache.get(self._name_of(text)) is not None:
            return work
        return self._ahead.begin(work)

    def _name_of(self, text: str) -> str:
        """Return what a query is called in the cache; no entry's id has a colon."""
        return f"{self._models.name}:{text}"

    def query_vector(self, text: str) -> Matrix:
        """Return the vector (d,) of a query, from the cache if it was asked before."""
        name = self._name_of(text)
        held = self._cache.get(name)
        if held is None:
            held = self._run(lambda: self._model().encode([text])[0])
            self._cache.put(name, held)
        self._models.check_idle()
        return held

    def nearest(self, text: str, k: int, filters: Filters | None = None) -> dict[str, float]:
        """Return the k entries nearest in meaning to a text with their cosines, best first. Raises ModelUnavailable."""
        return {key: near.best for key, near in self._nearest(self.query_vector(text), k, filters).items()}

    def cosines_of(self, text: str, keys: Iterable[str]) -> dict[str, float]:
        """Return the cosine of a text and each of these entries that has a vector. Raises ModelUnavailable."""
        return {key: near.best for key, near in self._cosines(self._source(), keys, self.query_vector(text)).items()}

    # --- embedding ---

    def embed_pending(
        self,
        limit: int | None = None,
        on_progress: Callable[[int], None] | None = None,
        longest: int | None = None,
    ) -> int:
        """Embed entries that wait for it, newest first, at most `limit`; return how many were stored.

        Entries with a content of `longest` characters or more are passed over.

        Each batch is one transaction: an interruption keeps what was done, and the next call goes on.
        Raises ModelUnavailable. Cost: about 35 ms an entry of 250 tokens.
        """
        self._database.read_errors(ERRORS_READ if limit is not None else math.inf)
        done = 0
        while limit is None or done < limit:
            revision = self._database.revision()
            if self._settled.get(longest) == revision:
                break
            room = BATCH if limit is None else min(BATCH, limit - done)
            waiting = self._database.pending(self._models.name, RECIPE, room, longest)
            if not waiting:
                self._settled[longest] = revision
                break
            batch = [(pending, self._run(partial(self._encode, pending))) for pending in waiting]
            stored = self._database.store_vectors(batch, self._models.name, RECIPE)
            done += len(stored)
            if on_progress:
                on_progress(len(stored))
            if not stored:
                break  # others are editing these very entries; they are in the queue again
        if done:
            self._database.vec.ensure_vec(self._models.name)
        self._models.check_idle()
        return done

    def count_waiting(self) -> int:
        """Return how many entries embed_pending would see."""
        return self._database.count_waiting(self._models.name, RECIPE)

    def embed_anew(self) -> None:
        """Put every entry in the queue; what is there answers until it is replaced."""
        self._database.mark_stale(self._models.name)

    def _encode(self, pending: Pending) -> Matrix:
        """Return the vectors (p, d) to store for an entry.

        An older rekall's vector of a short plain entry says it all and is kept alone: none to add.
        """
        model, entry = self._model(), pending.entry
        body = entry.body()
        if (
            pending.partly
            and body == entry.content
            and len(model.offsets(f"{entry.title}\n{body}")) + 2 <= model.max_tokens
        ):
            return np.empty((0, model.dimensions), dtype=np.float32)
        return model.encode_document(entry.title, body)

    def _model(self) -> Engine:
        """Return the model; say so first if that means waiting. Raises ModelUnavailable."""
        if self._on_loading and not self._models.is_loaded:
            self._on_loading()
        return self._models.get_model()

    def _run(self, encode: Callable[[], Matrix]) -> Matrix:
        """Run an encode; whatever the model's library raises becomes ModelUnavailable."""
        try:
            return encode()
        except RekallError:
            raise
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise ModelUnavailable(
                _("model {name} failed ({error}); words still work: --words").format(
                    name=self._models.name, error=reason
                )
            ) from error

    # --- the nearest vectors ---

    def _source(self) -> Nearness:
        """Return where to look for the nearest vectors now.

        The first queries of a process go to the base itself where sqlite-vec can; whoever asks more
        is worth reading the vectors for.
        """
        if not self._resident.is_loaded and self._asked < COLD_QUERIES and self._backend in ("auto", "sqlite-vec"):
            stored = Stored(self._database, self._models.name)
            if stored.is_in_step():
                return stored
        return self._resident.over(self._database)

    def _nearest(
        self, query: Matrix, count: int, filters: Filters | None, source: Nearness | None = None
    ) -> dict[str, Cosine]:
        """Return the `count` entries whose best passages are nearest, best first, with their cosines.

        As many passages are fetched as so many entries usually have, and some to spare (two ways of summing
        may differ at the cut); then twice as many, until there are enough different entries.
        """
        source = source or self._source()
        self._asked += 1
        there, entries = source.count(), source.count_entries()
        wanted, rows = min(count, there), 0
        found: dict[str, None] = {}
        while len(found) < wanted and rows < there:
            rows = min(there, rows * 2 or int(wanted * min(4.0, there / max(1, entries)) * SPARE) + 1)
            passages = source.passages(query, rows, filters)
            found = dict.fromkeys(passages)
            if len(passages) < rows:
                break
        exact = self._cosines(source, found, query)
        return dict(sorted(exact.items(), key=lambda pair: (-pair[1].best, pair[0]))[:count])

    def _entry_vectors(self, key: str) -> Matrix:
        """Return the vectors (p, d) of an entry, embedding it now if it has none. Raises EntryNotFound."""
        entry = self._database.get(key)
        _held, rows, _starts = self._source().vectors([key])
        return rows if len(rows) else self._run(lambda: self._encode(Pending(entry, partly=False)))

    def _cosines(self, source: Nearness, keys: Iterable[str], query: Matrix) -> dict[str, Cosine]:
        """Return the cosines of each of these entries that has a vector."""
        held, rows, starts = source.vectors(keys)
        if not held:
            return {}
        best, whole = best_and_whole(rows, starts, query)
        counts = np.diff([*starts, len(rows)]).tolist()
        return dict(zip(held, map(Cosine, best, whole, counts), strict=True))
