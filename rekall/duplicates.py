"""Entries that say the same: which pairs of vectors are near enough to be told of. Pure.

An entry is its passages' mean, so that a long one is compared as a whole: two notes that share one passage of many are
no duplicates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from rekall.vector_index import VectorIndex
from rekall.vectors import Matrix, cosines, unit_rows

# The cosine from which two entries are told of: docs/commands.md, Duplicates; tests/eval/duplicates.py.
ALIKE = 0.90
# Neighbours of an entry that are compared with it; of more that say the same, some pair still names each.
_NEIGHBOURS = 8
# Entries between two looks at whether anybody waits: some 30 ms at 10,000 entries.
_AT_ONCE = 256
# The index sums in float32: a pair at the threshold must not be lost to the last digit.
_SLACK = 1e-5


class Pair(NamedTuple):
    """Two entries that may be one: ids in their order, and their cosine."""

    one: str
    other: str
    cosine: float


def mean_rows(rows: Matrix, starts: Sequence[int]) -> Matrix:
    """Return the mean (n, d) of each entry's passages, of unit length. `rows` (p, d); `starts`: each entry's first."""
    if not starts:
        return rows[:0]
    counts = np.diff([*starts, len(rows)])
    return unit_rows(np.add.reduceat(rows, starts) / counts[:, None])


def near_pairs(
    keys: Sequence[str],
    rows: Matrix,
    backend: str = "auto",
    least: float = ALIKE,
    check: Callable[[], None] = lambda: None,
) -> list[Pair]:
    """Return the pairs of entries with a cosine of `least` or more, nearest first. `rows` (n, d): one for each key.

    `check` is called now and then, and may raise. Cost: n searches, 0.1 ms each at 10,000 entries.
    """
    index = VectorIndex.from_matrix(keys, rows, backend)
    place = {key: number for number, key in enumerate(keys)}
    found: set[tuple[str, str]] = set()
    for start in range(0, len(keys), _AT_ONCE):
        check()
        some = keys[start : start + _AT_ONCE]
        answers = index.search_many(rows[start : start + _AT_ONCE], _NEIGHBOURS + 1, floor=least - _SLACK)
        for key, near in zip(some, answers, strict=True):
            found |= {(min(key, other), max(key, other)) for other, _score in near if other != key}
    pairs = [Pair(one, other, float(cosines(rows[[place[one]]], rows[place[other]])[0])) for one, other in found]
    return sorted(
        (pair for pair in pairs if pair.cosine >= least), key=lambda pair: (-pair.cosine, pair.one, pair.other)
    )
