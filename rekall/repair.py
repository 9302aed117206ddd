"""Mending a base: what is derived is made anew, what belongs to nothing goes, what can be read is saved.

What somebody wrote is never removed: bytes that are no text become U+FFFD where they stand, and a file of which SQLite
cannot follow the pages is set aside, its readable rows in a new one. Each repair begins with a copy of the base.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any  # SQL values

from rekall import backups, mending, rows, schema
from rekall.db import Database, copy_base, open_file, readable_errors
from rekall.entry import FIELDS, Entry, Link, from_record, to_record
from rekall.errors import BaseUnusable, RekallError
from rekall.language import _
from rekall.verify import ORPHANS, rebuild, unreadable

# Rows asked for at a time where a page between them may be damaged; a part that fails is asked for row by row.
_RANGE = 256


@dataclass(frozen=True)
class Repaired:
    """What a repair did: the copy made before it, or the damaged file that was set aside and what was saved of it."""

    backup: Path | None = None
    aside: Path | None = None
    saved: int = 0


def repair(base: Path, model: str) -> Repaired:
    """Mend the base at `base` as far as it can be mended. Raises BaseUnusable if nothing of it can be read."""
    if not _is_whole(base):
        return _saved(base)
    backup = backups.new_name(base, "before-repair")
    try:
        copy_base(base, backup)
        with Database(base) as database:
            _mend(database, model)
    except OSError as error:
        raise BaseUnusable(
            _("base {path} was not mended: {reason}; make room, then try again").format(
                path=base, reason=error.strerror
            )
        ) from None
    return Repaired(backup=backup)


def _is_whole(base: Path) -> bool:
    """Tell whether SQLite can follow all pages, once indexes that do not fit their tables are made anew."""
    try:
        with Database(base) as database:
            check = "PRAGMA integrity_check(1)"
            if database.connection.execute(check).fetchone()[0] == "ok":
                return True
            database.connection.execute("REINDEX")
            return bool(database.connection.execute(check).fetchone()[0] == "ok")
    except Exception:  # whatever it is, what can be read is read row by row
        return False


def _mend(database: Database, model: str) -> None:
    connection = database.connection
    with database.transaction():
        mending.mend(connection)
        connection.execute("DELETE FROM state WHERE key = 'lost_pages'")
        connection.execute("INSERT OR IGNORE INTO state VALUES ('revision', 0)")
        connection.execute("INSERT OR REPLACE INTO state VALUES ('deed', 0), ('undoes', 0)")
        connection.execute(
            "UPDATE state SET value = 1 + max(CAST(value AS INTEGER), coalesce((SELECT max(changed) FROM entries), 0), "
            "coalesce((SELECT max(changed) FROM embeddings), 0), coalesce((SELECT max(changed) FROM tombstones), 0)) "
            "WHERE key = 'revision'"
        )
        schema.rebuild_words(connection)
    with database.transaction():
        for _key, rowid in list(unreadable(connection)):
            _write_readable(connection, rowid)
        connection.execute(
            "DELETE FROM links WHERE source_id NOT IN (SELECT id FROM entries) "
            "OR target_id NOT IN (SELECT id FROM entries)"
        )
        for table in ("tags", "embeddings", "fingerprints"):
            connection.execute(f"DELETE FROM {table} WHERE entry_rowid NOT IN (SELECT rowid FROM entries)")
        for table, column in ORPHANS:
            of = "rowid" if column == "entry_rowid" else "id"
            connection.execute(f"DELETE FROM {table} WHERE {column} NOT IN (SELECT {of} FROM entries)")
        connection.execute("DELETE FROM tombstones WHERE id IN (SELECT id FROM entries)")
        _drop_bad_vectors(connection)
    rebuild(database, model)


def _write_readable(connection: schema.Connection, rowid: int) -> None:
    """Write an entry that cannot be read as far as it can, each byte that is no text as U+FFFD."""
    values = _raw_entry(connection, rowid)
    if values is not None:
        entry = _entry(values)
        assignments = ", ".join(f"{name} = ?" for name in rows.COLUMNS if name != "id")
        written = [value for name, value in zip(rows.COLUMNS, rows.to_row(entry), strict=True) if name != "id"]
        connection.execute(f"UPDATE entries SET {assignments} WHERE rowid = ?", (*written, rowid))


def _raw_entry(connection: schema.Connection, rowid: int) -> tuple[Any, ...] | None:
    columns = ", ".join(f"CAST({name} AS BLOB)" for name in FIELDS)
    found = connection.execute(f"SELECT {columns} FROM entries WHERE rowid = ?", (rowid,)).fetchone()
    return tuple(found) if found else None


def _entry(values: tuple[Any, ...]) -> Entry:
    """Return the entry that columns, as bytes, tell of; what is no JSON is kept as it stands in `extra`."""
    texts = {
        name: value.decode("utf-8", "replace").replace("\x00", "\ufffd") if value is not None else None
        for name, value in zip(FIELDS, values, strict=True)
    }
    record: dict[str, Any] = {}
    damaged: dict[str, str] = {}
    for name, text in texts.items():
        if name in ("tags", "errors", "files", "extra"):
            try:
                record[name] = rows.from_row([text if name == other else _BLANK[other] for other in FIELDS])
                record[name] = to_record(record[name])[name]
            except ValueError:
                damaged[f"damaged_{name}"] = text or ""
        elif name == "revision":
            record[name] = int(text) if text and text.isdecimal() and 0 < int(text) < 2**53 else 1
        else:
            record[name] = text
    record["extra"] = {**(record.get("extra") or {}), **damaged}
    if not (record.get("title") or "").strip():
        record["title"] = record.get("id")
    return from_record({key: value for key, value in record.items() if value is not None})


_BLANK: dict[str, Any] = dict.fromkeys(FIELDS, "") | {
    "tags": "[]",
    "errors": "[]",
    "files": "[]",
    "extra": "{}",
    "revision": 1,
}


def _drop_bad_vectors(connection: schema.Connection) -> None:
    """Drop the vectors that `verify` names; their entries wait to be embedded again."""
    from rekall.verify import bad_vectors

    bad = [(rowid,) for rowid, _model, _length in bad_vectors(connection)]
    entries = "(SELECT entry_rowid FROM embeddings WHERE rowid = ?)"
    connection.executemany(f"UPDATE embeddings SET recipe = 'stale' WHERE entry_rowid = {entries}", bad)
    connection.executemany("DELETE FROM embeddings WHERE rowid = ?", bad)


# --- a file whose pages cannot all be followed ---


def _saved(base: Path) -> Repaired:
    """Put what can be read of the base into a new one in its place; the damaged file is set aside."""
    try:
        with tempfile.TemporaryDirectory(prefix=".rekall-restore-", dir=base.parent) as folder:
            ready = Path(folder) / "base.db"
            count = _save_rows(base, ready)
            if not count:
                raise BaseUnusable(_("no entry of {path} can be read; it stays as it is").format(path=base))
            backups.sync(ready)
            aside = backups.set_aside(base)
            ready.rename(base)
            backups.sync(base.parent)
            return Repaired(aside=aside, saved=count)
    except OSError as error:
        raise BaseUnusable(
            _("base {path} was not mended: {reason}; make room, then try again").format(
                path=base, reason=error.strerror
            )
        ) from None


def _save_rows(base: Path, ready: Path) -> int:
    count = 0
    whole = ready.with_name("whole.db")
    _lengthen(base, whole)
    with closing(_opened(whole, base)) as connection, Database(ready) as saved, saved.deed():
        for values in _rows_of(connection, "entries", FIELDS):
            with suppress(RekallError):
                saved.add(_entry(values))
                count += 1
        names = ("source_id", "target_id", "relation", "reason", "created_at")
        for values in _each(connection, f"SELECT {', '.join(f'CAST({n} AS BLOB)' for n in names)} FROM links"):
            with suppress(RekallError):
                texts = [v.decode("utf-8", "replace") if v is not None else None for v in values]
                saved.link(Link(str(texts[0]), str(texts[1]), str(texts[2]), texts[3], texts[4] or ""))
    with readable_errors(base), closing(open_file(ready)[0]) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    return count


def _lengthen(base: Path, target: Path) -> None:
    """Copy a base with its log; what it lacks at its end is made up of zeros, or SQLite would open none of it."""
    shutil.copyfile(base, target)
    log = base.with_name(f"{base.name}-wal")
    if log.exists():
        shutil.copyfile(log, target.with_name(f"{target.name}-wal"))
    with target.open("rb") as file:
        head = file.read(32)
    if len(head) == 32:
        page = int.from_bytes(head[16:18], "big")
        pages = int.from_bytes(head[28:32], "big")  # sqlite.org/fileformat.html
        wanted = (65536 if page == 1 else page) * pages
        if target.stat().st_size < wanted <= target.stat().st_size + (1 << 34):
            os.truncate(target, wanted)


def _opened(copy: Path, base: Path) -> Any:
    try:
        return open_file(copy)[0]
    except Exception as error:
        raise BaseUnusable(
            _("nothing of {path} can be read ({error}); it stays as it is").format(path=base, error=error)
        ) from None


def _rows_of(connection: Any, table: str, names: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a table, as bytes, but for those that lie on damaged pages."""
    columns = ", ".join(f"CAST({name} AS BLOB)" for name in names)
    for rowid in _rowids(connection, table):
        yield from _each(connection, f"SELECT {columns} FROM {table} WHERE rowid = {rowid}")


def _rowids(connection: Any, table: str) -> list[int]:
    """Return the rowids of a table: read from the front as far as it goes, then from the back."""
    found: dict[int, None] = {}
    for order in ("ASC", "DESC"):
        for row in _each(connection, f"SELECT rowid FROM {table} NOT INDEXED ORDER BY rowid {order}"):
            found[row[0]] = None
        for row in _each(connection, f"SELECT rowid FROM {table} ORDER BY id {order}"):  # an index may be whole
            found[row[0]] = None
    return sorted(found)


def _each(connection: Any, sql: str) -> Iterator[tuple[Any, ...]]:
    """Yield rows until SQLite cannot go on."""
    with suppress(Exception):
        yield from connection.execute(sql)
