"""`… | rekall` in real processes, with the warm process and without: the quiet second, the second answer, the copy.

The producer is this test: it writes into the pipe when it likes, and must never find that rekall has closed it.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread

import pytest
from running import REPOSITORY, runtime_folder, wait_for

from rekall.db import Database, sqlite3
from rekall.entry import Entry
from rekall.memory import process_memory

BIN = Path(sys.executable).parent
NO_RULE = b"make: *** No rule to make target 'a.h', needed by 'b.o'.  Stop.\n"
COMPILER = b"src/till.c:3:7: error: unknown type name 'foo'\n"
PAUSE = 1.6  # longer than the quiet second


@dataclass
class Desk:
    """A base that knows two errors, and one of the two programs that answer from it."""

    command: list[str]
    env: dict[str, str]
    cwd: Path

    def pipe(self, *words: str, **options: object) -> Piping:
        return Piping(self, list(words), dict(options))

    def run(self, data: bytes, *words: str) -> subprocess.CompletedProcess[bytes]:
        command = [*self.command, *words]
        return subprocess.run(command, input=data, capture_output=True, env=self.env, cwd=self.cwd, timeout=60)


@dataclass
class Piping:
    """One `… | rekall` under way. What it prints is read as it comes."""

    desk: Desk
    words: list[str]
    options: dict[str, object]
    output: bytearray = field(default_factory=bytearray)
    errors: bytearray = field(default_factory=bytearray)

    def __enter__(self) -> Piping:
        streams = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE) | self.options
        command = [*self.desk.command, *self.words]
        self.process = subprocess.Popen(command, env=self.desk.env, cwd=self.desk.cwd, **streams)  # type: ignore[call-overload]
        self._readers = [
            Thread(target=self._read, args=(stream, into), daemon=True)
            for stream, into in ((self.process.stdout, self.output), (self.process.stderr, self.errors))
            if stream
        ]
        for reader in self._readers:
            reader.start()
        return self

    def _read(self, stream: object, into: bytearray) -> None:
        while data := os.read(stream.fileno(), 65536):  # type: ignore[attr-defined]
            into += data

    def __exit__(self, *_exception: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.__exit__(None, None, None)

    def write(self, data: bytes) -> None:
        """Write as a program does: a pipe that rekall closed would raise here."""
        assert self.process.stdin
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def end(self) -> int:
        assert self.process.stdin
        self.process.stdin.close()
        status = self.process.wait(30)
        for reader in self._readers:
            reader.join(10)
        return status


@pytest.fixture(scope="module", params=["rekall-py", "rekall"])
def desk(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("pipe")
    base = folder / "rekall.db"
    with Database(base) as database:
        for key, title, error in (
            ("rule", "A header that is made", "make: *** No rule to make target 'x.h', needed by 'y.o'.  Stop."),
            ("type", "A header is missing", "main.c:9:1: error: unknown type name 'u8'"),
        ):
            stamp = "2026-01-02T03:04:05.678Z"
            database.add(
                Entry(
                    id=key,
                    type="bug",
                    title=title,
                    errors=(error,),
                    solution="fixed",
                    created_at=stamp,
                    updated_at=stamp,
                )
            )
    with runtime_folder() as sockets:
        env = {name: value for name, value in os.environ.items() if not name.startswith(("REKALL_", "XDG_"))}
        env |= {"HOME": str(folder), "XDG_RUNTIME_DIR": str(sockets), "REKALL_DB": str(base), "LC_ALL": "C.UTF-8"}
        found = Desk([str(BIN / request.param)], env | {"PYTHONPATH": str(REPOSITORY)}, folder)
        found.run(NO_RULE)  # whatever has to be started and embedded is
        yield found


def ids(output: bytes | bytearray) -> list[list[str]]:
    return [[hit["id"] for hit in json.loads(line)["hits"]] for line in output.splitlines()]


def test_output_is_answered_by_the_entry_that_holds_its_error(desk: Desk) -> None:
    done = desk.run(b"cc -c b.c\n" + NO_RULE, "search", "-", "--json", "--explain")
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["query"]) == (0, NO_RULE.decode().strip())
    assert [(hit["id"], hit["explain"]["arm"]) for hit in answer["hits"]] == [("rule", "exact")]
    near = desk.run(COMPILER.replace(b"unknown type", b"'x' is an unknown type"), "--json", "--explain")
    assert [hit["explain"]["arm"] for hit in json.loads(near.stdout)["hits"]] == ["near"]
    assert desk.run(NO_RULE).stdout == b"rule  bug  A header that is made\n    fixed\n"
    assert desk.run(NO_RULE, "-0").stdout.startswith(b"rule\tA header that is made\n")
    assert desk.run(NO_RULE, "--tsv").stdout == b"rule\tbug\t1.000000\tA header that is made\n"


@contextmanager
def written_by_hand(desk: Desk, key: str, errors: list[str]) -> Iterator[None]:
    """Have an entry in the base that the sqlite3 shell wrote, for the length of a block."""
    with closing(sqlite3.connect(desk.env["REKALL_DB"], isolation_level=None)) as plain:
        plain.execute(
            "INSERT INTO entries(id, type, title, errors, created_at, updated_at) VALUES (?, 'bug', 'x', ?, 'x', 'x')",
            (key, json.dumps(errors)),
        )
        try:
            yield
        finally:
            plain.execute("DELETE FROM entries WHERE id = ?", (key,))


@pytest.mark.parametrize(
    ("error", "output"),
    [
        ("thread 'main' panicked: basket 7 is full", "thread 'w-3' panicked: basket 12 is full\nnote: run with more\n"),
        (
            "Your basket was left in the rain.\nTake another one.",
            "hello\nYour basket was left in the rain.\nTake another one.\n",
        ),
    ],
    ids=["marked", "unmarked"],
)
def test_an_error_that_plain_sqlite3_wrote_is_answered_at_once(error: str, output: str, desk: Desk) -> None:
    with written_by_hand(desk, "hand", [error]):
        done = desk.run(output.encode(), "search", "-", "--json", "--explain")
        hits = json.loads(done.stdout)["hits"]
        assert [(hit["id"], hit["arm"], hit["explain"]["arm"]) for hit in hits] == [("hand", "exact", "exact")]
    assert desk.run(output.encode()).returncode == 1


def test_what_no_mark_shows_is_answered_after_a_quiet_second_as_well(desk: Desk) -> None:
    with (
        written_by_hand(desk, "hand", ["Your basket was left in the rain.\nTake another one."]),
        desk.pipe("search", "-", "--json") as piping,
    ):
        piping.write(b"hello\nYour basket was left in the rain.\n")
        time.sleep(PAUSE)
        assert not piping.output
        piping.write(b"Take another one.\n")
        wait_for(lambda: piping.output.endswith(b"\n"), 10)
        assert json.loads(piping.output)["hits"][0]["id"] == "hand"
        assert piping.end() == 0


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\n\n", b"cc -c error_handler.c\n0 errors\n", b"error: something that nobody has met\nmake: *** [all] Error 2\n",
        b"make: *** [Makefile:3: all] Error 2\n", b"\xff\n\xfe\n\x00\n", b"first\nsecond\n",
    ],
)  # fmt: skip
def test_without_evidence_there_is_silence(data: bytes, desk: Desk) -> None:
    done = desk.run(data)
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"")
    said = desk.run(data, "search", "-", "--json")
    assert (said.returncode, ids(said.stdout), said.stderr) == (1, [[]], b"")


def test_one_line_is_a_query_and_more_is_output_unless_it_is_said(desk: Desk) -> None:
    assert desk.run(b"a header that is missing", "-n", "1").stdout.startswith(b"type")
    assert desk.run(b"a header\nthat is missing\n").returncode == 1
    assert desk.run(b"a header\nthat is missing\n", "search", "-", "--as", "query", "-n", "1").stdout.startswith(
        b"type"
    )
    assert desk.run(b"a header that is missing", "search", "-", "--as=output").returncode == 1
    assert desk.run(b"error: a header that is missing").returncode == 1  # an error as a tool prints it


def test_after_a_quiet_second_the_answer_so_far_is_printed_and_rekall_reads_on(desk: Desk) -> None:
    with desk.pipe("search", "-", "--json") as piping:
        piping.write(b"cc -c b.c\n" + NO_RULE)
        wait_for(lambda: piping.output.endswith(b"\n"), 10)
        assert ids(piping.output) == [["rule"]] and piping.process.poll() is None
        for _step in range(50):  # what comes now changes nothing, and finds the pipe open
            piping.write(b"more of it\n" * 100)
        time.sleep(PAUSE)
        assert piping.process.poll() is None
        assert piping.end() == 0
        assert ids(piping.output) == [["rule"]] and piping.errors == b""


def test_it_answers_again_only_if_the_best_entry_changes(desk: Desk) -> None:
    with desk.pipe("search", "-", "--json", "-n", "1") as piping:
        piping.write(b"make: *** [Makefile:3: all] Error 2\n")
        time.sleep(PAUSE)
        assert piping.output == b""
        piping.write(NO_RULE.replace(b"rule", b"known rule"))  # near to the one entry
        wait_for(lambda: piping.output.count(b"\n") == 1, 10)
        piping.write(COMPILER * 3)
        time.sleep(PAUSE)
        assert piping.end() == 0
        assert ids(piping.output) == [["rule"], ["type"]]


def test_people_see_a_blank_line_between_two_answers(desk: Desk) -> None:
    with desk.pipe("-n", "1") as piping:
        piping.write(NO_RULE.replace(b"rule", b"known rule"))
        wait_for(lambda: piping.output.count(b"\n") == 2, 10)
        piping.write(COMPILER)
        assert piping.end() == 0
        assert piping.output.decode().split("\n\n") == [
            "rule  bug  A header that is made\n    fixed",
            "type  bug  A header is missing\n    fixed\n",
        ]


def test_a_producer_that_never_pauses_is_answered_at_its_end(desk: Desk) -> None:
    with desk.pipe("search", "-", "--json") as piping:
        piping.write(NO_RULE)
        for _step in range(12):
            piping.write(b"a line\n")
            time.sleep(0.25)
        assert piping.output == b""
        assert piping.end() == 0
        assert ids(piping.output) == [["rule"]]


def test_a_slow_producer_byte_by_byte(desk: Desk) -> None:
    with desk.pipe("search", "-", "--json") as piping:
        for byte in NO_RULE:
            piping.write(bytes([byte]))
            time.sleep(0.01)
        assert piping.end() == 0
        assert ids(piping.output) == [["rule"]]


def test_a_hundred_megabytes_are_read_in_little_memory(desk: Desk) -> None:
    locks = list(Path(desk.env["XDG_RUNTIME_DIR"]).glob("rekall/*/server.lock"))
    server = int(locks[0].read_text()) if locks else None
    before = process_memory(server).get("peak", 0) if server else 0
    part = b"compiling one of very many files\n" * 32_000
    limit = 700 << 20  # of address space: Python, onnxruntime and the model take half of it

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))

    with desk.pipe("search", "-", "--json", "--words", preexec_fn=limited) as piping:
        for _step in range(100):
            piping.write(part)
        piping.write(NO_RULE)
        assert piping.end() == 0
        assert ids(piping.output) == [["rule"]]
    if before and server:
        assert process_memory(server)["peak"] - before < 60 << 20


def test_a_line_of_fifty_megabytes_without_an_end(desk: Desk) -> None:
    with desk.pipe("search", "-", "--json", "--as", "output") as piping:
        started = time.monotonic()
        for _step in range(50):
            piping.write(b"error: " + b"x" * 1_000_000)
        assert piping.end() == 1
        assert time.monotonic() - started < 20


def test_tee_copies_what_comes_byte_for_byte(desk: Desk) -> None:
    data = bytes(range(256)) * 3000 + b"\xff\xfe\x00\r\n\x1b[31m" + NO_RULE
    done = desk.run(data, "search", "-", "--tee")
    assert (done.returncode, done.stdout) == (0, b"rule  bug  A header that is made\n    fixed\n")
    assert done.stderr == data


def test_tee_copies_at_once_and_not_at_the_end(desk: Desk) -> None:
    with desk.pipe("--tee", "--json") as piping:
        for line in (b"one\n", b"half of", b" two\n", b"\x00\xff\n"):
            before = len(piping.errors)
            piping.write(line)
            wait_for(lambda before=before, line=line: len(piping.errors) == before + len(line), 10)  # type: ignore[misc]
        piping.write(NO_RULE)
        wait_for(lambda: piping.output.endswith(b"\n"), 10)
        piping.write(b"the end")
        assert piping.end() == 0
        assert piping.errors == b"one\nhalf of two\n\x00\xff\n" + NO_RULE + b"the end"


def test_tee_goes_on_where_the_base_cannot_be_read(desk: Desk) -> None:
    (desk.cwd / "broken.db").write_bytes(b"this is no database" * 100)
    with desk.pipe("--db", "broken.db", "search", "-", "--tee") as piping:
        piping.write(b"error: one\nerror: two\n")
        time.sleep(PAUSE)
        piping.write(b"and on\n" * 10_000)
        assert piping.end() == 2
        assert piping.errors.startswith(b"error: one\nerror: two\nand on\n" + b"and on\n" * 9_999)
        assert piping.errors.splitlines()[-1].startswith(b"rekall: ")


def test_ctrl_c_ends_it(desk: Desk) -> None:
    with desk.pipe("search", "-", "--tee") as piping:
        piping.write(b"one\n")
        wait_for(lambda: piping.errors == b"one\n", 10)
        piping.process.send_signal(signal.SIGINT)
        assert piping.process.wait(10) == 130
        for reader in piping._readers:
            reader.join(10)
        assert piping.output == b"" and piping.errors.startswith(b"one\nrekall: ") and piping.errors.count(b"\n") == 2


def test_a_reader_that_leaves_early_is_no_error(desk: Desk) -> None:
    script = '{ printf "%s\\n" "$ERROR"; sleep 2; echo more; } | "$@" | head -1'
    env = desk.env | {"ERROR": NO_RULE.decode().strip()}
    command = ["bash", "-o", "pipefail", "-c", script, "bash", *desk.command, "search", "-"]
    done = subprocess.run(command, env=env, cwd=desk.cwd, capture_output=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"rule  bug  A header that is made\n", b"")


def test_the_options_of_a_pipe_need_one(desk: Desk) -> None:
    for words in (["search", "--tee", "x"], ["search", "--as", "query", "x"]):
        done = desk.run(b"", *words)
        assert done.returncode == 2 and b"rekall search - --" in done.stderr and done.stderr.count(b"\n") == 1
    assert desk.run(b"", "search", "-", "--as", "something").returncode == 2


@pytest.mark.parametrize("words", [(), ("search", "-")], ids=["bare", "search -"])
def test_filters_hold_for_output_too(words: tuple[str, ...], desk: Desk) -> None:
    assert desk.run(NO_RULE, *words, "-t", "bug").returncode == 0
    assert desk.run(NO_RULE, *words, "-t", "til").returncode == 1
    assert desk.run(NO_RULE, *words, "--words").returncode == 0
    assert desk.run(NO_RULE, *words, "--semantic").returncode == 0


def test_an_error_that_stands_in_a_note_is_found_there(desk: Desk, make_entry: Callable[..., Entry]) -> None:
    with Database(Path(desk.env["REKALL_DB"])) as database:
        text = (
            'What I saw:\n\n```\npsql: error: connection to server at "db", port 5432 failed: Connection refused\n```\n'
        )
        database.add(make_entry("The base sleeps", text, id="sleeps"))
    said = b'psql: error: connection to server at "127.0.0.1", port 1 failed: Connection refused\n'
    assert ids(desk.run(said, "--json").stdout) == [["sleeps"]]
