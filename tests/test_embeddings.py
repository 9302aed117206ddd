"""Meaning, with the real model on a real base: what is stored is found, and what is found is right."""

from __future__ import annotations

import timeit
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest

from rekall.cache import EmbeddingCache
from rekall.commands.room import Room
from rekall.config import DEFAULT_MODEL, Base, Config
from rekall.db import Database
from rekall.embeddings import EmbeddingService
from rekall.engine import RECIPE, Engine, MiniLM, load_engine
from rekall.entry import Entry
from rekall.errors import EntryNotFound, ModelUnavailable
from rekall.model_manager import ModelManager
from rekall.query import Filters
from rekall.ranking import Hit
from rekall.vector_index import VectorIndex
from rekall.vectors import Matrix, unit_rows

Make: TypeAlias = Callable[..., Entry]
NOTES = (
    ("battery", "Laptop drains overnight", "It does not go to deep sleep: echo deep > /sys/power/mem_sleep"),
    ("postgres", "We chose PostgreSQL over MySQL", "Changes of the schema are transactional there."),
    ("commit", "git reset --soft HEAD~1", "takes back the last commit and keeps the work"),
    ("bread", "Rye needs a sourdough", "Mix flour and water and wait for a day."),
)


@pytest.fixture(scope="module")
def models() -> Iterator[ModelManager]:
    with ModelManager() as manager:
        yield manager


@pytest.fixture
def service(database: Database, models: ModelManager) -> EmbeddingService:
    return EmbeddingService(database, models, EmbeddingCache())


@pytest.fixture
def notes(database: Database, make_entry: Make) -> Database:
    database.add_many([make_entry(title, content, id=key) for key, title, content in NOTES])
    return database


def ids(hits: list[Hit]) -> list[str]:
    return [hit.id for hit in hits]


def fill(database: Database, make_entry: Make, count: int, dimensions: int = 384) -> Matrix:
    """Store `count` entries e0, e1, … with random vectors; return these, row i of entry i."""
    rows = unit_rows(np.random.default_rng(7).standard_normal((count, dimensions)))
    database.add_many([make_entry(f"entry number {n}", id=f"e{n}") for n in range(count)])
    waiting = database.pending(DEFAULT_MODEL, RECIPE, count)
    database.store_vectors([(p, rows[int(p.entry.id[1:])][None]) for p in waiting], DEFAULT_MODEL, RECIPE)
    return rows


def ask(database: Database, rows: Matrix, backend: str = "auto") -> EmbeddingService:
    """Return a service that knows row i as the vector of the query `q{i}`, so that no model is needed."""
    cache = EmbeddingCache(maxsize=10_000)
    for number, row in enumerate(rows):
        cache.put(f"{DEFAULT_MODEL}:q{number}", row)
    return EmbeddingService(database, ModelManager(load=_no_model), cache, backend)


def _no_model(name: str) -> Engine:
    raise AssertionError(f"{name} is not needed here")


@pytest.mark.parametrize(
    ("query", "key"),
    [("notebook loses its charge at night", "battery"), ("which database do we use", "postgres"),
     ("undo a change in version control", "commit"), ("baking at home", "bread")],
)  # fmt: skip
def test_a_query_finds_what_means_the_same(query: str, key: str, notes: Database, service: EmbeddingService) -> None:
    assert service.embed_pending() == 4
    hits = service.semantic_search(query)
    assert hits[0].id == key and set(ids(hits)) == {note[0] for note in NOTES}
    assert all(hit.score == hit.cosine == round(hit.score, 6) and -1 <= hit.score <= 1 for hit in hits)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert service.hybrid_search(query)[0].id == key


def test_similar_entries_leave_the_entry_itself_out(
    notes: Database, service: EmbeddingService, make_entry: Make
) -> None:
    notes.add(make_entry("Reset the last commit", "git reset keeps the work", id="twin"))
    service.embed_pending()
    hits = service.find_similar("commit")
    assert hits[0].id == "twin" and "commit" not in ids(hits) and len(hits) == 4
    assert ids(service.find_similar("commit", k=1)) == ["twin"]
    notes.add(make_entry("Sourdough of rye flour", id="waiting"))  # has no vector yet
    assert service.find_similar("waiting")[0].id == "bread"
    with pytest.raises(EntryNotFound):
        service.find_similar("nowhere")


def test_words_and_meaning_both_put_entries_forward(
    notes: Database, service: EmbeddingService, make_entry: Make
) -> None:
    service.embed_pending()
    notes.add(make_entry("E4711 sourdough", id="new"))  # found by its words, has no vector yet
    hits = {hit.id: hit for hit in service.hybrid_search("sourdough E4711")}
    assert next(iter(hits)) in ("new", "bread") and set(hits) == {note[0] for note in NOTES} | {"new"}
    assert hits["new"].cosine is None and hits["new"].words is not None
    assert hits["bread"].cosine is not None and hits["bread"].words is not None
    assert hits["postgres"].words is None and hits["postgres"].cosine is not None


def test_an_empty_base_and_an_empty_query_find_nothing_and_do_not_fail(service: EmbeddingService) -> None:
    for text in ("words", "", "\0", "x" * 100_000):
        assert (service.semantic_search(text), service.hybrid_search(text), service.words_search(text)) == ([], [], [])
    assert service.embed_pending() == 0


@pytest.mark.parametrize("backend", ["auto", "numpy"])
def test_the_first_ten_do_not_depend_on_the_limit(backend: str, database: Database, make_entry: Make) -> None:
    rows = fill(database, make_entry, 600)
    service = ask(database, rows, backend)
    for search in (service.semantic_search, service.hybrid_search):
        for text in ("q3", "q599"):
            ten = search(text, 10)
            assert len(ten) == 10 and ten[0].id == f"e{text[1:]}"
            assert search(text, 100)[:10] == search(text, 1000)[:10] == ten
            assert sorted(ids(search(text, 1000))) == sorted(f"e{n}" for n in range(600))  # past the pool too
            assert len(set(ids(search(text, 300)))) == 300


def test_every_backend_gives_the_same_hits(database: Database, make_entry: Make) -> None:
    rows = fill(database, make_entry, 400)
    available = [name for name in ("kernel", "sqlite-vec", "numpy") if VectorIndex.is_available(name)]
    database.vec.ensure_vec(DEFAULT_MODEL)
    services = [ask(database, rows, name) for name in (*available, "auto")]
    for text in ("q0", "q7", "q200"):
        assert len({tuple(service.hybrid_search(text, 50)) for service in services}) == 1
        assert len({tuple(service.semantic_search(text, 250)) for service in services}) == 1
        assert len({tuple(service.find_similar(f"e{text[1:]}", 30)) for service in services}) == 1


@pytest.mark.parametrize("backend", ["auto", "numpy"])
def test_filters_apply_before_the_best_are_taken(backend: str, database: Database, make_entry: Make) -> None:
    rows = fill(database, make_entry, 500)
    service = ask(database, rows, backend)
    farthest = ids(service.semantic_search("q0", 500))[-3:]
    for key in farthest:
        database.connection.execute("UPDATE entries SET status = 'obsolete' WHERE id = ?", (key,))
    hits = service.semantic_search("q0", 10, Filters(status="obsolete"))
    assert ids(hits) == farthest
    assert set(ids(service.hybrid_search("q0", 10, Filters(status="obsolete")))) == set(farthest)
    assert set(ids(service.find_similar("e0", 10, Filters(status="obsolete")))) == set(farthest)
    assert service.semantic_search("q0", 10, Filters(types=("bug",))) == []


def test_any_passage_finds_its_entry_once(database: Database, service: EmbeddingService, make_entry: Make) -> None:
    filler = "Nothing of interest is said in this sentence about the weather. " * 60
    ends = ("Mix rye flour with water for the sourdough.", "PostgreSQL changes its schema in a transaction.")
    database.add(make_entry("A long diary", f"{ends[0]}\n\n{filler}\n\n{ends[1]}", id="long"))
    database.add_many([make_entry("The weather", filler, id=f"short{n}") for n in range(3)])
    service.embed_pending()
    assert database.count_vectors(DEFAULT_MODEL) > 8
    for text in ("baking bread", "database migrations"):
        hits = service.semantic_search(text)
        assert hits[0].id == "long" and len(set(ids(hits))) == len(hits) == 4


def test_what_another_connection_writes_is_in_the_next_answer(notes: Database, service: EmbeddingService) -> None:
    service.embed_pending()
    for _query in range(5):  # by now the vectors are in memory
        assert ids(service.semantic_search("baking at home"))[0] == "bread"
    with Database(notes.path) as other:
        other.connection.execute(
            "INSERT INTO entries(id, type, title, created_at, updated_at) "
            "VALUES ('rolls', 'til', 'baking rolls at home', '', '')"
        )
        assert ids(service.words_search("rolls")) == ["rolls"]
        assert service.embed_pending() == 1
        assert ids(service.semantic_search("baking at home"))[0] == "rolls"
        other.connection.execute("UPDATE entries SET title = 'PostgreSQL migrations' WHERE id = 'rolls'")
        service.embed_pending()
        assert ids(service.semantic_search("baking at home"))[0] == "bread"
        assert "rolls" in ids(service.semantic_search("which database do we use"))[:2]
        other.connection.execute("DELETE FROM entries WHERE id = 'rolls'")
        assert "rolls" not in ids(service.semantic_search("which database do we use"))
        assert "rolls" not in ids(service.hybrid_search("PostgreSQL migrations"))


def test_similar_entries_follow_what_another_connection_writes(notes: Database, service: EmbeddingService) -> None:
    service.embed_pending()
    for _query in range(5):
        assert service.find_similar("bread")
    with Database(notes.path) as other:
        other.connection.execute("UPDATE entries SET title = 'MySQL or PostgreSQL', content = '' WHERE id = 'bread'")
        service.embed_pending()
        assert ids(service.find_similar("bread"))[0] == "postgres"
        other.connection.execute("DELETE FROM entries WHERE id = 'bread'")
        with pytest.raises(EntryNotFound):
            service.find_similar("bread")


def test_a_change_of_most_of_the_base_is_followed(database: Database, make_entry: Make) -> None:
    rows = fill(database, make_entry, 1200)
    service = ask(database, rows)
    for _query in range(5):
        assert service.semantic_search("q1")[0].id == "e1"
    with Database(database.path) as other:
        other.connection.execute("DELETE FROM entries WHERE id <> 'e7'")
    assert ids(service.semantic_search("q1")) == ["e7"]


def test_embedding_goes_on_newest_first(database: Database, service: EmbeddingService, make_entry: Make) -> None:
    database.add_many([make_entry(f"note {n}", id=f"n{n}") for n in range(60)])
    steps: list[int] = []
    assert service.embed_pending(32, steps.append) == 32 == sum(steps)
    assert (service.count_waiting(), database.count_vectors(DEFAULT_MODEL)) == (28, 32)
    assert set(database.vectors_of([f"n{n}" for n in range(60)], DEFAULT_MODEL)) == {f"n{n}" for n in range(28, 60)}
    assert (service.embed_pending(), service.embed_pending(), service.count_waiting()) == (28, 0, 0)


class Meddling(MiniLM):
    """The real model, beside which somebody edits the entry that is being embedded."""

    def __init__(self, meddle: Callable[[], None]) -> None:
        super().__init__(Path(load_engine.__code__.co_filename).parent / "model")
        self._meddle = meddle

    def encode_document(self, title: str, body: str) -> Matrix:
        self._meddle()
        return super().encode_document(title, body)


def test_an_entry_edited_while_it_is_embedded_is_embedded_again(notes: Database) -> None:
    edits = ["PostgreSQL migrations of the schema"]

    def edit() -> None:
        if edits:
            with Database(notes.path) as other:
                other.connection.execute("UPDATE entries SET title = ? WHERE id = 'bread'", (edits.pop(),))

    service = EmbeddingService(notes, ModelManager(load=lambda _name: Meddling(edit)), EmbeddingCache())
    service.embed_pending()
    assert service.embed_pending() == 0 == service.count_waiting()
    assert set(ids(service.semantic_search("which database do we use", 2))) == {"bread", "postgres"}


def test_a_model_that_fails_midway_keeps_what_was_done(database: Database, make_entry: Make) -> None:
    calls = iter(range(100))

    def fail() -> None:
        if next(calls) == 30:
            raise RuntimeError("out of\nmemory")

    database.add_many([make_entry(f"note {n}") for n in range(40)])
    service = EmbeddingService(database, ModelManager(load=lambda _name: Meddling(fail)), EmbeddingCache())
    with pytest.raises(ModelUnavailable, match="out of memory"):
        service.embed_pending()
    assert service.count_waiting() == 15  # one batch of 25 was committed
    assert service.embed_pending() == 15


def test_old_vectors_answer_until_new_ones_take_their_place(notes: Database, service: EmbeddingService) -> None:
    service.embed_pending()
    before = service.semantic_search("baking at home")
    service.embed_anew()
    assert service.count_waiting() == 4 and service.semantic_search("baking at home") == before
    assert service.embed_pending() == 4
    assert service.semantic_search("baking at home") == before


def test_vectors_of_another_model_are_left_alone(notes: Database, service: EmbeddingService) -> None:
    waiting = notes.pending("other", RECIPE, 10)
    query = service.query_vector("baking at home")
    assert notes.store_vectors([(pending, query[None]) for pending in waiting], "other", RECIPE)
    assert service.semantic_search("baking at home") == []  # none of ours yet
    assert service.embed_pending() == 4
    scores = {hit.id: hit.score for hit in service.semantic_search("baking at home")}
    assert max(scores, key=lambda key: scores[key]) == "bread" and max(scores.values()) < 0.9
    assert notes.count_vectors("other") == 4


def test_the_model_is_let_go_when_idle_and_not_needed_for_what_was_asked_before(notes: Database) -> None:
    loads: list[str] = []
    models = ModelManager(idle_minutes=0)
    service = EmbeddingService(notes, models, EmbeddingCache(), on_loading=lambda: loads.append(models.name))
    service.embed_pending()
    assert (len(loads), models.is_loaded) == (1, False)
    first = service.semantic_search("baking at home")
    assert (len(loads), models.is_loaded) == (2, False)
    assert service.semantic_search("baking at home") == first and service.find_similar("bread")
    assert len(loads) == 2


@pytest.mark.parametrize("model", ["nonsense", "sentence-transformers/none/at-all"])
def test_words_answer_when_the_model_will_not_run(
    model: str, notes: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert notes.path
    with Room(Base(notes.path, "option"), Config(tmp_path / "c.toml", {"embeddings.model": model})) as room:
        assert ids(room.find("sourdough", 10, None, "both")) == ["bread"]
        assert ids(room.find("sourdough", 10, None, "words")) == ["bread"]
        with pytest.raises(ModelUnavailable):
            room.find("sourdough", 10, None, "meaning")


# --- the task list: T010, T011, and no cap that hides ---


def test_1000_entries_are_searched_in_500_ms(database: Database, models: ModelManager, make_entry: Make) -> None:
    fill(database, make_entry, 1000)
    models.get_model()
    service = EmbeddingService(database, models, EmbeddingCache())
    for search in (service.semantic_search, service.hybrid_search):
        assert timeit.timeit(partial(search, "entry number 500 or another"), number=1) < 0.5


def test_the_batch_equals_the_loop_and_outpaces_it(database: Database, make_entry: Make) -> None:
    rows = fill(database, make_entry, 2000)
    keys, matrix = database.get_all_vectors_batch(DEFAULT_MODEL)
    assert matrix.dtype == np.float32 and matrix.shape == (2000, 384)
    index, query = VectorIndex.from_matrix(keys, matrix), rows[123]

    def loop() -> list[tuple[str, float]]:
        scores = [(key, float(row @ query)) for key, row in zip(keys, matrix, strict=True)]
        return sorted(scores, key=lambda pair: -pair[1])[:10]

    fast, slow = index.search(query, 10), loop()
    assert [key for key, _score in fast] == [key for key, _score in slow]
    assert np.allclose([score for _key, score in fast], [score for _key, score in slow], atol=1e-5)
    assert min(timeit.repeat(lambda: index.search(query, 10), number=1)) < min(timeit.repeat(loop, number=1)) / 3


def test_a_small_cache_hides_no_entry(database: Database, make_entry: Make) -> None:
    rows = fill(database, make_entry, 3000)
    cache = EmbeddingCache(maxsize=10)
    service = EmbeddingService(database, ModelManager(), cache)
    for number in range(0, 3000, 37):
        cache.put(f"{DEFAULT_MODEL}:q", rows[number])
        assert service.semantic_search("q", 1)[0].id == f"e{number}"
    assert len(set(ids(service.semantic_search("q", 3000)))) == 3000
    assert len(cache) <= 10


def test_no_query_waits_for_a_book_but_the_command_that_brings_it_does(
    database: Database, make_entry: Callable[..., Entry], service: EmbeddingService
) -> None:
    database.add_many([make_entry("short", id="short"), make_entry("long", "word " * 13_000, id="long")])
    assert service.embed_pending(longest=60_000) == 1
    assert [pending.entry.id for pending in database.pending("all-MiniLM-L6-v2", RECIPE, 9)] == ["long"]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (Filters(phrases=("takes back",)), ["commit"]),
        (Filters(phrases=("back takes",)), []),
        (Filters(without=("commit",)), ["battery", "bread", "postgres"]),
        (Filters(phrases=("last commit",), without=("work",)), []),
        (Filters(types=("til",), phrases=("deep sleep",)), ["battery"]),
    ],
)
def test_phrases_and_not_hold_for_both_arms(
    notes: Database, service: EmbeddingService, filters: Filters, expected: list[str]
) -> None:
    service.embed_pending()
    text = "undo what I committed last"
    assert sorted(ids(service.semantic_search(text, 10, filters))) == expected
    assert sorted(ids(service.hybrid_search(text, 10, filters))) == expected
    assert set(ids(service.words_search(text, 10, filters))) <= set(expected)
