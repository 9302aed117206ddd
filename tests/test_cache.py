"""The cache of vectors: a hit saves work, a miss never changes an answer."""

from __future__ import annotations

from threading import Thread

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekall.cache import EmbeddingCache, HitCache
from rekall.commands import Room
from rekall.commands.room import MOST_KEPT
from rekall.config import Base, Config
from rekall.db import Database
from rekall.query import Filters
from rekall.vectors import Matrix


class Clock:
    """A clock that a test moves by hand."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def vector(number: float, rows: int = 1) -> Matrix:
    return np.full((rows, 3), number, dtype=np.float32)


def held(cache: EmbeddingCache, keys: str) -> str:
    """Return those of `keys` that are held; asking counts as using them, in this order."""
    return "".join(key for key in keys if cache.get(key) is not None)


# --- one by one ---


def test_what_was_put_comes_back_and_what_was_not_is_none():
    cache = EmbeddingCache()
    cache.put("a", vector(1))
    assert cache.get("a") is not None
    np.testing.assert_array_equal(cache.get("a"), vector(1))
    assert cache.get("b") is None
    assert len(cache) == 1


def test_the_last_one_put_under_a_key_is_held():
    cache = EmbeddingCache()
    cache.put("a", vector(1))
    cache.put("a", vector(2))
    np.testing.assert_array_equal(cache.get("a"), vector(2))
    assert len(cache) == 1


def test_the_one_unused_for_longest_makes_room():
    cache = EmbeddingCache(maxsize=3)
    for key in "abc":
        cache.put(key, vector(1))
    cache.get("a")
    cache.put("d", vector(1))
    assert held(cache, "abcd") == "acd"


def test_putting_again_counts_as_using():
    cache = EmbeddingCache(maxsize=2)
    for key in "aba":
        cache.put(key, vector(1))
    cache.put("c", vector(1))
    assert held(cache, "abc") == "ac"


def test_a_vector_is_held_for_its_time_counted_from_when_it_was_put():
    clock = Clock()
    cache = EmbeddingCache(ttl_seconds=10, clock=clock)
    cache.put("a", vector(1))
    clock.seconds += 6
    cache.put("b", vector(1))
    assert held(cache, "ab") == "ab"  # a hit does not prolong it
    clock.seconds += 4
    assert held(cache, "ab") == "b"
    assert len(cache) == 1  # what is too old is let go
    cache.put("a", vector(2))
    assert held(cache, "a") == "a"


@pytest.mark.parametrize("seconds", [0, 0.003])
def test_a_time_of_a_fraction_of_a_second_or_of_none_is_honoured(seconds: float):
    clock = Clock()
    cache = EmbeddingCache(ttl_seconds=seconds, clock=clock)
    cache.put("a", vector(1))
    assert held(cache, "a") == ("a" if seconds else "")
    clock.seconds += seconds
    assert held(cache, "a") == ""


def test_invalidate_forgets_one_and_clear_all():
    cache = EmbeddingCache()
    for key in "abc":
        cache.put(key, vector(1))
    cache.invalidate("b")
    cache.invalidate("stranger")
    assert held(cache, "abc") == "ac"
    cache.clear()
    assert (held(cache, "abc"), len(cache)) == ("", 0)


@given(
    st.integers(1, 5), st.lists(st.tuples(st.sampled_from(["get", "put", "invalidate"]), st.sampled_from("abcdefgh")))
)
def test_any_sequence_of_uses_holds_what_a_list_in_order_of_use_would(maxsize: int, uses: list[tuple[str, str]]):
    cache, used = EmbeddingCache(maxsize=maxsize), list[str]()
    for deed, key in uses:
        was_there = key in used
        if was_there:
            used.remove(key)
        if deed == "put":
            cache.put(key, vector(1))
        elif deed == "get":
            assert (cache.get(key) is not None) == was_there
        else:
            cache.invalidate(key)
        if deed == "put" or (deed == "get" and was_there):
            used = [*used, key][-maxsize:]
        assert len(cache) == len(used)
    assert held(cache, "abcdefgh") == "".join(sorted(used))


# --- all at once ---


@pytest.fixture
def complete() -> EmbeddingCache:
    """Return a cache that holds the whole base as it stood at revision 7; b has two passages."""
    cache = EmbeddingCache(maxsize=4)
    cache.put_all(["b", "a", "b"], np.array([[1, 0], [2, 0], [3, 0]], dtype=np.float32), 7)
    return cache


def test_a_complete_cache_gives_the_base_back_as_one_matrix(complete: EmbeddingCache):
    everything = complete.get_all_as_matrix(7)
    assert everything is not None
    ids, matrix = everything
    assert matrix.dtype == np.float32
    of_each = {key: [float(row[0]) for key2, row in zip(ids, matrix, strict=True) if key2 == key] for key in ids}
    assert of_each == {"a": [2.0], "b": [1.0, 3.0]}
    np.testing.assert_array_equal(complete.get("b"), [[1, 0], [3, 0]])
    assert complete.get_all_as_matrix() is not None


def test_another_revision_of_the_base_is_not_what_is_held(complete: EmbeddingCache):
    assert complete.get_all_as_matrix(8) is None
    assert complete.get_all_as_matrix(6) is None
    assert complete.get_all_as_matrix(7) is not None


def test_an_entry_invalidated_makes_it_incomplete_until_all_are_put_again(complete: EmbeddingCache):
    complete.invalidate("a")
    assert complete.get_all_as_matrix() is None
    complete.put("a", vector(1))
    assert complete.get_all_as_matrix() is None
    complete.put_all(["a"], vector(1), 8)
    everything = complete.get_all_as_matrix(8)
    assert everything is not None
    assert everything[0] == ["a"]  # b was put earlier, but is no entry any more


def test_an_entry_evicted_makes_it_incomplete(complete: EmbeddingCache):
    for number in range(3):
        complete.put(f"query {number}", vector(1)[0])
    assert complete.get_all_as_matrix(7) is None


def test_a_query_beside_the_entries_does_not_count_as_one(complete: EmbeddingCache):
    complete.put("model:query", np.array([9, 9], dtype=np.float32))
    everything = complete.get_all_as_matrix(7)
    assert everything is not None
    assert sorted(everything[0]) == ["a", "b", "b"]


def test_a_cleared_cache_is_incomplete(complete: EmbeddingCache):
    complete.clear()
    assert complete.get_all_as_matrix() is None


def test_entries_too_old_make_it_incomplete():
    clock = Clock()
    cache = EmbeddingCache(ttl_seconds=10, clock=clock)
    cache.put_all(["a"], vector(1), 1)
    clock.seconds += 10
    assert cache.get_all_as_matrix(1) is None


def test_a_cache_never_filled_is_incomplete():
    cache = EmbeddingCache()
    cache.put("a", vector(1))
    assert cache.get_all_as_matrix() is None


def test_a_base_that_does_not_fit_is_not_half_kept():
    cache = EmbeddingCache(maxsize=2)
    cache.put("query", vector(1))
    cache.put_all(["a", "b", "c"], vector(1, 3), 1)
    assert held(cache, "abc") == ""
    assert cache.get("query") is not None
    assert cache.get_all_as_matrix() is None


def test_a_base_that_just_fits_is_kept_whole():
    cache = EmbeddingCache(maxsize=2)
    cache.put("query", vector(1))
    cache.put_all(["a", "b"], vector(1, 2), 1)
    assert cache.get_all_as_matrix(1) is not None


# --- threads ---


def test_threads_share_it_without_errors_or_torn_matrices():
    """Each put_all writes its own number everywhere: whatever is read back must hold one number a key."""
    cache = EmbeddingCache(maxsize=20)
    problems: list[object] = []

    def work(number: int) -> None:
        try:
            for turn in range(200):
                cache.put_all(["a", "b", "a"], vector(number, 3), number)
                cache.put(f"q{turn % 30}", vector(number))
                everything = cache.get_all_as_matrix()
                if everything and sorted(everything[0]) != ["a", "a", "b"]:
                    problems.append(everything)
                passages = cache.get("a")
                if passages is not None and len(set(passages.ravel().tolist())) != 1:
                    problems.append(passages)
                cache.invalidate("b" if turn % 3 else "stranger")
                if len(cache) > 20:
                    problems.append(len(cache))
        except Exception as error:
            problems.append(error)

    threads = [Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert problems == []


def test_hits_are_kept_for_the_questions_asked_last():
    cache: HitCache[list[str]] = HitCache(maxsize=2)
    cache.put("a", ["1"])
    cache.put("b", [])
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (["1"], [], None)
    cache.get("a")
    cache.put("c", ["3"])  # b was unused for longest
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (["1"], None, ["3"])
    cache.clear()
    assert cache.get("a") is None


def test_a_question_asked_again_is_answered_from_what_was_found_until_the_base_changes(tmp_path, make_entry):
    path = tmp_path / "base.db"
    with Database(path) as writer, Room(Base(path, "option"), Config(tmp_path / "none", {})) as room:
        writer.add(make_entry("undo the last commit", id="undo"))
        first = room.find("undo commit", 10, None, "both")
        assert list(room.household.hits._held.values()) == [first] and [hit.id for hit in first] == ["undo"]
        assert room.find("undo commit", 10, None, "both") == first
        assert room.find("undo commit", 10, Filters(types=("bug",)), "both") == []  # another question
        writer.add(make_entry("undo a commit that was pushed", id="pushed"))
        assert {hit.id for hit in room.find("undo commit", 10, None, "both")} == {"undo", "pushed"}
        writer.delete("undo")
        assert [hit.id for hit in room.find("undo commit", 10, None, "both")] == ["pushed"]


def test_an_answer_as_long_as_a_base_is_not_kept(tmp_path, make_entry):
    path = tmp_path / "base.db"
    with Database(path) as writer, Room(Base(path, "option"), Config(tmp_path / "none", {})) as room:
        writer.add_many([make_entry(f"tar number {number}") for number in range(MOST_KEPT + 1)])
        assert len(room.find("tar", 10_000, None, "words")) == MOST_KEPT + 1
        assert not room.household.hits._held
        assert len(room.find("tar", 10, None, "words")) == 10
        assert len(room.household.hits._held) == 1
