"""From text to vectors: the real model, and passages that lose no token."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rekall.engine import TITLE_TOKENS, MiniLM, load_engine, passages
from rekall.errors import ModelUnavailable
from rekall.vectors import Matrix

NOTES = Path(__file__).parent.parent / "demo" / "notes"
TEXTS = ["the disk is full", "no space left on device", "how to bake bread", "", "日本語", "x" * 3000, "a\nb\tc"]


@pytest.fixture(scope="module")
def engine() -> Iterator[MiniLM]:
    loaded = load_engine("all-MiniLM-L6-v2")
    assert isinstance(loaded, MiniLM)
    yield loaded


def tokens(engine: MiniLM, text: str) -> list[int]:
    return list(engine._tokenizer.encode(text, add_special_tokens=False).ids)


def words_of(engine: MiniLM, text: str) -> str:
    """Return the letters of `text` as the model reads them, however its words are cut."""
    pieces = engine._tokenizer.encode(text, add_special_tokens=False).tokens
    return "".join(piece.removeprefix("##") for piece in pieces)


def bodies(engine: MiniLM, title: str, cut: list[str]) -> list[str]:
    """Return the pieces of the body; each passage must stand under the title, or a head of it."""
    assert cut
    head = cut[0].split("\n")[0]
    assert title.startswith(head) and all(text == head or text.startswith(head + "\n") for text in cut)
    return [text[len(head) + 1 :] for text in cut]


# --- vectors ---


def test_a_vector_has_unit_length_and_the_dimensions_promised(engine: MiniLM) -> None:
    rows = engine.encode(TEXTS)
    assert (rows.shape, rows.dtype, engine.dimensions, engine.max_tokens) == ((len(TEXTS), 384), np.float32, 384, 256)
    assert np.isfinite(rows).all()
    assert np.abs(np.linalg.norm(rows.astype(np.float64), axis=1) - 1).max() < 1e-5
    assert engine.encode([]).shape == (0, 384)


def test_a_text_has_one_vector_whatever_stands_beside_it(engine: MiniLM) -> None:
    rows = engine.encode(TEXTS)
    assert np.array_equal(rows, engine.encode(TEXTS))
    assert np.array_equal(rows[::-1], engine.encode(TEXTS[::-1]))
    assert np.array_equal(rows[1], engine.encode([TEXTS[1]])[0])
    assert np.array_equal(rows, MiniLM(Path(load_engine.__code__.co_filename).parent / "model").encode(TEXTS))


def test_what_means_the_same_is_near(engine: MiniLM) -> None:
    full, space, bread = engine.encode(TEXTS[:3])
    assert full @ space > 0.45 > 0.2 > full @ bread


def test_a_text_beyond_the_window_is_cut_not_refused(engine: MiniLM) -> None:
    words = [f"word{n}" for n in range(1000)]
    assert np.array_equal(engine.encode([" ".join(words)]), engine.encode([" ".join(words[:400])]))


@pytest.mark.parametrize("name", ["", "nonsense", "MiniLM"])
def test_a_name_that_is_no_model_says_which_there_are(name: str) -> None:
    with pytest.raises(ModelUnavailable, match="sentence-transformers/NAME"):
        load_engine(name)


# --- passages ---


def check(engine: MiniLM, title: str, body: str) -> list[str]:
    """Every passage fits the window, and their bodies join to the body and the rest of the title."""
    cut = passages(engine, title, body)
    assert max(len(tokens(engine, text)) for text in cut) + 2 <= engine.max_tokens
    head = cut[0].split("\n")[0]
    whole = "".join(words_of(engine, text) for text in bodies(engine, title, cut))
    assert whole == words_of(engine, body) + words_of(engine, title[len(head) :])
    rows = engine.encode_document(title, body)
    assert len(rows) >= len(cut) and rows.shape[1] == 384
    return cut


def test_a_short_entry_is_one_passage_under_its_title(engine: MiniLM) -> None:
    assert check(engine, "The title", "the body") == ["The title\nthe body"]
    assert check(engine, "The title", "") == ["The title"]
    assert check(engine, "The title", " \n\n ") == ["The title"]


def test_a_long_entry_is_cut_between_paragraphs(engine: MiniLM) -> None:
    paragraphs = [f"Paragraph {n}. " + "Some words of a paragraph, and a few more. " * 8 for n in range(12)]
    cut = check(engine, "The title", "\n\n".join(paragraphs))
    assert len(cut) > 3
    for piece in bodies(engine, "The title", cut):
        assert piece.startswith("Paragraph ") and piece.rstrip().endswith("more.")
    assert all(sum(paragraph.strip() in text for text in cut) == 1 for paragraph in paragraphs)


def test_where_there_is_no_paragraph_it_is_cut_between_lines_sentences_or_words(engine: MiniLM) -> None:
    for joint, end in (("\n", "end"), (". ", "."), (" ", "d")):
        pieces = bodies(engine, "t", check(engine, "t", joint.join(["begin middle end"] * 300)))
        assert len(pieces) > 2
        assert all(piece.startswith("begin") or joint == " " for piece in pieces)
        assert all(piece.rstrip().endswith((end, "end")) or joint == " " for piece in pieces)


def test_a_title_of_300_tokens_stands_shortened_in_front_and_is_searched_whole(engine: MiniLM) -> None:
    title = " ".join(f"word{n}" for n in range(150))
    assert len(tokens(engine, title)) >= 300
    cut = check(engine, title, "the body")
    head = cut[0].split("\n")[0]
    assert 0 < len(tokens(engine, head)) <= TITLE_TOKENS
    assert cut[0] == f"{head}\nthe body" and any("word149" in text for text in cut)


def test_one_word_of_5000_letters_is_no_trouble(engine: MiniLM) -> None:
    check(engine, "title", "x" * 5000)
    check(engine, "x" * 5000, "body")
    check(engine, "title", "a few words " * 40 + "y" * 5000 + " and more words" * 200)


@pytest.mark.parametrize(
    "body",
    [
        "한국어로 쓴 긴 글입니다 " * 120,
        ("한국어" * 12 + " ") * 30,
        "Ελληνικά κείμενα με τόνους " * 100,
        "日本語の長い文章" * 100,
        "क्षि हिन्दी " * 200,
        "aGVsbG8gd29ybGQK0123456789+/" * 80,
        "a.b(c)[d]{e};" * 200,
        "internationalization" * 4 + "/" + "antidisestablishmentarianism" * 3 + "/" + "pneumonoultramicroscopic/" * 150,
        ("e\u0301" * 40 + " ") * 40,
        "💩 " * 900,
        "ﷺ½ﬁ " * 300,
    ],
    ids=lambda body: body[:8],
)
def test_no_token_is_lost_in_any_script(body: str, engine: MiniLM) -> None:
    assert len(check(engine, "A title", body)) > 1


LETTERS = st.characters(exclude_categories=["Cs"])
LONG = st.lists(st.text(LETTERS, min_size=1, max_size=30), min_size=1, max_size=12).flatmap(
    lambda words: st.integers(1, 80).map(lambda times: " ".join(words * times)[:6000])
)


@settings(max_examples=60, deadline=None)
@given(title=st.text(LETTERS, max_size=40), body=st.one_of(st.text(LETTERS, max_size=300), LONG))
def test_every_token_stands_in_exactly_one_passage(engine: MiniLM, title: str, body: str) -> None:
    cut = passages(engine, title, body)
    assert max(len(tokens(engine, text)) for text in cut) + 2 <= engine.max_tokens
    total = sum(len(tokens(engine, text)) for text in cut)
    heads = len(tokens(engine, cut[0][: len(cut[0]) - len(cut[0].partition("\n")[2])])) * (len(cut) - 1)
    assert total >= len(tokens(engine, body))
    assert total - heads <= len(tokens(engine, title)) + len(tokens(engine, body)) + 2 * len(cut)


def test_of_a_book_the_beginning_is_embedded(engine: MiniLM, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rekall.engine.LONGEST_EMBEDDED", 5_000)
    body = "".join(f"line {number} of a book\n" for number in range(1000))
    assert "".join(bodies(engine, "a book", passages(engine, "a book", body))).split() == body[:5_000].split()


def test_the_vectors_of_real_notes_mean_together_what_their_passages_do(engine: MiniLM) -> None:
    for path in sorted(NOTES.rglob("*.md"))[:5]:
        body = path.read_text(encoding="utf-8") * 3
        rows: Matrix = engine.encode_document(path.stem, body)
        whole, parts = engine.encode(check(engine, path.stem, body)).sum(axis=0), rows.sum(axis=0)
        assert whole @ parts > 0.9 * np.linalg.norm(whole) * np.linalg.norm(parts)
