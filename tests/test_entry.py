"""The nouns: what an Entry may hold, how it becomes a record and back, and what text is cleaned of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any  # JSON values

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rekall.entry import (
    Entry,
    checked,
    clean_text,
    first_line,
    from_record,
    identifier_parts,
    is_id,
    keywords,
    new_id,
    now,
    one_line,
    to_record,
)
from rekall.errors import InvalidEntry
from rekall.query import parse_time

MakeEntry = Callable[..., Entry]
any_text = st.text(alphabet=st.characters(exclude_categories=()))  # lone surrogates and NUL included
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


# --- ids and times ---


def test_a_new_id_is_26_letters_that_may_stand_as_an_id():
    assert len(new_id()) == 26
    assert is_id(new_id())
    assert set(new_id()) <= set("0123456789ABCDEFGHJKMNPQRSTVWXYZ")


@given(st.integers(0, 2**48 - 1), st.integers(0, 2**48 - 1))
def test_ids_sort_by_their_time(one: int, other: int):
    if one != other:
        assert (new_id(one) < new_id(other)) == (one < other)


def test_ids_of_one_millisecond_differ():
    assert len({new_id(1) for _ in range(1000)}) == 1000


def test_the_time_part_follows_the_ulid_specification():
    assert new_id(1469918176385)[:10] == "01ARYZ6S41"  # the example of the specification's README


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("a", True),
        ("A-b_9", True),
        ("x" * 64, True),
        ("x" * 65, False),
        ("", False),
        ("a b", False),
        ("é", False),
        ("a\n", False),
        ("a/b", False),
        ("a:b", False),
    ],
)
def test_what_may_stand_as_an_id(text: str, fits: bool):
    assert is_id(text) is fits


def test_now_compares_as_text_with_a_parsed_time():
    stamp = now()
    assert stamp.endswith("Z")
    assert len(stamp) == len("2026-11-23T08:48:00.123Z")
    assert parse_time("1d") < stamp[:19] <= parse_time("0d")


# --- text ---


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("plain", "plain"),
        ("a\x00b", "a\ufffdb"),
        ("a\r\nb\r\n", "a\nb\n"),
        ("a\rb", "a\rb"),
        ("\udc80x", "\ufffdx"),
        ("x\ud83d", "x\ufffd"),
        ("\ud83d\ude00", "\U0001f600"),
        ("é\u0301", "é\u0301"),
    ],
)
def test_clean_text_table(text: str, clean: str):
    assert clean_text(text) == clean


@given(any_text)
@example("\r\r\n")  # as Windows programs print it through a pipe
def test_clean_text_can_be_stored_and_stays_as_it_is(text: str):
    clean = clean_text(text)
    clean.encode("utf-8")
    assert "\x00" not in clean
    assert "\r\n" not in clean
    assert clean_text(clean) == clean  # else an export imported again would differ


@given(st.text(alphabet=st.sampled_from("ab\ud800\udc80é")))
def test_clean_text_keeps_every_character_that_is_one(text: str):
    assert [c for c in clean_text(text) if c in "abé"] == [c for c in text if c in "abé"]


@given(any_text)
def test_one_line_is_one_line(text: str):
    line = one_line(text)
    assert len(line.splitlines()) <= 1
    assert line == line.strip()
    assert "\t" not in line
    assert one_line(line) == line


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("", ""),
        ("\n\n  \n", ""),
        ("# Heading\nrest", "Heading"),
        ("\n  ### Deep \n", "Deep"),
        ("#\nnext", "next"),
        ("plain\nrest", "plain"),
    ],
)
def test_first_line_table(text: str, first: str):
    assert first_line(text) == first


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("getAllVectors", "get All Vectors"),
        ("parseHTTPResponse", "parse HTTP Response"),
        ("useState and useEffect", "use State Effect"),
        ("snake_case", ""),
        ("ECONNREFUSED", ""),
        ("Plain words Only", ""),
        ("utf8Decode", "utf 8 Decode"),
        ("", ""),
    ],
)
def test_the_words_inside_camel_case_names(text: str, parts: str):
    assert identifier_parts(text) == parts


def test_keywords_hold_name_parts_of_every_text_field_and_the_trigger_keywords(make_entry: MakeEntry):
    entry = make_entry(
        "fooBar",
        "quxQuux",
        solution="useMemo",
        errors=("typeError",),
        extra={"trigger_keywords": ["go", 7, "kw116"]},
    )
    words = set(keywords(entry).split())
    assert {"foo", "Bar", "qux", "Quux", "use", "Memo", "type", "Error", "go", "kw116"} <= words
    assert "7" not in words


# --- records ---


@given(
    title=st.text(min_size=1).map(one_line).filter(bool),
    texts=st.lists(st.text().map(clean_text).map(clean_text), min_size=4, max_size=4),
    tags=st.lists(st.from_regex(r"[a-zé0-9-]{1,8}", fullmatch=True), unique=True, max_size=3),
    errors=st.lists(st.text().map(clean_text).map(clean_text).filter(str.strip), unique=True, max_size=3),
    extra=st.dictionaries(st.text(), json_values, max_size=3),
)
def test_a_record_gives_its_entry_back(
    title: str, texts: list[str], tags: list[str], errors: list[str], extra: dict[str, Any]
):
    content, situation, solution, what_failed = texts
    entry = Entry(
        id=new_id(),
        type="bug",
        title=title,
        content=content,
        situation=situation,
        solution=solution,
        what_failed=what_failed,
        tags=tuple(tags),
        errors=tuple(errors),
        created_at=now(),
        updated_at=now(),
        extra=extra,
        revision=3,
    )
    assert from_record(to_record(entry)) == entry


def test_a_bare_record_becomes_an_entry():
    entry = from_record({"content": "\n## How to\nmore"})
    assert (entry.title, entry.type, entry.status, entry.revision) == ("How to", "til", "active", 1)
    assert is_id(entry.id)
    assert entry.created_at == entry.updated_at <= now()


def test_a_record_without_title_takes_one_from_whatever_text_it_has():
    assert from_record({"errors": ["ENOENT: no such file"]}).title == "ENOENT: no such file"
    assert from_record({"solution": "x" * 500}).title == "x" * 200


def test_an_unknown_key_lives_on_in_extra_and_links_do_not():
    entry = from_record({"title": "t", "colour": "red", "extra": {"a": 1}, "links": []})
    assert entry.extra == {"a": 1, "colour": "red"}


def test_a_kept_id_and_its_time_stay_as_written():
    entry = from_record({"id": "my-note_1", "title": "t", "created_at": "2020-01-01 10:00"})
    assert (entry.id, entry.created_at, entry.updated_at) == ("my-note_1", "2020-01-01 10:00", "2020-01-01 10:00")


def test_tags_are_stripped_and_come_once_errors_keep_their_blanks():
    entry = from_record({"title": "t", "tags": [" a", "a", "", "b"], "errors": ["  at x", " "]})
    assert entry.tags == ("a", "b")
    assert entry.errors == ("  at x",)


@pytest.mark.parametrize(
    ("record", "field"),
    [
        ({"title": ""}, "title"),
        ({"title": 7}, "title"),
        ({"title": "t", "id": "no blanks"}, "id"),
        ({"title": "t", "id": "x" * 65}, "id"),
        ({"title": "t", "type": "note"}, "type"),
        ({"title": "t", "status": "gone"}, "status"),
        ({"title": "t", "tags": ["a,b"]}, "tag"),
        ({"title": "t", "tags": ["a\nb"]}, "tag"),
        ({"title": "t", "tags": {"a": 1}}, "tags"),
        ({"title": "t", "errors": [["x"]]}, "errors"),
        ({"title": "t", "extra": []}, "extra"),
        ({"title": "t", "extra": {"x": float("nan")}}, "extra"),
        ({"title": "t", "revision": 0}, "revision"),
        ({"title": "t", "revision": "2"}, "revision"),
        ({"title": "t", "revision": 2**63}, "revision"),  # SQLite could not hold it
        ({"title": "t", "content": ["x"]}, "content"),
    ],
)
def test_a_record_with_a_wrong_value_is_refused_by_name(record: dict[str, Any], field: str):
    with pytest.raises(InvalidEntry, match=field):
        from_record(record)


@pytest.mark.parametrize("tag", ["", " a", "a ", "a,b", "a\nb"])
def test_checked_refuses_a_tag_that_could_not_be_typed(make_entry: MakeEntry, tag: str):
    with pytest.raises(InvalidEntry, match="tag"):
        checked(make_entry(tags=(tag,)))


def test_checked_gives_a_sound_entry_back(make_entry: MakeEntry):
    entry = make_entry(tags=("a b", "c++", "é"))
    assert checked(entry) is entry


def test_the_body_holds_every_text_but_the_title(make_entry: MakeEntry):
    entry = make_entry("T", "C", situation="S", solution="L", what_failed="W", errors=("E1", "E2"))
    assert entry.body().split("\n\n") == ["S", "E1", "E2", "C", "W", "L"]
    assert replace(entry, content="", situation="", solution="", what_failed="", errors=()).body() == ""
