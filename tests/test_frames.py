"""Frames: what one side packs the other unpacks, however the stream is cut; and nothing that anybody sends does harm."""

from __future__ import annotations

import os
import struct
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekall import frames
from rekall.entry import new_id
from rekall.frames import BadFrame, Hello, Reader

# Any text that an argument or a variable can be: bytes without NUL, decoded as the system's own.
WORDS = st.binary(max_size=40).map(lambda data: os.fsdecode(data.replace(b"\0", b"")))
KINDS = st.sampled_from([bytes([code]) for code in range(256)])
HELLOS = st.builds(
    Hello,
    version=WORDS,
    cwd=st.none() | WORDS.map(lambda word: Path("/", word.lstrip("/"))),
    terminals=st.sampled_from(["", "i", "o", "e", "t", "ioet"]),
    columns=st.integers(0, 10_000),
    rows=st.integers(0, 10_000),
    env=st.dictionaries(WORDS.map(lambda word: "REKALL_" + word.replace("=", "")), WORDS, max_size=5),
    words=st.lists(WORDS, max_size=8),
)


def read(*parts: bytes) -> list[tuple[bytes, bytes]]:
    reader = Reader()
    return [found for part in parts for found in reader.feed(part)]


@given(HELLOS)
def test_a_hello_comes_out_as_it_went_in(hello: Hello) -> None:
    found = Hello.decode(hello.encode())
    assert (found.version, found.cwd, found.terminals) == (hello.version, hello.cwd, hello.terminals)
    assert (found.columns, found.rows, found.env) == (hello.columns, hello.rows, hello.env)
    assert list(found.words) == list(hello.words) and found.protocol == frames.PROTOCOL


@given(st.lists(st.tuples(KINDS, st.binary(max_size=50)), max_size=6), st.lists(st.integers(0, 400), max_size=6))
def test_a_stream_may_be_cut_anywhere(sent: list[tuple[bytes, bytes]], cuts: list[int]) -> None:
    stream = b"".join(frames.frame(kind, payload) for kind, payload in sent)
    places = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    parts = [stream[start:end] for start, end in pairwise(places)]
    assert read(*parts) == sent
    assert read(*(stream[place : place + 1] for place in range(len(stream)))) == sent


def test_frames_of_any_length_are_cut_at_the_limit_and_come_out_whole() -> None:
    data = os.urandom(1000) * 2200  # 2.1 MiB
    found = read(b"".join(frames.frames_of(b"O", data)))
    assert [len(payload) for _kind, payload in found] == [1 << 20, 1 << 20, len(data) - (2 << 20)]
    assert b"".join(payload for _kind, payload in found) == data
    assert list(frames.frames_of(b"O", b"")) == []


@pytest.mark.parametrize("kind", [b"G", b"I", b"K", b"\0", b"\xff"])
def test_a_frame_that_is_too_long_is_refused_before_it_has_come(kind: bytes) -> None:
    longest = struct.pack(">cI", kind, frames.LONGEST)
    assert read(longest) == []  # it may come
    with pytest.raises(BadFrame):
        read(struct.pack(">cI", kind, frames.LONGEST + 1))
    with pytest.raises(BadFrame):
        read(b"E\0\0\0\0", kind, b"\xff\xff\xff\xff")


def test_a_hello_may_be_longer_but_not_endless() -> None:
    assert read(struct.pack(">cI", b"H", frames.LONGEST_HELLO)) == []
    with pytest.raises(BadFrame):
        read(struct.pack(">cI", b"H", frames.LONGEST_HELLO + 1))


@given(st.lists(st.binary(max_size=60), max_size=5))
def test_garbage_is_frames_or_a_bad_frame_and_nothing_else(parts: list[bytes]) -> None:
    try:
        found = read(*parts)
    except BadFrame:
        return
    taken = sum(5 + len(payload) for _kind, payload in found)
    assert taken <= sum(map(len, parts))
    assert b"".join(frames.frame(kind, payload) for kind, payload in found) == b"".join(parts)[:taken]


_FIELD = st.sampled_from([b"1", b"2", b"", b"/", b"x", b"-1", b"3", b"9" * 5000, b"\xff", b"A=b", b"=", b"0x1", b"1e3"])


@given(st.lists(_FIELD | st.binary(max_size=8), max_size=14).map(b"\0".join) | st.binary(max_size=80))
def test_a_garbled_hello_is_read_or_a_bad_frame_and_nothing_else(payload: bytes) -> None:
    try:
        hello = Hello.decode(payload)
    except BadFrame:
        return
    assert payload.endswith(b"\0")
    if hello.protocol == frames.PROTOCOL:
        assert hello.cwd is None or hello.cwd.is_absolute()
        assert all(isinstance(number, int) and number >= 0 for number in (hello.columns, hello.rows))
    else:
        assert (hello.cwd, hello.words) == (None, ())


def hello_of(*fields: str) -> bytes:
    return b"".join(os.fsencode(field) + b"\0" for field in fields)


@pytest.mark.parametrize(
    "fields",
    [
        (),
        ("1",),
        ("1", "v"),
        ("1", "v", "/", "", "80", "24"),  # no count
        ("1", "v", "/", "", "80", "24", "1"),  # fewer variables than it says
        ("1", "v", "/", "", "80", "24", "-1"),
        ("1", "v", "/", "", "80", "24", "1", "NAME"),  # no =
        ("1", "v", "here", "", "80", "24", "0"),  # a relative folder
        ("1", "v", "/", "", "wide", "24", "0"),
        ("1", "v", "/", "", "-80", "24", "0"),
        ("1", "v", "/", "", "80", "24", "9" * 5000),
        ("1", "v", "/", "", "9" * 9, "24", "0"),  # W could not say that either
    ],
)
def test_a_hello_that_makes_no_sense_is_a_bad_frame(fields: tuple[str, ...]) -> None:
    with pytest.raises(BadFrame):
        Hello.decode(hello_of(*fields))


def test_of_another_protocol_only_protocol_and_version_are_read() -> None:
    hello = Hello.decode(hello_of("2", "9.9", "whatever", "follows"))
    assert (hello.protocol, hello.version, hello.cwd, list(hello.words)) == ("2", "9.9", None, [])


def test_only_what_an_answer_may_depend_on_is_sent() -> None:
    sent = {"HOME": "/h", "LC_ALL": "C", "REKALL_DB": "x", "TZ": "UTC", "NO_COLOR": "", "COLUMNS": "7"}
    kept = {"LANG": "C", "LANGUAGE": "fr", "TERM": "dumb", "XDG_CONFIG_HOME": "/c", "XDG_DATA_HOME": "/d"}
    other = {"PATH": "/bin", "AWS_SECRET_ACCESS_KEY": "s", "XDG_RUNTIME_DIR": "/r", "LCX": "1", "MY_REKALL_DB": "y"}
    assert frames.caller_variables(sent | kept | other) == sent | kept


def test_the_frames_of_the_server_have_the_shape_that_is_written_down() -> None:
    key = new_id()
    assert frames.acknowledgement(frames.WANTS_STDIN | frames.WRITES, key) == b"A\0\0\0\x1b\x03" + key.encode()
    assert frames.child(["rekall-py", "edit", "é"], b"text") == b"C\0\0\0\x1a\0\0\0\x04textrekall-py\0edit\0\xc3\xa9\0"
    assert frames.frame(frames.STATUS, b"\x82") == b"X\0\0\0\x01\x82"
