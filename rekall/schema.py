"""The schema of a rekall base, as reading matter.

History
  1–11  the older public rekall (0.1 to 0.3). `old_rekall.py` carries its bases over.
  12    rekall 0.4. Its files bear APPLICATION_ID; the older rekall's bear none.
  13    the errors that entries know (`fingerprints`, their words and their queue); what was there before each change
        (`history`, in history_schema.py); names such as `C++` in the keywords.
  14    how often entries were taken, and where (`picks`); the tables below. `migrations.py` brings bases up to it.

The rules that hold between the tables are kept by triggers, not by Python, so that a row written with
plain `sqlite3` is found like any other:
- every change of an entry's text rewrites its row in `entries_fts` and drops its vectors, which
  puts it back in the queue of entries to embed; its fingerprints go too, and it is put in their queue;
- every change of what somebody wrote leaves what was there before in `history`;
- every change of anything moves `state.revision` on by one and stamps the row with it (`changed`),
  or leaves a tombstone, so that another process can read just what is new.
"""

from __future__ import annotations

import re
from typing import Any, Protocol  # Any: SQL values

from rekall import history_schema

APPLICATION_ID = 0x726B6C31  # "rkl1"
VERSION = 14

# The fields of the full-text index, in its column order, with their weight in bm25. A title twice
# as heavy costs .02 MRR on nl2bash and .005 on til (decision 022); files, source and the derived
# keywords are there to be findable, not to rank.
FTS_WEIGHTS = {
    "title": 1.0,
    "content": 1.0,
    "tags": 1.0,
    "project": 0.5,
    "situation": 1.0,
    "solution": 1.0,
    "what_failed": 1.0,
    "errors": 1.0,
    "files": 0.5,
    "source": 0.2,
    "keywords": 0.3,
}

# porter stems English, unicode61 with remove_diacritics 2 finds "déjà" by "deja".
TOKENIZER = "porter unicode61 remove_diacritics 2"


class Cursor(Protocol):
    """The part of a DB-API cursor that is used."""

    rowcount: int
    lastrowid: int | None

    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...
    def __iter__(self) -> Any: ...


class Connection(Protocol):
    """The part of a DB-API connection that is used. `db.py` alone knows which library it is."""

    def execute(self, sql: str, parameters: Any = ...) -> Cursor: ...
    def executemany(self, sql: str, parameters: Any) -> Cursor: ...
    def close(self) -> None: ...


_TABLES = """
CREATE TABLE state (            -- what is true of the whole base
    key TEXT PRIMARY KEY,       -- 'revision': counts every change, from 0
    value INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO state VALUES ('revision', 0);

CREATE TABLE entries (
    rowid INTEGER PRIMARY KEY,              -- explicit: VACUUM renumbers implicit ones
    id TEXT NOT NULL UNIQUE,                -- ULID, or 1–64 of A-Za-z0-9_- from an import
    type TEXT NOT NULL,                     -- bug pattern decision pitfall config reference snippet til
    title TEXT NOT NULL,
    content TEXT NOT NULL DEFAULT '',       -- Markdown
    tags TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(tags)),       -- JSON array of strings
    project TEXT,
    status TEXT NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'obsolete')),
    superseded_by TEXT,                     -- id of the entry that replaces this one
    situation TEXT NOT NULL DEFAULT '',     -- what was going on
    solution TEXT NOT NULL DEFAULT '',      -- what helped
    what_failed TEXT NOT NULL DEFAULT '',   -- what did not
    errors TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(errors)),   -- JSON array: error texts as they were printed
    files TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(files)),     -- JSON array: paths it is about
    source TEXT,                            -- where it came from: a URL, a file, a person
    created_at TEXT NOT NULL,               -- ISO 8601; UTC with Z if rekall wrote it
    updated_at TEXT NOT NULL,
    revision INTEGER NOT NULL DEFAULT 1,    -- edits of this entry, from 1
    extra TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(extra)),     -- JSON object: fields with no column
    keywords TEXT NOT NULL DEFAULT '',      -- derived: see entry.keywords
    changed INTEGER NOT NULL DEFAULT 0      -- state.revision at the last change; the triggers' business
);
CREATE INDEX entries_changed ON entries(changed);
CREATE INDEX entries_created ON entries(created_at);
CREATE INDEX entries_source ON entries(source) WHERE source IS NOT NULL;
CREATE INDEX entries_type ON entries(type);
CREATE INDEX entries_project ON entries(project) WHERE project IS NOT NULL;

CREATE TABLE tags (             -- derived from entries.tags by triggers: one row an entry and tag
    entry_rowid INTEGER NOT NULL REFERENCES entries(rowid) ON DELETE CASCADE,
    tag TEXT NOT NULL,
    PRIMARY KEY (tag, entry_rowid)
) WITHOUT ROWID;
CREATE INDEX tags_entry ON tags(entry_rowid);

CREATE TABLE links (            -- why two entries belong together
    source_id TEXT NOT NULL REFERENCES entries(id) ON DELETE CASCADE ON UPDATE CASCADE,
    target_id TEXT NOT NULL REFERENCES entries(id) ON DELETE CASCADE ON UPDATE CASCADE,
    relation TEXT NOT NULL CHECK (relation IN ('related', 'supersedes', 'derived_from', 'contradicts')),
    reason TEXT,
    created_at TEXT NOT NULL,
    PRIMARY KEY (source_id, target_id, relation),
    CHECK (source_id <> target_id)
) WITHOUT ROWID;
CREATE INDEX links_target ON links(target_id);

CREATE TABLE embeddings (       -- the vectors: one row a passage of an entry
    rowid INTEGER PRIMARY KEY,
    entry_rowid INTEGER NOT NULL REFERENCES entries(rowid) ON DELETE CASCADE,
    part INTEGER NOT NULL,      -- the passage's place in the entry, from 0
    model TEXT NOT NULL,        -- the model that made it
    recipe TEXT NOT NULL,       -- how the text was cut and put together
    vector BLOB NOT NULL,       -- float32, little endian, unit length
    changed INTEGER NOT NULL DEFAULT 0,
    UNIQUE (entry_rowid, model, part)
);
CREATE INDEX embeddings_changed ON embeddings(changed);
CREATE INDEX embeddings_done ON embeddings(entry_rowid, model, recipe);  -- finds what waits without reading vectors

CREATE TABLE imports (          -- what was imported from where, so that an import can be repeated
    place TEXT PRIMARY KEY,     -- the note's file
    entry_id TEXT NOT NULL,
    digest TEXT NOT NULL        -- of what the note said: exchange.digest
) WITHOUT ROWID;
CREATE INDEX imports_entry ON imports(entry_id);

CREATE TABLE tombstones (       -- entries that are gone, for readers that still hold them
    id TEXT PRIMARY KEY,
    changed INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX tombstones_changed ON tombstones(changed);
"""

_ERROR_TABLES = """
CREATE TABLE fingerprints (     -- derived: the errors that entries know. state 'fingerprints' is their version
    rowid INTEGER PRIMARY KEY,
    entry_rowid INTEGER NOT NULL REFERENCES entries(rowid) ON DELETE CASCADE,
    part INTEGER NOT NULL,      -- which of the entry's error texts, from 0; -1: told in its prose
    mark INTEGER NOT NULL,      -- how the line shows that it is an error: error_marks.Mark; 0: it does not
    key INTEGER NOT NULL,       -- of the text, to look up: fingerprint.Fingerprint.key
    text TEXT NOT NULL          -- what stays of the line: words and codes
);
CREATE INDEX fingerprints_key ON fingerprints(key);
CREATE INDEX fingerprints_entry ON fingerprints(entry_rowid);
CREATE INDEX fingerprints_plain ON fingerprints(rowid) WHERE mark = 0;
CREATE TABLE fingerprint_queue (-- entries whose fingerprints are to be made: triggers cannot
    entry_rowid INTEGER PRIMARY KEY REFERENCES entries(rowid) ON DELETE CASCADE
);
CREATE VIRTUAL TABLE fingerprints_fts USING fts5(text, content='fingerprints', content_rowid='rowid');
"""

_PICKS = """
CREATE TABLE picks (            -- how often an entry was taken, and where: counters that fade, no log, no question
    entry_rowid INTEGER NOT NULL REFERENCES entries(rowid) ON DELETE CASCADE,
    place INTEGER NOT NULL,     -- 0: wherever; else a hash of the project's folder, or of the directory
    count REAL NOT NULL CHECK (typeof(count) = 'real'),     -- each pick counts half after context.PICK_DAYS
    day INTEGER NOT NULL CHECK (typeof(day) = 'integer'),   -- of the last one, since 1970: the count is as of then
    PRIMARY KEY (entry_rowid, place)
) WITHOUT ROWID;
"""

_BUMP = "UPDATE state SET value = value + 1 WHERE key = 'revision';"
_REVISION = "(SELECT value FROM state WHERE key = 'revision')"


# What json.dumps writes for the control characters that failing programs print most. Each is a nested call, and
# SQLite's parser takes no more than a few dozen; words behind the others are in `keywords`.
_OTHER_ESCAPES = ("\\t", "\\r", "\\b", "\\f", "\\u001b")


def _as_text(row: str, column: str) -> str:
    """Return SQL for what `entries_fts` holds of a column.

    A JSON list is indexed as it is written, its escapes undone: brackets, quotes and commas separate
    words anyway. json_each would be exact, but FTS5 allows no virtual table in its content view.
    """
    if column not in ("tags", "errors", "files"):
        return f"{row}.{column}"
    text = f"{row}.{column}"
    for escape, plain in (("\\\\", "' '"), ("\\n", "char(10)"), *((e, "' '") for e in _OTHER_ESCAPES)):
        text = f"replace({text}, '{escape}', {plain})"
    return text


def _fts_delete() -> str:
    columns = ", ".join(FTS_WEIGHTS)
    old = ", ".join(_as_text("old", column) for column in FTS_WEIGHTS)
    return f"INSERT INTO entries_fts(entries_fts, rowid, {columns}) VALUES ('delete', old.rowid, {old});"


def _fts_insert() -> str:
    columns = ", ".join(FTS_WEIGHTS)
    new = ", ".join(_as_text("new", column) for column in FTS_WEIGHTS)
    return f"INSERT INTO entries_fts(rowid, {columns}) VALUES (new.rowid, {new});"


_REFILL_TAGS = """DELETE FROM tags WHERE entry_rowid = new.rowid;
    INSERT OR IGNORE INTO tags(tag, entry_rowid) SELECT value, new.rowid FROM json_each(new.tags);"""


def _full_text() -> str:
    """Return the DDL of the full-text index: external content, so that no text is stored twice."""
    view = ", ".join(f"{_as_text('entries', column)} AS {column}" for column in FTS_WEIGHTS)
    return f"""
CREATE VIEW entries_text AS SELECT entries.rowid AS rowid, {view} FROM entries;
CREATE VIRTUAL TABLE entries_fts USING fts5(
    {", ".join(FTS_WEIGHTS)}, content='entries_text', content_rowid='rowid', tokenize='{TOKENIZER}'
);"""


def _triggers() -> str:
    columns = ", ".join(FTS_WEIGHTS)
    moved = " OR ".join(f"old.{column} IS NOT new.{column}" for column in FTS_WEIGHTS)
    everything = f"type, status, superseded_by, created_at, updated_at, extra, id, {columns}"
    return f"""
CREATE TRIGGER entries_inserted AFTER INSERT ON entries BEGIN
    {_BUMP}
    UPDATE entries SET changed = {_REVISION} WHERE rowid = new.rowid;
    DELETE FROM tombstones WHERE id = new.id;
    {_REFILL_TAGS}
    {_fts_insert()}
    INSERT OR IGNORE INTO fingerprint_queue VALUES (new.rowid);
END;
CREATE TRIGGER entries_deleted AFTER DELETE ON entries BEGIN
    {_BUMP}
    INSERT OR REPLACE INTO tombstones VALUES (old.id, {_REVISION});
    {_fts_delete()}
    DELETE FROM tags WHERE entry_rowid = old.rowid;         -- as the foreign keys would: plain sqlite3
    DELETE FROM links WHERE old.id IN (source_id, target_id);  -- has them switched off
    DELETE FROM embeddings WHERE entry_rowid = old.rowid;
    DELETE FROM fingerprints WHERE entry_rowid = old.rowid;
    DELETE FROM fingerprint_queue WHERE entry_rowid = old.rowid;
    DELETE FROM imports WHERE entry_id = old.id;
    DELETE FROM picks WHERE entry_rowid = old.rowid;
END;
CREATE TRIGGER entries_doubled BEFORE INSERT ON entries
WHEN EXISTS (SELECT 1 FROM entries WHERE id = new.id OR rowid = new.rowid) BEGIN
    SELECT RAISE(ABORT, 'an entry with this id is there already');  -- REPLACE would pass by the triggers
END;
CREATE TRIGGER entries_updated AFTER UPDATE OF {everything} ON entries BEGIN
    {_BUMP}
    UPDATE entries SET changed = {_REVISION},
        revision = max(old.revision + 1, new.revision)
    WHERE rowid = new.rowid;
    INSERT OR REPLACE INTO tombstones SELECT old.id, {_REVISION} WHERE old.id <> new.id;
END;
CREATE TRIGGER entries_retagged AFTER UPDATE OF tags ON entries WHEN old.tags IS NOT new.tags BEGIN
    {_REFILL_TAGS}
END;
CREATE TRIGGER entries_rewritten AFTER UPDATE OF {columns} ON entries WHEN {moved} BEGIN
    {_fts_delete()}
    {_fts_insert()}
    DELETE FROM embeddings WHERE entry_rowid = new.rowid;
    DELETE FROM fingerprints WHERE entry_rowid = new.rowid;
    INSERT OR IGNORE INTO fingerprint_queue VALUES (new.rowid);
END;
CREATE TRIGGER fingerprints_inserted AFTER INSERT ON fingerprints BEGIN
    INSERT INTO fingerprints_fts(rowid, text) VALUES (new.rowid, new.text);
END;
CREATE TRIGGER fingerprints_deleted AFTER DELETE ON fingerprints BEGIN
    INSERT INTO fingerprints_fts(fingerprints_fts, rowid, text) VALUES ('delete', old.rowid, old.text);
END;
CREATE TRIGGER fingerprints_changed_by_hand AFTER UPDATE ON fingerprints BEGIN
    INSERT INTO fingerprints_fts(fingerprints_fts, rowid, text) VALUES ('delete', old.rowid, old.text);
    INSERT INTO fingerprints_fts(rowid, text) VALUES (new.rowid, new.text);
END;
CREATE TRIGGER embeddings_inserted AFTER INSERT ON embeddings BEGIN
    {_BUMP}
    UPDATE embeddings SET changed = {_REVISION} WHERE rowid = new.rowid;
END;
CREATE TRIGGER embeddings_deleted AFTER DELETE ON embeddings BEGIN
    {_BUMP}
    UPDATE entries SET changed = {_REVISION} WHERE rowid = old.entry_rowid;
END;
CREATE TRIGGER embeddings_changed_by_hand AFTER UPDATE OF entry_rowid, part, model, vector ON embeddings BEGIN
    {_BUMP}
    UPDATE embeddings SET changed = {_REVISION} WHERE rowid = new.rowid;
    UPDATE entries SET changed = {_REVISION} WHERE rowid = old.entry_rowid;
END;
CREATE TRIGGER links_updated AFTER UPDATE ON links BEGIN
    {_BUMP}
END;
CREATE TRIGGER links_inserted AFTER INSERT ON links BEGIN
    {_BUMP}
END;
CREATE TRIGGER links_deleted AFTER DELETE ON links BEGIN
    {_BUMP}
END;
"""


def statements(script: str) -> list[str]:
    """Cut a script of this module into statements, so that they run inside a transaction."""
    found: list[str] = []
    lines: list[str] = []
    in_trigger = False
    for line in script.splitlines():
        lines.append(line)
        in_trigger = in_trigger or line.startswith("CREATE TRIGGER")
        ended = line.startswith("END;") if in_trigger else line.split("--")[0].rstrip().endswith(";")
        if ended:
            found.append("\n".join(lines))
            lines, in_trigger = [], False
    return found


def all_statements() -> list[str]:
    """Return every statement of the schema, in order."""
    return [statement for script in scripts() for statement in statements(script)]


def create_tables(connection: Connection) -> None:
    """Write the tables, without the triggers. The caller holds the transaction."""
    for statement in statements(_TABLES + _full_text()):
        connection.execute(statement)
    create_error_tables(connection)
    create_history(connection)
    create_picks(connection)


def create_triggers(connection: Connection) -> None:
    """Write the triggers, which keep the derived tables in step from now on."""
    for statement in statements(_triggers() + history_schema.triggers()):
        connection.execute(statement)


def create(connection: Connection) -> None:
    """Make an empty base out of an empty file. The caller holds the transaction."""
    create_tables(connection)
    create_triggers(connection)
    mark(connection)


def create_error_tables(connection: Connection) -> None:
    """Write the tables of errors, new in version 13. The caller holds the transaction."""
    for statement in statements(_ERROR_TABLES):
        connection.execute(statement)


def create_history(connection: Connection) -> None:
    """Write the table of what was there before each change, new in version 13. The caller holds the transaction."""
    for statement in statements(history_schema.TABLES):
        connection.execute(statement)


def create_picks(connection: Connection) -> None:
    """Write the table of how often entries were taken, new in version 14. The caller holds the transaction."""
    for statement in statements(_PICKS):
        connection.execute(statement)


def drop_triggers(connection: Connection) -> None:
    """Take the triggers of this schema away, and no others."""
    for name in re.findall(r"CREATE TRIGGER (\w+)", _triggers() + history_schema.triggers()):
        connection.execute(f"DROP TRIGGER IF EXISTS {name}")


def mark(connection: Connection) -> None:
    """Write on the file whose base this is and of which version."""
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {VERSION}")


def rebuild_words(connection: Connection) -> None:
    """Rebuild the full-text index and the tag rows from the entries. The caller holds the transaction."""
    connection.execute("INSERT INTO entries_fts(entries_fts) VALUES ('rebuild')")
    connection.execute("DELETE FROM tags")
    connection.execute(
        "INSERT OR IGNORE INTO tags(tag, entry_rowid) SELECT t.value, e.rowid FROM entries e, json_each(e.tags) t"
    )


def scripts() -> tuple[str, ...]:
    """Return all that makes a base, in the order of its making."""
    return (_TABLES, _full_text(), _ERROR_TABLES, history_schema.TABLES, _PICKS, _triggers(), history_schema.triggers())
