"""A damaged base is found, named, and the way back offered; and no command shows a traceback, whatever lies there.

Every kind of damage is done to the bytes of a real base with a backup beside it; every command is run on it, with the
warm process and without. `index verify --repair` and `restore` then bring it back.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random

import pytest
from running import Answer, unmount
from story import held
from warm import Cold, Warm, rounds

from rekall.backups import of_base
from rekall.db import Database, copy_base
from rekall.restoring import restore
from rekall.verify import verify

PAGE = 4096

COMMANDS = (
    ("list",),
    ("search", "--words", "nginx"),
    ("search", "keepalive", "timeout"),
    ("search", "--semantic", "proxy"),
    ("similar", "cpp-1"),
    ("show", "undo"),
    ("history",),
    ("history", "undo"),
    ("stats",),
    ("index", "status"),
    ("index", "verify", "--json"),
    ("export",),
    ("add", "til", "something new"),
    ("edit", "undo", "--title", "another"),
    ("tag", "undo", "+x"),
    ("link", "cpp-1", "cpp-2"),
    ("unlink", "cpp-1", "cpp-2"),
    ("undo",),
    ("delete", "cpp-2"),
    ("backup",),
    ("doctor",),
    ("import", "notes", "--no-wait"),
    ("index", "rebuild"),
)


def flip(place: float) -> Callable[[Path], None]:
    """Return what flips a byte at this part of the file."""

    def damage(base: Path) -> None:
        data = bytearray(base.read_bytes())
        data[int(place * (len(data) - 1))] ^= 0xFF
        base.write_bytes(data)

    return damage


def by_hand(*statements: str) -> Callable[[Path], None]:
    """Return what runs SQL that nobody should."""

    def damage(base: Path) -> None:
        with closing(sqlite3.connect(base)) as connection:
            connection.execute("PRAGMA writable_schema = ON")
            for statement in statements:
                connection.execute(statement)
            connection.commit()

    return damage


def truncated(part: float) -> Callable[[Path], None]:
    return lambda base: os.truncate(base, int(base.stat().st_size * part))


def emptied(base: Path) -> None:
    os.truncate(base, 0)
    os.utime(base, (1, 1))


DAMAGES: dict[str, Callable[[Path], None]] = {
    "zero length": emptied,
    "no database": lambda base: base.write_text("this is no database at all\n" * 99),
    "another program's": lambda base: (base.unlink(), by_hand("CREATE TABLE theirs(x)")(base)),  # type: ignore[dict-item]
    "half": truncated(0.5),
    "a tenth": truncated(0.1),
    "one page": truncated(0.005),
    "head": flip(0.0),
    "page size": lambda base: _write(base, 16, b"\x00\x07"),
    "first page": lambda base: _write(base, 100, b"\xff" * 200),
    "zeros in the middle": lambda base: _write(base, base.stat().st_size // 2, bytes(8 * PAGE)),
    "state emptied": by_hand("DELETE FROM state"),
    "state of text": by_hand("UPDATE state SET value = 'many'"),
    "vec_state altered": by_hand("CREATE TABLE IF NOT EXISTS vec_state(x)", "DELETE FROM vec_state"),
    "words dropped": by_hand("DROP TABLE entries_fts"),
    "a part of the words dropped": by_hand("DROP TABLE entries_fts_data"),
    "words emptied": by_hand("INSERT INTO entries_fts(entries_fts) VALUES ('delete-all')"),
    "a trigger dropped": by_hand("DROP TRIGGER entries_rewritten"),
    "history dropped": by_hand("DROP TABLE history"),
    "fingerprints dropped": by_hand("DROP TABLE fingerprints"),
    "vectors cut": by_hand("UPDATE embeddings SET vector = x'00'"),
    "vectors long": by_hand("UPDATE embeddings SET vector = zeroblob(length(vector))"),
    "tags of nobody": by_hand("INSERT INTO tags VALUES (999, 'x')"),
    "no text": by_hand("UPDATE entries SET content = CAST(x'ff41' AS TEXT) WHERE id = 'undo'"),
    "no JSON": by_hand(
        "PRAGMA ignore_check_constraints = ON", "DROP TRIGGER entries_retagged", "DROP TRIGGER entries_rewritten",
        "UPDATE entries SET tags = '[\"a' WHERE id = 'undo'",
    ),
}  # fmt: skip
# Everything is there and readable: SQLite, or we, cannot know that something was done to it.
FOREIGN = ("another program's",)


def _write(base: Path, place: int, data: bytes) -> None:
    with base.open("r+b") as file:
        file.seek(place)
        file.write(data)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a base of some size, closed, with vectors and a history."""
    import numpy as np
    from running import NOTED

    from rekall.config import DEFAULT_MODEL
    from rekall.engine import RECIPE
    from rekall.entry import Entry
    from rekall.vectors import unit_rows

    path = tmp_path_factory.mktemp("whole") / "rekall.db"
    with Database(path) as database:
        stamp = "2026-01-02T03:04:05.678Z"
        for fields in NOTED:
            database.add(Entry(**{"type": "til", "created_at": stamp, "updated_at": stamp, **fields}))
        database.add_many(
            [
                Entry(
                    id=f"n-{n}", type="bug", title=f"nginx note {n}", content="a word or two é " * 40,
                    errors=(f"ValueError: no number {n}",), created_at=stamp, updated_at=stamp,
                )
                for n in range(150)
            ]
        )  # fmt: skip
        waiting = database.pending(DEFAULT_MODEL, RECIPE, 999)
        rows = unit_rows(np.random.default_rng(1).standard_normal((len(waiting), 384)))
        database.store_vectors(
            [(one, row[None]) for one, row in zip(waiting, rows, strict=True)], DEFAULT_MODEL, RECIPE
        )
        database.read_errors()
        assert verify(database) == []
    return path


@contextmanager
def damaged(
    rekall: Cold | Warm, whole: Path, damage: Callable[[Path], None], with_backup: bool = True
) -> Iterator[Path]:
    """Put a damaged copy of the base in its place, with a backup beside it."""
    base, folder = rekall.base, rekall.base.parent
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    shutil.copy(whole, base)
    if with_backup:
        copy_base(base, base.with_name("rekall.db.20260101T000000Z.bak"))
    damage(base)
    (rekall.cwd / "notes").mkdir(exist_ok=True)
    (rekall.cwd / "notes" / "one.md").write_text("# one note\n\ntext\n")
    yield base


def ask(rekall: Cold | Warm, *words: str) -> Answer:
    """Run a command: no traceback, no silence, no signal."""
    done = subprocess.run(
        rekall.command(*words), env=rekall.env, cwd=rekall.cwd, capture_output=True, timeout=60, input=b""
    )
    answer = Answer(done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"))
    assert "Traceback" not in answer.errors and answer.status in (0, 1, 2), (words, answer)
    assert answer.status != 2 or "rekall: " in answer.errors or answer.output or "left out" in answer.errors, answer
    assert len(answer.errors.splitlines()) <= 4, (words, answer)
    return answer


@pytest.mark.torture
@pytest.mark.parametrize("name", DAMAGES)
def test_no_command_shows_a_traceback_on_a_damaged_base(warm: Warm, whole: Path, name: str) -> None:
    few = Random(name).sample(COMMANDS, rounds(1, 2, len(COMMANDS)))
    for rekall in (warm.cold, warm):
        for words in few:
            with damaged(rekall, whole, DAMAGES[name]):
                ask(rekall, *words)


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_found_and_named_and_the_way_back_works(warm: Warm, whole: Path, name: str) -> None:
    rekall = warm.cold
    with damaged(rekall, whole, DAMAGES[name]) as base:
        answer = ask(rekall, "index", "verify")
        assert answer.status == 2, answer
        said = json.loads(ask(rekall, "index", "verify", "--json").output)
        assert not said["in_step"] and said["findings"]
        assert name in FOREIGN or "rekall restore" in answer.output or "rekall index" in answer.output, answer
        [backup] = of_base(base)
        back = ask(rekall, "restore", str(backup))
        assert back.status == (2 if name in FOREIGN else 0), back
        if name not in FOREIGN:
            assert held(base) == held(whole)


# Of these nothing is left to be read.
HOPELESS = ("zero length", "no database", "another program's", "a tenth", "one page", "head", "page size", "first page")


@pytest.mark.parametrize("name", [name for name in DAMAGES if name not in HOPELESS])
def test_what_can_be_mended_is_mended_and_nothing_is_lost_that_could_be_read(
    warm: Warm, whole: Path, name: str
) -> None:
    rekall = warm.cold
    with damaged(rekall, whole, DAMAGES[name]) as base:
        answer = ask_repair(rekall)
        assert answer.status == 0, answer
        left = held(base)
        if name not in ("half", "zeros in the middle"):
            assert left == held(whole)
        assert left and ask(rekall, "add", "til", "goes on").status == 0
        assert [path for path in base.parent.iterdir() if "before-repair" in path.name or "damaged" in path.name]


def ask_repair(rekall: Cold) -> Answer:
    done = subprocess.run(
        rekall.command("index", "verify", "--repair"), env=rekall.env, cwd=rekall.cwd, capture_output=True, timeout=60
    )
    answer = Answer(done.returncode, done.stdout.decode(), done.stderr.decode())
    assert "Traceback" not in answer.errors, answer
    return answer


@pytest.mark.torture
def test_a_flipped_byte_anywhere_ends_no_command_in_a_traceback(warm: Warm, whole: Path) -> None:
    rekall, random = warm.cold, Random(17)
    for _round in range(rounds(6, 12, 600)):
        words = random.choice(COMMANDS)
        with damaged(rekall, whole, flip(random.random())):
            ask(rekall, *words)


@pytest.mark.torture
def test_a_flipped_byte_is_found_or_harmless_and_a_restore_brings_everything_back(whole: Path, tmp_path: Path) -> None:
    """What is stored of an entry cannot change unseen: its texts are compared with the index of their words."""
    random, found, wanted = Random(23), 0, held(whole)
    backup = tmp_path / "copy.bak"
    copy_base(whole, backup)
    times = rounds(20, 60, 4000)
    for number in range(times):
        base = tmp_path / f"{number}" / "rekall.db"
        base.parent.mkdir()
        shutil.copy(whole, base)
        flip(random.random())(base)
        try:
            with Database(base) as database:
                findings = verify(database)
                titles = frozenset(entry.title for entry in database.entries())
            found += bool(findings)
            assert findings or titles == wanted
        except Exception as error:
            assert type(error).__module__.startswith("rekall"), error
            found += 1
        restore(base, backup)
        assert held(base) == wanted
        shutil.rmtree(base.parent)
    assert found > times / 4


def test_a_base_emptied_to_nothing_is_not_taken_for_a_new_one_while_a_backup_lies_beside_it(
    warm: Warm, whole: Path
) -> None:
    with damaged(warm.cold, whole, emptied):
        answer = warm.cold("list")
        assert answer.status == 2 and "0 bytes" in answer.errors and "rekall restore" in answer.errors
    with damaged(warm.cold, whole, emptied, with_backup=False):
        assert warm.cold("list").status == 1


def test_without_a_backup_the_way_back_is_the_repair(warm: Warm, whole: Path) -> None:
    with damaged(warm.cold, whole, truncated(0.7), with_backup=False) as base:
        answer = ask(warm.cold, "search", "--words", "nginx")
        answer = ask(warm.cold, "index", "verify")
        assert answer.status == 2 and "--repair" in answer.output
        assert ask_repair(warm.cold).status == 0
        assert len(held(base)) > 30


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
@pytest.mark.parametrize("what", ["base", "backup"])
def test_a_base_and_a_backup_on_a_read_only_medium_can_be_read_and_verified(
    warm: Warm, whole: Path, tmp_path: Path, what: str
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "none", disk], check=False).returncode:
        pytest.skip("this machine lets nobody mount")
    try:
        path = disk / "rekall.db"
        shutil.copy(whole, path)
        with Database(path) as database:
            assert database.connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        if what == "backup":
            copy_base(path, disk / "copy.bak")
            path = disk / "copy.bak"
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        for rekall in (warm.cold, warm):
            assert rekall("--db", str(path), "show", "undo").status == 0
            assert rekall("--db", str(path), "search", "nginx").status == 0
            assert rekall("--db", str(path), "index", "verify").status == 0
            refused = rekall("--db", str(path), "add", "til", "cannot be kept")
            assert refused.status == 2 and "may not be written" in refused.errors
        assert warm.cold("restore", str(path)).status == 0
        assert held(warm.base) == held(whole)
        warm.end()
    finally:
        unmount(disk)


def test_a_deleted_log_leaves_a_base_that_is_whole_as_of_its_last_checkpoint(warm: Warm, whole: Path) -> None:
    with damaged(warm.cold, whole, lambda _base: None) as base:
        code = (
            "import sys, os; from pathlib import Path; from rekall.db import Database; d = Database(Path(sys.argv[1]));"
            "d.delete('undo'); os._exit(0)"
        )
        import sys

        subprocess.run([sys.executable, "-c", code, base], check=True)
        log = base.with_name("rekall.db-wal")
        assert log.stat().st_size
        log.unlink()
        answer = ask(warm.cold, "index", "verify")
        assert answer.status == 2 and "log" in answer.output and "rekall restore" in answer.output, answer
        assert ask_repair(warm.cold).status == 0
        assert ask(warm.cold, "index", "verify").status == 0
