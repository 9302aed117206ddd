"""How answers look: lines for a width and a taste for colour. Pure.

No control sequence of an entry reaches a terminal: control characters are shown as their picture
(␛ for escape), because a note may hold anything that a failing program ever printed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from typing import Any  # JSON values

from rekall.entry import Entry, Link, to_record
from rekall.explain import explanation, parts_of
from rekall.language import _
from rekall.protocol import Terminal, json_line
from rekall.ranking import Hit

_CONTROL = {code: 0x2400 + code for code in range(32) if code not in (9, 10)}
_CONTROL |= {127: 0x2421} | dict.fromkeys(range(0x80, 0xA0), 0xFFFD)
# Marks that turn the direction of a line could make a command read as another.
_CONTROL |= dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)], 0xFFFD)
_COLOURS = re.compile(r"(\x1b\[[0-9;]{0,12}m)")
_FENCE = re.compile(r"```+|~~~+")
_STYLES = {"id": "33", "type": "36", "title": "1", "dim": "2"}

# What replaced obsolete entries: by id, the id and the title of the other.
Replaced = Mapping[str, tuple[str, str]]
_NOTHING: Replaced = {}

# Narrower than this, a title stands alone.
LEAST_MARKED = 20

SNIPPET_CHARACTERS = 160
# Lines of the best hit that a terminal shows.
ANSWER_LINES = 12


def plain(text: str) -> str:
    """Return `text` with control characters made visible; tabs and line ends stay."""
    return text.translate(_CONTROL)


def on_terminal(text: str) -> str:
    """Return `text` as a terminal may get it: of the control sequences only our own colours are left.

    The last door: whatever a command forgot to make plain stops here. Colours of an entry's own never come so far.
    """
    if text.isprintable():
        return text
    return "".join(part if place % 2 else plain(part) for place, part in enumerate(_COLOURS.split(text)))


def width_of(text: str) -> int:
    """Return how many columns `text` takes: two for wide letters, none for combining marks."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(letter) or unicodedata.category(letter) in ("Mn", "Me", "Cf")
        else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )  # fmt: skip


def fitted(text: str, width: int) -> str:
    """Return `text` cut to `width` columns, the last an ellipsis if something was cut."""
    if width_of(text) <= width:
        return text
    kept, used = "", 0
    for letter in text:
        used += width_of(letter)
        if used > width - 1:
            break
        kept += letter
    return kept + "…" if width > 0 else ""


def wrapped(line: str, width: int) -> Iterator[str]:
    """Yield a line in parts of at most `width` columns, cut at blanks where there are some. Cost: one pass."""
    start = 0
    while True:
        place, used = start, 0
        while place < len(line) and used + (step := width_of(line[place])) <= width:
            used += step
            place += 1
        if place == len(line):
            yield line[start:]
            return
        blank = line.rfind(" ", start + 1, place + 1)
        cut = blank if blank > start else max(place, start + 1)
        yield line[start:cut].rstrip()
        start = cut
        while line[start : start + 1] == " " and start < len(line):
            start += 1


def code_block(content: str) -> str:
    """Return the first fenced code block of a Markdown text, or nothing. Cost: one pass."""
    fence = ""
    lines: list[str] = []
    for line in content.split("\n"):
        mark = _FENCE.match(line)
        if not fence:
            opens = mark and not (mark[0][0] == "`" and "`" in line[mark.end() :])  # else it is code within a line
            fence = mark[0] if mark and opens else ""
        elif mark and mark[0].startswith(fence) and not line[mark.end() :].strip():
            return "\n".join(lines).strip("\n")
        else:
            lines.append(line)
    return ""


def answer_of(entry: Entry) -> str:
    """Return what a searcher came for: the solution, else the first code block, else the content."""
    return entry.solution or code_block(entry.content) or entry.content.strip("\n")


def command_of(entry: Entry) -> str:
    """Return the first fenced code block of an entry, of its solution before its content; or nothing."""
    return code_block(entry.solution) or code_block(entry.content)


def printed(entry: Entry, what: str) -> str:
    """Return what `pick --print WHAT` gives (usage.PRINTS). What an entry does not have, its answer stands in for."""
    if what == "json":
        return json_line(to_record(entry))
    if what in ("id", "title"):
        return entry.id if what == "id" else entry.title
    answer = command_of(entry) or entry.solution or entry.content.strip("\n") or entry.title
    given = {"content": entry.content.strip("\n"), "solution": entry.solution}
    return given.get(what) or answer


def snippet(entry: Entry) -> str:
    """Return one line of what the entry answers."""
    text = " ".join(answer_of(entry).split())
    return text if len(text) <= SNIPPET_CHARACTERS else text[: SNIPPET_CHARACTERS - 1] + "…"


def _styled(text: str, style: str, terminal: Terminal) -> str:
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if terminal.colour else text


def obsolete_mark(entry: Entry, replaced: Replaced) -> str:
    """Return what marks an obsolete entry, with what replaced it if something did; nothing for others."""
    if entry.status != "obsolete":
        return ""
    if entry.id not in replaced:
        return _("(obsolete)")
    other, title = replaced[entry.id]
    return _("(obsolete → {id} {title})").format(id=other, title=" ".join(plain(title).split()))


def with_mark(title: str, mark: str, width: int) -> tuple[str, str]:
    """Return a title and a mark cut so that they fit `width` columns, two blanks between them.

    Where there is no room for both, the title stands alone.
    """
    if not mark or width < LEAST_MARKED:
        return fitted(title, width), ""
    mark = fitted(mark, max(width // 2, width - width_of(title) - 2))
    return fitted(title, width - width_of(mark) - 2), mark


def entry_line(
    entry: Entry, short: str, columns: tuple[int, int], terminal: Terminal, replaced: Replaced = _NOTHING
) -> str:
    """Return one entry as one line: short id, type, title, a mark if it is obsolete. `columns`: of the first two."""
    head = f"{short:<{columns[0]}}  {plain(entry.type):<{columns[1]}}  "
    title, mark = plain(entry.title), obsolete_mark(entry, replaced)
    if terminal.output_is_tty:
        title, mark = with_mark(title, mark, terminal.width - len(head))
    return (
        _styled(f"{short:<{columns[0]}}", "id", terminal) + "  "
        + _styled(f"{plain(entry.type):<{columns[1]}}", "type", terminal) + "  "
        + _styled(title, "title", terminal) + (mark and "  " + _styled(mark, "dim", terminal))
    )  # fmt: skip


def entry_lines(
    entries: Sequence[Entry], short: Mapping[str, str], terminal: Terminal, replaced: Replaced = _NOTHING
) -> list[str]:
    """Return entries as lines with their columns aligned."""
    columns = (max((len(short[e.id]) for e in entries), default=0), max((len(e.type) for e in entries), default=0))
    return [entry_line(entry, short[entry.id], columns, terminal, replaced) for entry in entries]


def hit_lines(
    hits: Sequence[Hit],
    entries: Mapping[str, Entry],
    short: Mapping[str, str],
    terminal: Terminal,
    explain: bool,
    replaced: Replaced = _NOTHING,
) -> list[str]:
    """Return the answer to a search: a line a hit, and below the best one what it says."""
    shown = [entries[hit.id] for hit in hits]
    lines: list[str] = []
    for place, (hit, line) in enumerate(zip(hits, entry_lines(shown, short, terminal, replaced), strict=True)):
        lines.append(line)
        if explain:
            parts = explanation(hit)
            shown_parts = list(wrapped(parts, max(8, terminal.width - 4))) if terminal.output_is_tty else [parts]
            lines += [_styled(f"    {part}", "dim", terminal) for part in shown_parts]
        if place == 0:
            lines += _answer_lines(shown[0], short[hit.id], terminal)
    return lines


def _answer_lines(entry: Entry, short: str, terminal: Terminal) -> list[str]:
    """Return what the best hit says, indented. A terminal gets its beginning, so that the list stays in sight."""
    answer = plain(answer_of(entry))
    lines = answer.split("\n") if answer else []
    if not terminal.output_is_tty:
        return [f"    {line}".rstrip() for line in lines]
    parts = (part for line in lines for part in wrapped(line, max(8, terminal.width - 4)))
    shown = list(islice(parts, ANSWER_LINES + 2))
    if len(shown) <= ANSWER_LINES + 1:
        return [f"    {line}".rstrip() for line in shown]
    more = fitted("    " + _("… more of it: rekall show {id}").format(id=short), terminal.width)
    return [f"    {line}".rstrip() for line in shown[:ANSWER_LINES]] + [_styled(more, "dim", terminal)]


def pair_lines(pairs: Sequence[tuple[Entry, Entry, float]], short: Mapping[str, str], terminal: Terminal) -> list[str]:
    """Return pairs of entries and their cosines: two lines a pair, the cosine before the first."""
    every = [entry for one, other, _cosine in pairs for entry in (one, other)]
    narrower = replace(terminal, width=max(8, terminal.width - 7))
    lines = entry_lines(every, short, narrower)
    heads = [head for _one, _other, cosine in pairs for head in (f"{cosine:.3f}", "     ")]
    return [f"{head}  {line}" for head, line in zip(heads, lines, strict=True)]


def pair_object(one: Entry, other: Entry, cosine: float) -> dict[str, Any]:
    """Return a pair of entries as a JSON object."""
    return {"cosine": cosine, "entries": [hit_object(Hit(entry.id, cosine), entry, False) for entry in (one, other)]}


def replacement(entry: Entry, replaced: Replaced) -> dict[str, Any]:
    """Return what a JSON object of an entry has more if something replaced it."""
    if entry.id not in replaced:
        return {}
    key, title = replaced[entry.id]
    return {"replaced_by": {"id": key, "title": title}}


def hit_object(hit: Hit, entry: Entry, explain: bool, replaced: Replaced = _NOTHING) -> dict[str, Any]:
    """Return a hit as a JSON object."""
    found: dict[str, Any] = {
        "id": entry.id, "type": entry.type, "title": entry.title, "tags": list(entry.tags), "project": entry.project,
        "score": hit.score, "snippet": snippet(entry), "status": entry.status, "created_at": entry.created_at,
    }  # fmt: skip
    found |= replacement(entry, replaced)
    if hit.arm:
        found["arm"] = hit.arm
    if explain:
        found["explain"] = parts_of(hit)
    return found


def tsv_line(hit: Hit, entry: Entry) -> str:
    """Return a hit as id, type, score and title between tabs."""
    parts = (entry.id, entry.type, f"{hit.score:.6f}", entry.title)
    return "\t".join(plain(part).replace("\t", " ") for part in parts)


def entry_text(
    entry: Entry, links: Sequence[tuple[Link, Entry | None]], terminal: Terminal, replaced: Replaced = _NOTHING
) -> list[str]:
    """Return an entry whole, as lines for people."""
    lines = [_styled(plain(entry.title), "title", terminal), ""]
    facts = [
        (_("id"), entry.id),
        (_("type"), entry.type + (f" ({entry.status})" if entry.status != "active" else "")),
        (_("tags"), ", ".join(entry.tags)),
        (_("project"), entry.project or ""),
        (_("replaced by"), " ".join(replaced.get(entry.id, [entry.superseded_by or ""]))),
        (_("files"), ", ".join(entry.files)),
        (_("source"), entry.source or ""),
        (_("created"), entry.created_at),
        (_("updated"), entry.updated_at if entry.updated_at != entry.created_at else ""),
    ]
    lines += [_styled(f"{name}: ", "dim", terminal) + plain(value) for name, value in facts if value]
    for name, text in (
        (_("situation"), entry.situation),
        (_("errors"), "\n".join(entry.errors)),
        (_("what failed"), entry.what_failed),
        (_("solution"), entry.solution),
    ):
        if text:
            lines += ["", _styled(f"{name}:", "dim", terminal), *plain(text).strip("\n").split("\n")]
    if entry.content:
        lines += ["", *plain(entry.content).strip("\n").split("\n")]
    for link, other in links:
        arrow = "→" if link.source == entry.id else "←"
        name = (
            f"{link.relation} {arrow} {other.title if other else '?'} ({link.target if arrow == '→' else link.source})"
        )
        lines += [""] * (link is links[0][0]) + [plain(name + (f": {link.reason}" if link.reason else ""))]
    return lines


# --- what matched, and how long ago: for lists that are looked through ---

_WORD = re.compile(r"[^\W_]+")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_SMALL = {capital: capital + 32 for capital in range(ord("A"), ord("Z") + 1)}
# What a word may lose for others of its stem to begin like it.
_ENDING = re.compile(r"(?:ies|ied|ing|ed|es|[sye])\Z")
_UNITS = ((60, "s"), (60, "m"), (24, "h"), (30.44, "d"), (12, "mo"))


def folded(text: str) -> str:
    """Return `text` without capitals and accents, letter for letter: of the same length."""
    return text.lower() if text.isascii() else _NOT_ASCII.sub(_folded_letter, text.translate(_SMALL))


@lru_cache(2048)
def _small(letter: str) -> str:
    low = unicodedata.normalize("NFD", letter)[0].lower()
    return low if len(low) == 1 else letter


def _folded_letter(found: re.Match[str]) -> str:
    return _small(found[0])


def beginnings(query: str) -> tuple[str, ...]:
    """Return how the words that a query may have matched begin: `undoing the lists` gives undo, the, list.

    Close to the stems of the index, and near enough to point at a word.
    """
    words = (folded(word) for word in _WORD.findall(query))
    shortened = (word if len(stem := _ENDING.sub("", word)) < 3 else stem for word in words)
    return tuple(dict.fromkeys(word for word in shortened if len(word) > 1))


def matched(text: str, begins: tuple[str, ...]) -> list[tuple[int, int]]:
    """Return where words that begin so stand in `text`, from the first letter to the last that agrees or the end.

    A word that goes on for more than a few letters is another one, unless its beginning is what was typed so far.
    """
    if not begins:
        return []
    return [
        (word.start(), word.end() if word.end() - word.end(1) < 4 else word.end(1))
        for word in _beginning_like(begins).finditer(folded(text))
    ]


@lru_cache(32)
def _beginning_like(begins: tuple[str, ...]) -> re.Pattern[str]:
    longest_first = sorted(begins, key=len, reverse=True)
    return re.compile(rf"(?<![^\W_])({'|'.join(map(re.escape, longest_first))})[^\W_]*")


def listed_line(
    entry: Entry, begins: tuple[str, ...], moment: float, colour: bool, replaced: Replaced = _NOTHING
) -> str:
    """Return an entry as one line of a list that is looked through, for a program that cuts it to its width.

    Type, title, the mark of what is obsolete, project, tags and age; the words that begin with one of `begins` stand
    out. `moment`: Unix time.
    """
    belongs = [*([entry.project] if entry.project else []), *(f"#{tag}" for tag in entry.tags)]
    parts = (
        ("36", f"{plain(entry.type)[:9]:<10}"),
        ("0", " ".join(plain(entry.title).split())),
        ("2", obsolete_mark(entry, replaced)),
        ("2", " ".join(plain(" ".join(belongs)).split())),
        ("2", age(entry.created_at, moment)),
    )
    if not colour:
        return "  ".join(text for _style, text in parts if text)
    return "  ".join(_with_matches(style, text, begins) for style, text in parts if text)


def _with_matches(style: str, text: str, begins: tuple[str, ...]) -> str:
    """Return a text in a style (SGR), with what matched in bold green."""
    found, place = [f"\x1b[{style}m"], 0
    for start, end in matched(text, begins):
        found += [text[place:start], "\x1b[0;1;32m", text[start:end], f"\x1b[0;{style}m"]
        place = end
    return "".join([*found, text[place:], "\x1b[0m"])


def age(stamp: str, moment: float) -> str:
    """Return how long before `moment` (Unix time) an ISO 8601 stamp is, in four columns at most: 5m, 3h, 2d, 7mo."""
    try:
        count = max(0.0, moment - datetime.fromisoformat(stamp).astimezone(UTC).timestamp())
    except (ValueError, OverflowError):
        return ""
    for size, unit in _UNITS:
        if count < size:
            return f"{int(count)}{unit}"
        count /= size
    return f"{int(count)}y"
