"""One base, many hands: transactions, other processes, and how each hears of the others."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from rekall import base_file
from rekall.db import Changes, Database, copy_base, sqlite3
from rekall.entry import Entry, Link
from rekall.errors import BaseUnusable, EntryNotFound
from rekall.verify import verify

MakeEntry = Callable[..., Entry]
ROOT = Path(__file__).parent.parent


# --- transactions ---


class Interrupted(Exception):
    """What a test raises in the middle of things."""


def test_a_transaction_happens_whole_or_not_at_all(database: Database, make_entry: MakeEntry):
    first = make_entry("first")
    database.add(first)
    revision = database.revision()
    with pytest.raises(Interrupted), database.transaction():
        database.add(make_entry("second"))
        database.update(make_entry("changed", id=first.id))
        with database.transaction():  # joins the outer one
            database.add(make_entry("third"))
        raise Interrupted
    assert database.entries() == [first]
    assert database.revision() == revision
    assert verify(database) == []


def test_ctrl_c_in_a_transaction_leaves_the_base_ready_for_the_next(database: Database, make_entry: MakeEntry):
    with pytest.raises(KeyboardInterrupt), database.transaction():
        database.add(make_entry())
        raise KeyboardInterrupt
    database.add(make_entry("next"))
    assert [e.title for e in database.entries()] == ["next"]


def test_words_still_answer_after_a_transaction_in_which_they_were_first_asked_failed(
    database: Database, make_entry: MakeEntry
):
    database.add(make_entry("walrus"))
    with pytest.raises(Interrupted), database.transaction():
        assert database.search_words("walrus", 5).found
        raise Interrupted
    assert database.search_words("walrus", 5).found


def test_listeners_hear_of_a_write_after_its_commit_and_never_of_one_undone(tmp_path: Path, make_entry: MakeEntry):
    path, heard = tmp_path / "rekall.db", []

    def listen(key: str) -> None:
        with Database(path) as other:  # what was heard can be read by everybody
            heard.append((key, [e.title for e in other.get_many([key])]))

    with Database(path, on_change=listen) as database:
        with database.transaction():
            database.add(make_entry("one", id="a"))
            assert heard == []
        assert heard == [("a", ["one"])]
        database.update(make_entry("two", id="a"))
        database.delete("a")
        assert heard[1:] == [("a", ["two"]), ("a", [])]
        with pytest.raises(Interrupted), database.transaction():
            database.add(make_entry("never", id="n"))
            raise Interrupted
        database.add(make_entry("later", id="b"))
        assert heard[3:] == [("b", ["later"])]


def test_a_base_that_cannot_be_written_now_is_an_error_with_a_next_step(database: Database, make_entry: MakeEntry):
    database.connection.execute("PRAGMA busy_timeout = 1")
    with closing(sqlite3.connect(database.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(BaseUnusable, match="busy"):
            database.add(make_entry())
        assert database.count() == 0  # readers do not wait for the writer
        other.execute("ROLLBACK")
    database.add(make_entry())


# --- links ---


def test_links_are_seen_from_both_ends_with_their_reason(database: Database, make_entry: MakeEntry):
    database.add_many([make_entry(id=key) for key in "abc"])
    database.link(Link("a", "b", "supersedes", "faster", "2020"))
    database.link(Link("c", "a", "related", None, "2021"))
    there = [Link("a", "b", "supersedes", "faster", "2020"), Link("c", "a", "related", None, "2021")]
    assert database.links_of("a") == there
    assert database.links_of("b") == there[:1]
    assert database.links_from("a") == there[:1]
    assert database.count_links() == 2


def test_a_link_made_again_gets_the_new_reason(database: Database, make_entry: MakeEntry):
    database.add_many([make_entry(id=key) for key in "ab"])
    for reason in ("old", "new"):
        database.link(Link("a", "b", "related", reason))
    assert [link.reason for link in database.links_of("a")] == ["new"]


def test_unlink_removes_one_relation_or_all_of_one_direction(database: Database, make_entry: MakeEntry):
    database.add_many([make_entry(id=key) for key in "ab"])
    for source, target, relation in (("a", "b", "related"), ("a", "b", "contradicts"), ("b", "a", "related")):
        database.link(Link(source, target, relation))
    assert database.unlink("a", "b", "contradicts") == 1
    assert database.unlink("a", "b") == 1
    assert database.unlink("a", "b") == 0
    assert [(link.source, link.relation) for link in database.links_of("a")] == [("b", "related")]


def test_a_link_needs_two_entries_and_a_known_relation(database: Database, make_entry: MakeEntry):
    database.add_many([make_entry(id=key) for key in "ab"])
    with pytest.raises(EntryNotFound, match="gone"):
        database.link(Link("a", "gone", "related"))
    for wrong in (Link("a", "a", "related"), Link("a", "b", "likes")):
        with pytest.raises(BaseUnusable):
            database.link(wrong)
    assert database.count_links() == 0


# --- what changed ---


def test_another_connections_writes_are_named_since_a_revision(database: Database, make_entry: MakeEntry):
    with Database(database.path) as other:
        database.add_many([make_entry(id=key) for key in "abc"])
        before = other.revision()
        assert other.changes_since(before) == Changes(before, frozenset(), frozenset())
        database.update(make_entry("new", id="a"))
        database.delete("b")
        database.add(make_entry(id="d"))
        changes = other.changes_since(before)
        assert changes == Changes(database.revision(), frozenset("ad"), frozenset("b"))
        assert other.changes_since(changes.revision).written == frozenset()


def test_a_write_undone_is_no_change(database: Database, make_entry: MakeEntry):
    before = database.revision()
    with pytest.raises(Interrupted), database.transaction():
        database.add(make_entry())
        raise Interrupted
    assert database.changes_since(before) == Changes(before, frozenset(), frozenset())


# --- processes ---

ADD = """
import sys
from pathlib import Path
from rekall.db import Database
from rekall.entry import Entry, now
who, count = sys.argv[2], int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
with Database(Path(sys.argv[1])) as database:
    for i in range(count):
        entry = Entry(id=f"{who}-{i}", type="til", title=f"word{who} {i}", tags=(who,), created_at=now(), updated_at=now())
        database.add(entry)
"""


def together(script: str, *arguments: list[str]) -> list[tuple[int, str]]:
    """Run a process for each list of arguments, all let go at the same moment; return (status, stderr) of each."""
    running = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", script, *each],
            cwd=ROOT,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for each in arguments
    ]
    for process in running:
        assert process.stdout and process.stdout.readline() == "ready\n"
    for process in running:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    return [(process.wait(), err) for process, err in [(p, p.communicate(timeout=90)[1]) for p in running]]


def test_four_processes_adding_at_once_lose_nothing(tmp_path: Path):
    path = tmp_path / "rekall.db"  # not there yet: they race to make it, too
    ended = together(ADD, *([str(path), who, "200"] for who in "abcd"))
    assert ended == [(0, "")] * 4
    with Database(path) as database:
        assert sorted(database.ids()) == sorted(f"{who}-{i}" for who in "abcd" for i in range(200))
        assert database.counts_by("tag") == dict.fromkeys("abcd", 200)
        assert database.revision() >= 800
        assert len(database.search_words("worda", 999).found) == 200
        assert verify(database) == []


class Overtaken:
    """A connection that lets another process in, once, just before its nth statement outside a transaction."""

    def __init__(self, connection: sqlite3.Connection, statements: int, intrude: Callable[[], None]) -> None:
        self._connection = connection
        self._left = statements
        self._intrude = intrude

    def execute(self, sql: str, parameters: object = ()) -> object:
        self._left -= 1
        if self._left == 0 and not self._connection.in_transaction:
            self._intrude()
        return self._connection.execute(sql, parameters)

    def executemany(self, sql: str, parameters: object) -> object:
        return self._connection.executemany(sql, parameters)


@pytest.mark.parametrize("statements", range(1, 12))
@pytest.mark.parametrize("there", ["nothing", "an older base"])
def test_a_base_that_another_process_makes_meanwhile_is_used_not_refused(tmp_path: Path, there: str, statements: int):
    """Two processes start on a fresh machine; one finishes while the other still looks what is there."""
    path = tmp_path / "rekall.db"
    if there == "an older base":
        shutil.copy(ROOT / "tests" / "data" / "rekall-v11.db", path)
    base_file.prepare(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        overtaken = Overtaken(connection, statements, lambda: Database(path).close())
        base_file.settle(overtaken, path, lambda: _immediate(connection), copy_base)  # type: ignore[arg-type]
    with Database(path) as database:
        assert database.count() == (120 if there == "an older base" else 0)
        assert verify(database) == []
    assert len(list(tmp_path.glob("*.bak"))) == (there == "an older base")


class _immediate:
    """Database.transaction, over a bare connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, *_rest: object) -> None:
        self._connection.execute("ROLLBACK" if kind else "COMMIT")


def test_a_reader_sees_whole_transactions_only(tmp_path: Path, make_entry: MakeEntry):
    path = tmp_path / "rekall.db"
    with Database(path) as writer, Database(path) as reader:
        done = threading.Event()
        counts: list[int] = []

        def read() -> None:
            while not done.is_set():
                counts.append(reader.count())

        thread = threading.Thread(target=read)
        thread.start()
        for _ in range(20):
            writer.add_many([make_entry() for _ in range(10)])
        done.set()
        thread.join(30)
        assert counts == sorted(counts)
        assert {count % 10 for count in counts} == {0}


def test_a_copy_made_while_others_write_is_whole_and_private(database: Database, tmp_path: Path, make_entry: MakeEntry):
    database.add_many([make_entry("walrus") for _ in range(50)])
    assert database.path
    copy_base(database.path, tmp_path / "copy.db")
    assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600
    assert sorted(p.name for p in tmp_path.iterdir()) == ["base", "copy.db"]
    with Database(tmp_path / "copy.db") as copy:
        assert copy.entries() == database.entries()
        assert verify(copy) == []
