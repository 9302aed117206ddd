"""The rules between the tables hold for whoever writes, plain `sqlite3` included.

Each test writes through a second connection as the `sqlite3` shell would: no foreign keys, no help
from Python. Then the base must answer as if rekall had written.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekall import schema
from rekall.db import Database, sqlite3  # the same library: two in one process drop each other's locks
from rekall.entry import Entry, Link
from rekall.vectors import unit_rows
from rekall.verify import rebuild, verify

MakeEntry = Callable[..., Entry]
MODEL, RECIPE = "m", "1"


@pytest.fixture
def plain(database: Database) -> Iterator[sqlite3.Connection]:
    """Return a connection to the base as the sqlite3 shell opens it."""
    assert database.path
    with closing(sqlite3.connect(database.path, isolation_level=None)) as connection:
        yield connection


def insert(plain: sqlite3.Connection, key: str, title: str, **fields: str) -> None:
    row = {"id": key, "type": "til", "title": title, "created_at": "2026", "updated_at": "2026"} | fields
    names = ", ".join(row)
    plain.execute(f"INSERT INTO entries({names}) VALUES ({', '.join('?' * len(row))})", tuple(row.values()))


def found(database: Database, text: str) -> list[str]:
    return [key for key, _score in database.search_words(text, 10).found]


def embed(database: Database, entry: Entry, *rows: list[float]) -> None:
    (waiting,) = [p for p in database.pending(MODEL, RECIPE, 100) if p.entry.id == entry.id]
    assert database.store_vectors([(waiting, unit_rows(np.array(rows or [[1.0, 0.0]])))], MODEL, RECIPE) == [entry.id]


def count(database: Database, table: str) -> int:
    return int(database.connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


# --- words and tags ---


def test_an_entry_written_with_plain_sqlite_is_found_by_each_of_its_fields(
    database: Database, plain: sqlite3.Connection
):
    lists = {"tags", "errors", "files"}
    fields = {
        name: json.dumps([f"in{name} x"]) if name in lists else f"in{name}"
        for name in schema.FTS_WEIGHTS
        if name != "title"
    }
    insert(plain, "a", "intitle", **fields)
    assert [found(database, f"in{name}") for name in schema.FTS_WEIGHTS] == [["a"]] * len(schema.FTS_WEIGHTS)
    assert verify(database) == []


def test_a_text_changed_with_plain_sqlite_is_found_anew_and_no_longer_by_the_old(
    database: Database, plain: sqlite3.Connection
):
    insert(plain, "a", "walrus")
    plain.execute("UPDATE entries SET title = 'narwhal' WHERE id = 'a'")
    assert (found(database, "narwhal"), found(database, "walrus")) == (["a"], [])
    assert verify(database) == []


def test_tags_changed_with_plain_sqlite_are_what_filters_see(database: Database, plain: sqlite3.Connection):
    insert(plain, "a", "t", tags='["x", "y", "x"]')
    assert database.counts_by("tag") == {"x": 1, "y": 1}
    plain.execute("UPDATE entries SET tags = '[\"z\"]' WHERE id = 'a'")
    assert database.counts_by("tag") == {"z": 1}
    assert found(database, "z") == ["a"]


@pytest.mark.parametrize("tags", ["not json", "", "["])
def test_lists_that_are_no_json_are_refused(plain: sqlite3.Connection, tags: str):
    with pytest.raises(sqlite3.IntegrityError):
        insert(plain, "a", "t", tags=tags)


@pytest.mark.parametrize("mark", [*map(chr, range(1, 32)), '"', "\\", "/", "\r\n", "\\n", "\\t"])
def test_a_word_of_an_error_is_found_whatever_stands_before_it(database: Database, make_entry: MakeEntry, mark: str):
    entry = make_entry("t", errors=(f"x{mark}Unresolved reason",))
    database.add(entry)
    assert found(database, "unresolved") == [entry.id]
    database.delete(entry.id)
    assert verify(database) == []


@given(st.lists(st.text(), max_size=3))
def test_any_list_of_errors_leaves_the_words_in_step(texts: list[str]):
    with Database(None) as database:
        errors = tuple(text.encode("utf-8", "replace").decode() for text in texts)
        for key in ("a", "b"):
            database.add(Entry(id=key, type="bug", title="t", errors=errors, created_at="x", updated_at="x"))
        database.delete("a")
        assert verify(database) == []


def test_a_rebuild_mends_words_and_tags(database: Database, make_entry: MakeEntry):
    entry = make_entry("walrus", tags=("x",), errors=("line one\nline two",))
    database.add(entry)
    database.connection.execute("INSERT INTO entries_fts(entries_fts) VALUES ('delete-all')")
    database.connection.execute("DELETE FROM tags")
    assert {finding.check for finding in verify(database)} == {"words", "tags"}
    rebuild(database, MODEL)
    assert verify(database) == []
    assert found(database, "walrus line") == [entry.id]
    assert database.counts_by("tag") == {"x": 1}


def test_vacuum_moves_no_entry_away_from_its_words_and_vectors(database: Database, make_entry: MakeEntry):
    entries = [make_entry(f"word{i}") for i in range(20)]
    database.add_many(entries)
    for entry in entries[:15]:
        database.delete(entry.id)
    embed(database, entries[17])
    database.connection.execute("VACUUM")
    assert found(database, "word17") == [entries[17].id]
    assert list(database.vectors_of([e.id for e in entries], MODEL)) == [entries[17].id]
    assert verify(database) == []


# --- vectors ---


@pytest.mark.parametrize("column", ["title", "content", "solution", "what_failed", "situation"])
def test_a_text_changed_with_plain_sqlite_is_embedded_anew(
    database: Database, make_entry: MakeEntry, plain: sqlite3.Connection, column: str
):
    entry = make_entry()
    database.add(entry)
    embed(database, entry)
    plain.execute(f"UPDATE entries SET {column} = 'new' WHERE id = ?", (entry.id,))
    assert count(database, "embeddings") == 0
    assert [p.entry.id for p in database.pending(MODEL, RECIPE, 9)] == [entry.id]


@pytest.mark.parametrize("change", ["status = 'obsolete'", "type = 'bug'", "updated_at = '2027'", "title = title"])
def test_a_change_of_no_text_keeps_the_vectors(
    database: Database, make_entry: MakeEntry, plain: sqlite3.Connection, change: str
):
    entry = make_entry()
    database.add(entry)
    embed(database, entry)
    plain.execute(f"UPDATE entries SET {change}")
    assert count(database, "embeddings") == 1


def test_an_entry_deleted_with_plain_sqlite_leaves_nothing_behind(
    database: Database, make_entry: MakeEntry, plain: sqlite3.Connection
):
    entry, other = make_entry("walrus", tags=("x",)), make_entry("other")
    database.add_many([entry, other])
    database.link(Link(entry.id, other.id, "related"))
    embed(database, entry)
    plain.execute("DELETE FROM entries WHERE id = ?", (entry.id,))  # no foreign keys: they are off by default
    assert found(database, "walrus") == []
    assert [count(database, table) for table in ("tags", "links", "embeddings")] == [0, 0, 0]
    assert verify(database) == []


def test_a_new_entry_never_inherits_the_vectors_of_one_that_is_gone(
    database: Database, make_entry: MakeEntry, plain: sqlite3.Connection
):
    entry = make_entry()
    database.add(entry)
    embed(database, entry)
    plain.execute("DELETE FROM entries")
    newcomer = make_entry("another")
    database.add(newcomer)  # SQLite gives it the row number that became free
    assert database.vectors_of([newcomer.id], MODEL) == {}


def test_replacing_an_entry_with_plain_sqlite_works_or_is_refused_but_leaves_the_words_in_step(
    database: Database, plain: sqlite3.Connection
):
    insert(plain, "a", "walrus")
    with suppress(sqlite3.IntegrityError):  # REPLACE fires no delete trigger
        plain.execute(
            "REPLACE INTO entries(id, type, title, created_at, updated_at) VALUES ('a', 'til', 'narwhal', 'x', 'x')"
        )
    assert found(database, database.get("a").title) == ["a"]
    assert verify(database) == []


# --- revisions and tombstones ---


CHANGES = {
    "entry added": "INSERT INTO entries(id, type, title, created_at, updated_at) VALUES ('c', 'til', 't', 'x', 'x')",
    "entry changed": "UPDATE entries SET status = 'obsolete' WHERE id = 'a'",
    "entry gone": "DELETE FROM entries WHERE id = 'b'",
    "vector added": "INSERT INTO embeddings(entry_rowid, part, model, recipe, vector) VALUES (1, 1, 'm', '1', x'00')",
    "vector changed": "UPDATE embeddings SET vector = x'00000000' WHERE entry_rowid = 1",
    "vector gone": "DELETE FROM embeddings WHERE entry_rowid = 1",
    "link added": "INSERT INTO links VALUES ('b', 'a', 'related', NULL, 'x')",
    "link changed": "UPDATE links SET reason = 'because' WHERE source_id = 'a'",
    "link gone": "DELETE FROM links WHERE source_id = 'a'",
}


@pytest.fixture
def pair(database: Database, make_entry: MakeEntry) -> Database:
    """Return a base of two entries a and b, linked, a with a vector."""
    database.add_many([make_entry("first", id="a"), make_entry("second", id="b")])
    embed(database, database.get("a"))
    database.link(Link("a", "b", "related"))
    return database


@pytest.mark.parametrize("sql", CHANGES.values(), ids=CHANGES)
def test_every_change_with_plain_sqlite_moves_the_revision_on(pair: Database, plain: sqlite3.Connection, sql: str):
    before = pair.revision()
    assert plain.execute(sql).rowcount == 1
    assert pair.revision() > before


@pytest.mark.parametrize("what", ["entry added", "entry changed", "vector added", "vector changed", "vector gone"])
def test_a_change_that_matters_to_a_search_names_its_entry(pair: Database, plain: sqlite3.Connection, what: str):
    before = pair.revision()
    plain.execute(CHANGES[what])
    changes = pair.changes_since(before)
    assert changes.written == {"c" if what == "entry added" else "a"}
    assert changes.gone == set()
    assert changes.revision == pair.revision()


def test_an_entry_that_is_gone_leaves_a_tombstone_until_it_comes_back(pair: Database, plain: sqlite3.Connection):
    before = pair.revision()
    plain.execute(CHANGES["entry gone"])
    assert pair.changes_since(before).gone == {"b"}
    insert(plain, "b", "back")
    changes = pair.changes_since(before)
    assert (changes.written, changes.gone) == ({"b"}, set())


def test_an_entry_renamed_is_gone_under_its_old_name(pair: Database, plain: sqlite3.Connection):
    before = pair.revision()
    plain.execute("UPDATE entries SET id = 'new' WHERE id = 'a'")
    changes = pair.changes_since(before)
    assert (changes.written, changes.gone) == ({"new"}, {"a"})


@pytest.mark.parametrize("edits", [1, 3])
def test_each_edit_of_an_entry_counts_its_revision_up_by_one(pair: Database, plain: sqlite3.Connection, edits: int):
    for number in range(edits):
        plain.execute("UPDATE entries SET title = ? WHERE id = 'a'", (f"title {number}",))
    assert pair.get("a").revision == 1 + edits


# --- the file itself ---


def test_the_file_says_whose_base_it_is_and_of_which_version(database: Database, plain: sqlite3.Connection):
    assert plain.execute("PRAGMA application_id").fetchone() == (schema.APPLICATION_ID,)
    assert plain.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)


def test_every_text_field_is_indexed_and_weighed(database: Database):
    columns = [row[1] for row in database.connection.execute("PRAGMA table_info(entries_fts)").fetchall()]
    assert columns == list(schema.FTS_WEIGHTS)
    texts = {"title", "content", "tags", "project", "situation", "solution", "what_failed", "errors", "files", "source"}
    assert texts <= set(columns)


def test_statements_cuts_a_script_where_sqlite_would(tmp_path: Path):
    script = "CREATE TABLE a (x); -- one; two\nCREATE TRIGGER t AFTER INSERT ON a BEGIN\n    SELECT 1;\nEND;\nCREATE TABLE b (y);"
    found_statements = schema.statements(script)
    assert [statement.split("(")[0].split()[1] for statement in found_statements] == ["TABLE", "TRIGGER", "TABLE"]
    with closing(sqlite3.connect(":memory:")) as memory:
        for statement in found_statements:
            memory.execute(statement)
