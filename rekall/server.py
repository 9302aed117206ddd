"""The warm process: one per user and base, started by the first key press, gone when idle.

It holds what takes time to load (the model's process, the vectors, open connections to the base) and answers
clients over a Unix socket. The base is the truth: killing it at any moment loses nothing.

One event loop, in the main thread, moves bytes; each answer is made in a thread of its own, a few at a time. Who
may have to wait for the model takes no place from those who will not; who waits for a client's stdin, or for a
reader that is far behind, takes none at all.
"""

from __future__ import annotations

import asyncio
import faulthandler
import fcntl
import logging
import os
import resource
import signal
import socket
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Thread
from typing import NoReturn

from rekall import __version__
from rekall.config import PROJECT_FOLDER, Base, Config
from rekall.conversation import Conversation
from rekall.desk import Desk
from rekall.door import remember
from rekall.embedder import Embedder
from rekall.errors import RekallError
from rekall.language import _
from rekall.memory import give_back
from rekall.places import secure_folder, socket_folder
from rekall.pool import Pool
from rekall.protocol import Request, Response
from rekall.rooms import Rooms

# Answers under way at a time: each takes a connection to the base with its page cache.
PLACES = 8
PLACES_BY_MEANING = 4
# Threads that answer the keys of open apps: the newest question of each, so a few are enough.
THREADS_FOR_APPS = 4
# Beyond this many conversations a client does better on its own.
MOST_CONVERSATIONS = 256
# And beyond this it is not even listened to: descriptors are needed for other things (1024 is a usual limit).
MOST_CONNECTIONS = 512
# Descriptors of the server itself, and of an answer: its connection, and the base with its two files.
OWN_DESCRIPTORS, DESCRIPTORS_EACH = 16, 4
BACKLOG = 512
# A newcomer waits this long for the lock of a server that is about to end.
LOCK_SECONDS = 0.5
# How often the server looks after itself: idle model, idle vectors, new entries of others, its own end.
TICK_SECONDS = 1.0
# A server that leaves looks this long for clients that had connected before, and waits this long for them to be done:
# the next one cannot start before it is gone.
ACCEPT_SECONDS = 0.05
DRAIN_SECONDS = 10.0
# A project's base is asked now and then; its server goes earlier, unless the setting says otherwise.
PROJECT_IDLE_MINUTES = 10.0
LOG_BYTES = 256 * 1024


class AlreadyRunning(RekallError):
    """Another server holds the lock of this base."""


def serve(base: Base, config: Config, env: Mapping[str, str], ready: int | None) -> NoReturn:
    """Run the server of `base` until it is idle for too long or told to stop, then end the process.

    One byte is written to the descriptor `ready` once it listens. Raises AlreadyRunning, FolderRefused.
    """
    os.umask(0o077)
    # A caller without TZ means the system's time, not that of whoever started this process in a terminal.
    os.environ.pop("TZ", None)
    time.tzset()
    # NumPy's threads are of no use to one query, and each takes memory.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    folder = socket_folder(base.path, env)
    os.close(secure_folder(folder))
    _locked(folder)
    # kill -USR1 writes where every thread stands, should one ever be stuck.
    faulthandler.register(signal.SIGUSR1, file=open(folder / "stacks", "w"))  # noqa: SIM115  # open for life
    asyncio.run(Server(base.path, config, folder).run(ready))
    os._exit(0)  # a thread that is stuck in a library must not keep the lock


def _locked(folder: Path) -> int:
    """Return the lock that makes this the one server of `folder`, held until it is closed. Raises AlreadyRunning."""
    lock = os.open(folder / "server.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(lock)
                raise AlreadyRunning(_("a server runs already; see: rekall server status")) from None
            time.sleep(0.005)
        else:
            os.ftruncate(lock, 0)
            os.write(lock, f"{os.getpid()}\n".encode())
            return lock


class Server:
    """The life of the process: who is connected, what is held, when it ends."""

    def __init__(self, base: Path, config: Config, folder: Path) -> None:
        self.loop: asyncio.AbstractEventLoop
        self.log = _log(folder / "log")
        self.rooms = Rooms(config)
        self._base = base
        self._real_base = os.path.realpath(base)
        self._folder = folder
        self._pool = Pool(PLACES, "rekall-answer")
        self._pool_by_meaning = Pool(PLACES_BY_MEANING, "rekall-meaning")
        self._typists = ThreadPoolExecutor(THREADS_FOR_APPS, "rekall-app")
        self._embedder = Embedder(self.rooms, base, self.log)
        self.rooms.wake_with(self._embedder.wake)
        self._conversations: set[Conversation] = set()
        self._most = _most_conversations()
        self._requests = 0
        self._started = self._last_request = time.monotonic()
        self._is_leaving = False

    async def run(self, ready: int | None) -> None:
        """Listen, answer, and return when it is time to go."""
        self.loop = asyncio.get_running_loop()
        self._gone = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: self._end_at_once())
        self._socket = self._bound()
        self._inode = os.stat(self._folder / "s").st_ino
        server = await self.loop.create_unix_server(lambda: Conversation(self), sock=self._socket, backlog=BACKLOG)
        if ready is not None:
            with suppress(OSError):
                os.write(ready, b"1")
                os.close(ready)
        self.log.info("version %s, pid %d", __version__, os.getpid())
        try:
            await self._live()
        finally:
            self._unlink()
            server.close()
            self._embedder.stop()
            self.rooms.close()
            self.log.info("gone after %d requests", self._requests)

    def _bound(self) -> socket.socket:
        """Return a listening socket that has taken the place of whatever was there, in one step."""
        listening = socket.socket(socket.AF_UNIX)
        own = self._folder / f".s{os.getpid()}"
        with suppress(FileNotFoundError):
            own.unlink()
        listening.bind(str(own))
        listening.listen(BACKLOG)
        os.rename(own, self._folder / "s")
        return listening

    async def _live(self) -> None:
        while not self._is_leaving:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._gone.wait(), TICK_SECONDS)
            self._look_after()
        # Who connected before the name was gone is still answered, once the loop has seen it; an app that is open is
        # not waited for.
        await asyncio.sleep(ACCEPT_SECONDS)
        deadline = time.monotonic() + DRAIN_SECONDS
        while any(talk.is_under_way for talk in self._conversations) and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
            self._check_waiting()

    # --- what conversations ask of it ---

    @property
    def is_full(self) -> bool:
        """Whether so many are connected that another is better off on its own."""
        return len(self._conversations) > self._most

    @property
    def is_overrun(self) -> bool:
        """Whether so many are connected that no more is to be heard of another."""
        return len(self._conversations) > MOST_CONNECTIONS

    def is_about(self, base: Path) -> bool:
        """Tell whether this server's base is meant."""
        return base == self._base or os.path.realpath(base) == self._real_base

    def opened(self, conversation: Conversation) -> None:
        self._conversations.add(conversation)

    def closed(self, conversation: Conversation) -> None:
        self._conversations.discard(conversation)

    def expects(self, request: Request) -> None:
        """Begin to load what an answer will need, while its words are still on their way."""
        self._requests += 1
        if _needs_model(request) and not self.rooms.is_model_loaded:
            Thread(target=self._load_model, args=(request,), daemon=True).start()

    def _load_model(self, request: Request) -> None:
        with suppress(RekallError):  # told by the answer itself
            if os.path.exists(self._real_base):
                self.rooms.household_for(request).models.start_loading()

    def begin(self, conversation: Conversation, waits: bool) -> None:
        """Have a thread answer. One that `waits` for stdin takes no place from the others."""
        if waits:
            Thread(target=self._answer, args=(conversation, None), daemon=True).start()
            return
        request = conversation.request
        pool = self._pool_by_meaning if request and _needs_model(request) else self._pool
        pool.run(partial(self._answer, conversation, pool))

    def _answer(self, conversation: Conversation, pool: Pool | None) -> None:
        conversation.answer(pool)
        if conversation.is_about_entries:  # who asks how things are keeps nothing in memory
            self.used()

    def used(self) -> None:
        """Note that somebody works with the base: nothing is idle now, and what is new is worth embedding."""
        self._last_request = time.monotonic()
        self._embedder.start()

    def desk(self, request: Request) -> Desk:
        """Return what an app on a client's terminal works with."""
        return Desk(request, self.rooms.lend, self._typists)

    def wake(self) -> None:
        """Embed what waits for it, soon."""
        self._embedder.wake()

    def remember(self, request: Request, keys: Sequence[str]) -> None:
        """Count that these entries were taken, behind the answer."""
        if keys:
            self._typists.submit(remember, request, list(keys), self.rooms.lend)

    def control(self, action: str, response: Response) -> None:
        """Do what `rekall server` asks: say how it is, or stop."""
        if action == "status":
            response.json(self._facts())
        else:
            self.loop.call_soon_threadsafe(self.leave)

    def _facts(self) -> dict[str, object]:
        now = time.monotonic()
        return {
            "running": True,
            "pid": os.getpid(),
            "version": __version__,
            "base": str(self._base),
            "socket": str(self._folder / "s"),
            "uptime_seconds": round(now - self._started, 1),
            "requests": self._requests,
            "clients": len(self._conversations) - 1,
            "idle_timeout_minutes": self._idle_minutes(),
            **self.rooms.facts(),
        }

    # --- its own end ---

    def leave(self) -> None:
        """Take no more clients, answer those that are connected, and end."""
        if not self._is_leaving:
            self._is_leaving = True
            self._unlink()
            self._gone.set()

    def _unlink(self) -> None:
        """Take the name away, if it is still this server's."""
        with suppress(OSError):
            if os.stat(self._folder / "s").st_ino == self._inode:
                os.unlink(self._folder / "s")

    def _end_at_once(self) -> None:
        """Leave without a word: nothing that was acknowledged is lost."""
        self._unlink()
        self.rooms.end_model()
        os._exit(0)

    def _idle_minutes(self) -> float:
        config = self.rooms.config
        if self._base.parent.name == PROJECT_FOLDER and not config.is_set("server.idle_timeout_minutes"):
            return PROJECT_IDLE_MINUTES
        return config.number("server.idle_timeout_minutes")

    def _look_after(self) -> None:
        self._check_waiting()
        idle = time.monotonic() - self._last_request
        if self.rooms.let_go_of_idle(idle):
            give_back()
            self.log.info("idle: memory given back")
        if not self._conversations and idle > self._idle_minutes() * 60:
            self.log.info("idle for %.0f s", idle)
            self.leave()
        elif not self._is_leaving and not self._is_reachable():
            self.log.warning("the socket was taken away")
            self.leave()

    def _check_waiting(self) -> None:
        for conversation in list(self._conversations):
            conversation.check_waiting()

    def _is_reachable(self) -> bool:
        with suppress(OSError):
            return os.stat(self._folder / "s").st_ino == self._inode
        return False


def _most_conversations() -> int:
    """Return how many conversations there are descriptors for."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY:
        return MOST_CONVERSATIONS
    return max(1, min(MOST_CONVERSATIONS, (limit - OWN_DESCRIPTORS) // DESCRIPTORS_EACH))


def _needs_model(request: Request) -> bool:
    """Tell whether an answer may have to wait for the model."""
    return request.command in ("search", "similar") and getattr(request.options, "arm", "") != "words"


def _log(path: Path) -> logging.Logger:
    """Return the server's log: what happened, never what was asked or stored. Two files of LOG_BYTES at most."""
    from logging.handlers import RotatingFileHandler

    log = logging.getLogger("rekall.server")
    handler = RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=1, delay=True, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    return log
