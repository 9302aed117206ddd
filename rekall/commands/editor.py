"""The user's editor on a text: run as its words, on a private file that is gone afterwards.

What was written is lost on no way out but kill -9: if it cannot be kept, the file stays and is named. Secrets of
known shapes are taken out of a file that stays, unless they are allowed.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any  # what front matter may hold

from rekall.capture import new_entry, read_markdown
from rekall.errors import Cancelled, RekallError, UsageError
from rekall.language import _
from rekall.protocol import Request
from rekall.redact import redacted

# What ends this process while the editor runs: a terminal that is closed, a machine that goes down.
_ENDINGS = (signal.SIGHUP, signal.SIGTERM)


@contextmanager
def in_editor(request: Request, text: str) -> Iterator[dict[str, Any]]:
    """Yield the record that the user's editor leaves of `text`. Raises UsageError.

    The file (0600, in a folder 0700) is removed once the block ends well, so that nothing written is lost if it
    cannot be kept.
    """
    path = Path(tempfile.mkdtemp(prefix="rekall-")) / "entry.md"
    _write_private(path, text)
    try:
        with _ending_as_errors():
            yield _edited(request, path)
    except FileNotFoundError:
        _remove(path)
        raise UsageError(_("the editor left no file; nothing was kept")) from None
    except _NotRun as error:
        _remove(path)
        raise UsageError(str(error)) from None
    except Cancelled:
        _keep(request, path)
        raise
    except RekallError as error:
        _keep(request, path)
        raise UsageError(
            _("{reason}; nothing was kept, your text is in {path}").format(reason=error, path=path)
        ) from None
    except BaseException:
        _keep(request, path)
        raise
    _remove(path)


class _NotRun(UsageError):
    """There is no such editor: nothing was written."""


def _edited(request: Request, path: Path) -> dict[str, Any]:
    """Run the editor on `path` and return the record it left. Raises UsageError, InvalidEntry, FileNotFoundError."""
    try:
        words = shlex.split(request.env.get("VISUAL") or request.env.get("EDITOR") or "vi")
        status = subprocess.run([*words, str(path)], cwd=request.cwd, env=dict(request.env), check=False).returncode
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise _NotRun(_("the editor cannot be run ({reason}); set EDITOR").format(reason=reason)) from None
    if status != 0:
        raise UsageError(_("the editor ended with status {status}").format(status=status))
    written = path.read_bytes().decode("utf-8", "replace")
    if not written.lstrip().startswith("---"):
        raise UsageError(_("the lines between --- at the top are gone"))
    record = read_markdown(written)
    new_entry(record)
    return record


@contextmanager
def _ending_as_errors() -> Iterator[None]:
    """Let a signal that would end the process raise Cancelled in the block, so that the file is looked after."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def raise_cancelled(_number: int, _frame: FrameType | None) -> None:
        raise Cancelled(_("stopped; what was done is kept"))

    before = {number: signal.signal(number, raise_cancelled) for number in _ENDINGS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _write_private(path: Path, text: str) -> None:
    with open(
        os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w", encoding="utf-8"
    ) as file:
        file.write(text)


def _keep(request: Request, path: Path) -> None:
    """Leave the file to the user, without secrets and without what editors leave beside it."""
    _remove_beside(path)
    if request.options.allow_secrets:
        return
    with suppress(OSError):
        text = path.read_bytes().decode("utf-8", "surrogateescape")
        if (kept := redacted(text)) != text:
            path.write_bytes(kept.encode("utf-8", "surrogateescape"))


def _remove(path: Path) -> None:
    _remove_beside(path)
    path.unlink(missing_ok=True)
    os.rmdir(path.parent)


def _remove_beside(path: Path) -> None:
    """Remove what an editor left beside the file: its swap file or backup holds the same text."""
    for other in path.parent.iterdir():
        if other != path and (other.is_file() or other.is_symlink()):
            other.unlink()
