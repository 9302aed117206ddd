"""Putting a backup in the place of a base, while others may be reading and writing it.

The backup is copied, looked through and brought up to this version first. It then takes the place of what the base
holds in one transaction of SQLite's, on the same file, so that nobody is left with a file that has no name any more.
A base that is too damaged for that is set aside, never overwritten.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from rekall import backups
from rekall.db import BUSY_MILLISECONDS, Database, copy_base, open_file, readable_errors
from rekall.errors import BaseRefused, BaseUnusable, RekallError, UsageError
from rekall.language import _
from rekall.schema import Connection

# Tries to find the base as it was when the backup was made ready for it; somebody else was writing each time.
_TRIES = 20


class _Moved(Exception):
    """Somebody wrote to the base meanwhile."""


@dataclass(frozen=True)
class Restored:
    """What a restore did: how many entries there are now, and where to find what was there before."""

    entries: int
    backup: Path | None = None  # a backup of the base as it was
    aside: Path | None = None  # the damaged base itself


def restore(base: Path, source: Path, keep_backup: bool = True) -> Restored:
    """Put the base that `source` holds in the place of the one at `base`. `source` is not changed.

    Whoever has the base open sees either the old state or the new one. Raises UsageError, BaseRefused, BaseUnusable.
    Cost: copies the file twice.
    """
    if not source.is_file():
        raise UsageError(_("{path} does not exist; name a backup, see: ls {base}*").format(path=source, base=base))
    if base.exists() and source.samefile(base):
        raise UsageError(_("{path} is the base itself; name a backup of it").format(path=source))
    try:
        base.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        held = tempfile.TemporaryDirectory(prefix=".rekall-restore-", dir=base.parent)
        with readable_errors(base), held as folder:
            ready = Path(folder) / "base.db"
            entries = _made_ready(source, ready)
            before = _readable(base)
            if before is None:
                aside = backups.set_aside(base) if base.exists() else None
                ready.rename(base)
                backups.sync(base.parent)
                return Restored(entries, aside=aside)
            return Restored(entries, backup=_replace(base, ready, keep_backup))
    except OSError as error:
        raise BaseUnusable(
            _("base {path} was not restored: {reason}; it is as it was").format(path=base, reason=error.strerror)
        ) from None


def _made_ready(source: Path, ready: Path) -> int:
    """Copy `source`, and return how many entries it holds. Raises if it is no base, or damaged itself."""
    copy_base(source, ready, check=True)
    with closing(open_file(ready)[0]) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
            raise BaseRefused(_("{path} is empty; name a backup of a base").format(path=source))
    try:
        with Database(ready) as database:  # carried over, if an earlier rekall wrote it
            count = database.count()
    except BaseRefused:
        raise BaseRefused(_("{path} is no base of rekall; name a backup of one").format(path=source)) from None
    with closing(open_file(ready)[0]) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    backups.sync(ready)
    return count


def _readable(base: Path) -> int | None:
    """Return the revision of the base, or None if there is none that SQLite can write into.

    Raises BaseRefused for a file of another program, which is nobody's to replace.
    """
    if not base.exists() or not base.stat().st_size:
        return None
    try:
        with Database(base) as database:
            found = database.connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
            return database.revision() if found == "ok" else None
    except BaseRefused as error:
        if error.__cause__ is None:  # another program's, or a newer rekall's
            raise
        return None
    except RekallError as error:
        if "busy" in str(error.__cause__).lower() or "locked" in str(error.__cause__).lower():
            raise
        return None
    except Exception:  # damage shows in many ways; the file is kept
        return None


def _replace(base: Path, ready: Path, keep_backup: bool) -> Path | None:
    """Let the pages of `ready` take the place of those of `base` in one transaction; return the backup made first."""
    made: list[Path] = []
    for _try in range(_TRIES):
        with Database(base) as database:
            revision, ids = database.revision(), set(database.ids())
        _renumber(ready, revision + 1, ids)

        def begun(at: int = revision) -> None:  # nobody else can write from here on
            with closing(open_file(base)[0]) as connection:
                if _revision(connection) != at:
                    raise _Moved
            if keep_backup:
                made.append(backups.new_name(base, "before-restore"))
                copy_base(base, made[-1])

        try:
            _overwrite(ready, base, begun)
            return made[-1] if made else None
        except _Moved:
            continue
        except BaseException:
            if made:
                made[-1].unlink(missing_ok=True)
            raise
    raise BaseUnusable(_("base {path} is being written all the time; try again later").format(path=base))


def _revision(connection: object) -> int:
    found = connection.execute("SELECT value FROM state WHERE key = 'revision'").fetchone()  # type: ignore[attr-defined]
    return int(found[0])


def _renumber(ready: Path, revision: int, gone: set[str]) -> None:
    """Make all of the copy new to whoever holds the base as it was: its entries, vectors, and what it has not."""
    with closing(open_file(ready)[0]) as opened:
        connection: Connection = opened  # type: ignore[assignment]  # the part of it that is used
        connection.execute("BEGIN")
        earlier = _revision(connection)
        if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'vec_state'").fetchone():
            connection.execute("UPDATE vec_state SET revision = ? WHERE revision = ?", (revision, earlier))
        connection.execute("UPDATE state SET value = ? WHERE key = 'revision'", (revision,))
        connection.execute("UPDATE entries SET changed = ?", (revision,))
        connection.execute("UPDATE embeddings SET changed = ?", (revision,))
        there = {row[0] for row in connection.execute("SELECT id FROM entries").fetchall()}
        connection.executemany(
            "INSERT OR REPLACE INTO tombstones VALUES (?, ?)", [(key, revision) for key in sorted(gone - there)]
        )
        connection.execute("COMMIT")


def _overwrite(source: Path, target: Path, begun: Callable[[], None]) -> None:
    """Copy all pages of `source` over `target` in one transaction. `begun` is called once the others are kept out."""
    is_begun = False
    waits = BUSY_MILLISECONDS // 10

    def step(status: int, _remaining: int, _total: int) -> None:
        nonlocal is_begun, waits
        if status in (0, 101) and not is_begun:  # the first page is written, and with it the lock held
            is_begun = True
            begun()
        waits -= status not in (0, 101)
        if waits < 0:
            raise TimeoutError

    with readable_errors(target), closing(open_file(source)[0]) as reader, closing(open_file(target)[0]) as writer:
        try:
            size = writer.execute("PRAGMA page_size").fetchone()[0]
            if reader.execute("PRAGMA page_size").fetchone()[0] != size:
                reader.execute(f"PRAGMA page_size = {int(size)}")
                reader.execute("VACUUM")
            reader.backup(writer, pages=1, progress=step, sleep=0.01)
        except TimeoutError:
            raise BaseUnusable(
                _("base {path} is busy: another process has held it for too long; see who with: fuser {path}").format(
                    path=target
                )
            ) from None
