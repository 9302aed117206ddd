"""One order out of words and meaning. Pure: scores in, hits out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekall.ranking import MEANING, SEVERAL, WHOLE, WORDS, Cosine, Hit, by_words, with_titles
from rekall.ranking import by_meaning as by_cosines
from rekall.ranking import fuse as fuse_cosines
from rekall.words import Matches

ids = st.sampled_from([f"e{i}" for i in range(12)])
words_found = st.dictionaries(ids, st.floats(1e-6, 50)).map(lambda found: sorted(found.items(), key=lambda p: -p[1]))
cosines = st.dictionaries(ids, st.floats(-1, 1).map(lambda x: round(x, 6)))


def matches(found: dict[str, float], ideal: float = 0.0) -> Matches:
    return Matches(sorted(found.items(), key=lambda pair: -pair[1]), ideal)


def single(near: dict[str, float]) -> dict[str, Cosine]:
    """Return the cosines of entries of one passage."""
    return {key: Cosine(cosine, cosine) for key, cosine in near.items()}


def by_meaning(near: dict[str, float]) -> list[Hit]:
    return by_cosines(single(near))


def fuse(matches: Matches, near: dict[str, float], k: int | None = None) -> list[Hit]:
    return fuse_cosines(matches, single(near), k)


def order(hits: list[Hit]) -> str:
    return "".join(hit.id for hit in hits)


def test_nothing_found_is_no_hits():
    assert (fuse(matches({}), {}), by_words(matches({})), by_meaning({})) == ([], [], [])


def test_words_are_measured_by_what_a_perfect_match_would_score():
    hits = by_words(matches({"a": 4.0, "b": 2.0}, ideal=8.0))
    assert [(hit.id, hit.score, hit.words, hit.bm25) for hit in hits] == [("a", 0.5, 0.5, 4.0), ("b", 0.25, 0.25, 2.0)]


def test_a_match_better_than_the_ideal_counts_as_perfect():
    assert by_words(matches({"a": 9.0, "b": 3.0}, ideal=1.0))[0].score == 1


def test_meaning_alone_scores_the_cosine_itself():
    hits = by_meaning({"a": -0.25, "b": 0.5})
    assert [(hit.id, hit.score, hit.cosine, hit.words) for hit in hits] == [
        ("b", 0.5, 0.5, None),
        ("a", -0.25, -0.25, None),
    ]


def test_either_witness_convinces_by_its_share_and_both_together_by_more():
    hits = {hit.id: hit for hit in fuse(matches({"a": 4.0, "c": 8.0}, 8.0), {"a": 0.5, "b": 0.5, "c": 0.0})}
    assert {key: hit.score for key, hit in hits.items()} == pytest.approx(
        {"a": 1 - (1 - WORDS / 2) * (1 - MEANING / 2), "b": MEANING / 2, "c": WORDS}
    )
    assert {key: (hit.words, hit.meaning) for key, hit in hits.items()} == {
        "a": (0.5, 0.5),
        "b": (None, 0.5),
        "c": (1, 0),
    }


def test_the_whole_entry_counts_beside_its_best_passage_and_less_the_more_it_holds():
    assert Cosine(0.5, 0.9, 1).meaning == 0.5
    assert Cosine(0.5, 0.3, 2).meaning == Cosine(0.5, 0.3, SEVERAL).meaning == pytest.approx(0.5 - WHOLE * 0.2)
    assert Cosine(0.5, 0.3, 2 * SEVERAL).meaning == pytest.approx(0.5 - WHOLE * 0.1)
    assert Cosine(-0.5, -0.3, 3).meaning == 0


def test_what_is_not_embedded_yet_counts_as_the_farthest():
    hits = fuse(matches({"new": 4.0, "old": 4.0}, 8.0), {"old": 0.31, "far": 0.3})
    assert order(hits[:1]) == "old"
    assert (hits[1].id, hits[1].meaning, hits[1].cosine) == ("new", None, None)
    assert hits[1].score == pytest.approx(1 - (1 - WORDS / 2) * (1 - MEANING * 0.3))


def test_an_entry_both_arms_name_goes_before_one_that_only_one_names():
    assert order(fuse(matches({"a": 5.0, "b": 5.0}, 5.0), {"b": 0.9, "c": 0.9, "d": 0.1}))[0] == "b"


def test_an_entry_without_a_vector_is_found_by_its_words():
    (hit,) = fuse(matches({"a": 2.0}, 4.0), {})
    assert (hit.score, hit.words, hit.meaning, hit.cosine) == (WORDS / 2, 0.5, None, None)


def test_a_poor_match_by_one_common_word_does_not_beat_the_one_that_means_the_same():
    assert order(fuse(matches({"when": 0.3}, 12.0), {"when": 0.1, "same": 0.7})) == "same" + "when"


@pytest.mark.parametrize("score", [0.5, 0.0, -0.5])
def test_ties_go_by_id(score: float):
    keys = ["c", "a", "d", "b"]
    assert order(by_meaning(dict.fromkeys(keys, score))) == "abcd"
    assert order(fuse(matches({}), dict.fromkeys(keys, score))) == "abcd"
    assert order(by_words(matches(dict.fromkeys(keys, 1.0), 2.0))) == "abcd"


@given(words_found, st.floats(0, 60), cosines)
def test_every_candidate_comes_once_best_first_with_its_parts(
    found: list[tuple[str, float]], ideal: float, near: dict[str, float]
):
    hits = fuse(Matches(found, ideal), near)
    assert sorted(hit.id for hit in hits) == sorted({*dict(found), *near})
    assert hits == sorted(hits, key=lambda hit: (-hit.score, hit.id))
    for hit in hits:
        assert (hit.words is None) == (hit.id not in dict(found))
        assert hit.cosine == near.get(hit.id)
        assert hit.words is None or 0 <= hit.words <= 1
        assert hit.meaning is None or 0 <= hit.meaning <= 1
        assert 0 <= hit.score < 1


@given(words_found.filter(bool), cosines, st.floats(0, 60), st.data())
def test_more_of_either_never_makes_a_hit_worse(
    found: list[tuple[str, float]], near: dict[str, float], ideal: float, data: st.DataObject
):
    keys = [hit.id for hit in fuse(Matches(found, ideal), near)]
    key = data.draw(st.sampled_from(keys))
    best = max(ideal, found[0][1])
    better = dict(found) | {key: data.draw(st.floats(dict(found).get(key, 0.0), best).filter(bool))}
    after = [hit.id for hit in fuse(matches(better, best), near)]
    assert after.index(key) <= [hit.id for hit in fuse(Matches(found, best), near)].index(key)
    if key in near:
        nearer = near | {key: data.draw(st.floats(near[key], 1).map(lambda x: round(x, 6)))}
        after = [hit.id for hit in fuse(Matches(found, ideal), nearer)]
        assert after.index(key) <= keys.index(key)


titles = st.lists(st.sampled_from(["git", "Undo", "the", "C", "C++", "last", "commit"]), max_size=4).map(" ".join)


@given(words_found, cosines, st.dictionaries(ids, titles), titles.filter(bool))
def test_a_title_typed_in_full_is_first(
    found: list[tuple[str, float]], near: dict[str, float], named: dict[str, str], text: str
):
    hits = fuse(Matches(found, 60.0), near)
    raised = with_titles(hits, f" {text.upper()}  ", named)
    same = [hit.id for hit in hits if named.get(hit.id, "").casefold() == text.casefold()]
    assert [hit.id for hit in raised[: len(same)]] == same
    assert all((hit.titled == 2) == (hit.id in same) for hit in raised)
    rest = [hit.id for hit in raised if not hit.titled]
    assert rest == [hit.id for hit in hits if hit.id in rest]  # the others stay in their order
    assert raised == sorted(raised, key=lambda hit: (-hit.score, hit.id))


def test_the_same_words_in_other_signs_come_behind_the_same_text():
    hits = fuse(matches({}), {"other": 0.9, "c": 0.5, "cpp": 0.3})
    assert order(with_titles(hits, "c++", {"c": "C", "cpp": "C++", "other": "C and C++"})) == "cpp" + "c" + "other"
    assert order(with_titles(hits, "++", {"c": "", "cpp": "+"})) == order(hits)


@given(words_found, st.floats(0, 60), cosines)
def test_the_order_does_not_depend_on_the_order_in_which_candidates_came(
    found: list[tuple[str, float]], ideal: float, near: dict[str, float]
):
    turned = Matches(found[::-1], ideal), dict(reversed(near.items()))
    assert fuse(*turned) == fuse(Matches(found, ideal), near)
    assert by_meaning(turned[1]) == by_meaning(near)
    assert by_words(turned[0]) == by_words(Matches(found, ideal))


@given(words_found.filter(bool), st.floats(0, 60))
def test_more_words_never_make_a_hit_worse(found: list[tuple[str, float]], ideal: float):
    scores = {hit.id: hit.score for hit in by_words(Matches(found, ideal))}
    assert [scores[key] for key, _ in found] == sorted(scores.values(), reverse=True)
