"""The base: one file, any number of processes, nothing lost."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from rekall import schema
from rekall.db import Database, sqlite3  # the same library: two in one process drop each other's locks
from rekall.entry import Entry, Link
from rekall.errors import BaseRefused, BaseUnusable, EntryNotFound, RekallError
from rekall.query import Filters
from rekall.verify import verify

MakeEntry = Callable[..., Entry]


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def entry_named(key: str, **fields: object) -> Entry:
    stamp = "2026-01-02T03:04:05.678Z"
    values = {"type": "til", "title": f"title of {key}", "created_at": stamp, "updated_at": stamp}
    return Entry(id=key, **(values | fields))  # type: ignore[arg-type]


# --- the file ---


def test_a_new_base_and_its_folder_are_the_users_alone(tmp_path: Path):
    old = os.umask(0)
    try:
        with Database(tmp_path / "a" / "b" / "rekall.db") as database:
            database.add(entry_named("a"))
            files = sorted(path.name for path in (tmp_path / "a" / "b").iterdir())
            assert files == ["rekall.db", "rekall.db-shm", "rekall.db-wal"]
            assert {mode(path) for path in (tmp_path / "a" / "b").iterdir()} == {0o600}
            assert mode(tmp_path / "a" / "b") == 0o700
    finally:
        os.umask(old)


def test_a_base_made_through_a_dangling_link_is_the_users_alone(tmp_path: Path):
    (tmp_path / "rekall.db").symlink_to(tmp_path / "real.db")
    old = os.umask(0o022)
    try:
        Database(tmp_path / "rekall.db").close()
    finally:
        os.umask(old)
    assert mode(tmp_path / "real.db") == 0o600


def test_a_base_is_in_wal_mode_with_foreign_keys_and_patience(database: Database):
    assert database.connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert database.connection.execute("PRAGMA foreign_keys").fetchone()[0] == 1
    assert database.connection.execute("PRAGMA busy_timeout").fetchone()[0] >= 5000


def test_a_base_that_does_not_exist_answers_empty_and_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with Database(None) as database:
        assert (database.count(), database.entries(), database.search_words("x", 5).found) == (0, [], [])
        assert database.get_all_vectors_batch("m")[0] == []
        with pytest.raises(EntryNotFound):
            database.get("a")
    assert list(tmp_path.iterdir()) == []


def test_reading_writes_nothing(database: Database, tmp_path: Path):
    database.add_many([entry_named(f"e{i}", tags=("x",)) for i in range(5)])
    database.close()
    assert database.path
    before = database.path.read_bytes()
    with Database(database.path) as again:
        revision = again.revision()
        again.entries(Filters(tags=("x",)))
        again.search_words("title", 5)
        again.resolve("e1")
        again.links_of("e1")
        again.pending("m", "1", 5)
        again.changes_since(0)
        assert again.revision() == revision
    assert database.path.read_bytes() == before


def sqlite_file(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


REFUSED: dict[str, tuple[str, Callable[[Path], object]]] = {
    "newer": (
        "newer",
        lambda path: (
            Database(path).close(),
            sqlite_file(path, f"PRAGMA user_version = {schema.VERSION + 1}"),
        ),
    ),
    "foreign": ("no base of rekall", lambda path: sqlite_file(path, "CREATE TABLE t (x)", "PRAGMA user_version = 3")),
    "foreign, unversioned": ("no base of rekall", lambda path: sqlite_file(path, "CREATE TABLE t (x)")),
    "foreign with our number": (
        "no base of rekall",
        lambda path: sqlite_file(path, "CREATE TABLE entries (x)", "PRAGMA user_version = 11"),
    ),
    "other application": (
        "no base of rekall",
        lambda path: sqlite_file(path, "PRAGMA application_id = 77", "PRAGMA user_version = 12", "CREATE TABLE t (x)"),
    ),
    "text": ("no SQLite file", lambda path: path.write_text("a shopping list\n" * 100)),
    "short text": ("no SQLite file", lambda path: path.write_text("milk")),
}


@pytest.mark.parametrize(("why", "make"), REFUSED.values(), ids=REFUSED)
def test_a_file_that_is_no_base_of_ours_is_refused_untouched(tmp_path: Path, why: str, make: Callable[[Path], object]):
    path = tmp_path / "some.db"
    make(path)
    before = path.read_bytes()
    with pytest.raises(BaseRefused, match=why) as caught:
        Database(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["some.db"]


def test_a_folder_in_the_place_of_the_base_is_an_error_that_names_it(tmp_path: Path):
    with pytest.raises(RekallError, match=str(tmp_path)):
        Database(tmp_path)


def test_a_folder_that_cannot_be_made_is_an_error_that_names_the_base(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(BaseUnusable, match=r"rekall\.db"):
        Database(tmp_path / "file" / "rekall.db")


def test_a_damaged_base_is_an_error_that_names_it(tmp_path: Path):
    path = tmp_path / "rekall.db"
    with Database(path) as database:
        database.add_many([entry_named(f"e{i}", content="x" * 500) for i in range(50)])
    damaged = bytearray(path.read_bytes())
    damaged[4096 * 2 :] = b"\xaa" * (len(damaged) - 4096 * 2)
    path.write_bytes(damaged)
    with pytest.raises(BaseUnusable, match=r"rekall\.db"), Database(path) as database:
        database.entries()


# --- entries ---


FULL = {
    "content": "c\n\x7f'\";--",
    "tags": ("a", "é ü"),
    "project": "p",
    "status": "obsolete",
    "superseded_by": "other",
    "situation": "s",
    "solution": "l",
    "what_failed": "w",
    "errors": ('say "x"\nline', "\\n"),
    "files": ("/a b/c",),
    "source": "https://x",
    "created_at": "2020-01-01T00:00:00",
    "updated_at": "2021",
    "revision": 4,
    "extra": {"ü": [1, None, {"x": 1.5}], "confidence": 3},
}


def test_an_entry_comes_back_as_it_was_given(database: Database):
    entry = entry_named("a", **FULL)
    database.add(entry)
    assert database.get("a") == entry
    with Database(database.path) as again:
        assert again.get("a") == entry


def test_an_update_replaces_every_field_and_counts_the_edit(database: Database):
    database.add(entry_named("a"))
    database.update(entry_named("a", **FULL | {"revision": 1}))
    assert database.get("a") == entry_named("a", **FULL | {"revision": 2})


def test_a_revision_never_goes_back_whoever_writes_last(database: Database):
    database.add(entry_named("a"))
    mine, yours = database.get("a"), database.get("a")
    seen = []
    for text, entry in (("one", mine), ("two", yours), ("three", mine)):
        database.update(replace(entry, content=text))
        seen.append(database.get("a").revision)
    assert seen == sorted(set(seen))  # else vectors of an older text could be stored: they go by the revision


def test_an_entry_that_is_gone_cannot_be_read_changed_or_deleted(database: Database):
    database.add(entry_named("a"))
    database.delete("a")
    for deed in (
        lambda: database.get("a"),
        lambda: database.update(entry_named("a")),
        lambda: database.delete("a"),
        lambda: database.link(Link("a", "a", "related")),
    ):
        with pytest.raises(EntryNotFound, match="a"):
            deed()


def test_a_delete_takes_tags_links_and_vectors_along(database: Database):
    database.add_many([entry_named("a", tags=("x",)), entry_named("b")])
    database.link(Link("a", "b", "related"))
    database.link(Link("b", "a", "contradicts"))
    database.delete("a")
    assert (database.links_of("b"), database.counts_by("tag"), database.ids()) == ([], {}, ["b"])
    assert verify(database) == []


def test_an_id_that_is_taken_is_refused_and_the_first_entry_stays(database: Database):
    database.add(entry_named("a", content="first"))
    with pytest.raises(BaseUnusable):
        database.add(entry_named("a", content="second"))
    with database.transaction(), pytest.raises(BaseUnusable):  # the same error within a wider transaction
        database.add(entry_named("a", content="third"))
    assert database.get("a").content == "first"


def test_many_entries_are_stored_all_or_none(database: Database):
    with pytest.raises(BaseUnusable):
        database.add_many([entry_named("a"), entry_named("b"), entry_named("a")])
    assert database.count() == 0


def test_entries_come_newest_first_and_in_the_order_asked_for(database: Database):
    database.add_many([entry_named(f"e{i}", created_at=f"2026-01-0{i}T00:00:00Z") for i in (2, 3, 1)])
    assert [e.id for e in database.entries()] == ["e3", "e2", "e1"]
    assert [e.id for e in database.entries(limit=1)] == ["e3"]
    assert [e.id for e in database.get_many(["e1", "gone", "e3", "e1"])] == ["e1", "e3", "e1"]
    assert [e.id for e in database.each()] == ["e1", "e2", "e3"]


def test_each_and_get_many_reach_beyond_one_batch(database: Database):
    keys = [f"e{i:04}" for i in range(1203)]
    database.add_many([entry_named(key) for key in keys])
    assert [e.id for e in database.each()] == keys
    assert [e.id for e in database.get_many(keys)] == keys


@pytest.mark.parametrize(
    ("filters", "ids"),
    [
        (Filters(), "abcd"),
        (Filters(types=("bug",)), "a"),
        (Filters(types=("bug", "til")), "abd"),
        (Filters(tags=("x",)), "ab"),
        (Filters(tags=("x", "z")), "abc"),
        (Filters(tags=("x",), types=("til",)), "b"),
        (Filters(projects=("p",)), "ac"),
        (Filters(since="2026-01-02T00:00:00"), "bcd"),
        (Filters(until="2026-01-02T00:00:00"), "a"),
        (Filters(since="2026-01-02T00:00:00", until="2026-01-03T00:00:00"), "b"),
        (Filters(since="2026-01-04T00:00:00"), "d"),
        (Filters(status="obsolete"), "d"),
        (Filters(tags=("X",)), ""),
        (Filters(projects=("'; DROP TABLE entries; --",)), ""),
    ],
)
def test_filters(database: Database, filters: Filters, ids: str):
    database.add_many(
        [
            entry_named("a", type="bug", tags=("x", "y"), project="p", created_at="2026-01-01T23:59:59.999Z"),
            entry_named("b", tags=("x",), created_at="2026-01-02T00:00:00.000Z"),
            entry_named("c", type="pattern", tags=("z",), project="p", created_at="2026-01-03T00:00:00.000Z"),
            entry_named("d", status="obsolete", created_at="2026-01-04T00:00:00"),  # naive, as an older base wrote
        ]
    )
    assert sorted(database.ids(filters)) == list(ids) == sorted(e.id for e in database.entries(filters))
    assert database.count(filters) == len(ids)
    assert sorted(key for key, _ in database.search_words("title", 9, filters).found) == list(ids)


# --- ids ---


@pytest.mark.parametrize(
    ("prefix", "key"),
    [
        ("01ABC", "01ABCDEF"),
        ("01abc", "01ABCDEF"),
        ("01ABCDEF", "01ABCDEF"),
        ("note", "note"),
        ("note-", "note-2"),
        ("_x", "_x"),
    ],
)
def test_a_unique_prefix_is_enough(database: Database, prefix: str, key: str):
    database.add_many([entry_named(k) for k in ("01ABCDEF", "01ABD", "note", "note-2", "_x")])
    assert database.resolve(prefix) == key


@pytest.mark.parametrize("prefix", ["01AB", "", "zzz", "%", "no te", "note-3", "é", "\x00", "01abcdefg", "n" * 1000])
def test_a_prefix_of_none_or_of_several_is_an_error_that_repeats_it(database: Database, prefix: str):
    database.add_many([entry_named(k) for k in ("01ABCDEF", "01ABD", "note", "note-2")])
    with pytest.raises(EntryNotFound) as caught:
        database.resolve(prefix)
    assert prefix in str(caught.value)


def test_every_short_id_finds_its_entry_again(database: Database):
    keys = ["01AAAAAAAAAA", "01AAAAAAAAAB", "01AAAAAB", "x", "xy", "z" * 64, "01aaaaaaaaaa"]
    database.add_many([entry_named(key) for key in keys])
    short = database.short_ids(keys)
    assert [database.resolve(short[key]) for key in keys] == keys
    assert short["z" * 64] == "z" * 6
    assert len(short["01AAAAAAAAAA"]) == 12
