"""Servers of another version, and whom the warm process and its clients trust."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest
from running import is_running, wait_for
from warm import Line, Warm, is_gone

from rekall import frames

on_linux = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are found in /proc")
pytestmark = on_linux
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")


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
