"""What goes on in the picker: what was typed, found and marked, where one is, and what is shown of it.

Everything happens in the loop; searches run in the desk's threads. It draws nothing: the app asks for `lines` and is
told by `redraw` that there are others. Its surprise: Enter takes what fits the whole line, so it waits
for the answer if somebody types faster than it comes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from typing import Any  # what a background task returns

from prompt_toolkit.buffer import Buffer
from prompt_toolkit.document import Document

from rekall import clipboard, picker_view
from rekall.desk import Desk, Found
from rekall.entry import Entry
from rekall.errors import RekallError
from rekall.picker_view import Areas, Status
from rekall.preview import Block, Preview, blocks_of, coloured, preview_lines
from rekall.protocol import Request
from rekall.query import Typed, typed
from rekall.render import beginnings, printed
from rekall.screens import Screen
from rekall.sheet import Line

# How often it is looked whether the model has come.
LOOK_SECONDS = 0.1
# A letter is drawn with its list if that comes within this, else before it: one drawing is done sooner than two.
TOGETHER_SECONDS = 0.02
# Somebody who stays on an entry for so long sees its code in colour.
STAY_SECONDS = 0.05
# Entries that are read with an answer: a screen, or so many. Others are read when somebody goes there.
LEAST_SHOWN = 8
# Code blocks whose colours are kept.
KEPT_BLOCKS = 100


class Picking:
    """The picker without its terminal."""

    def __init__(self, desk: Desk, screen: Screen, request: Request, text: str) -> None:
        self.desk, self.screen, self.request = desk, screen, request
        self.redraw: Callable[[], None] = lambda: None  # set by the app, as are
        self.hold: Callable[[float], None] = lambda _seconds: None
        self.leave: Callable[[str], None] = lambda _how: None  # 'take', 'leave', 'edit' or 'stop'
        self.fail: Callable[[Exception], None] = lambda _error: None
        self.found = Found("")
        self.entries: list[Entry] = []
        self.replaced: dict[str, tuple[str, str]] = {}  # what replaced the obsolete ones
        self.copied: list[str] = []
        self.place = self.first = 0  # where one is, and the first entry in sight
        self.marked: dict[str, Entry] = {}
        self.mode = ""  # what is shown in place of the list or the status: 'help', 'types'
        self.help_top = 0
        self.notice = ""
        self.wants_preview: bool | None = None
        self.areas = Areas(80, 1)
        self._moment = datetime.now(UTC)  # since:30d means the same for as long as the picker is there
        self._answered: Typed | None = None
        self._takes_when_answered = False
        self._was_moved = False
        self._is_loading = True  # it is sent for with the first question
        self._wanted: int | None = None  # where one wants to be, but the entry is not read yet
        self._names: dict[str, frozenset[str]] | None = None
        self._list: tuple[object, list[Line]] | None = None
        self._preview: tuple[object, Preview] | None = None
        self._colours: dict[Block, list[Line]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._staying: asyncio.Task[Any] | None = None
        self.line = Buffer(document=Document(text), multiline=False, on_text_changed=lambda _line: self._typed())

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do something beside the drawing, for as long as the picker is there."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Forget what has ended; what broke ends the app."""
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Exception):
            self.fail(error)

    def close(self) -> None:
        """End what is under way."""
        for task in self._tasks:
            task.cancel()

    def chosen(self) -> list[Entry]:
        """Return what is marked, in that order, else the entry where one is, if there is any."""
        return list(self.marked.values()) or ([self.here] if self.here else [])

    def refresh(self, key: str, entry: Entry | None) -> None:
        """Show an entry as it has become, and stay with it; None if it is gone."""
        self._was_moved, self._preview = True, None
        if entry:
            self.entries = [entry if old.id == key else old for old in self.entries]
            if key in self.marked:
                self.marked[key] = entry
        else:
            self.marked.pop(key, None)
        self.search()

    # --- finding ---

    @property
    def here(self) -> Entry | None:
        """The entry where one is."""
        return self.entries[self.place] if self.place < len(self.entries) else None

    @property
    def is_empty(self) -> bool:
        """Whether it is known that there is nothing to choose from."""
        return self._answered is not None and not self.found.total and not self.found.problem

    def parsed(self) -> Typed:
        """Return the line taken apart."""
        return typed(self.line.text, self._names, self._moment, self.request.zone)

    def _typed(self) -> None:
        self.mode = self.notice = ""
        self._takes_when_answered = False
        self.search()

    def search(self) -> None:
        """Find what fits the line, and show it when it is there."""
        self.hold(TOGETHER_SECONDS)
        self.start(self.answer(self.parsed()))

    async def answer(self, asked: Typed) -> None:
        """Find what fits, unless something newer is asked meanwhile."""
        shown = max(self.rows(), LEAST_SHOWN)
        found = await self.desk.find(asked.words, asked.filters, shown=shown)
        if found is None:
            return
        is_same = asked == self._answered
        key = self.here.id if self.here and is_same and self._was_moved else ""
        self.found, self._answered = found, asked
        self.entries, self.replaced = list(found.entries.values()), dict(found.replaced)
        self.place = next((place for place, entry in enumerate(self.entries) if entry.id == key), 0)
        self._was_moved, self._wanted = bool(key), None
        self.first = self.first if key else 0
        if not is_same:  # what was scrolled stays so when the model has come
            self._preview = None
        self.redraw()
        if self._takes_when_answered:
            self.take()
        elif not found.by_meaning and not found.problem and asked.words.strip():
            self.start(self._ask_again_with_the_model(asked))

    async def _ask_again_with_the_model(self, asked: Typed) -> None:
        while asked == self._answered and self.parsed() == asked:
            await asyncio.sleep(LOOK_SECONDS)
            state = await self.desk.model_state()
            if state == "loaded":
                await self.answer(asked)
            if self._is_loading != (state == "loading"):
                self._is_loading = state == "loading"
                self.redraw()
            if state != "loading":
                break

    async def learn_names(self) -> None:
        """Learn which tags and projects there are, so that half a name is no filter yet; first let the list be seen."""
        await asyncio.sleep(STAY_SECONDS)
        try:
            self._names = await self.desk.names()
        except RekallError:
            return
        if self.parsed() != self._answered:
            self.search()

    # --- what keys do ---

    def move(self, by: int) -> None:
        """Go up or down by so many entries, or lines of the help."""
        if self.mode == "help":
            self.help_top = max(0, self.help_top + by)
        elif self.entries:
            from_where = self.place if self._wanted is None else self._wanted
            wanted = max(0, min(from_where + by, len(self.found.hits) - 1))
            if wanted >= len(self.entries) and self._wanted is None:
                self.start(self._read_on())
            self._wanted = wanted if wanted >= len(self.entries) else None
            self.place, self._was_moved = min(wanted, len(self.entries) - 1), True

    async def _read_on(self) -> None:
        """Read the entries of the other hits, and go where one wants to be by then."""
        found = self.found
        entries, replaced = await self.desk.entries([hit.id for hit in found.hits[len(found.entries) :]])
        if found is self.found and len(self.entries) == len(found.entries):
            self.entries += entries.values()
            self.replaced |= replaced
            if self._wanted is not None:
                self.place = min(self._wanted, len(self.entries) - 1)
            self._wanted = None
            self.redraw()

    def scroll(self, by: int) -> None:
        """Scroll the preview."""
        if self._preview:
            self._preview[1].scroll(by, self.areas.preview_rows)

    def mark(self, step: int) -> None:
        """Mark the entry, or take its mark away, and go on."""
        if self.here and self.marked.pop(self.here.id, None) is None:
            self.marked[self.here.id] = self.here
        self.move(step)

    def take(self) -> None:
        """Leave with what is marked, else with the entry here, as soon as the whole line is answered."""
        if self.parsed() == self._answered:
            self.leave("take")
        else:
            self._takes_when_answered = True

    def copy(self) -> None:
        """Copy what Enter would give: by the terminal, and by the clipboard's own program."""
        chosen = self.chosen()
        if chosen:
            text = "\n".join(printed(entry, self.request.options.what) for entry in chosen)
            self.start(clipboard.copy(self.screen, text, self.request.env))
            self.notice = picker_view.copied(len(chosen))
            self.copied += [entry.id for entry in chosen]

    # --- what is shown ---

    def rows(self) -> int:
        """Return how high the picker is."""
        return picker_view.rows_wanted(self.request.options.height, self.screen.output.get_size().rows)

    def lines(self, columns: int, rows: int) -> Sequence[Line]:
        """Return what stands below the line."""
        self.areas = shared = picker_view.areas(columns, rows, self.wants_preview)
        lines = self._body(shared)
        if not shared.has_status:
            return lines
        bottom = (
            picker_view.types_line(self.parsed().filters.types)
            if self.mode == "types"
            else picker_view.status_line(self._status(), columns)
        )
        return [*lines, *[()] * (rows - 1 - len(lines)), bottom]

    def _body(self, shared: Areas) -> Sequence[Line]:
        if self.mode == "help":
            return self._help(shared)
        rows = shared.rows
        self.first = max(0, min(self.first, self.place, len(self.entries) - rows))
        self.first = max(self.first, self.place - rows + 1)
        lines = self._list_lines(shared) if rows else []
        if not shared.preview:
            return lines
        seen = self._preview_lines(shared)
        if shared.preview == "beside":
            return picker_view.beside(lines, seen, shared.columns, rows)
        return picker_view.below(lines, seen, shared) if shared.preview == "below" else seen

    def _list_lines(self, shared: Areas) -> list[Line]:
        """Return the list, made anew only if it has changed: it has not while a key waits for its answer."""
        entries = self.entries[self.first : self.first + shared.rows]
        what = ([id(entry) for entry in entries], self.place - self.first, list(self.marked), shared, self._answered)
        if self._list is None or self._list[0] != what:
            words = self._answered.words if self._answered else ""
            lines = picker_view.list_lines(
                entries, what[1], self.marked, shared.columns, words, time.time(), self.replaced
            )
            self._list = (what, list(lines))
        return self._list[1]

    def _help(self, shared: Areas) -> Sequence[Line]:
        lines = picker_view.help_lines(self.screen.output.get_size().columns)
        rows = shared.rows or shared.preview_rows
        self.help_top = min(self.help_top, max(0, len(lines) - rows))
        return lines[self.help_top : self.help_top + rows]

    def _preview_lines(self, shared: Areas) -> list[Line]:
        entry = self.here
        if entry is None or self._answered is None:
            return []
        what = (entry.id, entry.revision, entry.updated_at, shared.preview_columns, self._answered.words)
        if self._preview is None or self._preview[0] != what:
            self._preview = (what, self._preview_of(entry, shared))
            self._colour_soon(entry)
        return self._preview[1].seen(shared.preview_rows)

    def _preview_of(self, entry: Entry, shared: Areas) -> Preview:
        assert self._answered
        begins = beginnings(self._answered.words)
        return Preview(preview_lines(entry, shared.preview_columns, begins, self._colours, self.replaced))

    def _colour_soon(self, entry: Entry) -> None:
        if self._staying:
            self._staying.cancel()
        missing = [block for block in blocks_of(entry) if block not in self._colours]
        self._staying = self.start(self._colour(missing)) if missing else None

    async def _colour(self, blocks: list[Block]) -> None:
        await asyncio.sleep(STAY_SECONDS)
        if len(self._colours) > KEPT_BLOCKS:
            self._colours.clear()
        for block in blocks:
            self._colours[block] = await self.desk.work(lambda block=block: coloured(block))  # type: ignore[misc]  # a default binds it
        if self._preview and self.here:
            top = self._preview[1].top
            self._preview = (self._preview[0], self._preview_of(self.here, self.areas))
            self._preview[1].top = top
            self.redraw()

    def _status(self) -> Status:
        found = self.found
        mode = "both" if found.by_meaning else "loading" if self._is_loading else "words"
        if not (self._answered and self._answered.words.strip()):
            mode = ""
        return Status(
            len(found.hits), found.total, mode, found.seconds, len(self.marked), self.notice, found.problem or ""
        )
