"""What a base consists of, compared with what it should: tables, indexes, views and triggers; and making them anew.

Data is not looked at: verify.py does that. A full-text table of which a part is gone can be neither read nor dropped,
so it is taken out of the schema by hand.
"""

from __future__ import annotations

import re

from rekall import schema
from rekall.schema import Connection


def _objects(connection: Connection) -> dict[str, tuple[str, str]]:
    """Return name → (kind, SQL) of what is in a base; the tables that FTS5 keeps for itself are left out."""
    found = connection.execute("SELECT name, type, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return {name: (kind, sql) for name, kind, sql in found}


def _expected() -> dict[str, str]:
    """Return name → the statement that makes it, in the order of their making."""
    made = [(re.search(_MADE, one), one) for script in schema.scripts() for one in schema.statements(script)]
    return {match[1]: one for match, one in made if match}


_MADE = r"CREATE (?:VIRTUAL )?(?:TABLE|INDEX|TRIGGER|VIEW) (\w+)"
_FULL_TEXT = ("entries_fts", "fingerprints_fts")
_SHADOWS = ("data", "idx", "content", "docsize", "config")


def amiss(connection: Connection) -> list[str]:
    """Return the names of tables, indexes, views and triggers that are missing, and of triggers that are others."""
    there = _objects(connection)
    found = [name for name, sql in _expected().items() if not _is_as_made(name, sql, there)]
    return found + [
        name for name in ("entries_fts", "fingerprints_fts") if name not in found and not _works(connection, name)
    ]


def _is_as_made(name: str, sql: str, there: dict[str, tuple[str, str]]) -> bool:
    if name not in there:
        return False
    return there[name][0] != "trigger" or there[name][1] == sql.strip().removesuffix(";")


def _works(connection: Connection, table: str) -> bool:
    """Tell whether a full-text table can be opened: one of the tables it consists of may be gone."""
    try:
        connection.execute(f"SELECT 1 FROM {table}('a') LIMIT 1").fetchone()
    except Exception:  # of whatever kind: it is made anew
        return False
    return True


def mend(connection: Connection) -> list[str]:
    """Make anew what `amiss` names, but for a table of what somebody wrote; return their names.

    The caller holds the transaction, and fills what is derived.
    """
    names = amiss(connection)
    expected, there = _expected(), _objects(connection)
    if "entries" in names:
        return []
    for name in names:
        if name in there:
            _remove(connection, name, there[name][0])
    for name, sql in expected.items():
        if name in names:
            connection.execute(sql)
    return names


def _remove(connection: Connection, name: str, kind: str) -> None:
    if not name.endswith("_fts"):
        connection.execute(f"DROP {kind} {name}")
        return
    # FTS5 cannot drop a table of which a part is gone: it is taken out of the schema, and what is left of it dropped.
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute("DELETE FROM sqlite_master WHERE name = ?", (name,))
    connection.execute("PRAGMA writable_schema = RESET")
    for shadow in _SHADOWS:
        connection.execute(f"DROP TABLE IF EXISTS {name}_{shadow}")
