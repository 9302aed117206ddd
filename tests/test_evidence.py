"""Which error lines are the same error, and when an entry answers an output."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekall.entry import Entry
from rekall.error_lines import error_lines
from rekall.evidence import answers, error_texts, question
from rekall.likeness import fixed, is_told_in, likeness
from rekall.ranking import Hit

SAME = [
    ("error: Cannot delete branch 'a-1' checked out at '/home/x'", "error: Cannot delete branch 'topic' checked out at '/srv/y/z'"),
    ("main.c:9:1: error: unknown type name 'u8'", "src/till.c:30:7: error: unknown type name ‘foo_t’"),
    (r"C:\src\a.cpp(12): error C2182: 'n': bad use", "world.cpp(3) : error C2182: 'total': bad use"),
    ("bash: line 1: 19104 Segmentation fault      ./seg", "bash: line 7: 42 Segmentation fault      ./other"),
    ("curl: (7) Failed to connect to 10.0.0.1 port 80 after 0 ms: x", "curl: (7) Failed to connect to 127.0.0.1 port 1 after 12 ms: x"),
    ("Unable to find image 0x7ffe12ab at 2026-01-02T03:04:05Z", "Unable to find image 0xdeadbeef at 2025-11-12T13:14:15Z"),
    ("npm error engine node@18.1.0 wants >=20", "npm error engine node@16.20.2 wants >=22"),
    ("ana@example.org could not be reached at https://a.example/x?y=1", "bo@example.org could not be reached at http://b.example/"),
]  # fmt: skip
DIFFERENT = [
    ("error C2182: 'n': bad use", "error C2065: 'n': bad use"),
    ("curl: (6) Failed to do it", "curl: (7) Failed to do it"),
    ("OSError: [Errno 13] Permission denied: 'a'", "OSError: [Errno 2] No such file or directory: 'a'"),
    ("KeyError: 'x'", "ValueError: 'x'"),
    ("error: could not lock the file", "error: the file could not lock"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_the_same_error_has_the_same_fixed_words_whatever_it_is_about(one: str, other: str) -> None:
    assert likeness(fixed(one), fixed(other)) == 1.0


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_codes_words_and_their_order_tell_errors_apart(one: str, other: str) -> None:
    assert likeness(fixed(one), fixed(other)) < 1.0


@given(st.text(max_size=200), st.text(max_size=200))
def test_likeness_is_a_share_and_does_not_depend_on_the_order(one: str, other: str) -> None:
    a, b = fixed(one), fixed(other)
    assert 0.0 <= likeness(a, b) == likeness(b, a) <= 1.0
    assert likeness(a, a) == 1.0


@pytest.mark.parametrize(
    "text",
    ["a." * 500, "/" * 1000, "'a" * 500, "a@" * 500, "ab:" * 333, "<a" * 500, "-" * 1000, "1" * 1000, "A1" * 500],
)
def test_hostile_lines_are_reduced_in_time(text: str) -> None:
    started = time.process_time()
    fixed(text)
    assert time.process_time() - started < 0.5


def test_a_message_cut_short_is_told_in_the_whole_one_but_a_phrase_is_not() -> None:
    line = fixed(
        "*1 upstream prematurely closed connection while reading response header from upstream, client: 10.0.0.1"
    )
    assert is_told_in(fixed("upstream prematurely closed connection"), line)
    assert not is_told_in(fixed("upstream closed connection early"), line)
    assert not is_told_in(
        fixed("No such file or directory"), fixed("tar: a.tgz: Cannot open: No such file or directory")
    )


def asked(text: str, entries: list[Entry], found: dict[str, Hit] | None = None) -> list[tuple[str, str | None]]:
    hits = answers(question(error_lines(text.splitlines())), {entry.id: entry for entry in entries}, found or {})
    return [(hit.id, hit.arm) for hit in hits]


def test_the_root_cause_is_answered_before_its_echoes(make_entry: Callable[..., Entry]) -> None:
    entries = [
        make_entry(id="echo", errors=("make: *** [Makefile:1: a.o] Error 2",)),
        make_entry(id="second", errors=("a.c:1:1: error: redeclaration of 'x' with no linkage",)),
        make_entry(id="root", errors=("a.c:1:1: error: unknown type name 'x'",)),
    ]
    output = (
        "b.c:2:2: error: unknown type name 'y'\nb.c:3:3: error: redeclaration of 'z' with no linkage\n"
        "make: *** [Makefile:7: b.o] Error 1"
    )
    assert asked(output, entries) == [("root", "exact"), ("second", "exact"), ("echo", "exact")]


def test_an_entry_with_an_error_text_of_its_own_is_not_answered_by_words(make_entry: Callable[..., Entry]) -> None:
    hit = Hit("x", 2.0, words=0.9, bm25=9.0, meaning=1.0, cosine=0.9)
    output = "error: the basket is full of eels"
    assert asked(output, [make_entry(id="x", errors=("fatal: quite another thing",))], {"x": hit}) == []
    assert asked(output, [make_entry(id="x")], {"x": hit}) in ([("x", "words")], [("x", "meaning")])


@pytest.mark.parametrize(
    ("words", "cosine", "arm"),
    [
        (0.9, 0.5, "words"),
        (0.6, 0.7, "meaning"),
        (0.5, 0.6, None),
        (None, 0.9, None),
        (0.8, None, "words"),
        (0.6, None, None),
    ],
)
def test_words_and_meaning_are_evidence_together(
    words: float | None, cosine: float | None, arm: str | None, make_entry: Callable[..., Entry]
) -> None:
    found = asked("error: the basket is full", [make_entry(id="x")], {"x": Hit("x", 1.0, words, None, None, cosine)})
    assert found == ([("x", arm)] if arm else [])


def test_errors_that_stand_in_an_entrys_texts_are_its_error_texts(make_entry: Callable[..., Entry]) -> None:
    entry = make_entry(
        "error: in the title", "Prose about an error.\n\n```\nfatal: in a block\n```\n> KeyError: quoted", solution="no"
    )
    assert [" ".join(text.words) for text in error_texts(entry)] == [
        "error in the title",
        "fatal in a block",
        "keyerror quoted",
    ]


def test_nothing_is_asked_of_lines_without_fixed_words() -> None:
    assert question(error_lines(["error: 'x'", "error: 12", "Error: /a/b"])).lines == ()
