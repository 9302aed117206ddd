"""The Python side's way to talk to the warm process: ask it, stop it, start it.

The client that people use is the C one (ext/client.c). This one serves the commands that are about the server
itself, and never starts one just to ask.
"""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from select import select

from rekall import __version__, frames
from rekall.errors import RekallError
from rekall.language import _
from rekall.places import secure_folder, socket_folder
from rekall.protocol import Terminal

# An acknowledgement comes at once or there is nobody; an answer may wait for a model.
ACKNOWLEDGED_SECONDS = 0.3
ANSWER_SECONDS = 60.0
STOP_SECONDS = 10.0
ASK_AGAIN_SECONDS = 0.5
START_SECONDS = 10.0

# All that the server keeps of its starter's environment; ext/start.c holds the same list.
SERVER_VARIABLES = (
    "HOME", "PATH", "USER", "LANG", "TMPDIR", "REKALL_CONFIG", "REKALL_KERNEL", "HF_HOME", "SENTENCE_TRANSFORMERS_HOME",
)  # fmt: skip
SERVER_PREFIXES = ("LC_", "XDG_")


class ServerStuck(RekallError):
    """The warm process cannot be stopped or started."""


@dataclass(frozen=True)
class Answer:
    """What the server said."""

    status: int
    output: str
    errors: str


def ask(base: Path, words: Sequence[str], cwd: Path, env: Mapping[str, str], terminal: Terminal) -> Answer | None:
    """Return the running server's answer to a command line, or None if none runs here or it does not answer.

    Only for commands that read nothing from stdin.
    """
    line = connect(socket_folder(base, env))
    if line is None:
        return None
    with line:
        ttys = "o" * terminal.output_is_tty + "e" * terminal.errors_are_tty
        hello = frames.Hello(__version__, cwd, ttys, terminal.width, 0, frames.caller_variables(env), words)
        with suppress(OSError, frames.BadFrame):
            return _converse(line, hello)
    return None


def connect(folder: Path) -> socket.socket | None:
    """Return a connection to the server of `folder`, or None if none answers there or it is not ours."""
    line = socket.socket(socket.AF_UNIX)
    try:
        line.settimeout(ACKNOWLEDGED_SECONDS)
        if folder.stat().st_uid == os.getuid():
            line.connect(str(folder / "s"))
            if peer_uid(line) == os.getuid():
                return line
    except OSError:
        pass
    line.close()
    return None


def peer_uid(line: socket.socket) -> int:
    """Return the user at the other end of a Unix socket."""
    if hasattr(socket, "SO_PEERCRED"):
        credentials = line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        return int.from_bytes(credentials[4:8], sys.byteorder)
    local_peercred = 1  # macOS: sys/un.h; struct xucred is a version, then the uid
    return int.from_bytes(line.getsockopt(0, local_peercred, 76)[4:8], sys.byteorder)


def _converse(line: socket.socket, hello: frames.Hello) -> Answer | None:
    line.sendall(frames.frame(frames.HELLO, hello.encode()))
    said = {frames.OUTPUT: bytearray(), frames.ERRORS: bytearray()}
    reader = frames.Reader()
    while data := line.recv(1 << 16):
        for kind, payload in reader.feed(data):
            if kind == frames.ACKNOWLEDGED:
                line.settimeout(ANSWER_SECONDS)
                line.sendall(frames.frame(frames.GO))
            elif kind in said:
                said[kind] += payload
            elif kind == frames.STATUS and payload:
                output, errors = (text.decode("utf-8", "replace") for text in said.values())
                return Answer(payload[0], output, errors)
            else:
                return None
    return None


def stop(base: Path, env: Mapping[str, str]) -> bool:
    """End the server of `base` and return when it is gone; tell whether there was one. Raises ServerStuck."""
    folder = socket_folder(base, env)
    if not is_running(folder):
        return False
    deadline = time.monotonic() + STOP_SECONDS
    while is_running(folder):
        ask(base, ["server", "stop"], Path("/"), env, Terminal())  # one that has much to do may not hear it at once
        if not _waited(lambda: not is_running(folder), ASK_AGAIN_SECONDS) and time.monotonic() > deadline:
            raise ServerStuck(
                _("the server of {path} does not stop; end it by hand: kill {pid}").format(path=base, pid=_pid(folder))
            )
    return True


def is_running(folder: Path) -> bool:
    """Tell whether a server holds the lock of `folder`, whether it answers or not."""
    try:
        lock = os.open(folder / "server.lock", os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def _pid(folder: Path) -> str:
    with suppress(OSError):
        return (folder / "server.lock").read_text().strip() or "?"
    return "?"


def start(base: Path, env: Mapping[str, str]) -> None:
    """Start a server for `base` and return when it listens. Raises ServerStuck, FolderRefused."""
    os.close(secure_folder(socket_folder(base, env)))
    ours, theirs = os.pipe()
    kept = {name: value for name, value in env.items() if name in SERVER_VARIABLES or name.startswith(SERVER_PREFIXES)}
    words = ["-m", "rekall", "--db", str(base), "server", "run", "--ready", str(theirs)]
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(theirs,),
            cwd="/",
            env=kept | {name: value for name, value in env.items() if name == "PYTHONPATH"},
            start_new_session=True,
        )
        process.returncode = 0  # it outlives this process: nobody waits for it, and nobody need be warned
    finally:
        os.close(theirs)
    with open(ours, "rb") as pipe:
        is_told = bool(select([pipe], [], [], START_SECONDS)[0]) and bool(pipe.read(1))
        if not is_told and not is_running(socket_folder(base, env)):  # a client in a hurry may have started another
            raise ServerStuck(_("the server of {path} does not start; see: rekall doctor").format(path=base))


def _waited(true: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
