"""How alike two error lines are, whatever names, places and numbers they were printed with. Pure.

Two lines with one fingerprint are the same error; else the share of weight that they have in common tells how near they
are: of their words, of words that stand next to each other, and most of all of their codes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise

from rekall.error_marks import COMMON, SYSTEM
from rekall.fingerprint import Fingerprint

Part = str | tuple[str, str]

# What a word, two neighbours and a code weigh. Chosen by hand: messages that share a code and differ in a few words
# are the same error, and their order tells "cannot open" from "open cannot".
_WEIGHT, _COMMON_WEIGHT, _NEIGHBOURS_WEIGHT, _CODE_WEIGHT = 1.0, 0.15, 0.5, 3.0
# Four words in their order weigh 5.5; fewer tell nobody's error from another's.
TELLING = 5.0
# What the system says of any program's mishap is one word, however many it has: what it befell tells errors apart.
_PHRASES = re.compile(rf"\b(?:{SYSTEM})\b", re.IGNORECASE)


@lru_cache(maxsize=8192)
def parts(print_: Fingerprint) -> frozenset[Part]:
    """Return what lines are compared by: the words, and each two neighbours."""
    text = _PHRASES.sub(lambda phrase: phrase.group().replace(" ", "_"), " ".join(print_.words))
    words = text.split(" ")
    return frozenset((*words, *pairwise(words)))


@lru_cache(maxsize=8192)
def _whole(print_: Fingerprint) -> float:
    return weight(parts(print_))


def weight(some: Iterable[Part]) -> float:
    """Return what parts weigh together."""
    return sum(
        _NEIGHBOURS_WEIGHT if isinstance(part, tuple) else _COMMON_WEIGHT if part in COMMON else _WEIGHT
        for part in some
    )


def tells(print_: Fingerprint) -> float:
    """Return how much a line tells, by its weight: of itself, its codes included."""
    return _whole(print_) + _CODE_WEIGHT * len(print_.codes)


def likeness(one: Fingerprint, other: Fingerprint) -> float:
    """Return how alike two lines are: 1 one fingerprint, 0 nothing in common.

    Twice what they share over what they have. A code on one side only says nothing; two different ones count against.
    """
    if one == other:
        return 1.0
    some, others = parts(one), parts(other)
    common = _CODE_WEIGHT * len(one.codes & other.codes)
    coded = 2 * common if common else 2 * _CODE_WEIGHT if one.codes and other.codes else 0.0
    whole = _whole(one) + _whole(other) + coded
    return min(0.999, 2 * (common + weight(some & others)) / whole) if whole else 0.0


def is_told_in(text: Fingerprint, line: Fingerprint) -> bool:
    """Tell whether all of `text` stands in `line`, and is enough to be more than a phrase: a message cut short."""
    some = parts(text)
    return some <= parts(line) and text.codes <= line.codes and _whole(text) >= TELLING
