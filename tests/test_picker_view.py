"""What the picker shows, as tables: sizes in, lines out; and a sheet's cells, which are never wider than asked."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompt_toolkit.utils import get_cwidth

from rekall.entry import Entry
from rekall.picker_view import (
    Areas,
    Status,
    areas,
    entry_line,
    help_lines,
    list_lines,
    rows_wanted,
    status_line,
    types_line,
)
from rekall.preview import MOST_LINES, Preview, blocks_of, coloured, preview_lines
from rekall.sheet import AT, Line, cells

NOW = 1795423680.0  # 2026-11-23T08:48:00Z
any_line = st.lists(st.tuples(st.sampled_from(["", "bold", "dim"]), st.text(max_size=20)), max_size=6).map(tuple)


def text_of(line: Line, columns: int = 200) -> str:
    found = cells(line, columns)
    return "".join(found[column].char for column in sorted(found)).rstrip()


@pytest.mark.parametrize(
    ("height", "rows", "expected"),
    [("40%", 24, 9), ("40%", 50, 20), ("40%", 12, 6), ("40%", 5, 5), ("100%", 24, 24), ("12", 24, 12), ("99", 24, 24), ("1", 24, 6), ("40%", 1, 1), ("1000%", 10, 10)],
)  # fmt: skip
def test_how_high_it_is(height: str, rows: int, expected: int) -> None:
    assert rows_wanted(height, rows) == expected


@pytest.mark.parametrize(
    ("size", "wants", "where"),
    [((100, 10), None, "beside"), ((76, 5), None, "beside"), ((75, 8), None, ""), ((60, 20), None, "below"),
     ((60, 8), True, "alone"), ((20, 4), True, "alone"), ((20, 4), None, ""), ((100, 10), False, ""), ((100, 0), True, "")],
)  # fmt: skip
def test_where_the_preview_is(size: tuple[int, int], wants: bool | None, where: str) -> None:
    shared = areas(*size, wants)
    assert shared.preview == where
    assert shared.rows + (shared.preview_rows + 1 if where == "below" else 0) <= max(0, size[1])


@given(st.integers(1, 400), st.integers(0, 100), st.sampled_from([None, True, False]))
def test_no_size_gives_an_area_below_nothing(columns: int, rows: int, wants: bool | None) -> None:
    shared = areas(columns, rows, wants)
    assert min(shared.columns, shared.rows, shared.preview_columns, shared.preview_rows) >= 0
    assert isinstance(shared, Areas)


@given(any_line, st.integers(0, 30))
def test_cells_are_no_wider_than_asked(line: Line, columns: int) -> None:
    found = cells(line, columns)
    assert sorted(found) == list(range(len(found)))
    assert len(found) <= columns
    assert sum(get_cwidth(cell.char) for cell in found.values()) == len(found)


@pytest.mark.parametrize(
    ("line", "columns", "expected"),
    [
        ((("", "abc"), (AT, "5"), ("", "x")), 10, "abc  x"),
        ((("", "abcdef"), (AT, "3"), ("", "x")), 10, "abcx"),
        ((("", "目录大"), (AT, "3"), ("", "x")), 10, "目 x"),  # half a wide letter is none
        ((("", "e\u0301e"),), 10, "e\u0301e"),
        ((("", "\u0301x"),), 10, "x"),
        ((("", "目\u0301"),), 10, "目\u0301"),
        ((("", "a\u200db\ufe0f"),), 10, "ab"),
        ((("", "目录"),), 3, "目"),
    ],
)
def test_cells(line: Line, columns: int, expected: str) -> None:
    assert text_of(line, columns) == expected


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (20, "▌ The disk is full"),
        (36, "▌ bug       The disk is full"),
        (50, "▌ bug       The disk is full                   22d"),
        (80, "▌ bug       The disk is full                                shop #disk #git  22d"),
        (12, "▌ The disk …"),
        (1, "▌"),
    ],
)
def test_an_entry_as_a_line(columns: int, expected: str, make_entry: Callable[..., Entry]) -> None:
    entry = make_entry("The disk is full", type="bug", project="shop", tags=("disk", "git"), created_at="2026-11-01T00:00:00Z")  # fmt: skip
    assert text_of(entry_line(entry, columns, (), NOW, True, False), columns) == expected


def test_an_obsolete_entry_is_marked_where_there_is_room(make_entry: Callable[..., Entry]) -> None:
    entry = make_entry("The old way to do it", id="old", status="obsolete", tags=("git",), created_at="2026-11-01T00:00:00Z")  # fmt: skip
    (line,) = list_lines([entry], 1, (), 80, "", NOW, {"old": ("new", "The new way")})
    assert text_of(line, 80) == "  til       The old way to do it  (obsolete → new The new way)               22d"
    (line,) = list_lines([entry], 1, (), 45, "", NOW, {"old": ("new", "The new way")})
    assert text_of(line, 45) == "  til       The old way…  (obsolete → n…  22d"
    (line,) = list_lines([entry], 1, (), 20, "", NOW, {})
    assert text_of(line, 20) == "  The old way to do…"
    (line,) = list_lines([entry], 1, (), 80, "old", NOW, {})
    assert "The old way to do it  (obsolete)" in text_of(line, 80)
    shown = list(preview_lines(entry, 80, (), {}, {"old": ("new", "The new way")}))
    assert "til · (obsolete → new The new way) · #git" in text_of(shown[1], 80)


def test_a_word_that_the_title_has_not_is_shown_where_it_stands(make_entry: Callable[..., Entry]) -> None:
    entry = make_entry("A title", "first line\nhere is the solution of everything that matters to anybody at all")
    line = entry_line(entry, 70, ("solut",), NOW, False, False)
    assert "…is the solution of" in text_of(line, 70) or "the solution of" in text_of(line, 70)
    assert ("dim class:match", "solution") in line


@given(st.text(max_size=60), st.integers(1, 120), st.booleans(), st.booleans())
def test_no_title_breaks_a_line(title: str, columns: int, is_here: bool, is_marked: bool) -> None:
    entry = Entry(id="x", type="til", title=title, content=title, tags=(title,), project=title)
    line = entry_line(entry, columns, ("a", "th"), NOW, is_here, is_marked)
    assert not any(unicodedata.category(letter) == "Cc" for _style, part in line for letter in part)


@pytest.mark.parametrize(
    ("status", "columns", "expected"),
    [
        (Status(3, 10, "both", 0.0042), 60, " 3/10 · words and meaning · 4 ms"),
        (Status(3, 10, "words", 0.0042, 2), 60, " 3/10 · 2 marked · words only · 4 ms"),
        (Status(3, 10, "", 0.0), 12, " 3/10"),
        (Status(3, 10, "both", 0.0, notice="1 copied"), 60, " 1 copied"),
        (Status(3, 10, "both", 0.0, problem="the base is\nlocked"), 60, " the base is locked"),
    ],
)
def test_the_status(status: Status, columns: int, expected: str) -> None:
    assert text_of(status_line(status, columns), columns).removesuffix("? help").rstrip() == expected


def test_the_choice_of_types_and_the_help_name_what_there_is() -> None:
    assert "1 bug" in text_of(types_line(()))
    assert ("reverse", "til") in types_line(("til",))
    assert any("type:bug" in text_of(line) for line in help_lines(80))
    assert any("type:bug" in text_of(line) for line in help_lines(20))


# --- the preview ---


def lines_of(entry: Entry, columns: int = 40, begins: tuple[str, ...] = ()) -> list[str]:
    return [text_of(line) for line in preview_lines(entry, columns, begins, {})]


def test_a_preview_shows_all_of_an_entry(make_entry: Callable[..., Entry]) -> None:
    entry = make_entry("A title", "# Head\n\ntext `code` \x1b[31m\n\n```sh\n\tdu -sh\n```\nend", id="x1", situation="here",
                       errors=("E1",), solution="do it", what_failed="that", tags=("a",), project="p")  # fmt: skip
    assert lines_of(entry) == [
        "A title", "til · p · #a · 2026-01-02 · x1", "", "situation:", "here", "", "errors:", "E1", "", "what failed:", "that",
        "", "solution:", "do it", "", "Head", "", "text `code` ␛[31m", "", "      du -sh", "end",
    ]  # fmt: skip


def test_long_lines_are_wrapped_at_blanks_and_keep_their_indent(make_entry: Callable[..., Entry]) -> None:
    entry = make_entry(
        "t", "one two three four five six\n    and indented ones as well\n" + "x" * 25 + "\n目录大小目录大小"
    )
    assert lines_of(entry, 12)[-10:] == [
        "one two", "three four", "five six", "    and", "    indented", "    ones as", "    well", "x" * 12, "x" * 12, "x",
    ] or lines_of(entry, 12)[-12:-2] == [
        "one two", "three four", "five six", "    and", "    indented", "    ones as", "    well", "x" * 12, "x" * 12, "x",
    ]  # fmt: skip


@given(st.text(max_size=300), st.integers(1, 60))
def test_no_text_breaks_a_preview(text: str, columns: int) -> None:
    entry = Entry(id="x", type="til", title=text, content=text, solution=f"```\n{text}")
    for line in islice(preview_lines(entry, columns, ("a",), {}), 400):
        assert not any(unicodedata.category(letter) == "Cc" for _style, part in line for letter in part)


def test_a_preview_makes_no_more_than_is_seen(make_entry: Callable[..., Entry]) -> None:
    entry = make_entry("t", "\n".join(f"line {n}" for n in range(5000)))
    made = 0

    def counted() -> object:
        nonlocal made
        for line in preview_lines(entry, 40, (), {}):
            made += 1
            yield line

    preview = Preview(counted())  # type: ignore[arg-type]  # an iterator
    assert len(preview.seen(10)) == 10
    assert made == 10
    preview.scroll(5, 10)
    assert text_of(preview.seen(10)[0]) == "line 2"
    preview.scroll(10_000, 10)
    assert made <= MOST_LINES + 5
    preview.scroll(-20_000, 10)
    assert preview.top == 0


def test_code_is_coloured_in_its_language(make_entry: Callable[..., Entry]) -> None:
    entry = make_entry("t", "```python\ndef f():\n    return 'x'\n```\n~~~\nplain\n~~~\n```nosuch\na b\n```")
    blocks = blocks_of(entry)
    assert blocks == [("python", "def f():\n    return 'x'"), ("nosuch", "a b")]
    lines = coloured(blocks[0])
    assert ["".join(text for _style, text in line) for line in lines] == ["def f():", "    return 'x'"]
    assert ("fg:ansiblue", "def") in lines[0]
    assert coloured(blocks[1]) == [(("", "a b"),)]
    shown = list(preview_lines(entry, 40, (), {blocks[0]: lines}))
    assert any(("fg:ansiblue", "def") in line for line in shown)


def test_a_lexer_that_fails_costs_the_colours_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pygments.lexers.get_lexer_by_name", lambda *_, **_options: 1 / 0)
    assert coloured(("python", "a\nb")) == [(("", "a"),), (("", "b"),)]
