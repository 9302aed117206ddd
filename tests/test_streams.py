"""Standard input, output and error, terminals and Ctrl-C: nothing hangs, nothing is noisy, nothing is lost."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
import unicodedata
from collections.abc import Callable

import pytest
from running import NOTED, Rekall, rekall_in, wait_for

from rekall.config import DEFAULT_MODEL
from rekall.db import Database
from rekall.entry import Entry

CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@pytest.fixture
def rekall(home: dict[str, str]) -> Rekall:
    return rekall_in(home)


@pytest.fixture
def noted(rekall: Rekall, make_entry: Callable[..., Entry]) -> Rekall:
    """A base with a few entries, none embedded yet."""
    with Database(rekall.base) as database:
        database.add_many([make_entry(**fields) for fields in NOTED])
    return rekall


def test_a_stream_that_is_closed_or_full_leaves_no_noise(noted: Rekall) -> None:
    for redirection, status in (("<&-", 0), (">&-", 0), ("2>&-", 0), ("</dev/null | head -1", 0), (">/dev/full", 2)):
        command = ["sh", "-c", f'"$@" {redirection}', "sh", *noted.command("list", "-0")]
        done = subprocess.run(command, env=noted.env, cwd=noted.cwd, capture_output=True)
        lines = done.stderr.decode().splitlines()
        assert (done.returncode, len(lines)) == (status, int(status == 2)), (redirection, lines)


def test_a_reader_that_leaves_early_is_no_error(rekall: Rekall, make_entry: Callable[..., Entry]) -> None:
    with Database(rekall.base) as database:
        database.add_many([make_entry(f"note {n}", "x" * 10_000) for n in range(100)])
    with rekall.start("export", stdin=subprocess.DEVNULL) as process:
        assert process.stdout and process.stderr and process.stdout.read(10)
        process.stdout.close()
        assert (process.stderr.read(), process.wait(30)) == (b"", 0)


def test_stdin_is_read_only_where_it_is_asked_for(noted: Rekall) -> None:
    for words in (
        ("add", "til", "a title", "-c", "text"),
        ("search", "--words", "commit"),
        ("list",),
        ("show", "undo"),
    ):
        with noted.start(*words) as process:  # its stdin stays open and silent
            assert process.wait(30) == 0, words
    key = noted("add", "til", "piped", "-c", "-", stdin="déjà\nvu\n".encode()).output.strip()
    assert json.loads(noted("show", key, "--json").output)["content"] == "déjà\nvu"


@pytest.mark.parametrize("phase", ["storing", "embedding"])
def test_ctrl_c_in_an_import_loses_nothing_and_the_next_one_goes_on(phase: str, rekall: Rekall) -> None:
    count = 20_000 if phase == "storing" else 150
    lines = (
        f'{{"id": "n{n}", "title": "note {n}", "content": "{"some words of a note " * 10}"}}\n' for n in range(count)
    )
    (rekall.cwd / "a.jsonl").write_text("".join(lines))

    def progress() -> int:
        if not rekall.base.exists():
            return 0
        with Database(rekall.base) as database:
            return database.count() if phase == "storing" else database.count_vectors(DEFAULT_MODEL)

    process = rekall.start("import", "a.jsonl", start_new_session=True)
    wait_for(lambda: progress() >= 25)
    os.killpg(process.pid, signal.SIGINT)
    _output, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert b"Traceback" not in errors and errors.splitlines()[-1].startswith(b"rekall: ")
    done = progress()
    assert 25 <= done < count
    assert rekall("index", "verify").status == 0
    answer = rekall("import", "a.jsonl", *["--no-wait"] * (phase == "storing"))
    assert answer.status == 0 and f"{done if phase == 'storing' else count} unchanged" in answer.errors
    assert progress() == count


def test_colour_is_for_terminals_that_want_it(noted: Rekall) -> None:
    assert "\x1b[" in noted.on_terminal("list")
    for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert "\x1b" not in noted.on_terminal("list", **env)
    assert "\x1b" not in noted("list", NO_COLOR="").output  # a pipe


@pytest.mark.parametrize("columns", [24, 40])
def test_no_line_is_wider_than_the_terminal(columns: int, noted: Rekall, make_entry: Callable[..., Entry]) -> None:
    with Database(noted.base) as database:
        database.add(make_entry("wide 日本語の題名はとても長いので切らなければならない", "words " * 30, id="wide"))
        database.add(make_entry("narrow " * 20, solution="long words " * 20, id="narrow"))
    for words in (
        ("list",),
        ("search", "--words", "wide narrow words"),
        ("search", "--words", "--explain", "wide words"),
    ):
        lines = noted.on_terminal(*words, columns=columns).splitlines()
        assert lines and max(map(columns_of, lines)) <= columns, max(lines, key=columns_of)
    assert "narrow " * 10 in noted("list").output  # a pipe gets all of it


def test_one_line_of_a_megabyte_is_shown_in_time(noted: Rekall, make_entry: Callable[..., Entry]) -> None:
    for letter, key in (("é", "long"), ("x", "ascii")):
        with Database(noted.base) as database:
            database.add(make_entry("minified", (letter * 20 + " ") * 50_000, id=key))
        started = time.monotonic()
        assert noted.on_terminal("search", "--words", "minified").startswith("\x1b")
        assert time.monotonic() - started < 5


def test_no_control_sequence_of_an_entry_reaches_the_terminal(rekall: Rekall, make_entry: Callable[..., Entry]) -> None:
    evil = "evil \x1b[31m \x9b2J \x07 \r \u202e end"
    with Database(rekall.base) as database:
        texts = dict.fromkeys(("content", "situation", "solution", "what_failed", "project", "source"), evil)
        database.add(make_entry(**texts, title=evil, tags=(evil,), errors=(evil,), files=(evil,), id="evil"))
        database.add(make_entry("another", id="another"))
    assert rekall("link", "another", "evil", "--reason", evil).status == 0
    for words in (
        ("list",), ("list", "--tsv"), ("search", "--words", "evil"), ("show", "evil"), ("show", "another"),
        ("stats",), ("tag", "evil", "+more"), ("list", "--json"), ("delete", "evil"),
    ):  # fmt: skip
        answer = rekall(*words)
        assert answer.status == 0 and "evil" in answer.output + answer.errors, words
        shown = re.sub("[\x7f-\x9f\u202a-\u2069]", "", answer.output) if "--json" in words else answer.output
        assert not CONTROL.search(shown), words
        assert not CONTROL.search(answer.errors), words


def columns_of(line: str) -> int:
    return sum(1 + (unicodedata.east_asian_width(letter) in "WF") for letter in re.sub("\x1b\\[[0-9;]*m", "", line))
