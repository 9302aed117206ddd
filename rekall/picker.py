"""The picker: type, see what fits at every key, take one. Inline, below the prompt."""

from __future__ import annotations

import asyncio

from prompt_toolkit.application import Application
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.layout import BufferControl, FormattedTextControl, HSplit, Layout, Window

from rekall.desk import Desk, Found
from rekall.errors import CANCELLED
from rekall.protocol import Request, Response
from rekall.render import answer_of, plain
from rekall.screens import Screen


async def pick(request: Request, response: Response, screen: Screen, desk: Desk) -> None:
    """Let the user choose an entry and print what it answers; status 130 if none was chosen."""
    picker = Picker(desk, " ".join(request.options.query))
    screen.on_resize = picker.app._on_resize
    chosen = await picker.run()
    if chosen is None:
        response.status = CANCELLED
    else:
        response.data(chosen)


class Picker:
    """The app: a line to type in, and below it what fits."""

    def __init__(self, desk: Desk, text: str) -> None:
        self._desk = desk
        self._found = Found("")
        self._place = 0
        self._line = Buffer(on_text_changed=lambda _buffer: self._search())
        self._line.text = text
        self._line.cursor_position = len(text)
        self.app: Application[str | None] = Application(
            Layout(
                HSplit(
                    [Window(BufferControl(self._line), height=1), Window(FormattedTextControl(self._list), height=9)]
                )
            ),
            key_bindings=self._keys(),
            erase_when_done=True,
        )

    async def run(self) -> str | None:
        """Return what was chosen, None if the picker was left."""
        return await self.app.run_async(self._search, handle_sigint=False, set_exception_handler=False)

    def _search(self) -> None:
        asyncio.get_running_loop().create_task(self._answer(self._line.text))

    async def _answer(self, text: str) -> None:
        found = await self._desk.find(text)
        if found:
            self._found, self._place = found, 0
            self.app.invalidate()

    def _list(self) -> StyleAndTextTuples:
        return [
            ("reverse" if place == self._place else "", plain(self._found.entries[hit.id].title) + "\n")
            for place, hit in enumerate(self._found.hits)
        ]

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()

        @keys.add("down")
        def _down(event: KeyPressEvent) -> None:
            self._place = min(self._place + 1, max(0, len(self._found.hits) - 1))

        @keys.add("up")
        def _up(event: KeyPressEvent) -> None:
            self._place = max(self._place - 1, 0)

        @keys.add("enter")
        def _enter(event: KeyPressEvent) -> None:
            if self._found.hits:
                event.app.exit(result=answer_of(self._found.entries[self._found.hits[self._place].id]))

        @keys.add("c-c")
        @keys.add("c-g")
        @keys.add("escape")
        def _leave(event: KeyPressEvent) -> None:
            event.app.exit(result=None)

        return keys
