"""What the commands that find have in common: the filters they take, and how they show what they found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from rekall.commands.room import Room
from rekall.entry import TYPES, Entry, check_choice, clean_text
from rekall.errors import NOTHING_FOUND
from rekall.protocol import Request, Response
from rekall.query import Filters, asked, both, parse_time
from rekall.ranking import Hit
from rekall.render import hit_lines, hit_object, tsv_line


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


def hits_of(room: Room, request: Request, text: str) -> list[Hit]:
    """Return the hits for a query with the filters that it and the command line name; the newest if it has no words.

    Raises UsageError for a time that is none.
    """
    options, query = request.options, asked(text, zone=request.zone)
    filters = filters_of(request)
    if not query.words.strip() and not query.filters:
        return []
    return room.answer(replace(query, filters=both(filters, query.filters)), options.limit, options.arm)


def entries_of(room: Room, hits: Sequence[Hit]) -> dict[str, Entry]:
    """Return the entries that hits name, those that are still there."""
    return {entry.id: entry for entry in room.reading().get_many([hit.id for hit in hits])}


def show_hits(room: Room, request: Request, response: Response, hits: Sequence[Hit], question: dict[str, str]) -> None:
    """Write hits in the format asked for. Nothing found is status 1, and an object all the same."""
    entries = entries_of(room, hits)
    hits = [hit for hit in hits if hit.id in entries]  # one may have been deleted meanwhile
    if not hits:
        response.status = NOTHING_FOUND
    options = request.options
    if options.format in ("json", "jsonl"):
        objects = [hit_object(hit, entries[hit.id], getattr(options, "explain", False)) for hit in hits]
        write_objects(response, options.format, question, objects)
    elif options.format == "tsv":
        for hit in hits:
            response.data(tsv_line(hit, entries[hit.id]))
    elif options.format == "nul":
        write_nul(response, (entries[hit.id] for hit in hits))
    elif hits:
        short = room.reading().short_ids(hit.id for hit in hits)
        for line in hit_lines(hits, entries, short, request.terminal, options.explain):
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
