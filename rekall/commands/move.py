"""The commands that move whole bases: import, export. They run in the user's own process."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from rekall.commands.back import back_up
from rekall.commands.room import Room
from rekall.errors import ERROR, NOTHING_FOUND, ModelUnavailable, UsageError
from rekall.exchange import Report, bring_in
from rekall.exports import export_jsonl, export_markdown, replacing
from rekall.language import _, plural
from rekall.places import make_private
from rekall.protocol import Request, Response
from rekall.redact import Secret, kinds_of
from rekall.sources import count_source, read_source

# Problems named one by one; the rest is counted.
SHOWN_PROBLEMS = 20


def import_(room: Room, request: Request, response: Response) -> None:
    """Bring in notes or another base; return when all of it is found by meaning too."""
    path = request.cwd / request.options.path
    records, total = read_source(path), count_source(path)
    if room.exists and path.is_file() and path.samefile(room.base.path):
        raise UsageError(_("{path} is the base itself; name another with --db").format(path=path))
    database = room.writing()
    back_up_first = partial(back_up, room, response, "before-import")
    with progress(request, _("storing"), total) as step, database.deed():
        report = bring_in(database, records, step, back_up_first, request.options.allow_secrets)
    _say(report, response)
    if not request.options.no_wait:
        embed_all(room, request, response)
    if report.problems:
        response.status = ERROR
    elif not report.total:
        response.note(_("{path} holds nothing to import").format(path=path))
        response.status = NOTHING_FOUND


def say_problems(problems: Sequence[str], response: Response) -> None:
    """Name what was left out."""
    for problem in problems[:SHOWN_PROBLEMS]:
        response.note(
            _("left out: {problem}").format(problem=" ".join(problem.splitlines()))
        )  # names may hold line ends
    if len(problems) > SHOWN_PROBLEMS:
        response.note(_("left out: {count} more").format(count=len(problems) - SHOWN_PROBLEMS))


def _say(report: Report, response: Response) -> None:
    say_problems(report.problems, response)
    parts = (
        (report.added, _("{count} added")),
        (report.updated, _("{count} updated")),
        (report.unchanged, _("{count} unchanged")),
        (report.kept, _("{count} kept as edited here")),
        (len(report.problems), _("{count} left out")),
    )
    response.note(", ".join(text.format(count=count) for count, text in parts if count) or _("nothing to do"))
    say_secrets(report.secrets, report.entries_with_secrets, response)


def say_secrets(secrets: Sequence[Secret], entries: int, response: Response) -> None:
    """Say how many secrets were left out, and of which kinds."""
    if secrets:
        kinds = ", ".join(f"{kind} {count}" for kind, count in kinds_of(secrets).items())
        response.note(
            plural(
                "secrets were left out of {count} entry: {kinds}; to keep them: --allow-secrets",
                "secrets were left out of {count} entries: {kinds}; to keep them: --allow-secrets",
                entries,
            ).format(count=entries, kinds=kinds)
        )


def embed_all(room: Room, request: Request, response: Response) -> None:
    """Embed everything that waits for it. An interruption keeps what was done; the next run goes on."""
    waiting = room.service.count_waiting()
    if not waiting:
        return
    response.note(_("embedding {count} entries; Ctrl-C stops, the next run goes on").format(count=waiting))
    room.be_quiet()  # the bar says enough
    try:
        with progress(request, _("embedding"), waiting) as step:
            room.service.embed_pending(on_progress=step)
    except ModelUnavailable as error:
        response.note(_("stored; found by words only until the model works: {reason}").format(reason=error))


@contextmanager
def progress(request: Request, label: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show a bar on stderr where a person looks at it; yield what moves it on."""
    if not request.terminal.errors_are_tty:
        yield lambda _count: None
        return
    from tqdm import tqdm

    with tqdm(total=total, desc=label, unit="", file=sys.stderr, dynamic_ncols=True, leave=False) as bar:

        def step(count: int) -> None:
            bar.update(count)

        yield step


def export_(room: Room, request: Request, response: Response) -> None:
    """Write every entry, as JSONL or Markdown, to stdout, a file or a folder."""
    options, database = request.options, room.reading()
    if not database.count():
        response.status = NOTHING_FOUND
    target = request.cwd / options.output if options.output else None
    if options.format == "markdown" and target and (target.is_dir() or options.output.endswith("/")):
        make_private(target)
        for name, text in export_markdown(database):
            with replacing(target / name) as file:
                file.write(text)
        return
    if (
        target
        and target.exists()
        and room.exists
        and any(other.exists() and target.samefile(other) for other in _files_of(room.base.path))
    ):
        raise UsageError(_("{path} is the base itself; name another file with -o").format(path=target))
    lines = (
        export_jsonl(database, options.deleted)
        if options.format == "jsonl"
        else (text for _name, text in export_markdown(database))
    )
    if target is None:
        for line in lines:
            response.raw(line)
        return
    with replacing(target) as file:
        file.writelines(lines)


def _files_of(base: Path) -> tuple[Path, ...]:
    """Return the files a base consists of while it is open."""
    return (base, base.with_name(f"{base.name}-wal"), base.with_name(f"{base.name}-shm"))
