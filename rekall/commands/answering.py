"""Which entries answer a failing output: what the base knows of it is gathered here, and judged in evidence.

First the error itself is looked up, among all entries and without reading any. Only where none holds it exactly, the
entries without an error text are asked about, by words and by meaning.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rekall.commands.room import Room
from rekall.context import Here
from rekall.error_lines import ErrorLine
from rekall.error_table import KnownError
from rekall.evidence import (
    CALIBRATED,
    OBSOLETE,
    USED,
    Question,
    Ranked,
    Support,
    Thresholds,
    by_error,
    by_support,
    by_whole_text,
    weigh_names,
)
from rekall.fingerprint import ErrorText, Fingerprint, as_question
from rekall.query import Filters
from rekall.ranking import POOL, Hit
from rekall.use import uses_of
from rekall.words import Matches

# Errors that are compared with each of the first lines; entries that words and meaning put forward, and for how many.
_ALIKE, _ABOUT, _MOST_ABOUT = 40, 20, 3


def answers_to(
    room: Room,
    asked: Question,
    filters: Filters | None = None,
    arm: str = "both",
    enough: Thresholds = CALIBRATED,
    here: Here | None = None,
) -> list[Hit]:
    """Return the entries that answer an output, best first; none without evidence. Use (`here`) orders equals.

    Cost: an index look-up for each error line and one by the words of each of the first; where no entry holds the
    error itself, an encode, two searches and up to 40 entries read for each of the first three lines.
    """
    database, ranked = room.reading(), Ranked()
    if database.is_empty():
        return []
    unread = database.unread_errors(filters)
    known = [*database.errors_with(asked.prints, filters), *unread]
    for _line, print_ in asked.asked:
        known += database.errors_like(print_, _ALIKE, filters)
    by_error(asked, _by_entry(known), enough.near, ranked)
    unmarked = [one for one in (*database.plain_errors(filters), *unread) if not one.error.mark]
    by_whole_text(asked, _by_entry(unmarked), ranked)
    if not ranked.is_certain:
        supports = [_support(room, line, print_, filters, arm) for line, print_ in asked.asked[:_MOST_ABOUT]]
        entries = database.get_many([*dict.fromkeys(key for _found, keys in supports for key in keys)])
        by_support([found for found, _keys in supports], {entry.id: entry for entry in entries}, enough, ranked)
    weigh_names(asked, {entry.id: entry for entry in database.get_many([*ranked.found])}, ranked)
    if here and ranked.found:
        ranked.weigh_use(*uses_of(database, [hit.id for hit in ranked.hits()[:POOL]], here, USED, OBSOLETE))
    return ranked.hits()


def _by_entry(known: Iterable[KnownError]) -> dict[str, list[ErrorText]]:
    found: dict[str, list[ErrorText]] = {}
    for one in known:
        found.setdefault(one.id, []).append(one.error)
    return found


def _support(
    room: Room, line: ErrorLine, print_: Fingerprint, filters: Filters | None, arm: str
) -> tuple[Support, list[str]]:
    """Return what words and meaning say about a line, and the entries that they put forward."""
    database, text = room.reading(), as_question(line.text)
    words = {} if arm == "meaning" else _shares(database.search_words(print_.text, POOL, filters, mends=False))
    near = None if arm == "words" else room.nearest(text, _ABOUT, filters)
    keys = list(dict.fromkeys([*list(words)[:_ABOUT], *(near or ())]))
    cosines = None if near is None else near | room.cosines(text, [key for key in keys if key not in near])
    return Support(line, print_, words, cosines), keys


def _shares(matches: Matches) -> Mapping[str, float]:
    """Return for each entry the share of what the words could have scored at most, 0 to 1."""
    most = max([matches.ideal, *(score for _key, score in matches.found)])
    return {key: score / most for key, score in matches.found} if most else {}
