"""From what a user gives to an Entry, and between an Entry and Markdown with front matter. Pure.

The Markdown form is what $EDITOR shows and what `export --format markdown` writes: YAML between two
lines of `---`, then the content as it is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime
from typing import Any  # what YAML may hold

from rekall.entry import FIELDS, LIST_FIELDS, Entry, clean_text, from_record, now, one_line
from rekall.errors import InvalidEntry
from rekall.language import _

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_HEADING = re.compile(r"#[ \t]+(?=\S)")
# Names that other note tools give to our fields.
_OTHER_NAMES = {"date": "created_at", "created": "created_at", "updated": "updated_at", "modified": "updated_at",
                "category": "project", "tag": "tags", "keywords": "tags", "url": "source"}  # fmt: skip
# Fields an editor is shown, in this order; the rest is kept as it is.
_EDITED = ("title", "type", "tags", "project", "status", "superseded_by", "situation", "solution", "what_failed",
           "errors", "files", "source")  # fmt: skip
# What an editor is always shown, so that it can be filled in.
_OFFERED = ("title", "type", "tags", "project", "situation", "solution", "what_failed", "errors")


def split_tags(text: str) -> tuple[str, ...]:
    """Return the tags between the commas of `text`, once each."""
    return tuple(dict.fromkeys(tag for tag in (one_line(part) for part in text.split(",")) if tag))


def new_entry(fields: Mapping[str, Any]) -> Entry:
    """Return a new Entry from what a command line gave. Raises InvalidEntry."""
    return from_record({name: value for name, value in fields.items() if value is not None})


def edited(entry: Entry, fields: Mapping[str, Any]) -> Entry:
    """Return `entry` with these fields changed and `updated_at` moved on; the same if nothing changes."""
    record = {name: getattr(entry, name) for name in FIELDS}
    record.update({name: list(record[name]) for name in LIST_FIELDS})
    changed = from_record({**record, **fields})
    kept = replace(changed, updated_at=entry.updated_at, revision=entry.revision)
    return entry if kept == entry else replace(kept, updated_at=now())


def to_markdown(entry: Entry, whole: bool = False) -> str:
    """Return `entry` as Markdown with front matter: all its fields, or those one edits."""
    import yaml

    if whole:
        front = {name: _plain(getattr(entry, name)) for name in FIELDS if name != "content" and getattr(entry, name)}
    else:
        front = {name: _plain(getattr(entry, name)) for name in _EDITED if name in _OFFERED or getattr(entry, name)}
    text = yaml.dump(front, Dumper=_block_dumper(), sort_keys=False, allow_unicode=True, width=100)
    return f"---\n{text}---\n{entry.content}" + ("" if entry.content.endswith("\n") or not entry.content else "\n")


def _plain_loader() -> Any:
    """Return a loader for plain data without aliases: a few lines of those unfold to gigabytes."""
    import yaml

    class PlainLoader(yaml.SafeLoader):
        """Local to the call, as yaml itself is imported only when it is needed."""

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.events.AliasEvent):
                raise yaml.YAMLError(_("aliases (*name) are not taken"))
            return super().compose_node(parent, index)

    return PlainLoader


def _block_dumper() -> Any:
    """Return a dumper that writes texts of several lines as blocks, as one would by hand."""
    import yaml

    class BlockDumper(yaml.SafeDumper):
        """Local to the call: representers are kept on the class."""

    def write_text(dumper: Any, text: str) -> Any:
        printable = all(line.isprintable() for line in text.split("\n"))
        style = '"' if not printable else "|" if "\n" in text else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)

    BlockDumper.add_representer(str, write_text)
    return BlockDumper


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value if value is not None else ""


def read_markdown(text: str) -> dict[str, Any]:
    """Return the record that a Markdown note describes: fields of the front matter, title, content.

    Without a title in the front matter a first `# heading` is taken as the title and out of the
    content. Front matter that is no YAML object raises InvalidEntry.
    """
    text = clean_text(text).removeprefix("\ufeff")
    found = _FRONT_MATTER.match(text)
    record = _front_matter(found[1]) if found else {}
    content = text[found.end() :] if found else text
    if not record.get("title"):
        first, _end, rest = content.lstrip().partition("\n")
        heading = _HEADING.match(first)
        if heading:
            marks = first[heading.end() :].rstrip()
            plain = marks.rstrip("#")  # closing marks count as such behind a blank
            record["title"] = one_line(plain if plain != marks and plain[-1:].isspace() else marks)
            content = rest
    record["content"] = content.strip("\n")
    return record


def _front_matter(text: str) -> dict[str, Any]:
    import yaml

    try:
        loaded = yaml.load(text, Loader=_plain_loader())  # noqa: S506  # a SafeLoader that knows even less
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidEntry(
            _("the front matter is not YAML: {error}").format(error=" ".join(str(error).split()))
        ) from None
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise InvalidEntry(
            _("the front matter must hold `name: value` lines, found {kind}").format(kind=type(loaded).__name__)
        )
    record: dict[str, Any] = {}
    for key, value in loaded.items():
        low = str(key).lower()
        name = low if low in FIELDS else _OTHER_NAMES.get(low, str(key))
        if name not in record or name == low:
            record[name] = _yaml_value(name, value)
    return {name: value for name, value in record.items() if value not in (None, "")}


def _yaml_value(name: str, value: Any) -> Any:
    """Return a YAML value in the kind that a record holds: texts for what YAML read as dates or numbers."""
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if name == "tags" and isinstance(value, str):
        return list(split_tags(value if "," in value else value.replace(" ", ",")))
    if name in LIST_FIELDS:
        items = value if isinstance(value, list) else [value]
        return [_scalar(item) for item in items if item is not None]
    if name == "extra" and isinstance(value, dict):
        return _json_like(value)
    if name in FIELDS and name not in ("revision", "extra") and isinstance(value, (int, float)):
        return str(value)
    return _json_like(value) if name not in FIELDS else value


def _scalar(value: Any) -> str:
    return value.isoformat() if isinstance(value, (datetime, date)) else value if isinstance(value, str) else str(value)


def _json_like(value: Any) -> Any:
    """Return `value` with everything JSON has no word for written as text."""
    if isinstance(value, dict):
        return {str(key): _json_like(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [_json_like(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, (bool, int, float, str)) else _scalar(value)
