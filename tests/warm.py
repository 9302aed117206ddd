"""The warm process as its users have it: the installed `rekall`, real servers, and clients that misbehave.

REKALL_ROUNDS says how often a race is run: a few times as a rule, `ci`, or `full`.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any  # the fields of an Entry

import numpy as np
from running import NOTED, Answer, Rekall, is_running, wait_for

from rekall import __version__, client, frames
from rekall.config import DEFAULT_MODEL
from rekall.db import Database
from rekall.engine import RECIPE
from rekall.entry import Entry, new_id
from rekall.memory import process_memory
from rekall.places import socket_folder
from rekall.protocol import Terminal
from rekall.vectors import unit_rows

PROGRAMS = Path(sys.executable).parent


def descriptors(pid: int) -> int:
    """Return how many descriptors a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def threads(pid: int) -> int:
    """Return how many threads a process has."""
    return len(os.listdir(f"/proc/{pid}/task"))


def rounds(few: int, ci: int, full: int) -> int:
    """Return how often to run something that fails rarely."""
    return {"ci": ci, "full": full}.get(os.environ.get("REKALL_ROUNDS", ""), few)


class Cold(Rekall):
    """The same questions, answered by Python in a process of its own."""

    def command(self, *words: str | bytes) -> list[str | bytes]:
        return [str(PROGRAMS / "rekall-py"), "--no-server", *words]


@dataclass
class Warm(Rekall):
    """`rekall` as it is installed, with a home and a socket's folder of its own."""

    def command(self, *words: str | bytes) -> list[str | bytes]:
        return [str(PROGRAMS / "rekall"), *words]

    @property
    def cold(self) -> Cold:
        return Cold(self.env, self.cwd)

    @property
    def folder(self) -> Path:
        return socket_folder(self.base, self.env)

    @property
    def socket(self) -> Path:
        return self.folder / "s"

    @property
    def log(self) -> str:
        return "".join(path.read_text(encoding="utf-8") for path in self.folder.glob("log*"))

    @property
    def pid(self) -> int:
        """The server that runs."""
        assert client.is_running(self.folder), "no server runs"
        return int((self.folder / "server.lock").read_text())

    def facts(self) -> dict[str, Any]:
        """Return what the server says of itself."""
        found: list[client.Answer] = []

        def is_told() -> bool:  # a server with much to do may not answer at once
            answer = client.ask(self.base, ["server", "status", "--json"], self.cwd, self.env, Terminal())
            found.extend([answer] if answer else [])
            return bool(found)

        wait_for(is_told, 10)
        assert found[0].status == 0
        facts: dict[str, Any] = json.loads(found[0].output)
        return facts

    def titles(self) -> list[str]:
        """Return the titles in the base, read without the server."""
        answer = self.cold("list", "--json", "--limit", "1000")
        return [hit["title"] for hit in json.loads(answer.output)["hits"]]

    def requests(self) -> int:
        return int(self.facts()["requests"])

    def warm_up(self, seconds: float = 30) -> int:
        """Start the server, if none runs, and return its id when it answers and has loaded the model."""
        assert self("search", "begin").status in (0, 1)
        wait_for(lambda: self.facts()["model_state"] == "loaded", seconds)
        return self.pid

    def start_server(self) -> int:
        """Start the server with a question that loads nothing. While an earlier one is leaving, none can be."""
        wait_for(lambda: self("list").status in (0, 1) and client.is_running(self.folder))
        return self.pid

    def processes(self) -> list[int]:
        """Return all processes of this home, the dead that nobody waited for among them."""
        return [pid for pid in _all_processes() if self._is_ours(pid)]

    def _is_ours(self, pid: int) -> bool:
        with suppress(OSError):
            env = Path(f"/proc/{pid}/environ").read_bytes()
            return f"HOME={self.env['HOME']}".encode() in env.split(b"\0")
        return False

    def servers(self) -> list[int]:
        return [pid for pid in self.processes() if is_running(pid) and b"run" in _words(pid)]

    def worker(self) -> int:
        """Return the process of the model."""
        (found,) = (pid for pid in self.processes() if b"rekall.worker" in _words(pid))
        return found

    def memory(self) -> int:
        """Return the bytes that all processes of this home take together."""
        return sum(process_memory(pid).get("pss", 0) for pid in self.processes())

    def end(self) -> None:
        """End whatever is left, hard if need be."""
        for number in (signal.SIGCONT, signal.SIGTERM, signal.SIGKILL):
            for pid in self.processes():
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
            if number != signal.SIGCONT and _waited(lambda: not self.processes(), 5):
                return

    def keep(self, titles: Sequence[str], **fields: Any) -> list[str]:
        """Put entries into the base, behind the server's back, each a little newer than the last; return their ids."""
        keys = [new_id() for _title in titles]
        with Database(self.base) as database:
            database.add_many([_entry(number, key, titles[number], fields) for number, key in enumerate(keys)])
        return keys

    def keep_noted(self) -> None:
        """Put the entries of `running` into the base, and a few alike."""
        with Database(self.base) as database:
            for number, fields in enumerate(NOTED):
                database.add(_entry(number, fields["id"], fields["title"], fields))
            database.add_many([_entry(number, f"n-{number}", f"note é {number}", {}) for number in range(9)])

    def keep_with_vectors(self, count: int, dimensions: int = 384) -> None:
        """Put `count` entries with made-up unit vectors into the base."""
        self.keep([f"synthetic entry number {number}" for number in range(count)], content="words " * 30)
        rows = unit_rows(np.random.default_rng(7).standard_normal((count, dimensions)))
        with Database(self.base) as database:
            waiting = database.pending(DEFAULT_MODEL, RECIPE, count)
            batch = [(pending, row[None]) for pending, row in zip(waiting, rows, strict=True)]
            assert len(database.store_vectors(batch, DEFAULT_MODEL, RECIPE)) == count


def _entry(number: int, key: str, title: str, fields: dict[str, Any]) -> Entry:
    stamp = f"2026-01-02T03:04:{number // 1000:02}.{number % 1000:03}Z"
    return Entry(**{"id": key, "type": "til", "title": title, "created_at": stamp, "updated_at": stamp, **fields})


def _all_processes() -> list[int]:
    names = os.listdir("/proc") if Path("/proc").is_dir() else []
    return [int(name) for name in names if name.isdecimal()]


def _words(pid: int) -> list[bytes]:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return []


def _waited(true: Any, seconds: float) -> bool:
    with suppress(AssertionError):
        wait_for(true, seconds)
        return True
    return False


@contextmanager
def warm_in(home: dict[str, str]) -> Iterator[Warm]:
    """Yield a `rekall` whose server is met in a short private folder; nothing of it is left at the end."""
    work = Path(home["HOME"], "desk")
    work.mkdir(exist_ok=True)
    with TemporaryDirectory(prefix="rk", dir="/tmp") as runtime:
        warm = Warm(home | {"XDG_RUNTIME_DIR": runtime, "TERM": "xterm-256color"}, work)
        try:
            yield warm
        finally:
            warm.end()


class Line:
    """A client of the test's own: says what it is told to, whether that is right or not."""

    def __init__(self, warm: Warm, seconds: float = 20) -> None:
        self._warm = warm
        self._reader = frames.Reader()
        self._frames: list[tuple[bytes, bytes]] = []
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(seconds)
        deadline = time.monotonic() + seconds
        while True:
            try:
                self.socket.connect(str(warm.socket))
                return
            except BlockingIOError:  # the backlog is full
                assert time.monotonic() < deadline
                time.sleep(0.01)
            except BaseException:
                self.socket.close()
                raise

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def send(self, kind: bytes, payload: bytes = b"") -> None:
        self.socket.sendall(frames.frame(kind, payload))

    def hello(self, *words: str, version: str = __version__, env: dict[str, str] | None = None, **fields: Any) -> None:
        variables = frames.caller_variables(self._warm.env) if env is None else env
        known: dict[str, Any] = {"cwd": self._warm.cwd, "terminals": "", "columns": 0, "rows": 0} | fields
        self.send(frames.HELLO, frames.Hello(version=version, env=variables, words=words, **known).encode())

    def frame(self) -> tuple[bytes, bytes] | None:
        """Return the next frame; None: the server has closed the line."""
        while not self._frames:
            try:
                data = self.socket.recv(1 << 16)
            except ConnectionResetError:
                return None
            if not data:
                return None
            self._frames += self._reader.feed(data)
        return self._frames.pop(0)

    def acknowledged(self, *words: str, **fields: Any) -> int:
        """Say hello and return the flags of the acknowledgement."""
        self.hello(*words, **fields)
        found = self.frame()
        assert found and found[0] == frames.ACKNOWLEDGED, found
        return found[1][0]

    def rest(self) -> Answer:
        """Return the answer up to its status."""
        said = {frames.OUTPUT: b"", frames.ERRORS: b""}
        while found := self.frame():
            kind, payload = found
            if kind == frames.STATUS:
                return Answer(payload[0], *(text.decode() for text in said.values()))
            said[kind] += payload
        raise AssertionError(f"no status after {said}")

    def ask(self, *words: str, **fields: Any) -> Answer:
        """Ask as the real client does, without stdin."""
        self.acknowledged(*words, **fields)
        self.send(frames.GO)
        return self.rest()

    def is_closed(self, seconds: float = 20) -> bool:
        """Wait for the end of the stream."""
        self.socket.settimeout(seconds)
        with suppress(TimeoutError):
            while self.frame():
                pass
            return True
        return False


def is_gone(pid: int) -> bool:
    return not is_running(pid)


def run_together(commands: Sequence[Sequence[str | bytes]], env: dict[str, str], cwd: Path) -> list[Answer]:
    """Run all commands at once and return their answers."""
    pipe = subprocess.PIPE
    running = [
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, env=env, cwd=cwd)
        for command in commands
    ]
    answers = []
    for process in running:
        output, errors = process.communicate(timeout=60)
        answers.append(Answer(process.returncode, output.decode(), errors.decode()))
    return answers


def serve(warm: Warm, **env: str) -> subprocess.Popen[bytes]:
    """Start a server with these variables, which a client would not hand on, and return its process when it listens."""
    for pid in warm.servers():
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda pid=pid: is_gone(pid))  # type: ignore[misc]  # a default binds the pid
    command = [str(PROGRAMS / "rekall-py"), "server", "run"]
    process = subprocess.Popen(command, env=warm.env | env, cwd=warm.cwd, stderr=subprocess.DEVNULL)
    lock = warm.folder / "server.lock"
    wait_for(lambda: lock.exists() and lock.read_text().strip() == str(process.pid) and client.is_running(warm.folder))
    return process


def start_with(warm: Warm, before: str) -> subprocess.Popen[bytes]:
    """Start a server in which `before` was executed first, and return its process when it answers."""
    code = f"{before}\nimport sys\nfrom rekall.cli import main\nsys.exit(main(sys.argv[1:]))"
    process = subprocess.Popen([sys.executable, "-c", code, "server", "run"], env=warm.env, cwd=warm.cwd)
    wait_for(lambda: warm.socket.exists() and process.poll() is None)
    return process
