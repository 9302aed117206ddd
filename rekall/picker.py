"""The picker: type, see what fits at every key, take one. Inline, below the prompt.

The app is a Picker, which holds what was typed, found and marked; picker_keys.py says which key does what,
picker_view.py and preview.py how it looks. It may stop drawing and come back as it was, which is how an editor has the
terminal in between. Its surprise: Enter takes what fits the whole line, so it waits for the answer if
somebody types faster than it comes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime
from typing import Any  # what a background task returns

from prompt_toolkit.application import Application
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.layout import BufferControl, Layout, Window
from prompt_toolkit.lexers import Lexer
from prompt_toolkit.styles import DummyStyle

from rekall import clipboard, picker_view
from rekall.desk import Desk, Found
from rekall.door import base_of
from rekall.entry import Entry
from rekall.errors import CANCELLED, NOTHING_FOUND, RekallError
from rekall.picker_keys import keys_of
from rekall.picker_view import Areas, Status
from rekall.preview import Block, Preview, blocks_of, coloured, preview_lines
from rekall.protocol import Request, Response
from rekall.query import Typed, typed
from rekall.render import beginnings, plain, printed
from rekall.screens import Screen
from rekall.sheet import Line, Sheet

# Escape is a key of its own, and the beginning of others: it is one of those if the rest follows within these.
ESCAPE_SECONDS = 0.02
# How often it is looked whether the model has come.
LOOK_SECONDS = 0.1
# The picker opens with its list, unless that takes longer than this.
FIRST_SECONDS = 0.05
# Somebody who stays on an entry for so long sees its code in colour.
STAY_SECONDS = 0.05
# Code blocks whose colours are kept.
KEPT_BLOCKS = 100


async def pick(request: Request, response: Response, screen: Screen, desk: Desk) -> None:
    """Let the user choose entries and print what they answer; status 130 if none was chosen, 1 if there are none."""
    if not await desk.ask(lambda room: not room.reading().is_empty()):
        response.status = NOTHING_FOUND
        return
    options = request.options
    picker = Picker(desk, screen, request, " ".join(options.query))
    screen.on_resize = picker.app._on_resize
    chosen = await picker.run()
    if chosen is None:
        response.status = CANCELLED
    elif not chosen:
        response.status = NOTHING_FOUND
    for entry in chosen or ():
        text = printed(entry, options.what)
        response.raw((plain(text) if request.terminal.output_is_tty else text) + ("\0" if options.nul else "\n"))


class Picker:
    """What is typed, found, marked and shown. Everything happens in the loop; searches run in the desk's threads."""

    def __init__(self, desk: Desk, screen: Screen, request: Request, text: str) -> None:
        self.desk, self.screen, self.request = desk, screen, request
        self.found = Found("")
        self.entries: list[Entry] = []
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
        self._names: dict[str, frozenset[str]] | None = None
        self._preview: tuple[object, Preview] | None = None
        self._colours: dict[Block, list[Line]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._staying: asyncio.Task[Any] | None = None
        self.line = Buffer(document=Document(text), multiline=False, on_text_changed=lambda _line: self._typed())
        control = BufferControl(self.line, lexer=_Dimmed(self.parsed), include_default_input_processors=False)
        self.app: Application[str] = Application(
            Layout(Sheet(Window(control, height=1), self._prompt, self._lines, self._rows)),
            style=DummyStyle(),
            key_bindings=keys_of(self),
            erase_when_done=True,
            include_default_pygments_style=False,
        )
        self.app.ttimeoutlen = self.app.timeoutlen = ESCAPE_SECONDS
        self.app.terminal_size_polling_interval = None  # whoever resizes it says so

    # --- the life of the app ---

    async def run(self) -> list[Entry] | None:
        """Return what was chosen, in the order of marking; [] if nothing fitted, None if the picker was left."""
        try:
            await asyncio.wait({self.start(self._answer(self.parsed()))}, timeout=FIRST_SECONDS)
            self.start(self._learn_names())
            while True:
                what = await self.app.run_async(handle_sigint=False, set_exception_handler=False)
                if what == "edit":
                    await self._edit()
                elif what == "stop":
                    await self.screen.run(["sh", "-c", "kill -TSTP 0"])
                else:
                    return self._chosen() if what == "take" else None
        finally:
            for task in self._tasks:
                task.cancel()

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do something beside the drawing, for as long as the picker is there."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _chosen(self) -> list[Entry]:
        return list(self.marked.values()) or ([self.here] if self.here else [])

    async def _edit(self) -> None:
        """Let the caller's editor change the entry, and see what became of it."""
        if self.here is None:
            return
        key, self._was_moved = self.here.id, True
        await self.screen.run(["rekall-py", "--db", str(base_of(self.request).path), "edit", key])
        entry = await self.desk.entry(key)
        self._preview = None
        self._search()
        self.entries = [entry if entry and old.id == key else old for old in self.entries]
        if entry and key in self.marked:
            self.marked[key] = entry

    # --- finding ---

    @property
    def here(self) -> Entry | None:
        """The entry where one is."""
        return self.entries[self.place] if self.place < len(self.entries) else None

    def parsed(self) -> Typed:
        """Return the line taken apart."""
        return typed(self.line.text, self._names, self._moment, self.request.zone)

    def _typed(self) -> None:
        self.mode = self.notice = ""
        self._takes_when_answered = False
        self._search()

    def _search(self) -> None:
        self.start(self._answer(self.parsed()))

    async def _answer(self, asked: Typed) -> None:
        found = await self.desk.find(asked.words, asked.filters)
        if found is None:
            return
        is_same = asked == self._answered
        key = self.here.id if self.here and is_same and self._was_moved else ""
        self.found, self._answered = found, asked
        self.entries = [found.entries[hit.id] for hit in found.hits]
        self.place = next((place for place, entry in enumerate(self.entries) if entry.id == key), 0)
        self._was_moved = bool(key)
        self.first = self.first if key else 0
        self._preview = None
        self.app.invalidate()
        if self._takes_when_answered and self.app.is_running:
            self.take()
        elif not found.by_meaning and not found.problem and asked.words.strip():
            self.start(self._ask_again_with_the_model(asked))

    async def _ask_again_with_the_model(self, asked: Typed) -> None:
        while asked == self._answered and self.parsed() == asked:
            await asyncio.sleep(LOOK_SECONDS)
            state = await self.desk.model_state()
            if state == "loaded":
                await self._answer(asked)
            if state != "loading":
                break

    async def _learn_names(self) -> None:
        try:
            self._names = await self.desk.names()
        except RekallError:
            return
        self._search()

    # --- what keys do ---

    def move(self, by: int) -> None:
        """Go up or down by so many entries, or lines of the help."""
        if self.mode == "help":
            self.help_top = max(0, self.help_top + by)
        elif self.entries:
            self.place = max(0, min(self.place + by, len(self.entries) - 1))
            self._was_moved = True

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
            self.app.exit(result="take")
        else:
            self._takes_when_answered = True

    def copy(self) -> None:
        """Copy what Enter would give: by the terminal, and by the clipboard's own program."""
        chosen = self._chosen()
        if chosen:
            text = "\n".join(printed(entry, self.request.options.what) for entry in chosen)
            self.start(clipboard.copy(self.screen, text, self.request.env))
            self.notice = picker_view.copied(len(chosen))

    # --- what is shown ---

    def _rows(self, rows: int) -> int:
        return picker_view.rows_wanted(self.request.options.height, self.screen.output.get_size().rows)

    def _prompt(self, columns: int) -> Line:
        return (("fg:ansiblue bold", "› " if columns > 10 else ""),)

    def _lines(self, columns: int, rows: int) -> Sequence[Line]:
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
        words = self._answered.words if self._answered else ""
        entries = self.entries[self.first : self.first + rows]
        place = self.place - self.first
        lines = list(
            picker_view.list_lines(entries, place, self.marked, shared.columns, words, time.time()) if rows else ()
        )
        if not shared.preview:
            return lines
        seen = self._preview_lines(shared)
        if shared.preview == "beside":
            return picker_view.beside(lines, seen, shared.columns, rows)
        return picker_view.below(lines, seen, shared) if shared.preview == "below" else seen

    def _help(self, shared: Areas) -> Sequence[Line]:
        lines = picker_view.help_lines(self.screen.output.get_size().columns)
        rows = shared.rows or shared.preview_rows
        self.help_top = min(self.help_top, max(0, len(lines) - rows))
        return lines[self.help_top : self.help_top + rows]

    def _preview_lines(self, shared: Areas) -> list[Line]:
        entry = self.here
        if entry is None or self._answered is None:
            return []
        what = (entry.id, entry.revision, shared.preview_columns, self._answered.words)
        if self._preview is None or self._preview[0] != what:
            self._preview = (what, self._preview_of(entry, shared))
            self._colour_soon(entry)
        return self._preview[1].seen(shared.preview_rows)

    def _preview_of(self, entry: Entry, shared: Areas) -> Preview:
        assert self._answered
        short = self.found.short.get(entry.id, entry.id)
        begins = beginnings(self._answered.words)
        return Preview(preview_lines(entry, short, shared.preview_columns, begins, self._colours))

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
            self.app.invalidate()

    def _status(self) -> Status:
        found = self.found
        mode = "" if not (self._answered and self._answered.words.strip()) else "both" if found.by_meaning else "words"
        return Status(
            len(found.hits), found.total, mode, found.seconds, len(self.marked), self.notice, found.problem or ""
        )


class _Dimmed(Lexer):
    """Shows filters that are in force in another colour, and those that are not dim."""

    def __init__(self, parsed: Any) -> None:
        self._parsed = parsed

    def lex_document(self, document: Document) -> Any:
        def line(_number: int) -> StyleAndTextTuples:
            text, parts, place = document.text, [], 0
            for start, end, holds in self._parsed().spans:
                parts += [("", text[place:start]), ("fg:ansicyan" if holds else "dim", text[start:end])]
                place = end
            return [*parts, ("", text[place:])]

        return line
