"""Bad days of the disk: full, read-only, closed to us. One line says so, and nothing is lost or half written."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from bad_days import WITHOUT_ROOTS_RIGHTS, Day, inside, mounted, needs
from warm import PROGRAMS, Warm

FILL = 'head -c 100m /dev/zero >> "$1/fill" 2>/dev/null || true'


@pytest.fixture
def kept(warm: Warm) -> Day:
    """A base with one entry, and nothing wrong yet."""
    needs("unshare", "nsenter", "setpriv")
    day = Day(warm)
    assert day.cold("add", "til", "first", "-c", "kept words").status == 0
    return day


@pytest.fixture
def small_disk(warm: Warm) -> Iterator[Day]:
    """A base with two entries on a file system with 3 MB of room: 27 of 30 are taken, by a file `fill`."""
    needs("unshare", "nsenter")
    data = warm.base.parent.parent
    data.mkdir(parents=True)
    with mounted(warm, 'mount -t tmpfs -o size=30m none "$1"; head -c 27m /dev/zero > "$1/fill"', data) as day:
        assert day.both("add", "til", "first", "-c", "kept words").status == 0
        day.assert_warm()
        yield day


def assert_in_step(day: Day, entries: int) -> None:
    listed = json.loads(day.both("list", "--json").output)["hits"]
    assert len(listed) == entries
    assert f"in step: {entries} entries" in day.cold("index", "verify").output  # the server may be embedding


def test_what_does_not_fit_on_the_disk_is_refused_whole_and_all_else_goes_on(small_disk: Day) -> None:
    large = b"0123456789abcde\n" * (6 << 16)
    said = small_disk.refused("add", "til", "too large", "-c", "-", input=large)
    assert "is full" in said and "nothing was changed" in said and str(small_disk.warm.base) in said
    small_disk.assert_warm()
    assert_in_step(small_disk, 2)
    assert small_disk.both("search", "--words", "kept").output.count("first") == 2


def test_on_a_full_disk_all_is_found_and_room_heals_it(small_disk: Day) -> None:
    data = small_disk.warm.base.parent.parent
    inside(small_disk, FILL, data)
    assert small_disk.both("search", "kept").output.count("first") == 2
    for words in (("list",), ("stats",), ("export",)):
        assert (small_disk.cold(*words).status, small_disk.hot(*words).status) == (0, 0)
    for target in (data / "out.jsonl", Path("/dev/full")):
        assert f"{target} cannot be written: No space left on device" in small_disk.refused("export", "-o", str(target))
    assert inside(small_disk, 'ls -A "$1"', data).split() == ["fill", "rekall"]  # no part of the export is left
    assert "is full" in small_disk.refused("add", "til", "no room", "-c", "word " * 20_000)
    inside(small_disk, 'rm "$1/fill"', data)
    assert small_disk.both("add", "til", "room again").status == 0
    assert_in_step(small_disk, 4)


def test_an_import_that_fills_the_disk_keeps_whole_entries_and_goes_on_later(small_disk: Day) -> None:
    data, source = small_disk.warm.base.parent.parent, small_disk.warm.cwd / "many.jsonl"
    note = "words of a note about nothing at all " * 60
    lines = (json.dumps({"id": f"n{n:04}", "title": f"note {n}", "content": note}) for n in range(700))
    source.write_text("\n".join(lines))
    said = small_disk.cold("import", str(source), "--no-wait")
    assert said.status == 2 and "is full" in said.errors
    held = [json.loads(line) for line in small_disk.both("export").output.splitlines()]
    assert all(entry["content"] == note for entry in held if entry["id"].startswith("n"))
    assert "in step" in small_disk.cold("index", "verify").output
    inside(small_disk, 'rm "$1/fill"', data)
    assert small_disk.cold("import", str(source), "--no-wait").status == 0
    assert_in_step(small_disk, 702)


def test_a_full_home_refuses_settings_and_keeps_the_old_ones(warm: Warm) -> None:
    needs("unshare", "nsenter")
    config = Path(warm.env["XDG_CONFIG_HOME"])
    config.mkdir()
    with mounted(warm, 'mount -t tmpfs -o size=64k none "$1"', config) as day:
        assert day.both("config", "set", "server.idle_timeout_minutes", "5").status == 0
        inside(day, FILL, config)
        for _time in range(3):
            said = day.refused("config", "set", "server.idle_timeout_minutes", "7")
            assert "config.toml cannot be written: No space left on device" in said
        assert day.both("config", "get", "server.idle_timeout_minutes").output == "5\n"
        assert inside(day, 'ls -A "$1/rekall"', config) == "config.toml\n"


def test_a_runtime_folder_that_is_full_costs_the_warm_process_not_the_answer(kept: Day) -> None:
    run = Path(kept.warm.env["XDG_RUNTIME_DIR"])
    script = 'mount -t tmpfs -o size=32k,nr_inodes=3 none "$1"; chmod 700 "$1"; touch "$1/a" "$1/b"'
    with mounted(kept.warm, script, run) as day:
        assert day.both("search", "--words", "kept").output.count("first") == 1
        assert day.both("add", "til", "second").status == 0
        assert not kept.warm.servers()


def test_a_limit_on_files_is_a_full_disk(kept: Day) -> None:
    """Where no file system may be mounted, this is the least that is tried: a write that fails half way."""
    limited = Day(kept.warm, ("sh", "-c", 'trap "" XFSZ; ulimit -f 1200; exec "$@"', "sh"))
    said = limited.refused("add", "til", "too large", "-c", "-", input=b"0123456789abcde\n" * (3 << 16))
    assert str(kept.warm.base) in said
    kept.warm.end()  # its server was under the same limit
    assert_in_step(kept, 1)


def test_a_read_only_file_system_is_named(kept: Day) -> None:
    folder = kept.warm.base.parent
    with mounted(kept.warm, 'mount --bind "$1" "$1"; mount -o remount,ro,bind "$1"', folder) as day:
        for words in (("list",), ("search", "--words", "kept")):
            assert day.both(*words).output.count("first") == 1
        assert day.cold("index", "verify").status == 0
        for words in (("add", "til", "x"), ("delete", "0")):
            assert day.refused(*words), words
    assert_in_step(kept, 1)


def test_a_base_that_may_only_be_read_is_read(kept: Day) -> None:
    kept.warm.base.chmod(0o444)
    day = Day(kept.warm, WITHOUT_ROOTS_RIGHTS)
    for words in (("list",), ("search", "kept")):
        assert day.both(*words).output.count("first") == 1
    day.assert_warm()
    for words in (("add", "til", "x"), ("tag", "0", "+x"), ("delete", "0")):
        assert "may not be written; check the rights of the file and its folder" in day.refused(*words)
    kept.warm.end()
    for file in kept.warm.base.parent.iterdir():  # SQLite gave what it made beside the base the same rights
        file.chmod(0o600)
    assert_in_step(kept, 1)


def test_a_folder_that_may_not_be_written_is_named(kept: Day) -> None:
    """SQLite makes its files beside the base even to read it; one that was closed well can do without."""
    kept.warm.base.parent.chmod(0o555)
    day = Day(kept.warm, WITHOUT_ROOTS_RIGHTS)
    for words in (("list",), ("search", "--words", "kept")):
        assert day.both(*words).output.count("first") == 1
    for words in (("add", "til", "x"), ("delete", "0")):
        assert day.refused(*words)
    kept.warm.base.parent.chmod(0o700)
    assert_in_step(kept, 1)


@pytest.mark.parametrize("name", ["rekall.db", ""])
def test_what_may_not_be_read_is_an_error_and_no_empty_base(name: str, kept: Day) -> None:
    path = kept.warm.base.parent / name
    path.chmod(0)
    day = Day(kept.warm, WITHOUT_ROOTS_RIGHTS)
    for words in (("list",), ("search", "kept"), ("add", "til", "x"), ("stats",), ("index", "status")):
        said = day.refused(*words)
        assert str(kept.warm.base) in said and ("cannot be opened" in said or "cannot be made" in said), words
    path.chmod(0o700)
    assert_in_step(kept, 1)


def test_a_home_that_may_not_be_read_is_named(kept: Day) -> None:
    home = Path(kept.warm.env["HOME"])
    home.chmod(0)
    try:
        day = Day(kept.warm, WITHOUT_ROOTS_RIGHTS)
        for words in (("list",), ("search", "kept"), ("add", "til", "x"), ("config", "list")):
            said = day.refused(*words, cwd="/")
            assert said.endswith("config.toml cannot be read: Permission denied\n"), words
    finally:
        home.chmod(0o700)
    assert_in_step(kept, 1)


def test_a_reader_that_leaves_early_is_no_error_either_way(kept: Day) -> None:
    lines = "".join(json.dumps({"title": f"note {n}", "content": "x" * 9_000}) + "\n" for n in range(100))
    (kept.warm.cwd / "a.jsonl").write_text(lines)
    assert kept.cold("import", "a.jsonl", "--no-wait").status == 0
    for program in (["rekall-py", "--no-server"], ["rekall"]):
        command = [str(PROGRAMS / program[0]), *program[1:], "list", "-n", "100", "--json"]
        with subprocess.Popen(
            command, env=kept.warm.env, cwd=kept.warm.cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stdout and process.stderr
            process.stdout.read(1)
            process.stdout.close()
            assert (process.stderr.read(), process.wait(60)) == (b"", 0), program
