"""The commands that find: search, similar, show, list."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO

from rekall.commands.room import Room
from rekall.entry import TYPES, Entry, check_choice, clean_text, to_record
from rekall.errors import NOTHING_FOUND, UsageError
from rekall.language import _
from rekall.protocol import Request, Response
from rekall.query import Filters, parse_time
from rekall.ranking import Hit
from rekall.render import entry_lines, entry_text, hit_lines, hit_object, tsv_line

# A query longer than this is a pasted document; its beginning says what it is about.
MAX_QUERY_BYTES = 1_000_000


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
        text = _whole_words(request.stdin.read(MAX_QUERY_BYTES)).decode("utf-8", "replace")
    else:
        text = " ".join(options.query)
    text = clean_text(text).strip()
    hits = room.find(text, options.limit, filters_of(request), options.arm)
    show_hits(room, request, response, hits, {"query": text})


def _search_each_line(room: Room, request: Request, response: Response) -> None:
    """Answer each line of stdin with one JSON object, in order, blank lines included."""
    options, filters = request.options, filters_of(request)
    response.status = NOTHING_FOUND
    for line in _lines(request.stdin):
        text = clean_text(line.decode("utf-8", "replace")).strip()
        hits = room.find(text, options.limit, filters, options.arm)
        entries = _entries_of(room, hits)
        if hits:
            response.status = 0
        response.json({"query": text, "hits": [hit_object(hit, entries[hit.id], options.explain) for hit in hits]})
        response.flush()


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


def _entries_of(room: Room, hits: Sequence[Hit]) -> dict[str, Entry]:
    return {entry.id: entry for entry in room.reading().get_many([hit.id for hit in hits])}


def show_hits(room: Room, request: Request, response: Response, hits: Sequence[Hit], question: dict[str, str]) -> None:
    """Write hits in the format asked for. Nothing found is status 1, and an object all the same."""
    entries = _entries_of(room, hits)
    hits = [hit for hit in hits if hit.id in entries]  # one may have been deleted meanwhile
    if not hits:
        response.status = NOTHING_FOUND
    options = request.options
    if options.format in ("json", "jsonl"):
        objects = [hit_object(hit, entries[hit.id], getattr(options, "explain", False)) for hit in hits]
        _write_objects(response, options.format, question, objects)
    elif options.format == "tsv":
        for hit in hits:
            response.data(tsv_line(hit, entries[hit.id]))
    elif options.format == "nul":
        _write_nul(response, (entries[hit.id] for hit in hits))
    elif hits:
        short = room.reading().short_ids(hit.id for hit in hits)
        for line in hit_lines(hits, entries, short, request.terminal, options.explain):
            response.data(line)


def _write_objects(
    response: Response, form: str, question: dict[str, str], objects: Iterable[dict[str, object]]
) -> None:
    if form == "json":
        response.json({**question, "hits": list(objects)})
    else:
        for found in objects:
            response.json(found)


def _write_nul(response: Response, entries: Iterable[Entry]) -> None:
    """Write `id TAB title LF content` with a NUL after each: whole entries for xargs -0 and fzf --read0."""
    for entry in entries:
        response.raw(f"{entry.id}\t{entry.title}\n{entry.body()}\0")


def show_(room: Room, request: Request, response: Response) -> None:
    """Show one entry whole."""
    database = room.reading()
    entry = database.get(database.resolve(request.options.id))
    links = database.links_of(entry.id)
    if request.options.json:
        response.json(
            {
                **to_record(entry),
                "links": [
                    {"source": link.source, "target": link.target, "relation": link.relation, "reason": link.reason}
                    for link in links
                ],
            }
        )
        return
    others = {e.id: e for e in database.get_many([x for link in links for x in (link.source, link.target)])}
    pairs = [(link, others.get(link.target if link.source == entry.id else link.source)) for link in links]
    for line in entry_text(entry, pairs, request.terminal):
        response.data(line)


def list_(room: Room, request: Request, response: Response) -> None:
    """List entries, newest first."""
    options = request.options
    entries = room.reading().entries(filters_of(request), options.limit)
    if not entries:
        response.status = NOTHING_FOUND
    if options.format in ("json", "jsonl"):
        objects = [hit_object(Hit(entry.id, 0.0), entry, explain=False) for entry in entries]
        _write_objects(response, options.format, {"query": ""}, objects)
    elif options.format == "tsv":
        for entry in entries:
            response.data(tsv_line(Hit(entry.id, 0.0), entry))
    elif options.format == "nul":
        _write_nul(response, entries)
    else:
        short = room.reading().short_ids(entry.id for entry in entries)
        for line in entry_lines(entries, short, request.terminal):
            response.data(line)
