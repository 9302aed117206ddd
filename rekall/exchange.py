"""In and out: Markdown folders, JSONL, other bases; one record at a time, never the whole in memory.

An import is idempotent: a record that is already there is left alone, one that changed since is
updated, so an interrupted import is continued by running it again. A record that cannot be read is
left out whole and named; the others go in.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any  # JSON values

from rekall.capture import read_markdown, to_markdown
from rekall.db import Database, copy_base
from rekall.entry import (
    FIELDS,
    LIST_FIELDS,
    RELATIONS,
    STATUSES,
    TYPES,
    Entry,
    Link,
    clean_text,
    from_record,
    is_id,
    now,
    one_line,
    to_record,
)
from rekall.errors import InvalidEntry, RekallError, UsageError
from rekall.language import _
from rekall.places import make_private
from rekall.protocol import json_line
from rekall.redact import Secret, redacted, screened_entry, screened_text

# Entries stored in one transaction: a tenth of a second's work.
BATCH = 100
# An import that changes so many records at once is preceded by a backup; a smaller one can be undone by eye.
BULK = 20
# A note or a JSONL line longer than this is no note.
MAX_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Found:
    """One record of a source: an entry with the links it names, or the reason why it is none.

    `is_note`: it is a file of its own, at `place`.
    """

    place: str
    entry: Entry | None = None
    is_note: bool = False
    links: tuple[Link, ...] = ()
    problem: str = ""
    has_id: bool = False
    written: str = ""  # when the record was written last, as far as its source tells
    secrets: tuple[Secret, ...] = ()  # what was left out of it


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


# --- reading ---


def read_source(path: Path) -> Iterator[Found]:
    """Yield the records of a Markdown file or folder, a JSONL file, or a base. Raises UsageError."""
    if not path.exists():
        raise UsageError(
            _("{path} does not exist; name a folder of notes, a .jsonl file or a rekall base").format(path=path)
        )
    if path.is_dir():
        return _read_folder(path)
    if _is_sqlite(path):
        return _read_base(path)
    if path.suffix.lower() in (".md", ".markdown"):
        return iter([_read_note(path, path.parent)])
    return _read_jsonl(path)


def count_source(path: Path) -> int | None:
    """Return how many records a folder holds, or None where only reading would tell."""
    return len(_notes_in(path)) if path.is_dir() else None


def _is_sqlite(path: Path) -> bool:
    """Tell whether the file is an SQLite database. A pipe is not looked into: it can be read only once."""
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            return file.read(16) == b"SQLite format 3\x00"
    except OSError as error:
        raise UsageError(_("{path} cannot be read: {reason}").format(path=path, reason=error.strerror)) from None


def _notes_in(folder: Path) -> list[Path]:
    """Return the Markdown files below `folder` in a fixed order; hidden folders are passed over."""
    found: list[Path] = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(parent, name) for name in sorted(names) if name.lower().endswith((".md", ".markdown"))]
    return found


def _read_folder(folder: Path) -> Iterator[Found]:
    return (_read_note(path, folder) for path in _notes_in(folder))


def _read_note(path: Path, top: Path) -> Found:
    """Read one Markdown note. Its folders below `top` become tags."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            return Found(str(path), problem=_("no regular file"))
        if status.st_size > MAX_BYTES:
            return Found(str(path), problem=_("larger than {count} MB").format(count=MAX_BYTES >> 20))
        text = path.read_bytes().decode("utf-8", "replace")
        if not text.strip():
            return Found(str(path), problem=_("empty"))
        record = read_markdown(text)
        place, modified = _name_of(path), _utc(status.st_mtime)
        entry = _entry_of_note(record, place, path.relative_to(top).parent.parts, modified)
        return Found(place, entry, is_note=True, has_id=entry.id == record.get("id"), written=modified)
    except OSError as error:
        return Found(str(path), problem=error.strerror or str(error))
    except InvalidEntry as error:
        return Found(str(path), problem=str(error))


def _name_of(path: Path) -> str:
    """Return the real path as text. Bytes that are not UTF-8 are written as they are in a shell: \\xff."""
    return os.fsencode(os.path.realpath(path)).decode("utf-8", "backslashreplace")


def _entry_of_note(record: dict[str, Any], place: str, folders: tuple[str, ...], modified: str) -> Entry:
    """Return the Entry of a note; what its front matter does not say comes from where and when the file is.

    Words of another tool that are no id, type or status of ours are kept in `extra`. Raises InvalidEntry.
    """
    for name, fits in (("id", is_id), ("type", TYPES.__contains__), ("status", STATUSES.__contains__)):
        if name in record and not (isinstance(record[name], str) and fits(record[name])):
            record[f"note_{name}"] = record.pop(name)
    for name in FIELDS:
        if name not in (*LIST_FIELDS, "extra", "revision") and isinstance(record.get(name), (list, dict)):
            record[f"note_{name}"] = record.pop(name)
    tags = [*map(str, record.pop("tags", ())), *(os.fsencode(part).decode("utf-8", "replace") for part in folders)]
    tags = [one_line(tag).replace(",", " ") for tag in tags]
    title = record.pop("title", None) or one_line(Path(place).stem.replace("-", " "))
    defaults = {"created_at": modified, "updated_at": modified, **({} if "id" in record else {"source": place})}
    return from_record({**defaults, **record, "title": title, "tags": list(dict.fromkeys(tags))})


def _utc(timestamp: float) -> str:
    moment = datetime.fromtimestamp(max(0.0, timestamp), UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _read_jsonl(path: Path) -> Iterator[Found]:
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(MAX_BYTES), b""), start=1):
            line = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
            if line.strip():
                yield _read_line(f"{path}:{number}", line)


def _read_line(place: str, line: bytes) -> Found:
    try:
        record = json.loads(line.decode("utf-8", "replace"))
        if not isinstance(record, dict):
            raise InvalidEntry(_("a JSON object is wanted, found {kind}").format(kind=type(record).__name__))
        entry = from_record(record)
        written = entry.updated_at if "updated_at" in record else ""
        links = tuple(_links(entry.id, record.get("links")))
        return Found(place, entry, links=links, has_id="id" in record, written=written)
    except InvalidEntry as error:
        return Found(place, problem=str(error))
    except (ValueError, RecursionError) as error:
        return Found(place, problem=_("not JSON: {error}").format(error=error))


def _links(source: str, records: Any) -> Iterator[Link]:
    """Yield the links a record names. Raises InvalidEntry for one that is none."""
    for record in records if isinstance(records, list) else ():
        if (
            not isinstance(record, dict)
            or not isinstance(record.get("target"), str)
            or record.get("relation") not in RELATIONS
        ):
            raise InvalidEntry(
                _("a link needs target and relation ({choices}), found {record!r}").format(
                    choices=" ".join(RELATIONS), record=record
                )
            )
        reason, made = record.get("reason"), record.get("created_at")
        target, made = clean_text(record["target"]), clean_text(str(made or now()))
        yield Link(source, target, record["relation"], clean_text(str(reason)) if reason else None, made)


def _read_base(path: Path) -> Iterator[Found]:
    """Yield the entries of another base. It is read from a copy, so that carrying it over changes nothing."""
    with tempfile.TemporaryDirectory(prefix="rekall-") as folder:
        copy = Path(folder) / "base.db"
        copy_base(path, copy)
        with Database(copy) as other:
            for entry in other.each():
                links = tuple(other.links_from(entry.id))
                yield Found(f"{path}:{entry.id}", entry, links=links, has_id=True, written=entry.updated_at)


# --- bringing in ---


def without_secrets(record: Found) -> Found:
    """Return a record as it may be stored: placeholders for the secrets in it. An id that is one is no id."""
    if record.entry is None:
        return record
    found: list[Secret] = []
    if redacted(record.entry.id) != record.entry.id:
        return Found(record.place, problem=_("its id has the shape of a secret; give it another"))
    entry = screened_entry(record.entry, found)
    links = tuple(
        replace(link, reason=screened_text(link.reason, "reason", found)) if link.reason else link
        for link in record.links
    )
    if redacted(record.place) != record.place:  # two files may differ in that part alone
        mark = hashlib.blake2b(record.place.encode("utf-8", "replace"), digest_size=8).hexdigest()
        record = replace(record, place=f"{redacted(record.place)}#{mark}")
    return replace(record, entry=entry, links=links, secrets=tuple(found)) if found else record


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
    done = Report()
    with database.transaction():
        known.follow(database)
        for record in batch:
            if record.entry is None:
                done.problems.append(f"{record.place}: {record.problem}")
                continue
            there = known.same_as(record)
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
            if record.is_note:
                notes.append((record.place, there or record.entry.id, digest(record.entry, whole=True)))
        database.add_many(list(new.values()))
        database.remember_imports(notes)
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


# --- taking out ---


def export_jsonl(database: Database) -> Iterator[str]:
    """Yield every entry as one line of JSON, in the order of ids; lossless."""
    for entry in database.each():
        record = to_record(entry)
        record["links"] = [
            {"target": link.target, "relation": link.relation, "reason": link.reason, "created_at": link.created_at}
            for link in database.links_from(entry.id)
        ]
        yield json_line(record) + "\n"


def export_markdown(database: Database) -> Iterator[tuple[str, str]]:
    """Yield (file name, Markdown with front matter) for every entry, in the order of ids."""
    for entry in database.each():
        yield f"{_slug(entry.title)}-{entry.id}.md", to_markdown(entry, whole=True)


def _slug(title: str) -> str:
    words = "".join(letter if letter.isalnum() and letter.isascii() else " " for letter in title.lower()).split()
    return "-".join(words)[:60].strip("-") or "note"


@contextmanager
def replacing(path: Path) -> Iterator[IO[str]]:
    """Write a private file that takes the place of `path` in one step, once all of it is on the disk.

    A link is followed; a device or a pipe is written to as it is.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file() and not path.is_dir():
        try:
            with path.open("w", encoding="utf-8") as device:
                yield device
        except BrokenPipeError:
            raise
        except OSError as error:
            raise _unwritable(path, error) from None
        return
    try:
        make_private(path.parent)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}-")
    except OSError as error:
        raise _unwritable(path, error) from None
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except OSError as error:
        Path(name).unlink(missing_ok=True)
        raise _unwritable(path, error) from None
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _unwritable(path: Path, error: OSError) -> UsageError:
    return UsageError(_("{path} cannot be written: {reason}").format(path=path, reason=error.strerror))
