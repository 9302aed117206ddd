"""The commands that write entries: add, edit, tag, link, unlink, delete."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any  # values of options

from rekall.capture import edited, new_entry, read_markdown, split_tags, to_markdown
from rekall.commands.editor import in_editor
from rekall.commands.room import Room
from rekall.entry import Entry, Link, clean_text, one_line
from rekall.errors import NOTHING_FOUND, ModelUnavailable, RekallError, UsageError
from rekall.language import _, plural
from rekall.protocol import Request, Response
from rekall.redact import Secret, screened
from rekall.render import fitted, plain

if TYPE_CHECKING:
    from rekall.db import Database

# An entry longer than this is embedded behind the warm process's answer, and not compared: it takes more than 50 ms.
SHORT_CHARACTERS = 1500
# The warm process waits for the new entry's vector for so long before it answers.
TWIN_SECONDS = 0.04
# As much of a title as a notice names.
TITLE_COLUMNS = 60
MAX_CONTENT_BYTES = 64 * 1024 * 1024
# Secrets left out that are named one by one; the rest is counted.
SHOWN_SECRETS = 5


# What an editor may leave out to empty it.
_EMPTIED: dict[str, Any] = {
    **dict.fromkeys(("content", "situation", "solution", "what_failed"), ""),
    **{name: [] for name in ("tags", "errors", "files")},
    **dict.fromkeys(("project", "source", "superseded_by")),
}


def add_(room: Room, request: Request, response: Response) -> None:
    """Keep a new entry and print its id; its vector follows once the id is out."""
    options = request.options
    fields = {"type": options.type, "title": one_line(" ".join(options.title)), **_given(request)}
    if request.id:
        fields["id"] = request.id
    if options.edit:
        with in_editor(request, to_markdown(_draft(_screened(request, response, fields)))) as record:
            entry = new_entry(
                {**{key: value for key, value in fields.items() if key in ("files", "id")},
                 **_screened(request, response, record)}
            )  # fmt: skip
            _add_once(room, entry)
    else:
        entry = new_entry(_screened(request, response, fields))
        _add_once(room, entry)
    response.data(entry.id)
    if not room.household.is_warm:
        response.after.append(lambda: embed_quietly(room, response))
        response.after.append(lambda: _tell_of_twin(room, response, entry))
    elif room.household.models.is_loaded and len(entry.body()) <= SHORT_CHARACTERS and _is_embedded_soon(room, entry):
        _tell_of_twin(room, response, entry)


def _is_embedded_soon(room: Room, entry: Entry) -> bool:
    """Wait a moment for the entry's vector, which another thread makes: an `add` waits for no model, however busy."""
    room.household.wake()
    model, deadline = room.household.models.name, time.monotonic() + TWIN_SECONDS
    while not room.reading().has_vector(entry.id, model):
        if time.monotonic() > deadline:
            return False
        time.sleep(TWIN_SECONDS / 20)
    return True


def _tell_of_twin(room: Room, response: Response, entry: Entry) -> None:
    """Say that another entry may say the same. Nothing that fails here is worth a word: the entry is kept."""
    try:
        twin = room.service.find_twin(entry.id)
        other = room.reading().get(twin.other) if twin else None
    except RekallError:
        return
    if other:
        response.note(
            _("much like {id}: {title}; if the new one replaces it: rekall link {new} {id} -r supersedes").format(
                id=room.reading().short_ids([other.id])[other.id],
                new=room.reading().short_ids([entry.id])[entry.id],
                title=fitted(" ".join(plain(other.title).split()), TITLE_COLUMNS),
            )
        )


def _add_once(room: Room, entry: Entry) -> None:
    """Store a new entry, unless an earlier try of the same request has stored it."""
    database = room.writing()
    with database.transaction():
        if not database.get_many([entry.id]):
            database.add(entry)


def _screened(request: Request, response: Response, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields with placeholders for secrets, and tell what was left out; as they are with --allow-secrets."""
    found: list[Secret] = []
    kept = dict(fields) if request.options.allow_secrets else screened(fields, found)
    say_left_out(response, found)
    return kept


def say_left_out(response: Response, found: Sequence[Secret]) -> None:
    """Name the secrets that were left out: what kind, in which field and line, never the value."""
    if not found:
        return
    named = [
        _("{kind} ({field}, line {line})").format(kind=secret.kind, field=secret.field, line=secret.line)
        for secret in found[:SHOWN_SECRETS]
    ]
    if len(found) > SHOWN_SECRETS:
        named.append(_("{count} more").format(count=len(found) - SHOWN_SECRETS))
    response.note(
        plural(
            "a secret was left out: {named}; to keep it: --allow-secrets",
            "{count} secrets were left out: {named}; to keep them: --allow-secrets",
            len(found),
        ).format(count=len(found), named=", ".join(named))
    )


def _draft(fields: Mapping[str, Any]) -> Entry:
    """Return what the editor is to show: an entry that need not be whole yet."""
    lists = {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
    return Entry(**{"id": "draft", **fields, **lists})


def embed_quietly(room: Room, response: Response, count: int | None = None) -> None:
    """Embed what waits, or the newest `count` of it. The entry is kept and found by words even if that fails."""
    try:
        room.be_quiet()
        if count is None:
            room.catch_up()
        else:
            room.embed_some(count)
    except ModelUnavailable as error:
        response.note(_("kept; found by words only until the model works: {reason}").format(reason=error))


def _given(request: Request) -> dict[str, Any]:
    """Return the fields that the command line gives, by field name. `-c -` reads stdin."""
    options = request.options
    content = options.content
    if content == "-":
        data = request.stdin.read(MAX_CONTENT_BYTES + 1)
        if len(data) > MAX_CONTENT_BYTES:
            raise UsageError(
                _("the content is larger than {count} MB; keep a part of it, or link the file with --file").format(
                    count=MAX_CONTENT_BYTES >> 20
                )
            )
        content = data.decode("utf-8", "replace").rstrip("\n")
    given = {
        "tags": list(split_tags(options.tags)) if options.tags is not None else None,
        "project": options.project,
        "content": content,
        "situation": options.situation,
        "solution": options.solution,
        "what_failed": options.what_failed,
        "errors": options.error,
        "files": options.file,
        "source": options.source,
    }
    return {name: value for name, value in given.items() if value is not None}


def edit_(room: Room, request: Request, response: Response) -> None:
    """Change an entry by options, or in $EDITOR if none is given.

    Only what the user changed is written, over the entry as it is then: another's change meanwhile stays.
    """
    database, options = room.writing(), request.options
    key = database.resolve(options.id)
    fields = _given(request)
    for name, value in (("type", options.type), ("title", options.new_title), ("status", options.status)):
        if value is not None:
            fields[name] = value
    if options.new_title is not None and not one_line(options.new_title):
        raise UsageError(_("the title is empty; say in a few words what the entry is about"))
    if fields:
        changed = _apply(database, key, _screened(request, response, fields))
    else:
        shown = to_markdown(database.get(key))
        before = {**_EMPTIED, **read_markdown(shown)}
        with in_editor(request, shown) as record:
            after = {**_EMPTIED, **record} if record != read_markdown(shown) else before
            fields = {name: value for name, value in after.items() if before.get(name) != value}
            changed = _apply(database, key, _screened(request, response, fields))
    if not changed:
        response.note(_("nothing changed"))
        return
    response.data(key)
    response.after.append(lambda: embed_quietly(room, response))


def _apply(database: Database, key: str, fields: Mapping[str, Any]) -> bool:
    """Change these fields of the entry as it is now, in one transaction; tell whether anything changed."""
    with database.transaction():
        entry = database.get(key)
        changed = edited(entry, fields)
        if changed is not entry:
            database.update(changed)
    return changed is not entry


def tag_(room: Room, request: Request, response: Response) -> None:
    """Add and take away tags; without changes, print the tags."""
    options = request.options
    if not options.id:
        raise UsageError(_("tag needs an id; write: rekall tag ID +TAG -TAG"))
    key = room.reading().resolve(options.id)
    changes = [_tag_change(change) for change in options.changes]
    tags = room.reading().get(key).tags
    if changes:
        database = room.writing()
        with database.transaction():  # read and written in one go: others may be tagging it too
            found = dict.fromkeys(database.get(key).tags)
            for sign, names in changes:
                for name in names:
                    if sign == "+":
                        found[name] = None
                    else:
                        found.pop(name, None)
            tags = tuple(found)
            found_secrets: list[Secret] = []
            tags = tuple(screened({"tags": list(tags)}, found_secrets)["tags"])
            say_left_out(response, found_secrets)
            if _apply(database, key, {"tags": list(tags)}):
                response.after.append(lambda: embed_quietly(room, response))
    response.data(plain(", ".join(tags)))


def _tag_change(change: str) -> tuple[str, tuple[str, ...]]:
    """Return (sign, tags) of `+TAG` or `-TAG`. Raises UsageError."""
    sign, names = change[:1], split_tags(clean_text(change[1:]))
    if sign not in "+-" or not names:
        raise UsageError(_("{change!r} is no change of tags; write +TAG or -TAG").format(change=change))
    return sign, names


def link_(room: Room, request: Request, response: Response) -> None:
    """Say that two entries belong together. `supersedes` marks the second as obsolete."""
    options, database = request.options, room.writing()
    source, target = database.resolve(options.source), database.resolve(options.target)
    if source == target:
        raise UsageError(_("an entry cannot be linked to itself"))
    reason = clean_text(options.reason) if options.reason else None
    if reason:
        reason = _screened(request, response, {"reason": reason})["reason"]
    with database.transaction():
        database.link(Link(source, target, options.relation, reason))
        if options.relation == "supersedes":
            database.update(edited(database.get(target), {"status": "obsolete", "superseded_by": source}))


def unlink_(room: Room, request: Request, response: Response) -> None:
    """Take away the links from one entry to another."""
    options, database = request.options, room.reading()
    source, target = database.resolve(options.source), database.resolve(options.target)
    count = room.writing().unlink(source, target, options.relation)
    if not count:
        response.status = NOTHING_FOUND
    response.note(plural("{count} link removed", "{count} links removed", count).format(count=count))


def delete_(room: Room, request: Request, response: Response) -> None:
    """Delete an entry with its tags, links and vectors."""
    database = room.reading()
    entry = database.get(database.resolve(request.options.id))
    if request.options.forever:
        room.writing().delete_forever(entry.id)
        response.note(_("deleted for ever {id}: {title}").format(id=entry.id, title=entry.title))
        return
    room.writing().delete(entry.id)
    response.note(_("deleted {id}: {title} (back with: rekall undo)").format(id=entry.id, title=entry.title))
