"""The nouns: an Entry, a Link between two, and what their fields may hold.

An Entry is a value: nothing here reads a file or a clock except `new_id` and `now`. Lists are
tuples, so two equal entries compare equal and none changes under a reader.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any  # JSON values: whatever an imported record or an older base holds

from rekall.errors import InvalidEntry
from rekall.language import _

TYPES = ("bug", "pattern", "decision", "pitfall", "config", "reference", "snippet", "til")
STATUSES = ("active", "obsolete")
RELATIONS = ("related", "supersedes", "derived_from", "contradicts")
LIST_FIELDS = ("tags", "errors", "files")
LONG_TEXT_FIELDS = ("content", "situation", "solution", "what_failed")

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_WINDOWS_LINE_END = re.compile(r"(?<!\r)\r+\n")  # \r\r\n is what Windows programs print through a pipe
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f]+")
_CAMEL_WORD = re.compile(r"\b\w*[a-z0-9][A-Z]\w*")
_SIGNED = re.compile(r"(?<![\w+#.])(?:([A-Za-z]\w{0,9})\+\+|([A-Za-z]{1,2})#)(?![\w+#])")
_CAMEL_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing worth remembering.

    `content` is Markdown. `created_at` and `updated_at` are ISO 8601: UTC with a trailing Z when
    rekall wrote them, as they stood when they came from elsewhere. `revision` counts the edits of
    this entry, from 1. `extra` holds what has no home of its own (fields of an older base, of an
    imported record); it is exported and imported unchanged.
    """

    id: str
    type: str
    title: str
    content: str = ""
    tags: tuple[str, ...] = ()
    project: str | None = None
    status: str = "active"
    superseded_by: str | None = None
    situation: str = ""
    solution: str = ""
    what_failed: str = ""
    errors: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    source: str | None = None
    created_at: str = ""
    updated_at: str = ""
    revision: int = 1
    extra: dict[str, Any] = field(default_factory=dict)

    def body(self) -> str:
        """Return all that is worth finding apart from the title, as one text."""
        parts = (self.situation, *self.errors, self.content, self.what_failed, self.solution)
        return "\n\n".join(part for part in parts if part)


FIELDS = tuple(f.name for f in fields(Entry))


@dataclass(frozen=True, slots=True)
class Link:
    """A reason why two entries belong together, from `source` to `target` (ids)."""

    source: str
    target: str
    relation: str
    reason: str | None = None
    created_at: str = ""


def new_id(milliseconds: int | None = None, random_bytes: Callable[[int], bytes] = os.urandom) -> str:
    """Return a ULID: 48 bits of time, 80 random bits, 26 letters that sort by time.

    Format after the ULID specification (Crockford's base 32).
    """
    stamp = int(time.time() * 1000) if milliseconds is None else milliseconds
    number = (stamp & (1 << 48) - 1) << 80 | int.from_bytes(random_bytes(10), "big")
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))


def _utc(stamp: str) -> str:
    """Return an ISO 8601 time that names another zone than UTC in UTC; any other text as it is."""
    try:
        moment = datetime.fromisoformat(stamp)
        if moment.tzinfo is None or stamp.endswith("Z"):
            return stamp
        return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError):
        return stamp


def _milliseconds(stamp: str) -> int | None:
    """Return the Unix time of an ISO 8601 stamp, so that ids sort as entries were made; None if it is none."""
    try:
        return max(0, int(datetime.fromisoformat(stamp).timestamp() * 1000))
    except (ValueError, OverflowError, OSError):
        return None


def now() -> str:
    """Return this moment as rekall writes it: 2026-11-23T08:48:00.123Z."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def is_id(text: str) -> bool:
    """Tell whether `text` may stand as an entry's id: 1 to 64 of A-Z a-z 0-9 _ and -."""
    return _ID.fullmatch(text) is not None


def clean_text(text: str) -> str:
    """Return `text` as it can be stored: no NUL, no lone surrogate, Unix line ends.

    Bytes that were not UTF-8 arrive as lone surrogates; each becomes U+FFFD. NUL ends a string for
    too many programs to be worth keeping and becomes U+FFFD too.
    """
    return _WINDOWS_LINE_END.sub("\n", storable(text))


def storable(text: str) -> str:
    """Return `text` without what no base can hold: NUL and lone surrogates become U+FFFD."""
    return _replace_surrogates(text).replace("\x00", "\ufffd")


def _replace_surrogates(text: str) -> str:
    """Replace lone surrogates; going through UTF-16 joins the pairs that belong together."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def one_line(text: str) -> str:
    """Return `text` on one line: line ends and tabs become blanks, outer blanks go."""
    return " ".join(part.strip() for part in clean_text(text).replace("\t", " ").splitlines()).strip()


def first_line(text: str) -> str:
    """Return the first line of `text` that says something, without Markdown's heading marks."""
    for line in text.splitlines():
        plain = line.strip().lstrip("#").strip()
        if plain:
            return plain
    return ""


def identifier_parts(text: str) -> str:
    """Return the words inside camelCase names, once each: `getAllVectors` gives `get All Vectors`.

    FTS5 takes `snake_case` and `a.b` apart by itself; a capital inside a word it does not see.
    """
    parts: dict[str, None] = {}
    for word in dict.fromkeys(_CAMEL_WORD.findall(text)):
        parts.update(dict.fromkeys(_CAMEL_PART.findall(word)))
    return " ".join(parts)


def signed_words(text: str) -> str:
    """Return names that are told apart by signs alone as words of letters, once each: `C++` gives `cplusplus`.

    To FTS5, `C++` and `C#` are the same word as `C`.
    """
    found = (f"{plus}plusplus" if plus else f"{sharp}sharp" for plus, sharp in _SIGNED.findall(text))
    return " ".join(dict.fromkeys(name.lower() for name in found))


def keywords(entry: Entry) -> str:
    """Return words that should find `entry` though its text does not show them so.

    These are the parts of its camelCase names, names such as `C++` in letters, the trigger keywords of an older base,
    and list items with control characters, which the index sees in JSON's spelling.
    """
    triggers = entry.extra.get("trigger_keywords")
    named = [word for word in triggers if isinstance(word, str)] if isinstance(triggers, list) else []
    listed = [_CONTROL.sub(" ", item) for item in (*entry.tags, *entry.errors, *entry.files) if _CONTROL.search(item)]
    text = f"{entry.title}\n{entry.body()}"
    return " ".join(part for part in (identifier_parts(text), signed_words(text), *named, *listed) if part).strip()


def checked(entry: Entry, tags: bool = True) -> Entry:
    """Return `entry` unchanged, or raise InvalidEntry naming the first field that is wrong; `tags`: of these too."""
    if not is_id(entry.id):
        raise InvalidEntry(_("id {id!r} is not 1 to 64 of A-Z a-z 0-9 _ -").format(id=entry.id))
    if not entry.title.strip():
        raise InvalidEntry(_("the title is empty; say in a few words what the entry is about"))
    check_choice("type", entry.type, TYPES)
    check_choice("status", entry.status, STATUSES)
    for tag in entry.tags if tags else ():
        if not tag or tag != tag.strip() or "," in tag or "\n" in tag:
            raise InvalidEntry(_("tag {tag!r} is empty, or holds a comma, a line end or outer blanks").format(tag=tag))
    return entry


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise InvalidEntry unless `value` is one of `choices`."""
    if value not in choices:
        raise InvalidEntry(
            _("{name} {value!r} is not known; choose one of: {choices}").format(
                name=name, value=value, choices=" ".join(choices)
            )
        )


def to_record(entry: Entry) -> dict[str, Any]:
    """Return `entry` as a JSON object whose keys are the field names, in their order."""
    record: dict[str, Any] = {}
    for name in FIELDS:
        value = getattr(entry, name)
        record[name] = list(value) if isinstance(value, tuple) else value
    return record


def from_record(record: dict[str, Any], exact: bool = False) -> Entry:
    """Return the Entry a JSON object describes; keys that are no fields go to `extra`.

    Missing: the id is new, the type til, the title the content's first line, the times now. `exact`: texts stay as they
    are, blanks and line ends too, but for what cannot be stored.
    Raises InvalidEntry for a value of the wrong kind.
    """
    values = {name: _field(name, record[name], exact) for name in FIELDS if record.get(name) is not None}
    strangers = {key: value for key, value in record.items() if key not in FIELDS and key != "links"}
    if strangers:
        values["extra"] = _field("extra", {**values.get("extra", {}), **strangers})
    for name in ("created_at", "updated_at"):
        if name in values and not exact:
            values[name] = _utc(values[name])
    stamp = now()
    values.setdefault("created_at", stamp)
    values.setdefault("updated_at", values["created_at"])
    values.setdefault("id", new_id(_milliseconds(values["created_at"])))
    values.setdefault("type", "til")
    if not values.get("title", "").strip():
        texts = [values.get(name, "") for name in LONG_TEXT_FIELDS] + list(values.get("errors", ()))
        values["title"] = next((line for line in map(first_line, texts) if line), "")[:200]
    return checked(Entry(**values), tags=not exact)


def _clean_json(value: Any, clean: Callable[[str], str]) -> Any:
    """Return a JSON value whose texts can be stored. Raises ValueError for numbers that JSON has not."""
    if isinstance(value, dict):
        return {clean(key): _clean_json(item, clean) for key, item in value.items()}
    if isinstance(value, list):
        return [_clean_json(item, clean) for item in value]
    if isinstance(value, str):
        return clean(value)
    json.dumps(value, allow_nan=False)
    return value


def _field(name: str, value: Any, exact: bool = False) -> Any:
    """Return one field's value in the kind Entry holds, or raise InvalidEntry. `exact`: see from_record."""
    clean = storable if exact else clean_text
    if name in LIST_FIELDS:
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list) or not all(isinstance(item, (str, int, float)) for item in items):
            raise InvalidEntry(_("{name} must be a list of strings, found {value!r}").format(name=name, value=value))
        texts = [clean(str(item)) for item in items]
        if exact:
            return tuple(texts)
        return tuple(dict.fromkeys(text.strip() if name == "tags" else text for text in texts if text.strip()))
    if name == "extra":
        if not isinstance(value, dict):
            raise InvalidEntry(_("extra must be an object, found {value!r}").format(value=value))
        try:
            return _clean_json(value, clean)
        except (ValueError, TypeError, RecursionError) as error:
            raise InvalidEntry(_("extra cannot be written as JSON: {error}").format(error=error)) from None
    if name == "revision":
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value < 2**53:
            raise InvalidEntry(_("revision must be a whole number from 1, found {value!r}").format(value=value))
        return value
    if not isinstance(value, str):
        raise InvalidEntry(_("{name} must be a string, found {value!r}").format(name=name, value=value))
    return one_line(value) if name in ("title", "project") and not exact else clean(value)
