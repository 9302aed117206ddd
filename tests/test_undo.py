"""What was done can be taken back, whole, in order, and by whoever it was done; and nothing later is lost by that."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from running import Rekall, rekall_in
from warm import Warm

from rekall.db import Database
from rekall.entry import Entry, Link
from rekall.errors import NothingToUndo, UndoRefused
from rekall.verify import verify

STAMP = "2026-01-02T03:04:05.678Z"


@pytest.fixture
def rekall(home: dict[str, str]) -> Rekall:
    return rekall_in(home)


def entry(key: str, **fields: object) -> Entry:
    return Entry(**{"id": key, "type": "til", "title": key, "created_at": STAMP, "updated_at": STAMP, **fields})  # type: ignore[arg-type]


def state(database: Database) -> object:
    """Return all that somebody wrote: what an undo must bring back, but for times and counts of edits."""
    entries = [replace(one, updated_at="", revision=1) for one in database.each()]
    return entries, [database.links_from(one.id) for one in entries], database.imports()


def test_a_deleted_entry_comes_back_with_its_tags_links_and_the_note_it_came_from(database: Database) -> None:
    database.add_many([entry("a", tags=("x", "é"), errors=("boom",), extra={"k": [1]}), entry("b")])
    database.link(Link("a", "b", "related", "why", STAMP))
    database.link(Link("b", "a", "contradicts", None, STAMP))
    database.remember_imports([("/notes/a.md", "a", "digest")])
    before = state(database)
    database.delete("a")
    database.undo()
    assert state(database) == before and verify(database) == []


def test_undo_goes_back_deed_by_deed_and_its_number_brings_back(database: Database) -> None:
    states = [state(database)]
    for deed in (
        lambda: database.add(entry("a")),
        lambda: database.update(replace(database.get("a"), title="other", solution="this")),
        lambda: database.add_many([entry("b"), entry("c")]),
        lambda: database.link(Link("a", "b", "related", None, STAMP)),
        lambda: database.link(Link("a", "b", "related", "because", STAMP)),
        lambda: database.unlink("a", "b"),
        lambda: database.delete("a"),
    ):
        deed()
        states.append(state(database))
    numbers = []
    for wanted in reversed(states[:-1]):
        numbers.append(database.undo()[1])
        assert state(database) == wanted
    with pytest.raises(NothingToUndo):
        database.undo()
    for number, wanted in zip(reversed(numbers), states[1:], strict=True):
        database.undo(number)
        assert state(database) == wanted
    assert verify(database) == []


@given(st.lists(st.tuples(st.sampled_from(["add", "edit", "delete", "link", "undo"]), st.integers(0, 3)), max_size=14))
def test_any_order_of_deeds_and_undos_ends_where_it_began(deeds: list[tuple[str, int]]) -> None:
    with Database(None) as database:
        before: list[object] = []
        for kind, number in deeds:
            key, now = "abcd"[number], state(database)
            there = {one.id for one in database.each()}
            if kind == "add" and key not in there:
                database.add(entry(key))
            elif kind == "edit" and key in there:
                database.update(replace(database.get(key), title=database.get(key).title + "!"))
            elif kind == "delete" and key in there:
                database.delete(key)
            elif kind == "link" and {"a", "b"} <= there and not database.links_from("a"):
                database.link(Link("a", "b", "related", None, STAMP))
            elif kind == "undo" and before:
                database.undo()
                assert state(database) == before.pop()
                continue
            else:
                continue
            before.append(now)
        while before:
            database.undo()
            assert state(database) == before.pop()


@pytest.mark.parametrize("foreign_keys", ["ON", "OFF"])
def test_what_plain_sqlite3_did_is_undone_too(database: Database, foreign_keys: str) -> None:
    database.add_many([entry("a"), entry("b")])
    database.link(Link("a", "b", "related", None, STAMP))
    before = state(database)
    assert database.path
    with closing(sqlite3.connect(database.path)) as other:
        other.execute(f"PRAGMA foreign_keys = {foreign_keys}")
        other.execute("DELETE FROM entries WHERE id = 'a'")
        other.commit()
    database.undo()
    assert state(database) == before


def test_an_undo_that_would_lose_a_later_change_is_refused_and_does_nothing(database: Database) -> None:
    database.add_many([entry("a"), entry("b")])
    database.update(replace(database.get("b"), title="changed"))
    now = state(database)
    with pytest.raises(UndoRefused, match=r"entry b: it was changed since"):
        database.undo(1)
    assert state(database) == now
    with pytest.raises(NothingToUndo):
        database.undo(999)


def test_a_change_that_changes_nothing_is_no_deed(database: Database) -> None:
    database.add(entry("a"))
    database.update(replace(database.get("a"), updated_at="2026-02-02T00:00:00.000Z"))
    assert [deed.counts for deed in database.deeds(9)] == [{"added": 1}]


def test_history_is_kept_for_as_many_days_as_set(database: Database) -> None:
    database.add(entry("a"))
    database.connection.execute("UPDATE history SET at = '2020-01-01T00:00:00.000Z'")
    database.keep_history_days = 365
    database.add(entry("b"))
    assert [deed.entry_id for deed in database.deeds(9)] == ["b"]


def test_an_import_of_any_size_is_one_deed(rekall: Rekall) -> None:
    notes = rekall.cwd / "notes"
    notes.mkdir()
    for number in range(230):
        (notes / f"{number}.md").write_text(f"# note {number}\n\ntext\n")
    rekall("add", "til", "mine")
    assert rekall("import", str(notes), "--no-wait").status == 0
    answer = rekall("undo")
    assert answer.status == 0 and "230 added" in answer.errors
    assert [line.split()[-1] for line in rekall("list").output.splitlines()] == ["mine"]
    assert "added" in rekall("import", str(notes), "--no-wait").errors


def test_undo_and_history_at_the_prompt(rekall: Rekall) -> None:
    assert rekall("undo").status == 1 and rekall("history").status == 1
    key = rekall("add", "til", "first title", "-t", "x").output.strip()
    rekall("edit", key, "--title", "second title")
    rekall("delete", key)
    answer = rekall("undo")
    assert (answer.status, answer.output) == (0, "") and "second title" in answer.errors
    assert "- title: first title\n" in rekall("history", key[:12]).output.replace("    ", "")
    rekall("undo")
    assert json.loads(rekall("show", key, "--json").output)["title"] == "first title"
    deeds = json.loads(rekall("history", "--json").output)["deeds"]
    assert [(deed["undone"], bool(deed["undoes"])) for deed in deeds] == [(False, True)] * 2 + [(True, False)] * 2 + [(False, False)]  # fmt: skip
    changes = json.loads(rekall("history", key, "--json").output)["changes"]
    assert [change["kind"] for change in changes] == ["added", "changed", "deleted", "added", "changed"]
    assert changes[1]["before"]["title"] == "first title" and changes[1]["after"]["title"] == "second title"
    assert rekall("undo", "99").status == 1


def test_what_is_deleted_for_ever_leaves_no_byte_in_the_base(rekall: Rekall) -> None:
    key = rekall("add", "til", "marker-one", "-c", "qwertzuiop secretword").output.strip()
    rekall("edit", key, "-c", "asdfghjkl secretword")
    assert rekall("delete", key, "--forever").status == 0
    left = b"".join(path.read_bytes() for path in rekall.base.parent.iterdir())
    assert not [word for word in (b"secretword", b"marker-one", b"qwertzuiop") if word in left]
    assert rekall("history", key).status == 2 and rekall("index", "verify").status == 0


def test_a_warm_process_sees_an_undo_and_finds_by_meaning_what_came_back(warm: Warm) -> None:
    key = warm("add", "til", "the laptop does not wake up after closing the lid").output.strip()
    warm("add", "til", "bread needs salt")
    found: Callable[[], str] = lambda: warm("search", "--semantic", "notebook stays asleep", "-n", "1", "--tsv").output  # noqa: E731
    assert found().startswith(key)
    warm("delete", key)
    assert not found().startswith(key)
    assert warm("undo").status == 0
    assert found().startswith(key)
    assert warm("index", "verify").status == 0


def test_a_base_of_an_earlier_version_gets_a_history_from_its_first_change_on(tmp_path: Path) -> None:
    import shutil

    path = tmp_path / "old.db"
    shutil.copy(Path(__file__).parent / "data" / "rekall-v12.db", path)
    with Database(path) as database:
        assert database.deeds(9) == []
        before = state(database)
        database.delete(next(database.each()).id)
        database.undo()
        assert state(database) == before and verify(database) == []
