"""What a user asks for: words, times, filters."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekall.db import Database
from rekall.errors import UsageError
from rekall.query import (
    MAX_TERMS,
    Filters,
    Typed,
    as_match,
    asked,
    both,
    compounds,
    parse_time,
    terms,
    type_in,
    typed,
    with_type,
)

MOMENT = datetime(2026, 11, 23, 8, 48, 0, tzinfo=UTC)
any_text = st.text(alphabet=st.characters(exclude_categories=()))


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the process live in Berlin: UTC+1, or UTC+2 in summer."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("C++", ["c", "cplusplus"]),
        ("can't", ["can", "t"]),
        ("foo-bar foo", ["foo", "bar"]),
        ('"', []),
        ("NEAR(a AND b)", ["near", "a", "and", "b"]),
        ("snake_case", ["snake", "case"]),
        ("getAllVectors", ["getallvectors", "get", "all", "vectors"]),
        ("a\x00b", ["a", "b"]),
        ("e\u0301te", ["éte"]),
        ("日本語 text", ["日本語", "text"]),
        ("ECONNREFUSED", ["econnrefused"]),
        ("10.0.0.1:5432", ["10", "0", "1", "5432"]),
    ],
)
def test_terms_table(text: str, words: list[str]):
    assert terms(text) == words


@given(any_text)
def test_terms_hold_letters_and_digits_only_each_once(text: str):
    found = terms(text)
    assert len(found) == len(set(found)) <= MAX_TERMS
    assert all(word and '"' not in word and "\x00" not in word for word in found)
    "".join(found).encode("utf-8")


def test_a_pasted_document_is_named_by_its_first_words():
    assert terms(" ".join(f"w{i}" for i in range(5000))) == [f"w{i}" for i in range(MAX_TERMS)]


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("30d", "2026-10-24T08:48:00"),
        ("2w", "2026-11-09T08:48:00"),
        ("6h", "2026-11-23T02:48:00"),
        ("90min", "2026-11-23T07:18:00"),
        (" 1 d ", "2026-11-22T08:48:00"),
        ("0d", "2026-11-23T08:48:00"),
        ("2026-11-01T12:00:00Z", "2026-11-01T12:00:00"),
        ("2026-11-01T12:00:00.999+02:00", "2026-11-01T10:00:00"),
    ],
)
def test_times_table(text: str, when: str):
    assert parse_time(text, MOMENT) == when


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("2026-11-01", "2026-10-31T23:00:00"),
        ("2026-07-01", "2026-06-30T22:00:00"),
        ("2026-07-01 12:00", "2026-07-01T10:00:00"),
        ("2026-07-01T12:00Z", "2026-07-01T12:00:00"),
    ],
)
def test_a_time_without_a_zone_is_local(berlin: None, text: str, when: str):
    assert parse_time(text) == when


def test_months_and_years_are_of_mean_length():
    year, month = (datetime.fromisoformat(parse_time(text, MOMENT) + "Z") for text in ("1y", "1m"))
    assert timedelta(days=365) < MOMENT - year < timedelta(days=366)
    assert timedelta(days=30) < MOMENT - month < timedelta(days=31)


@pytest.mark.parametrize(
    "text", ["", "yesterday", "d", "-3d", "3", "3x", "2026-13-01", "2026-02-30", "9999999d", "999999y"]
)
def test_a_time_that_is_none_says_what_would_be_one(text: str):
    with pytest.raises(UsageError, match="30d"):
        parse_time(text, MOMENT)


@given(st.datetimes(timezones=st.just(UTC)), st.datetimes(timezones=st.just(UTC)))
def test_times_compare_as_text_as_they_do_in_time(one: datetime, other: datetime):
    first, second = parse_time(one.isoformat()), parse_time(other.isoformat())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", first)
    if one.replace(microsecond=0) < other.replace(microsecond=0):
        assert first < second


def test_filters_are_true_when_they_narrow_anything():
    assert not Filters()
    assert all(
        [
            Filters(types=("bug",)),
            Filters(tags=("a",)),
            Filters(projects=("p",)),
            Filters(since="x"),
            Filters(until="x"),
            Filters(status="active"),
        ]
    )


NAMES = {"tag": {"git", "disk"}, "project": {"my shop", "shop"}}


@pytest.mark.parametrize(
    ("line", "words", "filters", "spans"),
    [
        ("", "", Filters(), ()),
        ("undo it", "undo it", Filters(), ()),
        ("type:bug undo", " undo", Filters(types=("bug",)), ((0, 8, True),)),
        ("undo tag:git", "undo ", Filters(tags=("git",)), ((5, 12, True),)),
        ("tag:git,disk x", " x", Filters(tags=("git", "disk")), ((0, 12, True),)),
        ("tag:git tag:disk", " ", Filters(tags=("git", "disk")), ((0, 7, True), (8, 16, True))),
        ('project:"my shop" a', " a", Filters(projects=("my shop",)), ((0, 17, True),)),
        ('project:"my sh', "", Filters(), ((0, 14, False),)),
        ("type:bu", "", Filters(), ((0, 7, False),)),
        ("type:", "", Filters(), ((0, 5, False),)),
        ("type:bug,nonsense x", "type:bug,nonsense x", Filters(), ((0, 17, False),)),
        ("tag:gi", "", Filters(), ((0, 6, False),)),
        ("since:30d", "", Filters(since="2026-10-24T08:48:00"), ((0, 9, True),)),
        ("since:3", "", Filters(), ((0, 7, False),)),
        ("since:30d since:2w", " ", Filters(since="2026-11-09T08:48:00"), ((0, 9, True), (10, 18, True))),
        ("until:2026-11-01", "", Filters(until="2026-11-01T00:00:00"), ((0, 16, True),)),
        ("http://type:bug a:b std::vec", "http://type:bug a:b std::vec", Filters(), ()),
        ("types:bug", "types:bug", Filters(), ()),
    ],
)  # fmt: skip
def test_a_line_is_taken_apart_as_it_is_typed(line: str, words: str, filters: Filters, spans: tuple) -> None:  # type: ignore[type-arg]
    assert typed(line, NAMES, MOMENT, UTC) == Typed(words, filters, spans)


def test_any_tag_will_do_while_it_is_not_known_which_there_are() -> None:
    assert typed("tag:any project:a").filters == Filters(tags=("any",), projects=("a",))


@given(any_text)
def test_no_line_is_an_error(line: str) -> None:
    found = typed(line)
    assert all(0 <= start < end <= len(line) for start, end, _holds in found.spans)


@pytest.mark.parametrize(
    ("line", "name", "expected", "then"),
    [
        ("", "bug", "type:bug ", "bug"),
        ("undo", "bug", "type:bug undo", "bug"),
        ("type:bug undo", "til", "type:til undo", "til"),
        ("undo type:bug now", "", "undo now", ""),
        ("type:bu undo", "til", "type:til undo", "til"),
        ("type:bug,til x", "", "x", ""),
    ],
)
def test_a_type_is_put_into_a_line_and_taken_out(line: str, name: str, expected: str, then: str) -> None:
    assert with_type(line, name) == expected
    assert type_in(expected) == then


# --- phrases, not:, names ---


@pytest.mark.parametrize(
    ("line", "words", "filters"),
    [
        ('"connection refused"', "connection refused", Filters(phrases=("connection refused",))),
        ('undo "last commit" now', "undo last commit now", Filters(phrases=("last commit",))),
        ('("a b"), "c".', "(a b), c.", Filters(phrases=("a b", "c"))),
        ('name="x y" a"b c"d', 'name="x y" a"b c"d', Filters()),
        ('"not closed', '"not closed', Filters()),
        ('"" "++" x', '"" ++ x', Filters()),
        ("not:docker net", " net", Filters(without=("docker",))),
        ('not:"docker compose" net', " net", Filters(without=("docker compose",))),
        ("not: x", "not: x", Filters()),
        ("not:++ x", "not:++ x", Filters()),
        ("-x --x -1 --no-verify", "-x --x -1 --no-verify", Filters()),
        ("NOT x AND y OR z", "NOT x AND y OR z", Filters()),
        ("type:bug tag:a,b project:p x", "   x", Filters(("bug",), ("a", "b"), ("p",))),
        ("type:nonsense x", "type:nonsense x", Filters()),
        ("since: x", "since: x", Filters()),
        ("since:30d x", " x", Filters(since="2026-10-24T08:48:00")),
        ("cannot:x http://type:bug", "cannot:x http://type:bug", Filters()),
    ],
)
def test_a_query_is_taken_apart(line: str, words: str, filters: Filters) -> None:
    found = asked(line, MOMENT, UTC)
    assert (found.words, found.filters) == (words, filters)


@pytest.mark.parametrize("line", ["since:yesterday x", "x until:2026-13-01", "since:3"])
def test_a_time_that_is_none_is_an_error_in_a_query_and_text_while_typing(line: str) -> None:
    with pytest.raises(UsageError, match="30d"):
        asked(line, MOMENT, UTC)
    assert typed(line, None, MOMENT, UTC).filters == Filters()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("since:yesterday x", "since:yesterday x"),
        ("x since:yesterday", "x "),
        ("type:nonsense x", "type:nonsense x"),
        ("tag:nowhere x", " x"),
        ('"disk full" x', "disk full x"),
        ("not:disk x", " x"),
    ],
)
def test_while_typing_what_is_wrong_is_text_once_it_is_finished(line: str, words: str) -> None:
    assert typed(line, NAMES, MOMENT, UTC).words == words


def test_a_pasted_document_of_filters_is_no_more_than_a_base_takes() -> None:
    words = [f"w{i}" for i in range(3000)]
    line = " ".join(f'"{word} x" not:{word}y tag:{word} project:{word} type:bug since:1d' for word in words)
    started = time.process_time()
    found = asked(line, MOMENT, UTC).filters
    assert time.process_time() - started < 2
    assert {len(values) for values in (found.tags, found.projects, found.phrases, found.without)} == {30}
    with Database(None) as database:
        assert database.search_words("x", 5, found).found == []
        assert database.newest(found, 5) == []
        long = Filters(phrases=(" ".join(words),), without=("C++ " * 500,))
        assert database.search_words("x", 5, long).found == []


@pytest.mark.parametrize(
    "text", ['"' * 100_000, '"a' * 50_000, '"a" ' * 25_000, "not:" * 25_000, 'not:"' * 20_000, "(" * 100_000]
)
def test_hostile_queries_are_taken_apart_in_time(text: str) -> None:
    started = time.process_time()
    typed(text)
    asked(text)
    assert time.process_time() - started < 2


@given(any_text)
def test_any_text_is_a_query_or_names_the_time_that_is_wrong(line: str) -> None:
    try:
        found = asked(line, MOMENT, UTC)
    except UsageError:
        assert "since:" in line or "until:" in line
    else:
        assert len(found.words) <= len(line)


@given(any_text)
def test_what_a_phrase_asks_fts5_is_words_between_quotes(text: str) -> None:
    assert re.fullmatch(r'("[^"]+"( AND "[^"]+")*)?', as_match(text))
    assert "\x00" not in as_match(text)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("git commit --no-verify", ["no verify"]),
        ("os.path.join(a, b)", ["os path join"]),
        ("max_open_files", ["max open files"]),
        ("std::unique_ptr at 10.0.0.1:5432", ["std unique ptr", "10 0 0 1 5432"]),
        ("getAllVectors C++ --force x", []),
        ("--a-b --a-b", ["a b"]),
        ("built-in 9-ball and/or for...in", []),
        ("create-react-app src/main.c /etc/hosts", ["create react app", "src main c", "etc hosts"]),
        ("/etc/nginx/nginx.conf", ["etc nginx nginx conf"]),
        (" ".join(f"a{i}.b" for i in range(20)), [f"a{i} b" for i in range(8)]),
    ],
)
def test_names_of_several_words_are_known_whole(text: str, names: list[str]) -> None:
    assert compounds(text) == names


def test_filters_of_two_places_add_up() -> None:
    one = Filters(types=("bug",), since="a", phrases=("x",))
    other = Filters(types=("til",), since="b", tags=("t",), without=("y",))
    assert both(one, other) == Filters(("bug", "til"), ("t",), since="b", phrases=("x",), without=("y",))
    assert both(one, Filters()) == both(Filters(), one) == one
