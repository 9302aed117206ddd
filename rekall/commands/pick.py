"""The picker's list and its answer for programs that draw it themselves, fzf before all: pick --list, pick --take."""

from __future__ import annotations

import time

from rekall.commands.room import Room
from rekall.commands.showing import entries_of, here_of, short_replaced, write_picked
from rekall.entry import clean_text, is_id
from rekall.errors import NOTHING_FOUND, UsageError
from rekall.language import _
from rekall.protocol import Request, Response
from rekall.query import typed
from rekall.render import beginnings, listed_line

# As many as the picker finds.
MOST = 100


def pick_(room: Room, request: Request, response: Response) -> None:
    """List what fits what was typed so far, or give what was chosen of it. With neither, it is an app: picker.py."""
    if request.options.take:
        _take(room, request, response)
    else:
        _list(room, request, response)


def _list(room: Room, request: Request, response: Response) -> None:
    """Write `id TAB line NUL` for each entry, the best first; where nothing is typed, the newest.

    The model is not waited for, as at every key of the picker.
    """
    text = clean_text(" ".join(request.options.query))
    asked = typed(text, zone=request.zone)
    if asked.spans:  # what is no tag or project, or not yet, leaves the list as it is
        names = {name: frozenset(room.reading().counts_by(name)) for name in ("tag", "project")}
        asked = typed(text, names, zone=request.zone)
    hits, _by_meaning = room.find_as_typed(asked.words, MOST, asked.filters, here_of(request))
    entries = entries_of(room, hits)
    replaced = short_replaced(room, entries.values())
    begins, moment = beginnings(asked.words), time.time()
    found = [entries[hit.id] for hit in hits if hit.id in entries and is_id(hit.id)]
    for entry in found:
        response.raw(f"{entry.id}\t{listed_line(entry, begins, moment, request.terminal.colour, replaced)}\0")
    if not found:
        response.status = NOTHING_FOUND


def _take(room: Room, request: Request, response: Response) -> None:
    """Write what the picker gives of the entries named, in that order."""
    if not request.options.query:
        raise UsageError(_("--take needs the ids of entries; write: rekall pick --take ID"))
    database = room.reading()
    entries = [database.get(database.resolve(key)) for key in request.options.query]
    write_picked(request, response, entries)
    response.picked += [entry.id for entry in entries]
