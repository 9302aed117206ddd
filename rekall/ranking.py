"""One order out of several kinds of evidence. Pure: scores in, hits out. How and why: docs/ranking.md.

Words and meaning are taken as two witnesses. Each leaves a doubt whether the entry is the one that is looked for, one
less so many parts of what it says, and the doubts multiply: score = 1 - (1 - WORDS * words) * (1 - MEANING * meaning).
So either witness alone can name an entry, and what one has shown already is worth less when the other says it too.

Words: bm25, divided by what the query's words could have scored at most, so 0 to 1. Dividing by the best hit's bm25
instead would call the best match perfect however poor it is: an entry that shares only "when" with the query would
outrank the one that means the same. Meaning: the cosines of the best passage and of the whole entry, as they are.
Stretched over the candidates they would call the nearest entry near even where none is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from rekall.context import Use, behind
from rekall.words import Matches

# Candidates each arm puts forward, whatever the limit asked for, so that the first ten are the same
# for --limit 10 and --limit 100.
POOL = 100

# How far each witness alone can convince. Chosen by `python tests/eval/choose.py FOLDER` (decision 025).
WORDS, MEANING = 0.5, 0.8

# What the whole of an entry weighs beside its best passage. An entry of more than SEVERAL passages holds several
# things: the whole says less about each of them, and weighs less by as much.
WHOLE, SEVERAL = 0.4, 6

# Candidates whose titles are compared with the query: who types a title in full has all of its words.
TITLES_READ = 50

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Cosine:
    """How near an entry's vectors are to the query: the best of its `count` passages, and their mean's direction."""

    best: float
    whole: float
    count: int = 1

    @property
    def meaning(self) -> float:
        """What counts of it, 0 to 1."""
        share = WHOLE * min(1.0, SEVERAL / self.count) if self.count > 1 else 0.0
        return max(0.0, round((1 - share) * self.best + share * self.whole, 6))


@dataclass(frozen=True, slots=True)
class Hit:
    """One entry that answers, and why.

    `words` is its bm25 over the highest possible (None: no word matched), `cosine` that of its best
    passage (None: it has no vector yet), `meaning` what counts of it, 0 to 1.
    `arm` names the evidence by which a failing output was answered: exact, near, words or meaning.
    `titled`: the query is its title, 1 for the same words and 2 for the same text; that is added to the score.
    `use`: what use has added to the score (None: it was not asked).
    """

    id: str
    score: float
    words: float | None = None
    bm25: float | None = None
    meaning: float | None = None
    cosine: float | None = None
    arm: str | None = None
    titled: int = 0
    use: Use | None = None

    @property
    def evidence(self) -> float:
        """The score without what use has added; to the score of what answers an output it adds nothing."""
        return round(self.score - self.use.added, 6) if self.use and not self.arm else self.score


def by_words(matches: Matches) -> list[Hit]:
    """Return the hits of the words arm alone."""
    most = _highest(matches)
    return _ordered([Hit(key, words := round(bm25 / most, 6), words, round(bm25, 6)) for key, bm25 in matches.found])


def by_meaning(cosines: Mapping[str, Cosine]) -> list[Hit]:
    """Return the hits of the meaning arm alone; the score is the best passage's cosine itself."""
    return _ordered([Hit(key, near.best, meaning=near.meaning, cosine=near.best) for key, near in cosines.items()])


def fuse(matches: Matches, cosines: Mapping[str, Cosine], k: int | None = None) -> list[Hit]:
    """Return the k best candidates of either arm (None: all) in one order, best first, ties by id.

    `cosines` holds those of every candidate that has a vector, of what was found by words too. An entry
    that has none yet counts as the farthest of them: nothing is known against it.
    """
    most, bm25 = _highest(matches), dict(matches.found)
    meanings = {key: near.meaning for key, near in cosines.items()}
    farthest = min(meanings.values(), default=0.0)
    scored = []
    for key in dict.fromkeys([*bm25, *cosines]):
        words = round(bm25[key] / most, 6) if key in bm25 else None
        doubt = (1 - WORDS * (words or 0.0)) * (1 - MEANING * meanings.get(key, farthest))
        scored.append((round(doubt, 6), key, words))
    scored.sort()  # no two have the same key
    return [
        Hit(
            key,
            round(1 - doubt, 6),
            words,
            None if words is None else round(bm25[key], 6),
            meanings.get(key),
            cosines[key].best if key in cosines else None,
        )
        for doubt, key, words in scored[:k]
    ]


def with_titles(hits: Sequence[Hit], text: str, titles: Mapping[str, str]) -> list[Hit]:
    """Return `hits` with those before the others whose title is the whole query, small or capital.

    `titles` are those of the first TITLES_READ hits; what is not in it stays where it is. The same text goes before the
    same words, so that `C++` is not taken for `C`.
    """
    asked, words = _folded(text), _WORD.findall(_folded(text))

    def level(key: str) -> int:
        title = _folded(titles[key]) if key in titles else ""
        if title == asked:
            return 2
        return int(bool(words) and words[0] in title and _WORD.findall(title) == words)  # the cheap look first

    raised = [
        replace(hit, score=round(hit.score + found, 6), titled=found) if (found := level(hit.id)) else hit
        for hit in hits
    ]
    return _ordered(raised) if any(hit.titled for hit in raised) else raised


def with_use(
    hits: Sequence[Hit], uses: Mapping[str, Use], successors: Mapping[str, str], k: int | None = None
) -> list[Hit]:
    """Return the k best of `hits` (None: all) with what use adds to the scores of the first TITLES_READ.

    `uses` by id, of those that are there; what is below 0 is an obsolete entry's. That comes behind what replaced it
    (`successors`), too. A title typed in full stays before the others, and whatever sinks before those not looked
    at: so the order is the same for every limit.
    """
    looked = [hit for hit in hits[:TITLES_READ] if hit.id in uses]
    if not looked:
        return list(hits[:k])
    least, titled = hits[:TITLES_READ][-1].score, {hit.id: hit.titled for hit in looked}
    scores = {hit.id: round(max(hit.score + uses[hit.id].added, least), 6) for hit in looked}
    scores = behind(scores, {old: new for old, new in successors.items() if titled.get(old, 3) <= titled.get(new, -1)})
    for level in (1, 0) if any(titled.values()) else ():
        most = min((score for key, score in scores.items() if titled[key] > level), default=math.inf)
        scores = {key: min(score, most) if titled[key] == level else score for key, score in scores.items()}
    order = sorted(
        (
            (
                -hit.titled,
                -scores.get(hit.id, hit.score),
                hit.id in uses and uses[hit.id].obsolete < 0,
                -hit.score,
                hit.id,
            )
            for hit in hits[:TITLES_READ]
        ),
    )
    of = {hit.id: hit for hit in hits[:TITLES_READ]}
    scored = [_used(of[key], -score, uses.get(key)) for _titled, score, _sinks, _before, key in order[:k]]
    return [*scored, *hits[TITLES_READ:]][:k]


def _used(hit: Hit, score: float, use: Use | None) -> Hit:
    if use is None:
        return hit
    parts = (round(part, 6) for part in use[1:])
    return replace(hit, score=score, use=Use(round(score - hit.score, 6), *parts))


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


def _highest(matches: Matches) -> float:
    """Return what counts as a perfect match by words: the ideal, or the best hit if it is above that."""
    return max([matches.ideal, *(score for _id, score in matches.found)])


def _ordered(hits: list[Hit]) -> list[Hit]:
    return sorted(hits, key=lambda hit: (-hit.score, hit.id))
