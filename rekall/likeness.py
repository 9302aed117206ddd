"""How alike two error lines are, whatever names, places and numbers they were printed with. Pure.

A line is reduced to its fixed words: paths, quoted names, numbers, addresses and times go, the tool's error code stays.
Two lines with the same fixed words are the same error; else the share of weight they have in common tells how near they
are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

# Lines longer than this many words are compared by their first ones.
MOST_WORDS = 60

# Codes by which tools name their errors: C2182, LNK1120, E0382, TS2304, ORA-00942, 42P01, ENOENT, ERR_REQUIRE_ESM.
_CODE = r"[A-Z]{1,8}-?\d{2,6}|ERR_[A-Z_]{2,40}|E[A-Z]{3,14}"
_CODES = re.compile(rf"(?<![\w./\\-])(?:{_CODE})(?![\w./\\-])")
# Small numbers that say what happened, by the word before them.
_NUMBERED = re.compile(r"\b(errno|code|status|signal|http|curl:?)[\s:#\[(=]{0,3}(\d{1,3})\b", re.IGNORECASE)
_VARYING = re.compile(
    r"(?:[a-z][a-z+.-]{1,12}://|www\.)[^\s'\"<>]{1,300}"  # addresses
    r"|(?<!\w)\w[\w.+-]{0,60}@[\w.-]{1,100}"
    # paths, with a line and a column
    r"|(?<![\w])(?:[A-Za-z]:)?[\w.~@+-]{0,100}(?:[/\\][\w.~@+$%{}-]{0,100}){1,40}(?::\d+(?::\d+)?|\(\d+(?:,\d+)?\))?"
    r"|(?<![\w.])[\w+-]{1,60}\.(?:[cho]|cc|cpp|cxx|hpp|hh|obj|a|so|dll|lib|exe|py|pyc|rs|go|js|mjs|ts|tsx|jsx|rb|pl|php|sh"
    r"|java|class|jar|kt|swift|cs|sql|db|json|yaml|yml|toml|xml|html|css|md|txt|log|cfg|ini|conf|csv|gz|tgz|zip|whl|lock)\b"
    r"|(?<![\w])[\w.-]{1,100}\.[A-Za-z]\w{0,5}(?::\d+(?::\d+)?|\(\d+(?:,\d+)?\))"  # file.c:12:3, file.cpp(12)
    # quoted names
    r"|(?<!\w)'[^'\n]{1,200}'(?!\w)|(?<!\w)\"[^\"\n]{0,200}\"|`[^`'\n]{1,200}[`']|[‘“«][^’”»\n]{1,200}[’”»]"
    r"|<[^<>\n]{1,200}>"
    r"|(?<!\w)0x[0-9a-fA-F]+|(?<!\w)[0-9a-fA-F]{8,64}(?!\w)|(?<!\w)[0-9a-fA-F]{2,8}(?:[:-][0-9a-fA-F]{2,8}){2,15}(?!\w)"
    r"|(?<!\w)[a-zA-Z]{0,3}\d[\w.:,%+-]*"  # numbers, versions, sizes, times
)
_WORDS = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_COMMON = frozenset(
    re.findall(
        r"\w+",
        "a an the of to in on at by for from with and or is are be was were it this that as if you your not no "
        "error errors err fatal failed failure exception warning line file when while can cannot could has have had "
        "did do does must may will would should use see than then there which",
    )
)


# What a word, two neighbours and a code weigh; words that every message has weigh little. Chosen by hand: messages that
# share a code and differ in a few words are the same error, and their order tells "cannot open" from "open cannot".
_WEIGHT, _COMMON_WEIGHT, _NEIGHBOURS_WEIGHT, _CODE_WEIGHT = 1.0, 0.15, 0.5, 3.0

# Four words in their order weigh 5.5; "No such file or directory" weighs 4.5 and tells nobody's error from another's.
_TELLING = 5.0


@dataclass(frozen=True, slots=True)
class Fixed:
    """An error line without what varies: its words in order, and the codes in it."""

    words: tuple[str, ...]
    codes: frozenset[str]
    parts: frozenset[str | tuple[str, str]]  # the words, and each two neighbours
    weight: float  # of the parts

    def __bool__(self) -> bool:
        return bool(self.codes) or any(word not in _COMMON for word in self.words)

    @property
    def text(self) -> str:
        """The words and codes, as something to search for."""
        return " ".join((*self.words, *sorted(self.codes)))


def fixed(line: str) -> Fixed:
    """Return the fixed part of an error line."""
    codes = {found.group().lower() for found in _CODES.finditer(line)}
    codes |= {f"{found[1].lower().rstrip(':')} {found[2]}" for found in _NUMBERED.finditer(line)}
    bare = _VARYING.sub(" ", _CODES.sub(" ", line))
    words = tuple(word.lower().replace("’", "'") for word in _WORDS.findall(bare)[:MOST_WORDS])
    parts = frozenset((*words, *pairwise(words)))
    return Fixed(words, frozenset(codes), parts, _weight(parts))


def likeness(one: Fixed, other: Fixed) -> float:
    """Return how alike two lines are: 1 the same fixed words and codes, 0 nothing in common.

    Twice what they share over what they have. A code on one side only says nothing; two different ones count against.
    """
    if one.words == other.words and one.codes == other.codes:
        return 1.0
    common = _CODE_WEIGHT * len(one.codes & other.codes)
    coded = 2 * common if common else 2 * _CODE_WEIGHT if one.codes and other.codes else 0.0
    whole = one.weight + other.weight + coded
    shared = common + _weight(one.parts & other.parts)
    return min(0.999, 2 * shared / whole) if whole else 0.0


def is_told_in(text: Fixed, line: Fixed) -> bool:
    """Tell whether all of `text` stands in `line`, and is enough to be more than a phrase: a message cut short."""
    return text.weight >= _TELLING and text.parts <= line.parts and text.codes <= line.codes


def _weight(parts: frozenset[str | tuple[str, str]]) -> float:
    return sum(
        _NEIGHBOURS_WEIGHT if isinstance(part, tuple) else _COMMON_WEIGHT if part in _COMMON else _WEIGHT
        for part in parts
    )
