"""The command that makes two bases one: merge. It runs in the user's own process."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any  # JSON values

from rekall.base_file import lost_pages
from rekall.commands.back import back_up
from rekall.commands.move import embed_all, say_problems, say_secrets
from rekall.commands.room import Room
from rekall.db import Database, copy_base
from rekall.errors import ERROR, NOTHING_FOUND, BaseRefused, BaseUnusable, UsageError
from rekall.language import _
from rekall.merging import Conflict, Merged, Plan, merge, plan_merge
from rekall.protocol import Request, Response
from rekall.render import plain
from rekall.sources import is_sqlite, read_jsonl
from rekall.states import CONFLICT_TAG, State, state_of, state_of_records


def merge_(room: Room, request: Request, response: Response) -> None:
    """Take over what another base has, by id and history; nothing of either side is lost."""
    path = request.cwd / request.options.path
    if room.exists and path.exists() and path.samefile(room.base.path):
        raise UsageError(_("{path} is the base itself; name another").format(path=path))
    problems: list[str] = []
    with _opened(path, problems, response) as theirs:
        if request.options.dry_run:
            database = room.reading()
            with database.snapshot():
                plan = plan_merge(state_of(database), theirs, request.options.allow_secrets)
            done = Merged(
                sorted((*plan.added, *plan.copies)), sorted(plan.changed), sorted(plan.deleted), plan.count_links()
            )
        else:
            database = room.writing()
            plan, done = _merged(room, request, response, database, theirs)
        plan.problems[:0] = problems
        is_empty = not (theirs.there or theirs.known or problems)
        _tell(request, response, _Told(database, theirs, plan, done), is_empty)
    if not (request.options.dry_run or request.options.no_wait):
        embed_all(room, request, response)
    if plan.problems:
        response.status = ERROR
    elif is_empty:
        response.note(_("{path} holds nothing to merge").format(path=path))
        response.status = NOTHING_FOUND


def _merged(room: Room, request: Request, response: Response, database: Database, theirs: State) -> tuple[Plan, Merged]:
    """Merge in one transaction, which is one deed; return what was planned and what was done."""
    allow = request.options.allow_secrets
    with database.deed(), database.transaction():
        ours = state_of(database)
        plan = plan_merge(ours, theirs, allow)
        if plan.is_visible and ours.there:
            back_up(room, response, "before-merge")
        return plan, merge(database, plan, ours, theirs, allow)


@contextmanager
def _opened(path: Path, problems: list[str], response: Response) -> Iterator[State]:
    """Yield what is to be merged; it is only read. Raises UsageError, BaseRefused, BaseUnusable."""
    if not path.exists():
        raise UsageError(_("{path} does not exist; name a rekall base or a file of rekall export").format(path=path))
    if path.is_dir():
        raise UsageError(_("{path} is a folder; notes are brought in with: rekall import {path}").format(path=path))
    if not is_sqlite(path):
        if path.is_file() and not _begins_as_jsonl(path):
            raise UsageError(
                _(
                    "{path} is neither a rekall base nor a file of rekall export; if it was a base, it is damaged"
                ).format(path=path)
            )
        yield state_of_records(read_jsonl(path), problems)
        return
    if lost_pages(path):
        lost = _("the log beside base {path} was removed: what was written last is gone; see: rekall index verify")
        response.note(lost.format(path=path))
    with tempfile.TemporaryDirectory(prefix="rekall-") as folder:  # carried over there, if an earlier rekall wrote it
        copy = Path(folder) / "base.db"
        copy_base(path, copy, check=True, untouched=True)
        with _opened_copy(copy, path) as other:
            yield state_of(other)


def _begins_as_jsonl(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"")


def _opened_copy(copy: Path, path: Path) -> Database:
    try:
        return Database(copy)
    except BaseRefused as error:
        raise BaseRefused(str(error).replace(str(copy), str(path))) from error
    except BaseUnusable as error:
        reason = " ".join(str(error.__cause__ or error).split())
        raise BaseUnusable(_("base {path} cannot be read: {reason}").format(path=path, reason=reason)) from error


class _Told:
    """What was merged, in words and as JSON."""

    def __init__(self, database: Database, theirs: State, plan: Plan, done: Merged) -> None:
        self.plan, self.done = plan, done
        keys = sorted({conflict.id for conflict in plan.conflicts})
        self.titles = {entry.id: entry.title for entry in theirs.fetch(keys)} | database.titles(keys)
        copies = [conflict.copy for conflict in plan.conflicts if conflict.copy]
        self.short = database.short_ids([*keys, *copies])

    def json(self, path: str, is_dry: bool) -> dict[str, Any]:
        """Return the answer to `--json`."""
        facts = {"source": path, "dry_run": is_dry, "added": self.done.added, "changed": self.done.changed}
        facts |= {"deleted": self.done.deleted, "links": self.done.links}
        return facts | {"conflicts": list(map(self._conflict, self.plan.conflicts)), "problems": self.plan.problems}

    def _conflict(self, conflict: Conflict) -> dict[str, Any]:
        told: dict[str, Any] = {"id": conflict.id, "title": self.titles.get(conflict.id), "kind": conflict.kind}
        if conflict.link:
            link = conflict.link
            told["link"] = {"target": link.target, "relation": link.relation, "reason": link.reason}
        return told | ({"copy": conflict.copy} if conflict.copy else {})

    def lines(self) -> Iterator[str]:
        """Yield a line for each conflict."""
        words = {
            "changed": _("changed on both sides, the other version is {copy}"),
            "deleted-here": _("deleted here and changed there, so it is back"),
            "deleted-there": _("deleted there and changed here, so it stays"),
            "link": _("its link to {target} lost the reason: {reason}"),
        }
        for conflict in self.plan.conflicts:
            link = conflict.link
            what = words[conflict.kind].format(
                copy=self.short.get(conflict.copy or "", ""),
                target=link.target if link else "",
                reason=link.reason if link else "",
            )
            yield plain(f"{self.short[conflict.id]}  {self.titles.get(conflict.id, '')}: {what}".replace("\n", " "))

    def counts(self) -> str:
        """Say how much was done."""
        parts: Sequence[tuple[int, str]] = (
            (len(self.done.added), _("{count} added")),
            (len(self.done.changed), _("{count} changed")),
            (len(self.done.deleted), _("{count} deleted")),
            (self.done.links, _("{count} links")),
            (len(self.plan.conflicts), _("{count} in conflict")),
            (len(self.plan.problems), _("{count} left out")),
        )
        return ", ".join(text.format(count=count) for count, text in parts if count) or _("nothing to do")


def _tell(request: Request, response: Response, told: _Told, is_empty: bool) -> None:
    is_dry = request.options.dry_run
    say_problems(told.plan.problems, response)
    if request.options.json:
        response.json(told.json(request.options.path, is_dry))
    else:
        for line in told.lines():
            response.data(line)
    if not is_empty:
        response.note(_("would be: {what}").format(what=told.counts()) if is_dry else told.counts())
    if any(conflict.copy for conflict in told.plan.conflicts) and not is_dry:
        settle = _(
            "both versions are kept: rekall list --tag {tag}; delete one, or keep both with: rekall tag ID -{tag}"
        )
        response.note(settle.format(tag=CONFLICT_TAG))
    say_secrets(told.done.secrets, told.done.entries_with_secrets, response)
