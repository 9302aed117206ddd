"""The REPL: type to search, a number to see a result, a command to work with it. Several may run at once.

A line is a command if it reads as one (`show 2`, `tag 2 +git`, `add til …`), else it is a search; `?` in front makes
any line a search. What commands do is what `rekall` does on the command line: they are carried out by the same code.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from prompt_toolkit.enums import EditingMode
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.shortcuts import PromptSession
from prompt_toolkit.styles import Style

from rekall.commands import Room
from rekall.commands.showing import here_of, short_replaced
from rekall.desk import Desk, Found
from rekall.entry import TYPES, is_id
from rekall.errors import EntryNotFound, RekallError
from rekall.language import _
from rekall.protocol import Request, Response, Terminal
from rekall.query import asked, typed
from rekall.render import fitted, hit_lines, obsolete_mark, on_terminal, plain, with_mark
from rekall.repl_history import RedactedHistory, history_path
from rekall.repl_words import COMMANDS, Words
from rekall.screens import Screen
from rekall.usage import TOPICS, find_command

# Results under the prompt while one types, and those that a search shows.
UNDER_PROMPT = 5
SHOWN = 10
# Waits this long for the next key before it searches under the prompt: a fast typist sees fewer lists.
PAUSE_SECONDS = 0.03
# Commands whose first word names an entry, by its number or its id.
_ABOUT_AN_ENTRY = ("show", "edit", "similar", "delete", "tag", "link")
_SHORT = {"e": "edit", "s": "show", "q": "quit", "exit": "quit"}
_STYLE = Style.from_dict(
    {"bottom-toolbar": "noreverse", "prompt": "ansicyan bold", "type": "ansicyan", "dim": "ansibrightblack"}
)


class Interrupted(Exception):
    """Ctrl-C at the prompt: the line is given up."""


@dataclass
class Said:
    """What a command says, kept until it can be shown."""

    lines: list[str] = field(default_factory=list)

    def data(self, text: str) -> None:
        self.lines.append(text)

    def note(self, text: str) -> None:
        self.lines.append(plain(text))

    def copy(self, data: bytes) -> None:
        """No command of a line reads stdin, so none copies it."""

    def flush(self) -> None:
        """Nothing is sent before the command is done."""


async def repl(request: Request, response: Response, screen: Screen, desk: Desk) -> None:
    """Answer lines until the user leaves."""
    await Repl(request, screen, desk).run()


class Repl:
    """One session at one terminal."""

    def __init__(self, request: Request, screen: Screen, desk: Desk) -> None:
        self._request = request
        self._screen = screen
        self._desk = desk
        self._results: list[str] = []  # ids, the first is number 1
        self._under = Found("")
        self._shows_under = True
        self._searching: asyncio.Task[None] | None = None
        self._words = Words(desk, lambda: self._results)
        self._session: PromptSession[str] = PromptSession(
            [("class:prompt", "rekall> ")],
            input=screen.input,
            output=screen.output,
            history=RedactedHistory(history_path(request.env)),
            completer=self._words,
            complete_while_typing=False,
            vi_mode=bool(request.options.vi),
            style=_STYLE,
            include_default_pygments_style=False,
            prompt_continuation="   ... ",
            bottom_toolbar=self._list_under,
            key_bindings=self._keys(),
            interrupt_exception=Interrupted,
            reserve_space_for_menu=6,
        )
        # Toolbars are left out where nobody knows how much room is below; a line is always made by scrolling.
        self._session.app.before_render += lambda app: setattr(app.renderer, "_min_available_height", 1)
        self._session.default_buffer.on_text_changed += lambda _buffer: self._search_under()

    async def run(self) -> None:
        """Read and answer lines until Ctrl-D or quit."""
        self._screen.on_resize = self._session.app._on_resize
        self._print(_("type to search, a number to see a result; help lists the commands, Ctrl-D leaves"))
        while True:
            try:
                line = await self._session.prompt_async(handle_sigint=False, set_exception_handler=False)
            except Interrupted:
                continue
            except EOFError:
                return
            if not await self._obey(line.strip()):
                return

    # --- a line ---

    async def _obey(self, line: str) -> bool:
        """Do what a line says; tell whether to go on."""
        if not line:
            return True
        try:
            words = await self._command(line)
            if words is None:
                await self._search(line.removeprefix("?").strip())
            elif words[0] == "quit":
                return False
            elif words[0] == "help" and len(words) == 1:
                self._print(_help())
            elif words[0] in ("edit", "export") or (words[:1] == ["add"] and "--edit" in words):
                await self._in_callers_process(words)
            else:
                await self._carry_out(words)
        except RekallError as error:
            self._print(f"rekall: {plain(str(error))}")
        return True

    async def _command(self, line: str) -> list[str] | None:
        """Return a line as the words of a command, entries by their ids; None if it is a search."""
        first, *more = line.split("\n")
        try:
            words = shlex.split(first)
        except ValueError:
            return None
        if len(words) == 1 and words[0].isdecimal():
            words.insert(0, "show")
        if not words or line.startswith("?"):
            return None
        name, rest = _SHORT.get(words[0], words[0]), words[1:]
        if name == "add" and rest[:1] and rest[0] in TYPES:
            return [name, *rest, *(["-c", "\n".join(more).strip("\n")] if more else [])]
        if name in _ABOUT_AN_ENTRY and rest:
            return await self._about_an_entry(name, rest)
        if name in ("quit", "stats", "help", "list", "export") and not more:
            takes = (*COMMANDS, *TOPICS) if name == "help" else ()
            return [name, *rest] if not rest or rest[0].startswith("-") or rest[0] in takes else None
        return None

    async def _about_an_entry(self, name: str, rest: list[str]) -> list[str] | None:
        """Return the command with the entries it names; None if they are no entries, so it was a search."""
        count = 2 if name == "link" else 1
        named, others = rest[:count], rest[count:]
        if len(named) < count:
            return None
        keys = [await self._entry(word) for word in named]
        if any(key is None for key in keys):
            if rest[0].isdecimal():
                raise EntryNotFound(_("there is no result {number}; search first").format(number=rest[0]))
            return None
        return [name, *[key for key in keys if key], *others]

    async def _entry(self, word: str) -> str | None:
        """Return the id that a word means: the number of a result, or the beginning of an id."""
        if word.isdecimal() and 1 <= int(word) <= len(self._results):
            return self._results[int(word) - 1]
        if (word.isdecimal() and len(word) < 3) or not is_id(word):
            return None
        try:
            return await self._desk.ask(lambda room: room.reading().resolve(word))
        except EntryNotFound:
            return None

    # --- answers ---

    async def _search(self, text: str) -> None:
        """Search, and number what is found."""
        terminal, query = self._terminal(), asked(text, zone=self._request.zone)

        def search(room: Room) -> list[str]:
            hits = room.answer(query, SHOWN, here=here_of(self._request))
            entries = {entry.id: entry for entry in room.reading().get_many([hit.id for hit in hits])}
            hits = [hit for hit in hits if hit.id in entries]
            self._results = [hit.id for hit in hits]
            numbers = {hit.id: str(place) for place, hit in enumerate(hits, 1)}
            return hit_lines(hits, entries, numbers, terminal, False, short_replaced(room, entries.values()))

        lines = await self._desk.ask(search)
        self._print("\n".join(lines) if lines else _("nothing found"))

    async def _carry_out(self, words: Sequence[str]) -> None:
        """Carry out a command as the command line does, and show what it says."""
        said = Said()
        response = Response(said)
        await self._desk.carry_out(words, self._terminal(), response)
        self._print("".join(said.lines))
        self._desk.remember(response.picked)
        if words[0] == "list":
            self._results = []  # its entries show their ids

    async def _in_callers_process(self, words: Sequence[str]) -> None:
        """Let the caller's own process do it, on the terminal: an editor, a file in its working directory."""
        base = str(await self._desk.ask(lambda room: room.base.path))
        status = await self._screen.run(["rekall-py", "--no-server", "--db", base, *words])
        if status not in (0, 1):
            self._print(_("{command} ended with status {status}").format(command=words[0], status=status))

    def _print(self, text: str) -> None:
        if text:
            self._screen.output.write_raw(on_terminal(text).rstrip("\n").replace("\n", "\r\n") + "\r\n")
            self._screen.output.flush()

    def _terminal(self) -> Terminal:
        colour = self._request.terminal.colour
        return Terminal(self._screen.output.get_size().columns, True, True, colour)

    # --- under the prompt ---

    def _search_under(self) -> None:
        """Look for what stands on the line, unless it begins as a command."""
        if self._searching:
            self._searching.cancel()
        self._searching = asyncio.get_running_loop().create_task(self._look_under(self._session.default_buffer.text))

    async def _look_under(self, text: str) -> None:
        text = text.strip()
        await asyncio.sleep(PAUSE_SECONDS)
        words = text.split()
        is_search = bool(words) and not words[0].isdecimal() and words[0] not in (*COMMANDS, *_SHORT)
        found: Found | None = Found("")
        if is_search and self._shows_under:
            names = await self._desk.names() if "tag:" in text or "project:" in text else None
            query = typed(text, names, zone=self._request.zone)
            found = await self._desk.find(query.words, query.filters, k=UNDER_PROMPT)
        if found is not None:
            self._under = replace(found, text=text if is_search else "")
            self._session.app.invalidate()

    def _list_under(self) -> StyleAndTextTuples:
        """Return the best hits for what stands on the line, one a line."""
        width = self._screen.output.get_size().columns
        parts: StyleAndTextTuples = []
        searching = bool(self._under.text) and self._shows_under
        for hit in self._under.hits if self._shows_under else ():
            entry = self._under.entries[hit.id]
            parts += [("", "\n")] if parts else []
            parts.append(("class:type", f"{plain(entry.type):<10}"[:width]))
            title, mark = with_mark(plain(entry.title), obsolete_mark(entry, self._under.replaced), max(0, width - 11))
            parts += [("", title), ("class:dim", mark and f"  {mark}")]
        if searching:  # as many lines whatever is found, so that nothing jumps
            return [*parts, ("", "\n" * (UNDER_PROMPT - max(1, len(self._under.hits))))]
        return [("class:dim", fitted(_("F2 results while typing · F4 vi/emacs · Alt-Enter new line"), width))]

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()

        @keys.add("f2")
        def _toggle_under(event: KeyPressEvent) -> None:
            self._shows_under = not self._shows_under
            self._search_under()

        @keys.add("f4")
        def _toggle_mode(event: KeyPressEvent) -> None:
            vi = event.app.editing_mode == EditingMode.VI
            event.app.editing_mode = self._session.editing_mode = EditingMode.EMACS if vi else EditingMode.VI

        @keys.add("escape", "enter")
        def _new_line(event: KeyPressEvent) -> None:
            event.current_buffer.insert_text("\n")

        return keys


def _help() -> str:
    """Return the commands, a line each."""
    own = {"quit": _("leave (Ctrl-D)")}
    lines = [_("text         search; a number shows that result, e 2 edits the second; ?text searches whatever it is")]
    lines += [f"{name:<12} {own.get(name) or _(find_command(name).summary)}" for name in COMMANDS]
    return "\n".join(lines)
