"""The file itself: whose it is, how it is made, and what to say when it cannot be used.

A base of ours bears schema.APPLICATION_ID. A file without one whose version is 11 or 12 is an older
rekall's and is carried over, after a backup beside it. Everything else is refused untouched.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rekall import old_rekall, schema
from rekall.errors import BaseRefused, BaseUnusable
from rekall.language import _

OLDER_VERSIONS = (11, 12)


class Transactions(Protocol):
    """Database.transaction."""

    def __call__(self) -> AbstractContextManager[None]: ...


def prepare(path: Path) -> None:
    """Make the folder (0700) and an empty file (0600) at `path`, or where it links to, unless something is there.

    SQLite gives its journal files the mode of the base. Raises BaseUnusable.
    """
    path = Path(os.path.realpath(path))
    try:
        if path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        create_private(path)
    except FileExistsError:
        return  # another process was faster
    except OSError as error:
        raise BaseUnusable(
            _("base {path} cannot be made: {reason}; name another with --db").format(path=path, reason=error.strerror)
        ) from None


def create_private(path: Path) -> None:
    """Create the empty file `path`, readable by its owner only. Raises FileExistsError."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))


def is_there(path: Path) -> bool:
    """Tell whether there is a file at `path`. Raises BaseUnusable where that cannot be seen."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise BaseUnusable(
            _("base {path} cannot be opened: {reason}; check the rights of the file and its folder").format(
                path=path, reason=error.strerror
            )
        ) from None
    return True


def identity(path: Path | None) -> tuple[int, int] | None:
    """Return (device, inode) of the file at `path`, None if there is none."""
    try:
        found = os.stat(path) if path else None
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if found else None


def stamp(path: Path) -> tuple[tuple[int, int], ...]:
    """Return what changes whenever anybody writes to the base at `path`, or puts another in its place."""
    found = []
    for file in (path, path.with_name(f"{path.name}-wal")):
        try:
            status = os.stat(file)
        except OSError:
            continue
        found.append((status.st_mtime_ns, status.st_size))
    return tuple(found)


def settle(
    connection: schema.Connection, path: Path | None, transaction: Transactions, copy: Callable[[Path, Path], None]
) -> Path | None:
    """Make sure that `connection` speaks to a base of this version; return the backup if one was made.

    An empty file becomes a base; an older rekall's base is carried over in one transaction, and is
    left as it was if that fails. Raises BaseRefused.
    """
    connection.execute("BEGIN")  # one view of the file, even while another process makes or carries it over
    found = _look(connection)
    connection.execute("COMMIT")
    if found.is_ours:
        return None
    if not found.is_empty and not found.is_older:
        raise BaseRefused(_refusal(path, found))
    connection.execute("PRAGMA foreign_keys = OFF")  # cannot be switched inside a transaction
    connection.execute("PRAGMA legacy_alter_table = ON")  # renames leave other tables' references alone
    backup = None
    try:
        if path is not None and found.is_empty:
            use_write_ahead_log(connection)
        with transaction():
            found = _look(connection)  # asked again: another process may have been faster
            if found.is_empty:
                schema.create(connection)
            elif found.is_older:
                assert path is not None
                backup = _carry_over(connection, path, found.version, copy)
            elif not found.is_ours:
                raise BaseRefused(_refusal(path, found))
        if path is not None:
            use_write_ahead_log(connection)
    finally:
        connection.execute("PRAGMA legacy_alter_table = OFF")
        connection.execute("PRAGMA foreign_keys = ON")
    return backup


def use_write_ahead_log(connection: schema.Connection) -> None:
    """Switch the file to WAL, so that readers and the writer do not wait for each other.

    The switch needs the file alone and does not wait by itself; whoever comes first does it for all.
    """
    deadline = time.monotonic() + 5
    while True:
        try:
            if str(connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]).lower() == "wal":
                return
        except Exception as error:
            if getattr(error, "sqlite_errorname", "") != "SQLITE_BUSY" or time.monotonic() > deadline:
                raise
        if time.monotonic() > deadline:
            return  # a file system that cannot do WAL still holds a correct base
        time.sleep(0.01)


def _carry_over(connection: schema.Connection, path: Path, version: int, copy: Callable[[Path, Path], None]) -> Path:
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    names = (
        path.with_name(f"{path.name}.v{version}-{stamp}{more}.bak") for more in ("", *map("-{}".format, range(2, 99)))
    )
    backup = next(name for name in names if not name.exists())
    copy(path, backup)
    try:
        old_rekall.carry_over(connection)
    except Exception as error:
        raise BaseUnusable(
            _(
                "base {path} of the older rekall could not be carried over ({error}); "
                "it is as it was, and a backup is at {backup}"
            ).format(path=path, error=" ".join(str(error).split()), backup=backup)
        ) from error
    path.chmod(0o600)
    return backup


@dataclass(frozen=True)
class _Found:
    """What a file says of itself."""

    application: int
    version: int
    has_tables: bool
    looks_older: bool

    @property
    def is_ours(self) -> bool:
        return (self.application, self.version) == (schema.APPLICATION_ID, schema.VERSION)

    @property
    def is_empty(self) -> bool:
        return (self.application, self.version) == (0, 0) and not self.has_tables

    @property
    def is_older(self) -> bool:
        return self.application == 0 and self.version in OLDER_VERSIONS and self.looks_older


def _look(connection: schema.Connection) -> _Found:
    """Read what the file is. The caller holds a transaction."""
    return _Found(
        int(connection.execute("PRAGMA application_id").fetchone()[0]),
        int(connection.execute("PRAGMA user_version").fetchone()[0]),
        bool(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]),
        old_rekall.looks_like_one(connection),
    )


def _refusal(path: Path | None, found: _Found) -> str:
    if found.application == schema.APPLICATION_ID:
        return _(
            "base {path} was written by a newer rekall (schema {found}, this one knows {known}); update rekall"
        ).format(path=path, found=found.version, known=schema.VERSION)
    return _(
        "{path} is an SQLite file, but no base of rekall "
        "(application id {application}, version {version}); name another with --db"
    ).format(path=path, application=found.application, version=found.version)


def explain(path: Path | None, error: Exception) -> str:
    """Return one line on what went wrong with the base and what to do about it."""
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith("SQLITE_CANTOPEN") and path and _is_on_read_only(path):
        return _("base {path} lies on a read-only file system; copy it to where it may be written").format(path=path)
    for beginning, message in (
        ("SQLITE_BUSY", _("base {path} is busy: another process has held it for too long; see who with: fuser {path}")),
        (
            "SQLITE_LOCKED",
            _("base {path} is busy: another process has held it for too long; see who with: fuser {path}"),
        ),
        ("SQLITE_NOTADB", _("{path} is no SQLite file, so no base of rekall; name another with --db")),
        ("SQLITE_CORRUPT", _("base {path} is damaged ({error}); keep a copy of it, then restore a backup")),
        ("SQLITE_READONLY", _("base {path} may not be written; check the rights of the file and its folder")),
        ("SQLITE_CANTOPEN", _("base {path} cannot be opened; check the rights of the file and its folder")),
        ("SQLITE_FULL", _("the disk of base {path} is full; nothing was changed, make room and try again")),
        ("SQLITE_IOERR", _("base {path} cannot be read or written ({error}); check the disk")),
        ("SQLITE_PERM", _("base {path} may not be written; check the rights of the file and its folder")),
    ):
        if name.startswith(beginning):
            return message.format(path=path, error=error)
    return _("base {path} failed: {error}").format(path=path, error=error)


def _is_on_read_only(path: Path) -> bool:
    """Tell whether SQLite cannot make its files beside the base: without them it does not even read."""
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:
        return False
