"""The two values every door speaks: a Request goes in, a Response comes out.

A Request carries all that a command may know of its caller, so that the same command gives the
same answer whether it runs in the caller's process or elsewhere. Nothing in a command reads
os.environ, the working directory or sys.stdin.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import tzinfo
from pathlib import Path
from typing import Any, BinaryIO, Protocol  # Any: values that become JSON

from rekall.errors import FOUND

# What steers a terminal and JSON leaves as it is: DEL, C1, marks that turn the direction of a line.
_STEERING = re.compile("[\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def json_line(value: Any) -> str:
    """Return a JSON value on one line, every character escaped that steers a terminal; the value is the same."""
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False))


@dataclass(frozen=True)
class Terminal:
    """How the caller sees the answer. Width in columns; colour only where it is wanted."""

    width: int = 80
    output_is_tty: bool = False
    errors_are_tty: bool = False
    colour: bool = False


@dataclass(frozen=True)
class Request:
    """One command line with its surroundings. `options` has been checked by `command_line.parse`."""

    command: str
    options: argparse.Namespace
    cwd: Path
    env: Mapping[str, str]
    stdin: BinaryIO
    stdin_is_tty: bool
    terminal: Terminal
    zone: tzinfo | None = None  # the caller's, where it is not this process's own
    id: str | None = None  # of the request; a new entry takes it, so that a repeated request adds it once
    is_wanted: Callable[[], bool] = lambda: True  # False once the caller has gone or cancelled


class Sink(Protocol):
    """Where an answer goes as it comes: standard output, or a socket."""

    def data(self, text: str) -> None: ...
    def note(self, text: str) -> None: ...
    def copy(self, data: bytes) -> None: ...
    def flush(self) -> None: ...


@dataclass
class Response:
    """An answer under way: data for stdout, notes for people on stderr, and the exit status.

    `after` is what may follow once it is out. `picked` are the entries that somebody took: it is counted then, too.
    """

    sink: Sink
    errors_are_tty: bool = False  # a person reads the notes as they come
    status: int = FOUND
    after: list[Callable[[], None]] = field(default_factory=list)
    picked: list[str] = field(default_factory=list)

    def data(self, text: str) -> None:
        """Add a line of data."""
        self.sink.data(text + "\n")

    def raw(self, text: str) -> None:
        """Add data without a line end."""
        self.sink.data(text)

    def json(self, value: Any) -> None:
        """Add one JSON value on one line."""
        self.data(json_line(value))

    def flush(self) -> None:
        """Send what was said so far: somebody may wait for it before asking on."""
        self.sink.flush()

    def note(self, text: str) -> None:
        """Tell the user something that is no data."""
        self.sink.note(text + "\n")

    def copy(self, data: bytes) -> None:
        """Pass bytes of somebody else on to stderr, as they are."""
        self.sink.copy(data)
