"""Bad days of the process: without a home, a terminal, streams, a working directory, descriptors; with far too much of it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from bad_days import WITHOUT_ROOTS_RIGHTS, Day, needs
from running import wait_for
from warm import PROGRAMS, Warm

NO_TERMINAL = "rekall: there is no terminal to draw on; without one, write: rekall search\n"


@pytest.fixture
def day(warm: Warm) -> Day:
    """A base with one entry."""
    kept = Day(warm)
    assert kept.cold("add", "til", "first", "-c", "kept words").status == 0
    return kept


def without(env: dict[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in env.items() if name not in names}


def test_without_a_home_the_password_file_names_one(warm: Warm) -> None:
    """Only where the base is: nothing is asked that would make it in the home of whoever runs this."""
    for home in ({}, {"HOME": ""}, {"HOME": "relative"}):
        env = without(warm.env, "HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME") | home
        assert Day(warm).both("config", "path", env=env).output.startswith("/")


def test_a_user_whom_nobody_knows_needs_to_name_the_base(day: Day) -> None:
    needs("unshare")
    env = without(day.warm.env, "HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "USER", "LOGNAME")
    stranger = Day(day.warm, ("unshare", "-U", "--map-user=54321"))
    assert "HOME" in stranger.refused("list", env=env)
    assert stranger.both("list", env=env | {"XDG_DATA_HOME": day.warm.env["XDG_DATA_HOME"], "HOME": "/"}).status == 0


@pytest.mark.parametrize("runtime", [None, "", "/nowhere", "relative", "/dev/null"])
def test_without_a_runtime_folder_the_server_is_met_below_tmpdir(runtime: str | None, day: Day) -> None:
    with TemporaryDirectory(prefix="rk", dir="/tmp") as tmp:
        env = without(day.warm.env, "XDG_RUNTIME_DIR") | {"TMPDIR": tmp}
        env |= {} if runtime is None else {"XDG_RUNTIME_DIR": runtime}
        assert day.both("list", env=env).output.count("first") == 1
        assert (sockets := list(Path(tmp).glob(f"rekall-{os.getuid()}/*/s"))) and sockets[0].is_socket()
        day.warm.end()


def test_where_no_socket_can_be_made_the_answer_is_the_same(day: Day) -> None:
    with TemporaryDirectory(prefix="rk", dir="/tmp") as closed:  # a short name: a long one is passed over
        Path(closed).chmod(0o555)
        env = day.warm.env | {"XDG_RUNTIME_DIR": "/nowhere", "TMPDIR": closed}
        bad = Day(day.warm, WITHOUT_ROOTS_RIGHTS)
        assert bad.both("list", env=env).output.count("first") == 1
        assert bad.both("add", "til", "second", env=env).status == 0
        assert not day.warm.servers()


def test_without_a_terminal_apps_say_so_and_all_else_goes_on(day: Day) -> None:
    for words in (("pick",), ("repl",)):
        assert day.refused(*words, start_new_session=True) == NO_TERMINAL
    assert day.both("list", start_new_session=True).status == 0
    assert day.both(input=b"kept", start_new_session=True).output.count("first") == 1


@pytest.mark.parametrize("words", [("list",), ("search", "kept"), ("add", "til", "second"), ("search", "-")])
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_an_empty_one(closed: str, words: tuple[str, ...], day: Day) -> None:
    shut = Day(day.warm, ("sh", "-c", f'"$@" {closed}', "sh"))
    answer = shut.both(*words, input=b"kept")
    piped = words[-1] == "-" and "<&-" in closed
    assert (answer.status, answer.errors) == (int(piped), "")
    assert bool(answer.output) == (">&-" not in closed.replace("2>&-", "") and not piped)


def test_a_full_stdout_is_an_error_after_the_write_is_kept(day: Day) -> None:
    full = Day(day.warm, ("sh", "-c", '"$@" >/dev/full', "sh"))
    for words in (("list",), ("add", "til", "second"), ("help",)):
        answer = full.both(*words)
        assert (answer.status, answer.errors) == (2, "rekall: No space left on device\n"), words
    assert day.both("list").output.count("second") == 2  # both were told of, and are kept


def test_stdin_that_cannot_be_read_is_an_error(day: Day) -> None:
    blocked = Day(day.warm, ("sh", "-c", '"$@" 0>/dev/null', "sh"))
    for words in (("search", "-"), ("add", "til", "x", "-c", "-"), ("search", "-", "--each-line")):
        assert blocked.refused(*words) == "rekall: Bad file descriptor\n", words
    assert day.both("list").output == day.cold("list").output


def test_a_working_directory_that_is_gone_is_named(day: Day) -> None:
    gone = day.warm.cwd / "gone"
    gone.mkdir()
    script = 'cd "$0" && rmdir "$0"; "$@"; s=$?; mkdir "$0"; exit $s'
    lost = Day(day.warm, ("sh", "-c", script, str(gone)))
    for words in (("list",), ("add", "til", "x"), ("--db", str(day.warm.base), "search", "kept"), ("import", "x")):
        assert lost.refused(*words) == "rekall: the working directory is gone; change to one that exists\n", words
    for words in (("--version",), ("help",), ("help", "add")):
        assert lost.both(*words).status == 0, words


def test_a_working_directory_that_may_not_be_entered_is_no_matter(day: Day) -> None:
    work = day.warm.cwd / "closed"
    work.mkdir()
    script = 'cd "$0" && chmod 0 "$0"; "$@"; s=$?; chmod 700 "$0"; exit $s'
    closed = Day(day.warm, (*WITHOUT_ROOTS_RIGHTS, "sh", "-c", script, str(work)))
    assert closed.both("list").output.count("first") == 1


@pytest.mark.parametrize("limit", [16, 8])
def test_few_descriptors_are_enough(limit: int, day: Day) -> None:
    few = Day(day.warm, ("sh", "-c", f'ulimit -n {limit}; exec "$@"', "sh"))
    assert few.both("list").output.count("first") == 1
    assert few.both("search", "--words", "kept").output.count("first") == 1
    if limit > 8:
        assert few.both("add", "til", "second").status == 0
        assert day.both("list").output.count("second") == 2


def test_a_server_with_few_descriptors_leaves_nobody_without_an_answer(day: Day) -> None:
    few = Day(day.warm, ("sh", "-c", 'ulimit -n 24; exec "$@"', "sh"))
    assert few.hot("list").status == 0
    day.assert_warm()
    command = [str(PROGRAMS / "rekall"), "search", "--words", "kept"]
    crowd = [
        subprocess.Popen(command, env=day.warm.env, cwd=day.warm.cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _client in range(30)
    ]
    answers = {(*client.communicate(timeout=100), client.returncode) for client in crowd}
    assert answers == {(day.cold("search", "--words", "kept").output.encode(), b"", 0)}
    assert day.both("list").status == 0


def test_an_environment_of_a_megabyte_is_no_obstacle(day: Day) -> None:
    for more in (
        {f"OTHER_{n}": "x" * 100_000 for n in range(12)},
        {f"REKALL_X{n}": "x" * 100_000 for n in range(12)},  # sent along, so too long for the server
        {f"LC_X{n}": "x" for n in range(20_000)},
    ):
        assert day.both("list", env=day.warm.env | more).output.count("first") == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LANG", b"\xff"), ("LC_ALL", b"\xff\xfe"), ("LANGUAGE", b"\xff:fr"), ("TERM", b"\xff"), ("TZ", b"\xff"),
        ("TZ", b"../../etc/passwd"), ("COLUMNS", b"0"), ("COLUMNS", b"\xff"), ("COLUMNS", b"9" * 5000),
        ("REKALL_REQUEST_ID", b"\xff"), ("REKALL_CONFIG", b"/nowhere/\xff\n.toml"), ("NO_COLOR", b"\xff"),
    ],
)  # fmt: skip
def test_a_variable_that_makes_no_sense_counts_as_unset(name: str, value: bytes, day: Day) -> None:
    env = {os.fsencode(key): os.fsencode(text) for key, text in day.warm.env.items()} | {name.encode(): value}
    assert day.both("list", env=env).output.count("first") == 1


def test_without_a_kind_of_terminal_nothing_is_coloured(day: Day) -> None:
    plain = day.warm.on_terminal("list")
    for warm_or_cold in (day.warm, day.warm.cold):
        warm_or_cold.env = without(warm_or_cold.env, "TERM", "NO_COLOR")
        assert "\x1b[" not in warm_or_cold.on_terminal("list") and "first" in plain


def test_a_server_is_not_left_behind_by_any_of_it(day: Day) -> None:
    assert day.both("list").status == 0
    day.warm.end()
    wait_for(lambda: not day.warm.servers())
