"""What client and server say to each other, as bytes. Pure; docs/protocol.md explains each frame.

A frame is a type (1 byte), a length (4 bytes, big endian) and that many bytes.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PROTOCOL = "1"

HELLO, GO, STDIN, STDIN_END, KEYS, SIZE, CANCEL = b"H", b"G", b"I", b"E", b"K", b"W", b"X"
ACKNOWLEDGED, LOCALLY, OTHER_VERSION = b"A", b"L", b"V"
OUTPUT, ERRORS, TERMINAL, CHILD, STATUS = b"O", b"R", b"T", b"C", b"X"

# What A asks of the client.
WANTS_STDIN, WRITES, INTERACTIVE = 1, 2, 4

LONGEST = 1 << 20
LONGEST_HELLO = 4 << 20
# Columns or rows of a terminal: two bytes, as W has them.
LONGEST_SIDE = (1 << 16) - 1
_HEAD = struct.Struct(">cI")

# The variables of the caller that an answer may depend on; and all that begin with one of the prefixes.
VARIABLES = (
    "HOME",
    "LANG",
    "LANGUAGE",
    "NO_COLOR",
    "FORCE_COLOR",
    "TERM",
    "TZ",
    "COLUMNS",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_STATE_HOME",
)
PREFIXES = ("LC_", "REKALL_")


class BadFrame(Exception):
    """The other side does not speak this protocol; the connection is of no use."""


def frame(kind: bytes, payload: bytes = b"") -> bytes:
    """Return one frame. The payload must not be longer than LONGEST."""
    return _HEAD.pack(kind, len(payload)) + payload


def frames_of(kind: bytes, data: bytes) -> Iterator[bytes]:
    """Yield `data` of any length as frames."""
    for start in range(0, len(data), LONGEST):
        yield frame(kind, data[start : start + LONGEST])


class Reader:
    """Cuts a stream of bytes into frames."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Take what came and yield each whole (type, payload). Raises BadFrame for one that is too long."""
        self._held += data
        while len(self._held) >= _HEAD.size:
            kind, length = _HEAD.unpack_from(self._held)
            if length > (LONGEST_HELLO if kind == HELLO else LONGEST):
                raise BadFrame(f"a frame of {length} bytes")
            end = _HEAD.size + length
            if len(self._held) < end:
                return
            payload = bytes(self._held[_HEAD.size : end])
            del self._held[:end]
            yield kind, payload


@dataclass(frozen=True, slots=True)
class Hello:
    """Who asks, from where, and what: the payload of H."""

    version: str
    cwd: Path | None  # None: it is gone
    terminals: str  # which of i(n) o(ut) e(rrors) are terminals; t: there is a controlling one
    columns: int
    rows: int
    env: Mapping[str, str]
    words: Sequence[str]
    protocol: str = PROTOCOL

    def encode(self) -> bytes:
        """Return the payload."""
        env = [f"{name}={value}" for name, value in self.env.items()]
        head = (self.protocol, self.version, str(self.cwd or ""), self.terminals, str(self.columns), str(self.rows))
        return b"".join(os.fsencode(text) + b"\0" for text in (*head, str(len(env)), *env, *self.words))

    @classmethod
    def decode(cls, payload: bytes) -> Hello:
        """Read a payload. Raises BadFrame. Of another protocol, only protocol and version count."""
        fields = [os.fsdecode(field) for field in payload.split(b"\0")]
        if len(fields) < 3 or fields.pop() != "":
            raise BadFrame("a hello that does not end")
        protocol, version = fields[:2]
        if protocol != PROTOCOL:
            return cls(version, None, "", 0, 0, {}, (), protocol)
        try:
            _protocol, _version, cwd, terminals, columns, rows, count = fields[:7]
            pairs, words = fields[7 : 7 + int(count)], fields[7 + int(count) :]
            env = dict(pair.split("=", 1) for pair in pairs)
            size = int(columns), int(rows)
            if len(pairs) != int(count) or (cwd and not cwd.startswith("/")):
                raise ValueError
            if min(size) < 0 or max(size) > LONGEST_SIDE:
                raise ValueError
            return cls(version, Path(cwd) if cwd else None, terminals, *size, env, words)
        except ValueError:
            raise BadFrame("a hello that cannot be read") from None


def caller_variables(env: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of `env` that a hello carries."""
    return {name: value for name, value in env.items() if name in VARIABLES or name.startswith(PREFIXES)}


def acknowledgement(flags: int, request_id: str) -> bytes:
    """Return the frame A."""
    return frame(ACKNOWLEDGED, bytes([flags]) + request_id.encode("ascii"))


def child(words: Sequence[str], text: bytes = b"") -> bytes:
    """Return the frame C: run `words` in the caller's own process, `text` its stdin."""
    return frame(CHILD, struct.pack(">I", len(text)) + text + b"".join(os.fsencode(word) + b"\0" for word in words))
