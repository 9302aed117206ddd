"""Taking back what was done: deeds, what was there before each of them, and how it comes back.

The triggers of history_schema.py write the history; here it is read and followed backwards. A deed is taken back whole
or not at all, and only where what it left is still what is there: a later change is never lost by it.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any  # SQL values

from rekall import history_schema, rows
from rekall.base_parts import LinkTable
from rekall.entry import FIELDS, Entry, Link, now
from rekall.errors import EntryNotFound, NothingToUndo, UndoRefused
from rekall.language import _

# How a change of each kind is looked for where it left an entry.
_ENTRY_KINDS = "('added', 'changed', 'deleted')"
# The columns of an entry as it was before a change, in the order of FIELDS.
ENTRY_BEFORE = ", ".join("was_id" if name == "id" else name for name in FIELDS)


@dataclass(frozen=True, slots=True)
class Change:
    """One row of the history. `before`: the entry as it was, None where there was none or it is about a link."""

    number: int
    deed: int
    undoes: int | None
    at: str
    kind: str
    entry_id: str
    other: str | None
    relation: str | None
    reason: str | None
    created_at: str | None
    before: Entry | None


@dataclass(frozen=True, slots=True)
class Deed:
    """What was done together: its number, when, and how many entries it touched in each way, by kind."""

    number: int
    at: str
    undoes: int | None
    counts: dict[str, int]
    entry_id: str  # the first entry it was about
    title: str


class History(LinkTable):
    """The history of a Database, and the way back."""

    _deed: int | None = None  # the number of the deed under way, once it has one
    _in_deed: bool = False
    _is_marked: bool = False  # whether `state` names the deed in the transaction that is open
    keep_history_days: float = 0  # older history is forgotten at the next write; 0: none is
    _pruned_at: float = 0

    @property
    @abstractmethod
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""

    @abstractmethod
    def add(self, entry: Entry) -> None:
        """Store a new entry."""

    @abstractmethod
    def update(self, entry: Entry) -> None:
        """Replace the entry with this id."""

    def replace_whole(self, entry: Entry) -> None:
        """Replace the entry with this id by this version of it, its revision too.

        The history tells of it even where the text is the same, which no trigger sees.
        """
        with self.transaction():
            if _untimed(self.get(entry.id)) == _untimed(entry):
                self._note_before(entry.id)
            self.update(entry)
            self.connection.execute("UPDATE entries SET revision = ? WHERE id = ?", (entry.revision, entry.id))

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove the entry."""

    # --- writing it ---

    @contextmanager
    def deed(self) -> Iterator[None]:
        """Make everything that the block writes, in however many transactions, one thing to take back."""
        if self._in_deed:
            yield
            return
        self._in_deed, self._deed = True, None
        try:
            yield
        finally:
            self._in_deed, self._deed = False, None

    def _mark_deed(self, undoes: int = 0) -> None:
        """Say in the open transaction which deed its changes belong to."""
        if self._is_marked:
            return
        if self._deed is None or not self._read("SELECT 1 FROM history WHERE deed = ? LIMIT 1", (self._deed,)):
            self._deed = int(self._read("SELECT coalesce(max(number), 0) + 1 FROM history", ())[0][0])
        self.connection.executemany(
            "INSERT OR REPLACE INTO state VALUES (?, ?)", [("deed", self._deed), ("undoes", undoes)]
        )
        self._is_marked = True
        self._forget_old()

    def note(self, kind: str, told: Iterable[tuple[str, str | None, str | None]]) -> None:
        """Write rows of (entry id, other, reason) that are about no change; the caller holds the transaction."""
        self._mark_deed()
        self.connection.executemany(
            "INSERT INTO history(deed, undoes, at, kind, entry_id, other, reason) "
            "SELECT ?, nullif(value, 0), ?, ?, ?, ?, ? FROM state WHERE key = 'undoes'",
            [(self._deed, now(), kind, *row) for row in told],
        )

    def _note_before(self, key: str) -> None:
        self._mark_deed()
        kept = ", ".join(history_schema.KEPT)
        self.connection.execute(
            f"INSERT INTO history(deed, undoes, at, kind, entry_id, was_id, {kept}) SELECT ?, (SELECT nullif(value, 0) "
            f"FROM state WHERE key = 'undoes'), ?, 'changed', id, id, {kept} FROM entries WHERE id = ?",
            (self._deed, now(), key),
        )

    def _unmark_deed(self) -> None:
        """End what `_mark_deed` began; the last thing in the transaction."""
        if self._is_marked:
            self.connection.execute("UPDATE state SET value = 0 WHERE key IN ('deed', 'undoes')")
        self._drop_mark()

    def _drop_mark(self) -> None:
        self._is_marked = False
        if not self._in_deed:
            self._deed = None

    def _forget_old(self) -> None:
        """Forget what is older than `keep_history_days`, once an hour. Cost: an index look-up."""
        if not self.keep_history_days or (time.monotonic() < self._pruned_at + 3600 and self._pruned_at):
            return
        self._pruned_at = time.monotonic()
        with suppress(OverflowError, ValueError, OSError):  # so many days that no year has that number
            moment = datetime.fromtimestamp(time.time() - self.keep_history_days * 86_400, UTC)
            bound = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
            self.connection.execute("DELETE FROM history WHERE at < ?", (bound,))

    def delete_forever(self, key: str) -> None:
        """Remove an entry and all that the history holds of it, and what they stood on. Raises EntryNotFound.

        Backups are not looked into. The log is emptied unless somebody is reading it just now; then by its last user.
        Cost: the file is written anew.
        """
        with self.transaction():
            self.delete(key)
            self.connection.execute("DELETE FROM history WHERE :key IN (entry_id, was_id, other)", {"key": key})
            for table in ("entries_fts", "fingerprints_fts"):  # which keep the words of what is gone for a while
                self.connection.execute(f"INSERT INTO {table}({table}) VALUES ('optimize')")
        self.vacuum()

    @abstractmethod
    def vacuum(self) -> None:
        """Write the file anew, without what was deleted."""

    # --- reading it ---

    def history_of(self, key: str) -> list[Change]:
        """Return every change of the entry with this id, the oldest first."""
        return self._changes("(entry_id = ? OR (other = ? AND relation IS NOT NULL)) AND kind <> 'known'", (key, key))

    def resolve_any(self, prefix: str) -> str:
        """Return the one id, of an entry that is or was, that begins with `prefix`. Raises EntryNotFound."""
        try:
            return self.resolve(prefix)
        except EntryNotFound:
            for spelling in dict.fromkeys((prefix, prefix.upper())):
                found = self._read(
                    "SELECT DISTINCT entry_id FROM history WHERE entry_id >= ? AND entry_id < ? LIMIT 2",
                    (spelling, spelling + "\x7f"),
                )
                if spelling and len(found) == 1:
                    return str(found[0][0])
            raise

    @abstractmethod
    def resolve(self, prefix: str) -> str:
        """Return the one id that begins with `prefix`."""

    def deeds(self, limit: int) -> list[Deed]:
        """Return the last deeds, the newest first."""
        numbers = self._read(
            "SELECT deed, max(undoes) FROM history WHERE kind <> 'known' GROUP BY deed ORDER BY deed DESC LIMIT ?",
            (limit,),
        )
        return [self._deed_of(number, undoes) for number, undoes in numbers]

    def undone(self) -> set[int]:
        """Return the numbers of the deeds that were taken back, and not brought back since."""
        taken: set[int] = set()
        sql = "SELECT deed, undoes FROM history WHERE undoes IS NOT NULL GROUP BY deed ORDER BY deed DESC"
        for deed, undoes in self._read(sql, ()):
            if deed not in taken:
                taken.add(undoes)
        return taken

    def _deed_of(self, number: int, undoes: int | None) -> Deed:
        counts = self._read(
            "SELECT kind, count(*) FROM history WHERE deed = ? AND kind <> 'known' GROUP BY 1 ORDER BY min(number)",
            (number,),
        )
        key, at, title = self._read(
            "SELECT h.entry_id, h.at, coalesce(h.title, e.title, (SELECT title FROM history o "
            "WHERE o.entry_id = h.entry_id AND o.title IS NOT NULL ORDER BY o.number DESC LIMIT 1), '') "
            "FROM history h LEFT JOIN entries e ON e.id = h.entry_id WHERE h.deed = ? AND h.kind <> 'known' "
            f"ORDER BY h.kind = 'merged', h.kind NOT IN {_ENTRY_KINDS}, h.number LIMIT 1",
            (number,),
        )[0]
        return Deed(number, at, undoes, dict(counts), key, title)

    def _changes(self, condition: str, values: tuple[Any, ...]) -> list[Change]:
        sql = (
            "SELECT number, deed, undoes, at, kind, entry_id, other, relation, reason, created_at, "
            f"{ENTRY_BEFORE} FROM history WHERE {condition} ORDER BY number"
        )
        return [
            Change(*(*row[:10], rows.from_row(row[10:]) if row[10] is not None else None))
            for row in self._read(sql, values)
        ]

    # --- taking back ---

    def undo(self, number: int | None = None) -> tuple[Deed, int]:
        """Take back the deed `number`, else the last one that stands; return (what it was, the deed that this is).

        A deed that took another back is brought back by its own number. Raises NothingToUndo; UndoRefused where
        something was changed since, and then nothing is done.
        """
        with self.deed(), self.transaction():
            wanted = self._last_standing() if number is None else self._standing(number)
            self._mark_deed(undoes=wanted.number)
            met: set[str] = set()  # what the deed's last change of an entry left is what must still be there
            is_merge = "merged" in wanted.counts
            about = "deed = ? AND kind NOT IN ('known', 'merged')"
            for change in reversed(self._changes(about, (wanted.number,))):
                self._take_back(change, change.entry_id not in met, is_merge)
                met.add(change.entry_id if change.before is None else change.before.id)
            if is_merge:
                self.note("merged", [("", None, None)])
            assert self._deed is not None
            return wanted, self._deed

    def _last_standing(self) -> Deed:
        taken = self.undone()
        rows_ = self._read(
            "SELECT DISTINCT deed FROM history WHERE undoes IS NULL AND kind <> 'known' ORDER BY deed DESC", ()
        )
        for (deed,) in rows_:
            if deed not in taken:
                return self._deed_of(deed, None)
        raise NothingToUndo(_("there is nothing to undo"))

    def _standing(self, number: int) -> Deed:
        found = self._read(
            "SELECT max(undoes) FROM history WHERE deed = ? AND kind <> 'known' HAVING count(*)", (number,)
        )
        if not found:
            raise NothingToUndo(_("there is no deed {number}; rekall history lists them").format(number=number))
        if number in self.undone():
            raise UndoRefused(_("deed {number} is undone already; rekall history shows by which").format(number=number))
        return self._deed_of(number, found[0][0])

    def _take_back(self, change: Change, is_last: bool, is_merge: bool) -> None:
        """Undo one change. What comes back is a change of its own, made now; but a merge is as if it had not been."""
        if change.kind == "added":
            self._take_back_added(change, is_last)
        elif change.kind == "changed":
            self._take_back_changed(change, is_last, is_merge)
        elif change.kind == "deleted":
            self._take_back_deleted(change, is_merge)
        elif change.kind == "linked":
            self.connection.execute(
                "DELETE FROM links WHERE (source_id, target_id, relation) = (?, ?, ?)",
                (change.entry_id, change.other, change.relation),
            )
        elif change.kind == "unnoted":
            self.connection.execute(
                "INSERT OR IGNORE INTO imports(place, entry_id, digest) VALUES (?, ?, ?)",
                (change.other, change.entry_id, change.reason),
            )
        elif self._exists(change.entry_id) and self._exists(change.other):
            link = Link(
                change.entry_id, str(change.other), str(change.relation), change.reason, change.created_at or ""
            )
            self.link(link)

    def _take_back_added(self, change: Change, is_last: bool) -> None:
        if self._exists(change.entry_id):
            if is_last:
                self._check_untouched(change)
            self.delete(change.entry_id)

    def _take_back_changed(self, change: Change, is_last: bool, is_merge: bool) -> None:
        assert change.before is not None
        if not self._exists(change.entry_id):
            raise UndoRefused(_refusal(change, _("it was deleted since")))
        if is_last:
            self._check_untouched(change)
        if change.before.id != change.entry_id:  # somebody gave it another id by hand
            self.connection.execute("UPDATE entries SET id = ? WHERE id = ?", (change.before.id, change.entry_id))
        if is_merge:
            self.replace_whole(change.before)
        else:
            self.update(replace(change.before, updated_at=now()))

    def _take_back_deleted(self, change: Change, is_merge: bool) -> None:
        assert change.before is not None
        if self._exists(change.entry_id):
            raise UndoRefused(_refusal(change, _("another entry has its id now")))
        moved_on = replace(change.before, revision=change.before.revision + 1, updated_at=now())
        self.add(change.before if is_merge else moved_on)

    def _exists(self, key: str | None) -> bool:
        return bool(self._read("SELECT 1 FROM entries WHERE id = ?", (key,)))

    def _check_untouched(self, change: Change) -> None:
        """Raise UndoRefused unless the entry still says what this change left."""
        later = self._changes(
            f"was_id = ? AND number > ? AND deed <> ? AND kind IN {_ENTRY_KINDS}",
            (change.entry_id, change.number, change.deed),
        )
        if not later:
            return
        left, there = later[0].before, self.get(change.entry_id)
        assert left is not None
        if _untimed(there) != _untimed(left):
            raise UndoRefused(_refusal(change, _("it was changed since")))


def _untimed(entry: Entry) -> Entry:
    """Return what somebody wrote of an entry."""
    return replace(entry, updated_at="", revision=1)


def _refusal(change: Change, reason: str) -> str:
    return _("deed {deed} cannot be undone: entry {id}: {reason}; rekall history {id} shows what happened").format(
        deed=change.deed, id=change.entry_id, reason=reason
    )
