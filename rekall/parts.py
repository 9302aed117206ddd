"""Where a text falls into parts: paragraphs, list items, code blocks. Pure.

An entry that holds several things is found by each of them, so each gets a vector of its own; but a vector takes
1.5 kB, so short neighbours share one. What they cost and gain: docs/ranking.md.
"""

from __future__ import annotations

import re
from bisect import bisect_left

# A list item of so many tokens stands alone; other neighbours join until they have so many together.
ITEM_TOKENS, PART_TOKENS = 12, 64

_FENCE = re.compile(r"\s*(?:```|~~~)")
_ITEM = re.compile(r"\s*(?:[-*+]|\d{1,9}[.)])\s")
_HEADING = re.compile(r"#{1,6}\s")


def parts(text: str, begin: int = 0) -> list[tuple[int, int, bool]]:
    """Return (start, end, is it a list item) of each part of `text` behind `begin`, blank lines left out.

    A code block is one part however many blank lines it has; a heading belongs to what follows it.
    """
    found: list[tuple[int, int, bool]] = []
    start, end, is_item, in_code, at = -1, begin, False, False, begin

    def finish() -> None:
        nonlocal start
        if start >= 0:
            found.append((start, end, is_item))
        start = -1

    for line in text[begin:].splitlines(keepends=True):
        fence = _FENCE.match(line)
        begins_item = not in_code and _ITEM.match(line) is not None
        only_heading = start >= 0 and _HEADING.match(text, start) and "\n" not in text[start:end]
        if not in_code and not only_heading and (not line.strip() or begins_item or _HEADING.match(line)):
            finish()
        if line.strip() or in_code:
            if start < 0:
                start, is_item = at, False
            is_item = is_item or begins_item
            end = at + len(line.rstrip())
        in_code = in_code != bool(fence)
        at += len(line)
    finish()
    return found


def shared(found: list[tuple[int, int, bool]], offsets: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the spans that get a vector each: `found`, those too short joined to the next.

    `offsets` are (start, end) of each token of the text, in order.
    """
    starts = [start for start, _end in offsets]
    spans: list[tuple[int, int]] = []
    tokens, was_item = PART_TOKENS, False  # of the last span
    for start, end, is_item in found:
        enough = ITEM_TOKENS if was_item or is_item else PART_TOKENS
        if tokens < enough:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
        tokens, was_item = bisect_left(starts, end) - bisect_left(starts, spans[-1][0]), is_item
    if len(spans) > 1 and tokens < ITEM_TOKENS:
        last = spans.pop()
        spans[-1] = (spans[-1][0], last[1])
    return spans
