"""What use adds to hits: facts of the best are read from the base, weighed in context.py, ordered in ranking.py.

It is never worth an error: where nothing can be read, hits stay as they are; where nothing can be written, nothing is.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from rekall.context import MOST, SUNK, Here, Use, use_of
from rekall.db import Database
from rekall.errors import BaseUnusable
from rekall.ranking import TITLES_READ, Hit, with_use


def wanted(count: int, here: Here | None) -> int:
    """Return how many hits to find where `count` are wanted: use looks at as many, whatever the limit."""
    return count if here is None else max(count, TITLES_READ)


def in_use(database: Database, hits: Sequence[Hit], here: Here | None, k: int) -> list[Hit]:
    """Return the k best of `hits` with what use adds; the first k as they are if it is to make no difference.

    Cost: one SELECT over TITLES_READ entries, and one more if any of them is obsolete.
    """
    if here is None or not hits:
        return list(hits[:k])
    return with_use(hits, *uses_of(database, [hit.id for hit in hits[:TITLES_READ]], here), k)


def uses_of(
    database: Database, keys: Sequence[str], here: Here, most: float = MOST, sunk: float = SUNK
) -> tuple[dict[str, Use], dict[str, str]]:
    """Return what use adds for each of these entries (context.use_of), and for those that were replaced by what."""
    try:
        facts = database.facts_of(keys, here)
        obsolete = [key for key, known in facts.items() if known.is_obsolete]
        replaced = database.successors(obsolete) if obsolete else {}
    except BaseUnusable:
        return {}, {}
    uses = {key: use_of(known, here, most, sunk) for key, known in facts.items()}
    return uses, {old: new for old, (new, _title) in replaced.items()}


def remember(database: Database, keys: Sequence[str], here: Here) -> None:
    """Count that these entries were taken, if that can be done just now. Cost: a short transaction, nothing synced."""
    if database.path is not None and not database.is_read_only:
        with suppress(BaseUnusable):
            database.count_picks(keys, here)
