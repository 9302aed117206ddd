"""What can be brought in, record by record: Markdown folders, JSONL, other bases; never the whole in memory.

A record that cannot be read becomes the reason why, so that the others go in.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any  # JSON values

from rekall.capture import read_markdown
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
    storable,
)
from rekall.errors import InvalidEntry, UsageError
from rekall.language import _
from rekall.redact import Secret, redacted, screened_entry, screened_text
from rekall.versions import earlier_marks, is_mark

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
    is_whole: bool = False  # it names every field, as an export does
    earlier: tuple[str, ...] = ()  # the marks of its earlier versions: versions.mark
    deleted: tuple[str, str] | None = None  # no entry: the id of one that was deleted, and when
    written: str = ""  # when the record was written last, as far as its source tells
    secrets: tuple[Secret, ...] = ()  # what was left out of it


def read_source(path: Path) -> Iterator[Found]:
    """Yield the records of a Markdown file or folder, a JSONL file, or a base. Raises UsageError."""
    if not path.exists():
        raise UsageError(
            _("{path} does not exist; name a folder of notes, a .jsonl file or a rekall base").format(path=path)
        )
    if path.is_dir():
        return _read_folder(path)
    if is_sqlite(path):
        return _read_base(path)
    if path.suffix.lower() in (".md", ".markdown"):
        return iter([_read_note(path, path.parent)])
    return (found for found in read_jsonl(path) if not found.deleted)


def count_source(path: Path) -> int | None:
    """Return how many records a folder holds, or None where only reading would tell."""
    return len(_notes_in(path)) if path.is_dir() else None


def is_sqlite(path: Path) -> bool:
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


def read_jsonl(path: Path) -> Iterator[Found]:
    """Yield the records of a JSONL file or pipe; what was deleted, too, if it says so."""
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
        earlier = _marks(record)
        if deleted := _deleted(record):
            return Found(place, deleted=deleted, earlier=earlier)
        is_whole = record.keys() >= set(FIELDS)
        entry = from_record(record, exact=is_whole)
        written = entry.updated_at if "updated_at" in record else ""
        links = tuple(_links(entry.id, record.get("links"), storable if is_whole else clean_text))
        return Found(
            place, entry, links=links, has_id="id" in record, is_whole=is_whole, written=written, earlier=earlier
        )
    except InvalidEntry as error:
        return Found(place, problem=str(error))
    except (ValueError, RecursionError) as error:
        return Found(place, problem=_("not JSON: {error}").format(error=error))


def _deleted(record: dict[str, Any]) -> tuple[str, str] | None:
    """Return (id, when) if a record says no more than that an entry was deleted."""
    key, at = record.get("id"), record.get("deleted")
    if record.keys() != {"id", "deleted"} or not (isinstance(key, str) and isinstance(at, str)):
        return None
    return (key, at) if is_id(key) and is_mark(f"-{at}") else None


def _marks(record: dict[str, Any]) -> tuple[str, ...]:
    """Take the marks of earlier versions out of a record. What else bears that name is left in it."""
    found = record.get("earlier")
    if not isinstance(found, list) or not all(isinstance(one, str) and is_mark(one) for one in found):
        return ()
    return tuple(record.pop("earlier"))


def _links(source: str, records: Any, clean: Callable[[str], str]) -> Iterator[Link]:
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
        target, made = clean(record["target"]), clean(str(made or now()))
        yield Link(source, target, record["relation"], clean(reason) if isinstance(reason, str) else None, made)


def _read_base(path: Path) -> Iterator[Found]:
    """Yield the entries of another base. It is read from a copy, so that carrying it over changes nothing."""
    with tempfile.TemporaryDirectory(prefix="rekall-") as folder:
        copy = Path(folder) / "base.db"
        copy_base(path, copy, untouched=True)
        with Database(copy) as other:
            known = other.known_marks()
            for entry in other.each():
                links = tuple(other.links_from(entry.id))
                earlier = tuple(earlier_marks(known, entry))
                yield Found(
                    f"{path}:{entry.id}", entry, links=links, has_id=True, written=entry.updated_at, earlier=earlier
                )


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
