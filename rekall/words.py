"""Search by words: which entries hold the query's words, the rare ones above all.

FTS5 ranks by bm25, but an OR of every word of a query walks the postings of "the" and "file" too:
20 ms at 12,000 entries, 150 ms at 100,000. So the words are taken rarest first until their postings
add up to POSTINGS, and the commoner ones are left out. That keeps a query at a few milliseconds
whatever the size of the base, and the order is as good as the full OR's, or better (decision 022).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from rekall.query import Filters, compounds, restricted, terms
from rekall.rows import condition
from rekall.schema import FTS_WEIGHTS, TOKENIZER, Connection
from rekall.typos import beginnings_of, likeliest, may_be_slip

# Where the cut is made. MRR@10 and recall@10 on the development sets: decision 022.
POSTINGS = 1000

# Rows fetched beyond the cut, for those that tie with the last one; if more do, the query is asked again for all.
TIED = 100
# Words whose frequency is kept.
MOST_COUNTED = 10_000
# A word that is still being typed counts as the beginning of others from so many letters on.
PREFIX_LETTERS = 3
# Words of a query that are tried as slips.
MOST_MENDED = 3
# While one types, a word that more entries hold than this is not ranked: 5 ms at this many.
MOST_RANKED = 5000

# What Porter's stems lack, most often.
_ENDINGS = ("", "e", "s", "ed", "ing", "y", "ion", "al", "er", "ement")
_LAST_WORD = re.compile(r"[^\W_]+\Z")
_BM25 = f"bm25(entries_fts, {', '.join(str(weight) for weight in FTS_WEIGHTS.values())})"


@dataclass(frozen=True, slots=True)
class Matches:
    """What the words arm found: (id, bm25) best first, bm25 positive, and what it could have been.

    `ideal` is the bm25 of an entry of average length that holds every word of the query once; a word
    the base does not know counts as the rarest. It says how strong the best match really is.
    """

    found: list[tuple[str, float]]
    ideal: float


class Words:
    """The words arm over one base.

    Owns a small FTS5 table in memory, through which query words go so that they are cut and stemmed
    exactly as the index was, and a view of the index's vocabulary.
    """

    def __init__(self, connection: Connection, open_memory: Callable[[], Connection]) -> None:
        self._base = connection
        self._scratch = open_memory()
        self._scratch.execute(f"CREATE VIRTUAL TABLE query USING fts5(word, tokenize='{TOKENIZER}')")
        self._scratch.execute("CREATE VIRTUAL TABLE stems USING fts5vocab(query, 'instance')")
        self._counted: dict[str, int] = {}  # stem → document frequency, at
        self._begun: dict[str, list[tuple[str, int]]] = {}  # beginning → (stem, document frequency), at
        self._revision: int | None = None  # this revision of the base
        self._total = 0
        connection.execute("CREATE VIRTUAL TABLE temp.vocabulary USING fts5vocab('main', 'entries_fts', 'row')")

    def close(self) -> None:
        """Let the table in memory go. The base is its owner's."""
        self._scratch.close()

    def search(
        self,
        text: str,
        k: int,
        filters: Filters | None = None,
        revision: int | None = None,
        is_typing: bool = False,
        mends: bool = True,
    ) -> Matches:
        """Return up to k entries that hold words of `text`, best first, ties by id.

        Any text is a safe query: its words are looked up one by one, each between quotes.
        `filters` are applied before the cut at k. What was counted for an earlier query is used again at the same
        `revision`: counting reads a word's whole list of entries.
        `is_typing`: a last word without a blank behind it may be unfinished, so the words that begin like it count
        as well; and what nearly every entry holds is not ranked. Cost: a walk over the vocabulary behind a new
        beginning, 5 ms at the most at 100,000 entries. `mends`: a word that no entry holds also stands for the one
        that it may be a slip of; see typos.py.
        """
        if revision is None or revision != self._revision or len(self._counted) > MOST_COUNTED:
            self._counted, self._begun, self._revision = {}, {}, revision
            self._total = self._base.execute("SELECT count(*) FROM entries").fetchone()[0]
        total, words = self._total, terms(text)
        known, strangers = self._frequencies(words)
        if is_typing:
            known, strangers = self._with_beginning(text, known, strangers)
            last = None if known or any(map(may_be_slip, strangers.values())) else _LAST_WORD.search(text)
            if last:  # too short to look for how its words go on
                return self._titled([(total, f'"{terms(last[0])[0]}"*')], k, filters)
            if known and known[0][0] > MOST_RANKED:
                return self._titled(known, k, filters)
        known = self._with_mended(known, strangers) if mends else known
        known = self._with_whole_names(text, known)
        ideal = sum(_rarity(total, count) for count, _word in known) + len(strangers) * _rarity(total, 0)
        used = _rarest(known, POSTINGS)
        found = self._ranked(known[:used], k, filters)
        if len(found) < k and used < len(known) and filters:
            found = self._ranked(known, k, filters)  # the filter left too few: common words count too
        return Matches(found, ideal)

    def _frequencies(self, words: list[str]) -> tuple[list[tuple[int, str]], dict[str, str]]:
        """Return (document frequency, "word") of the words the base holds, rarest first; and (stem → word) of others.

        The words are as FTS5 takes them: between quotes. They hold letters and digits only, see query.terms.
        """
        frequency: dict[str, tuple[int, str]] = {}
        for word, stem in self._stems(words):
            frequency.setdefault(stem, (self._count(stem), f'"{word}"'))
        known = sorted(pair for pair in frequency.values() if pair[0])
        return known, {stem: pair[1].strip('"') for stem, pair in frequency.items() if not pair[0]}

    def _count(self, stem: str) -> int:
        """Return how many entries hold a stem."""
        if stem not in self._counted:
            row = self._base.execute("SELECT doc FROM temp.vocabulary WHERE term = ?", (stem,)).fetchone()
            self._counted[stem] = row[0] if row else 0
        return self._counted[stem]

    def _with_beginning(
        self, text: str, known: list[tuple[int, str]], strangers: dict[str, str]
    ) -> tuple[list[tuple[int, str]], dict[str, str]]:
        """Return what `_frequencies` does, the words that go on from the last one of `text` among them."""
        last = _LAST_WORD.search(text)
        if last is None or len(last[0]) < PREFIX_LETTERS:
            return known, strangers
        word = terms(last[0])[0]
        stem = next((stem for _word, stem in self._stems([word])), "")
        if len(stem) < PREFIX_LETTERS:
            return known, strangers
        held, going_on = self._count(stem), sum(count for _stem, count in self._going_on(stem))
        if going_on == held:  # none but itself
            return known, strangers
        # No stranger, only unfinished. What FTS5 reads for it holds the word itself as well.
        strangers = {other: name for other, name in strangers.items() if other != stem}
        return sorted([*known, (min(going_on, self._total), f'"{word}"*')]), strangers

    def _with_whole_names(self, text: str, known: list[tuple[int, str]]) -> list[tuple[int, str]]:
        """Return the words to look up, names of several words among them as phrases, where entries hold them whole.

        Who holds `--no-verify` comes before who holds its words here and there.
        """
        phrases = [(self._count_phrase(phrase), f'"{phrase}"') for phrase in compounds(text)]
        return sorted({*known, *(pair for pair in phrases if pair[0])})

    def _count_phrase(self, phrase: str) -> int:
        """Return how many entries hold words next to each other; counting ends where it no longer matters."""
        if phrase not in self._counted:
            sql = "SELECT count(*) FROM (SELECT 1 FROM entries_fts WHERE entries_fts MATCH ? LIMIT ?)"
            self._counted[phrase] = self._base.execute(sql, (f'"{phrase}"', POSTINGS)).fetchone()[0]
        return self._counted[phrase]

    def _with_mended(self, known: list[tuple[int, str]], strangers: dict[str, str]) -> list[tuple[int, str]]:
        """Return the words to look up, with the words that strangers may be slips of."""
        slips = [stem for stem, word in strangers.items() if may_be_slip(word) and len(stem) > PREFIX_LETTERS]
        mended = [self._mended(stem) for stem in slips[:MOST_MENDED]]
        return sorted({*known, *(pair for pair in mended if pair)})

    def _mended(self, stem: str) -> tuple[int, str] | None:
        """Return (document frequency, "word") of the likeliest word of the base that `stem` is a slip of."""
        for beginning in beginnings_of(stem):
            term = likeliest(stem, self._going_on(beginning))
            # FTS5 stems what it looks up, and a stem need not be its own: a word is needed that has this one.
            words = [word for word, found in self._stems([f"{term}{end}" for end in _ENDINGS]) if found == term]
            if term and words:
                return self._count(term), f'"{words[0]}"'
        return None

    def _going_on(self, stem: str) -> list[tuple[str, int]]:
        """Return (stem, document frequency) of all that begins with `stem`.

        What goes on from a longer beginning is found in what went on from a shorter one.
        """
        if stem not in self._begun:
            shorter = next((stem[:n] for n in range(len(stem) - 1, 0, -1) if stem[:n] in self._begun), None)
            if shorter is not None:
                self._begun[stem] = [pair for pair in self._begun[shorter] if pair[0].startswith(stem)]
            else:
                self._begun[stem] = self._base.execute(
                    "SELECT term, doc FROM temp.vocabulary WHERE term >= ? AND term < ?", (stem, stem + "\U0010ffff")
                ).fetchall()
        return self._begun[stem]

    def _titled(self, known: list[tuple[int, str]], k: int, filters: Filters | None) -> Matches:
        """Return the newest entries with one of the words in their title: too many hold them to rank them all."""
        where, values = condition(filters, texts=False)
        rows = self._base.execute(
            "SELECT e.id FROM entries_fts f JOIN entries e ON e.rowid = f.rowid "
            f"WHERE f.entries_fts MATCH ? AND ({where}) ORDER BY f.rowid DESC LIMIT ?",
            (restricted(f"title : ({_any_of(known)})", filters), *values, k),
        ).fetchall()
        rarity = _rarity(self._total, known[0][0])
        return Matches([(row[0], rarity) for row in rows], rarity)

    def _stems(self, words: list[str]) -> list[tuple[str, str]]:
        """Return (word, stem) as the index's tokenizer sees them."""
        self._scratch.execute("DELETE FROM query")
        self._scratch.executemany("INSERT INTO query(rowid, word) VALUES (?, ?)", enumerate(words))
        rows = self._scratch.execute("SELECT doc, term FROM stems").fetchall()
        return sorted((words[doc], stem) for doc, stem in rows)

    def _ranked(self, known: list[tuple[int, str]], k: int, filters: Filters | None) -> list[tuple[str, float]]:
        if not known:
            return []
        where, parameters = condition(filters, texts=False)
        match, values = "entries_fts MATCH ?", [restricted(_any_of(known), filters), *parameters]
        if where != "1":
            # The unary plus keeps SQLite from looking the words up anew for each entry of the list.
            match += f" AND +rowid IN (SELECT e.rowid FROM entries e WHERE {where})"
        scored = f"SELECT rowid AS place, -{_BM25} AS score FROM entries_fts WHERE {match}"
        rows = self._base.execute(
            f"SELECT e.id, s.score FROM ({scored} ORDER BY score DESC LIMIT ?) s JOIN entries e ON e.rowid = s.place "
            "ORDER BY s.score DESC, e.id",
            (*values, k + TIED),
        ).fetchall()
        if len(rows) == k + TIED and rows[k - 1][1] == rows[-1][1]:  # a tie across the cut goes by id as well
            rows = self._base.execute(
                f"SELECT e.id, s.score FROM ({scored}) s JOIN entries e ON e.rowid = s.place "
                "ORDER BY s.score DESC, e.id LIMIT ?",
                (*values, k),
            ).fetchall()
        return [(row[0], row[1]) for row in rows[:k]]


def _rarity(total: int, count: int) -> float:
    """Return bm25's inverse document frequency, as FTS5 has it: never below 1e-6."""
    return max(1e-6, math.log((total - count + 0.5) / (count + 0.5)))


def _rarest(known: list[tuple[int, str]], postings: int) -> int:
    """Return how many of `known`, rarest first, stay within `postings`; at least one."""
    total = used = 0
    for count, _word in known:
        total += count
        if used and total > postings:
            break
        used += 1
    return used


def _any_of(known: list[tuple[int, str]]) -> str:
    """Return an FTS5 query for any of the words."""
    return " OR ".join(word for _count, word in known)
