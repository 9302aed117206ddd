"""How often entries were taken, and where: read with what else a search wants to know of its best candidates.

A part of Database. What is counted fades (context.py); neither a question nor a name of a folder is kept. No trigger
notes it, so it is in no history, moves no revision on, and is in no export.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rekall import rows
from rekall.base_parts import Part
from rekall.context import ANYWHERE, Facts, Here, Picks

# A pick waits this long for its turn to be written, and is forgotten then.
PATIENCE_MILLISECONDS = 100
# Places that are told apart for an entry; the one it was taken at longest ago is forgotten first.
MOST_PLACES = 8


class PickTable(Part):
    """The picks of a Database."""

    def facts_of(self, keys: Sequence[str], here: Here) -> dict[str, Facts]:
        """Return what is known of these entries (500 at most) besides their texts; those that are gone are left out.

        Cost: one SELECT, about 3 µs an entry.
        """
        sql = f"""SELECT e.id, e.project, e.updated_at, e.status = 'obsolete', p.place, p.count, p.day
            FROM entries e LEFT JOIN picks p ON p.entry_rowid = e.rowid AND p.place IN (?, ?)
                AND typeof(p.count) = 'real' AND typeof(p.day) = 'integer' -- whatever somebody wrote there
            WHERE e.id IN ({rows.marks(keys)})"""
        found: dict[str, Facts] = {}
        picks: dict[str, dict[int, Picks]] = {}
        for key, project, changed, is_obsolete, place, count, day in self._read(sql, (ANYWHERE, here.place, *keys)):
            if place is None:
                found[key] = Facts(project, str(changed), bool(is_obsolete))
                continue
            of = picks.setdefault(key, {})
            of[place] = Picks(count, day)
            found[key] = Facts(project, str(changed), bool(is_obsolete), of.get(ANYWHERE), of.get(here.place))
        return found

    def count_picks(self, keys: Sequence[str], here: Here) -> None:
        """Count that these entries were taken. Raises BaseUnusable where it cannot be written just now.

        Cost: one short transaction that is not synced: a power cut may take it back.
        """
        with self._in_passing(), self.transaction():
            for key in keys:
                for place in (ANYWHERE, here.place):
                    self._count(key, place, here.day)
                self._forget_places(key)

    def _count(self, key: str, place: int, day: int) -> None:
        found = self._read(
            "SELECT p.count, p.day FROM picks p JOIN entries e ON e.rowid = p.entry_rowid WHERE e.id = ? AND place = ?",
            (key, place),
        )
        picks = (Picks(*found[0]) if found else Picks()).and_one(day)
        self.connection.execute(
            "INSERT OR REPLACE INTO picks(entry_rowid, place, count, day) "
            "SELECT rowid, ?, ?, ? FROM entries WHERE id = ?",
            (place, picks.times, picks.day, key),
        )

    def _forget_places(self, key: str) -> None:
        """Keep the MOST_PLACES at which an entry was taken last."""
        of_entry = "entry_rowid = (SELECT rowid FROM entries WHERE id = :key) AND place <> :anywhere"
        self.connection.execute(
            f"DELETE FROM picks WHERE {of_entry} AND place NOT IN "
            f"(SELECT place FROM picks WHERE {of_entry} ORDER BY day DESC, count DESC LIMIT :most)",
            {"key": key, "anywhere": ANYWHERE, "most": MOST_PLACES},
        )

    @contextmanager
    def _in_passing(self) -> Iterator[None]:
        """Wait for a moment only, and have nothing synced, for the length of the block."""
        usual = {name: self._read(f"PRAGMA {name}", ())[0][0] for name in ("busy_timeout", "synchronous")}
        for name, value in {"busy_timeout": PATIENCE_MILLISECONDS, "synchronous": "NORMAL"}.items():
            self._read(f"PRAGMA {name} = {value}", ())
        try:
            yield
        finally:
            for name, value in usual.items():
                self._read(f"PRAGMA {name} = {value}", ())
