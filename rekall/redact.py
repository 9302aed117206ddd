"""Secrets that somebody typed, piped in or imported, and what is kept in their place. Pure.

A secret becomes a placeholder that says what it was: `[redacted:aws-key]`. It is plain text to Markdown, YAML, JSON
and a shell, is found as `redacted aws key`, and is never taken for a secret itself, so redacting twice changes
nothing.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any  # JSON values

from rekall.entry import FIELDS, Entry
from rekall.secret_places import spans_of
from rekall.secret_shapes import PLACEHOLDER

# Fields that hold no text of the user's, or one from a short list. An id is checked by whoever takes one.
NO_TEXT = frozenset(("id", "type", "status", "revision"))
_ROUNDS = 8  # what is left beside a placeholder may be one more secret; three have been seen


@dataclass(frozen=True, slots=True)
class Secret:
    """What was found: its kind, and where. `start` and `end` are places in the text, `line` counts from 1."""

    kind: str
    start: int = 0
    end: int = 0
    field: str = ""
    line: int = 1


def placeholder(kind: str) -> str:
    """Return what stands for a secret of this kind."""
    return f"{PLACEHOLDER}{kind}]"


def redacted(text: str) -> str:
    """Return `text` with a placeholder for each secret; the same text if it holds none."""
    return without_secrets(text)[0]


def without_secrets(text: str) -> tuple[str, list[Secret]]:
    """Return `text` with placeholders, and what was taken out, lines counted in the text as it was.

    Cost: linear; a few ms for 100 kB.
    """
    all_found: list[Secret] = []
    for _round in range(_ROUNDS):
        found = find(text)
        if not found:
            break
        all_found += found
        parts: list[str] = []
        place = 0
        for secret in found:
            parts += [text[place : secret.start], placeholder(secret.kind)]
            place = secret.end
        text = "".join([*parts, text[place:]])
    return text, all_found


def find(text: str) -> list[Secret]:
    """Return the secrets in `text`, in their order, none over another."""
    if not text:
        return []
    spans = spans_of(text)
    if not spans:
        return []
    line_starts = [0, *(match.end() for match in re.finditer("\n", text))]
    return [Secret(kind, start, end, line=bisect_right(line_starts, start)) for start, end, kind in spans]


# --- entries and their like ---


def screened_text(text: str, field: str, found: list[Secret]) -> str:
    """Return `text` with placeholders; what was taken out of it is added to `found` under the name `field`."""
    text, secrets = without_secrets(text)
    found += [replace(secret, field=field) for secret in secrets]
    return text


def screened(fields: Mapping[str, Any], found: list[Secret]) -> dict[str, Any]:
    """Return an entry's fields by name with placeholders for secrets, wherever a text is in them; adds to `found`."""
    return {name: value if name in NO_TEXT else _screened(value, name, found) for name, value in fields.items()}


def screened_entry(entry: Entry, found: list[Secret]) -> Entry:
    """Return `entry` with placeholders for secrets, the same one if it holds none; adds to `found`."""
    before = len(found)
    fields = screened({name: getattr(entry, name) for name in FIELDS}, found)
    return replace(entry, **fields) if len(found) > before else entry


def _screened(value: Any, field: str, found: list[Secret]) -> Any:
    if isinstance(value, str):
        return screened_text(value, field, found)
    if isinstance(value, (list, tuple)):
        return type(value)(_screened(item, field, found) for item in value)
    if isinstance(value, dict):
        return {screened_text(key, field, found): _valued(key, item, field, found) for key, item in value.items()}
    return value


def _valued(name: str, value: Any, field: str, found: list[Secret]) -> Any:
    """Return the value of a JSON object's key, which may be what says that it is a secret."""
    if not isinstance(value, str):
        return _screened(value, field, found)
    head = f"{name}: "
    if "\n" in value or '"' in value or not (secrets := find(f'{head}"{value}"')) or "\n" in name:
        return screened_text(value, field, found)
    found += [replace(secret, field=field, line=1) for secret in secrets if secret.start > len(head)]
    text, _secrets = without_secrets(f'{head}"{value}"')
    return text[len(head) + 1 : -1] if text.startswith(f'{head}"') else screened_text(value, field, found)


def kinds_of(found: Iterable[Secret]) -> dict[str, int]:
    """Return how many of each kind there are, the most frequent first."""
    return dict(Counter(secret.kind for secret in found).most_common())
