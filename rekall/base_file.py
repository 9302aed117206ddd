"""The file itself: whose it is, how it is made, and what to say when it cannot be used.

A base of ours bears schema.APPLICATION_ID; one of an earlier version is brought up to this one. A file without one
whose version is 11 or 12 is an older rekall's and is carried over. Both after a backup beside it. Everything else is
refused untouched.
"""

from __future__ import annotations

import mmap
import os
import shlex
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from struct import unpack
from typing import Protocol

from rekall import backups, migrations, old_rekall, schema
from rekall.base_trust import check_schema
from rekall.errors import BaseRefused, BaseUnusable
from rekall.language import _
from rekall.places import make_private

OLDER_VERSIONS = (11, 12)
# An empty file as young as this is another process's, which is about to fill it.
JUST_MADE_SECONDS = 10


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
            _check_not_emptied(path)
            return
        missing = [folder for folder in path.parents if not folder.exists()]
        make_private(path.parent)
        backups.create_private(path)
        for folder in (path.parent, *(made.parent for made in missing)):  # the names, too, survive a power cut
            backups.sync(folder)
    except FileExistsError:
        return  # another process was faster
    except OSError as error:
        raise BaseUnusable(
            _("base {path} cannot be made: {reason}; name another with --db").format(path=path, reason=error.strerror)
        ) from None


def _check_not_emptied(path: Path) -> None:
    """Raise BaseUnusable for a file of no length that was a base: a log or a backup of one lies beside it.

    One that was made just now is another process's, which has not come to fill it yet.
    """
    found = path.stat()
    if found.st_size or not path.is_file() or abs(time.time() - found.st_mtime) < JUST_MADE_SECONDS:
        return
    log = path.with_name(f"{path.name}-wal")
    if backups.of_base(path) or (log.exists() and log.stat().st_size):
        raise BaseUnusable(
            _("base {path} is empty, 0 bytes, and was not always: {way_back}").format(
                path=path, way_back=way_back(path)
            )
        )


def lost_pages(path: Path) -> int:
    """Return how many pages a log held that was removed before SQLite had copied them into the base; 0 as a rule.

    The shared memory beside the base tells: it outlives processes that were killed. Layout: sqlite.org/walformat.html.
    Must be asked before the base is opened, for opening it begins a new log.
    """
    log, memory = (path.with_name(path.name + end) for end in ("-wal", "-shm"))
    try:
        if log.exists() or not memory.exists():
            return 0
        with memory.open("rb") as file:
            head = file.read(100)
    except OSError:
        return 0
    if len(head) < 100 or head[:48] != head[48:96] or log.exists():
        return 0
    (frames,), (copied,) = unpack("=I", head[16:20]), unpack("=I", head[96:100])
    return max(0, frames - copied) if path.exists() else 0


def way_back(path: Path | None) -> str:
    """Return what to do about a damaged base: which backup, and with which command."""
    found = backups.of_base(path) if path else []
    if found:
        return _("its newest backup comes back with: rekall restore {backup}").format(backup=shlex.quote(str(found[0])))
    return _("no backup lies beside it; what can be saved: rekall index verify --repair")


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
    connection: schema.Connection,
    path: Path | None,
    transaction: Transactions,
    copy: Callable[[Path, Path], object],
    is_read_only: bool = False,
) -> Path | None:
    """Make sure that `connection` speaks to a base of this version; return the backup if one was made.

    An empty file becomes a base; an earlier base is carried over in one transaction, and is
    left as it was if that fails. Raises BaseRefused.
    """
    connection.execute("BEGIN")  # one view of the file, even while another process makes or carries it over
    found = _look(connection)
    connection.execute("COMMIT")
    if found.is_ours:
        check_schema(connection, path)
        if path is not None and not is_read_only and not _has_log(connection):
            use_write_ahead_log(connection)  # a backup was moved here
        return None
    if not found.is_empty and not found.is_earlier:
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
            elif found.is_earlier:
                assert path is not None
                backup = _carry_over(connection, path, found, copy)
            elif not found.is_ours:
                raise BaseRefused(_refusal(path, found))
            check_schema(connection, path)
        if path is not None:
            use_write_ahead_log(connection)
    finally:
        connection.execute("PRAGMA legacy_alter_table = OFF")
        connection.execute("PRAGMA foreign_keys = ON")
    return backup


def _has_log(connection: schema.Connection) -> bool:
    return str(connection.execute("PRAGMA journal_mode").fetchone()[0]).lower() == "wal"


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


def _carry_over(connection: schema.Connection, path: Path, found: _Found, copy: Callable[[Path, Path], object]) -> Path:
    backup = backups.new_name(path, f"v{found.version}")
    try:
        copy(path, backup)
    except OSError as error:
        raise BaseUnusable(
            _(
                "base {path} of an earlier rekall was not carried over: the backup {backup} cannot be written "
                "({reason}); make room, or copy the base to where you may write"
            ).format(path=path, backup=backup, reason=error.strerror)
        ) from None
    try:
        if found.is_older:
            old_rekall.carry_over(connection)
        else:
            migrations.migrate(connection, found.version)
    except Exception as error:
        raise BaseUnusable(
            _(
                "base {path} of an earlier rekall could not be carried over ({error}); "
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
    def is_earlier(self) -> bool:
        """Whether it is a base of ours, or of the older rekall, that can be carried over."""
        return self.is_older or (self.application == schema.APPLICATION_ID and self.version in migrations.MIGRATIONS)

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
    if name.startswith(("SQLITE_IOERR", "SQLITE_PROTOCOL")) and path and not _can_share_memory(path):
        return _(
            "base {path} lies where programs cannot share memory ({error}), such as a network or a Windows drive; "
            "keep it on a disk of this system: --db, REKALL_DB"
        ).format(path=path, error=error)
    for beginning, message in (
        ("SQLITE_BUSY", _("base {path} is busy: another process has held it for too long; see who with: fuser {path}")),
        (
            "SQLITE_LOCKED",
            _("base {path} is busy: another process has held it for too long; see who with: fuser {path}"),
        ),
        ("SQLITE_NOTADB", _("{path} is no SQLite file, so no base of rekall; name another with --db")),
        ("SQLITE_CORRUPT", _("base {path} is damaged ({error}); {way_back}")),
        ("SQLITE_READONLY", _("base {path} may not be written; check the rights of the file and its folder")),
        ("SQLITE_CANTOPEN", _("base {path} cannot be opened; check the rights of the file and its folder")),
        ("SQLITE_FULL", _("the disk of base {path} is full; nothing was changed, make room and try again")),
        ("SQLITE_IOERR", _("base {path} cannot be read or written ({error}); check the disk")),
        ("SQLITE_PERM", _("base {path} may not be written; check the rights of the file and its folder")),
    ):
        if name.startswith(beginning):
            if name.startswith("SQLITE_NOTADB") and path and backups.of_base(path):
                message = _("base {path} is damaged: it is no SQLite file any more; {way_back}")
            return message.format(path=path, error=error, way_back=way_back(path) if "{way_back}" in message else "")
    return _("base {path} failed: {error}").format(path=path, error=error)


def _is_on_read_only(path: Path) -> bool:
    """Tell whether SQLite cannot make its files beside the base: without them it does not even read."""
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def _can_share_memory(path: Path) -> bool:
    """Tell whether a file beside the base can be memory that processes share: SQLite's log needs one.

    Asked of the file system itself: not every SQLite library tells a disk's error from this one.
    """
    with suppress(OSError), tempfile.NamedTemporaryFile(dir=path.parent, suffix="-shm") as file:
        os.ftruncate(file.fileno(), mmap.PAGESIZE)
        try:
            mmap.mmap(file.fileno(), mmap.PAGESIZE).close()
        except OSError:
            return False
    return True
