"""What was there before each change: the tables and triggers of the history, as reading matter. Part of schema.py.

Triggers write it, so a change made with plain `sqlite3` can be undone like any other. What one command does is one
deed. `state` says which deed is under way ('deed', 0: none) and which deed it takes back ('undoes', 0: none); while
none is, every row is a deed of its own. A deed that a trigger opened for one statement is negative there.
"""

from __future__ import annotations

# What an entry's row is put back from. `revision` and `updated_at` move on with every change; the rest is what
# somebody wrote.
WRITTEN = (
    *("type", "title", "content", "tags", "project", "status", "superseded_by", "situation", "solution"),
    *("what_failed", "errors", "files", "source", "created_at", "extra"),
)
KEPT = (*WRITTEN, "updated_at", "revision")

TABLES = f"""
CREATE TABLE history (          -- every change of an entry, a link or an imported note, with what was there before it
    number INTEGER PRIMARY KEY, -- in the order of their happening
    deed INTEGER NOT NULL,      -- what was done together bears the number of its first row
    undoes INTEGER,             -- the deed that this one took back
    at TEXT NOT NULL,           -- when, UTC
    kind TEXT NOT NULL,         -- added changed deleted · linked unlinked relinked · unnoted (a row of imports went)
    entry_id TEXT NOT NULL,     -- what the entry is called since; of a link, where it begins
    other TEXT,                 -- where the link leads; the place of the note
    relation TEXT, reason TEXT, -- of the link; reason is also the digest of the note
    was_id TEXT,                -- from here on the entry's row as it was, if there was one
    {", ".join(KEPT)}
);
CREATE INDEX history_deed ON history(deed, undoes);
CREATE INDEX history_entry ON history(entry_id, number);
CREATE INDEX history_at ON history(at);
INSERT OR IGNORE INTO state VALUES ('deed', 0), ('undoes', 0);
"""

_NEXT = "(SELECT coalesce(max(number), 0) + 1 FROM history)"
_DEED = f"coalesce(nullif(abs((SELECT value FROM state WHERE key = 'deed')), 0), {_NEXT})"
_UNDOES = "(SELECT nullif(value, 0) FROM state WHERE key = 'undoes')"
_NOW = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"


def _note(kind: str, columns: str, values: str, source: str = "") -> str:
    """Return SQL that writes one row, or as many as `source` gives."""
    return (
        f"INSERT INTO history(deed, undoes, at, kind, {columns}) "
        f"SELECT {_DEED}, {_UNDOES}, {_NOW}, '{kind}', {values} {source};"
    )


def _of(row: str) -> str:
    return ", ".join(f"{row}.{name}" for name in KEPT)


def triggers() -> str:
    """Return the triggers. Deleting an entry deletes its links first, so that taking it back can go backwards."""
    entry = f"entry_id, was_id, {', '.join(KEPT)}"
    link = "entry_id, other, relation, reason, created_at"
    differs = " OR ".join(f"old.{name} IS NOT new.{name}" for name in ("id", *WRITTEN))
    return f"""
CREATE TRIGGER history_added AFTER INSERT ON entries BEGIN
    {_note("added", "entry_id", "new.id")}
END;
CREATE TRIGGER history_changed AFTER UPDATE OF id, {", ".join(WRITTEN)} ON entries WHEN {differs} BEGIN
    {_note("changed", entry, f"new.id, old.id, {_of('old')}")}
END;
CREATE TRIGGER history_deleted BEFORE DELETE ON entries BEGIN
    UPDATE state SET value = -{_NEXT} WHERE key = 'deed' AND value = 0;
    DELETE FROM links WHERE old.id IN (source_id, target_id);
    {_note("unnoted", "entry_id, other, reason", "old.id, place, digest", "FROM imports WHERE entry_id = old.id")}
    {_note("deleted", entry, f"old.id, old.id, {_of('old')}")}
    UPDATE state SET value = 0 WHERE key = 'deed' AND value < 0;
END;
CREATE TRIGGER history_linked AFTER INSERT ON links BEGIN
    {_note("linked", "entry_id, other, relation", "new.source_id, new.target_id, new.relation")}
END;
CREATE TRIGGER history_unlinked AFTER DELETE ON links BEGIN
    {_note("unlinked", link, "old.source_id, old.target_id, old.relation, old.reason, old.created_at")}
END;
CREATE TRIGGER history_relinked AFTER UPDATE OF reason ON links WHEN old.reason IS NOT new.reason BEGIN
    {_note("relinked", link, "new.source_id, new.target_id, new.relation, old.reason, old.created_at")}
END;
"""
