"""The life of the warm process: started once, killed at any moment, gone when idle, never in anybody's way.

Real servers and the real client; docs/protocol.md, "A life", is what they are held to.
"""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import socket
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
from rekall.entry import new_id
from rekall.places import socket_folder

on_linux = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are found in /proc")
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
pytestmark = on_linux


def set_idle(warm: Warm, seconds: float) -> None:
    path = Path(warm.env["XDG_CONFIG_HOME"], "rekall", "config.toml")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"[server]\nidle_timeout_minutes = {seconds / 60}\n")


def titles(warm: Warm) -> list[str]:
    """Return the titles in the base, read without the server."""
    answer = warm.cold("list", "--json", "--limit", "1000")
    return [hit["title"] for hit in json.loads(answer.output)["hits"]]


# --- start ---


@pytest.mark.torture
def test_twenty_clients_that_find_no_server_start_one_and_are_all_answered(warm: Warm) -> None:
    warm.keep([f"race note {number}" for number in range(3)])
    right = warm.cold("search", "--words", "race")
    assert right.status == 0
    for _round in range(rounds(3, 20, 200)):
        answers = run_together([warm.command("search", "--words", "race")] * 20, warm.env, warm.cwd)
        assert answers == [right] * 20
        servers = warm.servers()
        assert servers == [warm.pid]
        assert warm("server", "stop").errors == "stopped\n"
        assert is_gone(servers[0])


def test_twenty_clients_that_write_into_no_base_yet_all_write(warm: Warm) -> None:
    commands = [warm.command("add", "til", f"first note {number}") for number in range(20)]
    answers = run_together(commands, warm.env, warm.cwd)
    assert [answer.status for answer in answers] == [0] * 20, answers
    assert sorted(titles(warm)) == sorted(f"first note {number}" for number in range(20))
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


# --- killed, stopped ---


@pytest.mark.torture
def test_the_server_may_be_killed_at_any_time_between_requests(warm: Warm) -> None:
    for number in range(rounds(4, 20, 100)):
        assert warm("add", "til", f"note {number}").status == 0
        pid = warm.pid
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda pid=pid: is_gone(pid))
        assert warm.socket.exists()  # left lying: nobody had the time
    answer = warm("list", "--limit", "1000")
    assert (answer.status, answer.errors) == (0, "")
    assert len(titles(warm)) == rounds(4, 20, 100)
    wait_for(lambda: warm.processes() == [warm.pid] or b"worker" in b"".join(_cmdlines(warm)))


def _cmdlines(warm: Warm) -> list[bytes]:
    return [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in warm.processes() if Path(f"/proc/{pid}").exists()]


@pytest.mark.torture
def test_a_write_under_which_the_server_dies_is_there_once_or_not_at_all(warm: Warm) -> None:
    """The client says that it does not know, and how to repeat it; repeated so, the entry is there once."""
    unknown = 0
    for number in range(rounds(6, 60, 400)):
        warm.start_server()
        pid, title = warm.pid, f"written under fire {number}"
        with warm.start("add", "til", title) as adding:
            Thread(target=_kill_after, args=(pid, number % 12 * 0.001)).start()
            output, errors = adding.communicate(timeout=30)
        wait_for(lambda pid=pid: is_gone(pid))
        there = titles(warm).count(title)
        assert there in (0, 1)
        if adding.returncode == 0:
            assert there == 1 and len(output.strip()) == 26
            continue
        assert adding.returncode == 2 and b"REKALL_REQUEST_ID=" in errors, (output, errors)
        unknown += 1
        key = errors.split(b"REKALL_REQUEST_ID=")[1][:26].decode()
        again = warm("add", "til", title, REKALL_REQUEST_ID=key)
        assert (again.status, again.output.strip()) == (0, key)
        assert titles(warm).count(title) == 1
    print(f"outcome unknown: {unknown}")


def _kill_after(pid: int, seconds: float) -> None:
    time.sleep(seconds)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@pytest.mark.torture
def test_a_read_under_which_the_server_dies_is_answered_all_the_same(warm: Warm) -> None:
    warm.keep(["a note to be found"])
    right = warm.cold("search", "--words", "found")
    for number in range(rounds(6, 40, 200)):
        warm.start_server()
        pid = warm.pid
        Thread(target=_kill_after, args=(pid, number % 8 * 0.001)).start()
        assert warm("search", "--words", "found") == right
        wait_for(lambda pid=pid: is_gone(pid))


def test_a_request_that_is_repeated_under_its_id_is_kept_once(warm: Warm) -> None:
    key = new_id()
    for answering in (warm, warm.cold, warm):
        answer = answering("add", "til", "kept once", REKALL_REQUEST_ID=key)
        assert (answer.status, answer.output) == (0, f"{key}\n")
    assert titles(warm) == ["kept once"]
    commands = [warm.command("add", "til", "rye sourdough wants a hot oven")] * 10
    other = new_id()
    answers = run_together(commands, warm.env | {"REKALL_REQUEST_ID": other}, warm.cwd)
    assert answers == [Answer(0, f"{other}\n", "")] * 10
    assert sorted(titles(warm)) == ["kept once", "rye sourdough wants a hot oven"]


def test_a_stopped_server_is_passed_by_and_nothing_is_written_twice(warm: Warm) -> None:
    pid = warm.start_server()
    os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    assert warm("add", "til", "kept by the fallback").status == 0
    assert "kept by the fallback" in warm("list").output
    assert time.monotonic() - began < 10  # about a second each, on a machine at rest
    os.kill(pid, signal.SIGCONT)
    wait_for(lambda: warm("server", "status").status == 0)
    assert warm.pid == pid
    assert titles(warm) == ["kept by the fallback"]
    assert warm("list").output.count("kept by the fallback") == 1
    assert warm.facts()["clients"] == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=["SIGTERM", "SIGHUP"])
def test_a_signal_ends_the_server_at_once_with_all_it_has(warm: Warm, number: signal.Signals) -> None:
    pid = warm.warm_up()
    with Line(warm) as waiting:  # somebody is being answered
        waiting.acknowledged("add", "til", "-c", "-", "never ends")
        waiting.send(frames.GO)
        os.kill(pid, number)
        wait_for(lambda: is_gone(pid), 5)
    wait_for(lambda: warm.processes() == [])
    assert not warm.socket.exists()


@pytest.mark.torture
def test_ended_by_a_signal_under_load_it_never_hangs(warm: Warm) -> None:
    warm.keep(["a note"])
    for number in range(rounds(2, 8, 100)):
        warm.start_server()
        pid = warm.pid
        asking = [warm.start("search", "note") for _client in range(5)]
        Thread(target=_signal_after, args=(pid, 0.02 * number % 0.5)).start()
        for process in asking:
            output, _errors = process.communicate(timeout=30)
            assert b"a note" in output
        wait_for(lambda pid=pid: is_gone(pid))


def _signal_after(pid: int, seconds: float) -> None:
    time.sleep(seconds)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)


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


# --- another version ---


@pytest.mark.parametrize("fields", [{"version": "0.0.1"}, {"protocol": "2"}, {"protocol": "", "version": ""}])
def test_a_server_of_another_version_goes_once_it_has_answered(warm: Warm, fields: dict[str, str]) -> None:
    warm.keep(["a note"])
    pid = warm.start_server()
    with Line(warm) as busy, Line(warm) as other:
        busy.acknowledged("add", "til", "under way", "-c", "-")
        busy.send(frames.GO)
        other.hello("list", **fields)  # type: ignore[arg-type]
        kind, payload = other.frame() or (b"", b"")
        assert (kind, payload.decode()) == (frames.OTHER_VERSION, __import__("rekall").__version__)
        wait_for(lambda: not warm.socket.exists(), 5)
        assert is_running(pid)
        busy.send(frames.STDIN_END)
        assert busy.rest().status == 0
        wait_for(lambda: is_gone(pid))  # though the other one has not hung up
    assert warm("list").output.count("\n") == 2
    assert warm.pid != pid


def test_a_server_of_another_version_is_replaced(warm: Warm) -> None:
    """A server that answers V and goes: the client starts its own and is answered by it."""
    warm.keep(["a note"])
    fake = FakeServer(warm, frames.frame(frames.OTHER_VERSION, b"0.0.1"), leaves=True)
    answer = warm("list")
    fake.close()
    assert (answer.status, answer.errors) == (0, "") and "a note" in answer.output
    assert is_running(warm.pid) and warm.facts()["requests"] >= 1


def test_a_server_of_another_version_that_stays_is_passed_by(warm: Warm) -> None:
    warm.keep(["a note"])
    fake = FakeServer(warm, frames.frame(frames.OTHER_VERSION, b"0.0.1"), leaves=False)
    answer = warm("list")
    fake.close()
    assert (answer.status, answer.errors) == (0, "") and "a note" in answer.output
    assert warm.processes() == []


@pytest.mark.parametrize(
    "said",
    [b"", b"L\0\0\0\0", b"A", b"A\0\0\0\0", b"A\xff\xff\xff\xff", b"O\0\0\0\1x", b"\0" * 100, b"HTTP/1.1 400 Bad\r\n"],
)
def test_whatever_a_strange_server_says_the_answer_is_right(warm: Warm, said: bytes) -> None:
    warm.keep(["a note"])
    fake = FakeServer(warm, said, leaves=False)
    answer = warm("list")
    status = warm("stats")  # Python's own client
    fake.close()
    assert (answer.status, answer.errors) == (0, "") and "a note" in answer.output
    assert (status.status, status.errors) == (0, "")


class FakeServer:
    """Answers whatever comes with the same bytes, on the socket where the real one would be."""

    def __init__(self, warm: Warm, said: bytes, leaves: bool) -> None:
        warm.folder.mkdir(parents=True, mode=0o700)
        warm.folder.parent.chmod(0o700)
        self._path, self._said, self._leaves = warm.socket, said, leaves
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(warm.socket))
        self._listening.listen(5)
        self._lines: list[socket.socket] = []
        Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                line, _address = self._listening.accept()
                self._lines.append(line)
                line.recv(1 << 16)
                if self._leaves:
                    self._path.unlink(missing_ok=True)
                    self._listening.close()
                line.sendall(self._said)
                if not self._said:
                    line.close()

    def close(self) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for line in self._lines:
            line.close()


# --- whom it trusts ---


@as_root
def test_another_user_is_not_served(warm: Warm) -> None:
    """Even one who can reach the socket; and the user's own clients do not talk to another user's server."""
    pid = warm.start_server()
    for folder in (Path(warm.env["XDG_RUNTIME_DIR"]), warm.folder.parent, warm.folder):
        folder.chmod(0o755)
    warm.socket.chmod(0o777)
    code = (
        "import os, socket, sys; os.setuid(12345); s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
        "s.settimeout(20)\n"
        "try: print(len(s.recv(10)))\n"
        "except ConnectionResetError: print(0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(warm.socket)], capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.stderr) == ("0\n", "")
    for folder in (warm.folder.parent, warm.folder):
        folder.chmod(0o700)
    assert (warm("list").status, warm.pid) == (1, pid)
    assert "another user" in warm.log


@as_root
def test_another_users_server_is_not_asked(warm: Warm) -> None:
    warm.keep(["a note"])
    for folder in (warm.folder.parent, warm.folder):
        folder.mkdir(mode=0o700)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(warm.socket))
    code = (
        "import os, socket, sys; s = socket.socket(fileno=int(sys.argv[1])); os.setuid(12345); s.listen(5)\n"
        "print('ready', flush=True)\n"
        "while True:\n"
        "    line, _ = s.accept(); print(len(line.recv(100)), flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(listening.fileno())],
        pass_fds=(listening.fileno(),),
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout and other.stdout.readline() == "ready\n"
        answer = warm("list")
        listening.close()
        assert "a note" in answer.output and answer.status == 0
        assert "another user" in answer.errors
        assert other.stdout.readline() == "0\n"  # it was told nothing
        other.kill()


@pytest.mark.parametrize("place", ["rekall", "folder"])
@pytest.mark.parametrize("wrong", ["mode", "link", "file"])
def test_a_folder_that_others_have_a_hand_in_is_not_used(warm: Warm, place: str, wrong: str, tmp_path: Path) -> None:
    warm.keep(["a note"])
    path = warm.folder.parent if place == "rekall" else warm.folder
    path.parent.mkdir(mode=0o700, exist_ok=True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    if wrong == "mode":
        path.mkdir()
        path.chmod(0o770)
    elif wrong == "link":
        path.symlink_to(elsewhere)
    else:
        path.touch()
    answer = warm("list")
    assert "a note" in answer.output and answer.status == 0
    assert str(path) in answer.errors and answer.errors.count("\n") == 1
    assert warm.processes() == [] and list(elsewhere.iterdir()) == []
    doctor = warm("doctor")
    assert doctor.status == 2 and f"wrong: folder {path}" in doctor.output
    served = warm("server", "run")
    assert served.status == 2 and str(path) in served.errors


# --- the ground is taken away ---


@pytest.mark.parametrize("what", ["socket", "folder", "root"])
def test_a_server_whose_place_is_taken_away_goes_and_another_comes(warm: Warm, what: str) -> None:
    warm.keep(["a note"])
    pid = warm.start_server()
    if what == "socket":
        warm.socket.unlink()
    else:
        shutil.rmtree(warm.folder if what == "folder" else warm.folder.parent)
    answer = warm("list")  # at once: perhaps there are two for a moment
    assert "a note" in answer.output and answer.errors == ""
    wait_for(lambda: is_gone(pid))
    assert "a note" in warm("list").output
    assert is_running(warm.pid) and warm.pid != pid
    assert warm.servers() == [warm.pid]


def test_the_socket_of_another_is_not_taken_away(warm: Warm) -> None:
    """A server that finds another's socket under its name leaves it alone."""
    pid = warm.start_server()
    warm.socket.unlink()
    other = socket.socket(socket.AF_UNIX)
    other.bind(str(warm.socket))
    wait_for(lambda: is_gone(pid))
    assert warm.socket.exists()
    other.close()


def test_a_stale_socket_and_stale_locks_need_nobody(warm: Warm) -> None:
    warm.keep(["a note"])
    warm.folder.mkdir(parents=True, mode=0o700)
    warm.folder.parent.chmod(0o700)
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(warm.socket))
    stale.close()
    (warm.folder / "server.lock").write_text("1\n")
    (warm.folder / "start.lock").write_text("garbage")
    answer = warm("list")
    assert "a note" in answer.output and answer.errors == ""
    assert warm.facts()["requests"] >= 1


@pytest.mark.parametrize("name", ["s", "server.lock", "start.lock", "log"])
def test_a_folder_in_place_of_its_files_costs_no_answer(warm: Warm, name: str) -> None:
    warm.keep(["a note"])
    warm.folder.mkdir(parents=True, mode=0o700)
    warm.folder.parent.chmod(0o700)
    (warm.folder / name).mkdir()
    answer = warm("list")
    assert "a note" in answer.output and (answer.status, answer.errors) == (0, "")
    assert (warm.folder / name).is_dir()


def test_a_server_that_is_stuck_is_told_with_the_way_out(warm: Warm, monkeypatch: pytest.MonkeyPatch) -> None:
    pid = warm.start_server()
    os.kill(pid, signal.SIGSTOP)
    answer = warm("server", "status")
    assert answer.status == 1 and "stuck:   True" in answer.output
    doctor = warm("doctor")
    assert doctor.status == 2 and "does not answer" in doctor.output
    monkeypatch.setattr(client, "STOP_SECONDS", 0.5)  # not 10
    with pytest.raises(client.ServerStuck, match=f"kill {pid}"):
        client.stop(warm.base, warm.env)
    assert is_running(pid)


def test_the_log_is_rotated_and_stays_small(warm: Warm) -> None:
    warm.folder.mkdir(parents=True, mode=0o700)
    warm.folder.parent.chmod(0o700)
    (warm.folder / "log").write_text("an old line\n" * 30_000)
    (warm.folder / "log.1").write_text("a line that is older still\n")
    warm.start_server()
    sizes = {path.name: path.stat().st_size for path in warm.folder.glob("log*")}
    assert set(sizes) == {"log", "log.1"} and sizes["log"] < 1000 < sizes["log.1"]
    assert "older still" not in warm.log
