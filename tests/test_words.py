"""The words arm: any text is a safe query, and the cheap way finds what the dear one would."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rekall import words
from rekall.db import Database, sqlite3
from rekall.entry import Entry
from rekall.query import Filters, terms
from rekall.schema import FTS_WEIGHTS, TOKENIZER

MakeEntry = Callable[..., Entry]


def found(database: Database, text: str, k: int = 10, filters: Filters | None = None) -> list[str]:
    return [key for key, _score in database.search_words(text, k, filters).found]


# --- any text is a safe query ---

ODD = {
    "C++": "C++",
    "apostrophe": "can't",
    "dash": "foo-bar",
    "quote": '"',
    "two quotes": '""',
    "open quote": '"foo',
    "parenthesis": "(",
    "star": "*",
    "prefix": "foo*",
    "near": "NEAR(",
    "near of two": "NEAR(foo bar, 2)",
    "and": "AND",
    "operators": "OR NOT AND foo",
    "column": "title:foo",
    "braces": "{title content}: foo",
    "caret": "^foo",
    "plus": "foo + bar",
    "backslash": "\\",
    "semicolon": "'; DROP TABLE entries; --",
    "nul": "foo\x00bar",
    "only nul": "\x00",
    "lone surrogate": "foo \udc80\ud800 bar",
    "line ends": "foo\r\nbar\u2028",
    "emoji": "\U0001f600",
    "combining mark alone": "\u0301",
    "private use": "\ue0b0",
    "beyond unicode 6": "\U0001fae0 \ua7f5",
    "blank": " \t\n",
    "nothing": "",
    "100 kB of one word": "x" * 100_000,
    "100 kB of words": "foo bar " * 12_500,
    "100 kB of quotes": '"' * 100_000,
    "100 kB of different words": " ".join(f"w{i}" for i in range(16_000)),
    "100 kB of camel case": "aB" * 50_000,
}


@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
def test_an_odd_query_is_answered_never_an_error(database: Database, make_entry: MakeEntry, text: str):
    entry = make_entry("foo bar")
    database.add(entry)
    start = time.perf_counter()
    assert found(database, text) == ([entry.id] if {"foo", "bar"} & set(terms(text)) else [])
    assert time.perf_counter() - start < 2


@pytest.fixture(scope="module")
def one_entry() -> Iterator[Database]:
    """Return a base of one entry, opened once for all generated texts."""
    with Database(None) as database:
        database.add(Entry(id="a", type="til", title="foo", content="a b c 1 2 3", created_at="x", updated_at="x"))
        yield database


@given(text=st.text(alphabet=st.characters(exclude_categories=())))
@settings(max_examples=200)
def test_any_text_whatever_is_a_safe_query(one_entry: Database, text: str):
    assert found(one_entry, text) in ([], ["a"])


@pytest.mark.parametrize(
    "text", ["C++", "can't", "foo-bar", "NEAR(", "AND", "*.tar.gz", "a_b::c", "$PATH", "#include <x>"]
)
def test_an_entry_is_found_by_its_own_odd_title(database: Database, make_entry: MakeEntry, text: str):
    entry = make_entry(text)
    database.add_many([entry, make_entry("something else entirely")])
    assert found(database, text) == [entry.id]


def test_closing_a_base_closes_the_scratch_table_of_its_words(database: Database):
    database.search_words("x", 1)
    scratch = database.words._scratch
    database.close()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        scratch.execute("SELECT 1")


# --- how words are taken ---


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("connections refused", "connection refusing"),
        ("Running migrations", "run migrate"),
        ("déjà vu", "deja"),
        ("deja vu", "déjà"),
        ("de\u0301ja\u0300 vu", "déjà"),
        ("déjà vu", "de\u0301ja\u0300"),
        ("Ångström", "angstrom"),
        ("Straße", "Straße"),
        ("STRASSE", "strasse"),
        ("ﬁle ligature", "ﬁle"),
        ("İstanbul", "İstanbul"),
        ("ΣΊΣΥΦΟΣ", "ΣΊΣΥΦΟΣ"),
        ("Ελληνικά", "ΕΛΛΗΝΙΚΆ"),
        ("Привет мир", "ПРИВЕТ"),
        ("日本語", "日本語"),
        ("max_open_files", "open files"),
        ("max_open_files", "max_open_files"),
        ("getAllVectors", "vectors"),
        ("getAllVectors", "getAllVectors"),
        ("getAllVectors", "getallvectors"),
        ("get all vectors", "getAllVectors"),
        ("parseHTTPResponse", "http response"),
        ("ECONNREFUSED", "econnrefused"),
        ("Error: ECONNREFUSED 127.0.0.1:5432", "ECONNREFUSED"),
        ("os.path.join", "path join"),
        ("std::unique_ptr", "unique_ptr"),
        ("--no-verify", "no verify"),
        ("E0382", "e0382"),
    ],
)
def test_a_word_is_found_in_another_form(database: Database, make_entry: MakeEntry, text: str, query: str):
    entry = make_entry("t", text)
    database.add_many([entry, *(make_entry("other", "something else") for _ in range(3))])
    assert found(database, query) == [entry.id]


@given(st.text(st.characters(min_codepoint=33, max_codepoint=0x24FF, categories=["L", "N"]), min_size=1, max_size=8))
@settings(max_examples=300)
def test_every_word_finds_the_entry_that_holds_it(word: str):
    with Database(None) as database:
        database.add(Entry(id="a", type="til", title="x", content=word, created_at="x", updated_at="x"))
        known = database.connection.execute(
            "SELECT count(*) FROM entries_fts WHERE entries_fts MATCH ?", (f'"{word}"',)
        )
        if known.fetchone()[0]:  # SQLite's letters are those of Unicode 6.1
            assert found(database, word) == ["a"]


def test_query_words_are_stemmed_as_the_index_was(database: Database):
    texts = "running runs ran easily ponies caresses déjà naïve flies generalizations 2nd x86_64 don't"
    with Database(None) as plain:
        scratch = plain.connection
        scratch.execute(f"CREATE VIRTUAL TABLE t USING fts5(x, tokenize='{TOKENIZER}')")
        scratch.execute("CREATE VIRTUAL TABLE v USING fts5vocab(t, 'row')")
        scratch.execute("INSERT INTO t VALUES (?)", (texts,))
        wanted = {row[0] for row in scratch.execute("SELECT term FROM v").fetchall()}
    assert {stem for _word, stem in database.words._stems(terms(texts))} == wanted


# --- the order ---


@pytest.fixture
def corpus(database: Database) -> Database:
    """Return a base of 3,000 notes whose words are as unevenly spread as in real ones (Zipf)."""
    generator = random.Random(7)
    vocabulary = [f"w{i}" for i in range(4000)]
    weights = [1 / (place + 1) for place in range(len(vocabulary))]
    notes = [generator.choices(vocabulary, weights, k=generator.randint(8, 60)) for _ in range(3000)]
    database.add_many(
        [
            Entry(
                id=f"n{i:04}",
                type="til" if i % 3 else "bug",
                title=" ".join(note[:5]),
                content=" ".join(note[5:]),
                created_at="x",
                updated_at="x",
            )
            for i, note in enumerate(notes)
        ]
    )
    return database


def slow_twin(database: Database, text: str, k: int, where: str = "1") -> list[str]:
    """Return what FTS5 gives for the OR of all words."""
    weights = ", ".join(map(str, FTS_WEIGHTS.values()))
    match = " OR ".join(f'"{word}"' for word in terms(text))
    rows = database.connection.execute(
        f"SELECT e.id FROM entries_fts CROSS JOIN entries e ON e.rowid = entries_fts.rowid WHERE entries_fts MATCH ? "
        f"AND {where} ORDER BY bm25(entries_fts, {weights}), e.id LIMIT ?",
        (match, k),
    )
    return [row[0] for row in rows.fetchall()]


def queries(database: Database, count: int) -> list[str]:
    """Return a few words from as many notes, common ones among them, as people remember them."""
    generator = random.Random(11)
    notes = generator.sample(list(database.each()), count)
    return [" ".join(generator.sample(note.content.split() + note.title.split(), 5)) for note in notes]


def test_where_all_postings_fit_the_answer_is_that_of_the_full_or(corpus: Database, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(words, "POSTINGS", 10**9)
    for text in queries(corpus, 40):
        assert found(corpus, text) == slow_twin(corpus, text, 10)


def test_the_cheap_arm_puts_the_same_entry_first_nearly_always(corpus: Database):
    asked = queries(corpus, 200)
    postings = [sum(len(slow_twin(corpus, word, 9999)) for word in terms(text)) for text in asked[:20]]
    assert max(postings) > words.POSTINGS  # else there is nothing to cut
    same = sum(found(corpus, text)[:1] == slow_twin(corpus, text, 1) for text in asked)
    assert same >= 0.95 * len(asked)


def test_the_bm25_of_a_match_is_that_of_fts5_turned_positive(database: Database, make_entry: MakeEntry):
    database.add_many([make_entry("walrus", "sea"), *(make_entry("other") for _ in range(5))])
    weights = ", ".join(map(str, FTS_WEIGHTS.values()))
    (score,) = database.connection.execute(
        f"SELECT bm25(entries_fts, {weights}) FROM entries_fts WHERE entries_fts MATCH 'walrus'"
    ).fetchone()
    matches = database.search_words("walrus", 5)
    assert matches.found[0][1] == pytest.approx(-score)
    assert matches.found[0][1] > 0


def test_a_rare_word_weighs_more_than_a_common_one(database: Database, make_entry: MakeEntry):
    rare = make_entry("zebra")
    database.add_many([rare, *(make_entry("file") for _ in range(20)), *(make_entry("x") for _ in range(40))])
    assert found(database, "file zebra")[0] == rare.id
    assert len(found(database, "file zebra", 50)) == 21


def test_ties_go_by_id(database: Database, make_entry: MakeEntry):
    database.add_many([make_entry("walrus", id=key) for key in "cabd"])
    assert found(database, "walrus") == list("abcd")
    assert found(database, "walrus", 2) == list("ab")


def test_no_more_than_k_are_found_and_a_longer_list_begins_the_same(corpus: Database):
    for text in queries(corpus, 20):
        long, short = found(corpus, text, 50), found(corpus, text, 5)
        assert len(short) <= 5
        assert len(set(long)) == len(long) <= 50


def test_a_filter_is_applied_before_the_cut(database: Database, make_entry: MakeEntry):
    crowd = [make_entry("walrus walrus walrus", "walrus") for _ in range(300)]
    one = make_entry("a walrus among much other text", "that makes its match the poorest of all", type="bug")
    database.add_many([*crowd, one])
    assert found(database, "walrus", 1, Filters(types=("bug",))) == [one.id]
    assert found(database, "walrus", 5, Filters(types=("config",))) == []


def test_a_filter_reaches_entries_that_hold_only_the_commonest_word(corpus: Database, make_entry: MakeEntry):
    one = make_entry("w0", tags=("mine",))  # the commonest word, which the cut leaves out
    corpus.add(one)
    asked = "w0 w1 w2 w3 w4 w3999"
    assert found(corpus, asked, 5, Filters(tags=("mine",))) == [one.id]


def test_a_filtered_answer_is_that_of_the_full_or_filtered(corpus: Database, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(words, "POSTINGS", 10**9)
    for text in queries(corpus, 20):
        assert found(corpus, text, 10, Filters(types=("bug",))) == slow_twin(corpus, text, 10, "e.type = 'bug'")


@pytest.mark.parametrize(
    "filters", [Filters(types=("bug",)), Filters(tags=("t",)), Filters(projects=("p",)), Filters(since="2000")]
)
def test_a_filter_makes_a_search_no_slower_by_an_order_of_magnitude(corpus: Database, filters: Filters):
    corpus.connection.execute("UPDATE entries SET project = 'p', tags = '[\"t\"]' WHERE rowid % 2")
    asked = queries(corpus, 20)

    def seconds(narrowed_by: Filters | None) -> float:
        start = time.perf_counter()
        for text in asked:
            found(corpus, text, 10, narrowed_by)
        return time.perf_counter() - start

    assert seconds(filters) < 10 * seconds(None) + 0.02


# --- the ideal ---


def test_the_ideal_says_how_strong_a_match_could_have_been(database: Database, make_entry: MakeEntry):
    database.add_many([make_entry("walrus"), *(make_entry("other words") for _ in range(50))])
    whole, half = database.search_words("walrus", 5), database.search_words("walrus xylophone", 5)
    assert 0 < whole.ideal < half.ideal
    assert whole.found[0][1] == pytest.approx(half.found[0][1])
    assert database.search_words("xylophone", 5).found == []
    assert database.search_words("", 5).ideal == 0


# --- while one types ---


def typing(database: Database, text: str, k: int = 10) -> list[str]:
    return [key for key, _score in database.search_words(text, k, is_typing=True).found]


@pytest.fixture
def notes(database: Database, make_entry: MakeEntry) -> Database:
    database.add(make_entry("Undo the last commit", id="undo"))
    database.add(make_entry("List committers", "shortlog of those who committed", id="list"))
    database.add(make_entry("Déjà vu", "while working on C++", id="deja"))
    return database


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("com", {"undo", "list"}),
        ("commi", {"undo", "list"}),
        ("commit", {"undo", "list"}),
        ("committe", {"list"}),
        ("com ", set()),  # a blank: this is the word
        ("the com", {"undo", "list"}),
        ("com the", {"undo"}),  # only the last word is unfinished
        ("dej", {"deja"}),
        ("DÉJ", {"deja"}),
        ("d", {"deja"}),  # short ones look at titles
        ("u", {"undo"}),
        ("w", set()),
        ("wor", {"deja"}),
        ("zzz", set()),
        ("", set()),
    ],
)
def test_the_last_word_stands_for_those_it_begins(text: str, expected: set[str], notes: Database) -> None:
    assert set(typing(notes, text)) == expected


def test_a_submitted_query_takes_words_as_they_are(notes: Database) -> None:
    assert found(notes, "com") == []


def test_beginnings_are_counted_anew_when_the_base_changes(notes: Database, make_entry: MakeEntry) -> None:
    assert typing(notes, "comp") == []
    notes.add(make_entry("compile it", id="new"))
    assert typing(notes, "comp") == ["new"]
    assert typing(notes, "compi") == ["new"]


def test_what_nearly_all_hold_is_not_ranked_but_found_by_titles(
    database: Database, make_entry: MakeEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(words, "MOST_RANKED", 20)
    database.add_many([make_entry(f"note {n}", "common", id=f"n{n:02}") for n in range(50)])
    database.add(make_entry("commonly said", id="said"))
    assert typing(database, "common") == ["said"]
    assert typing(database, "comm") == ["said"]
    assert typing(database, "note", k=3) == ["n49", "n48", "n47"]


@pytest.mark.parametrize("text", ODD.values(), ids=ODD.keys())
def test_any_text_is_safe_while_it_is_typed(text: str, notes: Database) -> None:
    typing(notes, text)


@given(text=st.text(alphabet=st.characters(exclude_categories=())))
def test_whatever_is_typed_is_safe(text: str) -> None:
    with Database(None) as nothing:
        nothing.search_words(text, 10, is_typing=True)
