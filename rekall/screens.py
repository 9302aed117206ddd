"""A terminal as an interactive app sees it, wherever it is: at the other end of a connection, or here.

A Screen gives prompt_toolkit an input and an output, and does for the app what only the caller's own process
can do: run an editor or a clipboard command there, with its terminal and its environment.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol, TextIO, cast

from prompt_toolkit.application import create_app_session
from prompt_toolkit.data_structures import Size
from prompt_toolkit.input import Input, create_input, create_pipe_input
from prompt_toolkit.output import ColorDepth, Output
from prompt_toolkit.output.vt100 import Vt100_Output

from rekall import frames
from rekall.door import no_terminal

# What a program that could not be run answers, after the shells.
NOT_RUN = 127
# A terminal that does not tell its size.
USUAL_SIZE = Size(rows=24, columns=80)


class Screen(Protocol):
    """What an interactive app has to do with."""

    input: Input
    output: Output
    on_resize: Callable[[], None]  # set by the app while it runs

    async def run(self, words: Sequence[str], text: bytes = b"") -> int:
        """Run a command in the caller's process, `text` its stdin (none: the terminal); return its status.

        No app may be drawing meanwhile. The word `rekall-py` at the front means our own, whatever PATH says.
        """


def _nothing() -> None:
    """Pay no attention to a new size: nothing is drawn."""


def _size(columns: int, rows: int) -> Size:
    return Size(rows=rows or USUAL_SIZE.rows, columns=columns or USUAL_SIZE.columns)


def output_for(file: TextIO, size: Callable[[], Size], env: Mapping[str, str]) -> Output:
    """Return an output for a terminal that is what `env` says. It is asked nothing: the answer might be late."""
    term = env.get("TERM") or "dumb"
    plain = bool(env.get("NO_COLOR")) or term == "dumb"
    depth = ColorDepth.DEPTH_1_BIT if plain else ColorDepth.DEPTH_8_BIT
    return Vt100_Output(file, size, term=term, default_color_depth=depth, enable_bell=False, enable_cpr=False)


class RemoteScreen:
    """A terminal behind a connection: what is drawn leaves as T frames, what is typed comes as K frames."""

    def __init__(self, send: Callable[[bytes], None], columns: int, rows: int, env: Mapping[str, str]) -> None:
        """`send` takes frames, in the loop's thread. A size of 0 is one that is not known."""
        self._send = send
        self._size = _size(columns, rows)
        self._pipe = create_pipe_input()
        self.input = pipe = self._pipe.__enter__()
        self._typed: deque[bytes] = deque()
        self._write_end = int(pipe.pipe.write_fd)  # type: ignore[attr-defined]  # no public name
        os.set_blocking(self._write_end, False)
        self.output = output_for(cast(TextIO, _FrameFile(send)), lambda: self._size, env)
        self.on_resize: Callable[[], None] = _nothing
        self._child: asyncio.Future[int] | None = None

    def keys(self, data: bytes) -> None:
        """Take what was typed. A long paste goes in as fast as the app reads it, and never blocks the loop."""
        self._typed.append(data)
        if len(self._typed) == 1:
            self._pass_on()

    def _pass_on(self) -> None:
        while self._typed:
            try:
                count = os.write(self._write_end, self._typed[0][:4096])
            except BlockingIOError:
                asyncio.get_running_loop().call_later(0.005, self._pass_on)
                return
            except OSError:
                self._typed.clear()  # closed: nobody reads any more
                return
            rest = self._typed.popleft()[count:]
            if rest:
                self._typed.appendleft(rest)

    def resize(self, columns: int, rows: int) -> None:
        """Take a new size."""
        self._size = _size(columns, rows)
        self.on_resize()

    def child_ended(self, status: int) -> None:
        """Take the status of what `run` had run."""
        if self._child and not self._child.done():
            self._child.set_result(status)

    async def run(self, words: Sequence[str], text: bytes = b"") -> int:
        self.output.flush()
        self._child = asyncio.get_running_loop().create_future()
        self._send(frames.child(words, text))
        try:
            return await self._child
        finally:
            self._child = None

    def close(self) -> None:
        """Let the app see the end of its input, and whoever waits for a child its end."""
        self.child_ended(NOT_RUN)
        self.input.close()
        self._pipe.__exit__(None, None, None)


class _FrameFile:
    """What Vt100_Output takes for a text file: each flush of it becomes T frames."""

    encoding = "utf-8"

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = send
        self._parts: list[str] = []

    def write(self, text: str) -> int:
        self._parts.append(text)
        return len(text)

    def flush(self) -> None:
        if self._parts:
            data = "".join(self._parts).encode("utf-8", "replace")
            self._parts = []
            self._send(b"".join(frames.frames_of(frames.TERMINAL, data)))

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        raise OSError("a connection, not a file")


class LocalScreen:
    """This process's own controlling terminal, whatever its stdin and stdout are."""

    def __init__(self, env: Mapping[str, str]) -> None:
        """Raises UsageError where there is no terminal."""
        try:
            self._tty_in = open("/dev/tty", encoding="utf-8")  # noqa: SIM115  # closed by close
            self._tty_out = open("/dev/tty", "w", encoding="utf-8", errors="replace")  # noqa: SIM115
        except OSError:
            raise no_terminal() from None
        self._env = env
        self.input = create_input(self._tty_in)
        self.output = output_for(self._tty_out, self._size, env)
        self.on_resize: Callable[[], None] = _nothing  # prompt_toolkit itself listens to SIGWINCH here

    def _size(self) -> Size:
        try:
            found = os.get_terminal_size(self._tty_out.fileno())
        except OSError:
            return USUAL_SIZE
        return _size(found.columns, found.lines)

    async def run(self, words: Sequence[str], text: bytes = b"") -> int:
        self.output.flush()
        # -P: a folder named rekall in the caller's working directory is not ours
        ours = [sys.executable, "-P", "-m", "rekall"]
        command = [*ours, *words[1:]] if words[:1] == ["rekall-py"] else list(words)
        with self.input.cooked_mode():
            return await asyncio.to_thread(self._run, command, text)

    def _run(self, command: list[str], text: bytes) -> int:
        stdin = subprocess.PIPE if text else self._tty_in
        try:
            with subprocess.Popen(
                command, stdin=stdin, stdout=self._tty_out, stderr=self._tty_out, env=dict(self._env)
            ) as process:
                process.communicate(text or None)
                return process.returncode
        except OSError:
            return NOT_RUN

    def close(self) -> None:
        """Let go of the terminal."""
        self.input.close()
        self._tty_in.close()
        self._tty_out.close()


@contextmanager
def drawing_on(screen: Screen) -> Iterator[None]:
    """Let prompt_toolkit apps of the block appear on `screen`.

    The terminal is raw throughout, between two prompts as well: what is typed ahead then is neither
    echoed nor taken for a line by the terminal itself.
    """
    with screen.input.raw_mode(), create_app_session(input=screen.input, output=screen.output):
        yield
