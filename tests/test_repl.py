"""The REPL: what a line does, what Tab offers, what is kept of it; and one real session through the warm process."""

from __future__ import annotations

import asyncio
import io
import os
import pty
import re
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.data_structures import Size
from prompt_toolkit.document import Document
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output.vt100 import Vt100_Output
from running import NOTED, Rekall, picks_of, rekall_in, runtime_folder, wait_for

from rekall.config import DEFAULT_MODEL, Config
from rekall.db import Database
from rekall.desk import Desk
from rekall.door import Caller, asked
from rekall.entry import Entry
from rekall.protocol import Terminal
from rekall.repl import Interrupted, Repl
from rekall.repl_history import LARGEST_BYTES, RedactedHistory
from rekall.repl_words import Words
from rekall.rooms import Rooms


class Paper:
    """A screen that remembers what was drawn, and which commands the caller's process was to run."""

    def __init__(self, source) -> None:  # type: ignore[no-untyped-def]  # a PipeInput
        self.input = source
        self.drawn = io.StringIO()
        self.drawn.isatty = lambda: True  # type: ignore[method-assign]
        size = Size(rows=24, columns=80)
        self.output = Vt100_Output(self.drawn, lambda: size, term="xterm", enable_cpr=False)
        self.on_resize = lambda: None
        self.ran: list[list[str]] = []

    async def run(self, words: Sequence[str], text: bytes = b"") -> int:
        self.ran.append(list(words))
        return 0


@pytest.fixture
def rekall(home: dict[str, str], make_entry: Callable[..., Entry]) -> Rekall:
    made = rekall_in(home)
    with Database(made.base) as database:
        database.add_many([make_entry(**fields) for fields in NOTED])
    return made


@contextmanager
def desk_of(rekall: Rekall) -> Iterator[Desk]:
    caller = Caller(rekall.cwd, rekall.env, io.BytesIO(), True, Terminal(80, True, True, False))
    rooms, threads = Rooms(Config(Path(rekall.env["HOME"], "none"), {})), ThreadPoolExecutor(2)
    try:
        yield Desk(asked(["repl"], caller), rooms.lend, threads)
    finally:
        threads.shutdown()
        rooms.close()


def session(rekall: Rekall, *lines: str, end: str = "\x04") -> Paper:
    """Type the lines and leave; return what was drawn. A line is what is typed before Enter."""
    with desk_of(rekall) as desk, create_pipe_input() as source:
        paper = Paper(source)
        source.send_text("".join(f"{line}\r" for line in lines) + end)

        async def run() -> None:
            with create_app_session(input=paper.input, output=paper.output):
                await asyncio.wait_for(Repl(desk.request, paper, desk).run(), 60)

        asyncio.run(run())
    return paper


def commands_of(rekall: Rekall, *lines: str, results: Sequence[str] = ()) -> list[list[str] | None]:
    """Return what the REPL takes each line for; None is a search."""
    with desk_of(rekall) as desk, create_pipe_input() as source:
        paper = Paper(source)

        async def run() -> list[list[str] | None]:
            made = Repl(desk.request, paper, desk)
            made._results = list(results)
            return [await made._command(line) for line in lines]

        return asyncio.run(run())


def test_a_line_is_a_command_if_it_reads_as_one_and_a_search_if_not(rekall: Rekall) -> None:
    table: dict[str, list[str] | None] = {
        "which ports are open": None, "show me the way": None, "list open ports": None, "add a user to a group": None,
        "edit config": None, "help me": None, "can't be": None, "?show undo": None, "delete": None, "tag": None,
        "show undo": ["show", "undo"], "2": ["show", "cpp-2"], "e 2": ["edit", "cpp-2"], "s 1": ["show", "undo"],
        "tag 2 +x -git": ["tag", "cpp-2", "+x", "-git"], "similar 1 -n5": ["similar", "undo", "-n5"],
        "link 1 cpp-2 -r related": ["link", "undo", "cpp-2", "-r", "related"], "delete cpp-1": ["delete", "cpp-1"],
        "list": ["list"], "list -t bug": ["list", "-t", "bug"], "list --tsv": ["list", "--tsv"], "stats": ["stats"], "quit": ["quit"], "q": ["quit"],
        "help": ["help"], "help tag": ["help", "tag"], "export": ["export"],
        'add til "a b" -t x': ["add", "til", "a b", "-t", "x"],
        "add til title\nfirst\nsecond": ["add", "til", "title", "-c", "first\nsecond"],
    }  # fmt: skip
    found = commands_of(rekall, *table, results=["undo", "cpp-2"])
    assert dict(zip(table, found, strict=True)) == table


def test_results_are_numbered_and_a_number_shows_one(rekall: Rekall) -> None:
    drawn = session(rekall, "undo commit", "1", "9").drawn.getvalue()
    assert "1  pattern  Undo the last commit" in drawn
    assert "git reset --soft HEAD~1" in drawn and "id: undo" in drawn
    assert "there is no result 9" in drawn
    assert picks_of(rekall.base) == {"undo": 1}  # what was shown was taken, what was listed was not


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ('?commit disk "disk is full"', ["The disk is full"]),
        ("commit disk templates not:templates type:pattern", ["Undo the last commit"]),
        ("type:bug", ["The disk is full"]),
        ("disk project:shop", ["C++ templates can't be foo-bar"]),
        ('"full disk"', []),
        ("disk since:yesterday", []),
    ],
)
def test_a_search_may_hold_phrases_filters_and_not(line: str, shown: list[str], rekall: Rekall) -> None:
    drawn = session(rekall, line).drawn.getvalue().split(line)[-1]
    numbered = [
        title
        for title in (str(fields["title"]) for fields in NOTED)
        if re.search(rf"\d  \w+ +{re.escape(title)}", drawn)
    ]
    assert numbered == shown
    assert ("time 'yesterday' is not understood" in drawn) == ("since:" in line)


def test_commands_write_and_errors_are_one_line(rekall: Rekall) -> None:
    drawn = session(
        rekall, "tag undo +new", "add til fresh\x1b\rwith\x1b\rcontent", "show undo --nonsense"
    ).drawn.getvalue()
    assert "git, new" in drawn and "Traceback" not in drawn
    assert "rekall: option --nonsense is not known" in drawn
    with Database(rekall.base) as database:
        assert database.get("undo").tags == ("git", "new")
        assert [e.content for e in database.entries() if e.title == "fresh"] == ["with\ncontent"]


def test_an_editor_and_files_are_the_callers_own(rekall: Rekall) -> None:
    paper = session(rekall, "edit undo", "export -o all.jsonl")
    base = str(rekall.base)
    ours = ["rekall-py", "--no-server", "--db", base]
    assert paper.ran == [[*ours, "edit", "undo"], [*ours, "export", "-o", "all.jsonl"]]


def test_ctrl_c_gives_up_the_line_and_ctrl_d_leaves(rekall: Rekall) -> None:
    drawn = session(rekall, end="delete undo\x03quit\r").drawn.getvalue()
    assert drawn.count("rekall> ") >= 2
    with Database(rekall.base) as database:
        assert database.get("undo")
    assert issubclass(Interrupted, Exception)  # not KeyboardInterrupt, which would end the whole server


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("sh", ["show"]), ("s", ["show", "similar", "stats"]), ("show cp", ["cpp-1", "cpp-2"]), ("add b", ["bug"]),
        ("tag undo +g", ["+git"]), ("tag undo -d", ["-disk"]), ("list --tag d", ["disk"]), ("list -p s", ["shop"]),
        ("list -t c", ["config"]), ("help e", ["edit", "environment", "export"]), ("which po", []),
    ],
)  # fmt: skip
def test_tab_offers_what_may_stand_there(typed: str, offered: list[str], rekall: Rekall) -> None:
    with desk_of(rekall) as desk:

        async def complete() -> list[str]:
            words = Words(desk, list)
            found = words.get_completions_async(Document(typed), CompleteEvent(completion_requested=True))
            return [completion.text async for completion in found]

        assert sorted(asyncio.run(complete())) == offered


def test_the_history_is_private_redacted_and_does_not_grow_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "state" / "history"
    secret = "ghp_" + "a1B2" * 9
    history = RedactedHistory(path)
    history.append_string(f"curl -H {secret}")
    history.append_string("two\nlines")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert secret.encode() not in path.read_bytes()
    assert list(RedactedHistory(path).load_history_strings()) == ["two\nlines", "curl -H [redacted:github-token]"]
    with path.open("ab") as file:
        file.write(b"\n# then\n+old\n" * (LARGEST_BYTES // 10))
    assert set(RedactedHistory(path).load_history_strings()) == {"old"}
    assert path.stat().st_size <= LARGEST_BYTES and stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_history_that_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    history = RedactedHistory(tmp_path / "file" / "history")
    history.append_string("a line")
    assert list(history.load_history_strings()) == []


@pytest.mark.parametrize("where", ["warm", "here"])
def test_a_session_on_a_real_terminal(where: str, rekall: Rekall) -> None:
    """Search, look at a result, leave: through the client and the server, and in one process."""
    command = [str(Path(sys.executable).with_name("rekall" if where == "warm" else "rekall-py")), "repl"]
    with runtime_folder() as sockets:
        env = rekall.env | {"XDG_RUNTIME_DIR": str(sockets), "TERM": "xterm"}
        ours, theirs = pty.openpty()
        streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
        with subprocess.Popen(
            command, env=env, cwd=rekall.cwd, preexec_fn=lambda: _take_terminal(theirs), **streams
        ) as process:
            os.close(theirs)
            stopper = threading.Timer(60, process.kill)
            stopper.start()
            drawn = _until(ours, b"rekall>")
            os.write(ours, b"undo commit\r")
            drawn += _until(ours, b"git reset")
            os.write(ours, b"1\r")
            drawn += _until(ours, b"id: undo")
            os.write(ours, b"\x04")
            drawn += _until(ours, None)
            assert process.wait(20) == 0
            stopper.cancel()
        os.close(ours)
    assert b"Traceback" not in drawn


def test_what_others_wrote_is_embedded_while_an_app_is_all_that_runs(rekall: Rekall) -> None:
    """An app alone keeps the warm process at work, as any request does."""
    with runtime_folder() as sockets:
        env = rekall.env | {"XDG_RUNTIME_DIR": str(sockets), "TERM": "xterm"}
        ours, theirs = pty.openpty()
        streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
        command = [str(Path(sys.executable).with_name("rekall")), "repl"]
        with subprocess.Popen(
            command, env=env, cwd=rekall.cwd, preexec_fn=lambda: _take_terminal(theirs), **streams
        ) as process:
            os.close(theirs)
            stopper = threading.Timer(90, process.kill)
            stopper.start()
            _until(ours, b"rekall>")
            with Database(rekall.base) as database:
                wait_for(lambda: not database.count_pending(DEFAULT_MODEL), 60)  # nobody typed anything
            os.write(ours, b"\x04")
            _until(ours, None)
            assert process.wait(20) == 0
            stopper.cancel()
        os.close(ours)


def _take_terminal(terminal: int) -> None:
    import fcntl
    import termios

    os.setsid()
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)


def _until(terminal: int, wanted: bytes | None) -> bytes:
    """Read until `wanted` was drawn, or to the end."""
    import select

    drawn, deadline = b"", time.monotonic() + 30
    while wanted is None or wanted not in drawn:
        assert time.monotonic() < deadline, drawn
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                part = os.read(terminal, 65536)
            except OSError:
                break
            if not part:
                break
            drawn += part
    return drawn
