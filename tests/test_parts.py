"""Where a text falls into parts, and which of them share a vector."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekall.config import DEFAULT_MODEL
from rekall.engine import MiniLM, load_engine
from rekall.parts import ITEM_TOKENS, PART_TOKENS, parts, shared
from rekall.worker import spawn_engine

SHEET = """# Git

- undo the last commit but keep the work: `git reset --soft HEAD~1`
- throw away the changes to a file, for good: `git checkout -- file`
* show who changed a line: `git blame -L 10,20 file`
  and when

1. Put the changes aside.

```sh
git stash

- no item
```
The end.
"""


def words(text: str) -> list[tuple[int, int]]:
    """Return the spans of words, as a tokenizer would."""
    return [match.span() for match in re.finditer(r"\w+|[^\w\s]", text)]


def test_paragraphs_items_and_code_blocks_are_parts_and_a_heading_belongs_to_what_follows():
    found = [(SHEET[start:end], is_item) for start, end, is_item in parts(SHEET)]
    assert [text.split("\n")[0] for text, _ in found] == [
        "# Git", "- throw away the changes to a file, for good: `git checkout -- file`",
        "* show who changed a line: `git blame -L 10,20 file`", "1. Put the changes aside.", "```sh",
    ]  # fmt: skip
    assert found[0][0].endswith("HEAD~1`") and found[2][0].endswith("and when")
    assert found[4][0].startswith("```sh\ngit stash\n\n- no item\n```")
    assert [is_item for _, is_item in found] == [True, True, True, True, False]


text = st.lists(
    st.sampled_from(["# T", "- item of a list", "two words", "", "```", "1) one", "word " * 80, "- " + "word " * 20])
).map("\n".join)


@given(text, st.integers(0, 20))
def test_every_word_behind_the_beginning_is_in_one_part_and_in_one_span(text: str, begin: int):
    begin = min(begin, len(text))
    found = parts(text, begin)
    assert "".join("".join(text[start:end].split()) for start, end, _ in found) == "".join(text[begin:].split())
    spans = shared(found, words(text))
    assert "".join("".join(text[start:end].split()) for start, end in spans) == "".join(text[begin:].split())
    assert len(spans) <= len(found)


def test_an_item_stands_alone_and_short_paragraphs_share():
    item, paragraph = "- " + "word " * ITEM_TOKENS, "word " * (PART_TOKENS // 2)
    items = "\n".join([item] * 5)
    assert len(shared(parts(items), words(items))) == 5
    paragraphs = "\n\n".join([paragraph] * 6)
    assert len(shared(parts(paragraphs), words(paragraphs))) == 3


@pytest.fixture(scope="module")
def engine() -> MiniLM:
    found = load_engine(DEFAULT_MODEL)
    assert isinstance(found, MiniLM)
    return found


@pytest.mark.parametrize(
    ("query", "word"),
    [("who edited this row", "blame"), ("discard edits of a file", "checkout"), ("revert a commit", "reset")],
)
def test_each_item_of_a_sheet_is_nearest_to_what_it_is_about(query: str, word: str, engine: MiniLM):
    spans = shared(parts(SHEET), words(SHEET))
    rows = engine.encode_document("Git", SHEET)
    best = int((rows @ engine.encode([query])[0]).argmax())
    assert len(rows) == len(spans) and word in SHEET[slice(*spans[best])]


def test_an_entry_of_one_thing_has_one_vector_and_a_title_is_not_said_twice(engine: MiniLM):
    assert (engine.encode_document("Undo a commit", "git reset") == engine.encode(["Undo a commit\ngit reset"])).all()
    assert (engine.encode_document("Undo", "Undo a commit") == engine.encode(["Undo a commit"])).all()


def test_the_models_own_process_gives_the_same_vectors(engine: MiniLM):
    there = spawn_engine(DEFAULT_MODEL)
    try:
        assert (there.encode_document("Git", SHEET) == engine.encode_document("Git", SHEET)).all()
    finally:
        there.close()
