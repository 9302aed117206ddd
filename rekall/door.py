"""What every door does with a command line: take it apart, find its base, carry it out, end well.

A Caller says who asks and from where; `asked` makes a Request of the words, `carry_out` fills a Response
whatever happens, so that a door has only bytes to move.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from datetime import tzinfo
from pathlib import Path
from typing import BinaryIO

from rekall import __version__
from rekall.command_line import parse
from rekall.commands import Room, run
from rekall.commands.showing import here_of
from rekall.config import Base, Config, config_path, find_base
from rekall.entry import is_id
from rekall.errors import ERROR, RekallError, UsageError
from rekall.language import _
from rekall.protocol import Request, Response, Terminal
from rekall.usage import find_command


@dataclass(frozen=True)
class Caller:
    """Who asks: all of it that an answer may depend on. `cwd` is None if the folder is gone."""

    cwd: Path | None
    env: Mapping[str, str]
    stdin: BinaryIO
    stdin_is_tty: bool
    terminal: Terminal
    zone: tzinfo | None = None


def terminal_of(env: Mapping[str, str], columns: int, output_is_tty: bool, errors_are_tty: bool) -> Terminal:
    """Return how the caller sees the answer. `columns` is its terminal's width, 0 where there is none.

    COLUMNS, where it is set to a width that can be, knows better. FORCE_COLOR after force-color.org switches colour
    on where there is no terminal; NO_COLOR after no-color.org switches it off, whatever else is said.
    """
    named = env.get("COLUMNS", "")
    width = int(named) if named.isdecimal() and len(named) < 5 and int(named) else columns or 80
    is_wanted = output_is_tty or bool(env.get("FORCE_COLOR"))
    colour = is_wanted and not env.get("NO_COLOR") and env.get("TERM") not in (None, "dumb")
    return Terminal(width, output_is_tty, errors_are_tty, colour)


def asked(words: Sequence[str], caller: Caller) -> Request:
    """Return what a command line asks for. Raises UsageError.

    Without a command, what is piped in is searched for; on a terminal, the picker opens.
    """
    options = parse(words)
    if getattr(options, "is_implied", False) and caller.stdin_is_tty:
        raise UsageError(_("nothing is piped in; write: … | rekall {words}").format(words=" ".join(words)))
    if options.command == "":
        implied = parse(["pick"] if caller.stdin_is_tty else ["search", "-"])
        implied.db, implied.skip_project = options.db, options.skip_project
        options = implied
    if caller.cwd is None and options.command not in ("--version", "help"):
        raise UsageError(_("the working directory is gone; change to one that exists"))
    repeated = caller.env.get("REKALL_REQUEST_ID", "")
    return Request(
        options.command,
        options,
        caller.cwd or Path("/"),
        caller.env,
        caller.stdin,
        caller.stdin_is_tty,
        caller.terminal,
        caller.zone,
        repeated if is_id(repeated) else None,
    )


def base_of(request: Request) -> Base:
    """Return the base a request is about."""
    return find_base(request.cwd, request.env, request.options.db, request.options.skip_project)


def config_of(request: Request) -> Config:
    """Return the settings; none where a broken file is no hindrance, but what the user is about to mend."""
    path = config_path(request.env)
    try:
        return Config.load(path)
    except RekallError:
        mending = request.command == "config" and request.options.action in ("path", "set")
        if mending or request.command in ("help", "--version", "server", "doctor", "init"):
            return Config(path, {})
        raise


def is_interactive(request: Request) -> bool:
    """Tell whether the answer is an app that draws on the caller's terminal."""
    if request.command == "pick" and (request.options.list or request.options.take):
        return False
    return request.command != "--version" and find_command(request.command).is_interactive


def no_terminal() -> UsageError:
    """Return the error of an app that has nowhere to appear."""
    return UsageError(_("there is no terminal to draw on; without one, write: rekall search"))


def reads_stdin(request: Request) -> bool:
    """Tell whether the answer depends on what stands on stdin."""
    options = request.options
    if request.command == "search":
        return bool(options.query == ["-"] and not options.literal)
    return request.command == "add" and options.content == "-"


def carry_out(
    request: Request,
    response: Response,
    room_for: Callable[[Request], AbstractContextManager[Room]],
    do_the_rest: bool = True,
) -> None:
    """Answer a request. What the user can mend becomes one line on stderr and a status.

    `do_the_rest`: also do what may follow once the answer is out; else it is the caller's to do.
    """
    try:
        if request.command == "--version":
            response.data(f"rekall {__version__}")
            return
        with room_for(request) as room:
            room.serve(request, response)
            try:
                run(room, request, response)
                if do_the_rest:
                    response.flush()
                    for deed in response.after:
                        deed()
            finally:
                room.serve(None, None)
    except RekallError as error:
        refuse(response, error)


def remember(
    request: Request, keys: Sequence[str], room_for: Callable[[Request], AbstractContextManager[Room]]
) -> None:
    """Count that these entries were taken; to be called when the answer is out. What goes wrong is not worth a word."""
    if not keys:
        return
    from rekall.use import remember as count

    with suppress(RekallError, OSError):
        here = here_of(request)
        if here is not None:
            with room_for(request) as room:
                count(room.reading(), keys, here)


def refuse(response: Response, error: RekallError) -> None:
    """End an answer with an error: one line, and its status."""
    response.status = error.status
    response.note(f"rekall: {' '.join(str(error).splitlines())}")  # a word of the caller's may hold line ends


def fail(response: Response, error: OSError) -> None:
    """End an answer that the system broke off."""
    response.status = ERROR
    named = f"{error.filename}: " if error.filename else ""
    response.note(f"rekall: {' '.join(named.splitlines())}{error.strerror or error}")


def with_id(request: Request, request_id: str) -> Request:
    """Return `request` under an id, unless the caller repeats one of its own."""
    return request if request.id else replace(request, id=request_id)
