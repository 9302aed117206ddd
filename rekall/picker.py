"""The picker: type, see what fits at every key, take one. Inline, below the prompt.

picking.py is what goes on in it, picker_keys.py which key does what, picker_view.py and preview.py how it looks. Here
is the app: it may stop drawing and come back as it was, which is how an editor has the terminal in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.layout import BufferControl, Layout, Window
from prompt_toolkit.lexers import Lexer
from prompt_toolkit.output import ColorDepth

from rekall.commands.showing import write_picked
from rekall.desk import Desk
from rekall.door import base_of
from rekall.entry import Entry, clean_text
from rekall.errors import CANCELLED, ERROR, NOTHING_FOUND
from rekall.language import _
from rekall.picker_keys import keys_of
from rekall.picking import Picking
from rekall.protocol import Request, Response
from rekall.query import Typed
from rekall.screens import Screen
from rekall.sheet import App, Line, Sheet

# Escape is a key of its own, and the beginning of others: it is one of those if the rest follows within these.
ESCAPE_SECONDS = 0.02
# The picker opens with its list, unless that takes longer than this.
FIRST_SECONDS = 0.05


async def pick(request: Request, response: Response, screen: Screen, desk: Desk) -> None:
    """Let the user choose entries and print what they answer; status 130 if none was chosen, 1 if there are none."""
    options = request.options
    picking = Picking(desk, screen, request, " ".join(clean_text(" ".join(options.query)).split()))
    try:
        await asyncio.wait({picking.start(picking.answer(picking.parsed()))}, timeout=FIRST_SECONDS)
        if picking.is_empty:
            response.status = NOTHING_FOUND
            response.note(_("nothing is kept yet; begin with: rekall add"))
            return
        chosen = await _chosen(picking)
    finally:
        picking.close()
        response.picked += picking.copied
    response.picked += [entry.id for entry in chosen or ()]
    if chosen is None:
        response.status = CANCELLED
    elif not chosen:
        response.status = ERROR if picking.found.problem else NOTHING_FOUND
        if picking.found.problem:
            response.note(f"rekall: {picking.found.problem}")
    write_picked(request, response, chosen or ())


async def _chosen(picking: Picking) -> list[Entry] | None:
    """Return what was chosen, in the order of marking; [] if nothing fitted, None if the picker was left."""
    picking.start(picking.learn_names())
    app = _app(picking)
    picking.screen.on_resize = app._on_resize
    while True:
        try:
            how = await app.run_async(handle_sigint=False, set_exception_handler=False)
        except EOFError:  # the terminal is gone
            return None
        if how == "edit":
            await _edit(picking)
        elif how == "stop":
            await picking.screen.run(["sh", "-c", "kill -TSTP 0"])
        else:
            return picking.chosen() if how == "take" else None


def _app(picking: Picking) -> App[str]:
    control = BufferControl(picking.line, lexer=_Filters(picking.parsed), include_default_input_processors=False)
    sheet = Sheet(Window(control, height=1), _prompt, lambda columns, rows: lines(columns, rows), picking.rows)
    has_colour = picking.screen.output.get_default_color_depth() != ColorDepth.DEPTH_1_BIT
    match = "bold fg:ansigreen" if has_colour else "bold underline"
    app: App[str] = App(Layout(sheet), keys_of(picking), [("match", match)])
    app.ttimeoutlen = app.timeoutlen = ESCAPE_SECONDS
    app.max_render_postpone_time = None  # what is there is drawn
    app.terminal_size_polling_interval = None  # whoever resizes it says so
    picking.redraw, picking.hold = app.show, app.hold

    def leave(how: str) -> None:
        if app.is_running and not app.is_done:
            app.exit(result=how)

    def fail(error: Exception) -> None:
        if app.is_running and not app.is_done:
            app.exit(exception=error)

    def lines(columns: int, rows: int) -> Sequence[Line]:
        try:
            return picking.lines(columns, rows)
        except Exception as error:  # the loop would only log it, and the picker stand still
            fail(error)
            return []

    picking.leave, picking.fail = leave, fail
    return app


async def _edit(picking: Picking) -> None:
    """Let the caller's editor change the entry, and see what became of it."""
    if picking.here:
        key = picking.here.id
        await picking.screen.run(["rekall-py", "--db", str(base_of(picking.request).path), "edit", key])
        entries, _replaced = await picking.desk.entries([key])
        picking.refresh(key, entries.get(key))
        picking.start(picking.learn_names())


def _prompt(columns: int) -> Line:
    return (("fg:ansiblue bold", "› " if columns > 10 else ""),)


class _Filters(Lexer):
    """Shows filters that are in force in another colour, and those that are not dim."""

    def __init__(self, parsed: Callable[[], Typed]) -> None:
        self._parsed = parsed

    def lex_document(self, document: Document) -> Callable[[int], StyleAndTextTuples]:
        def line(_number: int) -> StyleAndTextTuples:
            text, parts, place = document.text, [], 0
            for start, end, holds in self._parsed().spans:
                parts += [("", text[place:start]), ("fg:ansicyan" if holds else "dim", text[start:end])]
                place = end
            return [*parts, ("", text[place:])]

        return line
