"""Which key does what in the picker. What is not here edits the line, as in bash."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prompt_toolkit.filters import Condition
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys

from rekall.entry import TYPES
from rekall.query import type_in, with_type

if TYPE_CHECKING:
    from rekall.picker import Picker

# A longer paste is no query.
MOST_PASTED = 10_000


def keys_of(picker: Picker) -> KeyBindings:
    """Return the keys of a picker."""
    keys = KeyBindings()
    _moving(keys, picker)
    _taking(keys, picker)
    _asking(keys, picker)
    return keys


def _moving(keys: KeyBindings, picker: Picker) -> None:
    def page() -> int:
        return max(1, picker.areas.rows - 1)

    for names, by in ((("up", "c-p"), -1), (("down", "c-n"), 1)):
        for name in names:
            keys.add(name)(lambda _event, by=by: picker.move(by))
    keys.add("pageup")(lambda _event: picker.move(-page()))
    keys.add("pagedown")(lambda _event: picker.move(page()))
    keys.add("s-up")(lambda _event: picker.scroll(-1))
    keys.add("s-down")(lambda _event: picker.scroll(1))
    keys.add("escape", "up")(lambda _event: picker.scroll(1 - picker.areas.preview_rows))
    keys.add("escape", "down")(lambda _event: picker.scroll(picker.areas.preview_rows - 1))


def _taking(keys: KeyBindings, picker: Picker) -> None:
    @keys.add("enter")
    def _enter(_event: KeyPressEvent) -> None:
        if picker.mode:
            picker.mode = ""
        else:
            picker.take()

    keys.add("tab")(lambda _event: picker.mark(1))
    keys.add("s-tab")(lambda _event: picker.mark(-1))
    keys.add("c-y")(lambda _event: picker.copy())

    @keys.add("c-o")
    def _edit(event: KeyPressEvent) -> None:
        if picker.here:
            event.app.exit(result="edit")

    @keys.add("escape")
    def _escape(event: KeyPressEvent) -> None:
        if picker.mode:
            picker.mode = ""
        else:
            event.app.exit(result="leave")

    @keys.add("c-c")
    @keys.add("c-g")
    def _leave(event: KeyPressEvent) -> None:
        event.app.exit(result="leave")

    @keys.add("c-z")
    def _stop(event: KeyPressEvent) -> None:
        # In $(…) the shell itself would be among those that stop.
        if picker.request.terminal.output_is_tty:
            event.app.exit(result="stop")


def _asking(keys: KeyBindings, picker: Picker) -> None:
    nothing_typed = Condition(lambda: not picker.line.text)
    chooses_type = Condition(lambda: picker.mode == "types")

    def set_type(name: str) -> None:
        picker.line.text = with_type(picker.line.text, name)
        picker.line.cursor_position = len(picker.line.text)

    @keys.add("f1")
    @keys.add("?", filter=nothing_typed)
    def _help(_event: KeyPressEvent) -> None:
        picker.mode, picker.help_top = "" if picker.mode == "help" else "help", 0

    @keys.add("escape", "p")
    def _preview(_event: KeyPressEvent) -> None:
        picker.wants_preview = not picker.areas.preview

    @keys.add("c-t")
    def _types(_event: KeyPressEvent) -> None:
        if picker.mode == "types":  # again: the next one
            names = ("", *TYPES)
            set_type(names[(names.index(type_in(picker.line.text)) + 1) % len(names)])
        picker.mode = "types"

    for number, name in enumerate(("", *TYPES)):

        @keys.add(str(number), filter=chooses_type)
        def _chosen(_event: KeyPressEvent, name: str = name) -> None:
            set_type("" if name == type_in(picker.line.text) else name)

    @keys.add(Keys.BracketedPaste)
    def _paste(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text(" ".join(event.data[:MOST_PASTED].split()))
