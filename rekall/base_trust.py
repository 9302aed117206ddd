"""What a base from somebody else could do, and does not: a cloned repository may bring a `.rekall/` of its own.

SQLite runs what a file holds: triggers at every write, and a journal beside it at the first look. The journal of a
transaction over several files names one that SQLite deletes when it is done with it, whatever it is. So the files
are looked at before SQLite is, and the schema before the first write.
"""

from __future__ import annotations

import os
import stat
from functools import cache
from pathlib import Path

from rekall import schema
from rekall.errors import BaseRefused
from rekall.language import _

# The last bytes of a journal that names another file (SQLite's file format, 3 and 5): we never write one.
_JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")


def check_files(path: Path) -> None:
    """Refuse a base whose journal would have SQLite delete another file, or that is no file. Raises BaseRefused.

    Cost: two or three system calls. To be called before SQLite opens the file.
    """
    real = Path(os.path.realpath(path))
    for file in (real, *(real.with_name(real.name + end) for end in ("-journal", "-wal", "-shm"))):
        try:
            status = file.lstat()
        except OSError:
            continue
        if not stat.S_ISREG(status.st_mode):
            raise BaseRefused(_("{path} is no regular file; name another base with --db").format(path=file))
        if file.name.endswith("-journal") and status.st_size and _names_a_file(file, status.st_size):
            raise BaseRefused(
                _("{path} was not made by rekall and would have SQLite delete another file; remove it").format(
                    path=file
                )
            )


def _names_a_file(journal: Path, size: int) -> bool:
    try:
        with journal.open("rb") as file:
            file.seek(max(0, size - 16))
            return file.read().endswith(_JOURNAL_MAGIC)
    except OSError:
        return True


def check_project(path: Path) -> None:
    """Refuse a project's base that is a link: it leads out of it, perhaps to no base at all. Raises BaseRefused."""
    if path.is_symlink():
        raise BaseRefused(
            _(
                "{path} is a link, and a project's base must be a file of its own; remove it, or run with --global"
            ).format(path=path)
        )


def check_schema(connection: schema.Connection, path: Path | None) -> None:
    """Refuse a base in which something runs that is not ours. Raises BaseRefused.

    Our triggers and views must be as we write them, and our tables have no others; what lies beside them is left
    alone. Cost: one SELECT.
    """
    ours = _ours()
    rows = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall()
    for kind, name, table, sql in rows:
        is_virtual = kind == "table" and str(sql).upper().startswith("CREATE VIRTUAL")
        runs = kind in ("trigger", "view") or is_virtual
        expected = ours.get(name.lower())
        is_named_as_ours = runs and expected is not None
        is_on_ours = kind == "trigger" and table.lower() in ours
        if (is_named_as_ours or is_on_ours) and expected != _plain(sql):
            raise BaseRefused(
                _(
                    "base {path} holds {kind} {name}, which rekall did not write and will not run; "
                    "if you did not make it, the file is not to be trusted"
                ).format(path=path, kind=kind, name=name)
            )


@cache
def _ours() -> dict[str, str]:
    """Return the statements of our schema by the name of what they make, tables among them."""
    return {words[place].lower(): sql for sql in map(_plain, schema.all_statements())
            for words in [sql.replace("(", " ").split()]
            if words[0] == "CREATE" and words[1] != "INDEX"
            for place in [3 if words[1] == "VIRTUAL" else 2]}  # fmt: skip


def _plain(sql: str | None) -> str:
    """Return a statement without what SQLite does not keep of it: the comment behind it, the closing semicolon."""
    text = (sql or "").strip()
    last = text.rpartition("\n")[2]
    if "--" in last:
        text = text[: len(text) - len(last)] + last.partition("--")[0].rstrip()
    return text.rstrip(";").strip()
