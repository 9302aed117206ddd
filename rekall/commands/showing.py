"""What the commands that find have in common: the filters they take, and how they show what they found."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace

from rekall.commands.room import Room
from rekall.config import project_root
from rekall.context import Here
from rekall.entry import TYPES, Entry, check_choice, clean_text
from rekall.errors import NOTHING_FOUND
from rekall.places import fnv1a
from rekall.protocol import Request, Response
from rekall.query import Filters, asked, both, parse_time
from rekall.ranking import Hit
from rekall.render import Replaced, hit_lines, hit_object, plain, printed, tsv_line


def filters_of(request: Request) -> Filters:
    """Return the filters a command line names. Raises InvalidEntry, UsageError."""
    options = request.options
    for name in options.type:
        check_choice("type", name, TYPES)
    return Filters(
        types=tuple(options.type),
        tags=tuple(clean_text(tag) for tag in options.tag),
        projects=tuple(clean_text(name) for name in options.project),
        since=parse_time(options.since, zone=request.zone) if options.since else None,
        until=parse_time(options.until, zone=request.zone) if options.until else None,
        status=getattr(options, "status", None),
    )


def here_of(request: Request) -> Here | None:
    """Return where and when a request is made; None if it is to make no difference. Cost: about 30 µs."""
    if getattr(request.options, "no_context", False):
        return None
    root = project_root(request.cwd, request.env)
    number = int(fnv1a(os.fsencode(root)), 16) >> 1 or 1  # as SQLite holds numbers; 0 is everywhere
    return Here(root.name.casefold(), number, int(time.time() // 86_400))


def hits_of(room: Room, request: Request, text: str) -> list[Hit]:
    """Return the hits for a query with the filters that it and the command line name; the newest if it has no words.

    Raises UsageError for a time that is none.
    """
    options, query = request.options, asked(text, zone=request.zone)
    filters = filters_of(request)
    if not query.words.strip() and not query.filters:
        return []
    return room.answer(
        replace(query, filters=both(filters, query.filters)), options.limit, options.arm, here_of(request)
    )


def entries_of(room: Room, hits: Sequence[Hit]) -> dict[str, Entry]:
    """Return the entries that hits name, those that are still there."""
    return {entry.id: entry for entry in room.reading().get_many([hit.id for hit in hits])}


def replaced_of(room: Room, entries: Iterable[Entry]) -> Replaced:
    """Return what replaced those of these entries that are obsolete: by id, the id and the title of the other."""
    obsolete = [entry.id for entry in entries if entry.status == "obsolete"]
    return room.reading().successors(obsolete) if obsolete else {}


def short_replaced(room: Room, entries: Iterable[Entry]) -> Replaced:
    """Return the same with ids as people are shown them."""
    found = replaced_of(room, entries)
    short = room.reading().short_ids(new for new, _title in found.values())
    return {old: (short[new], title) for old, (new, title) in found.items()}


def show_hits(room: Room, request: Request, response: Response, hits: Sequence[Hit], question: dict[str, str]) -> None:
    """Write hits in the format asked for. Nothing found is status 1, and an object all the same."""
    entries = entries_of(room, hits)
    hits = [hit for hit in hits if hit.id in entries]  # one may have been deleted meanwhile
    if not hits:
        response.status = NOTHING_FOUND
    options = request.options
    if options.format in ("json", "jsonl"):
        replaced = replaced_of(room, entries.values())
        objects = [hit_object(hit, entries[hit.id], options.explain, replaced) for hit in hits]
        write_objects(response, options.format, question, objects)
    elif options.format == "tsv":
        for hit in hits:
            response.data(tsv_line(hit, entries[hit.id]))
    elif options.format == "nul":
        write_nul(response, (entries[hit.id] for hit in hits))
    elif hits:
        short = room.reading().short_ids(hit.id for hit in hits)
        replaced = short_replaced(room, entries.values())
        for line in hit_lines(hits, entries, short, request.terminal, options.explain, replaced):
            response.data(line)


def write_objects(
    response: Response, form: str, question: dict[str, str], objects: Iterable[dict[str, object]]
) -> None:
    """Write objects as one with all of them in it, or a line each."""
    if form == "json":
        response.json({**question, "hits": list(objects)})
    else:
        for found in objects:
            response.json(found)


def write_nul(response: Response, entries: Iterable[Entry]) -> None:
    """Write `id TAB title LF content` with a NUL after each: whole entries for xargs -0 and fzf --read0."""
    for entry in entries:
        response.raw(f"{entry.id}\t{entry.title}\n{entry.body()}\0")


def write_picked(request: Request, response: Response, entries: Iterable[Entry]) -> None:
    """Write what `pick` gives of entries; on a terminal, without what could drive it."""
    options = request.options
    for entry in entries:
        text = printed(entry, options.what)
        response.raw((plain(text) if request.terminal.output_is_tty else text) + ("\0" if options.nul else "\n"))
