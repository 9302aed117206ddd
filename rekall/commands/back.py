"""The commands that lead back: undo, history, backup, restore."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any  # JSON values

from rekall.commands.room import Room
from rekall.entry import FIELDS, Entry, to_record
from rekall.errors import NOTHING_FOUND, BaseUnusable, UsageError
from rekall.language import _, plural
from rekall.protocol import Request, Response
from rekall.render import plain

if TYPE_CHECKING:
    from rekall.history import Change, Deed


def undo_(room: Room, request: Request, response: Response) -> None:
    """Take back the last deed that stands, or the one with this number."""
    if not room.exists:
        response.note(_("there is nothing to undo"))
        response.status = NOTHING_FOUND
        return
    deed, number = room.writing().undo(request.options.deed)
    said = _("undone: {what} (and back again: rekall undo {number})")
    response.note(plain(said.format(what=_told(deed), number=number)))
    response.after.append(lambda: _embed(room, response))


def _embed(room: Room, response: Response) -> None:
    from rekall.commands.keep import embed_quietly

    embed_quietly(room, response)


def _told(deed: Deed) -> str:
    """Say in a few words what a deed did."""
    words = {
        "added": _("{count} added"),
        "changed": _("{count} changed"),
        "deleted": _("{count} deleted"),
        "linked": _("{count} linked"),
        "unlinked": _("{count} unlinked"),
        "relinked": _("{count} links given another reason"),
    }
    counts = {kind: count for kind, count in deed.counts.items() if kind in words}
    if {"added", "changed", "deleted"} & set(counts):  # links go and come with their entries
        counts = {kind: count for kind, count in counts.items() if kind in ("added", "changed", "deleted")}
    told = ", ".join(words[kind].format(count=count) for kind, count in counts.items())
    if sum(counts.values()) == 1:
        told = f"{_ONE[next(iter(counts))]()} {deed.entry_id}: {deed.title}"
    return _("merge: {what}").format(what=told) if "merged" in deed.counts else told


# What was done to one entry.
_ONE = {
    "added": lambda: _("added"),
    "changed": lambda: _("changed"),
    "deleted": lambda: _("deleted"),
    "linked": lambda: _("linked"),
    "unlinked": lambda: _("unlinked"),
    "relinked": lambda: _("another reason for the link of"),
}


def history_(room: Room, request: Request, response: Response) -> None:
    """Tell what was done last, or what became of one entry."""
    if request.options.id is None:
        _list_deeds(room, request, response)
        return
    database = room.reading()
    key = database.resolve_any(request.options.id)
    versions = list(_versions(database.history_of(key), next(iter(database.get_many([key])), None)))
    if not versions:
        response.status = NOTHING_FOUND
    if request.options.json:
        response.json({"id": key, "changes": [_as_json(change, after) for change, after in versions]})
        return
    for change, after in versions:
        response.data(plain(f"{change.deed}  {_when(change.at)}  {_ONE.get(change.kind, str)()}{_of_link(change)}"))
        for line in _differences(change.before, after):
            response.data(plain(f"    {line}"))


def _list_deeds(room: Room, request: Request, response: Response) -> None:
    database = room.reading()
    deeds, undone = database.deeds(request.options.limit), database.undone()
    if not deeds:
        response.status = NOTHING_FOUND
    if request.options.json:
        response.json(
            {
                "deeds": [
                    {
                        "number": d.number,
                        "at": d.at,
                        "undoes": d.undoes,
                        "undone": d.number in undone,
                        "counts": d.counts,
                    }
                    | {"id": d.entry_id, "title": d.title}
                    for d in deeds
                ]
            }
        )
        return
    for deed in deeds:
        more = _(" (undoes {number})").format(number=deed.undoes) if deed.undoes else ""
        more += _(" (undone)") if deed.number in undone else ""
        response.data(plain(f"{deed.number}  {_when(deed.at)}  {_told(deed)}{more}"))


def _deed_as_json(deed: Deed, is_undone: bool) -> dict[str, Any]:
    facts = {"number": deed.number, "at": deed.at, "undoes": deed.undoes, "undone": is_undone}
    return {**facts, "counts": deed.counts, "id": deed.entry_id, "title": deed.title}


def _versions(changes: list[Change], now: Entry | None) -> Iterator[tuple[Change, Entry | None]]:
    """Yield each change with the entry as it was after it."""
    for place, change in enumerate(changes):
        if change.kind in ("added", "changed", "deleted"):
            later = (c for c in changes[place + 1 :] if c.kind in ("changed", "deleted"))
            following = next((c.before for c in later), now)
            yield change, None if change.kind == "deleted" else following
        elif change.kind != "unnoted":
            yield change, None


def _differences(before: Entry | None, after: Entry | None) -> Iterator[str]:
    """Yield a line for each line that went (-) and came (+), under its field; nothing where one side is not known."""
    if before is None or after is None:
        return
    old, new = (
        to_record(replace(before, updated_at="", revision=1)),
        to_record(replace(after, updated_at="", revision=1)),
    )
    for name in FIELDS:
        if old[name] != new[name]:
            yield from (f"- {name}: {line}" for line in _lines(old[name]))
            yield from (f"+ {name}: {line}" for line in _lines(new[name]))


def _lines(value: Any) -> list[str]:
    if isinstance(value, list):
        return [", ".join(map(str, value))] if value else []
    return str(value).splitlines() if value else []


def _of_link(change: Change) -> str:
    return f" {change.entry_id} → {change.other} ({change.relation})" if change.relation else ""


def _as_json(change: Change, after: Entry | None) -> dict[str, Any]:
    link = {"source": change.entry_id, "target": change.other, "relation": change.relation, "reason": change.reason}
    return {
        "deed": change.deed,
        "undoes": change.undoes,
        "at": change.at,
        "kind": change.kind,
        "link": link if change.relation else None,
        "before": to_record(change.before) if change.before else None,
        "after": to_record(after) if after else None,
    }


def _when(stamp: str) -> str:
    return stamp[:16].replace("T", " ")


def backup_(room: Room, request: Request, response: Response) -> None:
    """Copy the base, as it stands at one moment, to a new file; print its path."""
    from rekall.backups import new_name
    from rekall.db import copy_base

    if not room.exists:
        raise UsageError(_("there is no base at {path} to back up").format(path=room.base.path))
    room.reading()  # what is no base of ours is refused before it is copied
    named = request.options.output
    target = request.cwd / named if named else new_name(room.base.path)
    try:
        copy_base(room.base.path, target, check=True)
    except FileExistsError:
        raise UsageError(_("{path} exists; name another file with -o").format(path=target)) from None
    except OSError as error:
        raise UsageError(_("{path} cannot be written: {reason}").format(path=target, reason=error.strerror)) from None
    response.data(str(target))


def restore_(room: Room, request: Request, response: Response) -> None:
    """Put a backup in the place of the base, after a backup of it."""
    from rekall.restoring import restore

    base = room.base.path
    room.let_go()
    done = restore(base, request.cwd / request.options.path, room.config.number("backup.keep") > 0)
    note = plural("restored: {count} entry", "restored: {count} entries", done.entries)
    response.note(note.format(count=done.entries))
    if done.backup:
        back = _("what was there before is in {path}, back with: rekall restore {quoted}")
        response.note(back.format(path=done.backup, quoted=shlex.quote(str(done.backup))))
    if done.aside:
        response.note(_("the damaged base was set aside: {path}").format(path=done.aside))
    room.rotate_backups()


def back_up(room: Room, response: Response, label: str) -> Path | None:
    """Make an automatic backup and say where it lies; none if the settings say so. Raises BaseUnusable."""
    from rekall.backups import new_name
    from rekall.db import copy_base

    if not room.config.number("backup.keep"):
        return None
    target = new_name(room.base.path, label)
    try:
        copy_base(room.base.path, target, check=True)
    except OSError as error:
        raise BaseUnusable(
            _(
                "no backup could be made at {path} ({reason}), so nothing was changed; make room, "
                "or go without: rekall config set backup.keep 0"
            ).format(path=target, reason=error.strerror)
        ) from None
    response.note(_("a backup was made first: {path}").format(path=target))
    room.rotate_backups()
    return target
