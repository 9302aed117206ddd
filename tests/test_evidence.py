"""Which error lines are the same error, and when an entry answers an output."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekall.entry import Entry
from rekall.evidence import (
    CALIBRATED,
    Ranked,
    Support,
    by_error,
    by_support,
    by_whole_text,
    question,
    weigh_names,
)
from rekall.fingerprint import fingerprint as fixed
from rekall.fingerprint import of_entry
from rekall.likeness import is_told_in, likeness

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


def asked(text: str, entries: list[Entry]) -> list[tuple[str, str | None]]:
    """Return which entries hold an error of an output, and by which arm."""
    about, ranked = question(text.splitlines()), Ranked()
    known = {entry.id: of_entry(entry) for entry in entries}
    by_error(about, known, CALIBRATED.near, ranked)
    by_whole_text(about, {key: [error for error in errors if not error.mark] for key, errors in known.items()}, ranked)
    weigh_names(about, {entry.id: entry for entry in entries}, ranked)
    return [(hit.id, hit.arm) for hit in ranked.hits()]


def supported(
    line: str, entries: list[Entry], words: dict[str, float], cosines: dict[str, float] | None
) -> list[tuple[str, str | None]]:
    """Return which entries are about a line, given what words and meaning say."""
    ranked = Ranked()
    ((error, print_),) = question([line]).asked
    found = Support(error, print_, words, cosines)
    by_support([found], {entry.id: entry for entry in entries}, CALIBRATED, ranked)
    return [(hit.id, hit.arm) for hit in ranked.hits()]


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


def test_what_is_near_to_the_cause_comes_before_a_warning_beside_it(make_entry: Callable[..., Entry]) -> None:
    entries = [
        make_entry(id="warning", errors=("a.c:1: warning: unused variable 'x' in the basket",)),
        make_entry(id="cause", errors=("a.c:1: error: unknown type name 'x' here, there and elsewhere",)),
    ]
    output = "b.c:1: warning: unused variable 'y' in the basket\nb.c:2:2: error: unknown type name 'y' here and there"
    assert asked(output, entries) == [("cause", "near"), ("warning", "exact")]


def test_an_echo_in_a_pasted_log_is_no_evidence_for_its_cause(make_entry: Callable[..., Entry]) -> None:
    log = "a.c:1:1: error: unknown type name 'x'\nmake: *** [Makefile:1: a.o] Error 2"
    output = "b.c:9:9: error: quite another mishap befell us\nmake: *** [Makefile:7: b.o] Error 1"
    assert asked(output, [make_entry(id="x", errors=(log,))]) == []


def test_of_entries_with_one_error_the_one_that_names_the_same_things_comes_first(
    make_entry: Callable[..., Entry],
) -> None:
    entries = [
        make_entry(id=name, errors=(f"ModuleNotFoundError: No module named '{name}'",))
        for name in ("numpy", "yaml", "attrs")
    ]
    found = asked("ModuleNotFoundError: No module named 'yaml'", entries)
    assert found[0] == ("yaml", "exact")
    assert {arm for _key, arm in found} == {"exact"}


def test_a_bare_exception_is_known_only_with_what_it_is_about(make_entry: Callable[..., Entry]) -> None:
    entries = [make_entry(id="port", errors=("KeyError: 'port'",))]
    assert asked("KeyError: 'port'", entries) == [("port", "exact")]
    assert asked("KeyError: 'colour'", entries) == []


UNMARKED = "The following paths are ignored by one of your .gitignore files:\npublic/build/main.css"


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("The following paths are ignored by one of your .gitignore files:\ndist/app.js\nUse -f to add them.", ["x"]),
        ("Use -f to add the following paths.", []),
        ("The following paths are read by your scripts:\ndist/app.js", []),
    ],
)
def test_a_text_that_no_mark_shows_to_be_an_error_is_known_by_all_its_lines(
    output: str, expected: list[str], make_entry: Callable[..., Entry]
) -> None:
    assert [key for key, _arm in asked(output, [make_entry(id="x", errors=(UNMARKED,))])] == expected


def test_half_of_such_a_text_is_no_evidence(make_entry: Callable[..., Entry]) -> None:
    entry = make_entry(id="x", errors=("Files=0, Tests=0,  0 wallclock secs ( 0.01 usr +  0.00 sys)\nResult: NOTESTS",))
    counts = "Files=3, Tests=14,  1 wallclock secs ( 0.11 usr +  0.02 sys)\n"
    assert asked(counts + "Result: PASS", [entry]) == []
    assert asked(counts + "Result: NOTESTS", [entry]) == [("x", "exact")]


def test_an_entry_with_an_error_text_of_its_own_is_not_answered_by_words(make_entry: Callable[..., Entry]) -> None:
    line, strong = "error: the basket is full of eels", {"x": 0.95}
    held = make_entry("eels in the basket", id="x", errors=("fatal: quite another thing",))
    assert supported(line, [held], strong, strong) == []
    assert supported(line, [make_entry("eels in the basket", id="x")], strong, strong) == [("x", "meaning")]


@pytest.mark.parametrize(
    ("words", "cosine", "arm"),
    [
        (0.9, 0.8, "words"),
        (0.5, 0.9, "meaning"),
        (0.3, 0.4, None),
        (0.0, 0.9, None),
        (0.99, None, "words"),
        (0.5, None, None),
    ],
)
def test_words_and_meaning_are_evidence_together(
    words: float, cosine: float | None, arm: str | None, make_entry: Callable[..., Entry]
) -> None:
    cosines = None if cosine is None else {"x": cosine}
    found = supported("error: the basket is full", [make_entry("Overflow", id="x")], {"x": words}, cosines)
    assert found == ([("x", arm)] if arm else [])


def test_who_does_not_stand_out_from_the_others_is_no_answer(make_entry: Callable[..., Entry]) -> None:
    entries = [make_entry(f"Note {i}", id=f"n{i}") for i in range(8)]
    line, one = "error: the basket is full", {"n0": 0.8}
    assert supported(line, entries, one, one) == [("n0", "meaning")]
    assert supported(line, entries, *[{entry.id: 0.8 for entry in entries}] * 2) == []


def test_a_warning_needs_more_evidence_than_an_error(make_entry: Callable[..., Entry]) -> None:
    entry, strength = make_entry("Overflow", id="x"), {"x": 0.6}
    assert supported("error: the basket is full", [entry], strength, strength) == [("x", "meaning")]
    assert supported("warning: the basket is full", [entry], strength, strength) == []


def test_a_title_that_was_printed_whole_is_evidence(make_entry: Callable[..., Entry]) -> None:
    entry = make_entry("remaining connection slots are reserved", id="x", errors=("ERROR: another text of it",))
    line = "FATAL: remaining connection slots are reserved for roles with the SUPERUSER attribute"
    assert supported(line, [entry], {"x": 0.1}, None) == [("x", "near")]


def test_nothing_is_asked_of_lines_without_fixed_words() -> None:
    assert question(["error: 12", "Error: /a/b", "fatal error"]).lines == ()
