"""The picker as it is used: keys go in, pyte says what its terminal shows. Words alone, unless a test says otherwise."""

from __future__ import annotations

import asyncio
import contextlib
import io
from argparse import Namespace
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import pytest
from running import NOTED

from rekall.command_line import parse
from rekall.config import Config
from rekall.db import Database
from rekall.desk import Desk
from rekall.entry import Entry
from rekall.errors import ModelUnavailable
from rekall.protocol import Request, Response, Terminal
from rekall.rooms import Rooms

pyte = pytest.importorskip("pyte", reason="pyte, of the extra test, reads the terminal")

from prompt_toolkit.data_structures import Size  # noqa: E402
from prompt_toolkit.input import create_pipe_input  # noqa: E402

from rekall import picker  # noqa: E402
from rekall.screens import drawing_on, output_for  # noqa: E402

DOWN, UP, PAGE_DOWN, ESCAPE, ENTER = "\x1b[B", "\x1b[A", "\x1b[6~", "\x1b", "\r"


class Sink:
    """What was printed."""

    def __init__(self) -> None:
        self.output = self.notes = ""

    def data(self, text: str) -> None:
        self.output += text

    def note(self, text: str) -> None:
        self.notes += text

    def flush(self) -> None:
        pass


class Drawn(io.StringIO):
    """The terminal's end of the output."""

    def __init__(self, terminal: PyteTerminal) -> None:
        super().__init__()
        self._terminal = terminal

    def write(self, text: str) -> int:
        self._terminal.raw += text
        self._terminal.stream.feed(text)
        return len(text)


class PyteTerminal:
    """A terminal, the caller's process behind it, and the picker at work on it."""

    def __init__(self, columns: int, rows: int, env: dict[str, str]) -> None:
        self.size = Size(rows=rows, columns=columns)
        self.screen = pyte.Screen(columns, rows)
        self.stream = pyte.Stream(self.screen)
        self.raw = ""
        self.ran: list[tuple[list[str], bytes]] = []
        self.on_run: Callable[[list[str]], None] = lambda _words: None
        self.output = output_for(cast(Any, Drawn(self)), lambda: self.size, env)
        self.input: Any = None
        self.on_resize: Callable[[], None] = lambda: None
        self.sink = Sink()

    async def run(self, words: list[str], text: bytes = b"") -> int:
        self.ran.append((list(words), text))
        self.on_run(list(words))
        return 0

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self.screen.display]

    def resize(self, columns: int, rows: int) -> None:
        self.size = Size(rows=rows, columns=columns)
        self.screen.resize(rows, columns)
        self.on_resize()

    async def type(self, keys: str, shows: str = "", but_not: str = "\0") -> None:
        """Type, and wait until the screen shows something, and something else no more."""
        self.input.send_text(keys)
        for _step in range(400):
            await asyncio.sleep(0.01)
            text = "\n".join(self.lines)
            if shows in text and but_not not in text:
                return
        raise AssertionError(f"{shows!r} did not come, or {but_not!r} stayed:\n" + "\n".join(self.lines))


@pytest.fixture
def base(tmp_path: Path, make_entry: Callable[..., Entry]) -> Path:
    path = tmp_path / "rekall.db"
    with Database(path) as database:
        for number, fields in enumerate(NOTED):
            database.add(make_entry(**{"created_at": f"2026-01-0{number + 1}T00:00:00Z"} | fields))
    return path


@pytest.fixture
def rooms(monkeypatch: pytest.MonkeyPatch) -> Iterator[Rooms]:
    """Rooms whose model never comes: a real one would take 0.4 s a test."""
    made = Rooms(Config(Path("/no/config"), {}))

    def never(_name: str) -> Any:
        raise ModelUnavailable("not here")

    made._household.models._load = never
    yield made
    made.close()


Play = Callable[[PyteTerminal], Awaitable[None]]


@pytest.fixture
def pick(base: Path, rooms: Rooms) -> Callable[..., tuple[PyteTerminal, int]]:
    """Return a function that runs `rekall pick WORDS` while `play` types, and gives the terminal and the status."""

    def run(
        play: Play, *words: str, columns: int = 80, rows: int = 24, is_tty: bool = False, **env: str
    ) -> tuple[PyteTerminal, int]:
        terminal = PyteTerminal(columns, rows, {"TERM": "xterm-256color"} | env)
        options: Namespace = parse(["pick", *words, "--db", str(base)])
        environment = {"HOME": str(base.parent), "TERM": "xterm-256color"} | env
        caller = Terminal(columns, is_tty, True, False)
        request = Request("pick", options, base.parent, environment, io.BytesIO(), True, caller)
        response = Response(terminal.sink)
        asyncio.run(_play(play, terminal, request, response, rooms))
        return terminal, response.status

    return run


async def _play(play: Play, terminal: PyteTerminal, request: Request, response: Response, rooms: Rooms) -> None:
    with (
        create_pipe_input() as pipe,
        ThreadPoolExecutor(2) as threads,
        drawing_on(cast(Any, terminal_with(terminal, pipe))),
    ):
        work = asyncio.create_task(
            picker.pick(request, response, cast(Any, terminal), Desk(request, rooms.lend, threads))
        )
        try:
            await play(terminal)
            await asyncio.wait_for(work, 10)
        finally:
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await work


def terminal_with(terminal: PyteTerminal, pipe: Any) -> PyteTerminal:
    terminal.input = pipe
    return terminal


# --- finding and choosing ---


def test_what_fits_is_there_at_every_key_and_enter_gives_its_answer(pick: Any) -> None:
    async def play(terminal: PyteTerminal) -> None:
        await terminal.type("", "The disk is full")  # the newest first
        await terminal.type("und", "1/3")  # the beginning of a word
        assert "Undo the last commit" in terminal.lines[1] and "disk" not in terminal.lines[1]
        await terminal.type(ENTER)

    terminal, status = pick(play)
    assert (status, terminal.sink.output) == (0, "git reset --soft HEAD~1\n")
    assert terminal.lines == [""] * 24, "it is gone without a trace"


def test_keys_that_come_before_anything_was_drawn_are_not_lost(pick: Any) -> None:
    """Enter takes what fits the whole line, however fast it comes."""

    async def play(terminal: PyteTerminal) -> None:
        terminal.input.send_text("disk" + ENTER)

    assert pick(play)[0].sink.output == "du -sh *\n"


def test_a_query_may_be_given(pick: Any) -> None:
    async def play(terminal: PyteTerminal) -> None:
        await terminal.type("", "› foo-bar can't")
        await terminal.type(ENTER)

    assert pick(play, "foo-bar", "can't", "--print", "id")[0].sink.output == "cpp-1\n"


@pytest.mark.parametrize("key", [ESCAPE, "\x03", "\x07"], ids=["escape", "c-c", "c-g"])
def test_leaving_prints_nothing(key: str, pick: Any) -> None:
    async def play(terminal: PyteTerminal) -> None:
        await terminal.type("disk", "The disk is full")
        begin = asyncio.get_running_loop().time()
        await terminal.type(key, "", "disk")
        assert asyncio.get_running_loop().time() - begin < 0.5, "Escape is no beginning of something else for long"

    terminal, status = pick(play)
    assert (status, terminal.sink.output) == (130, "")


def test_nothing_to_choose_from_is_status_1(pick: Any, base: Path) -> None:
    async def play(terminal: PyteTerminal) -> None:
        await terminal.type("zzz", "0/3")
        await terminal.type(ENTER)

    assert pick(play)[1] == 1
    with Database(base) as database:
        for key in database.ids():
            database.delete(key)

    async def nothing(_terminal: PyteTerminal) -> None:
        pass

    terminal, status = pick(nothing)
    assert (status, terminal.raw) == (1, "")
    assert "rekall add" in terminal.sink.notes


def test_several_are_marked_and_printed_in_that_order(pick: Any) -> None:
    async def play(terminal: PyteTerminal) -> None:
        await terminal.type("", "The disk")
        await terminal.type(DOWN + DOWN + "\t" + UP + UP, "1 marked")
        await terminal.type("\t", "2 marked")
        await terminal.type("undo", "1/3")  # marks stay while the list changes
        await terminal.type(ENTER)

    assert pick(play, "--print", "id")[0].sink.output == "cpp-1\ncpp-2\n"
    assert pick(play, "--print", "id", "-0")[0].sink.output == "cpp-1\0cpp-2\0"


def test_moving_stops_at_the_ends(pick: Any) -> None:
    async def play(terminal: PyteTerminal) -> None:
        await terminal.type("", "The disk")
        await terminal.type(PAGE_DOWN * 3 + DOWN * 5)
        await terminal.type("\x10", "▌ pattern")  # one before the last
        await terminal.type(ENTER)

    assert pick(play, "--print", "id")[0].sink.output == "undo\n"


def test_far_entries_are_read_when_somebody_goes_there(pick: Any, base: Path, make_entry: Any) -> None:
    with Database(base) as database:
        database.add_many(
            [make_entry(f"note {n:03}", id=f"n{n:03}", created_at=f"2026-02-01T00:00:00.{n:03}Z") for n in range(90)]
        )

    async def play(terminal: PyteTerminal) -> None:
        await terminal.type("", "note 089")
        await terminal.type(PAGE_DOWN * 20, "C++ templates")
        await terminal.type(UP * 80, "note 077")
        await terminal.type(ENTER)

    assert pick(play, "--print", "title")[0].sink.output.startswith("note 07")


# --- filters, types, help ---


def test_filters_are_typed_inline_and_half_of_one_changes_nothing(pick: Any) -> None:
    async def play(terminal: PyteTerminal) -> None:
        await terminal.type("", "3/3")
        await terminal.type("type:bu", "› type:bu")
        await terminal.type("", "3/3")
        await terminal.type("g ", "1/3")
        await terminal.type("\x15tag:gi", "› tag:gi")
        await terminal.type("", "3/3")
        await terminal.type("t disk", "1/3")
        await terminal.type(ENTER)

    assert pick(play, "--print", "id")[0].sink.output == "cpp-2\n"


def test_ctrl_t_narrows_to_a_type(pick: Any) -> None:
    async def play(terminal: PyteTerminal) -> None:
        await terminal.type("", "3/3")
        await terminal.type("\x14", "1 bug")
        await terminal.type("2", "› type:pattern")
        await terminal.type("", "1/3")
        await terminal.type("\x14\x14", "› type:decision")  # again: the next one
        await terminal.type(ESCAPE, "0/3")  # leaves the choice, not the picker
        await terminal.type("\x140", "3/3", "› type:")
        await terminal.type(ESCAPE)

    assert pick(play)[1] == 130


def test_help_comes_with_a_question_mark_on_an_empty_line_only(pick: Any) -> None:
    async def play(terminal: PyteTerminal) -> None:
        await terminal.type("?", "Enter")
        await terminal.type(DOWN * 20, "since:30d")
        await terminal.type("u", "Undo the last commit", "Enter")  # typing goes on where one was
        await terminal.type("?", "› u?")
        await terminal.type("\x1bOP", "Enter")
        await terminal.type(ESCAPE, "› u?", "Enter")
        await terminal.type(ESCAPE)

    assert pick(play)[1] == 130


# --- preview, editor, clipboard ---


def test_the_preview_shows_the_entry_and_scrolls(pick: Any, base: Path, make_entry: Any) -> None:
    lines = "\n".join(f"line {n}" for n in range(50))
    with Database(base) as database:
        database.add(make_entry("long", f"```python\nimport os\n```\n{lines}", created_at="2026-03-01T00:00:00Z"))

    async def play(terminal: PyteTerminal) -> None:
        await terminal.type("", "import os")
        row = next(row for row, line in enumerate(terminal.lines) if "import os" in line)
        for _step in range(100):
            await asyncio.sleep(0.02)
            if any(cell.fg != "default" for cell in list(terminal.screen.buffer[row].values())[45:]):
                break
        else:
            raise AssertionError("no colour came")
        await terminal.type("\x1b[1;2B" * 6, "line 5", "import os")
        await terminal.type("\x1b[1;3B" * 20, "line 49")
        await terminal.type("\x1bp", "long", "line 49")  # off
        await terminal.type("\x1bp", "line 49")  # and on, as it was
        await terminal.type(ESCAPE)

    pick(play, columns=100)


def test_an_editor_has_the_terminal_and_the_picker_comes_back_as_it_was(pick: Any, base: Path) -> None:
    async def play(terminal: PyteTerminal) -> None:
        def edit(_words: list[str]) -> None:
            assert terminal.lines == [""] * 24, "nothing is drawn meanwhile"
            with Database(base) as database:
                entry = database.get("undo")
                database.update(
                    type(entry)(**{f: getattr(entry, f) for f in entry.__slots__} | {"title": "Undo it all"})
                )

        terminal.on_run = edit
        await terminal.type("undo", "1/3")
        await terminal.type("\x0f", "Undo it all")
        assert terminal.lines[0] == "› undo"
        await terminal.type(ENTER)

    terminal, _status = pick(play, "--print", "title")
    assert terminal.ran == [(["rekall-py", "--db", str(base), "edit", "undo"], b"")]
    assert terminal.sink.output == "Undo it all\n"


def test_an_entry_is_copied_by_the_terminal_and_by_a_program(pick: Any) -> None:
    async def play(terminal: PyteTerminal) -> None:
        await terminal.type("undo", "1/3")
        await terminal.type("\x19", "copied")
        await terminal.type(ESCAPE)

    terminal, _status = pick(play)
    assert "\x1b]52;c;Z2l0IHJlc2V0IC0tc29mdCBIRUFEfjE=\x07" in terminal.raw
    assert [text for _words, text in terminal.ran] == [b"git reset --soft HEAD~1"]


@pytest.mark.parametrize(("is_tty", "stops"), [(True, 1), (False, 0)])
def test_ctrl_z_stops_it_unless_a_shell_reads_its_answer(is_tty: bool, stops: int, pick: Any) -> None:
    async def play(terminal: PyteTerminal) -> None:
        await terminal.type("undo", "1/3")
        await terminal.type("\x1a")
        await terminal.type(ENTER)

    terminal, _status = pick(play, is_tty=is_tty)
    assert len(terminal.ran) == stops
    assert terminal.sink.output == "git reset --soft HEAD~1\n"


# --- the model ---


def test_the_list_is_there_before_the_model_and_refreshes_when_it_comes(pick: Any, rooms: Rooms) -> None:
    from rekall.worker import spawn_engine

    rooms._household.models._load = spawn_engine

    async def play(terminal: PyteTerminal) -> None:
        await terminal.type("commit undone", "1/3")
        await terminal.type("", "words and meaning")
        await terminal.type(ESCAPE)

    pick(play)


# --- every terminal ---


@pytest.mark.parametrize(
    ("columns", "rows"), [(20, 5), (1, 1), (2, 2), (8, 3), (10, 24), (300, 5), (80, 24), (200, 60), (76, 12)]
)
def test_any_size_will_do(columns: int, rows: int, pick: Any) -> None:
    async def play(terminal: PyteTerminal) -> None:
        for keys in ("disk", "\x1bp", "\t", DOWN, "\x14", ESCAPE, "\x15", "?", DOWN, ESCAPE, "\x1bp", "disk"):
            await terminal.type(keys)
            await asyncio.sleep(0.03)
        await terminal.type(ENTER)

    assert pick(play, "--full", columns=columns, rows=rows)[1] == 0


def test_a_new_size_is_taken_in_every_state(pick: Any) -> None:
    async def play(terminal: PyteTerminal) -> None:
        await terminal.type("disk", "The disk")
        for size in ((40, 10), (20, 5), (120, 40), (80, 24)):
            terminal.resize(*size)
            await terminal.type("", "disk")
        await terminal.type("\x15?", "Enter")
        terminal.resize(30, 8)
        await terminal.type("", "Enter")
        await terminal.type(ESCAPE + ESCAPE)

    pick(play)


def test_the_list_keeps_its_height(pick: Any) -> None:
    async def play(terminal: PyteTerminal) -> None:
        await terminal.type("", "3/3")
        assert [row for row, line in enumerate(terminal.lines) if "3/3" in line] == [11]
        await terminal.type("undo", "1/3")
        assert [row for row, line in enumerate(terminal.lines) if "1/3" in line] == [11]
        await terminal.type(ESCAPE)

    pick(play, rows=30)


NASTY = "\x1b[31mred\x1b]0;title\x07 \x9b2J tab\there \u202ebidi e\u0301 目录 👩‍👩‍👧 \x00 z" + "\u0301" * 50


@pytest.mark.parametrize(
    "env", [{}, {"NO_COLOR": "1"}, {"TERM": "dumb"}, {"TERM": ""}], ids=["colour", "none", "dumb", "no term"]
)
def test_nothing_of_an_entry_reaches_the_terminal_raw(env: dict[str, str], pick: Any, base: Path) -> None:
    import sqlite3

    with contextlib.closing(sqlite3.connect(base)) as connection, connection:
        connection.execute("PRAGMA trusted_schema = on")
        connection.execute(
            "UPDATE entries SET title = ?, content = ?, solution = ''",
            (NASTY.replace("\0", ""), NASTY.replace("\0", "") + "\n```sh\n" + NASTY[:40] + "\n```"),
        )

    async def play(terminal: PyteTerminal) -> None:
        await terminal.type("", "␛[31mred")
        await asyncio.sleep(0.3)
        await terminal.type(ENTER)

    terminal, status = pick(play, "--print", "content", columns=160, is_tty=True, **env)
    assert status == 0
    for sequence in ("\x1b[31mred", "\x1b]0;", "\x07", "\x9b", "\u202e", "\t"):
        assert sequence not in terminal.raw
        assert sequence not in terminal.sink.output or sequence == "\t"
    if env:
        assert "38;5" not in terminal.raw and "[32" not in terminal.raw and "[36" not in terminal.raw


def test_what_breaks_inside_ends_the_picker_and_is_told(pick: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picker that stands still would be worse."""
    monkeypatch.setattr("rekall.picker_view.status_line", lambda *_: 1 / 0)

    async def play(_terminal: PyteTerminal) -> None:
        pass

    with pytest.raises(ZeroDivisionError):
        pick(play)
