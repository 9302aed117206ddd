"""`rekall bench`: how well does search find what is in this very base? And made-up entries to try it with.

`run` is offline, and nothing is kept of it; `generate` is in its own module.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any  # JSON values

from rekall.command_line import parse
from rekall.commands.find import search_
from rekall.commands.generate import generate, refuse_foreign_options
from rekall.commands.room import Room
from rekall.entry import clean_text
from rekall.errors import NOTHING_FOUND
from rekall.known_items import ERROR, FOREIGN, TAKEN, TEXT, TITLE, Trial, foreign, sample, trials
from rekall.language import _
from rekall.protocol import Request, Response

_DEPTH = 10
# Entries that are asked for unless told otherwise.
_ENTRIES = 200


@dataclass
class Tally:
    """What came of the trials of one kind: the place of the right entry in each answer, from 1 (0: not among ten)."""

    places: list[int] = field(default_factory=list)
    false: int = 0
    seconds: list[float] = field(default_factory=list)

    def facts(self, kind: str) -> dict[str, Any]:
        """Return the figures of this kind."""
        asked = len(self.seconds)
        facts: dict[str, Any] = {"asked": asked}
        if kind in (TAKEN, FOREIGN):
            facts["false_answers"] = round(self.false / asked, 4)
        else:
            facts["recall_1"] = round(sum(place == 1 for place in self.places) / asked, 4)
            facts["recall_5"] = round(sum(1 <= place <= 5 for place in self.places) / asked, 4)
            facts["mrr_10"] = round(sum(1 / place for place in self.places if place) / asked, 4)
        ordered = sorted(self.seconds)
        facts["ms_p50"] = round(1000 * ordered[asked // 2], 1)
        facts["ms_p95"] = round(1000 * ordered[min(asked - 1, asked * 95 // 100)], 1)
        return facts


def bench_(room: Room, request: Request, response: Response) -> None:
    """Measure search in the base as it is, or fill one to measure it in."""
    refuse_foreign_options(request.options)
    {"run": _run, "generate": generate}[request.options.action](room, request, response)


def _run(room: Room, request: Request, response: Response) -> None:
    """Ask for entries by what one would remember of them, and count how often they come."""
    keys = sample(room.reading().ids(), request.options.entries or _ENTRIES)
    if not keys:
        response.note(_("the base is empty: there is nothing to ask for"))
        response.status = NOTHING_FOUND
        return
    asker = _Asker(room, request)
    asker.ids(Trial(TITLE, "warm up"))  # loads the model and reads the vectors
    tallies: dict[str, Tally] = {}
    for number, trial in enumerate(_all_trials(room, keys)):
        room.check_wanted()
        if response.errors_are_tty and number % 100 == 99:
            response.note(_("{count} asked so far").format(count=number + 1))
        _judge(trial, asker, tallies.setdefault(trial.kind, Tally()))
    facts = {kind: tallies[kind].facts(kind) for kind in (TITLE, TEXT, ERROR, TAKEN, FOREIGN) if kind in tallies}
    if request.options.json:
        response.json({"entries": len(keys), "of": room.reading().count(), "trials": facts})
    else:
        _show(response, len(keys), room.reading().count(), facts)


def _all_trials(room: Room, keys: Sequence[str]) -> Iterator[Trial]:
    for key in keys:
        for entry in room.reading().get_many([key]):
            yield from trials(entry)
    yield from foreign()


def _judge(trial: Trial, asker: _Asker, tally: Tally) -> None:
    begin = time.perf_counter()
    found = asker.ids(trial)
    tally.seconds.append(time.perf_counter() - begin)
    if trial.kind in (TAKEN, FOREIGN):
        tally.false += bool([key for key in found if key != trial.key])
    else:
        tally.places.append(found.index(trial.key) + 1 if trial.key in found else 0)


class _Ids:
    """A sink that keeps what it is told and says nothing."""

    def __init__(self) -> None:
        self.text: list[str] = []

    def data(self, text: str) -> None:
        self.text.append(text)

    def note(self, text: str) -> None: ...
    def copy(self, data: bytes) -> None: ...
    def flush(self) -> None: ...


@dataclass
class _Asker:
    """Asks as the command line does, in this process."""

    room: Room
    request: Request

    def ids(self, trial: Trial) -> list[str]:
        """Return the ids of what answers, best first."""
        words = ["search", "--tsv", "-n", str(_DEPTH), "--no-context"]
        text = clean_text(trial.text)
        options = parse([*words, "-", "--as", "output"] if trial.is_output else [*words, "--", text])
        stdin = io.BytesIO(text.encode("utf-8", "replace") + b"\n")
        sink = _Ids()
        asked = replace(self.request, command="search", options=options, stdin=stdin, stdin_is_tty=False)
        search_(self.room, asked, Response(sink))
        return [line.split("\t")[0] for line in "".join(sink.text).splitlines()]


def _show(response: Response, count: int, of: int, facts: dict[str, dict[str, Any]]) -> None:
    names = {
        TITLE: _("some words of the title"),
        TEXT: _("a sentence with gaps"),
        ERROR: _("its error, changed"),
        TAKEN: _("… the entry taken away"),
        FOREIGN: _("output of no concern"),
    }
    head = (_("asked by"), _("asked"), "recall@1", "recall@5", "MRR@10", _("false answers"), "ms p50", "p95")
    rows: list[tuple[str, ...]] = [head]
    for kind, found in facts.items():
        shares = (found.get(name) for name in ("recall_1", "recall_5", "mrr_10", "false_answers"))
        cells = ("" if share is None else f"{share:.3f}" for share in shares)
        rows.append((names[kind], str(found["asked"]), *cells, f"{found['ms_p50']:.1f}", f"{found['ms_p95']:.1f}"))
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    response.data(_("{count} of {of} entries, asked for in this process").format(count=count, of=of))
    for row in rows:
        cells = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        response.data("  ".join([row[0].ljust(widths[0]), *cells]).rstrip())
