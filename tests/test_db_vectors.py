"""Vectors in the base: the queue of entries to embed, and reading them all at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from rekall.base_parts import Pending
from rekall.db import Database
from rekall.entry import Entry
from rekall.errors import BaseUnusable
from rekall.old_rekall import KEPT_RECIPE
from rekall.vectors import Matrix, unit_rows

MakeEntry = Callable[..., Entry]
MODEL, RECIPE = "m", "1"


def rows(count: int, dimensions: int = 4, seed: int = 0) -> Matrix:
    return unit_rows(np.random.default_rng(seed).normal(size=(count, dimensions)))


def waiting(database: Database, recipe: str = RECIPE, limit: int = 100) -> list[Pending]:
    return database.pending(MODEL, recipe, limit)


def embed(database: Database, matrices: dict[str, Matrix], recipe: str = RECIPE) -> list[str]:
    batch = [(p, matrices[p.entry.id]) for p in waiting(database, recipe) if p.entry.id in matrices]
    return database.store_vectors(batch, MODEL, recipe)


@pytest.fixture
def three(database: Database, make_entry: MakeEntry) -> Database:
    """Return a base of the entries a, b and c, none of them embedded."""
    database.add_many([make_entry(f"title {key}", id=key) for key in "abc"])
    return database


# --- the queue ---


def test_an_entry_without_a_vector_is_the_queue_newest_first(three: Database):
    assert [p.entry.id for p in waiting(three)] == ["c", "b", "a"]
    assert [p.entry.id for p in waiting(three, limit=1)] == ["c"]
    assert embed(three, {"b": rows(1)}) == ["b"]
    assert [p.entry.id for p in waiting(three)] == ["c", "a"]
    assert (three.count_waiting(MODEL, RECIPE), three.count_pending(MODEL), three.count_vectors(MODEL)) == (2, 2, 1)


def test_each_model_has_a_queue_of_its_own(three: Database):
    embed(three, {key: rows(1) for key in "abc"})
    assert waiting(three) == []
    assert [p.entry.id for p in three.pending("other", RECIPE, 9)] == ["c", "b", "a"]


def test_another_recipe_queues_behind_what_has_no_vector_and_takes_its_place(three: Database):
    old, new = rows(3), rows(2, seed=1)
    embed(three, {"c": old})
    assert [p.entry.id for p in waiting(three, "2")] == ["b", "a", "c"]
    np.testing.assert_array_equal(three.vectors_of(["c"], MODEL)["c"], old)  # the old one answers until then
    embed(three, {"c": new}, "2")
    np.testing.assert_array_equal(three.vectors_of(["c"], MODEL)["c"], new)


def test_a_stale_base_waits_whole_and_still_answers(three: Database):
    embed(three, {key: rows(1) for key in "abc"})
    three.mark_stale(MODEL)
    assert len(waiting(three)) == three.count_vectors(MODEL) == 3
    embed(three, {key: rows(1, seed=1) for key in "abc"})
    assert waiting(three) == []
    assert three.count_vectors(MODEL) == 3


@pytest.mark.parametrize("edit", ["text", "tags", "twice", "deleted"])
def test_an_entry_edited_while_it_was_embedded_is_passed_over_and_waits_again(
    three: Database, make_entry: MakeEntry, edit: str
):
    batch = [(p, rows(1)) for p in waiting(three)]
    with Database(three.path) as other:
        if edit == "deleted":
            other.delete("b")
        for number in range(2 if edit == "twice" else 1 if edit == "text" else 0):
            other.update(replace(other.get("b"), content=f"new {number}"))
        if edit == "tags":
            other.update(make_entry("title b", id="b", tags=("new",)))
    assert three.store_vectors(batch, MODEL, RECIPE) == ["c", "a"]
    assert [p.entry.id for p in waiting(three)] == ([] if edit == "deleted" else ["b"])
    assert three.count_vectors(MODEL) == 2


def test_an_edit_by_two_who_read_the_same_text_lets_no_old_vector_in(three: Database, make_entry: MakeEntry):
    batch = [(p, rows(1)) for p in waiting(three) if p.entry.id == "b"]
    for text in ("one", "two"):  # both edited revision 1
        three.update(make_entry(text, id="b", revision=1))
    assert three.store_vectors(batch, MODEL, RECIPE) == []


def test_vectors_are_stored_all_or_none_and_embedding_twice_stores_once(three: Database):
    batch = [(p, rows(2)) for p in waiting(three)]
    with pytest.raises(BaseUnusable):
        three.connection.execute(
            "CREATE TEMP TRIGGER full BEFORE INSERT ON embeddings WHEN new.entry_rowid = 1 "
            "BEGIN SELECT RAISE(ABORT, 'disk full'); END"
        )
        three.store_vectors(batch, MODEL, RECIPE)
    assert three.count_vectors(MODEL) == 0
    three.connection.execute("DROP TRIGGER temp.full")
    three.store_vectors(batch, MODEL, RECIPE)
    assert three.count_vectors(MODEL) == 6


def test_two_processes_that_embed_the_same_entry_leave_one_set_of_vectors(three: Database):
    batch = [(p, rows(2)) for p in waiting(three)]
    with Database(three.path) as other:
        other.store_vectors(batch, MODEL, RECIPE)
    three.store_vectors(batch, MODEL, RECIPE)
    assert three.count_vectors(MODEL) == 6


def test_an_older_rekalls_vector_stays_in_front_and_is_looked_at_once(three: Database):
    old, new = rows(1), rows(2, seed=1)
    embed(three, dict.fromkeys("ab", old), KEPT_RECIPE)
    found = {p.entry.id: p.partly for p in waiting(three)}
    assert found == {"a": True, "b": True, "c": False}
    embed(three, {"a": np.empty((0, 4), dtype=np.float32), "b": new})
    assert [p.entry.id for p in waiting(three)] == ["c"]
    np.testing.assert_array_equal(three.vectors_of(["a"], MODEL)["a"], old)
    np.testing.assert_array_equal(three.vectors_of(["b"], MODEL)["b"], np.concatenate([old, new]))


# --- reading ---


def test_all_vectors_come_in_one_matrix_with_an_id_for_each_row(three: Database):
    matrices = {key: rows(count, seed=count) for key, count in (("a", 2), ("b", 1), ("c", 3))}
    embed(three, matrices)
    ids, matrix = three.get_all_vectors_batch(MODEL)
    assert matrix.dtype == np.float32
    assert matrix.shape == (6, 4)
    assert matrix.flags.c_contiguous
    for key, expected in matrices.items():
        np.testing.assert_array_equal(matrix[[i for i, other in enumerate(ids) if other == key]], expected)
        np.testing.assert_array_equal(three.vectors_of([key], MODEL)[key], expected)
    assert three.vector_bytes(MODEL) == 6 * 4 * 4


def test_a_base_without_vectors_gives_an_empty_matrix(three: Database):
    ids, matrix = three.get_all_vectors_batch(MODEL)
    assert (ids, len(matrix), matrix.dtype) == ([], 0, np.float32)
    assert three.vectors_of(["a"], MODEL) == {}


DAMAGE: dict[str, object] = {
    "cut": b"\x00" * 15,
    "shorter": np.ones(3, dtype="<f4").tobytes(),
    "longer": np.ones(8, dtype="<f4").tobytes(),
    "empty": b"",
    "zero": np.zeros(4, dtype="<f4").tobytes(),
    "nan": np.full(4, np.nan, dtype="<f4").tobytes(),
    "inf": np.array([np.inf, 0, 0, 0], dtype="<f4").tobytes(),
    "text": "x" * 16,
}


@pytest.mark.parametrize("blob", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_row_is_left_out_and_the_others_answer(three: Database, blob: object):
    embed(three, {"a": rows(2), "b": rows(2, seed=1), "c": rows(1, seed=2)})
    three.connection.execute(
        "UPDATE embeddings SET vector = ? WHERE rowid = (SELECT max(rowid) FROM embeddings WHERE entry_rowid = 1)",
        (blob,),
    )
    ids, matrix = three.get_all_vectors_batch(MODEL)
    assert sorted(ids) == ["a", "b", "b", "c"]
    assert matrix.shape == (4, 4)
    held = three.vectors_of(["a", "b", "c"], MODEL)
    np.testing.assert_array_equal(held["a"], rows(2)[:1])
    assert {key: len(part) for key, part in held.items()} == {"a": 1, "b": 2, "c": 1}


def test_one_read_of_all_vectors_outpaces_one_an_entry(database: Database, make_entry: MakeEntry):
    entries = [make_entry(f"t{i}") for i in range(2000)]
    database.add_many(entries)
    matrix = rows(2000, 384)
    batch = [(p, matrix[i : i + 1]) for i, p in enumerate(waiting(database, limit=2000))]
    database.store_vectors(batch, MODEL, RECIPE)
    start = time.process_time()
    ids, together = database.get_all_vectors_batch(MODEL)
    middle = time.process_time()
    singly = [database.vectors_of([key], MODEL)[key] for key in ids]
    end = time.process_time()
    np.testing.assert_array_equal(together, np.concatenate(singly))
    assert middle - start < (end - middle) / 2
