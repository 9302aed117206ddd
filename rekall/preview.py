"""An entry as the picker's preview shows it: wrapped lines, made only as far down as somebody looks. Pure.

Markdown stays as it is written, but for headings and fences: code stands between blank lines, coloured by pygments once
`coloured` has been asked (pygments is imported then, not before).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice

from rekall.entry import Entry
from rekall.language import _
from rekall.picker_view import CHOSEN, DIM, TYPE, with_matches
from rekall.render import Replaced, obsolete_mark, plain, width_of
from rekall.sheet import Line

# Lines of an entry that are shown, letters of one line, and lines of it once wrapped.
MOST_LINES = 200
MOST_LETTERS = 2000
# As much of an id as is enough to name it: the moment it was made.
ID_LETTERS = 10

_FENCE = re.compile(r"\s*(?:```+|~~~+)\s*([\w+#.-]*)")
_HEADING = re.compile(r"#{1,6}\s+(?=\S)")
_CODE = re.compile(r"`[^`]+`")
_NOTHING: Replaced = {}
# What a code block is known by: its language and its text.
Block = tuple[str, str]
# Styles of pygments' tokens, by the beginning of their names.
_TOKENS = (
    ("Comment", "dim"),
    ("Literal.String", "fg:ansigreen"),
    ("Literal.Number", "fg:ansimagenta"),
    ("Keyword", "fg:ansiblue"),
    ("Name.Builtin", "fg:ansicyan"),
    ("Name.Function", "fg:ansicyan"),
    ("Name.Class", "fg:ansicyan"),
    ("Name.Variable", "fg:ansiyellow"),
    ("Name.Attribute", "fg:ansicyan"),
    ("Name.Tag", "fg:ansiblue"),
    ("Generic.Deleted", "fg:ansired"),
    ("Generic.Inserted", "fg:ansigreen"),
    ("Generic.Prompt", "dim"),
)


def blocks_of(entry: Entry) -> list[Block]:
    """Return the code blocks of an entry that have a language, as far as they are shown."""
    found: list[Block] = []
    for text in (entry.situation, entry.what_failed, entry.solution, entry.content):
        found += [(language, "\n".join(lines)) for language, lines in _parted(text) if language]
    return found


def coloured(block: Block) -> list[Line]:
    """Return the lines of a code block in colour; plain if pygments does not know its language, or fails at it.

    Cost: some ms for the first of a language, whose lexer is imported then, then 1 ms for 50 lines.
    """
    from pygments.lexers import get_lexer_by_name

    language, code = block
    try:
        tokens = list(get_lexer_by_name(language, stripnl=False, ensurenl=False).get_tokens(code))
    except Exception:  # no such language, or a lexer's own error; colours are not worth a picker
        return [(("", line),) for line in code.split("\n")]
    lines: list[list[tuple[str, str]]] = [[]]
    for token, value in tokens:
        style = _style_of(str(token).removeprefix("Token."))
        first, *rest = value.split("\n")
        lines[-1].append((style, first))
        for part in rest:
            lines.append([(style, part)])
    return [tuple(line) for line in lines]


def _style_of(token: str) -> str:
    return next((style for name, style in _TOKENS if token.startswith(name)), "")


def preview_lines(
    entry: Entry,
    columns: int,
    begins: tuple[str, ...],
    colours: Mapping[Block, list[Line]],
    replaced: Replaced = _NOTHING,
) -> Iterator[Line]:
    """Yield the lines of an entry for `columns`, what matched highlighted. Make no more of them than are seen."""
    for line in _title(entry, replaced):
        yield from _wrapped(tuple(with_matches(line, begins)), columns)
    yield from islice(_body(entry, columns, begins, colours), MOST_LINES)


def _title(entry: Entry, replaced: Replaced) -> Iterator[Line]:
    yield ((CHOSEN, " ".join(plain(entry.title).split())),)
    facts = [entry.type, obsolete_mark(entry, replaced), entry.project or "",
             " ".join(f"#{tag}" for tag in entry.tags), entry.created_at[:10], entry.id[:ID_LETTERS]]  # fmt: skip
    yield ((DIM, " · ".join(" ".join(plain(fact).split()) for fact in facts if fact)),)


def _body(entry: Entry, columns: int, begins: tuple[str, ...], colours: Mapping[Block, list[Line]]) -> Iterator[Line]:
    for name, text in (
        (_("situation"), entry.situation),
        (_("errors"), "\n".join(entry.errors)),
        (_("what failed"), entry.what_failed),
        (_("solution"), entry.solution),
        ("", entry.content),
    ):
        if not text.strip():
            continue
        yield ()
        if name:
            yield ((DIM, f"{name}:"),)
        lines = list(islice(_styled(text, colours), MOST_LINES + 1))
        for line in lines[:MOST_LINES]:
            yield from _wrapped(tuple(with_matches(line, begins)), columns)
        if len(lines) > MOST_LINES:
            yield ((DIM, _("… more of it: rekall show {id}").format(id=entry.id[:ID_LETTERS])),)


def _parted(text: str) -> Iterator[tuple[str | None, list[str]]]:
    """Yield (language, lines) of a Markdown text's parts. None is prose, '' a code block that names no language."""
    language: str | None = None
    lines: list[str] = []
    for line in islice(text.strip("\n")[: MOST_LINES * MOST_LETTERS].split("\n"), MOST_LINES + 1):
        fence = _FENCE.match(line)
        if fence and (language is None or not fence[1]):
            if lines:
                yield language, lines
            language, lines = (fence[1].lower() if language is None else None), []
        else:
            lines.append(line[:MOST_LETTERS])
    if lines:
        yield language, lines


def _styled(text: str, colours: Mapping[Block, list[Line]]) -> Iterator[Line]:
    """Yield the lines of a Markdown text, not wrapped."""
    for language, lines in _parted(text):
        if language is None:
            yield from map(_prose, lines)
        else:
            code = colours.get((language, "\n".join(lines))) or [(("", line),) for line in lines]
            yield from ((("", "  "), *((style, _shown(part)) for style, part in line)) for line in code)


def _shown(text: str) -> str:
    return plain(text.expandtabs(4).replace("\n", " "))


def _prose(line: str) -> Line:
    text = _shown(line)
    heading = _HEADING.match(text)
    if heading:
        return ((CHOSEN, text[heading.end() :]),)
    parts: list[tuple[str, str]] = []
    place = 0
    for code in _CODE.finditer(text):
        parts += [("", text[place : code.start()]), (TYPE, code[0])]
        place = code.end()
    return tuple(part for part in [*parts, ("", text[place:])] if part[1])


def _wrapped(line: Line, columns: int) -> Iterator[Line]:
    """Yield a line in parts of at most `columns`, cut at blanks where there are some; what follows keeps its indent."""
    text = "".join(part for _style, part in line)
    if width_of(text) <= columns:
        yield line
        return
    indent = min(len(text) - len(text.lstrip()), columns // 3)
    start = 0
    for end in _ends(text, columns, indent):
        part = _slice(line, start, end)
        yield part if start == 0 else (("", " " * indent), *part)
        start = end + (text[end : end + 1] == " ")


def _ends(text: str, columns: int, indent: int) -> Iterator[int]:
    """Yield where each part of a text ends."""
    start = place = used = 0
    while place < len(text):
        step = width_of(text[place])
        if used + step <= columns or place == start:
            used += step
            place += 1
            continue
        blank = text.rfind(" ", start + max(1, (columns - indent) // 3), place + 1)
        end = blank if blank > start else place
        yield end
        start = place = end + (text[end : end + 1] == " ")
        used = indent
    yield len(text)


def _slice(line: Line, start: int, end: int) -> Line:
    found = []
    place = 0
    for style, part in line:
        piece = part[max(0, start - place) : max(0, end - place)]
        if piece:
            found.append((style, piece))
        place += len(part)
    return tuple(found)


class Preview:
    """One entry's lines at one width, and which of them is the first in sight."""

    def __init__(self, lines: Iterator[Line]) -> None:
        self._rest = lines
        self._made: list[Line] = []
        self.top = 0

    def scroll(self, by: int, rows: int) -> None:
        """Move by so many lines, but not beyond the last."""
        self._make(self.top + by + rows)
        self.top = max(0, min(self.top + by, len(self._made) - rows))

    def seen(self, rows: int) -> list[Line]:
        """Return the lines in sight."""
        self._make(self.top + rows)
        return self._made[self.top : self.top + rows]

    def _make(self, count: int) -> None:
        self._made += islice(self._rest, max(0, count - len(self._made)))
