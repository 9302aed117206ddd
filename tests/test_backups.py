"""Backups are whole, made in time, and go when there are too many; a restore is seen by whoever has the base open."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from running import Rekall, rekall_in
from story import held
from warm import Warm

from rekall import backups
from rekall.db import Database, copy_base
from rekall.entry import Entry
from rekall.errors import BaseRefused, BaseUnusable, UsageError
from rekall.restoring import restore


@pytest.fixture
def rekall(home: dict[str, str]) -> Rekall:
    return rekall_in(home)


def notes(folder: Path, count: int) -> Path:
    folder.mkdir(exist_ok=True)
    for number in range(count):
        (folder / f"{number}.md").write_text(f"# {folder.name} {number}\n\ntext\n")
    return folder


def named(rekall: Rekall, part: str) -> list[Path]:
    return sorted(path for path in rekall.base.parent.glob("*.bak") if part in path.name)


def test_a_bulk_import_is_preceded_by_a_backup_that_says_where_it_lies_and_a_small_one_is_not(rekall: Rekall) -> None:
    rekall("add", "til", "mine")
    assert "backup" not in rekall("import", str(notes(rekall.cwd / "few", 5)), "--no-wait").errors
    answer = rekall("import", str(notes(rekall.cwd / "many", 30)), "--no-wait")
    [backup] = named(rekall, "before-import")
    assert str(backup) in answer.errors
    assert held(backup) == {"mine", *(f"few {n}" for n in range(5))}
    assert backup.stat().st_mode & 0o777 == 0o600
    assert "backup" not in rekall("import", str(rekall.cwd / "many"), "--no-wait").errors  # nothing new
    rekall("config", "set", "backup.keep", "0")
    rekall("import", str(notes(rekall.cwd / "more", 30)), "--no-wait")
    assert named(rekall, "before-import") == [backup]


def test_an_import_into_an_empty_base_needs_no_backup(rekall: Rekall) -> None:
    rekall("import", str(notes(rekall.cwd / "many", 30)), "--no-wait")
    assert named(rekall, "") == []


def test_rotation_keeps_the_newest_and_one_of_each_kind_and_never_touches_the_users(tmp_path: Path) -> None:
    base = tmp_path / "rekall.db"
    whole = b"SQLite format 3\x00" + bytes(984)
    for day, label in enumerate(["v12-", *["before-import-"] * 7, "before-restore-", ""]):
        path = tmp_path / f"rekall.db.{label}202601{day + 10}T000000Z.bak"
        path.write_bytes(whole)
        os.utime(path, (day, day))
    gone = backups.rotate(base, keep=3, most_bytes=1e9)
    assert len(gone) == 5
    left = [path.name for path in backups.of_base(base)]
    assert [name.split("-2026")[0] for name in left[1:]] == ["rekall.db.before-restore"] + ["rekall.db.before-import"] * 2 + ["rekall.db.v12"]  # fmt: skip
    backups.rotate(base, keep=9, most_bytes=1000)
    assert len(backups.of_base(base)) == 4  # one of each kind, and the user's


def test_a_killed_backup_leaves_no_file_under_its_name_and_the_next_one_removes_what_it_left(
    database: Database, tmp_path: Path
) -> None:
    database.add(Entry(id="a", type="til", title="a", created_at="x", updated_at="x"))
    code = (
        "import os, sys; from pathlib import Path; from rekall import backups, db;"
        "backups._rename_new = lambda *_: os._exit(9); db.copy_base(Path(sys.argv[1]), Path(sys.argv[2]))"
    )
    target = tmp_path / "copies" / "copy.bak"
    target.parent.mkdir()
    assert database.path
    done = subprocess.run([sys.executable, "-c", code, database.path, target], check=False)
    assert done.returncode == 9
    assert [path.name for path in target.parent.iterdir() if not path.name.startswith(".rekall-")] == []
    copy_base(database.path, target)
    assert [path.name for path in target.parent.iterdir()] == ["copy.bak"] and held(target) == {"a"}
    with pytest.raises(FileExistsError):
        copy_base(database.path, target)
    assert held(target) == {"a"}


def test_everybody_who_has_the_base_open_sees_the_restored_one(warm: Warm) -> None:
    key = warm("add", "til", "the laptop does not wake up after closing the lid").output.strip()
    backup = warm("backup").output.strip()
    warm("delete", key)
    other = warm("add", "til", "bread needs salt").output.strip()
    question = ("search", "--semantic", "notebook stays asleep", "-n", "1", "--tsv")
    assert warm(*question).output.startswith(other)
    with Database(warm.base) as database:
        answer = warm("restore", backup)
        assert answer.status == 0 and "before-restore" in answer.errors
        assert [entry.id for entry in database.each()] == [key]
        assert warm(*question).output.startswith(key)
        [before] = list(warm.base.parent.glob("*before-restore*"))
        assert warm("restore", str(before)).status == 0
        assert [entry.id for entry in database.each()] == [other]
        assert warm(*question).output.startswith(other)
    assert warm("index", "verify").status == 0


def test_what_is_written_while_a_restore_runs_is_in_its_backup_or_in_the_base(warm: Warm) -> None:
    rekall = warm.cold
    rekall("add", "til", "the first")
    backup = Path(rekall("backup").output.strip())
    code = (
        "import sys; from pathlib import Path; from rekall.db import Database; from rekall.entry import *\n"
        "db = Database(Path(sys.argv[1]))\n"
        "for n in range(150):\n"
        "    db.add(Entry(id=f'w{n}', type='til', title=f'w{n}', created_at=now(), updated_at=now())); print(f'w{n}', flush=True)\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", code, rekall.base], stdout=subprocess.PIPE, text=True)
    assert writer.stdout
    writer.stdout.readline()
    restore(rekall.base, backup)
    acknowledged = {"w0", *writer.stdout.read().split()}
    writer.stdout.close()
    assert writer.wait(60) == 0 and len(acknowledged) == 150
    [before] = list(rekall.base.parent.glob("*before-restore*"))
    assert held(rekall.base) | held(before) >= acknowledged
    assert "the first" in held(rekall.base)


def test_a_restore_refuses_what_is_no_backup_and_leaves_everything_as_it_was(rekall: Rekall, tmp_path: Path) -> None:
    rekall("add", "til", "mine")
    backup = Path(rekall("backup").output.strip())
    whole = backup.read_bytes()
    wrong = tmp_path / "wrong.bak"
    for content in (b"no base" * 99, whole[: len(whole) // 2], b""):
        wrong.write_bytes(content)
        answer = rekall("restore", str(wrong))
        assert answer.status == 2 and str(wrong) in answer.errors, answer
    assert rekall("restore", str(rekall.base)).status == 2
    assert rekall("restore", "nowhere.bak").status == 2
    assert held(rekall.base) == {"mine"} and named(rekall, "before-restore") == []
    with pytest.raises((BaseRefused, BaseUnusable, UsageError)):
        restore(rekall.base, wrong)


def test_a_base_of_the_older_rekall_can_be_restored_and_stays_as_it_is(rekall: Rekall) -> None:
    older = Path(__file__).parent / "data" / "rekall-v11.db"
    before = older.read_bytes()
    rekall("add", "til", "mine")
    assert rekall("restore", str(older)).status == 0
    assert len(held(rekall.base)) > 1 and older.read_bytes() == before
