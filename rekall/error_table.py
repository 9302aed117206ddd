"""The errors that entries know: their fingerprints in a table of their own, looked up without reading a text.

Triggers cannot make fingerprints. They drop those of a text that changes and put its entry in a queue; whoever may
write empties the queue (`read_errors`), and until then readers make what they need themselves (`unread_errors`). No
reader waits, and none has to write.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rekall import rows
from rekall.base_parts import Part
from rekall.entry import Entry
from rekall.prints import FINGERPRINT_VERSION, ErrorText, Fingerprint
from rekall.query import Filters

# Rows that one fingerprint gives: the newest; more entries of one error are no use to anybody.
MOST_EXACT = 100
# Fingerprints whose words are looked up among the rows until so many rows hold one of them: see words.py.
POSTINGS = 1000
# Entries of the queue that a reader makes fingerprints of, the newest: 50 take about 10 ms.
MOST_UNREAD = 50
# Entries between two commits.
_BATCH = 500
# Rows that are known by all lines of their text together: more than this are not worth walking over.
_MOST_PLAIN = 2000


@dataclass(frozen=True, slots=True)
class KnownError:
    """One error line that the entry `id` knows."""

    id: str
    error: ErrorText


class ErrorTable(Part):
    """The fingerprints of a Database's entries."""

    # --- looking up ---

    def errors_with(self, prints: Sequence[Fingerprint], filters: Filters | None = None) -> list[KnownError]:
        """Return the errors that have one of these fingerprints, at most MOST_EXACT of each.

        Cost: an index look-up each.
        """
        found: list[KnownError] = []
        if not self._is_current():
            return found
        where, values = rows.condition(filters)
        sql = (
            "SELECT e.id, f.text, f.part, f.mark FROM fingerprints f JOIN entries e ON e.rowid = f.entry_rowid "
            f"WHERE f.key = ? AND {where} ORDER BY f.entry_rowid DESC LIMIT ?"
        )
        for print_ in dict.fromkeys(prints):
            known = map(_known, self._read(sql, (print_.key, *values, MOST_EXACT)))
            found += [one for one in known if one.error.fingerprint == print_]  # another may have the same key
        return found

    def errors_like(self, print_: Fingerprint, k: int, filters: Filters | None = None) -> list[KnownError]:
        """Return up to k errors that share rare words or codes with a fingerprint, the likeliest first."""
        if not self._is_current():
            return []
        match = self._rarest_words(print_)
        if not match:
            return []
        where, values = rows.condition(filters)
        sql = (
            "SELECT e.id, f.text, f.part, f.mark FROM "
            "(SELECT rowid AS place, bm25(fingerprints_fts) AS score FROM fingerprints_fts "
            "WHERE fingerprints_fts MATCH ? ORDER BY score LIMIT ?) s JOIN fingerprints f ON f.rowid = s.place "
            f"JOIN entries e ON e.rowid = f.entry_rowid WHERE {where} ORDER BY s.score, f.rowid LIMIT ?"
        )
        pool = k if where == "1" else POSTINGS
        return [_known(row) for row in self._read(sql, (match, pool, *values, k))]

    def plain_errors(self, filters: Filters | None = None) -> list[KnownError]:
        """Return the lines of error texts without any mark: such a text is known only by all its lines together."""
        if not self._is_current():
            return []
        where, values = rows.condition(filters)
        sql = (
            "SELECT e.id, f.text, f.part, f.mark FROM fingerprints f JOIN entries e ON e.rowid = f.entry_rowid "
            f"WHERE f.mark = 0 AND {where} ORDER BY f.rowid DESC LIMIT ?"
        )
        return [_known(row) for row in self._read(sql, (*values, _MOST_PLAIN))]

    def unread_errors(self, filters: Filters | None = None, limit: int = MOST_UNREAD) -> list[KnownError]:
        """Return the errors of the newest entries whose fingerprints are not stored yet, made here and now."""
        where, values = rows.condition(filters)
        sql = (
            f"SELECT {rows.SELECT_ENTRY} FROM fingerprint_queue q JOIN entries e ON e.rowid = q.entry_rowid "
            f"WHERE {where} ORDER BY q.entry_rowid DESC LIMIT ?"
        )
        entries = [rows.from_row(row) for row in self._read(sql, (*values, limit))]
        return [KnownError(entry.id, error) for entry in entries for error in _errors_of(entry)]

    def _rarest_words(self, print_: Fingerprint) -> str:
        """Return an FTS5 query for the words and codes of a fingerprint, rarest first, until they fill POSTINGS."""
        words = dict.fromkeys(f'"{part}"' for part in (*print_.words, *sorted(print_.codes)))
        counted = sorted((self._count_rows(word), word) for word in words)
        used: list[str] = []
        total = 0
        for count, word in counted:
            total += count
            if count and (not used or total <= POSTINGS):
                used.append(word)
        return " OR ".join(used)

    def _count_rows(self, word: str) -> int:
        """Return how many rows hold a word; counting ends where it no longer matters."""
        sql = "SELECT count(*) FROM (SELECT 1 FROM fingerprints_fts WHERE fingerprints_fts MATCH ? LIMIT ?)"
        return int(self._read(sql, (word, POSTINGS + 1))[0][0])

    def _is_current(self) -> bool:
        return bool(self._read("SELECT 1 FROM state WHERE key = 'fingerprints' AND value = ?", (FINGERPRINT_VERSION,)))

    # --- keeping ---

    def count_fingerprints(self) -> int:
        """Return how many fingerprints are stored."""
        return int(self._read("SELECT count(*) FROM fingerprints", ())[0][0])

    def count_unread(self) -> int:
        """Return how many entries wait for their fingerprints."""
        if not self._is_current():
            return int(self._read("SELECT count(*) FROM entries", ())[0][0])
        return int(self._read("SELECT count(*) FROM fingerprint_queue", ())[0][0])

    def has_unread(self) -> bool:
        """Tell whether any entry waits. Cost: none to speak of."""
        return not self._is_current() or bool(self._read("SELECT 1 FROM fingerprint_queue LIMIT 1", ()))

    def read_errors(self, limit: float = math.inf) -> int:
        """Make and store the fingerprints of up to `limit` entries that wait, newest first; return of how many.

        Each batch is one transaction. Raises BaseUnusable. Cost: about 0.2 ms an entry; nothing if none waits.
        """
        done = 0
        while done < limit and self.has_unread():
            with self.transaction():
                self._begin_version()
                count = self._read_batch(int(min(_BATCH, limit - done)))
            done += count
            if not count:
                break
        return done

    def index_errors(self) -> None:
        """Make the index of the stored fingerprints anew. Cost: milliseconds a thousand entries that have any."""
        with self.transaction():
            self._begin_version()
            self.connection.execute("INSERT INTO fingerprints_fts(fingerprints_fts) VALUES ('rebuild')")

    def forget_errors(self) -> None:
        """Drop all fingerprints and put every entry in the queue."""
        with self.transaction():
            self.connection.execute("DELETE FROM state WHERE key = 'fingerprints'")
            self._begin_version()

    def _begin_version(self) -> None:
        """Put every entry in the queue if the stored fingerprints are of another version."""
        if self._is_current():
            return
        self.connection.execute("INSERT INTO fingerprints_fts(fingerprints_fts) VALUES ('rebuild')")  # may be damaged
        self.connection.execute("DELETE FROM fingerprints")
        self.connection.execute("INSERT OR IGNORE INTO fingerprint_queue SELECT rowid FROM entries")
        self.connection.execute("INSERT OR REPLACE INTO state VALUES ('fingerprints', ?)", (FINGERPRINT_VERSION,))

    def _read_batch(self, count: int) -> int:
        waiting = self._read(
            f"SELECT {rows.SELECT_ENTRY}, e.rowid FROM fingerprint_queue q JOIN entries e ON e.rowid = q.entry_rowid "
            "ORDER BY q.entry_rowid DESC LIMIT ?",
            (count,),
        )
        for row in waiting:
            self._store(row[-1], _errors_of(rows.from_row(row)))
        return len(waiting)

    def _store(self, rowid: int, errors: Iterable[ErrorText]) -> None:
        self.connection.execute("DELETE FROM fingerprints WHERE entry_rowid = ?", (rowid,))
        self.connection.executemany(
            "INSERT INTO fingerprints(entry_rowid, part, mark, key, text) VALUES (?, ?, ?, ?, ?)",
            [(rowid, e.part, e.mark, e.fingerprint.key, e.fingerprint.text) for e in errors],
        )
        self.connection.execute("DELETE FROM fingerprint_queue WHERE entry_rowid = ?", (rowid,))

    def count_drift(self) -> int:
        """Return how many entries have other fingerprints stored than they should, those in the queue apart.

        Cost: makes all fingerprints anew: 0.2 ms an entry.
        """
        if not self._is_current():
            return 0
        drift, last = 0, 0
        while batch := self._read(
            f"SELECT {rows.SELECT_ENTRY}, e.rowid FROM entries e WHERE e.rowid > ? AND NOT EXISTS "
            "(SELECT 1 FROM fingerprint_queue q WHERE q.entry_rowid = e.rowid) ORDER BY e.rowid LIMIT 500",
            (last,),
        ):
            last = batch[-1][-1]
            drift += sum(self._stored_of(row[-1]) != _as_stored(rows.from_row(row)) for row in batch)
        orphans = "SELECT count(*) FROM fingerprints WHERE entry_rowid NOT IN (SELECT rowid FROM entries)"
        return drift + int(self._read(orphans, ())[0][0])

    def _stored_of(self, rowid: int) -> list[tuple[object, ...]]:
        return sorted(self._read("SELECT key, text, part, mark FROM fingerprints WHERE entry_rowid = ?", (rowid,)))


def _as_stored(entry: Entry) -> list[tuple[object, ...]]:
    return sorted((e.fingerprint.key, e.fingerprint.text, e.part, int(e.mark)) for e in _errors_of(entry))


def _errors_of(entry: Entry) -> list[ErrorText]:
    from rekall.fingerprint import of_entry  # its patterns take 40 ms to get ready, and most commands need none

    return of_entry(entry)


def _known(row: Sequence[object]) -> KnownError:
    key, text, part, mark = row
    return KnownError(str(key), ErrorText(Fingerprint.of_text(str(text)), int(str(part)), int(str(mark))))
