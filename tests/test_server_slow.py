"""Slow readers and writers, cancelled questions, and what breaks inside: nobody else waits, everybody gets a status."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path
from threading import Event

import pytest
from running import is_running, wait_for
from warm import Line, Warm, descriptors, rounds, start_with, threads

from rekall import frames

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are found in /proc")

# An answer to a client that does everything right comes within this, whatever others do, on a busy machine too.
PROMPT_SECONDS = 5.0
SECRET = "xylophonist"  # a word that stands in every entry and query here, and nowhere else


# --- slow readers ---


def test_a_pager_that_stops_reading_delays_nobody(warm: Warm) -> None:
    """Twelve readers of a list of megabytes that stop in the middle; then some go on and get all of it."""
    text = "0123456789abcdef" * 6000
    warm.keep([f"long note {number}" for number in range(40)], content=text)
    warm.start_server()
    whole = warm.cold("list", "-0", "--limit", "100").output
    assert len(whole) > 3_800_000
    lines = [Line(warm, 60) for _number in range(12)]
    for line in lines:
        line.acknowledged("list", "-0", "--limit", "100")
        line.send(frames.GO)
        assert line.frame()
    began = time.monotonic()
    answer = warm("search", "--words", "note")
    assert answer.status == 0 and time.monotonic() - began < PROMPT_SECONDS
    for line in lines[6:]:
        line.close()
    again = Line(warm, 60)
    assert again.ask("list", "-0", "--limit", "100").output == whole
    again.close()
    for line in lines[:6]:
        assert line.rest().status == 0
        line.close()
    wait_for(lambda: warm.facts()["clients"] == 0)


def test_readers_so_far_behind_that_their_answers_wait_take_no_place(warm: Warm) -> None:
    """More such readers than there are places: each is kept 64 MB, then its answer waits for it."""
    small = 1 << 18
    warm.keep([f"long note {number}" for number in range(40)], content="0123456789abcdef" * 6000)
    process = start_with(warm, f"import rekall.conversation as c; c.KEPT_BYTES = {small}")
    try:
        lines = [Line(warm, 60) for _number in range(20)]
        for line in lines:
            line.acknowledged("list", "-0", "--limit", "100")
            line.send(frames.GO)
            assert line.frame()
        began = time.monotonic()
        with Line(warm) as other:
            assert other.ask("search", "--words", "note", "--limit", "1").status == 0
        assert time.monotonic() - began < PROMPT_SECONDS
        for line in lines[1:]:
            line.close()
        assert lines[0].rest().status == 0  # and one that reads on gets the end
        lines[0].close()
        wait_for(lambda: warm.facts()["clients"] == 0)
        wait_for(lambda: threads(process.pid) < 12)
    finally:
        process.kill()
        process.wait()


def test_a_client_whose_stdin_never_ends_delays_nobody(warm: Warm) -> None:
    warm.keep([f"{SECRET} note"])
    warm.start_server()
    lines = [Line(warm) for _number in range(30)]
    for line in lines:
        line.acknowledged("search", "-", "--each-line", "--words")
        line.send(frames.GO)
        line.send(frames.STDIN, SECRET.encode() + b"\n")
    for line in lines:
        found = line.frame()
        assert found and found[0] == frames.OUTPUT and SECRET.encode() in found[1]  # each line as it comes
    began = time.monotonic()
    assert warm("list").status == 0 and time.monotonic() - began < PROMPT_SECONDS
    for line in lines[:15]:
        line.close()
    for line in lines[15:]:
        line.send(frames.STDIN_END)
        assert line.rest().status == 0
        line.close()
    wait_for(lambda: warm.facts()["clients"] == 0)


def test_stdin_of_many_megabytes_arrives_whole_and_is_not_hoarded(warm: Warm) -> None:
    pid = warm.start_server()
    text = b"0123456789abcde\n" * (1 << 20)  # 16 MiB
    answer = warm("add", "til", "a large note", "-c", "-", stdin=text)
    assert answer.status == 0
    shown = warm.cold("show", answer.output.strip(), "--json")
    assert shown.output.count("0123456789abcde") == 1 << 20
    assert warm.pid == pid
    with Line(warm) as line:  # one that sends what nobody reads: it has to wait
        line.acknowledged("search", "-", "--words")
        line.socket.settimeout(1)
        with pytest.raises(TimeoutError):
            for _part in range(50):
                line.send(frames.STDIN, b"x" * (1 << 20))


def test_many_idle_connections_leave_room_for_answers(warm: Warm) -> None:
    warm.keep([f"{SECRET} note"])
    pid = warm.start_server()
    lines = []
    for _number in range(900):
        with suppress(OSError):
            lines.append(Line(warm))
    began = time.monotonic()
    answer = warm("list")  # by the server or without it
    assert (answer.status, answer.errors) == (0, "") and time.monotonic() - began < PROMPT_SECONDS
    wait_for(lambda: descriptors(pid) < 700)
    for line in lines:
        line.close()
    wait_for(lambda: descriptors(pid) < 60)
    assert "Error at" not in warm.log and warm.pid == pid
    before = warm.requests()
    assert warm("list").status == 0 and warm.requests() >= before + 2


# --- cancel ---


def test_ctrl_c_ends_a_query_at_once_and_the_server_goes_on(warm: Warm) -> None:
    warm.keep([f"{SECRET} note"])
    pid = warm.warm_up()
    os.kill(warm.worker(), signal.SIGSTOP)  # a query by meaning now takes long
    with warm.start("search", "a query that waits for the model") as asking:
        wait_for(lambda: warm.facts()["clients"] == 1)
        began = time.monotonic()
        asking.send_signal(signal.SIGINT)
        output, errors = asking.communicate(timeout=30)
        assert time.monotonic() - began < PROMPT_SECONDS
    assert (asking.returncode, output) in ((130, b""), (-signal.SIGINT, b""))  # the latter before it was acknowledged
    assert errors in (b"", b"rekall: stopped; what was done is kept\n")
    os.kill(warm.worker(), signal.SIGCONT)
    wait_for(lambda: warm.facts()["clients"] == 0)
    answer = warm("search", SECRET)
    assert (answer.status, answer.errors, warm.pid) == (0, "", pid)


def test_a_write_that_was_begun_is_finished_though_it_is_cancelled(warm: Warm) -> None:
    warm.start_server()
    with Line(warm) as line:
        flags = line.acknowledged("add", "til", f"{SECRET} kept")
        assert flags == frames.WRITES
        line.send(frames.GO)
        line.send(frames.CANCEL)
        assert line.rest().status == 0
    assert SECRET in warm("list").output


@pytest.mark.torture
def test_who_cancels_at_any_moment_gets_one_status(warm: Warm) -> None:
    warm.keep([f"{SECRET} note"])
    warm.warm_up()
    for number in range(rounds(60, 200, 2000)):
        with Line(warm) as line:
            line.acknowledged("search", SECRET, *["--words"] * (number % 2))
            line.send(frames.GO)
            time.sleep(number % 20 * 0.0004)
            with suppress(BrokenPipeError, ConnectionResetError):
                line.send(frames.CANCEL)
            answer = line.rest()
            assert (answer.status, answer.errors) in ((0, ""), (130, "rekall: stopped; what was done is kept\n"))
            assert line.frame() is None
    wait_for(lambda: warm.facts()["clients"] == 0)


# --- what goes wrong inside ---


def test_an_error_of_our_own_is_one_line_and_tells_no_secret(warm: Warm) -> None:
    """A command that raises what nobody thought of: a status all the same, and a log without a word of the entry."""
    warm.keep([f"{SECRET} note"])
    broken = f"import rekall.commands.find as f\ndef no(*a): raise RuntimeError({SECRET!r})\nf.list_ = no"
    process = start_with(warm, broken)
    try:
        for _again in range(3):
            answer = warm("list")
            assert (answer.status, answer.output) == (2, "")
            assert "an error of rekall itself (RuntimeError at" in answer.errors and SECRET not in answer.errors
        assert warm("search", "--words", SECRET).status == 0
        assert "RuntimeError at" in warm.log and SECRET not in warm.log
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("error", ["SystemExit('x')", "KeyboardInterrupt", "MemoryError", "OSError(28, 'No space')", "RecursionError"])  # fmt: skip
def test_whatever_is_raised_inside_the_client_gets_a_status(warm: Warm, error: str) -> None:
    process = start_with(warm, f"import rekall.commands.find as f\ndef no(*a): raise {error}\nf.list_ = no")
    try:
        with Line(warm, 10) as line:
            answer = line.ask("list")
            assert answer.status == 2 and answer.errors.count("\n") == 1
        wait_for(lambda: warm.facts()["clients"] == 0)
    finally:
        process.kill()
        process.wait()


def test_words_are_answered_while_the_model_hangs(warm: Warm) -> None:
    """However many wait for it: they take no place from those who do not need it."""
    warm.keep([f"{SECRET} note"])
    warm.warm_up()
    worker = warm.worker()
    os.kill(worker, signal.SIGSTOP)
    asking = [warm.start("search", f"meaning {number}") for number in range(16)]
    wait_for(lambda: warm.facts()["clients"] == 16)
    began = time.monotonic()
    for words in (["search", "--words", SECRET], ["list"], ["add", "til", "another"], ["stats"]):
        assert warm(*words).status == 0, words
    assert time.monotonic() - began < 2 * PROMPT_SECONDS
    os.kill(worker, signal.SIGCONT)
    for process in asking:
        process.communicate(timeout=60)
        assert process.returncode in (0, 1)


def test_requests_from_many_threads_of_one_process_never_mix(warm: Warm) -> None:
    """The answer on a line is that line's, though a hundred are open and answered in any order."""
    keys = warm.keep([f"{SECRET} number{number}" for number in range(100)])
    warm.start_server()
    lines = [Line(warm) for _key in keys]
    order = list(range(100))
    random.Random(3).shuffle(order)
    for number in order:
        lines[number].acknowledged("show", keys[number])
    ready = Event()
    for number in reversed(order):
        lines[number].send(frames.GO)
    ready.set()
    for number, line in enumerate(lines):
        answer = line.rest()
        assert f"number{number}\n" in answer.output.replace(" ", "\n"), answer
        line.close()
    assert is_running(warm.pid)
