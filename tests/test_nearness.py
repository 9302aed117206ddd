"""The vectors in memory follow the base, whoever writes to it and however many threads ask."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from zlib import crc32

import numpy as np
import pytest

from rekall.cache import EmbeddingCache
from rekall.db import Database
from rekall.entry import Entry
from rekall.nearness import Resident
from rekall.vectors import Matrix, unit_rows

MakeEntry = Callable[..., Entry]
MODEL, RECIPE, D = "m", "1", 8


def vector_of(title: str) -> Matrix:
    """Return the one vector that an entry of this title has."""
    return unit_rows(np.random.default_rng(crc32(title.encode())).normal(size=(1, D)))


def embed_all(database: Database) -> None:
    while waiting := database.pending(MODEL, RECIPE, 100):
        database.store_vectors([(pending, vector_of(pending.entry.title)) for pending in waiting], MODEL, RECIPE)


def resident() -> Resident:
    return Resident(EmbeddingCache(maxsize=0), MODEL, "auto")


@pytest.fixture
def three(database: Database, make_entry: MakeEntry) -> Database:
    """Return a base of the entries a, b and c with their vectors."""
    database.add_many([make_entry(key, id=key) for key in "abc"])
    embed_all(database)
    return database


def nearest(held: Resident, database: Database, title: str) -> str:
    return held.over(database).passages(vector_of(title)[0], 1, None)[0]


def test_what_was_dropped_is_read_again_and_whoever_holds_it_is_not_disturbed(three: Database):
    held = resident()
    index = held.index_at(three)
    held.drop()
    assert not held.is_loaded
    assert [key for key, _score in index.search(vector_of("b")[0], 1)] == ["b"]
    assert nearest(held, three, "b") == "b"
    assert held.is_loaded
    assert held.index_at(three) is not index


def test_each_connection_sees_what_the_others_wrote(three: Database, make_entry: MakeEntry):
    held = resident()
    assert len(held.index_at(three)) == 3
    with Database(three.path) as other:
        other.add(make_entry("d", id="d"))
        embed_all(other)
        assert nearest(held, other, "d") == "d"
        other.delete("a")
        assert nearest(held, three, "d") == "d"
        assert "a" not in held.index_at(three)
    assert len(held.index_at(three)) == 3


def test_what_was_rolled_back_is_gone(three: Database, make_entry: MakeEntry):
    held = resident()
    with pytest.raises(ZeroDivisionError), three.transaction():
        three.add(make_entry("d", id="d"))
        embed_all(three)
        assert nearest(held, three, "d") == "d"
        raise ZeroDivisionError
    assert len(held.index_at(three)) == 3
    three.add(make_entry("e", id="e"))
    embed_all(three)
    assert nearest(held, three, "e") == "e"
    assert "d" not in held.index_at(three)


def test_a_vector_of_another_length_loads_everything_anew(three: Database):
    held = resident()
    held.index_at(three)
    blob = np.float32([0.6, 0.8]).tobytes()
    three.connection.execute("UPDATE embeddings SET vector = ?", (blob,))
    index = held.index_at(three)
    assert (len(index), index.dimensions) == (3, 2)


def test_threads_with_a_connection_each_share_the_vectors_while_one_writes_and_one_drops_them(
    tmp_path: Path, make_entry: MakeEntry
):
    path, held, done = tmp_path / "base" / "rekall.db", resident(), Event()
    problems: list[str] = []
    answered = [0] * 4
    with Database(path) as writer:
        writer.add_many([make_entry(f"fixed {i}", id=f"fixed{i}") for i in range(50)])
        embed_all(writer)

        def ask(number: int) -> None:
            try:
                with Database(path) as database:
                    while not done.is_set():
                        i = answered[number] * 7 % 50
                        assert nearest(held, database, f"fixed {i}") == f"fixed{i}"
                        keys, rows, starts = held.over(database).vectors([f"fixed{i}", "stranger", "fixed3"])
                        np.testing.assert_array_equal(rows[starts[0]], vector_of(f"fixed {i}")[0])
                        assert len(keys) == 2
                        answered[number] += 1
            except Exception as error:
                problems.append(repr(error))

        threads = [Thread(target=ask, args=(number,)) for number in range(len(answered))]
        for thread in threads:
            thread.start()
        end, turn = time.monotonic() + 3, 0
        while (time.monotonic() < end or min(answered) < 5) and not problems and time.monotonic() < end + 60:
            writer.add(make_entry(f"passing {turn}", id=f"passing{turn}"))
            embed_all(writer)
            assert len(held.index_at(writer)) == 51
            writer.delete(f"passing{turn}")
            turn += 1
            if turn % 5 == 0:
                held.drop()
        done.set()
        for thread in threads:
            thread.join(30)
    assert problems == []
    assert min(answered) >= 5
