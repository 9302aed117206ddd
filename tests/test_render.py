"""How answers look: never wider than asked, never a control character."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekall.entry import Entry, Link
from rekall.explain import explanation
from rekall.protocol import Terminal
from rekall.ranking import Hit
from rekall.render import (
    age,
    answer_of,
    beginnings,
    code_block,
    entry_lines,
    entry_text,
    fitted,
    folded,
    hit_lines,
    hit_object,
    matched,
    plain,
    printed,
    snippet,
    tsv_line,
    width_of,
)

TTY = Terminal(width=40, output_is_tty=True, errors_are_tty=True, colour=True)
PIPE = Terminal(width=40)


@pytest.mark.parametrize(
    ("text", "width"),
    [
        ("", 0),
        ("abc", 3),
        ("é", 1),
        ("e\u0301", 1),
        ("日本", 4),
        ("ｈ", 2),
        ("💩", 2),
        ("a\u200db", 2),
        ("Ω…", 2),
        ("한", 2),
    ],
)
def test_width_is_in_columns(text: str, width: int) -> None:
    assert width_of(text) == width


@pytest.mark.parametrize(
    ("text", "width", "cut"),
    [
        ("abc", 3, "abc"), ("abcd", 3, "ab…"), ("abcd", 1, "…"), ("abcd", 0, ""), ("abcd", -5, ""), ("", 0, ""),
        ("日本語", 6, "日本語"), ("日本語", 5, "日本…"), ("日本語", 4, "日…"), ("e\u0301xyz", 3, "e\u0301x…"),
    ],
)  # fmt: skip
def test_a_text_is_cut_to_its_columns(text: str, width: int, cut: str) -> None:
    assert fitted(text, width) == cut


@given(st.text(), st.integers(-3, 30))
def test_what_is_fitted_fits(text: str, width: int) -> None:
    cut = fitted(text, width)
    assert width_of(cut) <= max(0, width)
    assert cut == text or text.startswith(cut.removesuffix("…"))


@given(st.text())
def test_plain_text_has_no_control_character(text: str) -> None:
    shown = plain(text)
    assert len(shown) == len(text)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown)
    assert [letter for letter in shown if letter in "\t\n"] == [letter for letter in text if letter in "\t\n"]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("", ""), ("no code", ""), ("```sh\nls\n```", "ls"), ("text\n\n```\na\n\nb\n```\nmore\n```\nc\n```", "a\n\nb"),
        ("~~~\nx\n~~~", "x"), ("````\n```\nin\n```\n````", "```\nin\n```"), ("```sh\nnever closed", ""),
        ("```\n```", ""), ("inline ```x``` only", ""), ("```a``` is a\n```\nb\n```", "b"), ("```\n  indented\n```", "  indented"),
        ("```sh\nls\n```  \n", "ls"),
    ],
)  # fmt: skip
def test_the_first_code_block_is_taken_out(content: str, code: str) -> None:
    assert code_block(content) == code


@pytest.mark.parametrize("line", ["```x\n", "````x\n", "~~~\n```\n", "`\n"])
def test_a_text_full_of_fences_is_read_quickly(line: str) -> None:
    started = time.process_time()
    code_block(line * 10_000 + "end")
    assert time.process_time() - started < 1


def test_the_answer_is_the_solution_else_code_else_content(make_entry: Callable[..., Entry]) -> None:
    content = "Some words.\n\n```sh\nls\n```\n"
    assert answer_of(make_entry(content=content, solution="do this")) == "do this"
    assert answer_of(make_entry(content=content)) == "ls"
    assert answer_of(make_entry(content="\nonly words\n")) == "only words"
    assert answer_of(make_entry()) == ""


def test_a_snippet_is_one_short_line(make_entry: Callable[..., Entry]) -> None:
    assert snippet(make_entry(content=" two\n\tlines ")) == "two lines"
    long = snippet(make_entry(content="word " * 100))
    assert len(long) <= 160 and long.endswith("…")


def test_lines_stand_in_columns(make_entry: Callable[..., Entry]) -> None:
    one, other = make_entry("first", id="a", type="bug"), make_entry("second", id="bcdef", type="reference")
    assert entry_lines([one, other], {"a": "a", "bcdef": "bcdef"}, PIPE) == [
        "a      bug        first",
        "bcdef  reference  second",
    ]
    assert entry_lines([], {}, PIPE) == []


def test_a_title_is_cut_on_a_terminal_and_whole_in_a_pipe(make_entry: Callable[..., Entry]) -> None:
    entry = make_entry("日本語 " * 20, id="a")
    [line] = entry_lines([entry], {"a": "a"}, TTY)
    assert width_of(re.sub("\x1b\\[[0-9;]*m", "", line)) <= 40 and "\x1b[" in line
    [line] = entry_lines([entry], {"a": "a"}, PIPE)
    assert "…" not in line and "\x1b" not in line


def test_the_best_hit_shows_its_answer(make_entry: Callable[..., Entry]) -> None:
    entries = {key: make_entry(f"title {key}", f"content {key}", id=key) for key in "ab"}
    hits = [Hit("a", 0.9, words=0.9, bm25=3.0), Hit("b", 0.1, meaning=0.1, cosine=0.2)]
    lines = hit_lines(hits, entries, {"a": "a", "b": "b"}, PIPE, explain=False)
    assert lines == ["a  til  title a", "    content a", "b  til  title b"]
    explained = hit_lines(hits, entries, {"a": "a", "b": "b"}, PIPE, explain=True)
    assert explained[1].strip() == explanation(hits[0]) and explained[-1].strip() == explanation(hits[1])


@pytest.mark.parametrize(
    ("hit", "parts"),
    [
        (
            Hit("x", 1.5, words=0.5, bm25=7.25, meaning=1.0, cosine=0.75),
            ["score 1.5", "words 0.5", "7.25", "meaning 1.0", "cosine 0.75"],
        ),
        (Hit("x", 0.5, words=0.5, bm25=7.25), ["words 0.5", "meaning not compared"]),
        (Hit("x", 0.75, meaning=0.75, cosine=0.75), ["no word matches", "cosine 0.75"]),
        (Hit("x", 0.0, cosine=0.25), ["cosine 0.25"]),
    ],
)
def test_every_part_of_a_score_is_named(hit: Hit, parts: list[str]) -> None:
    assert [part for part in parts if part not in explanation(hit)] == []


def test_a_hit_as_an_object_has_the_fields_promised(make_entry: Callable[..., Entry]) -> None:
    entry = make_entry("t", "c", id="a", tags=("x",), project="p")
    found = hit_object(Hit("a", 0.5, words=0.5, bm25=1.0), entry, explain=False)
    promised = {"id": "a", "type": "til", "title": "t", "tags": ["x"], "project": "p", "score": 0.5, "snippet": "c"}
    assert {name: found[name] for name in promised} == promised and "explain" not in found
    explained = hit_object(Hit("a", 0.5, words=0.5, bm25=1.0), entry, explain=True)["explain"]
    parts = {"words": 0.5, "bm25": 1.0, "meaning": None, "cosine": None}
    assert explained == {"arm": "words", "evidence": 0.5, **parts}


def test_a_tsv_line_has_four_fields_whatever_the_title(make_entry: Callable[..., Entry]) -> None:
    fields = tsv_line(Hit("a", 0.5), make_entry("a\ttitle \x1b[0m", id="a")).split("\t")
    assert fields == ["a", "til", "0.500000", "a title ␛[0m"]


def test_a_whole_entry_shows_every_field(make_entry: Callable[..., Entry]) -> None:
    fields = {
        "tags": ("one", "two"),
        "project": "shop",
        "files": ("a.c",),
        "source": "a book",
        "errors": ("E42", "E43"),
    }
    texts = {"situation": "then", "what_failed": "that", "solution": "this", "superseded_by": "other"}
    entry = make_entry("title", "content\n\nmore", id="a", status="obsolete", **fields, **texts)
    links = [(Link("a", "b", "related", "why"), make_entry("target", id="b")), (Link("c", "a", "contradicts"), None)]
    text = "\n".join(entry_text(entry, links, PIPE))
    for word in ("title", "til", "obsolete", "one, two", "shop", "a.c", "a book", "E42\nE43", "then", "that", "this",
                 "other", "content\n\nmore", "target", "why", "(b)", "(c)"):  # fmt: skip
        assert word in text
    assert "\x1b" not in text
    assert "\x1b[1mtitle" in "\n".join(entry_text(entry, links, TTY))


# --- what the picker prints, and points at ---

FENCED = "Do it:\n\n```sh\ndu -sh\n```\n"


@pytest.mark.parametrize(
    ("fields", "what", "expected"),
    [
        ({"content": FENCED, "solution": "look"}, "answer", "du -sh"),
        ({"content": FENCED, "solution": "```\ndf\n```"}, "answer", "df"),
        ({"content": "text\n", "solution": "look"}, "answer", "look"),
        ({"content": "text\n"}, "answer", "text"),
        ({}, "answer", "a title"),
        ({"content": FENCED, "solution": "look"}, "command", "du -sh"),
        ({"content": "text", "solution": "look"}, "command", "look"),
        ({"content": FENCED, "solution": "look"}, "solution", "look"),
        ({"content": FENCED}, "solution", "du -sh"),
        ({"content": FENCED, "solution": "look"}, "content", FENCED.strip("\n")),
        ({"solution": "look"}, "content", "look"),
        ({"content": FENCED}, "title", "a title"),
        ({"id": "x1"}, "id", "x1"),
    ],
)
def test_what_is_printed_of_an_entry(
    fields: dict[str, str], what: str, expected: str, make_entry: Callable[..., Entry]
) -> None:
    assert printed(make_entry("a title", **fields), what) == expected


def test_an_entry_is_printed_whole_on_a_line(make_entry: Callable[..., Entry]) -> None:
    line = printed(make_entry("é\x1b", "a\nb", id="x"), "json")
    assert "\n" not in line and "\x1b" not in line and '"title": "é' in line


@pytest.mark.parametrize(
    ("text", "query", "shown"),
    [
        ("Undo the last commit", "undo commits", "[Undo] the last [commit]"),
        ("undoing", "undo", "[undoing]"),
        ("Undo", "undoing", "[Undo]"),
        ("libraries", "library", "[libraries]"),
        ("commitment issues", "com", "[com]mitment issues"),
        ("Déjà vu", "deja", "[Déjà] vu"),
        ("deja vu", "DÉJÀ", "[deja] vu"),
        ("recommit", "commit", "recommit"),
        ("a b", "a", "a b"),  # one letter points at nothing
        ("Größe İstanbul ﬁne", "größe", "[Größe] İstanbul ﬁne"),
        ("目录大小", "目录", "[目录大小]"),
        ("", "x", ""),
    ],
)
def test_what_matched_is_pointed_at(text: str, query: str, shown: str) -> None:
    for start, end in reversed(matched(text, beginnings(query))):
        text = f"{text[:start]}[{text[start:end]}]{text[end:]}"
    assert text == shown


@given(st.text())
def test_folding_keeps_every_letter_in_its_place(text: str) -> None:
    assert len(folded(text)) == len(text)


@pytest.mark.parametrize(
    ("stamp", "expected"),
    [
        ("2026-11-23T08:47:30.000Z", "30s"),
        ("2026-11-23T08:00:00Z", "48m"),
        ("2026-11-23T00:00:00Z", "8h"),
        ("2026-11-01T00:00:00Z", "22d"),
        ("2026-01-01T00:00:00Z", "10mo"),
        ("2019-01-01T00:00:00Z", "7y"),
        ("2030-01-01T00:00:00Z", "0s"),
        ("some day", ""),
        ("", ""),
    ],
)
def test_an_age_takes_four_columns(stamp: str, expected: str) -> None:
    moment = 1795423680.0  # 2026-11-23T08:48:00Z
    assert age(stamp, moment) == expected
    assert len(expected) <= 4
