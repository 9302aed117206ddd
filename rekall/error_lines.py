"""Which lines of a program's output say what went wrong. Pure: lines in, error lines out, the root cause first.

How a single line shows what it is: error_marks. Here is what only several lines together tell: tracebacks, chains of
causes, errors told again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rekall.error_marks import Mark, is_exception, mark_of, unprefixed, without_prefix

# More different error lines than this say no more than the first ones.
MOST_LINES = 64
# Of the lines below an error that only belongs to it together with them, this many are taken along.
_CONTINUED = 4

_TRACEBACK = re.compile(r"([ |+│]*)(?:Exception Group )?Traceback[ ,(]{1,2}most recent call last")
_CHAIN = re.compile(r"(?:During handling of the above exception|The above exception was the direct cause)")
_BARE_NAME = re.compile(r"[A-Za-z_][\w.]*\s*$")
# These say where, and the lines below say what: Rust the next one, others those that are indented.
_SAID_BELOW = re.compile(r"^thread '.*panicked at .*:$|^error (?:during|while|in) .*:$", re.IGNORECASE)
_SECTION = re.compile(r"^\* What went wrong:$")  # Gradle: the paragraph below, up to the next such heading
_GOES_ON = re.compile(
    r"^CMake Error\b|^error: .*:$|^error: the following .*:$|\berror:\s*(?:\[[\w-]{1,20}\])?$", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class ErrorLine:
    """One line that says what went wrong, without the time and place of its printing."""

    text: str
    mark: Mark


def error_lines(lines: Sequence[str]) -> list[ErrorLine]:
    """Return the error lines among `lines`, once each: the root cause first, echoes last, at most MOST_LINES."""
    found = _recognised(lines)
    if any(line.text.startswith("Caused by: ") for line in found):  # Java: the deepest cause is the last one
        found.sort(key=lambda line: not line.text.startswith("Caused by: "))
        causes = [line for line in found if line.text.startswith("Caused by: ")]
        found[: len(causes)] = reversed(causes)
    found.sort(key=lambda line: line.mark)
    once = {line.text: line for line in reversed(found)}
    return [line for line in found if once.pop(line.text, None)][:MOST_LINES]


def has_named_error(line: str) -> bool:
    """Tell whether a line alone is an error as a tool prints it, and not a question about one."""
    text = without_prefix(line)
    return mark_of(text) in (Mark.NAMED, Mark.ECHO)


def _recognised(lines: Sequence[str]) -> list[ErrorLine]:
    found: list[ErrorLine] = []
    traced: int | None = None  # where the last exception of a chain of Python tracebacks stands
    column: int | None = None  # where a traceback that is being printed begins
    chained = False
    for place, line in enumerate(lines):
        bare = unprefixed(line)
        if begun := _TRACEBACK.match(bare):
            column, traced = len(begun[1]), traced if chained else None
            chained = False
            continue
        if column is not None and (bare[column : column + 1].isspace() or not bare[column:].strip(" |")):
            continue  # where it was, and the source there: what stands in it was not printed
        text = (bare[column:] if column is not None and not bare[:column].strip(" |+│") else bare).strip()
        if column is not None:
            column = None
            if is_exception(text) or _BARE_NAME.match(text):
                if traced is not None:  # raised while that one was handled: the last one is what counts
                    found[traced] = ErrorLine(found[traced].text, Mark.ECHO)
                traced = len(found)
                found.append(ErrorLine(text, mark_of(text) or Mark.NAMED))
                continue
        if _CHAIN.match(text):
            chained = True
            continue
        mark = mark_of(text)
        if mark is not None:
            found.append(ErrorLine(_whole(text, lines, place), mark))
    return found


def _whole(text: str, lines: Sequence[str], place: int) -> str:
    """Return an error line with those below it that it needs to be understood: CMake says first only where."""
    if _SECTION.search(text):
        below = lines[place + 1 : place + 1 + _CONTINUED]
        end = next((count for count, line in enumerate(below) if line.startswith("* ")), len(below))
        return " ".join(line.strip(" >") for line in below[:end]) or text
    if _SAID_BELOW.search(text):
        return " ".join([text, *(line.strip() for line in lines[place + 1 : place + 2])])
    if not _GOES_ON.search(text):
        return text
    more: list[str] = []
    for line in lines[place + 1 : place + 1 + _CONTINUED]:
        if not line[:1].isspace():
            break
        more.append(line.strip())
    return " ".join([text, *more])
