"""The model in a process of its own, because only a process that ends gives all its memory back.

`spawn_engine` starts `python -m rekall.worker` and returns an Engine whose work is done there. The two share a
socket pair: the child lives until its end of it is closed, so it cannot outlive its parent. One request
at a time, in the order they came: a query waits for one passage of a background import at most.

A request is a kind (1 byte), a length (4 bytes) and a text, before a passage's 4 bytes that say where its piece
begins; a reply is a kind, a length and bytes.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import Condition
from typing import TYPE_CHECKING

from rekall.engine import Engine, load_engine
from rekall.errors import ModelUnavailable, RekallError
from rekall.language import _

if TYPE_CHECKING:
    from rekall.vectors import Matrix

_HEAD = struct.Struct(">cI")
_BEGIN = struct.Struct(">I")  # before a passage: where the piece under its title begins, in characters
_READY, _VECTOR, _OFFSETS, _FAILED = b"r", b"v", b"o", b"f"

# A library may fetch a model or warm up for long; an encode of 256 tokens takes 35 ms.
LOAD_SECONDS = 120.0
ANSWER_SECONDS = 20.0
# All that a worker sees of its parent's environment, beside what sentence-transformers finds its models by.
KEPT = ("HOME", "PATH", "LANG", "TMPDIR", "HF_HOME", "SENTENCE_TRANSFORMERS_HOME", "PYTHONPATH", "OPENBLAS_CORETYPE")
KEPT_PREFIXES = ("LC_", "XDG_")


class _Turns:
    """A lock that is given in the order it was asked for, so that nobody starves."""

    def __init__(self) -> None:
        self._waiting: deque[object] = deque()
        self._changed = Condition()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Hold the lock for the block."""
        mine = object()
        with self._changed:
            self._waiting.append(mine)
            self._changed.wait_for(lambda: self._waiting[0] is mine)
        try:
            yield
        finally:
            with self._changed:
                self._waiting.popleft()
                self._changed.notify_all()


class RemoteEngine(Engine):
    """An Engine whose model lives in a child process. Safe between threads.

    Whatever goes wrong there (it crashes, hangs, says nonsense) ends the child and raises ModelUnavailable;
    `is_alive` is False from then on.
    """

    def __init__(self, name: str, process: subprocess.Popen[bytes], line: socket.socket) -> None:
        """Take over a child that is loading `name`, and wait until it is ready. Raises ModelUnavailable."""
        self.name = name
        self._process = process
        self._line = line
        self._turns = _Turns()
        self.pid = process.pid
        reply = self._ask(None, b"", _READY, LOAD_SECONDS)
        try:
            facts = json.loads(reply)
            self.dimensions, self.max_tokens = int(facts["dimensions"]), int(facts["max_tokens"])
        except (ValueError, TypeError, KeyError):
            raise self._nonsense() from None

    @property
    def is_alive(self) -> bool:
        """False once the child has ended, by itself too; it is waited for then."""
        return not self._is_closed and self._process.poll() is None

    def encode(self, texts: Sequence[str]) -> Matrix:
        import numpy as np

        rows = np.empty((len(texts), self.dimensions), dtype=np.float32)
        for row, text in enumerate(texts):
            reply = self._ask(b"e", text.encode("utf-8", "replace"), _VECTOR)
            if len(reply) != rows[row].nbytes:
                raise self._nonsense()
            rows[row] = np.frombuffer(reply, dtype=np.float32)
        return rows

    def encode_passage(self, text: str, begin: int) -> Matrix:
        import numpy as np

        reply = self._ask(b"p", _BEGIN.pack(begin) + text.encode("utf-8", "replace"), _VECTOR)
        rows = np.frombuffer(reply, dtype=np.float32)
        if not len(rows) or len(rows) % self.dimensions:
            raise self._nonsense()
        return rows.reshape(-1, self.dimensions)

    def offsets(self, text: str) -> list[tuple[int, int]]:
        import numpy as np

        reply = self._ask(b"o", text.encode("utf-8", "replace"), _OFFSETS)
        return [(start, end) for start, end in np.frombuffer(reply, dtype=np.int64).reshape(-1, 2).tolist()]

    def _ask(self, kind: bytes | None, payload: bytes, wanted: bytes, seconds: float = ANSWER_SECONDS) -> bytes:
        with self._turns.turn():
            if self._is_closed:
                raise ModelUnavailable(_("the model's process has ended; ask again, or by words: --words"))
            try:
                self._line.settimeout(seconds)
                if kind is not None:
                    self._line.sendall(_HEAD.pack(kind, len(payload)) + payload)
                found, length = _HEAD.unpack(_exactly(self._line, _HEAD.size))
                reply = _exactly(self._line, length)
            except OSError as error:
                self._end()
                self._line.close()
                raise ModelUnavailable(self._why(error, seconds)) from None
        if found == _FAILED:
            raise ModelUnavailable(reply.decode())
        if found != wanted:
            raise self._nonsense()
        return reply

    def _nonsense(self) -> ModelUnavailable:
        self.close()
        return ModelUnavailable(_("the model's process answers nonsense; ask again, or by words: --words"))

    def _why(self, error: OSError, seconds: float) -> str:
        if isinstance(error, TimeoutError):
            return _("model {name} did not answer within {seconds:.0f} s; words still work: --words").format(
                name=self.name, seconds=seconds
            )
        return _("model {name} ended unexpectedly (status {status}); words still work: --words").format(
            name=self.name, status=self._process.returncode
        )

    def close(self) -> None:
        """End the child and wait for it; it holds nothing that could be lost. Cost: a few ms."""
        self._end()
        with self._turns.turn():  # who waited for an answer was told by the end of the stream
            self._line.close()

    def _end(self) -> None:
        self._is_closed = True
        with suppress(OSError):
            self._line.shutdown(socket.SHUT_RDWR)
        self._process.kill()
        self._process.wait()


def _exactly(line: socket.socket, count: int) -> bytes:
    """Read `count` bytes. Raises OSError, also at the end of the stream."""
    parts = bytearray()
    while len(parts) < count:
        part = line.recv(min(count - len(parts), 1 << 20))
        if not part:
            raise ConnectionResetError("the other end is closed")
        parts += part
    return bytes(parts)


def spawn_engine(name: str) -> Engine:
    """Return an Engine for `name` in a process of its own. Raises ModelUnavailable. Cost: 0.4 s."""
    ours, theirs = socket.socketpair()
    env = {key: value for key, value in os.environ.items() if key in KEPT or key.startswith(KEPT_PREFIXES)}
    # One thread each, and few arenas: a query is one short text, and memory is what this process is for.
    env |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "rekall.worker", str(theirs.fileno()), name],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(),),
            cwd="/",
            env=env,
            start_new_session=True,
        )
    except OSError as error:
        ours.close()
        raise ModelUnavailable(
            _("the model's process cannot be started ({reason}); words still work: --words").format(
                reason=error.strerror
            )
        ) from None
    finally:
        theirs.close()
    try:
        return RemoteEngine(name, process, ours)
    except BaseException:
        ours.close()
        process.kill()
        process.wait()
        raise


def main(words: Sequence[str]) -> None:
    """Load the model that `words` names and answer on the descriptor it names, until that is closed."""
    line = socket.socket(fileno=int(words[0]))
    with suppress(OSError):
        try:
            engine = load_engine(words[1])
            facts = {"dimensions": engine.dimensions, "max_tokens": engine.max_tokens}
            _reply(line, _READY, json.dumps(facts).encode())
        except RekallError as error:
            _reply(line, _FAILED, str(error).encode())
            return
        while True:
            kind, length = _HEAD.unpack(_exactly(line, _HEAD.size))
            _serve(line, engine, kind, _exactly(line, length))


def _serve(line: socket.socket, engine: Engine, kind: bytes, payload: bytes) -> None:
    import numpy as np

    begin = _BEGIN.unpack(payload[: _BEGIN.size])[0] if kind == b"p" else 0
    text = payload[_BEGIN.size if kind == b"p" else 0 :].decode("utf-8", "replace")
    work: dict[bytes, tuple[bytes, Callable[[], bytes]]] = {
        b"e": (_VECTOR, lambda: engine.encode([text])[0].tobytes()),
        b"p": (_VECTOR, lambda: engine.encode_passage(text, begin).tobytes()),
        b"o": (_OFFSETS, lambda: np.array(engine.offsets(text), dtype=np.int64).tobytes()),
    }
    answer, do = work[kind]
    try:
        _reply(line, answer, do())
    except OSError:
        raise
    except Exception as error:  # the model's library raises kinds of its own
        _reply(line, _FAILED, f"{type(error).__name__}: {' '.join(str(error).split())[:200]}".encode())


def _reply(line: socket.socket, kind: bytes, payload: bytes) -> None:
    line.sendall(_HEAD.pack(kind, len(payload)) + payload)


if __name__ == "__main__":
    main(sys.argv[1:])
