"""What an interactive app works with: finding as one types, and the commands, none of it in the loop's thread.

A Desk asks rooms in threads, so that keys are drawn while a search runs. Only the newest question counts: what
was asked before and has not begun is dropped.
"""

from __future__ import annotations

import argparse
import asyncio
import contextvars
import io
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from rekall.commands import Room
from rekall.commands.showing import here_of, short_replaced
from rekall.door import Caller, asked, carry_out, remember
from rekall.entry import Entry
from rekall.errors import RekallError
from rekall.protocol import Request, Response, Terminal
from rekall.query import Filters
from rekall.ranking import Hit
from rekall.render import Replaced

if TYPE_CHECKING:
    from rekall.db import Database

# Entries kept for the next question.
MOST_SEEN = 500

Result = TypeVar("Result")
Lend = Callable[[Request], AbstractContextManager[Room]]


@dataclass(frozen=True, slots=True)
class Found:
    """What a question brought, and the entries of as many of the first hits as were wanted."""

    text: str
    hits: Sequence[Hit] = ()
    entries: Mapping[str, Entry] = field(default_factory=dict)
    seconds: float = 0.0
    by_meaning: bool = False  # False: by words only, the model is not there yet
    replaced: Replaced = field(default_factory=dict)  # what replaced the obsolete ones among the entries
    total: int = 0  # entries in the base
    problem: str | None = None  # what the user is to know


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was read of the base at one revision, to be read once. Threads may add the same entry twice."""

    revision: int
    total: int
    entries: dict[str, Entry]


class Desk:
    """Answers one app's questions about one base."""

    def __init__(self, request: Request, lend: Lend, threads: Executor) -> None:
        """`lend` gives a room for the length of a block; any number may be lent at a time."""
        self.request = request
        self._lend = lend
        self._threads = threads
        self._newest = 0
        self._seen = _Seen(-1, 0, {})

    async def ask(self, question: Callable[[Room], Result]) -> Result:
        """Return what `question` makes of a room, asked in a thread. Raises what it raises."""
        context = contextvars.copy_context()  # the language of the caller
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, partial(context.run, self._in_room, question)
        )

    def _in_room(self, question: Callable[[Room], Result]) -> Result:
        with self._lend(self.request) as room:
            return question(room)

    async def carry_out(self, words: Sequence[str], terminal: Terminal, response: Response) -> None:
        """Carry out a command line as its door does; the answer is in `response` then. Raises UsageError.

        What was picked by it is for `remember`.
        """
        caller = Caller(self.request.cwd, self.request.env, io.BytesIO(), False, terminal, self.request.zone)
        request = asked(words, caller)
        request = replace(request, options=argparse.Namespace(**{**vars(request.options), **self._base_named()}))
        context = contextvars.copy_context()
        await asyncio.get_running_loop().run_in_executor(
            self._threads, partial(context.run, carry_out, request, response, self._lend)
        )

    def _base_named(self) -> dict[str, object]:
        """Return the options that name the base, as they were given when the app was started."""
        return {name: getattr(self.request.options, name) for name in ("db", "skip_project")}

    async def work(self, function: Callable[[], Result]) -> Result:
        """Return what `function`, which needs no room, gives in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, function)

    async def model_state(self) -> str:
        """Return how the model is: loaded, loading, not loaded."""
        return await self.ask(lambda room: room.household.models.state)

    async def names(self) -> dict[str, frozenset[str]]:
        """Return the tags and the projects there are."""
        return await self.ask(
            lambda room: {name: frozenset(room.reading().counts_by(name)) for name in ("tag", "project")}
        )

    async def entries(self, keys: Sequence[str]) -> tuple[dict[str, Entry], Replaced]:
        """Return entries as they are now, by id, without those that are gone; and what replaced the obsolete ones."""

        def question(room: Room) -> tuple[dict[str, Entry], Replaced]:
            entries = {entry.id: entry for entry in room.reading().get_many(keys)}
            return entries, short_replaced(room, entries.values())

        return await self.ask(question)

    def remember(self, keys: Sequence[str]) -> None:
        """Count that these entries were taken, behind what is shown."""
        if keys:
            work = partial(remember, self.request, list(keys), self._lend)
            asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def find(self, text: str, filters: Filters | None = None, k: int = 100, shown: int = 100) -> Found | None:
        """Return what fits what was typed so far, `shown` entries of it; None if something newer was asked meanwhile.

        By meaning and by words once the model is loaded, by words until then: typing never waits for it.
        Nothing typed: the newest entries.
        """
        self._newest += 1
        mine = self._newest

        def question(room: Room) -> Found | None:
            return self._found(room, text, filters, k, shown) if mine == self._newest else None

        try:
            found = await self.ask(question)
        except RekallError as error:
            found = Found(text, problem=str(error))
        return found if mine == self._newest else None

    def _found(self, room: Room, text: str, filters: Filters | None, k: int, shown: int) -> Found:
        begin = time.perf_counter()
        database = room.reading()
        hits, by_meaning = room.find_as_typed(text, k, filters, here_of(self.request))
        seen = self._seen_at(database)
        wanted = [hit.id for hit in hits[:shown]]
        fresh = database.get_many([key for key in wanted if key not in seen.entries])
        seen.entries.update((entry.id, entry) for entry in fresh)
        entries = {key: seen.entries[key] for key in wanted if key in seen.entries}
        hits = [hit for place, hit in enumerate(hits) if place >= shown or hit.id in entries]
        replaced = short_replaced(room, entries.values())
        return Found(text, hits, entries, time.perf_counter() - begin, by_meaning, replaced, seen.total)

    def _seen_at(self, database: Database) -> _Seen:
        """Return what was read of the base as it is now: most hits of a key are those of the key before."""
        revision, seen = database.revision(), self._seen
        if seen.revision != revision or len(seen.entries) > MOST_SEEN:
            seen = self._seen = _Seen(revision, database.count(), {})
        return seen
