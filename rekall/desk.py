"""What an interactive app works with: finding as one types, and the commands, none of it in the loop's thread.

A Desk asks rooms in threads, so that keys are drawn while a search runs. Only the newest question counts: what
was asked before and has not begun is dropped.
"""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

from rekall.commands import Room
from rekall.entry import Entry
from rekall.errors import RekallError
from rekall.protocol import Request
from rekall.query import Filters
from rekall.ranking import Hit

Result = TypeVar("Result")
Lend = Callable[[Request], AbstractContextManager[Room]]


@dataclass(frozen=True, slots=True)
class Found:
    """What a question brought, with all that is needed to show it."""

    text: str
    hits: Sequence[Hit] = ()
    entries: Mapping[str, Entry] = field(default_factory=dict)
    short: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    by_meaning: bool = False  # False: by words only, the model is not there yet
    total: int = 0  # entries in the base
    problem: str | None = None  # what the user is to know


class Desk:
    """Answers one app's questions about one base."""

    def __init__(self, request: Request, lend: Lend, threads: Executor) -> None:
        """`lend` gives a room for the length of a block; any number may be lent at a time."""
        self.request = request
        self._lend = lend
        self._threads = threads
        self._newest = 0

    async def ask(self, question: Callable[[Room], Result]) -> Result:
        """Return what `question` makes of a room, asked in a thread. Raises what it raises."""
        context = contextvars.copy_context()  # the language of the caller
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, partial(context.run, self._in_room, question)
        )

    def _in_room(self, question: Callable[[Room], Result]) -> Result:
        with self._lend(self.request) as room:
            return question(room)

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

    async def entry(self, key: str) -> Entry | None:
        """Return an entry as it is now; None if it is gone."""
        found = await self.ask(lambda room: room.reading().get_many([key]))
        return found[0] if found else None

    async def find(self, text: str, filters: Filters | None = None, k: int = 100) -> Found | None:
        """Return what fits what was typed so far; None if something newer was asked meanwhile.

        By meaning and by words once the model is loaded, by words until then: typing never waits for it.
        Nothing typed: the newest entries.
        """
        self._newest += 1
        mine = self._newest

        def question(room: Room) -> Found | None:
            return _found(room, text, filters, k) if mine == self._newest else None

        try:
            found = await self.ask(question)
        except RekallError as error:
            found = Found(text, problem=str(error))
        return found if mine == self._newest else None


def _found(room: Room, text: str, filters: Filters | None, k: int) -> Found:
    begin = time.perf_counter()
    database = room.reading()
    hits, by_meaning = room.find_as_typed(text, k, filters)
    entries = {entry.id: entry for entry in database.get_many([hit.id for hit in hits])}
    hits = [hit for hit in hits if hit.id in entries]
    short = database.short_ids(hit.id for hit in hits)
    seconds = time.perf_counter() - begin
    return replace(Found(text, hits, entries, short), seconds=seconds, by_meaning=by_meaning, total=database.count())
