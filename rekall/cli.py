"""The door at the shell: words in, text out, an exit status.

`rekall-py` answers in its own process. Whatever goes wrong becomes one line on stderr; a pipe that is
closed early, or Ctrl-C, ends quietly.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, TextIO

from rekall.commands import Room
from rekall.door import (
    Caller,
    asked,
    base_of,
    carry_out,
    config_of,
    fail,
    is_interactive,
    refuse,
    remember,
    terminal_of,
)
from rekall.errors import CANCELLED, RekallError
from rekall.fzf import become_fzf, wants_fzf
from rekall.language import _, speaking
from rekall.protocol import Request, Response, Terminal
from rekall.render import on_terminal, plain


class _Streams:
    """Standard output and error of this process; an answer leaves as soon as it is made."""

    def __init__(self, output: TextIO, errors: TextIO, output_is_tty: bool) -> None:
        self._output = output
        self._errors = errors
        self._output_is_tty = output_is_tty

    def data(self, text: str) -> None:
        self._output.write(on_terminal(text) if self._output_is_tty else text)

    def flush(self) -> None:
        self._output.flush()

    def note(self, text: str) -> None:
        self._output.flush()
        self._errors.write(plain(text))
        self._errors.flush()

    def copy(self, data: bytes) -> None:
        self._output.flush()
        if isinstance(self._errors, io.TextIOWrapper):  # else it is closed
            self._errors.flush()
            self._errors.buffer.write(data)
            self._errors.buffer.flush()


def main(words: Sequence[str] | None = None) -> int:
    """Answer one command line and return its exit status."""
    words = sys.argv[1:] if words is None else words
    output, errors = _text_stream(sys.stdout), _text_stream(sys.stderr)
    response = Response(_Streams(output, errors, _is_tty(1)), _is_tty(2))
    with speaking(os.environ):
        try:
            _answer(words, response)
            output.flush()
        except RekallError as error:
            refuse(response, error)
        except KeyboardInterrupt:
            response.status = CANCELLED
            response.note(_("rekall: stopped; what was done is kept"))
        except BrokenPipeError:
            _discard(output)
        except OSError as error:
            _discard(output)  # a full disk would fail again at every flush
            fail(response, error)
    return response.status


def _answer(words: Sequence[str], response: Response) -> None:
    caller = Caller(_working_directory(), os.environ, _stdin(), _is_tty(0), _terminal(os.environ))
    request = asked(words, caller)
    if request.command == "server" and request.options.action == "run":
        from rekall.server import serve

        serve(base_of(request), config_of(request), os.environ, request.options.ready)
    elif is_interactive(request) and wants_fzf(request):
        become_fzf(words)
    elif is_interactive(request):
        from rekall.interactive import run_here

        run_here(request, response, config_of(request))
    elif not (request.command == "stats" and _asked_the_server(words, request, response)):
        carry_out(request, response, _room_for)
        response.flush()
        remember(request, response.picked, _room_for)


def _room_for(request: Request) -> Room:
    return Room(base_of(request), config_of(request))


def _asked_the_server(words: Sequence[str], request: Request, response: Response) -> bool:
    """Let the warm process say how it is, if one runs; tell whether it did."""
    from rekall.client import ask

    if request.options.no_server or request.env.get("REKALL_NO_SERVER"):
        return False
    answer = ask(base_of(request).path, words, request.cwd, request.env, request.terminal)
    if answer is None:
        return False
    response.raw(answer.output)
    if answer.errors:
        response.note(answer.errors.rstrip("\n"))
    response.status = answer.status
    return True


def _working_directory() -> Path | None:
    try:
        return Path.cwd()
    except FileNotFoundError:
        return None


def _stdin() -> BinaryIO:
    return io.BytesIO() if sys.stdin is None else sys.stdin.buffer


def _is_tty(descriptor: int) -> bool:
    try:
        return os.isatty(descriptor)
    except OSError:
        return False


def _terminal(env: Mapping[str, str]) -> Terminal:
    """Return how this process is seen."""
    try:
        columns = os.get_terminal_size(1).columns
    except OSError:
        columns = 0
    return terminal_of(env, columns, _is_tty(1), _is_tty(2))


def _text_stream(stream: TextIO | None) -> TextIO:
    """Return a stream that writes UTF-8 whatever the locale; one that is closed swallows what it gets."""
    if stream is None:
        return io.StringIO()
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(encoding="utf-8", errors="replace")
    return stream


def _discard(output: TextIO) -> None:
    """The reader has gone: point the stream at nothing, so that closing it raises nothing either."""
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, output.fileno())
    except (OSError, io.UnsupportedOperation):
        pass
    finally:
        os.close(null)
