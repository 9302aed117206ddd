"""One order out of two kinds of evidence. Pure: scores in, hits out.

Words: bm25, divided by what the query's words could have scored at most, so 0 to 1. Meaning: the cosine,
stretched over the candidates so that the farthest is 0 and the nearest 1. The sum is the score.

Dividing by the best hit's bm25 instead would call the best match perfect however poor it is: an entry
that shares only "when" with the query would outrank the one that means the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rekall.words import Matches

# Candidates each arm puts forward, whatever the limit asked for, so that the first ten are the same
# for --limit 10 and --limit 100.
POOL = 100

# Measured with tests/eval: no weight is best on all sets, and 1 loses little on any (decision 022).
MEANING_WEIGHT = 1.0


@dataclass(frozen=True, slots=True)
class Hit:
    """One entry that answers, and why.

    `words` is its bm25 over the highest possible (None: no word matched), `cosine` that of its best
    passage (None: it has no vector yet), `meaning` the cosine's place between the candidates, 0 to 1.
    `arm` names the evidence by which a failing output was answered: exact, near, words or meaning.
    """

    id: str
    score: float
    words: float | None = None
    bm25: float | None = None
    meaning: float | None = None
    cosine: float | None = None
    arm: str | None = None


def by_words(matches: Matches) -> list[Hit]:
    """Return the hits of the words arm alone."""
    most = _highest(matches)
    return _ordered([Hit(key, words := round(bm25 / most, 6), words, round(bm25, 6)) for key, bm25 in matches.found])


def by_meaning(cosines: Mapping[str, float]) -> list[Hit]:
    """Return the hits of the meaning arm alone; the score is the cosine itself."""
    return _ordered([Hit(key, cosine, meaning=cosine, cosine=cosine) for key, cosine in cosines.items()])


def fuse(
    matches: Matches, cosines: Mapping[str, float], k: int | None = None, weight: float = MEANING_WEIGHT
) -> list[Hit]:
    """Return the k best candidates of either arm (None: all) in one order, best first, ties by id.

    `cosines` holds the cosine of every candidate that has a vector, those found by words included.
    """
    most = _highest(matches)
    low, high = min(cosines.values(), default=0.0), max(cosines.values(), default=0.0)
    spread = (high - low) or 1.0
    bm25 = dict(matches.found)
    scored = []
    for key in dict.fromkeys([*bm25, *cosines]):
        score, cosine = bm25.get(key), cosines.get(key)
        words = None if score is None else round(score / most, 6)
        meaning = None if cosine is None else (cosine - low) / spread
        scored.append((-round((words or 0.0) + weight * (meaning or 0.0), 6), key, words, meaning))
    scored.sort()  # no two have the same key
    return [
        Hit(
            key,
            -score,
            words,
            None if words is None else round(bm25[key], 6),
            None if meaning is None else round(meaning, 6),
            cosines.get(key),
        )
        for score, key, words, meaning in scored[:k]
    ]


def _highest(matches: Matches) -> float:
    """Return what counts as a perfect match by words: the ideal, or the best hit if it is above that."""
    return max([matches.ideal, *(score for _id, score in matches.found)])


def _ordered(hits: list[Hit]) -> list[Hit]:
    return sorted(hits, key=lambda hit: (-hit.score, hit.id))
