"""What a user asks for, taken apart: the words, and the filters that narrow the search.

Pure: text in, values out. Times are compared as text, so `parse_time` gives the same form that
entries carry.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from rekall.entry import TYPES, clean_text, identifier_parts
from rekall.errors import UsageError
from rekall.language import _

# Beyond this many different words a query is a pasted document; its first words name it well enough.
MAX_TERMS = 400

_WORD = re.compile(r"[^\W_]+")
_AGO = re.compile(r"(\d{1,6})\s*(min|h|d|w|m|y)")
_HOURS = {"min": 1 / 60, "h": 1, "d": 24, "w": 24 * 7, "m": 24 * 30.44, "y": 24 * 365.25}


@dataclass(frozen=True, slots=True)
class Filters:
    """Which entries may answer. Within one field any value will do; all fields must agree."""

    types: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()
    since: str | None = None
    until: str | None = None
    status: str | None = None

    def __bool__(self) -> bool:
        return self != Filters()


def terms(text: str) -> list[str]:
    """Return the different words of `text` as they may be looked up, in order, at most MAX_TERMS.

    The text is composed (NFC) first, so that a letter and its accent are one. Words are runs of
    letters and digits, as FTS5's unicode61 cuts them; the parts of camelCase names are added.
    """
    clean = clean_text(text)
    composed = unicodedata.normalize("NFC", clean)
    words = _WORD.findall(composed)
    # A few letters fall apart in NFC though FTS5 keeps them whole: both forms are looked up.
    words += [word for word in _WORD.findall(clean) if len(unicodedata.normalize("NFC", word)) > len(word)]
    words += identifier_parts(composed).split()
    distinct: dict[str, None] = {}
    for word in words:
        # Only ASCII is folded here; of other letters FTS5 has ideas of its own.
        distinct.setdefault(word.lower() if word.isascii() else word, None)
        if len(distinct) == MAX_TERMS:
            break
    return list(distinct)


def parse_time(text: str, moment: datetime | None = None, zone: tzinfo | None = None) -> str:
    """Return the UTC second that `30d`, `2w`, `6h`, `2026-11-01` or an ISO 8601 time names.

    Units: min h d w m(onths) y, counted back from `moment` (default: now). A date or time without
    a zone is of `zone`, or local. The answer has the form 2026-11-01T00:00:00. Raises UsageError.
    """
    ago = _AGO.fullmatch(text.strip())
    try:
        if ago:
            when = (moment or datetime.now(UTC)) - timedelta(hours=int(ago[1]) * _HOURS[ago[2]])
        else:
            when = datetime.fromisoformat(text.strip())
            if zone and when.tzinfo is None:
                when = when.replace(tzinfo=zone)
        return when.astimezone(UTC).isoformat()[:19]
    except (ValueError, OverflowError):
        raise UsageError(
            _("time {text!r} is not understood; write 30d, 2w, 6h or 2026-11-01").format(text=text)
        ) from None


_TYPED_FILTER = re.compile(r'(?<!\S)(type|tag|project|since|until):("[^"]*"?|\S*)')


@dataclass(frozen=True, slots=True)
class Typed:
    """A line as it is being typed: its words, the filters in it, and where those stand.

    `spans` are (start, end, is in force): a filter that is unfinished or wrong is no error, it only does nothing yet.
    """

    words: str
    filters: Filters
    spans: tuple[tuple[int, int, bool], ...] = ()


def typed(
    text: str,
    names: Mapping[str, Container[str]] | None = None,
    moment: datetime | None = None,
    zone: tzinfo | None = None,
) -> Typed:
    """Take a line like `type:bug tag:git,disk project:"my shop" since:30d list files` apart.

    `names` says which tags and projects there are (None: not known, any may be): others are not in force, so that a
    name that is half typed leaves the list as it is. Of times, the last one counts.
    """
    found: dict[str, list[str]] = {"type": [], "tag": [], "project": []}
    times: dict[str, str] = {}
    spans = []
    for match in _TYPED_FILTER.finditer(text):
        name, value = match[1], match[2].strip('"')
        if name in found:
            values = [value] if name == "project" else value.split(",")
            known: Container[str] | None = TYPES if name == "type" else names[name] if names is not None else None
            holds = all(part and (known is None or part in known) for part in values)
            found[name] += values if holds else []
        else:
            times |= (moments := _time_or_none(name, value, moment, zone))
            holds = bool(moments)
        spans.append((match.start(), match.end(), holds))
    filters = Filters(tuple(found["type"]), tuple(found["tag"]), tuple(found["project"]), **times)
    return Typed(_TYPED_FILTER.sub("", text), filters, tuple(spans))


def _time_or_none(name: str, value: str, moment: datetime | None, zone: tzinfo | None) -> dict[str, str]:
    try:
        return {name: parse_time(value, moment, zone)}
    except UsageError:
        return {}


def with_type(text: str, name: str) -> str:
    """Return a line with the filter `type:name` in place of any other type, or without any where `name` is empty."""
    rest = re.sub(r'(?<!\S)type:(?:"[^"]*"?|\S*) ?', "", text)
    return f"type:{name} {rest}" if name else rest


def type_in(text: str) -> str:
    """Return the one type that a line is narrowed to, or nothing."""
    types = typed(text).filters.types
    return types[0] if len(types) == 1 else ""
