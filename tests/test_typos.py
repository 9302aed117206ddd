"""Which word was meant: one slip in a short word, two in a long one, and never where the word is known."""

from __future__ import annotations

import string
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekall.db import Database
from rekall.entry import Entry
from rekall.typos import beginnings_of, likeliest, may_be_slip, slips_between

letters = st.text(string.ascii_lowercase, max_size=12)


def slow_twin(one: str, other: str) -> int:
    """Return the restricted Damerau-Levenshtein distance, by its definition."""
    if not one or not other:
        return len(one) + len(other)
    found = [slow_twin(one[1:], other) + 1, slow_twin(one, other[1:]) + 1]
    found.append(slow_twin(one[1:], other[1:]) + (one[0] != other[0]))
    if len(one) > 1 and len(other) > 1 and one[0] == other[1] and one[1] == other[0]:
        found.append(slow_twin(one[2:], other[2:]) + 1)
    return min(found)


@given(st.text("abc", max_size=5), st.text("abc", max_size=5), st.integers(0, 3))
def test_slips_are_counted_as_the_slow_twin_does(one: str, other: str, most: int) -> None:
    assert slips_between(one, other, most) == min(slow_twin(one, other), most + 1)


@given(letters, letters)
def test_slips_do_not_depend_on_the_order(one: str, other: str) -> None:
    assert slips_between(one, other, 12) == slips_between(other, one, 12)


@pytest.mark.parametrize(
    ("word", "known", "meant"),
    [
        ("kubernets", {"kubernetes": 3, "kubectl": 9}, "kubernetes"),
        ("kuberentes", {"kubernetes": 3}, "kubernetes"),
        ("databse", {"database": 1, "databank": 8}, "database"),
        ("dtaabase", {"database": 1}, "database"),
        ("dattabbase", {"database": 1}, "database"),
        ("migrate", {"migrant": 1}, None),
        ("hello", {"hallo": 2, "hullo": 7}, "hullo"),
        ("hello", {"jelly": 2}, None),
        ("postgers", {"postgres": 1, "posters": 4}, "posters"),
        ("x86_64", {"x86_65": 1}, None),
    ],
)
def test_the_nearest_word_was_meant_and_of_equals_the_commonest(
    word: str, known: dict[str, int], meant: str | None
) -> None:
    assert likeliest(word, known.items()) == meant


@pytest.mark.parametrize(
    ("word", "worth"),
    [("disk", False), ("disks", True), ("sha256", False), ("e0382", False), ("naïvely", True), ("", False)],
)
def test_only_long_words_of_letters_are_mended(word: str, worth: bool) -> None:
    assert may_be_slip(word) is worth


@given(st.text(string.ascii_lowercase, min_size=5, max_size=12), st.data())
def test_a_slip_behind_the_first_letters_never_hides_the_beginning(word: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(3, len(word) - 1))
    slipped = word[:place] + data.draw(st.sampled_from(string.ascii_lowercase)) + word[place + 1 :]
    assert word[:3] in beginnings_of(slipped)


# --- in a base ---


@pytest.fixture
def shop(database: Database, make_entry: Callable[..., Entry]) -> Database:
    titles = {"k8s": "Kubernetes rollout hangs", "db": "Database connections run out", "till": "The till is locked"}
    database.add_many([make_entry(title, id=key) for key, title in titles.items()])
    return database


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("kuberentes", ["k8s"]),
        ("kuebrnetes", ["k8s"]),
        ("ukbernetes", ["k8s"]),
        ("dtabase", ["db"]),
        ("databsae conections", ["db"]),
        ("rolout", ["k8s"]),
        ("zzzzzz", []),
        ("lokced", ["till"]),
        ("tlil", []),
    ],
)
def test_a_word_with_a_slip_finds_what_was_meant(shop: Database, query: str, found: list[str]) -> None:
    assert [key for key, _score in shop.search_words(query, 10).found] == found


def test_a_word_that_is_known_is_not_mended(shop: Database, make_entry: Callable[..., Entry]) -> None:
    shop.add(make_entry("Databank of the shop", id="bank"))
    assert [key for key, _score in shop.search_words("databank", 10).found] == ["bank"]


def test_while_one_types_an_unfinished_word_is_no_slip_but_a_whole_one_may_be(shop: Database) -> None:
    assert [key for key, _score in shop.search_words("kubern", 10, is_typing=True).found] == ["k8s"]
    assert [key for key, _score in shop.search_words("kuberentes", 10, is_typing=True).found] == ["k8s"]


def test_what_is_found_by_a_slip_scores_below_what_is_found_as_typed(shop: Database) -> None:
    (_key, as_typed), (_other, by_slip) = (
        shop.search_words(query, 1).found[0] for query in ("kubernetes", "kuberentes")
    )
    ideals = [shop.search_words(query, 1).ideal for query in ("kubernetes", "kuberentes")]
    assert by_slip / ideals[1] < as_typed / ideals[0]
