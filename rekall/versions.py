"""Which versions of an entry or a link a base knows: what a merge goes by.

A version is told by its mark, a hash of what it says and of when that was written. The history holds the versions that
were here; of those that were only met elsewhere a merge leaves the mark (rows of kind 'known'), and so of deletions,
whose mark is `-` and their time. What a merge brought and an undo took back is not known: it may be merged again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from typing import Any, TypeAlias  # Any: values of fields, SQL values

from rekall import rows
from rekall.entry import Entry, Link
from rekall.history import ENTRY_BEFORE, History

LinkKey: TypeAlias = tuple[str, str, str]  # source, target, relation

# What somebody wrote, each with what it is where nobody wrote anything: a field that a later rekall has in addition
# changes no mark. The time of writing is in the mark beside it.
_SAID = {f.name: f.default for f in fields(Entry) if f.name not in ("id", "updated_at", "revision")}
_MARK_BYTES = 8  # an entry has few versions: no two of them meet by chance
_MARK = re.compile(r"[0-9a-f]{16}|-[0-9T:.Z-]{10,40}")


def said(entry: Entry) -> str:
    """Return a hash of what an entry says, whenever it was written: 16 hexadecimal digits."""
    told = {name: getattr(entry, name) for name, empty in _SAID.items()}
    return _hash({name: value for name, value in told.items() if value not in (_SAID[name], "", (), {}, None)})


def mark(entry: Entry, what: str | None = None) -> str:
    """Return what tells this version of an entry from all others; `what` is what it says, if that is known."""
    return _hash([what or said(entry), entry.updated_at])


def link_mark(reason: str | None, created_at: str | None) -> str:
    """Return what tells this version of a link from others."""
    return _hash([reason, created_at])


def earlier_marks(known: Mapping[str, set[str]], entry: Entry) -> list[str]:
    """Return the marks that an entry is `known` to have had before this version, in a fixed order."""
    return sorted(known.get(entry.id, set()) - {mark(entry)})


def is_mark(text: str) -> bool:
    """Tell whether `text` can be a mark."""
    return _MARK.fullmatch(text) is not None


def deletions(marks: Iterable[str]) -> set[str]:
    """Return the marks that are deletions."""
    return {one for one in marks if one.startswith("-")}


def _hash(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=_MARK_BYTES).hexdigest()


class Versions(History):
    """The marks in the history of a Database."""

    def gone(self) -> Iterator[tuple[str, set[str]]]:
        """Yield (id, marks) of each entry that is known to have been deleted, in the order of ids."""
        there = {row[0] for row in self._read("SELECT id FROM entries", ())}
        for key, marks in sorted(self.known_marks().items()):
            if key not in there and deletions(marks):
                yield key, marks

    def known_marks(self) -> dict[str, set[str]]:
        """Return entry id → the marks of all versions it had here or is known to have had, and of its deletions.

        The version that is there now is among them only if it was there before. Cost: reads the whole history.
        """
        found: defaultdict[str, set[str]] = defaultdict(set)
        left_out, merges = self._undone_merges(), self._merges()
        sql = (
            f"SELECT number, deed, at, kind, entry_id, reason, {ENTRY_BEFORE} FROM history "
            "WHERE kind IN ('changed', 'deleted', 'known') AND number > ? ORDER BY number LIMIT 500"
        )
        for deed, at, kind, entry_id, reason, *before in self._each_row(sql):
            if deed in left_out:
                continue
            if kind == "known":
                found[entry_id].add(reason)
                continue
            found[entry_id].add(mark(rows.from_row(before)))
            if kind == "deleted" and deed not in merges:  # of one that a merge brought, the first is known
                found[entry_id].add(f"-{at}")
        return found

    def _each_row(self, sql: str) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query by number, without the number and without holding them all."""
        last = 0
        while batch := self._read(sql, (last,)):
            yield from (row[1:] for row in batch)
            last = batch[-1][0]

    def known_link_marks(self) -> Mapping[LinkKey, set[str]]:
        """Return the marks of all versions that links had here, and `-` with the time where one was taken away.

        What goes with an entry is not taken away: it comes back with the entry.
        """
        found: defaultdict[LinkKey, set[str]] = defaultdict(set)
        left_out = self._undone_merges()
        went = set(self._read("SELECT deed, entry_id FROM history WHERE kind = 'deleted'", ()))
        sql = (
            "SELECT deed, at, kind, entry_id, other, relation, reason, created_at FROM history "
            "WHERE kind IN ('unlinked', 'relinked')"
        )
        for deed, at, kind, source, target, relation, reason, created_at in self._read(sql, ()):
            if deed in left_out:
                continue
            marks = found[source, target, relation]
            marks.add(link_mark(reason, created_at))
            if kind == "unlinked" and not {(deed, source), (deed, target)} & went:
                marks.add(f"-{at}")
        return found

    def note_known(self, marks: Mapping[str, Iterable[str]]) -> None:
        """Remember marks of versions that were met elsewhere, by entry id."""
        with self.transaction():
            self.note("known", [(key, None, one) for key, some in marks.items() for one in sorted(some)])

    def note_merge(self) -> None:
        """Say that the deed under way is a merge: taken back, it is as if it had not been."""
        self.note("merged", [("", None, None)])

    def all_links(self) -> list[Link]:
        """Return every link, in a fixed order."""
        sql = "SELECT source_id, target_id, relation, reason, created_at FROM links ORDER BY 1, 2, 3"
        return [Link(*row) for row in self._read(sql, ())]

    def _merges(self) -> set[int]:
        return {row[0] for row in self._read("SELECT deed FROM history WHERE kind = 'merged'", ())}

    def _undone_merges(self) -> set[int]:
        """Return the merges that were taken back, and the deeds that did so, or brought them back."""
        undone = self.undone()
        made = self._read("SELECT deed, undoes FROM history WHERE kind = 'merged'", ())
        return {deed for deed, undoes in made if undoes is not None or deed in undone}
