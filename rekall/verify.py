"""Is everything in step? Entries against words, tags, fingerprints and vectors; and doing it over from the entries.

Damage is reported, never raised: whoever looks for it wants to see all of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from rekall import schema
from rekall.db import Database
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
    checks = [partial(check, database.connection) for check in (_file, _words, _tags, _references, _vectors)]
    for check in (*checks, partial(_fingerprints, database), partial(_copy, database)):
        try:
            found += check()
        except Exception as error:  # a damaged file may fail anywhere; that is a finding
            found.append(Finding(check.func.__name__.strip("_"), str(error)))
    return found


def _copy(database: Database) -> Iterator[Finding]:
    """Compare the copy for sqlite-vec with the vectors, where the extension loads."""
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


def _vectors(connection: schema.Connection) -> Iterator[Finding]:
    """Name stored vectors that are cut, of another length than their model's, not finite or not of unit length."""
    import numpy as np

    sizes = dict(
        connection.execute("SELECT model, length(vector) FROM embeddings GROUP BY 1, 2 ORDER BY count(*)").fetchall()
    )
    for rowid, model, blob in connection.execute("SELECT rowid, model, vector FROM embeddings ORDER BY rowid"):
        if not isinstance(blob, bytes) or len(blob) != sizes[model] or len(blob) % 4:
            yield Finding(
                "vectors",
                _("vector {rowid} is of the wrong size; run rekall index rebuild --embed").format(rowid=rowid),
            )
            continue
        length = float(np.linalg.norm(np.frombuffer(blob, dtype="<f4").astype(np.float64)))
        if not abs(length - 1) < 1e-3:
            yield Finding(
                "vectors",
                _("vector {rowid} has length {length:g}, not 1; run rekall index rebuild --embed").format(
                    rowid=rowid, length=length
                ),
            )


def rebuild(database: Database, model: str) -> None:
    """Make words, tags, fingerprints and the copy for sqlite-vec anew from what is stored, a transaction each or more.

    Raises BaseUnusable.
    """
    with database.transaction():
        schema.rebuild_words(database.connection)
    database.forget_errors()
    database.read_errors()
    database.vec.rebuild(model)
