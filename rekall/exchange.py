"""In: records of any source become entries, a batch a transaction.

An import is idempotent: a record that is already there is left alone, one that changed since is
updated, so an interrupted import is continued by running it again. A record that cannot be read is
left out whole and named; the others go in.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from rekall.db import Database
from rekall.entry import Entry, Link, now
from rekall.errors import RekallError
from rekall.language import _
from rekall.redact import Secret
from rekall.sources import Found, without_secrets

# Entries stored in one transaction: a tenth of a second's work.
BATCH = 100
# An import that changes so many records at once is preceded by a backup; a smaller one can be undone by eye.
BULK = 20


@dataclass
class Report:
    """What an import did."""

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    kept: int = 0  # edited here after the record was written: ours stays
    problems: list[str] = field(default_factory=list)
    secrets: list[Secret] = field(default_factory=list)  # left out of what was added and updated
    entries_with_secrets: int = 0

    def include(self, other: Report) -> None:
        """Add what another report counted."""
        self.added += other.added
        self.updated += other.updated
        self.unchanged += other.unchanged
        self.kept += other.kept
        self.problems += other.problems
        self.secrets += other.secrets
        self.entries_with_secrets += other.entries_with_secrets

    def count(self, record: Found) -> None:
        """Count what was left out of a record that is stored now."""
        self.secrets += record.secrets
        self.entries_with_secrets += bool(record.secrets)

    @property
    def total(self) -> int:
        """How many records were seen."""
        return self.added + self.updated + self.unchanged + self.kept + len(self.problems)


def bring_in(
    database: Database,
    records: Iterable[Found],
    on_progress: Callable[[int], None],
    before_bulk: Callable[[], object] = lambda: None,
    allow_secrets: bool = False,
) -> Report:
    """Store `records`, a batch a transaction, and return what was done. Links come last.

    Secrets are left out before anything else is done with a record, so importing it again changes nothing.
    `on_progress` is told how many records were dealt with. Whatever was committed before an
    interruption stays. `before_bulk` is called once, before the first batch that changes BULK records or more.
    """
    if not allow_secrets:
        records = map(without_secrets, records)
    known = _Known(database)
    report = Report()
    links: list[Link] = []
    batch: list[Found] = []
    is_warned = database.is_empty()  # of what is not there, nothing is lost

    def warn_of(batch: list[Found]) -> None:
        nonlocal is_warned
        if not is_warned and sum(known.is_news(record) for record in batch) >= BULK:
            is_warned = True
            before_bulk()

    for record in records:
        batch.append(record)
        if len(batch) == BATCH:
            warn_of(batch)
            links += _store(database, known, batch, report)
            on_progress(len(batch))
            batch = []
    warn_of(batch)
    links += _store(database, known, batch, report)
    on_progress(len(batch))
    _store_links(database, links, report)
    return report


class _Known:
    """What the base holds already: ids, which files entries came from, and what they say."""

    def __init__(self, database: Database) -> None:
        self.ids: set[str] = set()
        self.seen: dict[str, str] = {}  # id → the note that this import saw it in
        self.by_text: dict[str, str] = {}
        self.revision = database.revision()
        self.imports = database.imports()
        for entry in database.each():
            self.remember(entry)

    def follow(self, database: Database) -> None:
        """Learn what others wrote since; another import of the same notes may be under way."""
        if database.revision() == self.revision:
            return
        changes = database.changes_since(self.revision)
        self.ids -= changes.gone
        for entry in database.get_many(sorted(changes.written)):
            self.remember(entry)
        self.imports = database.imports()
        self.revision = changes.revision

    def remember(self, entry: Entry) -> None:
        self.ids.add(entry.id)
        self.by_text[digest(entry)] = entry.id

    def is_news(self, record: Found) -> bool:
        """Tell whether `record` is likely to change something; for less than certain, nothing is read."""
        if record.entry is None:
            return False
        imported = self.imports.get(record.place) if record.is_note else None
        if imported:
            return imported[0] in self.ids and imported[1] != digest(record.entry, whole=True)
        return digest(record.entry) not in self.by_text or self.same_as(record) is None

    def same_as(self, record: Found) -> str | None:
        """Return the id of the entry that `record` is about, if it is there."""
        assert record.entry is not None
        if record.has_id:
            return record.entry.id if record.entry.id in self.ids else None
        imported = self.imports.get(record.place)
        return imported[0] if imported and imported[0] in self.ids else self.by_text.get(digest(record.entry))


def digest(entry: Entry, whole: bool = False) -> str:
    """Return a fingerprint of what an entry says: its texts, type, status and tags.

    `whole`: and its source and extra too, so all but its id, times and revision.
    """
    texts = (entry.type, entry.title, entry.content, entry.project, entry.status, entry.situation, entry.solution)
    said = [*texts, entry.what_failed, *sorted(entry.tags), None, *entry.errors, None, *entry.files]
    if whole:
        said += [None, entry.source, json.dumps(entry.extra, sort_keys=True)]
    return hashlib.blake2b(json.dumps(said).encode(), digest_size=16).hexdigest()


def _store(database: Database, known: _Known, batch: list[Found], report: Report) -> list[Link]:
    """Store one batch in one transaction; return the links its records name."""
    links: list[Link] = []
    new: dict[str, Entry] = {}
    notes: list[tuple[str, str, str]] = []
    earlier: dict[str, tuple[str, ...]] = {}
    done = Report()
    with database.transaction():
        known.follow(database)
        for record in batch:
            if record.entry is None:
                done.problems.append(f"{record.place}: {record.problem}")
                continue
            there, stored = known.same_as(record), done.added + done.updated
            if (
                record.is_note
                and record.has_id
                and known.seen.setdefault(record.entry.id, record.place) != record.place
            ):
                other = known.seen[record.entry.id]
                done.problems.append(_("{place}: {other} has the same id").format(place=record.place, other=other))
                continue
            if there in new and record.has_id:  # twice in one source: the later one may say something else
                database.add_many(list(new.values()))
                new.clear()
            if there is None:
                new[record.entry.id] = record.entry
                known.remember(record.entry)
                done.added += 1
                done.count(record)
            elif there in new:
                done.unchanged += 1  # twice in one source
            else:
                ours = database.get_many([there])
                if ours:
                    _meet(database, known, ours[0], record, done)
                else:  # deleted by somebody since the import began
                    done.problems.append(_("{place}: its entry was deleted meanwhile").format(place=record.place))
                    continue
            links += record.links
            if record.earlier and done.added + done.updated > stored:
                earlier[there or record.entry.id] = record.earlier
            if record.is_note:
                notes.append((record.place, there or record.entry.id, digest(record.entry, whole=True)))
        database.add_many(list(new.values()))
        database.remember_imports(notes)
        if earlier:
            database.note_known(earlier)
        known.revision = database.revision()
    known.imports.update({place: (key, said) for place, key, said in notes})
    report.include(done)
    return links


def _meet(database: Database, known: _Known, ours: Entry, record: Found, done: Report) -> None:
    """Decide between an entry and a record about it, and count what was done.

    A note that says what it said at the last import changes nothing. Else the record takes the
    entry's place, unless the entry was edited here and that was later.
    """
    assert record.entry is not None
    theirs = replace(record.entry, id=ours.id, revision=ours.revision)
    imported = known.imports.get(record.place) if record.is_note else None
    edited_here = imported is not None and digest(ours, whole=True) != imported[1]
    if imported and digest(theirs, whole=True) == imported[1]:
        if edited_here:
            done.kept += 1
        else:
            done.unchanged += 1
    elif _same_but_for_times(theirs, ours) or (
        imported is None and not record.has_id and digest(theirs) == digest(ours)
    ):
        done.unchanged += 1
    elif (edited_here or imported is None) and record.written and record.written <= ours.updated_at:
        done.kept += 1
    else:
        moved_on = record.entry.updated_at if record.written else now()
        written = replace(theirs, created_at=ours.created_at, updated_at=moved_on)
        database.update(written)
        known.remember(written)
        done.updated += 1
        done.count(record)


def _same_but_for_times(theirs: Entry, ours: Entry) -> bool:
    return replace(theirs, created_at=ours.created_at, updated_at=ours.updated_at) == ours


def _store_links(database: Database, links: list[Link], report: Report) -> None:
    with database.transaction():
        for link in links:
            try:
                database.link(link)
            except RekallError:
                report.problems.append(
                    _("link {source} → {target}: there is no such entry").format(source=link.source, target=link.target)
                )
