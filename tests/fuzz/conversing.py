"""A conversation of the warm process without a process: what a client may send, and a host that only looks on."""

from __future__ import annotations

import socket
import struct
from collections.abc import Coroutine
from pathlib import Path
from typing import Any  # stands in for asyncio's objects

from rekall import __version__, frames
from rekall.conversation import Conversation


class _Stub:
    """Whatever is asked of it, nothing comes of it."""

    def __getattr__(self, _name: str) -> Any:
        return lambda *_arguments, **_options: None


class _Transport(_Stub):
    def __init__(self, peer: socket.socket) -> None:
        self._peer = peer
        self.closed = False
        self.sent = b""

    def write(self, data: bytes) -> None:
        assert not self.closed
        self.sent += data

    def close(self) -> None:
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def get_extra_info(self, _name: str) -> socket.socket:
        return self._peer

    def get_write_buffer_size(self) -> int:
        return 0


class _Task(_Stub):
    def done(self) -> bool:
        return False


class _Loop(_Stub):
    def create_task(self, app: Coroutine[Any, Any, None]) -> _Task:
        app.close()
        return _Task()

    def call_soon_threadsafe(self, call: Any, *arguments: Any) -> None:
        call(*arguments)


class _Log(_Stub):
    def error(self, _text: str, places: str) -> None:
        raise AssertionError(places)


class _Host(_Stub):
    loop, log = _Loop(), _Log()
    is_full = is_overrun = False

    def is_about(self, _base: Path) -> bool:
        return True


def converse(data: bytes) -> None:
    """Feed a conversation these bytes in two parts, then let the client go."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        transport = _Transport(ours)
        talk = Conversation(_Host())  # type: ignore[arg-type]
        talk.connection_made(transport)  # type: ignore[arg-type]
        half = len(data) // 2
        for part in (data[:half], data[half:]):
            if not transport.closed:
                talk.data_received(part)
        talk.connection_lost(None)
    list(frames.Reader().feed(transport.sent))  # what was said to it are frames


def said(words: tuple[str, ...], *parts: tuple[bytes, bytes]) -> bytes:
    """Return what a client says that asks for these words, then goes on with these frames."""
    env = {"HOME": "/h", "LANG": "fr", "TZ": "Asia/Tokyo"}
    hello = frames.Hello(__version__, Path("/x"), "ioet", 80, 24, env, words)
    return b"".join(frames.frame(kind, payload) for kind, payload in ((b"H", hello.encode()), (b"G", b""), *parts))


def seeds() -> list[bytes]:
    """Return whole conversations, as clients have them."""
    size = struct.pack(">HH", 80, 24)
    parts = [(b"I", b"text\n"), (b"E", b""), (b"W", size), (b"K", b"x"), (b"C", b"\0"), (b"X", b"")]
    asked = ("list", "add til x -c -", "search -", "pick", "repl", "server stop", "nonsense -x", "add til x")
    return [said(tuple(words.split()), *parts) for words in asked]
