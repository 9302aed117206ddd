"""Queries and failing outputs whose answer is known, made from the entries of a base. Pure, and the same every time.

Nobody has judged the user's own base. But an entry can be asked for by what its owner would remember of it: some
words of its title, a sentence of its text with gaps, its error as it would come again, with other paths and numbers.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rekall.entry import LONG_TEXT_FIELDS, Entry
from rekall.error_lines import has_named_error

# Kinds of trials, in the order they are shown.
TITLE, TEXT, ERROR, TAKEN, FOREIGN = "title", "text", "error", "taken", "foreign"
# The share of the words that is remembered, and the fewest that are asked with.
REMEMBERED, FEWEST = 0.6, 2

_WORD = re.compile(r"\w+(?:[-'.]\w+)*")
_FENCED = re.compile(r"^[ \t]*(```|~~~).*?^[ \t]*\1", re.DOTALL | re.MULTILINE)
_SENTENCE = re.compile(r"[^.!?\n]+(?:\n(?!\s*\n)[^.!?\n]+)*")
_PATH = re.compile(r"(?<![\w.])(?:~|\.{1,2})?(?:/[\w.@+-]+){2,}")
_HEX = re.compile(r"\b0x[0-9a-fA-F]+\b|\b[0-9a-f]{7,40}\b")
_NUMBER = re.compile(r"(?<![\w.])\d+(?![\w.])|(?<=:)\d+")

# What other programs print, some of it failing, none of it about anything one keeps notes of.
FOREIGN_OUTPUTS = (
    "gristmill: fatal: hopper jammed at stage 3 (sack 41)",
    "Error: quern stone 'upper-7' is not seated\n    at dress (stones.q:114:9)",
    "loomctl: cannot advance warp: shed is closed\nloomctl: weaving stopped",
    "BELLFOUNDRY-E2207: mould cracked while cooling, pour abandoned",
    "traceback of the tide engine:\n  basin.lock, gate 4\nLevelMismatch: outer 3.21 m, inner 2.87 m",
    "orrery: panic: moon of gear 9 has no teeth left",
    "12 passed, 0 failed, 0 errors in 3.41s",
    "Compiling error_handler v0.3.1\n    Finished in 2.04s, 0 warnings",
    "[10:04:11] listening on port 8080\n[10:04:12] ready",
    'all checks passed: {"errors": [], "failed": 0}',
    "Uploaded 214 files, none skipped. No errors.",
    "up to date, nothing to do",
)


@dataclass(frozen=True, slots=True)
class Trial:
    """Something to ask. `key` is the entry that should come first, or, of TAKEN, the one that is looked away from."""

    kind: str
    text: str
    key: str | None = None

    @property
    def is_output(self) -> bool:
        """Whether it is piped in, as output of something that failed."""
        return self.kind in (ERROR, TAKEN, FOREIGN)


def sample(keys: Sequence[str], count: int) -> list[str]:
    """Return `count` of the ids, the same whenever the base is the same."""
    return sorted(keys, key=lambda key: hashlib.sha256(key.encode()).hexdigest())[:count]


def trials(entry: Entry) -> Iterator[Trial]:
    """Yield what can be asked about an entry: of each kind one at the most."""
    draw = random.Random(entry.id)  # noqa: S311 - the same draw every time is what is wanted
    if title := _with_gaps(entry.title, draw):
        yield Trial(TITLE, title, entry.id)
    prose = _FENCED.sub("\n\n", "\n\n".join(getattr(entry, name) for name in LONG_TEXT_FIELDS))
    sentences = [s for s in _SENTENCE.findall(prose) if 6 <= len(_WORD.findall(s)) <= 40]
    if sentences:
        yield Trial(TEXT, _with_gaps(draw.choice(sentences), draw), entry.id)
    lines = [line.strip() for text in entry.errors for line in text.splitlines() if line.strip()]
    lines = lines or [line.strip(" `*>") for line in entry.body().splitlines() if has_named_error(line.strip(" `*>"))]
    if lines:
        line = changed(lines[0], draw)
        yield Trial(ERROR, line, entry.id)
        yield Trial(TAKEN, line, entry.id)


def foreign() -> Iterator[Trial]:
    """Yield outputs that no entry answers."""
    for text in FOREIGN_OUTPUTS:
        yield Trial(FOREIGN, text)


def changed(line: str, draw: random.Random) -> str:
    """Return an error line as it would come again: under other folders, with other numbers and addresses."""
    line = _PATH.sub(
        lambda match: f"/srv/{draw.choice('abcd')}{draw.randrange(10, 99)}/" + match[0].split("/")[-1], line
    )
    line = _HEX.sub(lambda match: _other_digits(match[0], draw), line)
    return _NUMBER.sub(lambda match: _other_digits(match[0], draw), line)


def _other_digits(text: str, draw: random.Random) -> str:
    return re.sub(r"[1-9]", lambda _digit: draw.choice("123456789"), text)


def _with_gaps(text: str, draw: random.Random) -> str:
    """Return some of the words of a text, in their order; nothing if there are too few."""
    words = _WORD.findall(text)
    count = max(FEWEST, round(len(words) * REMEMBERED))
    if len(words) <= FEWEST:
        return ""
    return " ".join(words[place] for place in sorted(draw.sample(range(len(words)), count)))
