"""What a base, or a JSONL file, says of each entry and link, as far as a merge compares it: marks, not texts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from rekall.db import Database
from rekall.entry import Entry, Link
from rekall.language import _
from rekall.sources import Found
from rekall.versions import LinkKey, mark, said

# The other version of an entry is an entry of its own, with this tag and a link to the entry, until somebody takes
# one of them away or changes it.
CONFLICT_TAG = "conflict"
CONFLICT_RELATION = "contradicts"

_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # of a ULID


class Version(NamedTuple):
    """One version of an entry: what tells it apart, what it says, when it was written, where its text is (an id)."""

    mark: str
    said: str
    updated_at: str
    revision: int
    place: str


@dataclass
class State:
    """One side of a merge. `known`: the marks of all versions by entry id; `copies`: other versions kept beside one."""

    fetch: Callable[[Sequence[str]], list[Entry]]
    there: dict[str, Version] = field(default_factory=dict)
    known: Mapping[str, set[str]] = field(default_factory=dict)
    copies: dict[str, dict[str, Version]] = field(default_factory=dict)
    links: dict[LinkKey, Link] = field(default_factory=dict)
    known_links: Mapping[LinkKey, set[str]] = field(default_factory=dict)

    def marks(self, key: str) -> set[str]:
        """Return the marks of all versions known of an entry, the one there and those beside it too."""
        there = {self.there[key].mark} if key in self.there else set()
        return there | self.known.get(key, set()) | self.copies.get(key, {}).keys()

    def text(self, version: Version) -> Entry:
        """Return the entry that a version is."""
        [entry] = self.fetch([version.place])
        return next(one for one in _originals(entry) if said(one) == version.said)


def copy_id(key: str, what: str) -> str:
    """Return the id of the entry that keeps the version of `key` that says `what`: the same on every machine.

    Beside a ULID it is one of the same millisecond, so that it sorts as its original does.
    """
    digest = hashlib.blake2b(f"{key} {what}".encode(), digest_size=16).digest()
    if len(key) == 26 and set(key) <= set(_LETTERS):
        return key[:10] + "".join(_LETTERS[byte % 32] for byte in digest)
    return f"{key[:40]}-{digest.hex()[:12]}"


def as_copy(entry: Entry, key: str, what: str) -> Entry:
    """Return the entry that keeps a version of `key` beside it."""
    tags = entry.tags if CONFLICT_TAG in entry.tags else (*entry.tags, CONFLICT_TAG)
    return replace(entry, id=copy_id(key, what), tags=tags, revision=1)


def _originals(entry: Entry) -> Iterator[Entry]:
    """Yield what an entry may be a copy of."""
    yield entry
    if entry.tags[-1:] == (CONFLICT_TAG,):
        yield replace(entry, tags=entry.tags[:-1])


def state_of(database: Database) -> State:
    """Return what a base holds. Cost: reads all of it and its history; 200 bytes an entry stay."""
    state = State(database.get_many, known=database.known_marks(), known_links=database.known_link_marks())
    _fill(state, database.each(), database.all_links())
    return state


def state_of_records(records: Iterable[Found], problems: list[str]) -> State:
    """Return what the lines of an export say; adds what cannot be merged to `problems`. The entries stay in memory."""
    entries: dict[str, Entry] = {}
    links: list[Link] = []
    known: dict[str, set[str]] = {}
    for record in records:
        if record.deleted:
            key, at = record.deleted
            known.setdefault(key, set()).update((*record.earlier, f"-{at}"))
        elif record.entry is None:
            problems.append(f"{record.place}: {record.problem}")
        elif not record.is_whole:
            text = _("{place}: no whole line of rekall export; rekall import brings it in")
            problems.append(text.format(place=record.place))
        elif record.entry.id in entries:
            problems.append(
                _("{place}: its id was there before; merge one export at a time").format(place=record.place)
            )
        else:
            entries[record.entry.id] = record.entry
            links += record.links
            known.setdefault(record.entry.id, set()).update(record.earlier)
    state = State(lambda keys: [entries[key] for key in keys if key in entries], known=known)
    _fill(state, entries.values(), links)
    return state


def _fill(state: State, entries: Iterable[Entry], links: Iterable[Link]) -> None:
    tagged: dict[str, list[Version]] = {}
    for entry in entries:
        state.there[entry.id] = _version(entry)
        if CONFLICT_TAG in entry.tags:
            tagged[entry.id] = [_version(one) for one in _originals(entry)]
    state.links.update(((link.source, link.target, link.relation), link) for link in links)
    for source, target, relation in state.links:
        for version in tagged.get(source, ()) if relation == CONFLICT_RELATION else ():
            if copy_id(target, version.said) == source:  # as it was made: nobody has changed it
                state.copies.setdefault(target, {})[version.mark] = version


def _version(entry: Entry) -> Version:
    what = said(entry)
    return Version(mark(entry, what), what, entry.updated_at, entry.revision, entry.id)
