"""Between Markdown and an Entry, there and back."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any  # fields of records

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekall.capture import edited, new_entry, read_markdown, split_tags, to_markdown
from rekall.entry import TYPES, Entry, clean_text, one_line
from rekall.errors import InvalidEntry

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60).map(clean_text)
LINE = TEXT.map(one_line)
# Texts that YAML could take for something else, or that break its lines.
HARD = st.sampled_from(
    ["", "null", "~", "yes", "1e3", "0x1f", "2024-01-02", "12:30", "- a", "a: b", "# c", "'", '"', "{", "[x", "*a",
     "&a", "!t", "---", "...", "%TAG", "\t", " x ", "x\n", "\nx", "a\n\n\nb", "a\n---\nb", "\x85", "\u2028",
     "\x1b[0m", "\ufeffx", "a\rb"]
)  # fmt: skip
WORDS = st.one_of(TEXT, HARD)


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("a,b", ("a", "b")),
        (" a , ,b,a ", ("a", "b")),
        ("", ()),
        (",", ()),
        ("two words", ("two words",)),
        ("a\nb", ("a b",)),
    ],
)
def test_tags_are_what_stands_between_commas(text: str, tags: tuple[str, ...]) -> None:
    assert split_tags(text) == tags


@pytest.mark.parametrize(
    ("text", "record"),
    [
        ("", {"content": ""}),
        ("just text\n", {"content": "just text"}),
        ("# Title\n\ntext\n\n", {"title": "Title", "content": "text"}),
        ("\n\n# Title ##\ntext", {"title": "Title", "content": "text"}),
        ("# C#\ntext", {"title": "C#", "content": "text"}),
        ("#hashtag\ntext", {"content": "#hashtag\ntext"}),
        ("## Second\ntext", {"content": "## Second\ntext"}),
        ("---\ntitle: T\n---\n# Heading\n", {"title": "T", "content": "# Heading"}),
        ("---\ntitle:\n---\n# Heading\n", {"title": "Heading", "content": ""}),
        ("---\ntype: bug\n...\ntext", {"type": "bug", "content": "text"}),
        ("---\r\ntype: bug\r\n---\r\ntext", {"type": "bug", "content": "text"}),
        ("\ufeff---\ntype: bug\n---\ntext", {"type": "bug", "content": "text"}),
        ("---\n# only a comment\n---\ntext", {"content": "text"}),
        ("text\n---\ntype: bug\n---\n", {"content": "text\n---\ntype: bug\n---"}),
        ("---\nno end", {"content": "---\nno end"}),
        ("---\ndate: 2024-01-02 03:04:05\n---\n", {"created_at": "2024-01-02T03:04:05", "content": ""}),
        ("---\ntags: [a, b c]\n---\n", {"tags": ["a", "b c"], "content": ""}),
        ("---\nTags: a b\n---\n", {"tags": ["a", "b"], "content": ""}),
        ("---\ncreated: 2024-01-01\ncreated_at: 2024-01-02\n---\n", {"created_at": "2024-01-02", "content": ""}),
        ("---\ntitle: 12\nmine: {a: 2024-01-01}\n---\n", {"title": "12", "mine": {"a": "2024-01-01"}, "content": ""}),
    ],
)
def test_a_markdown_note_is_read_field_by_field(text: str, record: dict[str, Any]) -> None:
    assert read_markdown(text) == record


@pytest.mark.parametrize(
    "front", ["[a", "- a", "text", "a: b: c", "\tx: y", "!!python/object:os.system {}", "&a [*a]", "a: *b"]
)
def test_front_matter_that_is_no_object_is_refused_in_one_line(front: str) -> None:
    with pytest.raises(InvalidEntry) as caught:
        read_markdown(f"---\n{front}\n---\ntext")
    assert "front matter" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("filler", [" ", "\t", "#", " #", "# "])
def test_a_heading_is_found_in_linear_time(filler: str) -> None:
    started = time.process_time()
    read_markdown("# a" + filler * 1500 + "b\ntext")
    assert time.process_time() - started < 1


@pytest.mark.timeout(20)
def test_front_matter_that_doubles_itself_does_not_fill_the_memory() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 8)]
    with pytest.raises(InvalidEntry):  # 9^8 items
        new_entry(read_markdown("---\n" + "\n".join(lines) + "\n---\ntext"))


ENTRIES = st.builds(
    Entry,
    id=st.just("id"),
    type=st.sampled_from(TYPES),
    title=st.one_of(LINE, HARD.map(one_line)).filter(bool),
    content=WORDS.map(lambda text: text.strip("\r\n")),
    tags=st.lists(LINE.map(lambda text: text.replace(",", " ").strip()).filter(bool), max_size=3, unique=True).map(
        tuple
    ),
    project=st.one_of(st.none(), LINE.filter(bool)),
    status=st.sampled_from(["active", "obsolete"]),
    situation=WORDS,
    solution=WORDS,
    what_failed=WORDS,
    errors=st.lists(WORDS.filter(str.strip), max_size=3, unique=True).map(tuple),
    files=st.lists(LINE.filter(str.strip), max_size=2, unique=True).map(tuple),
    source=st.one_of(st.none(), WORDS.filter(bool)),
    created_at=st.just("2026-01-02T03:04:05.678Z"),
    updated_at=st.sampled_from(["2026-01-02", "2026-01-02T03:04:05", "2026-01-03T03:04:05.678Z"]),
    revision=st.integers(1, 9),
    extra=st.dictionaries(
        LINE, st.one_of(WORDS, st.none(), st.booleans(), st.integers(-9, 9), st.just([1.5, "x"])), max_size=2
    ),
)


@given(ENTRIES)
def test_a_whole_entry_survives_markdown(entry: Entry) -> None:
    assert new_entry(read_markdown(to_markdown(entry, whole=True))) == entry


@given(ENTRIES)
def test_an_editor_that_changes_nothing_changes_nothing(entry: Entry) -> None:
    record = read_markdown(to_markdown(entry))
    emptied = {
        name: getattr(Entry(id="x", type="til", title="x"), name)
        for name in ("content", "situation", "solution", "what_failed")
    }
    emptied |= {"tags": [], "errors": [], "files": [], "project": None, "source": None, "superseded_by": None}
    assert edited(entry, {**emptied, **record}) is entry


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_is_a_note_or_is_refused(text: str) -> None:
    for note in (text, f"---\n{text}\n---\n", f"---\ntitle: {text}\n---\nx"):
        try:
            record = read_markdown(note)
        except InvalidEntry:
            continue
        assert isinstance(record["content"], str)


def test_an_edit_moves_the_time_on_and_nothing_else(make_entry: Callable[..., Entry]) -> None:
    entry = make_entry("title", "content", tags=("a",), extra={"k": 1})
    changed = edited(entry, {"title": "other"})
    assert replace(changed, title="title", updated_at=entry.updated_at) == entry
    assert changed.updated_at > entry.updated_at
    assert edited(entry, {"title": "title", "tags": ["a"]}) is entry
    assert edited(entry, {"tags": []}).tags == ()
    with pytest.raises(InvalidEntry):
        edited(entry, {"type": "thought"})


def test_a_new_entry_is_checked_at_the_door() -> None:
    made = new_entry({"type": "bug", "title": "  a\ttitle ", "errors": "E1", "project": None})
    assert (made.title, made.errors, made.project, made.revision) == ("a title", ("E1",), None, 1)
    assert made.created_at == made.updated_at != ""
    for fields in ({"type": "thought", "title": "x"}, {"type": "til"}, {"title": "x", "tags": ["a,b"]}):
        with pytest.raises(InvalidEntry):
            new_entry(fields)
