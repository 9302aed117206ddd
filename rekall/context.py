"""Where and when somebody asks, what became of an entry before, and what that adds to a score. Pure.

It adds MOST at most, so it decides between entries whose evidence is as good as the same, and nothing else: an entry
never passes one whose evidence is better by MOST. Obsolete entries get none of it, and sink. The values are tuples:
fifty of each are made at every key of the picker.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import NamedTuple

# All that use can add to a score, and how it is shared out. Why so much: `python tests/eval/use.py`, docs/ranking.md.
MOST = 0.01
HERE, PICKED, RECENT = 0.5, 0.3, 0.2
# Days after which a pick, and being new, count half.
PICK_DAYS, NEW_DAYS = 30, 30
# From then on an entry is not new at all: a score that changes each day by a millionth is of no use.
OLD_DAYS = 120
# What an obsolete entry loses: more than any use comes to, and so little that it is found where nothing else answers.
SUNK = 0.05
# The place of all picks together; no folder has it.
ANYWHERE = 0

_EPOCH = date(1970, 1, 1).toordinal()


class Here(NamedTuple):
    """Where and when somebody asks: the project's name (casefolded), a number for the place, the day (UTC, since 1970).

    Without a project, the directory's.
    """

    name: str
    place: int
    day: int


class Picks(NamedTuple):
    """How often an entry was taken, as of a day since 1970: each pick counts half after PICK_DAYS."""

    times: float = 0.0
    day: int = 0

    def on(self, day: int) -> float:
        """Return what the picks are worth on a day."""
        return self.times * float(0.5 ** (max(0, day - self.day) / PICK_DAYS))

    def and_one(self, day: int) -> Picks:
        """Return the picks with another of that day; the clock may have gone back since the last."""
        day = max(day, self.day)
        return Picks(self.on(day) + 1, day)


class Facts(NamedTuple):
    """What is known of an entry besides its text. `changed`: when it was kept or changed, ISO 8601."""

    project: str | None = None
    changed: str = ""
    is_obsolete: bool = False
    picked: Picks | None = None
    picked_here: Picks | None = None


class Use(NamedTuple):
    """What was added to a score, by reason. `added`: all of it. `obsolete` is 0 or less, the others 0 or more."""

    added: float = 0.0
    here: float = 0.0
    picked: float = 0.0
    recent: float = 0.0
    obsolete: float = 0.0


def use_of(facts: Facts, here: Here, most: float = MOST, sunk: float = SUNK) -> Use:
    """Return what use adds to the score of an entry: from 0 to `most`, or `sunk` less for an obsolete one."""
    if facts.is_obsolete:
        return Use(-sunk, obsolete=-sunk)
    is_of_project = facts.project is not None and str(facts.project).casefold() == here.name
    by_place = most * HERE * (1.0 if is_of_project else _share(facts.picked_here, here.day))
    by_picks = most * PICKED * _share(facts.picked, here.day)
    by_day = most * RECENT * _newness(facts.changed, here.day)
    return Use(by_place + by_picks + by_day, by_place, by_picks, by_day)


def _share(picks: Picks | None, day: int) -> float:
    """Return how much picks say on a day, 0 to 1: one a half, three three quarters."""
    return 0.0 if picks is None else 1 - 1 / (max(0.0, picks.on(day)) + 1)


def _newness(stamp: str, day: int) -> float:
    try:
        made = date.fromisoformat(stamp[:10]).toordinal() - _EPOCH
    except ValueError:
        return 0.0
    age = max(0, day - made)
    return float(0.5 ** (age / NEW_DAYS)) if age < OLD_DAYS else 0.0


def behind(scores: Mapping[str, float], successors: Mapping[str, str], reach: float = SUNK) -> dict[str, float]:
    """Return `scores` in which what was replaced is not above what replaced it (`successors`, by id).

    Where that would take more than `reach`, it stays: the other is about something else here, and both could be lost.
    """
    found = dict(scores)
    for old, new in successors.items():
        if old in scores and new in scores and scores[old] - reach <= scores[new]:
            found[old] = min(scores[old], scores[new])
    return found
