"""How a base of an earlier version of ours becomes one of this version: a function a version.

Each runs in the one transaction of the whole, after a backup (base_file), with our triggers away. Nothing that was
written by hand is touched; what is derived is derived anew where its rules have changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rekall import rows, schema
from rekall.entry import keywords


def migrate(connection: schema.Connection, version: int) -> None:
    """Bring a base of this earlier version up to schema.VERSION. Raises whatever goes wrong; the caller rolls back."""
    schema.drop_triggers(connection)
    for earlier in range(version, schema.VERSION):
        MIGRATIONS[earlier](connection)
    schema.create_triggers(connection)
    schema.mark(connection)


def m013_errors_and_history(connection: schema.Connection) -> None:
    """Add the tables of errors, every entry in their queue; the history; and find names such as `C++` by themselves."""
    schema.create_error_tables(connection)
    schema.create_history(connection)
    connection.execute("INSERT INTO fingerprint_queue SELECT rowid FROM entries")
    if _derive_keywords(connection):
        connection.execute("INSERT INTO entries_fts(entries_fts) VALUES ('rebuild')")


def m014_picks(connection: schema.Connection) -> None:
    """Add the table of how often entries were taken: nothing was counted before."""
    schema.create_picks(connection)


def _derive_keywords(connection: schema.Connection) -> int:
    """Write the keywords of all entries anew, without a trigger; return how many have changed."""
    changed, last = 0, 0
    read = (
        f"SELECT {rows.SELECT_ENTRY}, e.keywords, e.rowid FROM entries e WHERE e.rowid > ? ORDER BY e.rowid LIMIT 500"
    )
    while batch := connection.execute(read, (last,)).fetchall():
        derived = [(keywords(rows.from_row(row)), row[-1], row[-2]) for row in batch]
        other = [(new, rowid) for new, rowid, old in derived if new != old]
        connection.executemany("UPDATE entries SET keywords = ? WHERE rowid = ?", other)
        changed, last = changed + len(other), batch[-1][-1]
    return changed


# What makes a base of the next version out of one of each version.
MIGRATIONS: Mapping[int, Callable[[schema.Connection], None]] = {
    12: m013_errors_and_history,
    13: m014_picks,
}
