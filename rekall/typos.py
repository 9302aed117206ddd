"""Slips of the keyboard: which of the words that a base holds somebody meant who typed one that it does not. Pure.

A letter too many, too few, wrong, or two in the wrong order: one slip in a short word, two in a longer one. Slips in
the first letters are rarer and dearer to find, so only those that leave most of them right are looked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

# Shorter words are too near to too many others; in longer ones two slips may be.
LEAST_LETTERS, LEAST_FOR_TWO = 5, 8


def may_be_slip(word: str) -> bool:
    """Tell whether a word is worth looking for others: long enough, and of letters only."""
    return len(word) >= LEAST_LETTERS and word.isalpha()


def beginnings_of(word: str) -> list[str]:
    """Return three letters that the word that was meant may begin with, as it stands or with one slip in them.

    An index of words is read from a beginning on.
    """
    a, b, c = word[0], word[1], word[2]
    begins = (a + b + c, b + a + c, a + c + b, word[1:4], a + word[2:4], a + b + word[3])
    return list(dict.fromkeys(begins))


def likeliest(word: str, known: Iterable[tuple[str, int]]) -> str | None:
    """Return the nearest of `known` (word, how many entries hold it), of equally near ones the commonest."""
    most = 2 if len(word) >= LEAST_FOR_TWO else 1
    letters = set(word)
    best: tuple[int, int, str] | None = None
    for other, count in known:
        if abs(len(other) - len(word)) <= most and len(letters ^ set(other)) <= 2 * most and other.isalpha():
            slips = slips_between(word, other, most)
            if slips <= most and (best is None or (slips, -count, other) < best):
                best = slips, -count, other
    return best[2] if best else None


def slips_between(one: str, other: str, most: int) -> int:
    """Return how many slips lie between two words, `most` + 1 if they are more.

    Letters put in, left out, replaced, or swapped with their neighbour: the restricted Damerau-Levenshtein distance.
    """
    before: Sequence[int] = ()
    row: Sequence[int] = range(len(other) + 1)
    for i, letter in enumerate(one, 1):
        earlier, before, row = before, row, [i]
        for j, second in enumerate(other, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != second))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == second:
                cost = min(cost, earlier[j - 2] + 1)
            row.append(cost)
        if min(row) > most:
            return most + 1
    return min(row[-1], most + 1)
