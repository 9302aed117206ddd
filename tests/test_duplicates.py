"""Entries that say the same: add tells of one, `rekall duplicates` lists them."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from running import Rekall, rekall_in, wait_for
from warm import Warm

from rekall.duplicates import Pair, mean_rows, near_pairs
from rekall.errors import Cancelled
from rekall.vectors import cosines, unit_rows

TAR = (
    "tar: -C changes the directory before the NEXT name only",
    "Each -C counts for the names behind it, not for those before.",
)
AGAIN = (
    "tar: -C changes directory before the next name only",
    "Each -C counts only for the names behind it, not those before.",
)
BREAD = ("Rye sourdough", "Feed the starter twice a day and bake it hot.")


@pytest.fixture
def rekall(home: dict[str, str]) -> Rekall:
    return rekall_in(home)


def add(rekall: Rekall, note: tuple[str, str]) -> tuple[str, str]:
    """Add a note; return its id and what was said about it."""
    answer = rekall("add", "til", note[0], "-c", note[1])
    assert answer.status == 0
    assert answer.output.count("\n") == 1
    return answer.output.strip(), answer.errors


def test_add_tells_of_an_entry_that_says_the_same_and_of_no_other(rekall: Rekall) -> None:
    first, said = add(rekall, TAR)
    assert said == ""
    assert add(rekall, BREAD)[1] == ""
    _second, said = add(rekall, AGAIN)
    assert said.startswith(f"much like {first[:6]}")
    assert TAR[0] in said
    assert said.count("\n") == 1


def test_an_obsolete_entry_is_no_reason_to_say_anything(rekall: Rekall) -> None:
    first, _said = add(rekall, TAR)
    assert rekall("edit", first, "--status", "obsolete").status == 0
    assert add(rekall, AGAIN)[1] == ""


def test_the_warm_process_tells_of_it_once_the_model_is_there_and_never_waits_for_it(warm: Warm) -> None:
    warm.start_server()
    _first, said = add(warm, TAR)
    assert said == ""
    warm.warm_up()
    assert add(warm, BREAD)[1] == ""
    wait_for(lambda: add(warm, AGAIN)[1].startswith("much like "))  # a machine under load may be too late for one
    assert add(warm, (AGAIN[0], AGAIN[1] + " And more." * 200))[1] == "", "it would take long to compare"


def test_duplicates_lists_pairs_until_one_replaces_the_other(rekall: Rekall) -> None:
    assert rekall("duplicates").status == 1
    first, _said = add(rekall, TAR)
    add(rekall, BREAD)
    assert rekall("duplicates", "--json").output == '{"pairs": []}\n'
    second, _said = add(rekall, AGAIN)
    answer = rekall("duplicates")
    assert answer.status == 0
    one, other = answer.output.splitlines()
    assert {one[7:].split()[0][:10], other[7:].split()[0][:10]} <= {
        key[:length] for key in (first, second) for length in range(27)
    }
    assert one.startswith("0.9")
    assert other.startswith("       ")
    (pair,) = json.loads(rekall("duplicates", "--json").output)["pairs"]
    assert {entry["id"] for entry in pair["entries"]} == {first, second}
    assert pair["cosine"] >= 0.9
    assert rekall("link", second, first, "-r", "supersedes").status == 0
    assert rekall("duplicates").status == 1


def test_as_many_pairs_as_asked_for_nearest_first(rekall: Rekall) -> None:
    for note in (TAR, AGAIN, TAR):
        add(rekall, note)
    pairs = json.loads(rekall("duplicates", "--json").output)["pairs"]
    assert [pair["cosine"] for pair in pairs] == sorted((pair["cosine"] for pair in pairs), reverse=True)
    assert len(pairs) == 3
    assert json.loads(rekall("duplicates", "--json", "-n", "1").output)["pairs"] == pairs[:1]
    assert pairs[0]["cosine"] == 1.0


def test_the_warm_process_lists_the_same(warm: Warm) -> None:
    for note in (TAR, AGAIN, BREAD):
        add(warm, note)
    warm.warm_up()
    assert warm("duplicates", "--json") == warm.cold("duplicates", "--json")
    assert warm("duplicates").status == 0


def test_pairs_are_those_of_comparing_each_with_each() -> None:
    rng = np.random.default_rng(3)
    centres = rng.standard_normal((40, 16))
    rows = unit_rows(np.repeat(centres, 3, axis=0) + 0.15 * rng.standard_normal((120, 16)))
    keys = [f"e{number:03}" for number in range(120)]
    for least in (0.85, 0.95, 0.99):
        slow = {
            (keys[a], keys[b])
            for a, b in itertools.combinations(range(120), 2)
            if cosines(rows[[a]], rows[b])[0] >= least
        }
        found = near_pairs(keys, rows, least=least)
        assert {pair[:2] for pair in found} == slow
        assert found == sorted(found, key=lambda pair: (-pair.cosine, pair.one, pair.other))


def test_of_many_that_are_the_same_each_is_named() -> None:
    rows = unit_rows(np.ones((50, 8)))
    found = near_pairs([f"e{number:02}" for number in range(50)], rows)
    assert {key for pair in found for key in pair[:2]} == {f"e{number:02}" for number in range(50)}


def test_it_stops_when_nobody_waits() -> None:
    def gone() -> None:
        raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        near_pairs(["a", "b"], unit_rows(np.eye(2)), check=gone)


def test_an_entry_is_the_mean_of_its_passages() -> None:
    rows = unit_rows([[1, 0], [0, 1], [1, 0]])
    assert mean_rows(rows, [0, 2]) == pytest.approx(np.array([[0.70710677, 0.70710677], [1, 0]]))
    assert mean_rows(rows[:0], []).shape == (0, 2)
    assert near_pairs([], rows[:0]) == []
    assert near_pairs(["a", "b"], rows[[0, 2]]) == [Pair("a", "b", 1.0)]


def test_a_base_that_is_not_there_has_none_and_is_not_made(rekall: Rekall) -> None:
    assert rekall("duplicates").status == 1
    assert not Path(rekall.base).exists()
