"""The commands that find: search, similar, show, list."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from rekall.commands.pipe import search_piped
from rekall.commands.room import Room
from rekall.commands.showing import (
    entries_of,
    filters_of,
    here_of,
    hits_of,
    replaced_of,
    short_replaced,
    show_hits,
    write_nul,
    write_objects,
)
from rekall.entry import clean_text, to_record
from rekall.errors import NOTHING_FOUND, UsageError
from rekall.language import _
from rekall.protocol import Request, Response
from rekall.query import Filters, Typed
from rekall.ranking import Hit
from rekall.render import entry_lines, entry_text, hit_object, pair_lines, pair_object, replacement, tsv_line

if TYPE_CHECKING:
    from rekall.duplicates import Pair

# A query longer than this is a pasted document; its beginning says what it is about.
MAX_QUERY_BYTES = 1_000_000


def search_(room: Room, request: Request, response: Response) -> None:
    """Answer a query; with `-` the query comes from stdin."""
    options = request.options
    reads_stdin = options.query == ["-"] and not options.literal
    if options.each_line:
        if not reads_stdin:
            raise UsageError(_("--each-line reads queries from stdin; write: rekall search - --each-line"))
        _search_each_line(room, request, response)
        return
    if reads_stdin:
        search_piped(room, request, response)
        return
    for flag, is_given in (("--as", options.reads_as), ("--tee", options.tee)):
        if is_given:
            raise UsageError(_("{flag} is about what is piped in; write: rekall search - {flag}").format(flag=flag))
    text = clean_text(" ".join(options.query)).strip()
    hits = hits_of(room, request, text)
    show_hits(room, request, response, hits, {"query": text})


def _search_each_line(room: Room, request: Request, response: Response) -> None:
    """Answer each line of stdin with one JSON object, in order, blank lines included."""
    options, filters = request.options, filters_of(request)
    response.status = NOTHING_FOUND
    for line in _lines(request.stdin):
        text = clean_text(line.decode("utf-8", "replace")).strip()
        hits = _hits_of_line(room, request, text, filters)
        entries = entries_of(room, hits)
        if hits:
            response.status = 0
        replaced = replaced_of(room, entries.values())
        objects = [hit_object(hit, entries[hit.id], options.explain, replaced) for hit in hits]
        response.json({"query": text, "hits": objects})
        response.flush()


def _hits_of_line(room: Room, request: Request, text: str, filters: Filters) -> list[Hit]:
    """Return the hits for one line of many; a time that is none is text, for the others are to be answered."""
    try:
        return hits_of(room, request, text)
    except UsageError:
        return room.answer(Typed(text, filters), request.options.limit, request.options.arm, here_of(request))


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of `stream`; of one longer than MAX_QUERY_BYTES, the words it begins with."""
    while line := stream.readline(MAX_QUERY_BYTES):
        rest = line
        while rest and not rest.endswith(b"\n"):
            rest = stream.readline(MAX_QUERY_BYTES)
        yield _whole_words(line)


def _whole_words(text: bytes) -> bytes:
    """Drop the word that the limit cut through, if it did."""
    return text.rpartition(b" ")[0] or text if len(text) >= MAX_QUERY_BYTES else text


def similar_(room: Room, request: Request, response: Response) -> None:
    """Find the entries nearest in meaning to one entry, itself left out."""
    key = room.reading().resolve(request.options.id)
    from rekall.embeddings import LONGEST_CAUGHT_UP

    room.catch_up(LONGEST_CAUGHT_UP)
    hits = room.service.find_similar(key, request.options.limit, filters_of(request))
    show_hits(room, request, response, hits, {"similar": key})


def duplicates_(room: Room, request: Request, response: Response) -> None:
    """List pairs of entries that may say the same, nearest first, but for those of which one replaced the other."""
    options, database = request.options, room.reading()
    pairs: list[Pair] = []
    if not database.is_empty():
        from rekall.embeddings import LONGEST_CAUGHT_UP

        room.catch_up(LONGEST_CAUGHT_UP)
        settled = database.superseded_pairs()
        found = room.service.find_duplicates(room.check_wanted)
        pairs = [pair for pair in found if frozenset((pair.one, pair.other)) not in settled][: options.limit]
    keys = dict.fromkeys(key for pair in pairs for key in (pair.one, pair.other))
    entries = {entry.id: entry for entry in database.get_many(list(keys))}
    pairs = [pair for pair in pairs if pair.one in entries and pair.other in entries]  # one may be gone meanwhile
    if not pairs:
        response.status = NOTHING_FOUND
    both = [(entries[pair.one], entries[pair.other], pair.cosine) for pair in pairs]
    if options.json:
        response.json({"pairs": [pair_object(*pair) for pair in both]})
        return
    short = database.short_ids(entries)
    for line in pair_lines(both, short, request.terminal):
        response.data(line)


def show_(room: Room, request: Request, response: Response) -> None:
    """Show one entry whole."""
    database = room.reading()
    entry = database.get(database.resolve(request.options.id))
    links = database.links_of(entry.id)
    if request.options.json:
        response.json(
            {
                **to_record(entry),
                **replacement(entry, replaced_of(room, [entry])),
                "links": [
                    {"source": link.source, "target": link.target, "relation": link.relation, "reason": link.reason}
                    for link in links
                ],
            }
        )
        return
    others = {e.id: e for e in database.get_many([x for link in links for x in (link.source, link.target)])}
    pairs = [(link, others.get(link.target if link.source == entry.id else link.source)) for link in links]
    for line in entry_text(entry, pairs, request.terminal, short_replaced(room, [entry])):
        response.data(line)
    if request.terminal.output_is_tty:  # a person reads it; the preview of a picker is none
        response.picked.append(entry.id)


def list_(room: Room, request: Request, response: Response) -> None:
    """List entries, newest first."""
    options = request.options
    entries = room.reading().entries(filters_of(request), options.limit)
    if not entries:
        response.status = NOTHING_FOUND
    if options.format in ("json", "jsonl"):
        replaced = replaced_of(room, entries)
        objects = [hit_object(Hit(entry.id, 0.0), entry, False, replaced) for entry in entries]
        write_objects(response, options.format, {"query": ""}, objects)
    elif options.format == "tsv":
        for entry in entries:
            response.data(tsv_line(Hit(entry.id, 0.0), entry))
    elif options.format == "nul":
        write_nul(response, entries)
    else:
        short = room.reading().short_ids(entry.id for entry in entries)
        for line in entry_lines(entries, short, request.terminal, short_replaced(room, entries)):
            response.data(line)
