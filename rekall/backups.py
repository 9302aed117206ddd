"""Copies of a base, where they lie and how long they stay: names, rotation, and putting a file in place in one step.

A copy is written under a name of its own beside the place it is for, brought to the disk, and only then given its
name: what bears a backup's name is whole. Backups that rekall makes by itself bear in their names what they were made
before; those are rotated, and whatever the user made or renamed is left alone.
"""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# What the copies that rekall makes by itself are called: rekall.db.before-import-20261125T070000Z.bak
_AUTOMATIC = re.compile(r"\.(?P<label>v\d+|before-[a-z]+)-(?P<stamp>\d{8}T\d{6}Z)(-\d+)?\.bak")
_MAGIC = b"SQLite format 3\x00"
# What SQLite may leave beside a file that is being written.
_BESIDE = ("", "-journal", "-wal", "-shm")


def create_private(path: Path) -> None:
    """Create the empty file `path`, readable by its owner only. Raises FileExistsError."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))


def sync(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk. Raises OSError if the disk fails.

    A folder that may not be read, and a file system that knows no such thing, are taken as they are.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EINVAL, errno.ENOTSUP):
            raise


@contextmanager
def finished_copy(target: Path) -> Iterator[Path]:
    """Yield an empty private file to write; at the end of the block it gets the name `target`, all of it on the disk.

    Raises FileExistsError, before the block or after it, if `target` is there; nothing is left then, nor if the
    block fails. What a killed process left of an earlier copy is removed.
    """
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    _remove_unfinished(target.parent)
    part = target.with_name(f".rekall-{os.getpid()}-{time.monotonic_ns()}.part")
    create_private(part)
    try:
        yield part
        sync(part)
        _rename_new(part, target)
    finally:
        for end in _BESIDE:
            part.with_name(part.name + end).unlink(missing_ok=True)
    sync(target.parent)


def _rename_new(part: Path, target: Path) -> None:
    """Give `part` the name `target`, which nothing has. Raises FileExistsError."""
    try:
        os.link(part, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without links, such as FAT
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from None
        part.rename(target)


def _remove_unfinished(folder: Path) -> None:
    """Remove the unfinished copies of processes that are gone."""
    for path in folder.glob(".rekall-*.part*"):
        pid = path.name.split("-")[1]
        if pid.isdecimal() and int(pid) != os.getpid():
            with suppress(OSError):
                try:
                    os.kill(int(pid), 0)
                except ProcessLookupError:
                    path.unlink()


def new_name(base: Path, label: str = "") -> Path:
    """Return a name beside `base` for a copy made now; `label` says before what."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    beginning = f"{base.name}.{label}-{stamp}" if label else f"{base.name}.{stamp}"
    names = (base.with_name(f"{beginning}{more}.bak") for more in ("", *map("-{}".format, range(2, 99))))
    return next(name for name in names if not os.path.lexists(name))


def of_base(base: Path) -> list[Path]:
    """Return the backups that lie beside `base` and begin as SQLite files do, the newest first."""
    found = []
    with suppress(OSError):
        for path in base.parent.iterdir():
            if path.name.startswith(f"{base.name}.") and path.name.endswith(".bak") and _begins_well(path):
                found.append((path.stat().st_mtime_ns, path.name, path))
    return [path for _time, _name, path in sorted(found, reverse=True)]


def _begins_well(path: Path) -> bool:
    with suppress(OSError), path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC
    return False


def rotate(base: Path, keep: int, most_bytes: float) -> list[Path]:
    """Remove automatic backups beyond the newest `keep`, or beyond `most_bytes` in all; return which went.

    The newest made before each kind of event stays, whatever it takes.
    """
    held, size, gone = set(), 0, []
    automatic = [path for path in of_base(base) if _AUTOMATIC.fullmatch(path.name.removeprefix(base.name))]
    for place, path in enumerate(automatic):
        matched = _AUTOMATIC.fullmatch(path.name.removeprefix(base.name))
        assert matched
        label = "v" if matched["label"].startswith("v") else matched["label"]
        size += path.stat().st_size
        if label in held and (place >= keep or size > most_bytes):
            size -= path.stat().st_size
            with suppress(OSError):
                path.unlink()
                gone.append(path)
        held.add(label)
    return gone


def set_aside(base: Path) -> Path:
    """Give a damaged base, with its log, another name beside it; return that. Raises OSError."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    names = (f"{base.name}.damaged-{stamp}{more}" for more in ("", *map("-{}".format, range(2, 99))))
    aside = next(base.with_name(name) for name in names if not os.path.lexists(base.with_name(name)))
    for end in ("-wal", "-journal", ""):  # the base last: without it, the log belongs to nothing
        part = base.with_name(base.name + end)
        if part.exists():
            part.rename(aside.with_name(aside.name + end))
    base.with_name(base.name + "-shm").unlink(missing_ok=True)
    sync(base.parent)
    return aside
