"""Bases of earlier versions of our own: opened, they are of this one, and nothing that was in them is lost.

`data/rekall-v12.db` was written by rekall at schema 12: 12 notes of the demo's, three entries by hand (error texts, an
error told in prose, a replaced one), two links, vectors and the copy of them for sqlite-vec. `data/rekall-v13.db` is the
same, brought up by rekall at schema 13, with one more tag.
"""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path
from typing import Any  # rows of any table

import pytest

from rekall import schema
from rekall.context import Here
from rekall.db import Database, sqlite3  # the same library: two in one process drop each other's locks
from rekall.errors import BaseUnusable
from rekall.fingerprint import fingerprint
from rekall.verify import verify

DATA = Path(__file__).parent / "data"
KEPT = ("entries", "tags", "links", "embeddings", "imports", "tombstones")
KEPT_SINCE = {12: KEPT, 13: (*KEPT, "history", "fingerprints", "fingerprint_queue")}


@pytest.fixture(params=sorted(KEPT_SINCE))
def older(request: pytest.FixtureRequest) -> int:
    """Return each earlier version in turn."""
    return int(request.param)


@pytest.fixture
def path(tmp_path: Path, older: int) -> Path:
    """Return a copy of a base of that version, in a folder of its own."""
    return Path(shutil.copy(DATA / f"rekall-v{older}.db", tmp_path / "rekall.db"))


def rows(path: Path, older: int) -> dict[str, list[Any]]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        names = KEPT_SINCE[older]
        return {name: sorted(connection.execute(f"SELECT * FROM {name}").fetchall(), key=repr) for name in names}


def version(path: Path) -> int:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def backups(path: Path) -> list[Path]:
    return sorted(path.parent.glob(f"{path.name}.v1*-*.bak"))


def without_keywords(found: dict[str, list[Any]], path: Path) -> dict[str, list[Any]]:
    """Return the rows without what is derived anew: the words that should find an entry besides its own."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        names = [row[1] for row in connection.execute("PRAGMA table_info(entries)").fetchall()]
    place = names.index("keywords")
    return found | {"entries": [row[:place] + row[place + 1 :] for row in found["entries"]]}


def test_a_base_of_an_earlier_version_is_brought_up_and_nothing_is_lost(path: Path, older: int) -> None:
    before = rows(path, older)
    with Database(path) as database:
        assert database.backup_before_migration == backups(path)[0]
        assert verify(database) == []
        assert database.count_unread() == 0
        assert len(database.search_words("prematurely", 5).found) == 1
    assert version(path) == schema.VERSION
    assert without_keywords(rows(path, older), path) == without_keywords(before, path)
    assert (version(backups(path)[0]), rows(backups(path)[0], older)) == (older, before)
    assert f".v{older}-" in backups(path)[0].name


def test_it_knows_the_errors_of_its_entries(path: Path) -> None:
    with Database(path) as database:
        asked = [
            "2026/11/25 07:00:01 [error] 12#12: *7 upstream prematurely closed connection while reading response header",
            "error[E0382]: borrow of moved value: `other`",
            "error[E0505]: cannot move out of `y` because it is borrowed",
        ]
        from rekall.error_marks import without_prefix

        titles = []
        for line in asked:
            found = database.errors_like(fingerprint(without_prefix(line)), 1)
            titles += [entry.title for entry in database.get_many([one.id for one in found])]
    assert titles == ["Sporadic 502 on POST only", "Borrow after a move", "Borrow after a move"]


def test_triggers_of_others_are_left_alone(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE mine (x)")
        connection.execute("CREATE TRIGGER mine_too AFTER INSERT ON mine BEGIN SELECT 1; END")
        connection.commit()
    with Database(path) as database:
        names = database.connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
    assert ("mine_too",) in names


def test_what_cannot_be_brought_up_is_left_as_it_was(path: Path, older: int) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE picks (x)")
        connection.commit()
    before = rows(path, older)
    with pytest.raises(BaseUnusable, match=rf"as it was, and a backup is at .*\.v{older}-"):
        Database(path)
    assert (version(path), rows(path, older)) == (older, before)


def test_an_entry_of_an_earlier_base_can_be_taken_changed_and_deleted(path: Path) -> None:
    here = Here("shop", 7, 20_000)
    with Database(path) as database:
        first, second, *_rest = [entry.id for entry in database.entries()]
        database.count_picks([first, second], here)
        assert database.facts_of([first], here)[first].picked_here == (1, 20_000)
        database.delete(first)
        database.undo()
        assert verify(database) == []


def test_a_base_is_brought_up_once_and_opened_as_any_other_then(path: Path) -> None:
    for _time in range(2):
        with Database(path) as database:
            assert database.count() == 15
    assert len(backups(path)) == 1
