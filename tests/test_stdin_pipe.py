"""A client's stdin, fed by one thread and read by another."""

from __future__ import annotations

import io
import os
from concurrent.futures import ThreadPoolExecutor
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekall.errors import Cancelled
from rekall.stdin_pipe import StdinPipe, arrived

PARTS = st.lists(st.binary(max_size=200), max_size=12)


@given(PARTS, st.integers(1, 64))
def test_what_is_fed_is_read_in_order(parts: list[bytes], size: int) -> None:
    pipe = StdinPipe()
    for part in parts:
        pipe.feed(part)
    pipe.end()
    read = b"".join(iter(lambda: pipe.read(size), b""))
    assert read == b"".join(parts)
    assert pipe.read(size) == b""  # and stays at its end


@given(PARTS)
def test_lines_are_read_as_from_a_file(parts: list[bytes]) -> None:
    pipe = StdinPipe()
    for part in parts:
        pipe.feed(part)
    pipe.end()
    whole = io.BytesIO(b"".join(parts))
    assert list(io.BufferedReader(pipe)) == list(whole)


def test_an_empty_part_is_not_the_end() -> None:
    pipe = StdinPipe()
    for part in (b"", b"a", b"", b"b"):
        pipe.feed(part)
    pipe.end()
    assert io.BufferedReader(pipe).read() == b"ab"


def test_a_reader_waits_for_what_is_to_come_and_for_the_end() -> None:
    pipe = StdinPipe()
    found: list[bytes] = []
    reader = Thread(target=lambda: found.extend(iter(lambda: pipe.read(100), b"")), daemon=True)
    reader.start()
    reader.join(0.1)
    assert reader.is_alive() and found == []
    pipe.feed(b"one")
    pipe.feed(b"two")
    pipe.end()
    reader.join(10)
    assert not reader.is_alive() and b"".join(found) == b"onetwo"


def test_the_end_wakes_whoever_waits() -> None:
    pipe = StdinPipe()
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(pipe.read, 10)
        pipe.end()
        assert waiting.result(10) == b""


def test_megabytes_pass_from_thread_to_thread_unchanged() -> None:
    pipe = StdinPipe()
    data = bytes(range(256)) * 40_000
    with ThreadPoolExecutor(1) as threads:
        whole = threads.submit(io.BufferedReader(pipe).read)
        for start in range(0, len(data), 60_001):
            pipe.feed(data[start : start + 60_001])
        pipe.end()
        assert whole.result(30) == data


def test_the_level_tells_how_much_waits() -> None:
    levels: list[int] = []
    pipe = StdinPipe(levels.append)
    pipe.feed(b"x" * 100)
    pipe.feed(b"y" * 50)
    assert levels == [100, 150]
    assert pipe.read(30) == b"x" * 30
    assert levels[-1] == 120
    assert len(pipe.read(1000)) == 70  # no more than one part at a time
    assert levels[-1] == 50
    pipe.read(50)
    assert levels[-1] == 0


@pytest.mark.parametrize("text", ["é\n", "a\r\nb"])
def test_it_is_a_binary_stream_like_any_other(text: str) -> None:
    pipe = StdinPipe()
    assert pipe.readable() and not pipe.writable() and not pipe.seekable()
    pipe.feed(text.encode())
    pipe.end()
    assert io.TextIOWrapper(io.BufferedReader(pipe), encoding="utf-8", newline="").read() == text


def test_what_breaks_off_is_not_taken_for_the_whole() -> None:
    pipe = StdinPipe()
    pipe.feed(b"the first half")
    pipe.break_off()
    with pytest.raises(Cancelled):
        io.BufferedReader(pipe).read()
    whole = StdinPipe()
    whole.feed(b"all of it")
    whole.end()
    whole.break_off()  # the client may go once it has said all
    assert io.BufferedReader(whole).read() == b"all of it"


def test_whoever_listens_waits_no_longer_than_said() -> None:
    pipe = StdinPipe()
    stream = io.BufferedReader(pipe)
    assert arrived(stream, 0.01) is None
    pipe.feed(b"one")
    pipe.feed(b"two")
    assert [arrived(stream, 0.01) for _time in range(3)] == [b"one", b"two", None]
    pipe.end()
    assert arrived(stream, None) == b"" == arrived(stream, 0.01)
    broken = StdinPipe()
    broken.break_off()
    with pytest.raises(Cancelled):
        arrived(io.BufferedReader(broken), None)


def test_a_processs_own_stdin_is_listened_to_alike() -> None:
    ours, theirs = os.pipe()
    with open(ours, "rb") as stream, open(theirs, "wb", buffering=0) as writer:
        assert arrived(stream, 0.01) is None
        writer.write(b"one")
        assert arrived(stream, None) == b"one"
        assert arrived(stream, 0.01) is None
        writer.close()
        assert arrived(stream, None) == b""
    held = io.BytesIO(b"bytes in memory")
    assert [arrived(held, None), arrived(held, 0.01)] == [b"bytes in memory", b""]
