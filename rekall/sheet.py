"""A sheet of lines on the screen, one line to type in at its top: what the layouts of our apps come down to.

prompt_toolkit's own windows format every letter of every line at every key. Here a line is a value: its cells
are made once, kept, and laid into the screen whole, so a key costs what has changed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, TypeVar  # Any: what prompt_toolkit hands over is not looked at

from prompt_toolkit import renderer
from prompt_toolkit.application import Application, application
from prompt_toolkit.filters import Filter
from prompt_toolkit.key_binding import KeyBindingsBase
from prompt_toolkit.key_binding.defaults import load_key_bindings
from prompt_toolkit.layout import Layout
from prompt_toolkit.layout.containers import Container, Window
from prompt_toolkit.layout.dimension import Dimension
from prompt_toolkit.layout.mouse_handlers import MouseHandlers
from prompt_toolkit.layout.screen import Char, Screen, WritePosition
from prompt_toolkit.styles import BaseStyle, Style

# A line: (style, text) one after the other; no control characters.
Line = tuple[tuple[str, str], ...]
# The style of a part that says where the next one begins: (AT, "40").
AT = "@"
BLANK = Char()
MOST_MARKS = 5
# Lines whose cells are kept: several screens of them.
KEPT_LINES = 1024
# Letters that take no room of their own and about whose width terminals disagree: joiners, variation selectors, marks
# of direction, soft hyphens. Without them a letter is as wide here as there.
UNSEEN = dict.fromkeys([0xAD, 0x61C, 0xFEFF, *range(0x200B, 0x2010), *range(0x2028, 0x202F), *range(0x2060, 0x2070),
                        *range(0xFE00, 0xFE10), *range(0xE0000, 0xE01F0)])  # fmt: skip


Result = TypeVar("Result")


class App(Application[Result]):
    """An app that opens at once.

    prompt_toolkit makes 600 editing keys and 270 rules of style for each app anew, 8 ms of the 15 that a picker may
    take. The keys know nothing of the app they serve, so one set does for all; of the styles ours use none.
    """

    def __init__(self, layout: Layout, keys: KeyBindingsBase, styles: Sequence[tuple[str, str]] = ()) -> None:
        """`styles` are (class name, what it looks like)."""
        self._styles = list(styles)
        self._held_until = 0.0
        given = application.load_key_bindings  # type: ignore[attr-defined]  # imported there
        application.load_key_bindings = _editing_keys  # type: ignore[attr-defined]
        try:
            super().__init__(layout, key_bindings=keys, erase_when_done=True, include_default_pygments_style=False)
        finally:
            application.load_key_bindings = given  # type: ignore[attr-defined]

    def hold(self, seconds: float) -> None:
        """Draw nothing for so long, unless `show` comes first: what changes by then is drawn in one."""
        self._held_until = time.monotonic() + seconds

    def show(self) -> None:
        """Draw now."""
        self._held_until = 0.0
        self.invalidate()

    def _redraw(self, render_as_done: bool = False) -> None:
        left = self._held_until - time.monotonic()
        if left <= 0 or render_as_done:
            super()._redraw(render_as_done)
        elif self.loop:
            self.loop.call_later(left, self.invalidate)

    def _create_merged_style(self, include_default_pygments_style: Filter) -> BaseStyle:
        return Style(self._styles)


@lru_cache(1)
def _editing_keys() -> KeyBindingsBase:
    return load_key_bindings()


_diff: Callable[..., Any] = renderer._output_screen_diff


def diff_of_changed_rows(
    app: Any, output: Any, screen: Screen, at: Any, depth: Any, before: Screen | None, style: Any, is_done: bool,
    **more: Any,
) -> Any:  # fmt: skip
    """Draw what prompt_toolkit's own comparison would, but let it look at the cells of changed rows only.

    It goes through every cell of both screens in Python. Rows that stay are empty ones for it, which draw nothing.
    """
    stays = {}
    if before is not None and not is_done and more["previous_width"] == more["size"].columns:
        old = before.data_buffer
        stays = {y: row for y, row in screen.data_buffer.items() if y in old and old[y] == row}
    for y in stays:
        del screen.data_buffer[y], before.data_buffer[y]  # type: ignore[union-attr]  # there, or nothing stays
    try:
        return _diff(app, output, screen, at, depth, before, style, is_done, **more)
    finally:
        screen.data_buffer.update(stays)


renderer._output_screen_diff = diff_of_changed_rows  # type: ignore[assignment]  # called as it is there


class Sheet(Container):
    """The whole of an app's screen: `line` behind a prompt, and below it as many lines as there is room for."""

    def __init__(
        self,
        line: Window,
        prompt: Callable[[int], Line],
        lines: Callable[[int, int], Sequence[Line]],
        rows: Callable[[], int],
    ) -> None:
        """`lines(columns, rows)` gives what stands below the line, `rows()` how high the sheet is."""
        self._line = line
        self._prompt = prompt
        self._lines = lines
        self._rows = rows

    def reset(self) -> None:
        self._line.reset()

    def preferred_width(self, max_available_width: int) -> Dimension:
        return Dimension()

    def preferred_height(self, width: int, max_available_height: int) -> Dimension:
        return Dimension.exact(self._rows())

    def write_to_screen(
        self,
        screen: Screen,
        mouse_handlers: MouseHandlers,
        write_position: WritePosition,
        parent_style: str,
        erase_bg: bool,
        z_index: int | None,
    ) -> None:
        columns, rows = write_position.width, min(self._rows(), write_position.height)
        prompt = cells(self._prompt(columns), max(0, columns - 2))
        screen.data_buffer[0].update(prompt)
        begin = len(prompt)
        at = WritePosition(xpos=begin, ypos=0, width=columns - begin, height=1)
        self._line.write_to_screen(screen, mouse_handlers, at, parent_style, erase_bg, z_index)
        for row, line in enumerate(self._lines(columns, rows - 1)[: rows - 1], 1):
            screen.data_buffer[row].update(cells(line, columns))
        screen.height = max(screen.height, rows)

    def get_children(self) -> list[Container]:
        return [self._line]

    def is_modal(self) -> bool:
        return False

    def get_key_bindings(self) -> KeyBindingsBase | None:
        return None


@lru_cache(KEPT_LINES)
def cells(line: Line, columns: int) -> dict[int, Char]:
    """Return the cells of a line, column by column; what has no room in `columns` is cut. Do not change them.

    Behind (AT, "40") the text goes on in column 40; what had come further before is cut there.
    """
    found: dict[int, Char] = {}
    place = 0
    for style, text in line:
        if style == AT:
            place = _moved(found, place, min(int(text), columns))
            continue
        for letter in text.translate(UNSEEN):
            cell = _char(letter, style)
            if cell.width == 0:
                _add_mark(found, place, letter)
            elif place + cell.width > columns:
                break
            else:
                found[place] = cell
                for column in range(place + 1, place + cell.width):
                    found[column] = Char("", style)
                place += cell.width
    return found


@lru_cache(8192)
def _char(letter: str, style: str) -> Char:
    return Char(letter, style)


def _moved(found: dict[int, Char], place: int, column: int) -> int:
    """Cut or fill the cells up to `column`, and return it."""
    for taken in range(column, place):
        del found[taken]
    if place > column and found and found.get(column - 1, BLANK).width == 2:
        found[column - 1] = BLANK  # half of a wide letter
    for free in range(place, column):
        found[free] = BLANK
    return column


def _add_mark(found: dict[int, Char], place: int, mark: str) -> None:
    """Add an accent to the letter before it; more than a few on one letter are a joke."""
    at = place - 1 if place and found[place - 1].char else place - 2
    if at >= 0 and len(found[at].char) < MOST_MARKS:
        found[at] = Char(found[at].char + mark, found[at].style)
