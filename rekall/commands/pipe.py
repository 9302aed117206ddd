"""`search -`: what is piped in is a query, or the output of something that failed.

It is read to its end, whatever happens: who prints into the pipe must not die because rekall knows enough. Where it
pauses, the answer so far is given, and another only if the best entry changes.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field

from rekall.commands.answering import answers_to
from rekall.commands.room import Room
from rekall.commands.showing import filters_of, here_of, hits_of, show_hits
from rekall.entry import clean_text
from rekall.error_lines import has_named_error
from rekall.errors import NOTHING_FOUND, Cancelled, RekallError
from rekall.evidence import Question, question
from rekall.printed import Kept
from rekall.protocol import Request, Response
from rekall.ranking import Hit
from rekall.stdin_pipe import arrived

# A build that says nothing for so long waits for somebody, or works on something long: time to answer.
QUIET_SECONDS = 1.0


def search_piped(room: Room, request: Request, response: Response) -> None:
    """Answer what comes on stdin: at its end, and before whenever it is quiet for a second."""
    piped = _Piped(room, request, response)
    try:
        while (data := piped.next()) != b"":
            if data is None:
                piped.answer()
        piped.answer(is_last=True)
    except (Cancelled, KeyboardInterrupt):
        raise
    except (RekallError, OSError):
        piped.drain()
        raise


@dataclass
class _Piped:
    """One stdin under way: what is kept of it, and what was answered already."""

    room: Room
    request: Request
    response: Response
    kept: Kept = field(default_factory=Kept)
    is_new: bool = False  # something came since it was last judged
    best: str | None = None  # the entry that was answered last
    asked: str | Question | None = None  # and what was asked then

    def __post_init__(self) -> None:
        self.tees: bool = self.request.options.tee

    def next(self) -> bytes | None:
        """Take what comes next; None if it has been quiet, b"" at the end."""
        data = arrived(self.request.stdin, QUIET_SECONDS if self.is_new else None)
        if data is None:
            self.is_new = False
        elif data:
            self.is_new = True
            self.kept.add(data)
            self._copy(data)
        return data

    def _copy(self, data: bytes) -> None:
        if self.tees:
            try:
                self.response.copy(data)
            except OSError:  # nobody reads it any more; the answer may still be wanted
                self.tees = False

    def drain(self) -> None:
        """Read to the end all the same."""
        with suppress(OSError):
            while self.next() != b"":
                pass

    def answer(self, is_last: bool = False) -> None:
        """Answer what has come so far, unless the best entry is the same as before; at the end, also with nothing."""
        query = self._query()
        asked = None if query is not None else question(self.kept.lines())
        text = query if query is not None else asked.text if asked else ""
        hits: list[Hit] = []
        now = query if asked is None else asked
        if now != self.asked:
            self.asked = now
            hits = self._hits(text, asked)
        best = hits[0].id if hits else None
        if best is not None and best != self.best:
            if self.best is not None and self.request.options.format == "text":
                self.response.data("")
            self.best = best
            show_hits(self.room, self.request, self.response, hits, {"query": text})
            self.response.flush()
        elif is_last and self.best is None:
            show_hits(self.room, self.request, self.response, [], {"query": text})
        self.response.status = NOTHING_FOUND if self.best is None else 0

    def _query(self) -> str | None:
        """Return what was piped in as a query, or None if it is output: more than a line, an error, or said to be."""
        how = self.request.options.reads_as
        if how == "output":
            return None
        lines = self.kept.lines()
        if how is None and (len(lines) > 1 or any(map(has_named_error, lines))):
            return None
        return clean_text(self.kept.text().decode("utf-8", "replace")).strip()

    def _hits(self, query: str, asked: Question | None) -> list[Hit]:
        options, filters = self.request.options, filters_of(self.request)
        if asked is None:
            return hits_of(self.room, self.request, query)
        return answers_to(self.room, asked, filters, options.arm, here=here_of(self.request))[: options.limit]
