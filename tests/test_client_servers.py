"""The C client, against servers that are busy, gone or strange, and programs they have run."""

from __future__ import annotations

import socket
import subprocess
import time
from contextlib import suppress

import pytest
from fake_server import (
    LOCAL_STATUS,
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


def hang_up_after_hello(client: Connection) -> None:
    client.hello()


# --- servers that are busy, gone, strange ---


@pytest.mark.parametrize("kind", [b"L", b"O", b"X", b"Q", b"\0"])
def test_whatever_comes_in_place_of_an_acknowledgement_leaves_it_to_rekall_py(kind: bytes, desk: Desk) -> None:
    def play(client: Connection) -> None:
        client.hello()
        client.send(kind, b"\1")
        client.expect_end()  # not a `G`

    with desk.server(play):
        answer = desk("list", stdin=b"text")
    assert (answer.status, answer.errors) == (LOCAL_STATUS, "")
    assert desk.local_words() == [b"--no-server", b"list"] and desk.note("stdin") == b"text"


@pytest.mark.parametrize("payload", [b"", b"\0", b"\0" + REQUEST + b"x"])
def test_an_acknowledgement_of_a_wrong_length_is_none(payload: bytes, desk: Desk) -> None:
    def play(client: Connection) -> None:
        client.hello()
        client.send(b"A", payload)
        client.expect_end()

    with desk.server(play):
        assert desk("list").status == LOCAL_STATUS


@pytest.mark.parametrize("seconds", [0.6, 20])
def test_a_server_that_does_not_acknowledge_in_time_is_not_waited_for(seconds: float, desk: Desk) -> None:
    def play(client: Connection) -> None:
        client.hello()
        with suppress(BrokenPipeError):
            if seconds < 1:
                time.sleep(seconds)
                client.send(b"A", b"\0" + REQUEST)  # too late: nobody says go
        client.expect_end()

    with desk.server(play):
        start = time.monotonic()
        assert desk("add", "til", "x").status == LOCAL_STATUS
        assert 0.3 <= seconds_since(start) < 2


def test_a_full_backlog_is_not_waited_for_either(desk: Desk) -> None:
    clients = []

    def fill(listener: socket.socket) -> None:
        listener.listen(0)
        for _ in range(3):
            client = socket.socket(socket.AF_UNIX)
            client.setblocking(False)
            with suppress(BlockingIOError):
                client.connect(str(desk.socket))
            clients.append(client)

    with desk.server(during=fill):
        start = time.monotonic()
        assert desk("list").status == LOCAL_STATUS
        assert seconds_since(start) < 2
    for client in clients:
        client.close()


def test_a_connection_that_ends_before_the_acknowledgement_begins_again_once(desk: Desk) -> None:
    with desk.server(hang_up_after_hello, answering()):
        assert desk("add", "til", "x").output == "warm\n"
    with desk.server(hang_up_after_hello, hang_up_after_hello):
        assert desk("add", "til", "x").status == LOCAL_STATUS


@pytest.mark.parametrize("flags", [0, WRITES, SEND_STDIN, SEND_STDIN | WRITES])
@pytest.mark.parametrize("before", ["nothing", "an empty frame", "half a frame", "output", "an error line"])
def test_a_server_that_goes_after_it_was_told_to_begin(flags: int, before: str, desk: Desk) -> None:
    def play(client: Connection) -> None:
        client.accept(flags)
        if flags & SEND_STDIN:
            client.stdin()
        frames = {
            "an empty frame": b"O\0\0\0\0",
            "half a frame": b"O\0\0\0\5ab",
            "output": b"O\0\0\0\5abcde",
            "an error line": b"R\0\0\0\5abcd\n",
        }
        client.stream.sendall(frames.get(before, b""))

    with desk.server(play):
        answer = desk("search", "-", stdin=b"text" if flags & SEND_STDIN else b"")
    message = answer.errors.removeprefix("abcd\n")
    if flags & WRITES:
        assert answer.status == 2 and REQUEST.decode() in message and message.count("\n") == 1
    elif flags & SEND_STDIN or before in ("output", "an error line"):
        assert answer.status == 2 and message.endswith("ask again\n") and message.count("\n") == 1
    else:
        assert (answer.status, answer.errors) == (LOCAL_STATUS, "")
    assert (desk.local_words() is None) is (answer.status == 2)


def test_an_empty_stdin_that_was_asked_for_is_still_to_be_had(desk: Desk) -> None:
    def play(client: Connection) -> None:
        client.accept(SEND_STDIN)
        assert client.stdin() == b""

    with desk.server(play):
        assert desk("search", "-").status == LOCAL_STATUS


@pytest.mark.parametrize(
    "frame",
    [
        b"Q\0\0\0\0",
        b"A\0\0\0\0",
        b"X\0\0\0\0",
        b"X\0\0\0\2ab",
        b"T\0\0\0\1a",
        b"O\0\x10\0\1",
        b"O\xff\xff\xff\xff",
        b"\n\0\0\0\0",
        b"C\0\0\0\5\0\0\0\0\0",
        b"C\0\0\0\6\0\0\0\1a\0",
        b"C\0\0\0\6\0\0\0\0ab",
        b"C\0\0\0\6\xff\xff\xff\xffa\0",
        b"C\0\0\4\4" + bytes(0x404),
    ],
)
def test_what_is_no_frame_is_an_error(frame: bytes, desk: Desk) -> None:
    def play(client: Connection, flags: int = 0) -> None:
        client.accept(flags)
        client.stream.sendall(frame)
        client.expect_end()

    with desk.server(play, lambda client: play(client, WRITES)):
        answer, written = desk("list"), desk("add", "til", "x")
    assert answer.status == written.status == 2
    assert answer.errors.startswith("rekall: ") and "rekall server restart" in answer.errors
    assert REQUEST.decode() in written.errors
    assert answer.errors.count("\n") == written.errors.count("\n") == 1
    assert desk.local_words() is None


def test_a_frame_of_the_greatest_length_is_taken(desk: Desk) -> None:
    def play(client: Connection) -> None:
        client.accept()
        client.finish(b"x" * (1 << 20))

    with desk.server(play):
        assert len(desk("list").output) == 1 << 20


def test_a_hello_that_is_too_long_is_left_to_rekall_py(desk: Desk) -> None:
    script = """ulimit -s unlimited || exit 77
        printf -v long %100000s
        for n in {1..45}; do export REKALL_$n="$long"; done
        exec "$@"
    """
    with desk.server(lambda client: client.expect_end()):
        command = ["bash", "-c", script, "bash", *desk.command("list")]
        done = subprocess.run(command, env=desk.env, cwd=desk.work, capture_output=True, timeout=30)
        if done.returncode == 77:
            desk("list")
            pytest.skip("no environment of 4 MiB can be had here")
    assert (done.returncode, done.stderr) == (LOCAL_STATUS, b"")


# --- C: programs in the user's own process ---


def test_what_the_server_has_run_is_the_users_own_process(desk: Desk) -> None:
    def run(client: Connection, text: bytes, *words: bytes) -> bytes:
        client.send(b"C", len(text).to_bytes(4, "big") + text + b"".join(word + b"\0" for word in words))
        return client.expect(b"C")

    statuses = []

    def play(client: Connection) -> None:
        client.accept()
        statuses.extend(
            [
                run(client, b"clip\0board", b"sh", b"-c", b'cat > copied; echo "$PRIVATE"; exit 3'),
                run(client, b"", b"rekall-py", b"edit", b"\xff"),
                run(client, b"x" * 900_000, b"true"),  # reads nothing of it
                run(client, b"", b"no-such-program"),
                run(client, b"", b"sh", b"-c", b"kill -9 $$"),
            ]
        )
        client.finish(b"done\n")

    with desk.server(play):
        answer = desk("list", env={"PRIVATE": "mine"})
    assert (answer.status, answer.output, answer.errors) == (0, "mine\nlocal\ndone\n", "")
    assert [status[0] for status in statuses] == [3, LOCAL_STATUS, 0, 127, 128 + 9]
    assert (desk.work / "copied").read_bytes() == b"clip\0board"
    assert desk.local_words() == [b"edit", b"\xff"]


def test_what_was_run_is_not_run_again(desk: Desk) -> None:
    def play(client: Connection) -> None:
        client.accept()
        client.send(b"C", bytes(4) + b"true\0")
        client.expect(b"C", b"\0")

    with desk.server(play):
        assert desk("list").status == 2
    assert desk.local_words() is None
