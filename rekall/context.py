"""Where and when somebody asks, what became of an entry before, and what that adds to a score. Pure.

It adds MOST at most, so it decides between entries whose evidence is as good as the same, and nothing else: an entry
never passes one whose evidence is better by MOST. Obsolete entries get none of it, and sink.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

# All that use can add to a score, and how it is shared out. Why so much: `python tests/eval/use.py`, docs/ranking.md.
MOST = 0.01
HERE, PICKED, RECENT = 0.5, 0.3, 0.2
# Days after which a pick, and being new, count half.
PICK_DAYS, NEW_DAYS = 30, 30
# What an obsolete entry loses: more than any use comes to, and so little that it is found where nothing else answers.
SUNK = 0.05
# The place of all picks together; no folder has it.
ANYWHERE = 0

_EPOCH = date(1970, 1, 1).toordinal()


@dataclass(frozen=True, slots=True)
class Here:
    """Where and when somebody asks: the project's name, the number that its picks are counted under, the day (UTC).

    Without a project, the directory's.
    """

    name: str
    place: int
    day: int


@dataclass(frozen=True, slots=True)
class Picks:
    """How often an entry was taken, as of a day since 1970: each pick counts half after PICK_DAYS."""

    count: float = 0.0
    day: int = 0

    def on(self, day: int) -> float:
        """Return what the picks are worth on a day."""
        return self.count * float(0.5 ** (max(0, day - self.day) / PICK_DAYS))

    def and_one(self, day: int) -> Picks:
        """Return the picks with another of that day; the clock may have gone back since the last."""
        day = max(day, self.day)
        return Picks(self.on(day) + 1, day)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of an entry besides its text. `changed`: when it was kept or changed, ISO 8601."""

    project: str | None = None
    changed: str = ""
    is_obsolete: bool = False
    picked: Picks = Picks()
    picked_here: Picks = Picks()


@dataclass(frozen=True, slots=True)
class Use:
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
    is_of_project = bool(facts.project) and str(facts.project).casefold() == here.name.casefold()
    parts = (
        most * HERE * (1.0 if is_of_project else _share(facts.picked_here.on(here.day))),
        most * PICKED * _share(facts.picked.on(here.day)),
        most * RECENT * _newness(facts.changed, here.day),
    )
    rounded = [round(part, 6) for part in parts]
    return Use(round(sum(rounded), 6), *rounded)


def _share(picks: float) -> float:
    """Return how much so many picks say, 0 to 1: one a half, three three quarters."""
    return 1 - 1 / (picks + 1)


def _newness(stamp: str, day: int) -> float:
    try:
        made = date.fromisoformat(stamp[:10]).toordinal() - _EPOCH
    except ValueError:
        return 0.0
    return float(0.5 ** (max(0, day - made) / NEW_DAYS))


def behind(scores: Mapping[str, float], successors: Mapping[str, str]) -> dict[str, float]:
    """Return `scores` in which nothing that was replaced is above what replaced it. `successors`: by what, by id."""
    return {key: min(score, scores.get(successors.get(key, key), score)) for key, score in scores.items()}
