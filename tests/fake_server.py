"""A desk for the C client: its executable beside a rekall-py that only takes notes, and servers that play a part.

A server here is a thread that speaks the frames of docs/protocol.md as a test dictates, one function a connection.
"""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from running import Answer

from rekall import __version__
from rekall.config import find_base

CLIENT = Path(os.environ.get("REKALL_TEST_CLIENT") or Path(sys.executable).with_name("rekall"))
is_compiled = CLIENT.exists() and not CLIENT.read_bytes().startswith(b"#!")
needs_client = pytest.mark.skipif(not is_compiled, reason="the command rekall was not compiled here")
REQUEST = b"01ARZ3NDEKTSV4RRFFQ69G5FAV"
SEND_STDIN, WRITES, INTERACTIVE = 1, 2, 4
LOCAL_STATUS = 42

# Notes its words, environment and stdin, and answers LOCAL_STATUS.
NOTE_TAKER = f"""#!/bin/sh
here=$(dirname "$0")
printf '%s\\0' "$@" > "$here/words"
cat /proc/$$/environ > "$here/environment"
cat > "$here/stdin"
echo local
exit {LOCAL_STATUS}
"""

# As `server run` it notes its words and gives up; else it takes notes as above.
QUITTER = """#!/bin/sh
here=$(dirname "$0")
case " $* " in
*" server run "*) printf '%s\\0' "$@" > "$here/server-words"; echo $$ >> "$here/starts" ;;
*) exec "$here/note-taker" "$@" ;;
esac
"""

# As `server run` it listens, notes its start and answers; else it takes notes as above.
SERVER = f"""#!{sys.executable} -IS
import os, socket, struct, sys, time
here = os.path.dirname(sys.argv[0])
if "server" not in sys.argv:
    os.execv(here + "/note-taker", sys.argv)
with open(here + "/starts", "a") as starts:
    starts.write(f"{{os.getpid()}}\\n")
with open(here + "/server-words", "wb") as words:
    words.write(b"\\0".join(os.fsencode(word) for word in sys.argv[1:]))
time.sleep(@BEFORE@)
listener = socket.socket(socket.AF_UNIX)
name = "@FOLDER@/" + str(os.getpid())
listener.bind(name)
listener.listen(100)
os.rename(name, "@FOLDER@/s")
os.write(3, b".")
os.close(3)
def get(connection):
    head = connection.recv(5, socket.MSG_WAITALL)
    return head[:1], connection.recv(struct.unpack(">I", head[1:])[0], socket.MSG_WAITALL) if head else b""
while True:
    with listener.accept()[0] as connection:
        if get(connection)[0] == b"H":
            connection.sendall(b"A" + struct.pack(">I", 27) + b"\\0" + b"{REQUEST.decode()}")
            if get(connection)[0] == b"G":
                connection.sendall(b"O\\0\\0\\0\\5warm\\nX\\0\\0\\0\\1\\0")
"""


@dataclass
class Hello:
    """What the client tells about itself."""

    protocol: bytes
    version: bytes
    cwd: bytes
    terminals: bytes
    columns: int
    rows: int
    variables: dict[bytes, bytes]
    words: list[bytes]

    @classmethod
    def parsed(cls, payload: bytes) -> Hello:
        *texts, end = payload.split(b"\0")
        assert end == b""
        count = int(texts[6])
        variables = dict(text.split(b"=", 1) for text in texts[7 : 7 + count])
        return cls(*texts[:4], int(texts[4]), int(texts[5]), variables, texts[7 + count :])  # type: ignore[arg-type]


class Connection:
    """One client, seen from the server."""

    def __init__(self, stream: socket.socket) -> None:
        self.stream = stream
        stream.settimeout(20)

    def get(self) -> tuple[bytes, bytes]:
        """Return the next frame; (b"", b"") at the end."""
        head = self._exactly(5)
        return (head[:1], self._exactly(struct.unpack(">I", head[1:])[0])) if head else (b"", b"")

    def _exactly(self, count: int) -> bytes:
        got = b""
        while len(got) < count:
            try:
                piece = self.stream.recv(count - len(got))
            except ConnectionResetError:
                piece = b""
            if not piece:
                assert not got, got
                return b""
            got += piece
        return got

    def expect(self, kind: bytes, payload: bytes | None = None) -> bytes:
        got = self.get()
        assert got[0] == kind and payload in (None, got[1]), got
        return got[1]

    def send(self, kind: bytes, payload: bytes = b"") -> None:
        self.stream.sendall(kind + struct.pack(">I", len(payload)) + payload)

    def hello(self) -> Hello:
        return Hello.parsed(self.expect(b"H"))

    def accept(self, flags: int = 0) -> Hello:
        """Take a request up to `G`."""
        hello = self.hello()
        self.send(b"A", bytes([flags]) + REQUEST)
        self.expect(b"G", b"")
        return hello

    def stdin(self) -> bytes:
        pieces = []
        while (frame := self.get())[0] == b"I":
            pieces.append(frame[1])
        assert frame == (b"E", b"")
        return b"".join(pieces)

    def finish(self, output: bytes = b"", status: int = 0) -> None:
        if output:
            self.send(b"O", output)
        self.send(b"X", bytes([status]))

    def expect_end(self) -> None:
        assert self.get() == (b"", b"")


Play = Callable[[Connection], None]


@dataclass
class Desk:
    """A folder with a short path (sun_path is 104 to 108 bytes), an environment, and the client."""

    folder: Path
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.home, self.bin, self.runtime = self.folder / "home", self.folder / "bin", self.folder / "run"
        for folder in (self.home, self.bin, self.runtime):
            folder.mkdir(mode=0o700)
        shutil.copy(CLIENT, self.bin / "rekall")
        self.install("note-taker", NOTE_TAKER)
        self.install("rekall-py", NOTE_TAKER)
        path = os.environ["PATH"]
        self.env = {"HOME": str(self.home), "PATH": path, "XDG_RUNTIME_DIR": str(self.runtime), "LC_ALL": "C"}
        self.work = self.home / "desk"
        self.work.mkdir()

    def install(self, name: str, text: str) -> None:
        """Put a script in place in one step: writing a file that runs is refused (ETXTBSY)."""
        new = self.bin / "new"
        new.write_text(text)
        new.chmod(0o755)
        new.rename(self.bin / name)

    def install_server(self, seconds_before: float = 0) -> None:
        text = SERVER.replace("@FOLDER@", str(self.socket.parent)).replace("@BEFORE@", str(seconds_before))
        self.install("rekall-py", text)

    @property
    def base(self) -> str:
        return os.path.realpath(find_base(self.work, self.env).path)

    @property
    def socket(self) -> Path:
        return Path(folder_of(self.base, self.env), "s")

    def prepare(self) -> Path:
        """Make the folder of the socket."""
        self.socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.socket.parent.parent.chmod(0o700)
        return self.socket.parent

    def command(self, *words: str | bytes) -> list[str | bytes]:
        return [str(self.bin / "rekall"), *words]

    def start(
        self, *words: str | bytes, env: Mapping[str, str] | None = None, **options: object
    ) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        streams = {"stdin": subprocess.DEVNULL, "stdout": pipe, "stderr": pipe, "cwd": self.work} | options
        chosen = self.env | dict(env or {})
        return subprocess.Popen(self.command(*words), env=chosen, start_new_session=True, **streams)  # type: ignore[call-overload]

    def __call__(self, *words: str | bytes, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> Answer:
        with self.start(*words, env=env, stdin=subprocess.PIPE) as process:
            output, errors = process.communicate(stdin, timeout=30)
        return Answer(process.returncode, output.decode(), errors.decode())

    def note(self, name: str) -> bytes | None:
        path = self.bin / name
        return path.read_bytes() if path.exists() else None

    def local_words(self) -> list[bytes] | None:
        """Return what rekall-py was given, and forget it; None: it was not run."""
        noted = self.note("words")
        (self.bin / "words").unlink(missing_ok=True)
        return None if noted is None else noted.split(b"\0")[:-1]

    def starts(self) -> list[int]:
        """Return the process ids of the servers that were started."""
        return [int(line) for line in (self.note("starts") or b"").split()]

    @contextmanager
    def server(
        self, *plays: Play, during: Callable[[socket.socket], object] = lambda _listener: None
    ) -> Iterator[None]:
        """Listen where the client looks and play a part for each connection; what fails there fails here."""
        self.prepare()
        failures: list[BaseException] = []
        with socket.socket(socket.AF_UNIX) as listener:
            self.socket.unlink(missing_ok=True)
            listener.bind(str(self.socket))
            listener.listen(100)
            listener.settimeout(20)
            during(listener)

            def serve() -> None:
                try:
                    for play in plays:
                        stream = listener.accept()[0]
                        with stream:
                            play(Connection(stream))
                except BaseException as failure:  # shown where the test can see it
                    failures.append(failure)

            thread = threading.Thread(target=serve)
            thread.start()
            try:
                yield
                thread.join(25)
                assert not thread.is_alive(), "a connection never came"
            finally:
                with suppress(OSError):
                    listener.shutdown(socket.SHUT_RDWR)
                thread.join(25)
        self.socket.unlink(missing_ok=True)
        if failures:
            raise failures[0]


def folder_of(base: str, env: Mapping[str, str]) -> str:
    """Name the folder of a base's socket, after docs/protocol.md alone."""
    value = 0xCBF29CE484222325
    for byte in os.fsencode(base):
        value = (value ^ byte) * 0x100000001B3 % 2**64
    own = f"rekall-{os.getuid()}"
    for parent, name in ((env.get("XDG_RUNTIME_DIR", ""), "rekall"), (env.get("TMPDIR", ""), own), ("/tmp", own)):
        root = f"{parent}/{name}"
        fits = root.startswith("/") and parent and len(os.fsencode(root)) <= 72 and os.path.isdir(parent)
        if fits and (name != "rekall" or os.stat(parent).st_uid == os.getuid()):
            return f"{root}/{value:016x}"
    raise AssertionError("no /tmp")


def hello_frame(*texts: bytes) -> bytes:
    return b"".join(text + b"\0" for text in texts)


def seconds_since(start: float) -> float:
    return time.monotonic() - start


VERSION = __version__.encode()


def answering(output: bytes = b"warm\n", status: int = 0, flags: int = 0) -> Play:
    def play(client: Connection) -> None:
        client.accept(flags)
        client.finish(output, status)
        client.expect_end()

    return play
