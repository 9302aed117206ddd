"""Fingerprints: what stays of an error line whatever it was about, and how they are kept with entries."""

from __future__ import annotations

import os
import sqlite3 as _sqlite3
import string
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekall import error_table
from rekall import fingerprint as module
from rekall.db import Database, sqlite3
from rekall.entry import Entry
from rekall.error_marks import Mark
from rekall.fingerprint import Fingerprint, as_question, fingerprint, names, of_entry
from rekall.query import Filters
from rekall.verify import rebuild, verify

MakeEntry = Callable[..., Entry]
any_text = st.text(alphabet=st.characters(exclude_categories=()), max_size=200)

# --- what stays ---


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("main.c:9:1: error: unknown type name 'u8'", "error unknown type name"),
        (r"C:\src\a.cpp(12,3): error C2182: 'n': illegal use", "error illegal use [C2182]"),
        ("src/a.rs:3:4 error[E0382]: borrow of moved value: `names`", "error borrow of moved value [E0382]"),
        ("OSError: [Errno 24] Too many open files: '/tmp/x'", "oserror too many open files [errno 24]"),
        ("Error: connect ECONNREFUSED 127.0.0.1:5432", "error connect [ECONNREFUSED]"),
        ("npm ERR! code E404", "npm err code [E404]"),
        ("curl: (7) Failed to connect to 10.0.0.1 port 80", "failed to connect to port [curl 7]"),
        ("Command failed with exit code 137", "command failed with exit [code 137]"),
        ('ERROR:  relation "users" does not exist', "error relation does not exist"),
        ("ORA-00942: table or view does not exist", "table or view does not exist [ORA-00942]"),
        ("bash: line 7: 4242 Segmentation fault      ./till", "bash line segmentation fault"),
        ("panic at 0xdeadbeef in 5f3a9c1e7b2d4f60 (pid 8812)", "panic at in pid"),
        ("2026-11-25T07:01:02Z cannot reach db-7.internal:5432", "cannot reach db"),
        ("rm: build: Is a directory", "rm is a directory"),
        ("cat: nosuch.txt: No such file or directory", "cat no such file or directory"),
        ("bash: kubectl: command not found", "bash kubectl command not found"),
        ("error: 'everything stands between quotes'", "error everything stands between quotes"),
        ("Can’t open", "can't open"),
        ("", ""),
        ("12 34 /a/b 'x'", ""),
    ],
)
def test_what_stays_of_a_line(line: str, text: str) -> None:
    assert fingerprint(line).text == text


@given(any_text)
def test_the_fingerprint_of_a_fingerprint_is_itself(line: str) -> None:
    once = fingerprint(line)
    assert fingerprint(once.text) == once
    assert Fingerprint.of_text(once.text) == once
    assert 0 <= once.key < 2**63


word = st.text(string.ascii_letters, min_size=1, max_size=12)
number = st.integers(10, 10**9)
VARYING = {
    "path": st.lists(word, min_size=2, max_size=5).map(lambda parts: "/" + "/".join(parts)),
    "place": st.tuples(word, number, number).map(lambda t: f"{t[0]}.c:{t[1]}:{t[2]}"),
    "quoted": word.map(lambda name: f"'{name}'"),
    "number": number.map(str),
    "address": number.map(hex),
    "hash": st.integers(16**11, 16**12 - 1).map(lambda n: f"{n:x}"),
    "host and port": st.tuples(*[st.integers(0, 255)] * 4, st.integers(1, 65535)).map(
        lambda t: f"{t[0]}.{t[1]}.{t[2]}.{t[3]}:{t[4]}"
    ),
    "url": st.tuples(word, word).map(lambda t: f"https://{t[0]}.example/{t[1]}?x=1"),
    "version": st.tuples(number, number).map(lambda t: f"v{t[0]}.{t[1]}.0-rc1"),
    "time": st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
    "uuid": st.uuids().map(str),
}


@pytest.mark.parametrize("kind", VARYING)
@given(data=st.data())
def test_what_a_line_is_about_leaves_its_fingerprint_as_it_is(kind: str, data: st.DataObject) -> None:
    one, other = data.draw(VARYING[kind]), data.draw(VARYING[kind])
    line = "error: could not reserve {} for the upstream basket"
    assert fingerprint(line.format(one)) == fingerprint(line.format(other))
    assert fingerprint(line.format(one)).words[:4] == ("error", "could", "not", "reserve")


def test_keys_are_the_same_on_every_machine_and_belong_to_this_version() -> None:
    """A change of these numbers means another FINGERPRINT_VERSION: bases hold them."""
    lines = ("error[E0382]: borrow of moved value: `x`", "KeyError: 'port'", "ENOENT: no such file, open '/a/b'")
    assert module.FINGERPRINT_VERSION == 1
    assert [fingerprint(line).key for line in lines] == [3455401907390390533, 755519913426777201, 4537376703297203882]


@pytest.mark.parametrize(
    ("line", "question"),
    [
        ("src/main.c:3:10: fatal error: openssl/ssl.h: No such file", "fatal error: ssl.h: No such file"),
        (r"C:\src\a.cpp(12): error C2182: 'n'", "error C2182: 'n'"),
        ("ValueError: x", "ValueError: x"),
    ],
)
def test_a_line_is_asked_about_without_its_place_and_folders(line: str, question: str) -> None:
    assert as_question(line) == question


def test_names_are_what_a_fingerprint_leaves_out() -> None:
    assert names("error E0382: use of 'basket' in src/till.rs:12") == {"basket", "src", "till.rs", "12"}


# --- of an entry ---


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        (("error: one\nb.c:1: error: two",), [("error one", 0, Mark.NAMED), ("error two", 0, Mark.NAMED)]),
        (("error: one", "fatal: two"), [("error one", 0, Mark.NAMED), ("fatal two", 1, Mark.NAMED)]),
        (("error: one\nmake: *** [all] Error 2",), [("error one", 0, Mark.NAMED)]),
        (("make: *** [all] Error 2",), [("make all error", 0, Mark.ECHO)]),
        (("warning: one",), [("warning one", 0, Mark.WARNING)]),
        (("nothing here shows\nthat it went awry",), [("nothing here shows", 0, 0), ("that it went awry", 0, 0)]),
        (("\x1b[31merror:\x1b[0m coloured",), [("error coloured", 0, Mark.NAMED)]),
        (("12",), []),
    ],
)
def test_the_causes_of_an_error_text_are_kept(
    errors: tuple[str, ...], expected: list[tuple[str, int, int]], make_entry: MakeEntry
) -> None:
    found = [(error.fingerprint.text, error.part, error.mark) for error in of_entry(make_entry("t", errors=errors))]
    assert found == expected


def test_errors_that_stand_in_an_entrys_prose_are_told(make_entry: MakeEntry) -> None:
    entry = make_entry(
        "error: in the title", "Prose about an error.\n\n```\nfatal: in a block\n```\n> KeyError: quoted", solution="no"
    )
    assert [(error.fingerprint.text, error.part) for error in of_entry(entry)] == [
        ("error in the title", -1),
        ("fatal in a block", -1),
        ("keyerror quoted", -1),
    ]


# --- in the base ---


@pytest.fixture
def plain(database: Database) -> Iterator[_sqlite3.Connection]:
    """Return a connection to the base as the sqlite3 shell opens it."""
    assert database.path
    with closing(sqlite3.connect(database.path, isolation_level=None)) as connection:
        yield connection


def holding(database: Database, line: str, filters: Filters | None = None) -> list[str]:
    return [one.id for one in database.errors_with([fingerprint(line)], filters)]


def insert(plain: _sqlite3.Connection, key: str, errors: str) -> None:
    plain.execute(
        "INSERT INTO entries(id, type, title, errors, created_at, updated_at) VALUES (?, 'bug', 't', ?, 'x', 'x')",
        (key, errors),
    )


def test_an_error_is_looked_up_whatever_it_was_about(database: Database, make_entry: MakeEntry) -> None:
    database.add_many(
        [make_entry(id="a", errors=("error: cannot open 'x'",)), make_entry(id="b", errors=("fatal: no",))]
    )
    database.read_errors()
    assert holding(database, "error: cannot open 'y'") == ["a"]
    assert holding(database, "error: cannot open 'y'", Filters(types=("decision",))) == []
    assert [one.id for one in database.errors_like(fingerprint("error: cannot ever open 'z'"), 5)] == ["a"]


def test_what_plain_sqlite_writes_waits_and_is_seen_all_the_same(
    database: Database, make_entry: MakeEntry, plain: _sqlite3.Connection
) -> None:
    database.add(make_entry(id="a", errors=("error: old text",)))
    database.read_errors()
    insert(plain, "b", "[\"error: cannot open 'x'\"]")
    plain.execute("UPDATE entries SET errors = '[\"error: new text\"]' WHERE id = 'a'")
    assert database.count_unread() == 2
    assert {one.id for one in database.unread_errors()} == {"a", "b"}
    assert verify(database) == []  # what waits is no drift
    assert holding(database, "error: old text") == []
    assert database.read_errors() == 2
    assert (holding(database, "error: new text"), holding(database, "error: cannot open 'y'")) == (["a"], ["b"])
    assert (database.count_unread(), verify(database)) == (0, [])
    plain.execute("DELETE FROM entries WHERE id = 'a'")
    assert holding(database, "error: new text") == []
    assert verify(database) == []


def test_a_change_that_leaves_the_text_alone_makes_nothing_wait(database: Database, make_entry: MakeEntry) -> None:
    entry = make_entry(id="a", errors=("error: x y",))
    database.add(entry)
    database.read_errors()
    database.connection.execute("UPDATE entries SET status = 'obsolete' WHERE id = 'a'")
    assert (database.count_unread(), holding(database, "error: x y")) == (0, ["a"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_whoever_may_not_write_reads_all_the_same(database: Database, make_entry: MakeEntry) -> None:
    database.add(make_entry(id="a", errors=("error: x y",)))
    assert database.path
    path = Path(database.path)
    path.chmod(0o400)
    assert [one.id for one in database.unread_errors()] == ["a"]


def test_no_reader_of_waiting_entries_needs_the_lock(database: Database, make_entry: MakeEntry) -> None:
    database.add(make_entry(id="a", errors=("error: x y",)))
    assert database.path
    with Database(database.path) as other, other.transaction():  # another process holds it
        assert [one.id for one in database.unread_errors()] == ["a"]
        assert holding(database, "error: x y") == []


def test_damage_is_seen_and_mended_by_a_rebuild(database: Database, make_entry: MakeEntry) -> None:
    database.add_many([make_entry(id="a", errors=("error: x y",)), make_entry(id="b", errors=("fatal: x z",))])
    database.read_errors()
    database.connection.execute("UPDATE fingerprints SET text = 'other' WHERE entry_rowid = 1")
    assert [finding.check for finding in verify(database)] == ["fingerprints"]
    rebuild(database, "m")
    assert verify(database) == []
    database.connection.execute("INSERT INTO fingerprints_fts(fingerprints_fts) VALUES ('delete-all')")
    assert [finding.check for finding in verify(database)] == ["fingerprints"]
    rebuild(database, "m")
    assert (verify(database), holding(database, "error: x y")) == ([], ["a"])


def test_fingerprints_of_another_version_are_made_anew(
    database: Database, make_entry: MakeEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.add(make_entry(id="a", errors=("error: x y",)))
    database.read_errors()
    monkeypatch.setattr(error_table, "FINGERPRINT_VERSION", module.FINGERPRINT_VERSION + 1)
    assert holding(database, "error: x y") == []  # what another version made is not believed
    assert database.count_unread() == 1
    assert database.read_errors() == 1
    assert (holding(database, "error: x y"), database.count_unread()) == (["a"], 0)


def test_a_failing_batch_leaves_its_entries_in_the_queue(
    database: Database, make_entry: MakeEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.add(make_entry(id="a", errors=("error: x y",)))

    def broken(_entry: Entry) -> list[module.ErrorText]:
        raise RuntimeError

    monkeypatch.setattr(module, "of_entry", broken)
    with pytest.raises(RuntimeError):
        database.read_errors()
    monkeypatch.undo()
    assert database.count_unread() == 1
    assert database.read_errors() == 1


def test_a_look_up_reads_the_index_and_no_table(database: Database) -> None:
    plan = database.connection.execute("EXPLAIN QUERY PLAN SELECT text FROM fingerprints f WHERE f.key = 1").fetchall()
    assert "USING INDEX fingerprints_key" in " ".join(str(row) for row in plan)
