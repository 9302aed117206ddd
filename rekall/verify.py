"""Is everything in step? Entries against words, tags, fingerprints and vectors; and doing it over from the entries.

Damage is reported, never raised: whoever looks for it wants to see all of it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rekall import mending, rows, schema
from rekall.db import Database, copy_base
from rekall.entry import FIELDS
from rekall.language import _


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: which check saw it, and what it saw."""

    check: str
    detail: str


def verify(database: Database) -> list[Finding]:
    """Return everything that is not as it should be. Entries that wait to be embedded are no drift.

    Cost: reads the whole file; seconds at 100,000 entries.
    """
    found: list[Finding] = []
    each = (_file, _objects, _state, _texts, _tags, _references, _vectors)
    with database.snapshot():  # others may be writing
        for check in (*(partial(one, database.connection) for one in each), partial(_copy, database)):
            found += _found_by(check)
    for check in (partial(_words, database.connection), partial(_fingerprints, database)):  # these need to write
        found += _found_by(check)
    return found


def _found_by(check: partial[Iterator[Finding]]) -> list[Finding]:
    try:
        return list(check())
    except Exception as error:  # a damaged file may fail anywhere; that is a finding
        return [Finding(check.func.__name__.strip("_"), str(error))]


def verify_copy(path: Path) -> list[Finding]:
    """Return what is wrong with a base that cannot be written, by way of a copy: FTS5 checks by writing."""
    with tempfile.TemporaryDirectory(prefix="rekall-") as folder:
        copy = Path(folder) / "base.db"
        copy_base(path, copy)
        with Database(copy) as database:
            return verify(database)


def _copy(database: Database) -> Iterator[Finding]:
    """Compare the copy for sqlite-vec with the vectors, where the extension loads."""
    if database.vec.is_there and database.vec.reflects() is None:
        yield Finding("embeddings_vec", _("its table vec_state does not say what it holds; run rekall index rebuild"))
        return
    drift = database.vec.drift() if database.vec.is_available else 0
    if drift:
        yield Finding("embeddings_vec", _("{count} rows differ; run rekall index rebuild").format(count=drift))


def vec_state(database: Database) -> str:
    """Say how the copy for sqlite-vec stands: absent, not checked, behind, or in step."""
    reflected = database.vec.reflects()
    if reflected is None:
        return "absent"
    if not database.vec.is_available:
        return "not checked"
    return "in step" if reflected[1] == database.revision() else "behind"


def _file(connection: schema.Connection) -> Iterator[Finding]:
    for (line,) in connection.execute("PRAGMA integrity_check(20)").fetchall():
        if line != "ok":
            yield Finding("file", line)


def _objects(connection: schema.Connection) -> Iterator[Finding]:
    """Name tables, indexes and triggers that are missing, and triggers that are not as they were made."""
    for name in mending.amiss(connection):
        yield Finding(
            "schema", _("{name} is missing or was changed; run rekall index verify --repair").format(name=name)
        )


def _state(connection: schema.Connection) -> Iterator[Finding]:
    found = dict(connection.execute("SELECT key, value FROM state").fetchall())
    newest = connection.execute(
        "SELECT max(coalesce((SELECT max(changed) FROM entries), 0), "
        "coalesce((SELECT max(changed) FROM embeddings), 0), coalesce((SELECT max(changed) FROM tombstones), 0))"
    ).fetchone()[0]
    if not isinstance(found.get("revision"), int) or found["revision"] < newest:
        yield Finding("state", _("the count of changes is missing or too small; run rekall index verify --repair"))
    if found.get("lost_pages"):
        text = _("the log beside the base was removed with {count} pages in it: what was written last is gone")
        yield Finding("file", text.format(count=found["lost_pages"]))
    if found.get("deed") or found.get("undoes"):
        yield Finding("state", _("a deed was never ended; run rekall index verify --repair"))


def _texts(connection: schema.Connection) -> Iterator[Finding]:
    """Name entries that cannot be read: bytes that are no UTF-8, lists that are no JSON."""
    for key, _rowid in unreadable(connection):
        yield Finding("texts", _("entry {id} holds what is no text; run rekall index verify --repair").format(id=key))


def unreadable(connection: schema.Connection) -> Iterator[tuple[str, int]]:
    """Yield (id, rowid) of the entries that cannot be read."""
    columns = ", ".join(f"CAST({name} AS BLOB)" if name != "revision" else name for name in FIELDS)
    for rowid, *values in connection.execute(f"SELECT rowid, {columns} FROM entries ORDER BY rowid"):
        try:
            rows.from_row([value.decode() if isinstance(value, bytes) else value for value in values])
        except ValueError:  # UnicodeDecodeError and JSONDecodeError are some
            yield values[0].decode("utf-8", "replace"), rowid


def _words(connection: schema.Connection) -> Iterator[Finding]:
    """Compare the full-text index with the text of the entries."""
    try:
        connection.execute("INSERT INTO entries_fts(entries_fts, rank) VALUES ('integrity-check', 1)")
    except Exception as error:
        if "readonly" in str(error):
            raise
        yield Finding("words", _("the full-text index does not match the entries; run rekall index rebuild"))


def _tags(connection: schema.Connection) -> Iterator[Finding]:
    drift = connection.execute(
        "SELECT count(*) FROM (SELECT e.rowid, t.value FROM entries e, json_each(e.tags) t "
        "EXCEPT SELECT entry_rowid, tag FROM tags) "
        "UNION ALL SELECT count(*) FROM (SELECT entry_rowid, tag FROM tags "
        "EXCEPT SELECT e.rowid, t.value FROM entries e, json_each(e.tags) t)"
    ).fetchall()
    count = sum(row[0] for row in drift)
    if count:
        yield Finding(
            "tags", _("{count} tag rows differ from the entries; run rekall index rebuild").format(count=count)
        )


def _fingerprints(database: Database) -> Iterator[Finding]:
    """Compare the stored fingerprints, and their words, with the errors of the entries."""
    drift = database.count_drift()
    try:
        database.connection.execute(
            "INSERT INTO fingerprints_fts(fingerprints_fts, rank) VALUES ('integrity-check', 1)"
        )
    except Exception as error:
        if "readonly" in str(error):
            raise
        drift = drift or 1
    if drift:
        yield Finding(
            "fingerprints",
            _("the fingerprints of {count} entries differ from their errors; run rekall index rebuild").format(
                count=drift
            ),
        )


def _references(connection: schema.Connection) -> Iterator[Finding]:
    for table, rowid, parent, _number in connection.execute("PRAGMA foreign_key_check").fetchall():
        yield Finding(
            "references",
            _("row {rowid} of {table} points to nothing in {parent}").format(rowid=rowid, table=table, parent=parent),
        )
    for table, column in ORPHANS:
        condition = f"{column} NOT IN (SELECT {'rowid' if column == 'entry_rowid' else 'id'} FROM entries)"
        for (count,) in connection.execute(
            f"SELECT count(*) FROM {table} WHERE {condition} HAVING count(*)"
        ).fetchall():
            yield Finding(
                "references",
                _("{count} rows of {table} belong to no entry; run rekall index verify --repair").format(
                    count=count, table=table
                ),
            )
    (alive,) = connection.execute("SELECT count(*) FROM tombstones WHERE id IN (SELECT id FROM entries)").fetchone()
    if alive:
        yield Finding(
            "references",
            _("{count} entries are noted as deleted and are there; run rekall index verify --repair").format(
                count=alive
            ),
        )


# Rows that belong to an entry, and which column says to which; those with a foreign key are looked at by SQLite too.
ORPHANS = (("imports", "entry_id"), ("fingerprint_queue", "entry_rowid"), ("picks", "entry_rowid"))


def _vectors(connection: schema.Connection) -> Iterator[Finding]:
    """Name stored vectors that are cut, of another length than their model's, not finite or not of unit length."""
    for rowid, _model, length in bad_vectors(connection):
        if length is None:
            text = _("vector {rowid} is of the wrong size; run rekall index rebuild --embed").format(rowid=rowid)
        else:
            text = _("vector {rowid} has length {length:g}, not 1; run rekall index rebuild --embed").format(
                rowid=rowid, length=length
            )
        yield Finding("vectors", text)


def bad_vectors(connection: schema.Connection) -> Iterator[tuple[int, str, float | None]]:
    """Yield (rowid, model, length) of stored vectors that are none; no length where the size is wrong."""
    import numpy as np

    sizes = dict(
        connection.execute("SELECT model, length(vector) FROM embeddings GROUP BY 1, 2 ORDER BY count(*)").fetchall()
    )
    for rowid, model, blob in connection.execute("SELECT rowid, model, vector FROM embeddings ORDER BY rowid"):
        if not isinstance(blob, bytes) or len(blob) != sizes[model] or len(blob) % 4:
            yield rowid, model, None
            continue
        length = float(np.linalg.norm(np.frombuffer(blob, dtype="<f4").astype(np.float64)))
        if not abs(length - 1) < 1e-3:
            yield rowid, model, length


def rebuild(database: Database, model: str, reads_again: bool = True) -> None:
    """Make words, tags, fingerprints and the copy for sqlite-vec anew from what is stored, a transaction each or more.

    A table of the index that is gone is made again. `reads_again`: every entry's text is read for errors, 0.2 ms each;
    else the fingerprints there are indexed anew, and only what waits is read. Raises BaseUnusable.
    """
    with database.transaction():
        mending.mend(database.connection)
        schema.rebuild_words(database.connection)
    if reads_again:
        database.forget_errors()
    else:
        database.index_errors()
    database.read_errors()
    database.vec.rebuild(model)
