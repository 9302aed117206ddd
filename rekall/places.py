"""Where the warm process of a base is met: the folder of its socket.

The C client finds the same folder by the same rule (`ext/start.c`, docs/protocol.md); both are tested
against tests/data/places.json. Nothing is created here but by `secure_folder`.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from rekall.errors import RekallError
from rekall.language import _

# A socket's path may have 104 bytes on macOS; below ROOT come the hash and the name of the socket being made.
LONGEST_ROOT = 72


class FolderRefused(RekallError):
    """The folder of the socket belongs to somebody else, or others may enter it."""


def socket_folder(base: Path, env: Mapping[str, str]) -> Path:
    """Return the folder for the base at `base`. Nothing is created."""
    return _root(env) / fnv1a(os.fsencode(os.path.realpath(base)))


def fnv1a(data: bytes) -> str:
    """Return the 64-bit FNV-1a hash as 16 hex digits (Fowler, Noll, Vo; RFC 9923)."""
    number = 0xCBF29CE484222325
    for byte in data:
        number = (number ^ byte) * 0x100000001B3 & 0xFFFF_FFFF_FFFF_FFFF
    return f"{number:016x}"


def _root(env: Mapping[str, str]) -> Path:
    """Return the first folder that is absolute, short enough, and in a folder that exists.

    XDG_RUNTIME_DIR must be the user's own: after `su` it is still the other user's.
    """
    user = f"rekall-{os.getuid()}"
    for name, last in (("XDG_RUNTIME_DIR", "rekall"), ("TMPDIR", user)):
        parent = env.get(name, "")
        root = f"{parent}/{last}"
        fits = parent.startswith("/") and len(os.fsencode(root)) <= LONGEST_ROOT and os.path.isdir(parent)
        if fits and (name == "TMPDIR" or os.stat(parent).st_uid == os.getuid()):
            return Path(root)
    return Path("/tmp", user)  # noqa: S108  # its owner and mode are checked before it is used


def make_private(folder: Path) -> None:
    """Make `folder` and what is missing above it, for its owner alone (0700) whatever the umask. Raises OSError."""
    for missing in reversed([path for path in (folder, *folder.parents) if not path.exists()]):
        with suppress(FileExistsError):
            os.mkdir(missing, 0o700)
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))


def secure_folder(folder: Path) -> int:
    """Make `folder` and its parent if need be and return a descriptor of it. Raises FolderRefused.

    Both must be folders, not links to one, ours, and closed to everybody else.
    """
    os.close(_own_folder(folder.parent))
    return _own_folder(folder)


def _own_folder(folder: Path) -> int:
    try:
        with suppress(FileExistsError):
            os.mkdir(folder, 0o700)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise FolderRefused(
            _("folder {path} cannot be used ({reason}); remove it, or run with --no-server").format(
                path=folder, reason=error.strerror
            )
        ) from None
    found = os.fstat(descriptor)
    if found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        os.close(descriptor)
        raise FolderRefused(
            _("folder {path} is open to others or not yours; remove it, or run with --no-server").format(path=folder)
        )
    return descriptor
