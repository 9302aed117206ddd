"""The vectors in memory: each answer against a slow twin in float64, and no ghosts.

Every backend that can run here is held to the same promises.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from threading import Event, Thread

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from rekall.config import BACKENDS
from rekall.errors import BackendUnavailable, InvalidVector
from rekall.vector_index import SWEEP, VectorIndex
from rekall.vectors import Matrix, unit_rows

Pairs = list[tuple[str, float]]
D = 5
available = [backend for backend in BACKENDS if VectorIndex.is_available(backend)]
every_backend = pytest.mark.parametrize("backend", available)
backend_of_a_server = pytest.mark.parametrize("backend", [b for b in available if b != "sqlite-vec"])  # one thread's


def random_rows(count: int, dimensions: int = D, seed: int = 0) -> Matrix:
    return unit_rows(np.random.default_rng(seed).normal(size=(count, dimensions)))


def coarse_rows(count: int, seed: int) -> Matrix:
    """Return rows along an axis or a main diagonal: their products are exact, so ties are many and real."""
    generator = np.random.default_rng(seed)
    rows = np.zeros((count, 4))
    for row in rows:
        row[:] = generator.choice([-1, 1], 4) if generator.random() < 0.5 else 0
        if not row.any():
            row[generator.integers(4)] = generator.choice([-1, 1])
    return unit_rows(rows)


def twin(ids: Sequence[str], rows: Matrix, query: Matrix, k: int, allowed: Sequence[bool] | None = None) -> Pairs:
    """Return what a search must give: a full sort in float64, the earlier row first on a tie."""
    scores = rows.astype(np.float64) @ query.astype(np.float64)
    order = [row for row in np.argsort(-scores, kind="stable") if allowed is None or allowed[row]]
    return [(ids[row], float(scores[row])) for row in order[: max(k, 0)]]


def same(found: Pairs, wanted: Pairs) -> None:
    """Assert that two answers agree: the scores to float32, the ids wherever the scores are apart."""
    assert len(found) == len(wanted)
    np.testing.assert_allclose([s for _, s in found], [s for _, s in wanted], atol=1e-6)
    for place, ((key, score), (other, _)) in enumerate(zip(found, wanted, strict=True)):
        near = [s for i, (_, s) in enumerate(wanted) if i != place and abs(s - score) < 2e-6]
        cut = place == len(wanted) - 1  # the first that was cut off may be as near
        assert key == other or near or cut


# --- search ---


@every_backend
@given(n=st.integers(1, 60), k=st.integers(1, 70), seed=st.integers(0, 10**6), dimensions=st.integers(1, 40))
def test_a_search_is_what_a_full_sort_gives(backend: str, n: int, k: int, seed: int, dimensions: int):
    rows, query = random_rows(n, dimensions, seed), random_rows(1, dimensions, seed + 1)[0]
    ids = [f"e{i // 2}" for i in range(n)]  # an id has two rows
    same(VectorIndex.from_matrix(ids, rows, backend).search(query, k), twin(ids, rows, query, k))


@every_backend
@given(n=st.integers(1, 60), k=st.integers(1, 70), seed=st.integers(0, 10**6))
def test_equal_scores_leave_the_earlier_row_in_front(backend: str, n: int, k: int, seed: int):
    rows, query = coarse_rows(n, seed), coarse_rows(1, seed + 1)[0]
    ids = [f"e{i}" for i in range(n)]
    assert VectorIndex.from_matrix(ids, rows, backend).search(query, k) == twin(ids, rows, query, k)


@every_backend
@given(n=st.integers(2, 70), dimensions=st.integers(1, 400), seed=st.integers(0, 10**6), k=st.integers(1, 70))
@settings(max_examples=60)
def test_the_same_vector_under_many_ids_comes_in_the_order_of_its_rows(
    backend: str, n: int, dimensions: int, seed: int, k: int
):
    rows = np.repeat(random_rows(1, dimensions, seed), n, axis=0)
    ids = [f"e{i}" for i in range(n)]
    found = VectorIndex.from_matrix(ids, rows, backend).search(random_rows(1, dimensions, seed + 1)[0], k)
    assert [key for key, _score in found] == ids[:k]


@every_backend
@given(n=st.integers(1, 60), k=st.integers(1, 70), seed=st.integers(0, 10**6), share=st.floats(0, 1))
def test_a_mask_is_applied_before_the_cut(backend: str, n: int, k: int, seed: int, share: float):
    rows, query = coarse_rows(n, seed), coarse_rows(1, seed + 1)[0]
    ids = [f"e{i}" for i in range(n)]
    mask = np.random.default_rng(seed).random(n) < share
    index = VectorIndex.from_matrix(ids, rows, backend)
    assert index.search(query, k, mask) == twin(ids, rows, query, k, mask.tolist())


@every_backend
def test_a_mask_by_ids_widens_to_all_their_rows_and_passes_over_strangers(backend: str):
    index = VectorIndex.from_matrix(["a", "b", "a", "c"], random_rows(4), backend)
    assert index.mask_of(["a", "stranger", "c"]).tolist() == [True, False, True, True]
    assert index.mask_of([]).tolist() == [False] * 4
    assert {key for key, _ in index.search(random_rows(1)[0], 9, index.mask_of(["a"]))} == {"a"}
    assert index.search(random_rows(1)[0], 9, index.mask_of([])) == []


@every_backend
@pytest.mark.parametrize("k", [0, -1])
def test_fewer_than_one_answer_is_none(backend: str, k: int):
    assert VectorIndex.from_matrix(["a"], random_rows(1), backend).search(random_rows(1)[0], k) == []


@every_backend
def test_more_answers_than_rows_are_all_rows(backend: str):
    assert len(VectorIndex.from_matrix(["a", "b"], random_rows(2), backend).search(random_rows(1)[0], 99)) == 2


@every_backend
def test_an_empty_index_answers_nothing_and_takes_its_size_from_the_first_vector(backend: str):
    index = VectorIndex(backend)
    assert (index.search(random_rows(1)[0], 5), len(index), index.dimensions, "a" in index) == ([], 0, None, False)
    assert len(index.rows_of("a")) == 0
    index.add("a", random_rows(1)[0])
    assert (len(index), index.dimensions, "a" in index) == (1, D, True)
    assert index.search(random_rows(1)[0], 5) == [("a", pytest.approx(1))]


@every_backend
def test_a_query_of_any_length_is_a_direction(backend: str):
    rows, query = random_rows(9), random_rows(1, seed=1)[0]
    index = VectorIndex.from_matrix("abcdefghi", rows, backend)
    assert [key for key, _ in index.search(query * 7, 9)] == [key for key, _ in index.search(query, 9)]


@every_backend
def test_ten_thousand_vectors_are_searched_in_less_than_a_second(backend: str):
    rows = random_rows(10_000, 384)
    index = VectorIndex.from_matrix([f"e{i}" for i in range(len(rows))], rows, backend)
    start = time.perf_counter()
    found = index.search(rows[4321], 10)
    assert time.perf_counter() - start < 1
    assert found[0] == ("e4321", pytest.approx(1, abs=1e-5))


# --- what is refused ---

BAD = {
    "nan": [np.nan, 0, 0, 0, 1],
    "inf": [np.inf, 0, 0, 0, 1],
    "zero": [0.0] * D,
    "short": [1.0] * (D - 1),
    "long": [1.0] * (D + 1),
    "deep": [[[1.0] * D]],
}


@every_backend
@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
@pytest.mark.parametrize("deed", ["search", "add", "update", "rebuild"])
def test_a_vector_that_is_none_is_refused_and_changes_nothing(backend: str, bad: list[float], deed: str):
    rows, query = random_rows(3), random_rows(1, seed=1)[0]
    index = VectorIndex.from_matrix(["a", "b", "c"], rows, backend)
    before = index.search(query, 9)
    with pytest.raises(InvalidVector):
        if deed == "search":
            index.search(bad, 3)
        elif deed == "rebuild":
            index.rebuild(["x", "y"], bad)
        else:
            getattr(index, deed)("b", bad)
    assert index.search(query, 9) == before


@every_backend
@pytest.mark.parametrize("count", [0, 1, 3])
def test_as_many_ids_as_rows(backend: str, count: int):
    with pytest.raises(InvalidVector, match=rf"{count} ids"):
        VectorIndex.from_matrix("abc"[:count], random_rows(2), backend)


# --- changes ---


@every_backend
def test_rows_of_and_gather_give_the_vectors_back_in_the_order_they_came(backend: str):
    rows = random_rows(5)
    index = VectorIndex.from_matrix(["a", "b", "a"], rows[:3], backend)
    index.add("a", rows[3:])
    np.testing.assert_array_equal(index.rows_of("a"), rows[[0, 2, 3, 4]])
    assert len(index.rows_of("stranger")) == 0
    held, gathered, starts = index.gather(["b", "stranger", "a"])
    assert (held, starts) == (["b", "a"], [0, 1])
    np.testing.assert_array_equal(gathered, rows[[1, 0, 2, 3, 4]])


@every_backend
def test_what_is_given_out_is_a_copy(backend: str):
    index = VectorIndex.from_matrix(["a"], random_rows(1), backend)
    index.rows_of("a")[:] = 0
    index.gather(["a"])[1][:] = 0
    assert index.search(random_rows(1)[0], 1) == [("a", pytest.approx(1))]


@every_backend
def test_a_deleted_id_says_whether_it_was_there_and_never_answers_again(backend: str):
    index = VectorIndex.from_matrix(["a", "b", "a"], random_rows(3), backend)
    assert (index.delete("a"), index.delete("a")) == (True, False)
    assert [key for key, _ in index.search(random_rows(1)[0], 9)] == ["b"]
    assert ("a" in index, len(index), len(index.rows_of("a"))) == (False, 1, 0)


@every_backend
def test_an_index_emptied_takes_vectors_of_another_model(backend: str):
    index = VectorIndex.from_matrix(["a"], random_rows(1), backend)
    index.delete("a")
    assert index.dimensions is None
    index.add("b", [1.0, 0.0])
    assert index.search([1.0, 0.0], 5) == [("b", 1.0)]


@every_backend
def test_stats_count_rows_ids_and_tombstones(backend: str):
    index = VectorIndex.from_matrix(["a", "b", "a"], random_rows(3), backend)
    index.delete("b")
    stats = index.stats()
    assert (stats["rows"], stats["ids"], stats["tombstones"]) == (2, 1, 1)
    assert stats["backend"] == index.backend
    assert int(stats["bytes"]) >= 2 * D * 4


def test_a_backend_named_is_the_one_that_runs_or_an_error_that_names_it():
    assert VectorIndex.is_available("auto")
    assert VectorIndex.is_available("numpy")
    assert not VectorIndex.is_available("faiss")
    for backend in set(BACKENDS) - {"auto"}:
        if VectorIndex.is_available(backend):
            assert VectorIndex(backend).backend == backend
        else:
            with pytest.raises(BackendUnavailable, match=backend):
                VectorIndex(backend)


@backend_of_a_server
def test_a_search_amid_a_sweep_sees_the_rows_before_or_after_it(backend: str, monkeypatch: pytest.MonkeyPatch):
    keep, index = random_rows(1)[0], VectorIndex(backend)
    index.add("keep", keep)
    index.add("crowd", random_rows(SWEEP + 1, seed=1))
    reset, seen = index._searcher.reset, []

    def overtaken(store: Matrix, count: int) -> None:
        """Ask just before the searcher is told of the rows that are left, as another thread may."""
        seen.append([key for key, _score in index.search(keep, 1)])
        reset(store, count)

    monkeypatch.setattr(index._searcher, "reset", overtaken)
    index.delete("crowd")
    assert seen, "nothing was swept out"
    assert {tuple(keys) for keys in seen} == {("keep",)}


@backend_of_a_server
def test_a_search_never_misses_a_row_that_is_there_while_another_thread_sweeps_tombstones(backend: str):
    keep, index = random_rows(1)[0], VectorIndex(backend)
    index.add("keep", keep)
    done, missed, problems = Event(), [], []

    def ask() -> None:
        while not done.is_set():
            try:
                if index.search(keep, 1)[:1] != [("keep", pytest.approx(1, abs=1e-6))]:
                    missed.append(index.stats())
            except Exception as error:
                problems.append(error)

    threads = [Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for turn in range(400):  # each delete leaves more tombstones than rows, so they are swept out
        index.add("crowd", random_rows(SWEEP + 1, seed=turn))
        index.delete("crowd")
    done.set()
    for thread in threads:
        thread.join(30)
    assert (problems, missed) == ([], [])


@every_backend
@pytest.mark.parametrize("count", [0, 1, 40, 700])
def test_many_searches_give_what_each_gives_alone(backend: str, count: int):
    ids, queries = [f"e{row % 50}" for row in range(count)], random_rows(70, seed=1)
    index = VectorIndex.from_matrix(ids, random_rows(count) if count else np.empty((0, D)), backend)
    for key in ("e3", "e4"):
        index.delete(key)
    for mask in (None, index.mask_of(["e1", "e2", "e3"])):
        for k, floor in ((1, -2.0), (9, -2.0), (5000, 0.2), (0, -2.0)):
            assert index.search_many(queries, k, mask, floor) == [index.search(q, k, mask, floor) for q in queries]
    assert index.search_many([], 5) == []
    if count:
        with pytest.raises(InvalidVector):
            index.search_many([queries[0], [np.nan] * D], 5)


@every_backend
def test_a_mask_selects_the_same_ids_after_the_rows_have_got_other_numbers(backend: str):
    rows, query = random_rows(5), random_rows(1, seed=1)[0]
    index = VectorIndex.from_matrix("abcde", rows, backend)
    mask, others = index.mask_of("bd"), ~index.mask_of("bd")
    index.add("f", rows[0])
    assert {key for key, _ in index.search(query, 9, mask)} == {"b", "d"}
    assert {key for key, _ in index.search(query, 9, others)} == {"a", "c", "e"}  # f came later
    index.rebuild("edcba", rows[::-1])
    assert index.search(query, 9, mask) == index.search(query, 9, index.mask_of("bd"))
    index.delete("d")
    index.rebuild("ba", rows[[1, 0]])
    assert [key for key, _ in index.search(query, 9, mask)] == ["b"]
    index.rebuild([], [])
    assert index.search(query, 9, mask) == []


@every_backend
def test_threads_search_with_masks_and_gather_while_others_add_delete_update_and_rebuild(backend: str):
    """Each id has vectors of its own for ever, so a row number used with another generation's ids shows."""
    fixed, passing = [f"fixed{i}" for i in range(20)], [f"passing{i}" for i in range(200)]
    true = {key: random_rows(2, seed=i) for i, key in enumerate(fixed + passing)}
    index = VectorIndex(backend)

    def everything() -> tuple[list[str], Matrix]:
        keys = random.sample(fixed, len(fixed))
        return [key for key in keys for _row in range(2)], np.concatenate([true[key] for key in keys])

    index.rebuild(*everything())
    done, problems, answered = Event(), [], [0] * 4

    def ask(number: int) -> None:
        generator = random.Random(number)
        while not done.is_set():
            try:
                keys = generator.sample(fixed, 3) + generator.sample(passing, 3)
                mask = index.mask_of(keys)
                for key in keys:
                    found = dict(index.search(true[key][0], 50, mask)[::-1])
                    assert set(found) <= set(keys)
                    assert key in passing or found[key] == pytest.approx(1, abs=1e-5)
                for found in index.search_many([true[key][1] for key in keys[:3]], 50, mask):
                    assert {key for key, _ in found} >= set(keys[:3])
                held, rows, starts = index.gather(keys)
                assert set(held) >= set(keys[:3])
                for key, part in zip(held, np.split(rows, starts[1:]), strict=True):
                    np.testing.assert_array_equal(part, true[key])
                np.testing.assert_array_equal(index.rows_of(keys[0]), true[keys[0]])
                answered[number] += 1
            except Exception as error:
                problems.append(repr(error))
                return

    threads = [Thread(target=ask, args=(number,)) for number in range(len(answered))]
    for thread in threads:
        thread.start()
    end = time.monotonic() + 3
    while time.monotonic() < end or min(answered) < 5:
        if problems or time.monotonic() > end + 60:
            break
        for key in random.sample(passing, 50):
            index.add(key, true[key])
        for key in random.sample(fixed, 5):
            index.update(key, true[key])
        for key in passing:  # leaves more tombstones than rows: swept out
            index.delete(key)
        if random.random() < 0.3:
            index.rebuild(*everything())
    done.set()
    for thread in threads:
        thread.join(30)
    assert problems == []
    assert min(answered) >= 5


class IndexMachine(RuleBasedStateMachine):
    """Any sequence of changes leaves the rows that a plain list would hold, in its order."""

    backend = "auto"

    def __init__(self) -> None:
        super().__init__()
        self.index = VectorIndex(self.backend)
        self.rows: list[tuple[str, Matrix]] = []
        self.made = 0

    def fresh(self, count: int) -> Matrix:
        self.made += 1
        return random_rows(count, seed=self.made)

    @rule(key=st.sampled_from("abcdefgh"), count=st.integers(1, 40))
    def add(self, key: str, count: int) -> None:
        rows = self.fresh(count)
        self.index.add(key, rows)
        self.rows += [(key, row) for row in rows]

    @rule(key=st.sampled_from("abcdefgh"))
    def delete(self, key: str) -> None:
        assert self.index.delete(key) == any(key == other for other, _ in self.rows)
        self.rows = [pair for pair in self.rows if pair[0] != key]

    @rule(key=st.sampled_from("abcdefgh"), count=st.integers(1, 3))
    def update(self, key: str, count: int) -> None:
        rows = self.fresh(count)
        self.index.update(key, rows)
        self.rows = [pair for pair in self.rows if pair[0] != key] + [(key, row) for row in rows]

    @precondition(lambda self: self.rows)
    @rule()
    def rebuild(self) -> None:
        self.index.rebuild([key for key, _ in self.rows], np.array([row for _, row in self.rows]))

    @rule(k=st.integers(1, 60))
    def search(self, k: int) -> None:
        query, ids = self.fresh(1)[0], [key for key, _ in self.rows]
        matrix = np.array([row for _, row in self.rows]).reshape(-1, D)
        same(self.index.search(query, k), twin(ids, matrix, query, k))

    @invariant()
    def holds_the_rows_of_each_id_in_order(self) -> None:
        assert len(self.index) == len(self.rows)
        for key in {key for key, _ in self.rows}:
            np.testing.assert_array_equal(self.index.rows_of(key), [row for other, row in self.rows if other == key])


class NumpyMachine(IndexMachine):
    backend = "numpy"


TestAnySequenceOfChanges = IndexMachine.TestCase
TestAnySequenceOfChangesInNumpy = NumpyMachine.TestCase
for case in (TestAnySequenceOfChanges, TestAnySequenceOfChangesInNumpy):
    case.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
