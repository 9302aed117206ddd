"""Runs `rekall` as its users do: real processes, in a home of their own."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any  # the fields of an Entry

REPOSITORY = Path(__file__).parent.parent

# A few entries for a base that has something to say; they are stored without a vector.
NOTED: tuple[dict[str, Any], ...] = (
    {
        "id": "undo",
        "type": "pattern",
        "title": "Undo the last commit",
        "content": "git reset --soft HEAD~1",
        "tags": ("git",),
    },
    {"id": "cpp-1", "title": "C++ templates can't be foo-bar", "project": "shop", "created_at": "2025-01-01T00:00:00Z"},
    {"id": "cpp-2", "type": "bug", "title": "The disk is full", "solution": "du -sh *", "tags": ("disk", "git")},
)


@dataclass
class Answer:
    """What one process said."""

    status: int
    output: str
    errors: str


@dataclass
class Rekall:
    """The command line. Whatever it is asked, it must not show a traceback; an error is one line."""

    env: dict[str, str]
    cwd: Path

    @property
    def base(self) -> Path:
        return Path(self.env["XDG_DATA_HOME"], "rekall", "rekall.db")

    def command(self, *words: str | bytes) -> list[str | bytes]:
        return [sys.executable, "-P", "-W", "error", "-m", "rekall", *words]

    def __call__(self, *words: str | bytes, stdin: bytes = b"", cwd: Path | None = None, **env: str) -> Answer:
        done = subprocess.run(
            self.command(*words), input=stdin, capture_output=True, cwd=cwd or self.cwd, env=self.env | env, timeout=60
        )
        answer = Answer(done.returncode, done.stdout.decode(), done.stderr.decode())
        assert "Traceback" not in answer.errors and "Exception ignored" not in answer.errors, answer.errors
        if answer.status == 2 and not answer.output and "left out" not in answer.errors:
            assert re.fullmatch(r"rekall: [^\n]+\n", answer.errors), answer
        return answer

    def start(self, *words: str, **options: object) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        streams = {"stdin": pipe, "stdout": pipe, "stderr": pipe} | options
        return subprocess.Popen(self.command(*words), cwd=self.cwd, env=self.env, **streams)  # type: ignore[call-overload]

    def on_terminal(self, *words: str, columns: int = 80, **env: str) -> str:
        """Return what a terminal of that width is sent."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        environment = {key: value for key, value in self.env.items() if key not in ("NO_COLOR", "COLUMNS")} | env
        command = self.command(*words)
        streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
        with subprocess.Popen(command, **streams, env=environment, cwd=self.cwd) as process:
            os.close(theirs)
            stopper = threading.Timer(30, process.kill)
            stopper.start()
            sent = b"".join(iter(lambda: _read(ours), b""))
            stopper.cancel()
        os.close(ours)
        assert process.returncode in (0, 1), process.returncode
        assert b"Traceback" not in sent
        return sent.decode().replace("\r\n", "\n")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # EIO: nobody has the other end open any more
        return b""


def rekall_in(home: dict[str, str]) -> Rekall:
    """Return a `rekall` in a new working folder below the home that `home` names."""
    work = Path(home["HOME"], "desk")
    work.mkdir()
    return Rekall(home | {"PYTHONPATH": str(REPOSITORY), "TERM": "xterm-256color"}, work)


def wait_for(true: Callable[[], object], seconds: float = 30) -> None:
    """Return when `true` says so; fail when it has not for too long."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def unmount(disk: Path) -> None:
    """Unmount a disk; a process that is ending has lost its name before it lets go of its files."""
    wait_for(lambda: subprocess.run(["umount", disk], capture_output=True, check=False).returncode == 0)


def picks_of(base: Path) -> dict[str, float]:
    """Return how often each entry of a base was taken, wherever."""
    from rekall.db import sqlite3  # the same library: two in one process drop each other's locks

    with closing(sqlite3.connect(f"file:{base}?mode=ro", uri=True)) as connection:
        sql = "SELECT e.id, p.count FROM picks p JOIN entries e ON e.rowid = p.entry_rowid WHERE p.place = 0"
        return dict(connection.execute(sql).fetchall())


def is_running(pid: int) -> bool:
    """Tell whether a process lives; one that has ended and waits for its parent does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@contextmanager
def runtime_folder() -> Iterator[Path]:
    """Yield a folder for XDG_RUNTIME_DIR, short enough for a socket; at the end no server that used it is left."""
    folder = Path(tempfile.mkdtemp(prefix="rk", dir="/tmp"))
    try:
        yield folder
    finally:
        for lock in folder.glob("rekall/*/server.lock"):
            pid = int(lock.read_text().strip() or 0)
            if pid and is_running(pid):
                os.kill(pid, signal.SIGTERM)
                wait_for(lambda pid=pid: not is_running(pid))  # type: ignore[misc]  # a default binds the pid
        shutil.rmtree(folder)
