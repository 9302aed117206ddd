"""Whoever talks to the warm process: many at once and rude ones. None does harm to another.

The test's own clients say what the real one never would; the real one asks meanwhile and is answered promptly.
"""

from __future__ import annotations

import io
import random
import struct
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from running import Answer, wait_for
from warm import Line, Warm, descriptors, rounds, start_with, threads

from rekall import frames
from rekall.commands import Room
from rekall.config import Config
from rekall.door import Caller, asked, base_of, carry_out
from rekall.protocol import Response, Terminal
from rekall.socket_sink import SocketSink

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are found in /proc")

# An answer to a client that does everything right comes within this, whatever others do, on a busy machine too.
PROMPT_SECONDS = 5.0
SECRET = "xylophonist"  # a word that stands in every entry and query here, and nowhere else


def half_a_hello(line: Line) -> None:
    line.socket.sendall(struct.pack(">cI", frames.HELLO, 1000) + b"1\0" + SECRET.encode())


def hello_and_no_go(line: Line) -> None:
    line.acknowledged("search", SECRET)


def gone_before_the_answer(line: Line) -> None:
    line.acknowledged("search", SECRET)
    line.send(frames.GO)


def cancelled(line: Line) -> None:
    line.acknowledged("search", SECRET)
    line.send(frames.GO)
    line.send(frames.CANCEL)
    assert line.rest().status in (0, 130)


def cancelled_before_go(line: Line) -> None:
    line.acknowledged("add", "til", SECRET + " that must not be kept")
    line.send(frames.CANCEL)
    with suppress(BrokenPipeError, ConnectionResetError):
        line.send(frames.GO)
    assert line.rest().status == 130


def half_of_its_stdin(line: Line) -> None:
    line.acknowledged("search", "-", "--each-line")
    line.send(frames.GO)
    line.send(frames.STDIN, f"{SECRET}\nand half a li".encode())


def garbage(line: Line) -> None:
    line.socket.sendall(random.Random(7).randbytes(4000) + SECRET.encode())


def another_protocol(line: Line) -> None:
    line.socket.sendall(f"GET /{SECRET} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())


def a_frame_without_end(line: Line) -> None:
    line.socket.sendall(struct.pack(">cI", b"I", 0xFFFFFFFF) + SECRET.encode())


def a_hello_without_sense(line: Line) -> None:
    line.send(frames.HELLO, b"1\0" + SECRET.encode() + b"\0" * 50)


def two_hellos(line: Line) -> None:
    line.acknowledged("list")
    line.hello("search", SECRET)
    assert line.frame() is None


def go_twice(line: Line) -> None:
    line.acknowledged("list")
    line.socket.sendall(frames.frame(frames.GO) * 2)
    with suppress(AssertionError, ConnectionResetError):
        line.rest()


def nothing_at_all(_line: Line) -> None:
    pass


def stdin_that_nobody_asked_for(line: Line) -> None:
    line.acknowledged("list")
    line.send(frames.STDIN, SECRET.encode() * 1000)
    line.send(frames.GO)
    assert line.rest().status in (0, 1)


def four_million_nothings(line: Line) -> None:
    with suppress(BrokenPipeError, ConnectionResetError):
        line.send(frames.HELLO, b"\0" * frames.LONGEST_HELLO)


def a_command_line_without_end(line: Line) -> None:
    line.hello("search", *["-x"] * 20_000)
    assert line.frame() == (frames.LOCALLY, b"")


def wrong_settings(line: Line) -> None:
    line.hello("list", env={"HOME": "relative", "TZ": "../../x", "COLUMNS": "9" * 4000, "LANG": "\udcff" * 9})
    assert line.frame() is not None


RUDE: tuple[Callable[[Line], None], ...] = (
    half_a_hello,
    hello_and_no_go,
    gone_before_the_answer,
    cancelled,
    cancelled_before_go,
    half_of_its_stdin,
    garbage,
    another_protocol,
    a_frame_without_end,
    a_hello_without_sense,
    two_hellos,
    go_twice,
    nothing_at_all,
    stdin_that_nobody_asked_for,
    four_million_nothings,
    a_command_line_without_end,
    wrong_settings,
)


def be_rude(warm: Warm, how: Callable[[Line], None]) -> None:
    with Line(warm) as line, suppress(ConnectionResetError, BrokenPipeError):
        how(line)


@pytest.mark.parametrize("how", RUDE, ids=lambda how: str(how.__name__))
def test_a_rude_client_harms_nobody(warm: Warm, how: Callable[[Line], None]) -> None:
    """While ten of them are there, another is answered; when they have gone, nothing of them is left."""
    warm.keep([f"{SECRET} note"])
    pid = warm.start_server()
    lines = [Line(warm) for _number in range(10)]
    with ThreadPoolExecutor(10) as running:
        rude = [running.submit(_try, how, line) for line in lines]
        began = time.monotonic()
        answer = warm("search", "--words", SECRET)
        assert time.monotonic() - began < PROMPT_SECONDS
        assert (answer.status, answer.errors) == (0, "") and SECRET in answer.output
        for one in rude:
            one.result(60)
    for line in lines:
        line.close()
    wait_for(lambda: warm.facts()["clients"] == 0)
    assert warm.pid == pid
    assert "must not be kept" not in warm("list").output
    assert SECRET not in warm.log and "Error at" not in warm.log


def _try(how: Callable[[Line], None], line: Line) -> None:
    with suppress(ConnectionResetError, BrokenPipeError):
        how(line)


@pytest.mark.torture
def test_nothing_is_left_of_thousands_of_requests(warm: Warm) -> None:
    """Neither a descriptor nor a thread nor a process nor much memory, whatever became of the requests."""
    warm.keep([f"{SECRET} note {number}" for number in range(50)])
    pid = warm.warm_up()
    mixed: list[Callable[[Line], None]] = [
        lambda line: _right(line.ask("search", "--words", SECRET)),
        lambda line: _right(line.ask("search", SECRET)),
        lambda line: _right(line.ask("list", "--json")),
        *(how for how in RUDE if how not in (four_million_nothings, a_command_line_without_end)),
    ]

    def some(count: int) -> None:
        with ThreadPoolExecutor(4) as running:
            for done in [running.submit(be_rude, warm, mixed[number % len(mixed)]) for number in range(count)]:
                done.result(60)
        wait_for(lambda: warm.facts()["clients"] == 0)

    some(100)  # what is opened once and kept is open now
    wait_for(lambda: threads(pid) < 12)
    before = descriptors(pid)
    some(rounds(200, 1000, 10_000))
    # Rooms kept for the next request: up to four, each a base with its log, and an index of it that all share.
    wait_for(lambda: descriptors(pid) <= before + 12 and threads(pid) < 12, 20)
    assert len(warm.processes()) == 2  # the server and its model; no zombie
    assert warm.pid == pid and SECRET not in warm.log and "Error at" not in warm.log


def _right(answer: Answer) -> None:
    assert (answer.status, answer.errors) == (0, "") and SECRET in answer.output


def test_who_never_says_go_is_sent_away(warm: Warm) -> None:
    """So is one that says nothing: else a server with such a client would never be idle. (Here after 1 s, not 10.)"""
    process = start_with(warm, "import rekall.conversation as c; c.HELLO_SECONDS = 1.0")
    try:
        with Line(warm) as silent, Line(warm) as waiting, Line(warm) as mistaken, Line(warm) as patient:
            patient.acknowledged("search", "-", "--each-line")
            patient.send(frames.GO)
            waiting.acknowledged("list")
            mistaken.acknowledged("nonsense")
            assert [line.is_closed(30) for line in (silent, waiting, mistaken)] == [True] * 3
            assert not patient.is_closed(0.5)  # it may think as long as it likes
        wait_for(lambda: warm.facts()["clients"] == 0)
    finally:
        process.kill()
        process.wait()


@pytest.mark.torture
def test_fifty_clients_at_once_are_all_answered_right(warm: Warm) -> None:
    ids = warm.keep([f"{SECRET} number{number}" for number in range(50)])
    warm.warm_up()
    wait_for(lambda: warm.cold("index", "status", "--json").output.count('"pending": 0'), 60)
    right = {number: warm.cold("search", "--words", f"number{number}", "--json").output for number in range(50)}
    assert all(ids[number] in right[number] for number in right)
    per_client = rounds(4, 20, 200)
    slowest: list[float] = []

    def client(number: int) -> None:
        for turn in range(per_client):
            wanted = (number + turn) % 50
            began = time.monotonic()
            if turn % 4 == 3:
                answer = warm("search", f"number{wanted}", "--json")
                assert (answer.status, answer.errors) == (0, "") and ids[wanted] in answer.output
            else:
                answer = warm("search", "--words", f"number{wanted}", "--json")
                assert answer == Answer(0, right[wanted], "")
            slowest.append(time.monotonic() - began)

    with ThreadPoolExecutor(50) as running:
        for done in [running.submit(client, number) for number in range(50)]:
            done.result(110)
    print(f"p50 {sorted(slowest)[len(slowest) // 2] * 1000:.0f} ms, slowest {max(slowest) * 1000:.0f} ms")
    assert len(slowest) == 50 * per_client
    assert warm.requests() > 50 * per_client * 0.5  # it was the server that answered


def test_a_short_answer_is_held_until_its_status_is_known(warm: Warm) -> None:
    """Both go out in one write: a server that is killed has sent all of it or nothing, and a read can be asked again."""
    warm.keep(["a note to be found"])
    sent: list[bytes] = []
    sink = SocketSink(sent.append, "")
    caller = Caller(warm.cwd, warm.env, io.BytesIO(), False, Terminal())
    request = asked(["list"], caller)
    carry_out(
        request, Response(sink, False), lambda request: Room(base_of(request), Config.load(warm.cwd / "none")), False
    )
    assert sent == []
    assert b"a note to be found" in sink.taken()
