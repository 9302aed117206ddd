"""Bases of the older public rekall: opened, they are ours, and nothing that was in them is lost.

`data/rekall-v11.db` was written by the older rekall itself: 120 entries, 17 links, 138 vectors.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import zlib
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any  # rows of a foreign file

import pytest

from rekall import schema
from rekall.db import Database, sqlite3  # the same library: two in one process drop each other's locks
from rekall.entry import Entry
from rekall.errors import BaseRefused, BaseUnusable
from rekall.old_rekall import KEPT_RECIPE
from rekall.verify import verify

ROOT = Path(__file__).parent.parent
V11 = ROOT / "tests" / "data" / "rekall-v11.db"
MODEL = "all-MiniLM-L6-v2"
REPLACED = {"entries", "tags", "links", "embeddings"}
REVIEW = "confidence memory_type last_accessed access_count consolidation_score next_review review_interval ease_factor"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a copy of the older base, in a folder of its own."""
    (tmp_path / "base").mkdir()
    return Path(shutil.copy(V11, tmp_path / "base" / "knowledge.db"))


@pytest.fixture
def older() -> Iterator[sqlite3.Connection]:
    """Return a connection to the older base as it came, with rows by name."""
    with closing(sqlite3.connect(f"file:{V11}?immutable=1", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        yield connection


def change(path: Path, *statements: str) -> None:
    """Write to an older base as its own program would not."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def content(path: Path, only: set[str] | None = None) -> dict[str, Any]:
    """Return everything a base says: its numbers, its schema, the rows of its tables."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        said: dict[str, Any] = {
            name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
        }
        everything = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY 1, 2"
        said["schema"] = connection.execute(everything).fetchall()
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            if (only is None or table in only) and "fts" not in table:
                said[table] = sorted(connection.execute(f'SELECT * FROM "{table}"').fetchall(), key=repr)
        return said


def backups(path: Path) -> list[Path]:
    return sorted(set(path.parent.iterdir()) - {path, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))})


def by_id(path: Path) -> dict[str, Entry]:
    with Database(path) as database:
        return {entry.id: entry for entry in database.each()}


# --- everything is carried ---


def test_every_entry_comes_with_its_texts_and_its_times_as_they_were_written(path: Path, older: sqlite3.Connection):
    entries = by_id(path)
    rows = {row["id"]: row for row in older.execute("SELECT * FROM entries")}
    assert len(entries) == 120
    assert entries.keys() == rows.keys()
    for key, row in rows.items():
        entry = entries[key]
        for name in ("type", "title", "content", "project", "status", "superseded_by", "created_at", "updated_at"):
            assert getattr(entry, name) == row[name], (key, name)
        assert entry.revision == 1


def test_every_tag_is_carried_and_filters(path: Path, older: sqlite3.Connection):
    tags: dict[str, set[str]] = defaultdict(set)
    for key, tag in older.execute("SELECT entry_id, tag FROM tags"):
        tags[key].add(tag)
    assert {key: set(entry.tags) for key, entry in by_id(path).items() if entry.tags} == tags
    with Database(path) as database:
        assert sum(database.counts_by("tag").values()) == 240


def test_every_link_is_carried_with_its_reason(path: Path, older: sqlite3.Connection):
    with Database(path) as database:
        links = database.connection.execute(
            "SELECT source_id, target_id, relation, reason, created_at FROM links ORDER BY 1, 2, 3"
        ).fetchall()
    wanted = older.execute("SELECT source_id, target_id, relation_type, reason, created_at FROM links ORDER BY 1, 2, 3")
    assert links == [tuple(row) for row in wanted.fetchall()]
    assert len(links) == 17
    assert any(link[3] for link in links)


def test_a_structured_context_becomes_fields_and_the_rest_of_it_lives_on(path: Path, older: sqlite3.Connection):
    entries = by_id(path)
    rows = older.execute("SELECT id, context_blob FROM entries WHERE context_blob IS NOT NULL").fetchall()
    assert len(rows) == 30
    for row in rows:
        entry, context = entries[row["id"]], json.loads(zlib.decompress(row["context_blob"]))
        assert (entry.situation, entry.solution) == (context["situation"], context["solution"])
        assert entry.what_failed == context["what_failed"]
        assert list(entry.errors) == context["error_messages"]
        assert list(entry.files) == context["files_modified"]
        assert entry.extra["trigger_keywords"] == context["trigger_keywords"]
        assert entry.extra["extraction_method"] == context["extraction_method"]
        assert entry.extra["context_created_at"] == context["created_at"]


def test_a_conversation_excerpt_and_a_compressed_context_live_on(path: Path):
    context = {"situation": "s", "conversation_excerpt": "you said\nI said", "new_key": [1]}
    with closing(sqlite3.connect(path)) as connection:
        for column, value in (
            ("context_blob", zlib.compress(json.dumps(context).encode())),
            ("context_compressed", zlib.compress("all of it: é".encode())),
        ):
            connection.execute(f"UPDATE entries SET {column} = ? WHERE rowid = 2", (value,))
        connection.commit()
        key = connection.execute("SELECT id FROM entries WHERE rowid = 2").fetchone()[0]
    extra = by_id(path)[key].extra
    assert extra["conversation_excerpt"] == "you said\nI said"
    assert extra["new_key"] == [1]
    assert extra["conversation_compressed"] == "all of it: é"


def test_review_data_and_what_else_has_no_field_lives_on(path: Path, older: sqlite3.Connection):
    entries = by_id(path)
    for row in older.execute("SELECT * FROM entries"):
        for name in REVIEW.split():
            assert entries[row["id"]].extra.get(name) == row[name], name


def test_every_vector_is_kept_byte_for_byte_the_summarys_as_part_0(path: Path, older: sqlite3.Connection):
    with Database(path) as database:
        stored = database.connection.execute(
            "SELECT e.id, m.part, m.vector, m.model, m.recipe FROM embeddings m JOIN entries e ON e.rowid = m.entry_rowid"
        ).fetchall()
        assert database.count_pending(MODEL) == 120 - 108
    wanted: dict[tuple[str, int], bytes] = {}
    for row in older.execute("SELECT entry_id, embedding_type, vector FROM embeddings"):
        wanted[row["entry_id"], 0 if row["embedding_type"] == "summary" else 1] = row["vector"]
    assert {(row[0], row[1]): row[2] for row in stored} == wanted
    assert len(stored) == 138
    assert {row[3:] for row in stored} == {(MODEL, KEPT_RECIPE)}


def test_a_context_vector_without_a_summary_is_part_0(path: Path):
    change(path, "DELETE FROM embeddings WHERE embedding_type = 'summary'")
    with Database(path) as database:
        assert database.connection.execute("SELECT part, count(*) FROM embeddings GROUP BY 1").fetchall() == [(0, 30)]


def test_what_is_not_modelled_stays_row_for_row(path: Path):
    before = content(path)
    Database(path).close()
    tables = {row[1] for row in before["schema"] if row[0] == "table" and "fts" not in row[1]} - REPLACED
    after = content(path, tables)
    assert {"metadata", "context_keywords", "known_domains", "sources", "sqlite_sequence"} <= tables
    assert {table: after[table] for table in tables} == {table: before[table] for table in tables}
    kept = [row for row in before["schema"] if row[2] in tables and row[1] != "sqlite_autoindex_entries_1"]
    assert set(kept) <= set(after["schema"])


def test_tables_not_modelled_still_follow_the_entries(path: Path):
    with Database(path) as database:
        ask = "SELECT count(*), (SELECT entry_id FROM context_keywords LIMIT 1) FROM context_keywords"
        count, key = database.connection.execute(ask).fetchone()
        database.delete(key)
        assert database.connection.execute(ask).fetchone()[0] < count
        assert verify(database) == []


def test_the_base_carried_over_is_one_of_ours_in_every_way(path: Path):
    path.chmod(0o644)
    with Database(path) as database:
        assert verify(database) == []
        assert database.connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        numbers = [database.connection.execute(f"PRAGMA {n}").fetchone()[0] for n in ("application_id", "user_version")]
        assert numbers == [schema.APPLICATION_ID, schema.VERSION]
        assert len(database.search_words("rmdir", 5).found) >= 1
        assert database.search_words("kw116", 5).found, "trigger keywords find their entry"
        left = database.connection.execute("SELECT name FROM sqlite_master WHERE name LIKE 'older_%'").fetchall()
        assert left == []
    assert path.stat().st_mode & 0o777 == 0o600
    fresh = path.with_name("fresh.db")
    Database(fresh).close()
    assert set(content(fresh)["schema"]) <= set(content(path)["schema"])  # the same tables, triggers and all


def test_the_backup_beside_it_is_private_and_says_what_the_original_said(path: Path):
    before = content(path)
    with Database(path) as database:
        backup = database.backup_before_migration
    assert backup is not None
    assert backups(path) == [backup]
    assert re.fullmatch(r"knowledge\.db\.v11-\d{8}T\d{6}Z\.bak", backup.name)
    assert backup.stat().st_mode & 0o777 == 0o600
    assert content(backup) == before


def test_it_is_carried_over_once(path: Path):
    entries = by_id(path)
    with Database(path) as again:
        assert again.backup_before_migration is None
        assert {entry.id: entry for entry in again.each()} == entries
    assert len(backups(path)) == 1


# --- schema 12 ---


def test_schema_12_of_the_older_rekall_is_carried_over_too(path: Path):
    change(path, "CREATE TABLE embeddings_vec (rowid INTEGER PRIMARY KEY, v BLOB)", "PRAGMA user_version = 12")
    assert len(by_id(path)) == 120
    assert [".v12-" in backup.name for backup in backups(path)] == [True]


def test_schema_12_with_a_real_sqlite_vec_table_is_carried_over(path: Path):
    """By a process of its own: the extension needs an SQLite that loads one."""
    pytest.importorskip("sqlite_vec")
    pytest.importorskip("pysqlite3")
    script = """
import sys, pysqlite3, sqlite_vec
connection = pysqlite3.connect(sys.argv[1])
connection.enable_load_extension(True)
sqlite_vec.load(connection)
connection.execute("CREATE VIRTUAL TABLE embeddings_vec USING vec0(embedding_id TEXT PRIMARY KEY, vector float[384])")
connection.execute("INSERT INTO embeddings_vec SELECT id, vector FROM embeddings")
connection.execute("PRAGMA user_version = 12")
connection.commit()
"""
    subprocess.run([sys.executable, "-c", script, str(path)], check=True, timeout=60)
    with Database(path) as database:
        assert database.count() == 120
        assert database.count_vectors(MODEL) == 138
        assert verify(database) == []


@pytest.mark.parametrize("version", [0, 1, 10, 13])
def test_other_versions_are_refused_untouched(path: Path, version: int):
    change(path, f"PRAGMA user_version = {version}")
    before = path.read_bytes()
    with pytest.raises(BaseRefused, match="base of rekall"):
        Database(path)
    assert path.read_bytes() == before
    assert backups(path) == []


# --- when it goes wrong ---


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE entries SET status = 'archived' WHERE rowid = 60",
        "UPDATE links SET relation_type = 'likes' WHERE rowid = 9",
    ],
    ids=["an entry", "a link"],
)
def test_a_failure_midway_leaves_the_file_as_it_was_and_says_where_the_backup_is(path: Path, damage: str):
    change(path, damage)
    before = content(path)
    for attempt in (1, 2):  # twice in the same second, as an impatient user would
        with pytest.raises(BaseUnusable) as caught:
            Database(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
        assert content(path) == before, attempt
        named = [backup for backup in backups(path) if str(backup) in str(caught.value)]
        assert named
        assert content(named[0]) == before
    change(path, "UPDATE entries SET status = 'active'", "UPDATE links SET relation_type = 'related'")
    assert len(by_id(path)) == 120  # mended, it goes through


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("UPDATE entries SET context_blob = x'00ff' WHERE rowid = 2", {"context_blob_unread": "AP8="}),
        (
            "UPDATE entries SET context_structured = 'not json' WHERE rowid = 2",
            {"context_structured_unread": "not json"},
        ),
        ("UPDATE entries SET next_review = x'00ff' WHERE rowid = 2", {"next_review": "AP8="}),
        ("UPDATE entries SET title = ' ' WHERE rowid = 2", {}),
        ("UPDATE entries SET content = NULL WHERE rowid = 2", {}),
        ("INSERT INTO tags SELECT id, ' odd, tag ' FROM entries WHERE rowid = 2", {}),
        ("DELETE FROM entries WHERE rowid = 5", {}),  # leaves tags, links and vectors that point to nothing
        ("UPDATE embeddings SET vector = x'00' WHERE rowid = 3", {}),
    ],
)
def test_odd_rows_are_carried_as_far_as_they_can_be_read(path: Path, damage: str, says: dict[str, str]):
    change(path, damage)
    with Database(path) as database:
        entries = list(database.each())
        assert len(entries) == 120 - damage.startswith("DELETE")
        assert any(says.items() <= entry.extra.items() for entry in entries)
        assert all(entry.title.strip() for entry in entries)
        assert [finding for finding in verify(database) if finding.check != "references"] == []


OPEN = """
import sys
from pathlib import Path
from rekall.db import Database
print("ready", flush=True)
sys.stdin.readline()
with Database(Path(sys.argv[1])) as database:
    print(database.backup_before_migration is not None, database.count(), database.count_vectors("all-MiniLM-L6-v2"))
"""


def test_two_processes_that_open_the_same_old_base_at_once_carry_it_over_once(path: Path):
    command = [sys.executable, "-W", "error", "-c", OPEN, str(path)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    running = [subprocess.Popen(command, cwd=ROOT, text=True, **pipes) for _ in range(2)]
    for process in running:
        assert process.stdout.readline() == "ready\n"
    for process in running:
        process.stdin.write("go\n")
        process.stdin.flush()
    ended = sorted(process.communicate(timeout=60) for process in running)
    assert ended == [("False 120 138\n", ""), ("True 120 138\n", "")]
    assert len(backups(path)) == 1
    with Database(path) as database:
        assert verify(database) == []
