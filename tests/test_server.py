"""The life of the warm process: started once, gone when idle, replaced by another version, never in anybody's way.

Real servers and the real client; docs/protocol.md, "A life", is what they are held to.
"""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread

import pytest
from running import Answer, is_running, wait_for
from warm import Line, Warm, is_gone, rounds, run_together

from rekall import client, frames
from rekall.places import socket_folder

on_linux = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are found in /proc")
pytestmark = on_linux


def set_idle(warm: Warm, seconds: float) -> None:
    path = Path(warm.env["XDG_CONFIG_HOME"], "rekall", "config.toml")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"[server]\nidle_timeout_minutes = {seconds / 60}\n")


# --- start ---


@pytest.mark.torture
def test_twenty_clients_that_find_no_server_start_one_and_are_all_answered(warm: Warm) -> None:
    warm.keep([f"race note {number}" for number in range(3)])
    right = warm.cold("search", "--words", "race")
    assert right.status == 0
    for _round in range(rounds(3, 20, 200)):
        answers = run_together([warm.command("search", "--words", "race")] * 20, warm.env, warm.cwd)
        assert answers == [right] * 20
        wait_for(lambda: warm.servers() == [warm.pid])  # one that found the place taken is on its way out
        server = warm.pid
        assert warm("server", "stop").errors == "stopped\n"
        assert is_gone(server)


def test_twenty_clients_that_write_into_no_base_yet_all_write(warm: Warm) -> None:
    commands = [warm.command("add", "til", f"first note {number}") for number in range(20)]
    answers = run_together(commands, warm.env, warm.cwd)
    assert [answer.status for answer in answers] == [0] * 20, answers
    assert sorted(warm.titles()) == sorted(f"first note {number}" for number in range(20))
    assert len({answer.output for answer in answers}) == 20


def test_a_second_server_leaves_at_once_and_the_first_stays(warm: Warm) -> None:
    pid = warm.start_server()
    answer = warm("server", "run")
    assert (answer.status, answer.output) == (2, "") and "a server runs already" in answer.errors
    assert (warm.pid, warm("list").status) == (pid, 1)


def test_two_bases_have_two_servers(warm: Warm, tmp_path: Path) -> None:
    other = Warm(warm.env | {"REKALL_DB": str(tmp_path / "other.db")}, warm.cwd)
    assert warm("add", "til", "in the first").status == 0
    assert other("add", "til", "in the second").status == 0
    first, second = (int((socket_folder(base, warm.env) / "server.lock").read_text()) for base in (warm.base, tmp_path / "other.db"))  # fmt: skip
    assert first != second and is_running(first) and is_running(second)
    assert "in the first" in warm("list").output and "second" not in warm("list").output
    assert "in the second" in other("list").output


@pytest.mark.parametrize("words", [["stats"], ["help"], ["help", "add"], ["config", "list"], ["--version"], ["doctor"], ["server", "status"], ["export"]])  # fmt: skip
def test_what_needs_no_server_starts_none(warm: Warm, words: list[str]) -> None:
    assert warm(*words).status in (0, 1)
    assert warm.processes() == [] and not warm.socket.exists()


def test_without_the_server_none_is_started(warm: Warm) -> None:
    assert warm("add", "til", "a note", "--no-server").status == 0
    assert warm("list", REKALL_NO_SERVER="1").status == 0
    assert warm.processes() == []


def test_the_output_of_a_command_ends_with_the_command_not_with_the_server(warm: Warm) -> None:
    """`$(rekall search x)` reads to the end of the pipe: a server that had inherited it would hang the shell."""
    warm.keep(["a note about pipes"])
    began = time.monotonic()
    command = 'x=$(rekall search --words pipes 2>&1 3>&1 9>&1); y=$(rekall list); echo "$x$y"'
    path = f"{Path(sys.executable).parent}{os.pathsep}{warm.env['PATH']}"
    done = subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, env=warm.env | {"PATH": path}, cwd=warm.cwd, timeout=30
    )
    assert done.stdout.count("a note about pipes") == 2 and done.stderr == ""
    assert time.monotonic() - began < 20 and is_running(warm.pid)


def test_the_server_has_nothing_of_its_starter_but_a_few_variables(warm: Warm) -> None:
    warm.env |= {"AWS_SECRET_ACCESS_KEY": "s3cret", "REKALL_SECRET": "s3cret"}
    extra = os.open("/dev/null", os.O_RDONLY)
    with subprocess.Popen(warm.command("list"), env=warm.env, cwd=warm.cwd, pass_fds=(extra,), stdout=subprocess.DEVNULL) as first:  # fmt: skip
        assert first.wait(30) == 1
    os.close(extra)
    pid = warm.pid
    assert b"s3cret" not in Path(f"/proc/{pid}/environ").read_bytes()
    assert os.readlink(f"/proc/{pid}/cwd") == "/" and os.getsid(pid) != os.getsid(0)

    def links() -> dict[int, str]:
        found: dict[int, str] = {}
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed since it was listed
                found[int(link.name)] = os.readlink(link)
        return found

    assert {links()[number] for number in (0, 1, 2)} == {"/dev/null"}
    foreign = (
        "pipe:",
        "/dev/null",
    )  # the server opens some of its own for a moment, when it starts the model's process
    wait_for(lambda: not [target for number, target in links().items() if number > 2 and target.startswith(foreign)])
    assert Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1] != str(os.getpid())


def test_the_server_outlives_the_terminal_that_started_it(warm: Warm) -> None:
    ours, theirs = pty.openpty()
    take = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
    command = [sys.executable, "-c", take, *map(os.fsdecode, warm.command("list"))]
    streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    with subprocess.Popen(command, **streams, env=warm.env, cwd=warm.cwd, start_new_session=True) as first:
        os.close(theirs)
        assert first.wait(30) == 1
    os.close(ours)  # the terminal is gone: whoever belongs to it is sent SIGHUP
    pid = warm.pid
    assert Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[4] == "0"  # no terminal of its own
    assert warm("list").status == 1
    assert warm.pid == pid


# --- idle ---


def test_an_idle_server_goes_and_leaves_nothing(warm: Warm) -> None:
    set_idle(warm, 1.5)
    warm.keep(["a note"])
    pid = warm.warm_up()
    wait_for(lambda: is_gone(pid) and warm.processes() == [])
    assert not warm.socket.exists()
    assert {path.name for path in warm.folder.iterdir()} <= {"start.lock", "server.lock", "log", "stacks"}
    wait_for(lambda: not client.is_running(warm.folder))  # a process may be gone from sight a moment before its lock
    assert "idle" in warm.log


def test_a_server_with_a_client_is_not_idle(warm: Warm) -> None:
    set_idle(warm, 0.5)
    pid = warm.start_server()
    with Line(warm) as waiting:
        waiting.acknowledged("add", "til", "waits for its stdin", "-c", "-")
        waiting.send(frames.GO)
        deadline = time.monotonic() + 2.5
        while time.monotonic() < deadline:
            assert is_running(pid) and warm.socket.exists()
            time.sleep(0.1)
        waiting.send(frames.STDIN, b"here it is")
        waiting.send(frames.STDIN_END)
        assert waiting.rest().status == 0
    wait_for(lambda: is_gone(pid))


@pytest.mark.torture
def test_a_client_that_comes_as_the_server_leaves_is_answered(warm: Warm) -> None:
    """The server is told to leave while many ask: each is answered, by it or by the next."""
    warm.keep(["a note to be found"])
    right = warm.cold("search", "--words", "found")
    command = warm.command("search", "--words", "found")
    for number in range(rounds(10, 100, 1000)):
        warm.start_server()
        leaving = Line(warm)
        leaving.acknowledged("server", "stop")
        asking = [warm.start(*command[1:]) for _client in range(2)]  # type: ignore[arg-type]
        time.sleep(number % 10 * 0.0008)
        leaving.send(frames.GO)
        asking.append(warm.start(*command[1:]))  # type: ignore[arg-type]
        for process in asking:
            output, errors = process.communicate(timeout=30)
            assert Answer(process.returncode, output.decode(), errors.decode()) == right
        leaving.close()


@pytest.mark.torture
def test_a_connection_made_before_the_name_was_gone_is_answered(warm: Warm) -> None:
    """Also one that the kernel has accepted and the server has not."""
    for _round in range(rounds(3, 20, 200)):
        pid = warm.start_server()
        with Line(warm) as leaving, Line(warm) as slow:
            leaving.acknowledged("server", "stop")
            leaving.send(frames.GO)
            lines = []
            with suppress(FileNotFoundError, ConnectionRefusedError):
                while len(lines) < 200:
                    lines.append(Line(warm))
            for line in (slow, *lines):
                assert line.ask("list").status == 1
                line.close()
        wait_for(lambda pid=pid: is_gone(pid))


@pytest.mark.torture
def test_a_restart_under_the_eyes_of_many_costs_nobody_an_answer(warm: Warm) -> None:
    """A client may be quicker than the restart and start the new server itself: that is a restart all the same."""
    warm.keep(["a note to be found"])
    right = warm.cold("search", "--words", "found")
    warm.start_server()
    wrong: list[Answer] = []
    is_over = Event()

    def ask() -> None:
        while not is_over.is_set():
            answer = warm("search", "--words", "found")
            wrong.extend([] if answer == right else [answer])

    asking = [Thread(target=ask) for _number in range(3)]
    for thread in asking:
        thread.start()
    try:
        for _round in range(rounds(2, 10, 100)):
            before = warm.pid
            assert warm("server", "restart") == Answer(0, "", "started\n")
            wait_for(lambda: client.is_running(warm.folder))
            assert warm.pid != before
    finally:
        is_over.set()
        for thread in asking:
            thread.join(30)
    assert wrong == [] and warm.servers() == [warm.pid]
