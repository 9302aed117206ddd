"""The C client: stdin, output, errors and interrupts, byte for byte."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import pytest
from fake_server import (
    REQUEST,
    SEND_STDIN,
    WRITES,
    Connection,
    Desk,
    answering,
    needs_client,
    seconds_since,
)

pytestmark = needs_client


# --- stdin and output ---


def test_stdin_is_left_alone_unless_it_is_asked_for(desk: Desk) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"not yours")
    with desk.server(answering()), desk.start("search", "x", stdin=reading) as process:
        assert process.wait(30) == 0  # and it is not waited for either: the pipe stays open
    assert os.read(reading, 100) == b"not yours"
    os.close(reading)
    os.close(writing)


def test_stdin_comes_whole_and_its_end_ends_nothing(desk: Desk) -> None:
    def play(client: Connection) -> None:
        client.accept(SEND_STDIN)
        client.send(b"R", b"reading\n")
        text = client.stdin()
        time.sleep(0.1)  # the client has nothing to do but wait
        client.finish(text.upper(), 3)
        client.expect_end()

    with desk.server(play):
        answer = desk("search", "-", stdin=b"abc\n")
    assert (answer.status, answer.output, answer.errors) == (3, "ABC\n", "reading\n")


def test_an_answer_does_not_wait_for_the_end_of_stdin(desk: Desk) -> None:
    with (
        desk.server(answering(flags=SEND_STDIN)),
        desk.start("search", "-", stdin=subprocess.PIPE) as process,
    ):
        assert process.wait(30) == 0
        assert process.stdin
        process.stdin.close()


def test_an_answer_is_taken_though_the_server_no_longer_listens(desk: Desk) -> None:
    def play(client: Connection) -> None:
        client.accept(SEND_STDIN)
        client.get()
        client.finish(b"enough\n", 4)  # leaves most of stdin unread: the client's writing fails

    with desk.server(play):
        answer = desk("search", "-", stdin=b"x" * 5_000_000)
    assert (answer.status, answer.output, answer.errors) == (4, "enough\n", "")


def test_much_stdin_and_much_output_at_once_do_not_wait_for_each_other(desk: Desk) -> None:
    text = os.urandom(1_000_000) * 10
    received: list[bytes] = []

    def play(client: Connection) -> None:
        client.accept(SEND_STDIN)
        reader = threading.Thread(target=lambda: received.append(client.stdin()))
        reader.start()
        for start in range(0, len(text), 1 << 20):
            client.send(b"O", text[start : start + (1 << 20)])
        reader.join()
        client.finish()

    with desk.server(play), desk.start("search", "-", stdin=subprocess.PIPE) as process:
        output, errors = process.communicate(text, timeout=60)
    assert (process.returncode, errors) == (0, b"")
    assert hashlib.sha256(output).digest() == hashlib.sha256(received[0]).digest() == hashlib.sha256(text).digest()


def test_a_server_that_writes_before_it_reads_is_no_deadlock(desk: Desk) -> None:
    text = b"y" * 3_000_000

    def play(client: Connection) -> None:
        client.accept(SEND_STDIN)
        for _ in range(3):
            client.send(b"O", text[: 1 << 20])  # all of it before the first read
        assert client.stdin() == text
        client.finish()

    with desk.server(play), desk.start("search", "-", stdin=subprocess.PIPE) as process:
        output, _errors = process.communicate(text, timeout=60)
    assert (process.returncode, len(output)) == (0, 3 << 20)


def test_output_and_errors_keep_their_order_and_their_streams(desk: Desk) -> None:
    def play(client: Connection) -> None:
        client.accept()
        for kind, text in ((b"O", b"1"), (b"R", b"2"), (b"O", b""), (b"O", b"3\0"), (b"R", b"4")):
            client.send(kind, text)
        client.finish(status=1)

    with desk.server(play, play), desk.start("list", stderr=subprocess.STDOUT) as process:
        assert process.communicate(timeout=30)[0] == b"123\x004"
        answer = desk("list")
    assert (process.returncode, answer.output, answer.errors) == (1, "13\0", "24")


def test_frames_that_come_byte_by_byte_are_put_together(desk: Desk) -> None:
    def play(client: Connection) -> None:
        client.accept()
        for byte in b"O\0\0\0\3abcX\0\0\0\1":
            client.stream.sendall(bytes([byte]))
            time.sleep(0.002)
        client.stream.sendall(b"\7X\0\0\0\1\0O")  # whatever may follow the first X

    with desk.server(play):
        answer = desk("list")
    assert (answer.status, answer.output) == (7, "abc")


def test_a_reader_that_leaves_early_is_no_error(desk: Desk) -> None:
    def play(client: Connection) -> None:
        client.accept()
        with suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(100):
                client.send(b"O", b"line\n" * 10_000)
            client.finish()

    with desk.server(play):
        done = subprocess.run(
            ["bash", "-c", '"$@" | head -1; exit ${PIPESTATUS[0]}', "bash", *desk.command("list")],
            env=desk.env,
            cwd=desk.work,
            capture_output=True,
            timeout=30,
        )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"line\n", b"")


def test_a_full_disk_is_an_error_with_its_reason(desk: Desk) -> None:
    def play(client: Connection) -> None:
        client.accept()
        client.send(b"O", b"text")
        client.expect_end()

    with desk.server(play), open("/dev/full", "wb") as full, desk.start("list", stdout=full) as process:
        assert process.communicate(timeout=30)[1] == b"rekall: No space left on device\n"
    assert process.returncode == 2


@pytest.mark.parametrize("redirection", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_an_empty_one(redirection: str, desk: Desk) -> None:
    def play(client: Connection) -> None:
        client.accept(SEND_STDIN)
        assert client.stdin() == b""
        client.send(b"R", b"noted\n")
        client.finish(b"data\n", 1)

    with desk.server(play):
        done = subprocess.run(
            ["sh", "-c", f'exec "$@" {redirection}', "sh", *desk.command("search", "-")],
            env=desk.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=30,
        )
    output = b"" if ">&-" in redirection.replace("2>&-", "") else b"data\n"
    errors = b"" if "2>&-" in redirection else b"noted\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, output, errors)


def test_a_stdin_that_cannot_be_read_is_an_error(desk: Desk) -> None:
    ended = []

    def play(client: Connection) -> None:
        client.accept(SEND_STDIN | WRITES)
        ended.append(client.get())  # no `E`: half a text is not stored

    folder = os.open(desk.work, os.O_RDONLY)
    with desk.server(play), desk.start("add", "til", "-c", "-", stdin=folder) as process:
        assert process.communicate(timeout=30)[1] == b"rekall: Is a directory\n"
    os.close(folder)
    assert (process.returncode, ended) == (2, [(b"", b"")])


# --- interrupts ---


def interrupted(
    desk: Desk, flags: int, answer: Callable[[Connection], object], signals: int = 1
) -> tuple[int, bytes, float]:
    """Return the status, stderr, and how long it took after the first SIGINT."""
    ready, seen = threading.Event(), threading.Event()

    def play(client: Connection) -> None:
        client.accept(flags)
        ready.set()
        if flags & SEND_STDIN:
            client.expect(b"I")
        client.expect(b"X", b"")
        seen.set()
        answer(client)
        client.expect_end()

    with desk.server(play), desk.start("search", "x", stdin=subprocess.PIPE) as process:
        assert process.stdin and process.stderr
        if flags & SEND_STDIN:
            process.stdin.write(b"half")
            process.stdin.flush()
        assert ready.wait(20)
        start = time.monotonic()
        process.send_signal(signal.SIGINT)
        if signals == 2:
            assert seen.wait(20)
            process.send_signal(signal.SIGINT)
        status = process.wait(30)
        return status, process.stderr.read(), seconds_since(start)


def test_ctrl_c_cancels_and_the_servers_status_comes(desk: Desk) -> None:
    assert interrupted(desk, SEND_STDIN, lambda client: client.finish(status=130))[:2] == (130, b"")


def test_a_write_under_way_is_finished_and_its_own_status_comes(desk: Desk) -> None:
    def finish(client: Connection) -> None:
        time.sleep(0.2)
        client.finish(b"id\n", 0)

    assert interrupted(desk, WRITES, finish)[:2] == (0, b"")


def test_a_server_that_does_not_answer_is_left_after_half_a_second(desk: Desk) -> None:
    status, errors, seconds = interrupted(desk, 0, lambda _client: None)
    assert (status, errors) == (130, b"") and 0.45 < seconds < 3
    status, errors, seconds = interrupted(desk, WRITES, lambda _client: None)
    assert status == 130 and REQUEST in errors and errors.count(b"\n") == 1


def test_a_second_ctrl_c_does_not_wait(desk: Desk) -> None:
    status, errors, seconds = interrupted(desk, 0, lambda _client: None, signals=2)
    assert (status, errors) == (130, b"") and seconds < 0.45


def test_ctrl_c_before_anything_was_asked_ends_the_client(desk: Desk) -> None:
    ready = threading.Event()

    def play(client: Connection) -> None:
        client.hello()
        ready.set()
        client.expect_end()

    with desk.server(play), desk.start("search", "x") as process:
        assert ready.wait(20)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == -signal.SIGINT
    assert desk.local_words() is None


def test_an_ignored_ctrl_c_stays_ignored(desk: Desk) -> None:
    ready, go = threading.Event(), threading.Event()

    def play(client: Connection) -> None:
        client.accept()
        ready.set()
        assert go.wait(20)
        client.finish(b"whole\n")

    command = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *desk.command("search", "x")]
    with desk.server(play), subprocess.Popen(command, env=desk.env, stdout=subprocess.PIPE) as process:
        assert ready.wait(20)
        process.send_signal(signal.SIGINT)
        go.set()
        assert process.communicate(timeout=30)[0] == b"whole\n"
    assert process.returncode == 0
