"""What a user asks for, taken apart: the words, and the filters that narrow the search.

Pure: text in, values out. Times are compared as text, so `parse_time` gives the same form that
entries carry.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta, tzinfo

from rekall.entry import TYPES, clean_text, identifier_parts, signed_words
from rekall.errors import UsageError
from rekall.language import _

# Beyond this many different words a query is a pasted document; its first words name it well enough.
MAX_TERMS = 400

# Filters of one kind beyond these are of a pasted document, and would be more than SQLite takes.
MOST_OF_A_KIND = 30
# Of a query, so many identifiers are also looked up whole, each by its first parts.
MOST_COMPOUNDS, MOST_PARTS = 8, 8

_WORD = re.compile(r"[^\W_]+")
_COMPOUND = re.compile(r"(?<![^\W_])(?<!\w[.:/@-])[^\W_]+(?:(?:::|_+|[.:/\\@-])[^\W_]+)+")
# `built-in` and `read/write` are prose; with a dash in front, or a third part, they are names.
_PROSE = re.compile(r"[^\W_]+[-/][^\W_]+")
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
    phrases: tuple[str, ...] = ()  # each must stand in an entry: words next to each other
    without: tuple[str, ...] = ()  # none may

    def __bool__(self) -> bool:
        return self != Filters()


def terms(text: str) -> list[str]:
    """Return the different words of `text` as they may be looked up, in order, at most MAX_TERMS.

    The text is composed (NFC) first, so that a letter and its accent are one. Words are runs of
    letters and digits, as FTS5's unicode61 cuts them; the parts of camelCase names are added, and `C++` in letters.
    """
    clean = clean_text(text)
    composed = unicodedata.normalize("NFC", clean)
    words = _WORD.findall(composed)
    # A few letters fall apart in NFC though FTS5 keeps them whole: both forms are looked up.
    words += [word for word in _WORD.findall(clean) if len(unicodedata.normalize("NFC", word)) > len(word)]
    words += identifier_parts(composed).split() + signed_words(composed).split()
    distinct: dict[str, None] = {}
    for word in words:
        # Only ASCII is folded here; of other letters FTS5 has ideas of its own.
        distinct.setdefault(word.lower() if word.isascii() else word, None)
        if len(distinct) == MAX_TERMS:
            break
    return list(distinct)


def compounds(text: str) -> list[str]:
    """Return the identifiers in `text` that are made of several words, as phrases: `--no-verify` gives `no verify`.

    FTS5 takes them apart, in entries as in queries; next to each other their words are the whole name again.
    """
    composed = unicodedata.normalize("NFC", clean_text(text))
    found = [
        name[0]
        for name in _COMPOUND.finditer(composed)
        if composed[max(0, name.start() - 1) : name.start()] in ("-", "/") or not _PROSE.fullmatch(name[0])
    ]
    phrases = (" ".join(_WORD.findall(name)[:MOST_PARTS]).lower() for name in found)
    return list(dict.fromkeys(phrases))[:MOST_COMPOUNDS]


def as_match(phrase: str) -> str:
    """Return a phrase as an FTS5 query, or nothing if it has no word: its words next to each other, `C++` as itself."""
    composed = unicodedata.normalize("NFC", clean_text(phrase))
    words = " ".join(_WORD.findall(composed)[:MAX_TERMS])
    return " AND ".join(f'"{part}"' for part in (words, *signed_words(composed).split()) if part)


def restricted(match: str, filters: Filters | None) -> str:
    """Return an FTS5 query for what `match` finds among the entries that hold the phrases and lack the others.

    The same as rows.condition says, without a list of all the entries that may be found.
    """
    for phrase in filters.phrases if filters else ():
        match = f"({match}) AND {as_match(phrase)}"
    for phrase in filters.without if filters else ():
        match = f"({match}) NOT ({as_match(phrase)})"
    return match


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


# A part of a line that is no plain word: a filter, or a phrase between quotes.
_PART = re.compile(r'(?<![^\s(])(?:(type|tag|project|since|until|not):("[^"]*"?|\S*)|"([^"]+)"(?=[\s),.;:?!]|\Z))')


@dataclass(frozen=True, slots=True)
class Typed:
    """A line taken apart: its words, the filters in it, and where those stand.

    `spans` are (start, end, is in force): a filter that is unfinished or wrong is no error, it only does nothing yet.
    """

    words: str
    filters: Filters
    spans: tuple[tuple[int, int, bool], ...] = ()


class _Parts:
    """What the parts of a line come to, one after the other."""

    def __init__(self, names: Mapping[str, Container[str]] | None, when: Callable[[str], str | None]) -> None:
        self._names, self._when = names, when
        self._lists: dict[str, list[str]] = {name: [] for name in ("type", "tag", "project", "not", "phrase")}
        self._times: dict[str, str] = {}

    def take(self, name: str, value: str) -> bool:
        """Put a part in force; tell whether it is."""
        if name in ("since", "until"):
            moment = self._when(value)
            self._times |= {name: moment} if moment else {}
            return moment is not None
        values = value.split(",") if name in ("type", "tag") else [value]
        holds = all(self._is_known(name, one) for one in values)
        self._lists[name] += values if holds else []
        return holds

    def _is_known(self, name: str, value: str) -> bool:
        if name in ("not", "phrase"):
            return bool(as_match(value))
        known: Container[str] | None = TYPES if name == "type" else self._names[name] if self._names else None
        return bool(value) and (known is None or value in known)

    @property
    def filters(self) -> Filters:
        """What is in force."""
        of = {name: tuple(dict.fromkeys(values))[:MOST_OF_A_KIND] for name, values in self._lists.items()}
        return Filters(of["type"], of["tag"], of["project"], **self._times, phrases=of["phrase"], without=of["not"])


def typed(
    text: str,
    names: Mapping[str, Container[str]] | None = None,
    moment: datetime | None = None,
    zone: tzinfo | None = None,
) -> Typed:
    """Take a line as it is being typed apart: `type:bug tag:git,disk since:30d "list files" not:hidden`.

    `names` says which tags and projects there are (None: not known, any may be): others are not in force, so that a
    name that is half typed leaves the list as it is. A type or a time that is wrong, with a blank behind it, is text.
    Of times, the last one counts.
    """

    def when(value: str) -> str | None:
        try:
            return parse_time(value, moment, zone)
        except UsageError:
            return None

    return _taken_apart(text, _Parts(names, when), is_typing=True)


def asked(text: str, moment: datetime | None = None, zone: tzinfo | None = None) -> Typed:
    """Take a query that was sent apart, as `typed` does. A wrong type is text; a wrong time raises UsageError."""
    return _taken_apart(text, _Parts(None, lambda value: parse_time(value, moment, zone) if value else None))


def _taken_apart(text: str, parts: _Parts, is_typing: bool = False) -> Typed:
    spans, words, place = [], [], 0
    for match in _PART.finditer(text):
        name, value = (match[1], match[2].strip('"')) if match[1] else ("phrase", match[3])
        holds = parts.take(name, value)
        unfinished = is_typing and (match.end() == len(text) or name in ("tag", "project"))
        spans += [(match.start(), match.end(), holds)] if match[1] else []
        as_text = value if name == "phrase" else match[0] if not holds and not unfinished else ""
        words += [text[place : match.start()], as_text]
        place = match.end()
    return Typed("".join([*words, text[place:]]), parts.filters, tuple(spans))


def both(one: Filters, other: Filters) -> Filters:
    """Return filters that hold what both say; of a moment that both name, the second counts."""
    merged = {
        field.name: getattr(one, field.name) + getattr(other, field.name)
        if isinstance(getattr(one, field.name), tuple)
        else getattr(other, field.name) or getattr(one, field.name)
        for field in fields(Filters)
    }
    return Filters(**merged)


def with_type(text: str, name: str) -> str:
    """Return a line with the filter `type:name` in place of any other type, or without any where `name` is empty."""
    rest = re.sub(r'(?<!\S)type:(?:"[^"]*"?|\S*) ?', "", text)
    return f"type:{name} {rest}" if name else rest


def type_in(text: str) -> str:
    """Return the one type that a line is narrowed to, or nothing."""
    types = typed(text).filters.types
    return types[0] if len(types) == 1 else ""
