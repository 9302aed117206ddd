"""What `doctor` says of safety: files that others may read, and secrets that were stored all the same."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from rekall.commands.room import Room
from rekall.config import state_folder
from rekall.entry import FIELDS
from rekall.errors import ERROR
from rekall.language import _, plural
from rekall.protocol import Request, Response
from rekall.redact import Secret, find, screened, screened_text
from rekall.render import plain

# Beside the base, what may hold its entries: SQLite's own files, and backups.
_BESIDE = ("{name}-wal", "{name}-shm", "{name}-journal", "{name}.*.bak", "{name}.*.json")


@dataclass(frozen=True, slots=True)
class Stored:
    """A secret that is stored: in which entry and field, or in which file; its kind and line, never itself."""

    id: str
    field: str
    line: int
    kind: str


def doctor_secrets(room: Room, request: Request, response: Response) -> None:
    """Look for secrets in every entry, link and version that is stored, and in the history of the REPL."""
    stored = [*_in_entries(room), *_in_other_tables(room), *_in_history(request.env)]
    scanned = room.reading().count()
    if stored:
        response.status = ERROR
    if request.options.json:
        response.json({"scanned": scanned, "secrets": [asdict(secret) for secret in stored]})
        return
    for secret in stored:
        response.data(
            plain(
                _("{id}: {kind} ({field}, line {line})").format(
                    id=secret.id, kind=secret.kind, field=secret.field, line=secret.line
                )
            )
        )
    if stored:
        count = len({secret.id for secret in stored})
        response.note(
            plural(
                "secrets in {count} place; revoke them, then take them out: rekall edit ID, rekall index rebuild",
                "secrets in {count} places; revoke them, then take them out: rekall edit ID, rekall index rebuild",
                count,
            ).format(count=count)
        )
    else:
        response.data(
            plural("no secret in {count} entry", "no secret in {count} entries", scanned).format(count=scanned)
        )


def _in_entries(room: Room) -> Iterator[Stored]:
    database = room.reading()
    for entry in database.each():
        found: list[Secret] = []
        screened({name: getattr(entry, name) for name in FIELDS}, found)
        for link in database.links_from(entry.id):
            screened_text(link.reason or "", "reason", found)
        yield from (Stored(entry.id, secret.field, secret.line, secret.kind) for secret in found)


def _in_other_tables(room: Room) -> Iterator[Stored]:
    """Look through whatever else the base holds in words: earlier versions, error lines, names of imported notes."""
    connection = room.reading().connection
    tables = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%' "
        "AND name NOT LIKE 'sqlite_%' AND name NOT LIKE 'entries_fts%' AND name NOT LIKE 'embeddings%'"
    ).fetchall()
    for (table,) in tables:
        if table in ("entries", "links", "tags", "state"):
            continue
        quoted = str(table).replace('"', '""')
        columns = [row[1] for row in connection.execute(f'PRAGMA table_info("{quoted}")').fetchall()]
        for row in connection.execute(f'SELECT * FROM "{quoted}"'):
            texts = {name: value for name, value in zip(columns, row, strict=True) if isinstance(value, str)}
            key = texts.get("entry_id", str(table))
            for name, text in texts.items():
                field = name if key == table else f"{table}: {name}"
                yield from (Stored(key, field, secret.line, secret.kind) for secret in find(text))


def _in_history(env: Mapping[str, str]) -> Iterator[Stored]:
    path = state_folder(env) / "history"
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    yield from (Stored(str(path), "history", secret.line, secret.kind) for secret in find(text))


def open_to_others(room: Room, request: Request) -> Iterator[str]:
    """Yield what of ours others may read, or could put in its place, each with the next step."""
    base = Path(os.path.realpath(room.base.path))
    beside = [path for form in _BESIDE for path in sorted(base.parent.glob(form.format(name=_literal(base.name))))]
    for path in (base, *beside, state_folder(request.env) / "history"):
        yield from _wrong_mode(path, 0o077, 0o600)
    yield from _wrong_mode(room.config.path, 0o022, 0o600)  # it holds no text of anybody's
    # A folder that is the user's own may be seen into, as long as nobody else can put another file in place of ours.
    yield from _wrong_mode(base.parent, 0o077 if room.base.origin == "user" else 0o022, 0o700)
    yield from _wrong_mode(state_folder(request.env), 0o077, 0o700)


def _literal(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def _wrong_mode(path: Path, forbidden: int, wanted: int) -> Iterator[str]:
    try:
        status = path.stat()
    except OSError:
        return
    if status.st_uid not in (os.getuid(), 0):
        yield _("{path} belongs to user {uid}; nothing of yours is safe there").format(path=path, uid=status.st_uid)
    elif stat.S_IMODE(status.st_mode) & forbidden:
        yield _("{path} is open to others (mode {found:o}); run: chmod {wanted:o} {path}").format(
            path=path, found=stat.S_IMODE(status.st_mode), wanted=wanted
        )
