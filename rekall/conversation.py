"""One client's conversation with the warm process: frames in, one answer out. docs/protocol.md.

The event loop takes the frames apart; the answer is made in a thread, which writes into a SocketSink. A client that
goes away or cancels is answered no further, but a write that was begun is finished. Whatever
happens inside, the client gets a status.
"""

from __future__ import annotations

import asyncio
import io
import os
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Protocol, cast

from rekall import __version__, frames
from rekall.client import peer_uid
from rekall.door import (
    Caller,
    asked,
    base_of,
    carry_out,
    fail,
    is_interactive,
    no_terminal,
    reads_stdin,
    refuse,
    terminal_of,
    with_id,
)
from rekall.entry import new_id
from rekall.errors import CANCELLED, ERROR, RekallError
from rekall.frames import BadFrame, Hello
from rekall.language import _, speaking
from rekall.pool import Pool
from rekall.protocol import Request, Response
from rekall.socket_sink import SocketSink, where
from rekall.stdin_pipe import StdinPipe
from rekall.usage import find_command

if TYPE_CHECKING:
    import logging

    from rekall.commands import Room
    from rekall.desk import Desk
    from rekall.rooms import Rooms
    from rekall.screens import RemoteScreen

# Whoever connects says what it wants, and then that it is there, or is sent away.
HELLO_SECONDS = 10.0
# An answer is kept for a slow reader (somebody reads it in a pager) up to this; then its making waits.
KEPT_BYTES = 64 << 20
# Stdin that nobody has read yet; beyond it the client has to wait.
UNREAD_BYTES = 1 << 20
# A command line beyond this takes the loop too long (argparse is quadratic); the client's own process has the time.
MOST_WORDS = 500
LONGEST_HELLO = 128 << 10

# Commands about rekall itself: they load nothing.
ABOUT_ITSELF = ("--version", "server", "stats", "help", "config", "complete")


class Host(Protocol):
    """What a conversation asks of the process it takes place in."""

    loop: asyncio.AbstractEventLoop
    log: logging.Logger
    rooms: Rooms

    @property
    def is_full(self) -> bool: ...
    @property
    def is_overrun(self) -> bool: ...
    def is_about(self, base: Path) -> bool: ...
    def opened(self, conversation: Conversation) -> None: ...
    def closed(self, conversation: Conversation) -> None: ...
    def expects(self, request: Request) -> None: ...
    def begin(self, conversation: Conversation, waits: bool) -> None: ...
    def desk(self, request: Request) -> Desk: ...
    def control(self, action: str, response: Response) -> None: ...
    def used(self) -> None: ...
    def wake(self) -> None: ...
    def remember(self, request: Request, keys: Sequence[str]) -> None: ...
    def leave(self) -> None: ...


class Conversation(asyncio.Protocol):
    """One connection. Its methods run in the loop; `answer` and what it calls run in a thread."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._reader = frames.Reader()
        self._transport: asyncio.Transport | None = None
        self._hello: Hello | None = None
        self._request: Request | None = None
        self._mistake: RekallError | None = None  # what is wrong with the command line
        self._stdin: StdinPipe | None = None
        self._writes = False
        self._is_wanted = True
        self._is_answered = False
        self._screen: RemoteScreen | None = None
        self._typed: list[bytes] = []  # before there was a screen
        self._resized: tuple[int, int] | None = None  # likewise
        self._app: asyncio.Task[None] | None = None
        self._room: Room | None = None
        self._room_lock = Lock()
        self._pool: Pool | None = None  # whose place the answer takes
        self._since = time.monotonic()

    # --- the loop's side ---

    @property
    def request(self) -> Request | None:
        """What is asked for, if it makes sense."""
        return self._request

    @property
    def is_about_entries(self) -> bool:
        """Whether somebody is at work with the base, and not just asking how things are."""
        return self._request is not None and self._request.command not in ABOUT_ITSELF

    @property
    def is_under_way(self) -> bool:
        """Whether somebody waits for an answer. A person at an app does not: closing it costs a key press."""
        return self._app is None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if peer_uid(self._transport.get_extra_info("socket")) != os.getuid():
            self._host.log.warning("another user's connection refused")
            self._abort()
        elif self._host.is_overrun:
            self._abort()
        else:
            self._host.opened(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._give_up()
        self._host.closed(self)

    def check_waiting(self) -> None:
        """Send away a client that has not said what it wants, and that it is there, for too long."""
        if not self._is_answered and time.monotonic() - self._since > HELLO_SECONDS:
            self._abort()

    def data_received(self, data: bytes) -> None:
        try:
            for kind, payload in self._reader.feed(data):
                self._take(kind, payload)
        except BadFrame as error:
            self._host.log.warning("bad frame: %s", error)
            self._abort()
        except Exception as error:  # before `A` nothing is lost: the client's own process answers
            self._host.log.error("%s", where(error))
            self._abort()

    def _take(self, kind: bytes, payload: bytes) -> None:
        if kind == frames.HELLO and self._hello is None:
            if len(payload) > LONGEST_HELLO:
                self._finish(frames.frame(frames.LOCALLY))
            else:
                self._take_hello(Hello.decode(payload))
        elif kind == frames.GO and self._hello and not self._is_answered:
            self._is_answered = True
            if self._request and is_interactive(self._request):
                self._app = self._host.loop.create_task(self._interact(self._request, self._hello))
            else:
                self._host.begin(self, waits=self._stdin is not None)
        elif kind == frames.STDIN and self._stdin:
            self._stdin.feed(payload)
        elif kind == frames.STDIN_END and self._stdin:
            self._stdin.end()
        elif kind == frames.KEYS and not self._screen:
            self._typed.append(payload)
        elif kind == frames.KEYS and self._screen:
            self._screen.keys(payload)
        elif kind == frames.SIZE:
            if len(payload) != 4:
                raise BadFrame(f"a size of {len(payload)} bytes")
            self._resized = struct.unpack(">HH", payload)
            if self._screen:
                self._screen.resize(*self._resized)
        elif kind == frames.CHILD and self._screen:
            self._screen.child_ended(payload[0] if payload else 127)
        elif kind == frames.CANCEL:
            self._cancel()
        elif kind not in (frames.STDIN, frames.STDIN_END, frames.CHILD):  # those may cross our X
            raise BadFrame(f"an unexpected frame {kind!r}")

    def _take_hello(self, hello: Hello) -> None:
        self._hello = hello
        if (hello.protocol, hello.version) != (frames.PROTOCOL, __version__):
            self._host.log.info("a client of version %.20r", hello.version)
            self._finish(frames.frame(frames.OTHER_VERSION, __version__.encode()))
            self._host.leave()
            return
        if len(hello.words) > MOST_WORDS:
            self._finish(frames.frame(frames.LOCALLY))
            return
        with speaking(hello.env):
            try:
                caller = self._caller(hello)
                request = asked(hello.words, caller) if caller else None
                if request and is_interactive(request) and "t" not in hello.terminals:
                    raise no_terminal()
            except RekallError as error:
                self._mistake = error
                self._write(frames.acknowledgement(0, new_id()))
                return
            if request is None or not self._belongs_here(request):
                self._finish(frames.frame(frames.LOCALLY))
                return
            self._acknowledge(request)

    def _caller(self, hello: Hello) -> Caller | None:
        """Return who asks, or None if only its own process can answer: its folder is gone, its zone unknown."""
        zone = None
        if hello.env.get("TZ") != os.environ.get("TZ"):
            from zoneinfo import ZoneInfo

            try:
                zone = ZoneInfo(hello.env.get("TZ", "").removeprefix(":") or "UTC")
            except (ValueError, OSError, KeyError):
                return None
        if hello.cwd is None:
            return None
        self._stdin = StdinPipe(self._on_level)
        terminal = terminal_of(hello.env, hello.columns, "o" in hello.terminals, "e" in hello.terminals)
        stdin = io.BufferedReader(self._stdin)
        return Caller(hello.cwd, hello.env, stdin, "i" in hello.terminals, terminal, zone)

    def _belongs_here(self, request: Request) -> bool:
        """Tell whether this process is the one to answer: its base, and a command that may run here."""
        if self._host.is_full or request.options.no_server:
            return False
        if request.command not in ("--version", "server"):
            try:
                if find_command(request.command).is_local or getattr(request.options, "edit", False):
                    return False
                return self._host.is_about(base_of(request).path)
            except RekallError:
                return False  # said by the client's own process
        return True

    def _acknowledge(self, request: Request) -> None:
        request = with_id(request, new_id())
        assert request.id
        self._writes = request.command not in ("--version", "server") and find_command(request.command).writes
        self._request = request
        flags = frames.WRITES if self._writes else 0
        if is_interactive(request):
            flags |= frames.INTERACTIVE
        if reads_stdin(request):
            flags |= frames.WANTS_STDIN
        else:
            self._stdin = None
        self._write(frames.acknowledgement(flags, request.id))
        self._host.expects(request)

    def _cancel(self) -> None:
        """Break off: a read is answered at once, a write by its own status, when it is done."""
        self._give_up()
        is_under_way = self._writes and self._is_answered
        self._is_answered = True  # a `G` that follows begins nothing
        if not is_under_way and self._hello:
            with speaking(self._hello.env):
                said = _("rekall: stopped; what was done is kept") + "\n"
            self._write(frames.frame(frames.ERRORS, said.encode()) + frames.frame(frames.STATUS, bytes([CANCELLED])))
            self._close()

    def _give_up(self) -> None:
        """Let whoever works for this client know that nobody waits."""
        self._is_wanted = False
        if self._app and not self._app.done():
            self._app.cancel()
        if self._stdin:
            self._stdin.break_off()
        if not self._writes:
            with self._room_lock:
                if self._room:
                    self._room.interrupt()

    def _on_level(self, waiting: int) -> None:
        """Have the client wait while a lot of its stdin is unread."""
        self._host.loop.call_soon_threadsafe(self._pause_or_resume, waiting > UNREAD_BYTES)

    def _pause_or_resume(self, is_full: bool) -> None:
        if self._transport and not self._transport.is_closing():
            if is_full:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def _write(self, data: bytes) -> None:
        if self._transport and not self._transport.is_closing():
            self._transport.write(data)

    def _close(self) -> None:
        if self._transport:
            self._transport.close()

    def _abort(self) -> None:
        if self._transport:
            self._transport.abort()

    # --- an app on the client's terminal; all of it in the loop ---

    async def _interact(self, request: Request, hello: Hello) -> None:
        """Let an app run on the client's terminal until it is left, or the client goes."""
        interactive = await asyncio.to_thread(import_module, "rekall.interactive")
        self._host.used()
        # `_write`, not `send`: that is for threads, and would come behind the status that ends it.
        sink = SocketSink(self._write, hello.terminals, raw=hello.terminals)
        response = Response(sink, "e" in hello.terminals)
        size = self._resized or (hello.columns, hello.rows)
        self._screen = interactive.remote_screen(self._write, *size, hello.env)
        for keys in self._typed:
            self._screen.keys(keys)
        with speaking(hello.env):
            try:
                await interactive.run(request, response, self._screen, self._host.desk(request))
            except RekallError as error:
                refuse(response, error)
            except asyncio.CancelledError:
                raise
            except BaseException as error:  # an app's KeyboardInterrupt must not end the loop, and all others with it
                self._fail(response, error)
            finally:
                self._screen.close()
                self._host.used()
        self._finish(sink.taken() + frames.frame(frames.STATUS, bytes([response.status])))
        self._host.remember(request, response.picked)
        self._host.wake()

    # --- the answering thread's side ---

    def send(self, data: bytes) -> None:
        """Send frames, unless nobody wants them. Waits while the client is far behind; others have the place then."""
        if self._is_far_behind():
            with self._pool.aside() if self._pool else nullcontext():
                while self._is_far_behind():
                    time.sleep(0.05)
        if self._is_wanted or self._writes:
            self._host.loop.call_soon_threadsafe(self._write, data)

    def _is_far_behind(self) -> bool:
        transport = self._transport  # the loop may take it away
        return self._is_wanted and transport is not None and transport.get_write_buffer_size() > KEPT_BYTES

    def answer(self, pool: Pool | None = None) -> None:
        """Make the answer and send it, its status last. `pool` is whose thread this is; None: one of its own."""
        assert self._hello
        self._pool = pool
        sink = SocketSink(self.send, self._hello.terminals)
        response = Response(sink, "e" in self._hello.terminals)
        with speaking(self._hello.env):
            try:
                self._make(response)
            except OSError as error:
                fail(response, error)
            except BaseException as error:  # the thread ends here anyway, and the client waits
                self._fail(response, error)
        if self._is_wanted or self._writes:
            last = sink.taken() + frames.frame(frames.STATUS, bytes([response.status]))
            self._host.loop.call_soon_threadsafe(self._finish, last)
        if response.after:
            self._host.wake()
        if self._request:
            self._host.remember(self._request, response.picked)

    def _fail(self, response: Response, error: BaseException) -> None:
        """End an answer that broke off where nobody expected it."""
        places = where(error)
        self._host.log.error("%s", places)
        response.status = ERROR
        place = places.splitlines()[-1]
        response.note(_("rekall: an error of rekall itself ({where}); rekall doctor tells more").format(where=place))

    def _make(self, response: Response) -> None:
        if self._mistake:
            refuse(response, self._mistake)
        elif self._request and self._request.command == "server":
            self._host.control(self._request.options.action, response)
        elif self._request:
            request = replace(self._request, is_wanted=lambda: self._is_wanted or self._writes)
            carry_out(request, response, self._lent, do_the_rest=False)

    @contextmanager
    def _lent(self, request: Request) -> Iterator[Room]:
        """Lend a room that `_give_up` can interrupt for as long as it is lent, and no longer."""
        with self._host.rooms.lend(request) as room:
            with self._room_lock:
                self._room = room
            try:
                yield room
            finally:
                with self._room_lock:
                    self._room = None

    def _finish(self, last: bytes) -> None:
        self._write(last)
        self._close()
