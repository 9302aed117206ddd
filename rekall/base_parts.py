"""Parts of a Database that stand on their own: the links, and the queue of entries to embed.

Each is a class that Database is made of. They reach the connection through Database alone: they own
nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any  # Any: SQL values

from rekall import rows
from rekall.entry import Entry, Link, now
from rekall.old_rekall import KEPT_RECIPE
from rekall.schema import Connection

if TYPE_CHECKING:
    from rekall.vectors import Matrix


class Part(ABC):
    """What a part may ask of the Database it belongs to."""

    _touched: set[str]

    @property
    @abstractmethod
    def connection(self) -> Connection:
        """The connection itself."""

    @abstractmethod
    def transaction(self) -> AbstractContextManager[None]:
        """Make the writes of the block one transaction."""

    @abstractmethod
    def get(self, key: str) -> Entry:
        """Return the entry with exactly this id. Raises EntryNotFound."""

    @abstractmethod
    def _mark_deed(self, undoes: int = 0) -> None:
        """Say in the open transaction which deed its changes belong to, so that they can be taken back together."""

    @abstractmethod
    def _read(self, sql: str, values: Any) -> list[tuple[Any, ...]]:
        """Return all rows of a query."""


# Entries that replaced one another are followed for so long.
MOST_STEPS = 8
# `superseded_by` says so, else the latest link of that kind: by hand, or by an import, there may be only one of them.
_REPLACED = """SELECT e.id, n.id, n.title FROM entries e JOIN entries n ON n.id = coalesce(e.superseded_by, (
        SELECT source_id FROM links WHERE target_id = e.id AND relation = 'supersedes' ORDER BY created_at DESC LIMIT 1
    )) WHERE e.status = 'obsolete' AND e.id IN ({marks})"""


class LinkTable(Part):
    """Why two entries belong together."""

    def link(self, link: Link) -> None:
        """Store a link; one that exists gets the new reason. Both entries must exist."""
        with self.transaction():
            self.get(link.source)
            self.get(link.target)
            self._mark_deed()
            self.connection.execute(
                "INSERT INTO links(source_id, target_id, relation, reason, created_at) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT DO UPDATE SET reason = excluded.reason",
                (link.source, link.target, link.relation, link.reason, link.created_at or now()),
            )
            self._touched.update((link.source, link.target))

    def unlink(self, source: str, target: str, relation: str | None = None) -> int:
        """Remove the links from `source` to `target`, of one relation or all; return how many."""
        with self.transaction():
            self._mark_deed()
            gone = self.connection.execute(
                "DELETE FROM links WHERE source_id = ? AND target_id = ? AND relation = coalesce(?, relation)",
                (source, target, relation),
            )
            self._touched.update((source, target))
        return int(gone.rowcount)

    def links_of(self, key: str) -> list[Link]:
        """Return the links from and to `key`, those from it first."""
        sql = (
            "SELECT source_id, target_id, relation, reason, created_at FROM links "
            "WHERE source_id = :key OR target_id = :key ORDER BY source_id <> :key, created_at, target_id, relation"
        )
        return [Link(*row) for row in self._read(sql, {"key": key})]

    def superseded_pairs(self) -> set[frozenset[str]]:
        """Return the pairs of entries of which one replaced the other."""
        rows = self._read("SELECT source_id, target_id FROM links WHERE relation = 'supersedes'", ())
        return {frozenset(row) for row in rows}

    def successors(self, keys: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Return for each of these entries that something replaced what it was at last: (id, title).

        What replaced it may have been replaced itself: that is followed for MOST_STEPS, and never in a circle.
        """
        found: dict[str, tuple[str, str]] = {}
        here = {key: key for key in keys}  # how far each has been followed
        for _step in range(MOST_STEPS):
            later = self._replaced_by(list(dict.fromkeys(here.values())))
            reached = {key: later[at] for key, at in here.items() if at in later and later[at][0] != key}
            found |= reached
            here = {key: new for key, (new, _title) in reached.items()}
        return found

    def _replaced_by(self, keys: Sequence[str]) -> dict[str, tuple[str, str]]:
        found: dict[str, tuple[str, str]] = {}
        for start in range(0, len(keys), 500):
            some = keys[start : start + 500]
            rows_ = self._read(_REPLACED.format(marks=rows.marks(some)), some)
            found.update((old, (new, title)) for old, new, title in rows_)
        return found

    def links_from(self, key: str) -> list[Link]:
        """Return the links from `key`, in a fixed order."""
        return [link for link in self.links_of(key) if link.source == key]

    def count_links(self) -> int:
        """Return how many links there are."""
        return int(self._read("SELECT count(*) FROM links", ())[0][0])


@dataclass(frozen=True, slots=True)
class Pending:
    """An entry that waits to be embedded. `partly`: it has vectors that an older rekall made."""

    entry: Entry
    partly: bool


class EmbeddingQueue(Part):
    """Entries that wait to be embedded, and the vectors that take them out of the queue."""

    def pending(self, model: str, recipe: str, limit: int, longest: int | None = None) -> list[Pending]:
        """Return up to `limit` entries that `embed_pending` has to see, those without a vector first, newest first.

        With `longest`, only those with a shorter content.

        An entry without a vector of the current model is the queue. Behind it come entries embedded
        under another recipe, an older rekall's among them.
        """
        sql = f"""SELECT {rows.SELECT_ENTRY}, EXISTS (
                SELECT 1 FROM embeddings m WHERE m.entry_rowid = e.rowid AND m.model = :model AND m.recipe = :kept
            ) AS partly
            FROM entries e WHERE {_NOT_DONE} AND (:longest IS NULL OR length(e.content) < :longest) ORDER BY EXISTS (
                SELECT 1 FROM embeddings m WHERE m.entry_rowid = e.rowid AND m.model = :model
            ), e.rowid DESC LIMIT :limit"""
        values = {
            "model": model,
            "recipe": recipe,
            "kept": KEPT_RECIPE,
            "checked": checked_recipe(recipe),
            "limit": limit,
            "longest": longest,
        }
        return [Pending(rows.from_row(row), bool(row[-1])) for row in self._read(sql, values)]

    def count_pending(self, model: str) -> int:
        """Return how many entries have no vector of `model`."""
        return int(
            self._read(
                "SELECT count(*) FROM entries e WHERE NOT EXISTS "
                "(SELECT 1 FROM embeddings m WHERE m.entry_rowid = e.rowid AND m.model = ?)",
                (model,),
            )[0][0]
        )

    def has_vector(self, key: str, model: str) -> bool:
        """Tell whether an entry has a vector of this model."""
        found = self._read(
            "SELECT 1 FROM embeddings v JOIN entries e ON e.rowid = v.entry_rowid WHERE e.id = ? AND v.model = ? "
            "LIMIT 1",
            (key, model),
        )
        return bool(found)

    def count_vectors(self, model: str) -> int:
        """Return how many vectors of `model` are stored."""
        return int(self._read("SELECT count(*) FROM embeddings WHERE model = ?", (model,))[0][0])

    def store_vectors(self, batch: Sequence[tuple[Pending, Matrix]], model: str, recipe: str) -> list[str]:
        """Store the passages' vectors (p, d) of each entry in one transaction; return the ids stored.

        Vectors of another recipe make room, an older rekall's stay in front. An entry that was
        edited since it was read is passed over: it is in the queue again.
        """
        from rekall.vectors import to_blob

        stored: list[str] = []
        with self.transaction():
            for pending, matrix in batch:
                row = self.connection.execute(
                    "SELECT rowid FROM entries WHERE (id, revision, updated_at) = (?, ?, ?)",
                    (pending.entry.id, pending.entry.revision, pending.entry.updated_at),
                ).fetchone()
                if not row:
                    continue
                first = self._make_room(row[0], model, recipe)
                self.connection.executemany(
                    "INSERT INTO embeddings(entry_rowid, part, model, recipe, vector) VALUES (?, ?, ?, ?, ?)",
                    [(row[0], first + i, model, recipe, to_blob(vector)) for i, vector in enumerate(matrix)],
                )
                stored.append(pending.entry.id)
            self._touched.update(stored)
        return stored

    def _make_room(self, rowid: int, model: str, recipe: str) -> int:
        """Drop an entry's vectors of other recipes; return the part number that comes next."""
        of_entry = "entry_rowid = ? AND model = ?"
        self.connection.execute(
            f"UPDATE embeddings SET recipe = ? WHERE {of_entry} AND recipe = ?",
            (checked_recipe(recipe), rowid, model, KEPT_RECIPE),
        )
        self.connection.execute(
            f"DELETE FROM embeddings WHERE {of_entry} AND recipe <> ?", (rowid, model, checked_recipe(recipe))
        )
        return int(
            self.connection.execute(
                f"SELECT coalesce(max(part) + 1, 0) FROM embeddings WHERE {of_entry}", (rowid, model)
            ).fetchone()[0]
        )

    def count_waiting(self, model: str, recipe: str) -> int:
        """Return how many entries `pending` would return in all."""
        values = {"model": model, "recipe": recipe, "checked": checked_recipe(recipe)}
        return int(self._read(f"SELECT count(*) FROM entries e WHERE {_NOT_DONE}", values)[0][0])

    def vector_bytes(self, model: str) -> int:
        """Return the bytes that the stored vectors of `model` take."""
        return int(
            self._read("SELECT coalesce(sum(length(vector)), 0) FROM embeddings WHERE model = ?", (model,))[0][0]
        )

    def mark_stale(self, model: str) -> None:
        """Put every entry in the queue. The old vectors answer until the new ones take their place."""
        with self.transaction():
            self.connection.execute("UPDATE embeddings SET recipe = 'stale' WHERE model = ?", (model,))
            self.connection.execute("UPDATE state SET value = value + 1 WHERE key = 'revision'")


# An entry is done when it has a vector of this recipe, or one of an older rekall that was looked at.
_NOT_DONE = """NOT EXISTS (SELECT 1 FROM embeddings m WHERE m.entry_rowid = e.rowid
    AND m.model = :model AND m.recipe IN (:recipe, :checked))"""


def checked_recipe(recipe: str) -> str:
    """Return the recipe name of an older rekall's vector once `recipe` has seen its entry."""
    return f"{KEPT_RECIPE}+{recipe}"
