"""What an answer becomes on its way to a client: frames, and a line for the log if it broke off."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path

from rekall import frames
from rekall.render import on_terminal, plain

# Output is sent on in parts of this size.
PART_BYTES = 1 << 16


class SocketSink:
    """Where an answer goes: frames on one connection. Used by one thread at a time.

    `terminals` names the streams (o, e) that are a terminal, `raw` those of them in raw mode, where a line does not
    begin at its left by itself.
    """

    def __init__(self, send: Callable[[bytes], None], terminals: str, raw: str = "") -> None:
        """`send` takes frames, and may wait while the client is far behind."""
        self._send = send
        self._output_is_tty = "o" in terminals
        self._raw = raw
        self._parts: list[bytes] = []
        self._size = 0

    def data(self, text: str) -> None:
        part = self._ended("o", on_terminal(text) if self._output_is_tty else text)
        self._parts.append(part)
        self._size += len(part)
        if self._size >= PART_BYTES:
            self.flush()

    def note(self, text: str) -> None:
        self.flush()
        self._send(b"".join(frames.frames_of(frames.ERRORS, self._ended("e", plain(text)))))

    def _ended(self, stream: str, text: str) -> bytes:
        """Return `text` as bytes, its lines ended as the stream wants it."""
        return (text.replace("\n", "\r\n") if stream in self._raw else text).encode("utf-8", "replace")

    def copy(self, data: bytes) -> None:
        self.flush()
        self._send(b"".join(frames.frames_of(frames.ERRORS, data)))

    def flush(self) -> None:
        if self._parts:
            self._send(self.taken())

    def taken(self) -> bytes:
        """Return what was said and not sent yet, as frames."""
        said = b"".join(self._parts)
        self._parts, self._size = [], 0
        return b"".join(frames.frames_of(frames.OUTPUT, said))


def where(error: BaseException) -> str:
    """Return what was raised and where, without a word of what was being worked on."""
    places = [
        f"{Path(frame.filename).name}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)
    ]
    return "\n".join([*places, f"{type(error).__name__} at {places[-1] if places else '?'}"])
