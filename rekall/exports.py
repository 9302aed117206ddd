"""Out: every entry as JSONL or Markdown, and a file that takes the place of another in one step."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from rekall.capture import to_markdown
from rekall.db import Database
from rekall.entry import to_record
from rekall.errors import UsageError
from rekall.language import _
from rekall.places import make_private
from rekall.protocol import json_line
from rekall.versions import deletions, earlier_marks


def export_jsonl(database: Database, deleted: bool = False) -> Iterator[str]:
    """Yield every entry as one line of JSON, in the order of ids; lossless.

    An entry that was changed bears the marks of its earlier versions, so that a merge knows what follows what.
    `deleted`: then a line for each entry that is gone: its id, when it went, its marks.
    """
    known = database.known_marks()
    for entry in database.each():
        record = to_record(entry)
        record["links"] = [
            {"target": link.target, "relation": link.relation, "reason": link.reason, "created_at": link.created_at}
            for link in database.links_from(entry.id)
        ]
        if earlier := earlier_marks(known, entry):
            record["earlier"] = earlier
        yield json_line(record) + "\n"
    for key, marks in database.gone() if deleted else ():
        yield json_line({"id": key, "deleted": max(deletions(marks))[1:], "earlier": sorted(marks)}) + "\n"


def export_markdown(database: Database) -> Iterator[tuple[str, str]]:
    """Yield (file name, Markdown with front matter) for every entry, in the order of ids."""
    for entry in database.each():
        yield f"{_slug(entry.title)}-{entry.id}.md", to_markdown(entry, whole=True)


def _slug(title: str) -> str:
    words = "".join(letter if letter.isalnum() and letter.isascii() else " " for letter in title.lower()).split()
    return "-".join(words)[:60].strip("-") or "note"


@contextmanager
def replacing(path: Path) -> Iterator[IO[str]]:
    """Write a private file that takes the place of `path` in one step, once all of it is on the disk.

    A link is followed; a device or a pipe is written to as it is.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file() and not path.is_dir():
        try:
            with path.open("w", encoding="utf-8") as device:
                yield device
        except BrokenPipeError:
            raise
        except OSError as error:
            raise _unwritable(path, error) from None
        return
    try:
        make_private(path.parent)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}-")
    except OSError as error:
        raise _unwritable(path, error) from None
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except OSError as error:
        Path(name).unlink(missing_ok=True)
        raise _unwritable(path, error) from None
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _unwritable(path: Path, error: OSError) -> UsageError:
    return UsageError(_("{path} cannot be written: {reason}").format(path=path, reason=error.strerror))
