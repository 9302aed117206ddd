"""Fingerprints of error lines: what stays of a message whatever it was about. Pure, and versioned.

Paths, quoted names, numbers, addresses, hashes, versions and times go; the words stay in their order, and so do the
codes by which tools name their errors. Two lines with one fingerprint are the same error. Fingerprints are stored
(error_table), so whatever changes what `fingerprint` or `of_entry` returns, the marks of error_marks among it, needs
another FINGERPRINT_VERSION: bases that hold older ones make theirs anew.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from rekall.entry import LONG_TEXT_FIELDS, Entry
from rekall.error_lines import error_lines, has_named_error
from rekall.error_marks import COMMON, SYSTEM, Mark, without_prefix
from rekall.printed import plain_lines
from rekall.prints import FINGERPRINT_VERSION, ErrorText, Fingerprint

__all__ = ["FINGERPRINT_VERSION", "ErrorText", "Fingerprint", "as_question", "fingerprint", "names", "of_entry"]

# Lines longer than this many words are known by their first ones.
MOST_WORDS = 60
# Lines of one text of an entry that are looked at for errors, and fingerprints that are kept of one entry.
_MOST_READ, MOST_KEPT = 200, 40

# Codes by which tools name their errors: C2182, LNK1120, E0382, TS2304, ORA-00942, 42P01, ENOENT, ERR_REQUIRE_ESM.
_LOUD = r"ERROR|EXCEPTION|EXIT|EXPECT|EXPIRE|EMPTY|ENABLE|EVENT|ENTRY|ENTER|EITHER|ELSE|EACH|EVERY|EXEC|EXIST|EXTERNAL"
_LOUD += r"|EXTRA|ENGINE|ENCOD|EDIT|EMAIL|ENSURE|ENUM|EXPORT|ENTITY|EQUAL|EXCLU|EXPLAIN|EXPR|ESCAPE|EVAL|ENDED|ENDING"
_CODE = rf"[A-Z]{{1,8}}-?\d{{2,6}}|ERR_[A-Z_]{{2,40}}|(?!{_LOUD})E[A-Z]{{3,14}}|\d[0-9A-Z]{{0,2}}P\d{{2}}"
_CODES = re.compile(rf"(?<![\w./\\-])(?:{_CODE})(?![\w./\\-])")
# Small numbers that say what happened, by the word before them.
_NUMBERED = re.compile(r"\b(errno|code|status|signal|http|curl)[\s:#\[(=]{0,3}(\d{1,3})(?!\w)", re.IGNORECASE)
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
# What a system's phrase is about, where nothing quotes it: `rm: build: Is a directory`.
_BEFALLEN = re.compile(rf"(: )[^\s:]{{1,200}}(?=: (?:{SYSTEM})\b)", re.IGNORECASE)
# Between quotes so many words that tell something are a message; fewer are a name.
_LEAST_QUOTED = 3
_QUOTES = re.compile(r"['\"`‘’“”«»]")
_WORDS = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
_HASH = re.compile(r"[a-f]{8,64}")
_NAMES = re.compile(r"[^\W_][\w.+-]{1,60}")
_FOLDERS = re.compile(r"(?:[A-Za-z]:)?(?:[\w.~@+-]{0,100}[/\\]){1,40}(?=[\w.~@+-])")
_PLACE = re.compile(r"^\s*(?:[A-Za-z]:)?[\w./\\@~+-]{1,300}(?:\(\d+(?:,\d+)?\)|:\d+(?::\d+)?)[\s:]{0,3}")

# Letters without which no line of prose or code is taken for an error as a tool prints it: to look closer at few.
_HINTS = (
    "error", "fail", "fatal", "exception", "panic", "cannot", "can't", "not found", "denied", "refused", "undefined",
    "unable", "could not", "couldn't", "no such", "err!", "e: ", "invalid", "unknown", "missing", "timed out", "killed",
    "aborted", "fault", "traceback", "rejected", "conflict", "memory", "not permitted", "in use", "critical", "severe",
)  # fmt: skip


def fingerprint(line: str) -> Fingerprint:
    """Return the fingerprint of one error line; without words if nothing stays of it. Cost: about 35 µs.

    Of a message that is all between quotes, what they hold is the message.
    """
    codes = {found.group().lower() for found in _CODES.finditer(line)}
    codes |= {f"{found[1]} {found[2]}".lower() for found in _NUMBERED.finditer(line)}
    bare = _BEFALLEN.sub(r"\1", _NUMBERED.sub(" ", _CODES.sub(" ", line)))
    words = _words(_VARYING.sub(" ", bare))
    if not codes and COMMON.issuperset(words):
        quoted = _words(_VARYING.sub(" ", _QUOTES.sub(" ", bare)))
        words = quoted if len(set(quoted) - COMMON) >= _LEAST_QUOTED else words
    return Fingerprint(tuple(words), frozenset(codes))


def _words(text: str) -> list[str]:
    words = _WORDS.findall(text.lower().replace("’", "'"))[:MOST_WORDS]
    return [word for word in words if not _HASH.fullmatch(word)]


def names(line: str) -> frozenset[str]:
    """Return the names and numbers that a fingerprint leaves out of a line, in lower case."""
    return frozenset(
        word.lower() for found in _VARYING.findall(_CODES.sub(" ", line)) for word in _NAMES.findall(found)
    )


def as_question(line: str) -> str:
    """Return an error line as one would ask about it: without its place, and paths without their folders."""
    return _FOLDERS.sub("", _PLACE.sub("", line))[:300]


def of_entry(entry: Entry) -> list[ErrorText]:
    """Return the fingerprints of an entry, once each: of its error texts, and of error lines told in its prose.

    Of a given text the causes count, and its warnings or echoes only if there is no better line.
    """
    found: list[ErrorText] = []
    for part, text in enumerate(entry.errors):
        found += [ErrorText(print_, part, mark) for print_, mark in _of_text(text)]
    found += [ErrorText(fingerprint(line), -1, Mark.NAMED) for line in _told(entry)]
    once = {error.fingerprint: error for error in reversed(found) if error.fingerprint}
    return [error for error in found if once.get(error.fingerprint) is error][:MOST_KEPT]


def _of_text(text: str) -> list[tuple[Fingerprint, int]]:
    lines = plain_lines(text.encode("utf-8", "replace"))[:_MOST_READ]
    marked = error_lines(lines)
    for marks in ((Mark.NAMED, Mark.WORDED), (Mark.WARNING,), (Mark.ECHO,)):
        if some := [(fingerprint(line.text), int(line.mark)) for line in marked if line.mark in marks]:
            return some
    return [(fingerprint(without_prefix(line)), 0) for line in lines]


def _told(entry: Entry) -> Sequence[str]:
    """Return the lines of an entry's title and prose that are errors as a tool prints them."""
    found: list[str] = []
    for name in ("title", *LONG_TEXT_FIELDS):
        text = getattr(entry, name)
        lower = text.lower()
        if any(hint in lower for hint in _HINTS):
            lines = (line.strip(" `*>") for line in text.splitlines()[:_MOST_READ])
            found += [without_prefix(line) for line in lines if _is_hinted(line) and has_named_error(line)]
    return found


def _is_hinted(line: str) -> bool:
    lower = line.lower()
    return any(hint in lower for hint in _HINTS)
