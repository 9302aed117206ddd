"""Between an Entry and its row: the columns, their order, and filters as SQL. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any  # SQL values

from rekall.entry import FIELDS, LIST_FIELDS, Entry, keywords
from rekall.query import Filters, as_match

COLUMNS = (*FIELDS, "keywords")
SELECT_ENTRY = ", ".join(f"e.{name}" for name in FIELDS)


def to_row(entry: Entry) -> tuple[Any, ...]:
    """Return the values of COLUMNS for `entry`."""
    values = [_to_column(name, getattr(entry, name)) for name in FIELDS]
    return (*values, keywords(entry))


def from_row(row: Sequence[Any]) -> Entry:
    """Return the Entry whose SELECT_ENTRY columns `row` begins with."""
    return Entry(**{name: _from_column(name, value) for name, value in zip(FIELDS, row, strict=False)})


def _to_column(name: str, value: Any) -> Any:
    if name in LIST_FIELDS:
        return json.dumps(list(value), ensure_ascii=False)
    return json.dumps(value, sort_keys=True) if name == "extra" else value


def _from_column(name: str, value: Any) -> Any:
    if name in LIST_FIELDS:
        return tuple(str(item) for item in _json(value, list))
    if name == "extra":
        return _json(value, dict)
    if isinstance(value, bytes):  # somebody stored a BLOB in a text column
        return value.decode("utf-8", "replace")
    return value


def _json(text: str, kind: type) -> Any:
    """Return the JSON value of a column, or an empty one where another program or damage left something else.

    The rest of the entry is worth reading; `index verify` names such a column.
    """
    if text in ("[]", "{}"):  # most are, and a list of entries has hundreds of them
        return kind()
    try:
        value = json.loads(text)
    except (TypeError, ValueError):
        return kind()
    return value if isinstance(value, kind) else kind()


def condition(filters: Filters | None, texts: bool = True) -> tuple[str, list[str]]:
    """Return (SQL over entries `e`, its parameters) for the entries that `filters` lets through.

    `texts`: with what they may hold and lack; who searches the full-text index has query.restricted for that.
    """
    if not filters:
        return "1", []
    clauses: list[str] = []
    values: list[str] = []

    def one_of(column: str, choices: tuple[str, ...]) -> None:
        if choices:
            clauses.append(f"{column} IN ({marks(choices)})")
            values.extend(choices)

    one_of("e.type", filters.types)
    one_of("e.project", filters.projects)
    if filters.tags:
        clauses.append(f"e.rowid IN (SELECT entry_rowid FROM tags WHERE tag IN ({marks(filters.tags)}))")
        values.extend(filters.tags)
    # Entries carry 2026-11-23T08:48:00.123Z, what an older base wrote, or a date; the seconds compare as text.
    for bound, comparison in ((filters.since, ">="), (filters.until, "<")):
        if bound:
            clauses.append(f"substr(e.created_at || 'T00:00:00', 1, 19) {comparison} ?")
            values.append(bound)
    for phrases, comparison in ((filters.phrases, "IN"), (filters.without, "NOT IN")):
        for phrase in phrases if texts else ():
            clauses.append(f"e.rowid {comparison} (SELECT rowid FROM entries_fts WHERE entries_fts MATCH ?)")
            values.append(as_match(phrase))
    one_of("e.status", (filters.status,) if filters.status else ())
    return " AND ".join(clauses) or "1", values


def marks(values: Sequence[object]) -> str:
    """Return as many SQL parameter marks as there are values."""
    return ", ".join("?" * len(values))
