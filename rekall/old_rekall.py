"""Bases of the older public rekall (0.3, schema 11 and 12), carried over where they lie.

Its tables `entries`, `tags`, `links` and `embeddings` become ours; every other table stays as it is.
What has no column of ours lives on in `entries.extra`. Timestamps stay as they were written (naive,
local time). Schema 12 is 11 plus a copy of the vectors for sqlite-vec, which ours replaces.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections import defaultdict
from collections.abc import Sequence
from typing import Any  # SQL and JSON values of a foreign file

from rekall import schema
from rekall.entry import Entry, clean_text, first_line, one_line
from rekall.rows import COLUMNS, marks, to_row

# The recipe name of its vectors. They are kept as they are, never computed again.
KEPT_RECIPE = "rekall-0.3"

_REPLACED = ("entries", "tags", "links", "embeddings")
_OWN_COLUMNS = ("id", "type", "title", "content", "project", "status", "superseded_by", "created_at", "updated_at")
_CONTEXT_COLUMNS = ("context_blob", "context_structured", "context_compressed")
# The keys of its structured context that have a field of ours; the others go to `extra`.
_CONTEXT_FIELDS = ("situation", "solution", "what_failed", "error_messages", "files_modified")


def looks_like_one(connection: schema.Connection) -> bool:
    """Tell whether the file has the older rekall's tables."""
    return all(
        {"id", "title", "type", "created_at"} <= set(_columns(connection, name)) for name in ("entries",)
    ) and bool(_columns(connection, "tags"))


def carry_over(connection: schema.Connection) -> None:
    """Turn the base into one of ours. The caller holds the transaction, with foreign keys off.

    Raises whatever goes wrong; the caller rolls back.
    """
    _drop_triggers_and_words(connection)
    for table in _REPLACED:
        if _columns(connection, table):
            connection.execute(f"ALTER TABLE {table} RENAME TO older_{table}")
    for (index,) in connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL "
        "AND tbl_name IN ('older_entries', 'older_tags', 'older_links', 'older_embeddings')"
    ).fetchall():
        connection.execute(f'DROP INDEX "{index}"')
    schema.create_tables(connection)
    _copy_entries(connection)
    _copy_links(connection)
    _copy_embeddings(connection)
    connection.execute("UPDATE state SET value = 1 WHERE key = 'revision'")
    schema.rebuild_words(connection)
    schema.create_triggers(connection)
    for table in _REPLACED:
        connection.execute(f"DROP TABLE IF EXISTS older_{table}")
    schema.mark(connection)


def _columns(connection: schema.Connection, table: str) -> list[str]:
    """Return the names of a table's columns; none if there is no such table."""
    return [row[1] for row in connection.execute(f"PRAGMA table_info({table})").fetchall()]


def _drop_triggers_and_words(connection: schema.Connection) -> None:
    for (trigger,) in connection.execute(
        "SELECT name FROM sqlite_master "
        "WHERE type = 'trigger' AND tbl_name IN ('entries', 'tags', 'links', 'embeddings')"
    ).fetchall():
        connection.execute(f'DROP TRIGGER "{trigger}"')
    connection.execute("DROP TABLE IF EXISTS entries_fts")


def _copy_entries(connection: schema.Connection) -> None:
    tags: dict[str, list[str]] = defaultdict(list)
    for key, tag in connection.execute("SELECT entry_id, tag FROM older_tags ORDER BY rowid").fetchall():
        tags[key].append(tag)
    names = _columns(connection, "older_entries")
    insert = f"INSERT INTO entries({', '.join(COLUMNS)}, changed) VALUES ({marks(COLUMNS)}, 1)"
    for values in connection.execute("SELECT * FROM older_entries ORDER BY rowid").fetchall():
        older = dict(zip(names, values, strict=True))
        connection.execute(insert, to_row(_entry(older, tags.get(older["id"], []))))


def _entry(older: dict[str, Any], tags: Sequence[str]) -> Entry:
    context = _context(older)
    extra = {
        name: _plain(value)
        for name, value in older.items()
        if value is not None and name not in (*_OWN_COLUMNS, *_CONTEXT_COLUMNS)
    }
    own = {name: context.pop(name, None) for name in _CONTEXT_FIELDS}
    for key, value in context.items():
        if value is not None:
            extra[f"context_{key}" if key in older else key] = value
    content = _text(older.get("content"))
    return Entry(
        id=str(older["id"]),
        type=older["type"],
        title=one_line(_text(older["title"])) or first_line(content) or str(older["id"]),
        content=content,
        tags=tuple(dict.fromkeys(tags)),
        project=older.get("project"),
        status=older.get("status") or "active",
        superseded_by=older.get("superseded_by"),
        created_at=older["created_at"],
        updated_at=older.get("updated_at") or older["created_at"],
        extra=extra,
        situation=_text(own["situation"]),
        solution=_text(own["solution"]),
        what_failed=_text(own["what_failed"]),
        errors=_texts(own["error_messages"]),
        files=_texts(own["files_modified"]),
    )


def _context(older: dict[str, Any]) -> dict[str, Any]:
    """Return the structured context as one object; what cannot be read is kept as it lies."""
    context: dict[str, Any] = {}
    if older.get("context_compressed"):
        context["conversation_compressed"] = _inflated(older["context_compressed"])
    for name, value in (
        ("context_structured", older.get("context_structured")),
        ("context_blob", older.get("context_blob")),
    ):
        if not value:
            continue
        text = _inflated(value) if isinstance(value, bytes) else value
        try:
            parsed = json.loads(text)
        except ValueError:
            parsed = None
        context.update(parsed if isinstance(parsed, dict) else {f"{name}_unread": text})
    return context


def _inflated(blob: bytes) -> str:
    """Return the text a zlib blob holds, or the blob in base 64 if it holds none."""
    try:
        return zlib.decompress(blob).decode("utf-8")
    except (zlib.error, UnicodeDecodeError):
        return base64.b64encode(blob).decode("ascii")


def _plain(value: Any) -> Any:
    return base64.b64encode(value).decode("ascii") if isinstance(value, bytes) else value


def _text(value: Any) -> str:
    return clean_text(value) if isinstance(value, str) else "" if value is None else str(value)


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(_text(item) for item in value) if isinstance(value, list) else (_text(value),) if value else ()


def _copy_links(connection: schema.Connection) -> None:
    """Copy the links whose two ends exist."""
    if not _columns(connection, "older_links"):
        return
    reason = "reason" if "reason" in _columns(connection, "older_links") else "NULL"
    connection.execute(
        f"INSERT INTO links(source_id, target_id, relation, reason, created_at) "
        f"SELECT source_id, target_id, relation_type, {reason}, created_at FROM older_links "
        "WHERE source_id IN (SELECT id FROM entries) AND target_id IN (SELECT id FROM entries) ORDER BY rowid"
    )


def _copy_embeddings(connection: schema.Connection) -> None:
    """Copy the vectors: an entry's summary becomes part 0, its context the part after it.

    A vector whose blob is not the length its row says is left out; the entry is embedded anew.
    """
    if not _columns(connection, "older_embeddings"):
        return
    connection.execute(
        "INSERT INTO embeddings(entry_rowid, part, model, recipe, vector, changed) "
        "SELECT e.rowid, row_number() OVER ("
        "  PARTITION BY e.rowid, o.model_name, o.dimensions ORDER BY o.embedding_type DESC) - 1, "
        "o.model_name || CASE o.dimensions WHEN 384 THEN '' ELSE '/' || o.dimensions END, ?, o.vector, 1 "
        "FROM older_embeddings o JOIN entries e ON e.id = o.entry_id "
        "WHERE length(o.vector) = 4 * o.dimensions ORDER BY e.rowid",
        (KEPT_RECIPE,),
    )
