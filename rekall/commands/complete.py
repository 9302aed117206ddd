"""The command behind TAB: what may stand at the cursor. rekall/completion.py knows the grammar, the base the rest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rekall.commands.room import Room
from rekall.completion import CHANGE, CHOICE, FILE, ID, PROJECT, TAG, TAGS, Choice, Wanted, line_for, wanted
from rekall.db import Database
from rekall.errors import NOTHING_FOUND, RekallError
from rekall.language import plural
from rekall.protocol import Request, Response
from rekall.render import fitted, plain

# The status that says: files belong here, the shell knows them.
FILES_BELONG = 3
# Offered at once; who has more types a letter.
MOST = 100
TITLE_COLUMNS = 60


def complete_(room: Room, request: Request, response: Response) -> None:
    """Print the words that may stand at the cursor, a line each; status 1 if none is known, 3 if files belong there."""
    options = request.options
    found = wanted(options.line, options.shell)
    if found.place.kind == FILE:
        response.status = FILES_BELONG
        return
    choices = _static(found) if found.place.kind == CHOICE else _stored(room, found)
    lines = [line_for(choice, found, options.line, options.shell, options.word) for choice in choices]
    response.raw("".join(f"{line}\n" for line in lines if line))
    if not any(lines):
        response.status = NOTHING_FOUND


def _static(found: Wanted) -> Iterator[Choice]:
    return (choice for choice in found.place.choices if choice[0].startswith(found.typed))


def _stored(room: Room, found: Wanted) -> Iterable[Choice]:
    """Return what the base has for a place. What would not stay on its line, or drive a terminal, is left out."""
    if not room.exists:
        return []
    database, kind = room.reading(), found.place.kind
    choices: Iterable[Choice] = []
    if kind == ID:
        choices = _ids(database, found.typed)
    elif kind == CHANGE:
        choices = _changes(database, found)
    elif kind in (TAG, PROJECT):
        choices = _counted(database, kind, found.typed)
    elif kind == TAGS:
        before, comma, typed = found.typed.rpartition(",")
        taken = before.split(",")
        listed = (choice for choice in _counted(database, TAG, typed) if choice[0] not in taken)
        choices = ((before + comma + tag, meaning) for tag, meaning in listed)
    return [choice for choice in choices if plain(choice[0]) == choice[0] and not {"\n", "\t"} & set(choice[0])]


def _counted(database: Database, column: str, typed: str) -> list[Choice]:
    """Return the tags or projects that begin so, the most frequent first."""
    counts = database.counts_by(column)
    return [
        (name, plural("{count} entry", "{count} entries", count).format(count=count))
        for name, count in counts.items()
        if name.startswith(typed)
    ][:MOST]


def _ids(database: Database, typed: str) -> list[Choice]:
    """Return ids that begin so, the newest first, each as short as it may be written, with its title."""
    keys = database.ids_beginning(typed, MOST) if typed else database.newest(None, MOST)
    entries = database.get_many(keys)
    short = database.short_ids(entry.id for entry in entries)
    return [
        (short[entry.id] if short[entry.id].startswith(typed.upper()) else entry.id, _one_line(entry.title))
        for entry in entries
    ]


def _one_line(title: str) -> str:
    return fitted(" ".join(plain(title).split()), TITLE_COLUMNS)


def _changes(database: Database, found: Wanted) -> list[Choice]:
    """Return the tags that an entry may get, `+x`, or those that may be taken from it, `-x`."""
    if not found.typed.startswith("-"):
        return [(f"+{tag}", meaning) for tag, meaning in _counted(database, TAG, found.typed.removeprefix("+"))]
    try:
        entry = database.get(database.resolve(found.words[0]))
    except RekallError:
        return []
    return [(f"-{tag}", "") for tag in entry.tags if tag.startswith(found.typed[1:])]
