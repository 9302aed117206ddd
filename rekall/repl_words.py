"""What the REPL offers at Tab: commands, then what fits behind them: ids, tags, projects, types."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from itertools import islice

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from rekall.commands import Room
from rekall.desk import Desk
from rekall.entry import TYPES
from rekall.render import fitted, plain
from rekall.usage import TOPICS

COMMANDS = ("add", "show", "edit", "similar", "list", "delete", "tag", "link", "export", "stats", "help", "quit")
_TAKES_IDS = ("show", "edit", "similar", "delete", "tag", "link")
# Offered at once; who has more types a letter.
MOST = 50
TITLE_COLUMNS = 60


class Words(Completer):
    """Completes the word under the cursor."""

    def __init__(self, desk: Desk, results: Callable[[], Sequence[str]]) -> None:
        self._desk = desk
        self._results = results

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """Offer nothing: the base is asked in a thread, see get_completions_async."""
        return ()

    async def get_completions_async(
        self, document: Document, complete_event: CompleteEvent
    ) -> AsyncGenerator[Completion, None]:
        before, word = document.current_line_before_cursor, document.get_word_before_cursor(WORD=True)
        words = before[: len(before) - len(word)].split()
        for text, meaning in await self._offered(words, word):
            yield Completion(text, -len(word), display_meta=meaning)

    async def _offered(self, words: list[str], word: str) -> list[tuple[str, str]]:
        """Return what may stand after `words`, beginning as `word` does, each with what it means."""
        if not words:
            return [(name, "") for name in COMMANDS if name.startswith(word)]
        name, last = words[0], words[-1]
        if name == "help":
            return [(other, "") for other in (*COMMANDS, *TOPICS) if other.startswith(word)]
        if (name == "add" and len(words) == 1) or (last in ("--type", "-t") and name == "list"):
            return [(kind, "") for kind in TYPES if kind.startswith(word)]
        if last in ("-p", "--project"):
            return await self._desk.ask(lambda room: _counted(room, "project", word))
        if last in ("--tag", "-t", "--tags") or (name == "tag" and len(words) > 1):
            sign = word[:1] if word[:1] in "+-" and name == "tag" else ""
            found = await self._desk.ask(lambda room: _counted(room, "tag", word[len(sign) :]))
            return [((sign or ("+" if name == "tag" else "")) + tag, meaning) for tag, meaning in found]
        if name in _TAKES_IDS:
            return await self._desk.ask(lambda room: _ids(room, word, self._results()))
        return []


def _counted(room: Room, column: str, beginning: str) -> list[tuple[str, str]]:
    counts = room.reading().counts_by(column)
    fitting = (name for name in counts if name.startswith(beginning) and plain(name) == name)  # none that steers
    return [(name, str(counts[name])) for name in islice(fitting, MOST)]


def _ids(room: Room, beginning: str, results: Sequence[str]) -> list[tuple[str, str]]:
    """Return ids that begin so: those of the last results first, then the newest."""
    database = room.reading()
    entries = [*database.get_many(list(results)), *database.entries(limit=MOST)]
    fitting = {entry.id: entry for entry in entries if entry.id.startswith((beginning, beginning.upper()))}
    short = database.short_ids(fitting)
    return [(short[key], fitted(plain(entry.title), TITLE_COLUMNS)) for key, entry in fitting.items()][:MOST]
