"""What a program printed, as plain lines of text: what a reader of its screen would have seen. Pure.

Escape sequences, progress bars, overstriking and hard wrapping are undone. Of a long output the head and the tail are
kept: a build says what it could not do where it began to fail, or at its end. Every step is one pass.
"""

from __future__ import annotations

import re

# Kept of each end of an output, in bytes: about 800 lines. A reader of an error does not go farther back either.
HEAD_BYTES = TAIL_BYTES = 64 << 10
# Of a longer line its beginning says what it is; minified code and progress without an end are such lines.
LONGEST_LINE = 1000
# A screen of these columns breaks a longer line hard; a line of just that width goes on in the next.
_SCREEN_WIDTH = 80

_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]?"  # CSI: colours, cursor
    r"|\x1b\][^\x07\x1b\n]*(?:\x07|\x1b\\)?"  # OSC: titles, links
    r"|\x1b[PX^_][^\x1b\n]*(?:\x1b\\)?"  # DCS and its kind
    r"|\x1b[ -/]*[0-~]?"  # what is left: character sets, saved cursors
    r"|\x9b[0-?]*[ -/]*[@-~]?|\x9d[^\x07\x9c\n]*[\x07\x9c]?"  # the same in one character
)
_LINE_ENDS = re.compile(r"\r*\n|\r+|[\x0b\x0c\x85\u2028\u2029]")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f]+")


class Kept:
    """The head and the tail of bytes that come in parts; what is between them is counted and let go."""

    def __init__(self, head_bytes: int = HEAD_BYTES, tail_bytes: int = TAIL_BYTES) -> None:
        self._head_bytes, self._tail_bytes = head_bytes, tail_bytes
        self._head, self._tail = bytearray(), bytearray()
        self.size = 0

    def add(self, data: bytes) -> None:
        """Add bytes at the end. Memory stays within the head and twice the tail."""
        self.size += len(data)
        room = self._head_bytes - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        self._tail += data[-self._tail_bytes :] if data else b""
        if len(self._tail) > 2 * self._tail_bytes:
            del self._tail[: -self._tail_bytes]

    def text(self) -> bytes:
        """Return all of it if nothing was let go, else what it begins with, whole words."""
        if self.is_whole:
            return bytes(self._head + self._tail)
        return bytes(self._head).rpartition(b" ")[0] or bytes(self._head)

    @property
    def is_whole(self) -> bool:
        """Whether nothing was let go."""
        return self.size == len(self._head) + len(self._tail)

    def lines(self) -> list[str]:
        """Return the lines of what was kept. Lines that the gap cuts through are left out of the tail."""
        if self.is_whole:
            return plain_lines(bytes(self._head + self._tail))
        tail = bytes(self._tail[-self._tail_bytes :])
        return plain_lines(bytes(self._head)) + plain_lines(tail)[1:]


def plain_lines(data: bytes) -> list[str]:
    """Return the lines of `data` as one would read them, blank ones left out.

    What a carriage return would have overwritten is a line of its own: a progress bar must not hide the error
    that was printed over it. Cost: linear in the size, about 10 ms for 128 kB.
    """
    text = _ESCAPES.sub("", data.decode("utf-8", "replace"))
    lines = [_read(line) for line in _LINE_ENDS.split(text)]
    return [line[:LONGEST_LINE] for line in _unwrapped(lines) if line.strip()]


def _read(line: str) -> str:
    """Return a line without control characters, backspaces carried out."""
    if "\b" in line:
        shown: list[str] = []
        for letter in line:
            if letter != "\b":
                shown.append(letter)
            elif shown:
                shown.pop()
        line = "".join(shown)
    return _CONTROL.sub("", line).rstrip()


def _unwrapped(lines: list[str]) -> list[str]:
    """Return `lines` with those put together again that a screen broke; nothing where a line is wider than one."""
    if not lines or max(map(len, lines)) > _SCREEN_WIDTH:
        return lines
    whole: list[str] = []
    goes_on = False
    for line in lines:
        if goes_on and line:
            whole[-1] += line
        else:
            whole.append(line)
        goes_on = len(line) == _SCREEN_WIDTH
    return whole
