"""The door at the shell: words in, text out, an exit status.

`rekall-py` answers in its own process. Whatever goes wrong becomes one line on stderr; a pipe that is
closed early, or Ctrl-C, ends quietly.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, TextIO

from rekall import __version__
from rekall.commands import Room, run
from rekall.config import Config, config_path, find_base
from rekall.errors import CANCELLED, RekallError, UsageError
from rekall.language import _, speaking
from rekall.protocol import Request, Response, Terminal
from rekall.render import plain
from rekall.usage import parse


class _Streams:
    """Standard output and error of this process; an answer leaves as soon as it is made."""

    def __init__(self, output: TextIO, errors: TextIO) -> None:
        self._output = output
        self._errors = errors

    def data(self, text: str) -> None:
        self._output.write(text)

    def flush(self) -> None:
        self._output.flush()

    def note(self, text: str) -> None:
        self._output.flush()
        self._errors.write(plain(text))
        self._errors.flush()


def main(words: Sequence[str] | None = None) -> int:
    """Answer one command line and return its exit status."""
    output, errors = _text_stream(sys.stdout), _text_stream(sys.stderr)
    response = Response(_Streams(output, errors))
    with speaking(os.environ):
        try:
            _answer(sys.argv[1:] if words is None else words, response, output)
            output.flush()
        except RekallError as error:
            response.status = error.status
            response.note(f"rekall: {error}")
        except KeyboardInterrupt:
            response.status = CANCELLED
            response.note(_("rekall: stopped; what was done is kept"))
        except BrokenPipeError:
            _discard(output)
        except OSError as error:
            _discard(output)  # a full disk would fail again at every flush
            response.status = UsageError.status
            response.note(f"rekall: {error.filename or ''} {error.strerror}".replace("  ", " "))
    return response.status


def _answer(words: Sequence[str], response: Response, output: TextIO) -> None:
    options = parse(words)
    request = Request(
        options.command or "search",
        options,
        _working_directory(),
        os.environ,
        _stdin(),
        _is_tty(0),
        _terminal(os.environ),
    )
    if options.command == "--version":
        response.data(f"rekall {__version__}")
        return
    if options.command == "":
        request = _without_command(request)
    base = find_base(request.cwd, request.env, options.db, options.skip_project)
    with Room(base, _config(request)) as room:
        room.response = response
        run(room, request, response)
        output.flush()
        for deed in response.after:
            deed()


def _config(request: Request) -> Config:
    """Return the settings; none where a broken file is no hindrance, but what the user is about to mend."""
    path = config_path(request.env)
    mending = request.command == "config" and request.options.action in ("path", "set")
    return Config(path, {}) if mending or request.command == "help" else Config.load(path)


def _without_command(request: Request) -> Request:
    """Answer what is piped in as a query; on a terminal, show what there is to do."""
    words = ["help"] if request.stdin_is_tty else ["search", "-"]
    options = parse(words)
    options.db, options.skip_project = request.options.db, request.options.skip_project
    return Request(words[0], options, request.cwd, request.env, request.stdin, request.stdin_is_tty, request.terminal)


def _working_directory() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise UsageError(_("the working directory is gone; change to one that exists")) from None


def _stdin() -> BinaryIO:
    return io.BytesIO() if sys.stdin is None else sys.stdin.buffer


def _is_tty(descriptor: int) -> bool:
    try:
        return os.isatty(descriptor)
    except OSError:
        return False


def _terminal(env: Mapping[str, str]) -> Terminal:
    """Return how this process is seen. NO_COLOR after no-color.org: any value switches colour off."""
    output_is_tty = _is_tty(1)
    colour = output_is_tty and not env.get("NO_COLOR") and env.get("TERM") not in (None, "dumb")
    return Terminal(shutil.get_terminal_size().columns, output_is_tty, _is_tty(2), colour)


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
