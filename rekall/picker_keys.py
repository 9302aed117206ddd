"""Which key does what in the picking. What is not here edits the line, as in bash."""

from __future__ import annotations

from prompt_toolkit.filters import Condition
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys

from rekall.entry import TYPES
from rekall.picking import Picking
from rekall.query import type_in, with_type

# A longer paste is no query.
MOST_PASTED = 10_000


def keys_of(picking: Picking) -> KeyBindings:
    """Return the keys of a picking."""
    keys = KeyBindings()
    _moving(keys, picking)
    _taking(keys, picking)
    _asking(keys, picking)
    return keys


def _moving(keys: KeyBindings, picking: Picking) -> None:
    def page() -> int:
        return max(1, picking.areas.rows - 1)

    for names, by in ((("up", "c-p"), -1), (("down", "c-n"), 1)):
        for name in names:
            keys.add(name)(lambda _event, by=by: picking.move(by))
    keys.add("pageup")(lambda _event: picking.move(-page()))
    keys.add("pagedown")(lambda _event: picking.move(page()))
    keys.add("s-up")(lambda _event: picking.scroll(-1))
    keys.add("s-down")(lambda _event: picking.scroll(1))
    keys.add("escape", "up")(lambda _event: picking.scroll(1 - picking.areas.preview_rows))
    keys.add("escape", "down")(lambda _event: picking.scroll(picking.areas.preview_rows - 1))


def _taking(keys: KeyBindings, picking: Picking) -> None:
    @keys.add("enter")
    def _enter(_event: KeyPressEvent) -> None:
        if picking.mode:
            picking.mode = ""
        else:
            picking.take()

    keys.add("tab")(lambda _event: picking.mark(1))
    keys.add("s-tab")(lambda _event: picking.mark(-1))
    keys.add("c-y")(lambda _event: picking.copy())

    @keys.add("c-o")
    def _edit(_event: KeyPressEvent) -> None:
        if picking.here:
            picking.leave("edit")

    @keys.add("escape")
    def _escape(_event: KeyPressEvent) -> None:
        if picking.mode:
            picking.mode = ""
        else:
            picking.leave("leave")

    @keys.add("c-c")
    @keys.add("c-g")
    def _leave(_event: KeyPressEvent) -> None:
        picking.leave("leave")

    @keys.add("c-z")
    def _stop(_event: KeyPressEvent) -> None:
        # In $(…) the shell itself would be among those that stop.
        if picking.request.terminal.output_is_tty:
            picking.leave("stop")


def _asking(keys: KeyBindings, picking: Picking) -> None:
    nothing_typed = Condition(lambda: not picking.line.text)
    chooses_type = Condition(lambda: picking.mode == "types")

    def set_type(name: str) -> None:
        picking.line.text = with_type(picking.line.text, name)
        picking.line.cursor_position = len(picking.line.text)

    @keys.add("f1")
    @keys.add("?", filter=nothing_typed)
    def _help(_event: KeyPressEvent) -> None:
        picking.mode, picking.help_top = "" if picking.mode == "help" else "help", 0

    @keys.add("escape", "p")
    def _preview(_event: KeyPressEvent) -> None:
        picking.wants_preview = not picking.areas.preview

    @keys.add("c-t")
    def _types(_event: KeyPressEvent) -> None:
        if picking.mode == "types":  # again: the next one
            names = ("", *TYPES)
            set_type(names[(names.index(type_in(picking.line.text)) + 1) % len(names)])
        picking.mode = "types"

    for number, name in enumerate(("", *TYPES)):

        @keys.add(str(number), filter=chooses_type)
        def _chosen(_event: KeyPressEvent, name: str = name) -> None:
            set_type("" if name == type_in(picking.line.text) else name)

    @keys.add(Keys.BracketedPaste)
    def _paste(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text(" ".join(event.data[:MOST_PASTED].split()))
