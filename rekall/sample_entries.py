"""Made-up entries for trying rekall out and measuring it: as many as wanted, each a function of a seed and its number.

The same seed and number give the same entry, id and time for ever, whatever was made before it. So making them again
adds what is missing and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from random import Random
from typing import TYPE_CHECKING

from rekall.entry import Entry, new_id
from rekall.sample_facts import ASIDES, BRANCHES, CHOICES, DEEDS, FAILED, FAILURES, PEOPLE, SERVICES, SUFFIXES, WHERE

if TYPE_CHECKING:
    from rekall.vectors import Matrix

# What their `source` begins with: how they are told from entries that somebody wrote.
SOURCE = "rekall bench generate"
# Four years of working hours, long enough for 100,000.
_FIRST_DAY, _DAYS = datetime(2022, 1, 3, 7, tzinfo=UTC), 4 * 365 - 3
_WORKING_SECONDS = 12 * 3600
# Of the embedded model's vectors.
DIMENSIONS = 384
# How far synthetic vectors of one fact lie around its centre: two of them have a cosine of about 0.7.
_SPREAD = 0.6


@dataclass(frozen=True, slots=True)
class Sample:
    """A made-up entry, and which fact of sample_facts it tells."""

    entry: Entry
    fact: int


def sample(seed: int, number: int) -> Sample:
    """Return entry `number` of a seed. Cost: 50 µs."""
    draw = Random(f"{seed}:{number}")  # noqa: S311 - the same draw every time is what is wanted
    fact = draw.randrange(len(FAILURES) + len(DEEDS) + len(CHOICES))
    blanks = _blanks(draw)
    day, second = draw.randrange(_DAYS), draw.randrange(_WORKING_SECONDS)
    moment = _FIRST_DAY + timedelta(days=day, seconds=second, milliseconds=draw.randrange(1000))
    stamp = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if fact < len(FAILURES):
        told = _failure(fact, draw, blanks)
    elif fact < len(FAILURES) + len(DEEDS):
        told = _deed(fact - len(FAILURES), draw, blanks)
    else:
        told = _choice(fact - len(FAILURES) - len(DEEDS), draw, blanks)
    key = new_id(int(moment.timestamp() * 1000), draw.randbytes)
    source = f"{SOURCE}, seed {seed}"
    entry = replace(told, id=key, project=blanks["service"], source=source, created_at=stamp, updated_at=stamp)
    return Sample(entry, fact)


def synthetic_vectors(seed: int, samples: list[tuple[int, int]], dimensions: int = DIMENSIONS) -> Matrix:
    """Return a seeded vector (n, d) of unit length for each (number, fact): near each other where the fact is the same.

    They mean nothing: they take the room and the time of real ones. Cost: 20 µs each.
    """
    import numpy as np

    from rekall.vectors import unit_rows

    rows = np.stack(
        [
            _centre(seed, fact, dimensions)
            + _SPREAD * np.random.default_rng((seed, number)).standard_normal(dimensions, dtype=np.float32)
            for number, fact in samples
        ]
    )
    return unit_rows(rows)


@lru_cache(maxsize=len(FAILURES) + len(DEEDS) + len(CHOICES))
def _centre(seed: int, fact: int, dimensions: int) -> Matrix:
    import numpy as np

    centre: Matrix = np.random.default_rng((seed, fact, 1)).standard_normal(dimensions, dtype=np.float32)
    return centre


def _blanks(draw: Random) -> dict[str, str]:
    """Return what the names in braces stand for in one entry."""
    service = draw.choice(SERVICES)
    return {
        "service": service,
        "person": draw.choice(PEOPLE),
        "branch": draw.choice(BRANCHES),
        "suffix": draw.choice(SUFFIXES),
        "host": f"{draw.choice(SERVICES)}-{draw.randrange(1, 30)}.example.org",
        "address": f"10.{draw.randrange(256)}.{draw.randrange(256)}.{draw.randrange(1, 255)}",
        "version": f"{draw.randrange(1, 9)}.{draw.randrange(30)}.{draw.randrange(20)}",
        "port": str(draw.randrange(3000, 9999)),
        "number": str(draw.randrange(10_000, 99_999)),
        "bytes": str(draw.randrange(1_000, 9_999)),
        "megabytes": str(draw.randrange(40, 900)),
        "minutes": str(draw.randrange(10, 59)),
        "small": str(draw.randrange(2, 12)),
        "hex": f"{draw.getrandbits(40):010x}",
        "ticket": f"{service[:4].upper()}-{draw.randrange(100, 9999)}",
    }


def _failure(number: int, draw: Random, blanks: dict[str, str]) -> Entry:
    """Return what somebody kept of a failure: a bug with its error text, or a warning to others."""
    tool, what, error, cause, help_ = (text.format_map(blanks) for text in FAILURES[number])
    where = draw.choice(WHERE).format_map(blanks)
    tags = (tool, blanks["service"])
    if draw.random() < 0.75:
        return Entry(
            id="",
            type="bug",
            title=f"{blanks['service']}: {what} {where}",
            situation=f"{tool}: {what}, {where}. {_aside(draw, blanks)}",
            errors=(error,),
            what_failed=draw.choice(FAILED).format_map(blanks),
            solution=f"{_sentence(cause)} {_sentence(help_)}",
            tags=tags,
        )
    return Entry(
        id="",
        type="pitfall",
        title=f"{tool} and {blanks['service']} {where}: {cause}",
        content=f"Then {what}.\n\n    {error}\n\n{_sentence(help_)} {_aside(draw, blanks)}",
        tags=tags,
    )


def _deed(number: int, draw: Random, blanks: dict[str, str]) -> Entry:
    tool, what, told, code = (text.format_map(blanks) for text in DEEDS[number])
    why = draw.choice(WHERE).format_map(blanks)
    return Entry(
        id="",
        type=draw.choice(("til", "snippet", "reference", "config")),
        title=f"{what}: {blanks['service']} {why}",
        content=f"{told} {_aside(draw, blanks)}\n\n```\n{code}\n```\n",
        tags=(tool,),
    )


def _choice(number: int, draw: Random, blanks: dict[str, str]) -> Entry:
    what, instead, why, change = (text.format_map(blanks) for text in CHOICES[number])
    return Entry(
        id="",
        type=draw.choice(("decision", "pattern")),
        title=f"{blanks['service']}: {what}, {draw.choice(WHERE).format_map(blanks)}",
        content=(
            f"**Chosen** over {instead}, because {why}.\n\n**What would change it:** {change}. {_aside(draw, blanks)}"
        ),
        tags=("architecture", blanks["service"]),
    )


def _aside(draw: Random, blanks: dict[str, str]) -> str:
    return _sentence(draw.choice(ASIDES).format_map(blanks))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".") + "."
