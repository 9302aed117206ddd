"""How answers look: lines for a width and a taste for colour. Pure.

No control sequence of an entry reaches a terminal: control characters are shown as their picture
(␛ for escape), because a note may hold anything that a failing program ever printed.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from typing import Any  # JSON values

from rekall.entry import Entry, Link, to_record
from rekall.language import _
from rekall.protocol import Terminal
from rekall.ranking import Hit

_CONTROL = {code: 0x2400 + code for code in range(32) if code not in (9, 10)}
_CONTROL |= {127: 0x2421} | dict.fromkeys(range(0x80, 0xA0), 0xFFFD)
# Marks that turn the direction of a line could make a command read as another.
_CONTROL |= dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)], 0xFFFD)
_FENCE = re.compile(r"```+|~~~+")
_STYLES = {"id": "33", "type": "36", "title": "1", "dim": "2"}

SNIPPET_CHARACTERS = 160
# Lines of the best hit that a terminal shows.
ANSWER_LINES = 12


def plain(text: str) -> str:
    """Return `text` with control characters made visible; tabs and line ends stay."""
    return text.translate(_CONTROL)


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
        return json.dumps(to_record(entry), ensure_ascii=False)
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


def entry_line(entry: Entry, short: str, columns: tuple[int, int], terminal: Terminal) -> str:
    """Return one entry as one line: short id, type, title. `columns`: widths of the first two."""
    head = f"{short:<{columns[0]}}  {entry.type:<{columns[1]}}  "
    title = plain(entry.title)
    if terminal.output_is_tty:
        title = fitted(title, terminal.width - len(head))
    return (
        _styled(f"{short:<{columns[0]}}", "id", terminal) + "  "
        + _styled(f"{entry.type:<{columns[1]}}", "type", terminal) + "  "
        + _styled(title, "title", terminal)
    )  # fmt: skip


def entry_lines(entries: Sequence[Entry], short: Mapping[str, str], terminal: Terminal) -> list[str]:
    """Return entries as lines with their columns aligned."""
    columns = (max((len(short[e.id]) for e in entries), default=0), max((len(e.type) for e in entries), default=0))
    return [entry_line(entry, short[entry.id], columns, terminal) for entry in entries]


def hit_lines(
    hits: Sequence[Hit], entries: Mapping[str, Entry], short: Mapping[str, str], terminal: Terminal, explain: bool
) -> list[str]:
    """Return the answer to a search: a line a hit, and below the best one what it says."""
    shown = [entries[hit.id] for hit in hits]
    lines: list[str] = []
    for place, (hit, line) in enumerate(zip(hits, entry_lines(shown, short, terminal), strict=True)):
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


def explanation(hit: Hit) -> str:
    """Name each part of a hit's score."""
    parts = [_("score {score:.4f}").format(score=hit.score)]
    if hit.arm:
        parts.append(_("matched by: {arm}").format(arm=hit.arm))
        if hit.arm in ("exact", "near"):
            return " · ".join(parts)
    if hit.words is not None:
        parts.append(_("words {words:.4f} (bm25 {bm25:.2f})").format(words=hit.words, bm25=hit.bm25))
    if hit.cosine is not None:
        meaning = hit.cosine if hit.meaning is None else hit.meaning
        parts.append(_("meaning {meaning:.4f} (cosine {cosine:.4f})").format(meaning=meaning, cosine=hit.cosine))
    if hit.words is None:
        parts.append(_("no word matches"))
    if hit.cosine is None:
        parts.append(_("meaning not compared"))
    return " · ".join(parts)


def hit_object(hit: Hit, entry: Entry, explain: bool) -> dict[str, Any]:
    """Return a hit as a JSON object."""
    found: dict[str, Any] = {
        "id": entry.id, "type": entry.type, "title": entry.title, "tags": list(entry.tags), "project": entry.project,
        "score": hit.score, "snippet": snippet(entry), "status": entry.status, "created_at": entry.created_at,
    }  # fmt: skip
    if hit.arm:
        found["arm"] = hit.arm
    if explain:
        found["explain"] = {"words": hit.words, "bm25": hit.bm25, "meaning": hit.meaning, "cosine": hit.cosine}
        if hit.arm:
            found["explain"]["arm"] = hit.arm
    return found


def tsv_line(hit: Hit, entry: Entry) -> str:
    """Return a hit as id, type, score and title between tabs."""
    return "\t".join((entry.id, entry.type, f"{hit.score:.6f}", plain(entry.title).replace("\t", " ")))


def entry_text(entry: Entry, links: Sequence[tuple[Link, Entry | None]], terminal: Terminal) -> list[str]:
    """Return an entry whole, as lines for people."""
    lines = [_styled(plain(entry.title), "title", terminal), ""]
    facts = [
        (_("id"), entry.id),
        (_("type"), entry.type + (f" ({entry.status})" if entry.status != "active" else "")),
        (_("tags"), ", ".join(entry.tags)),
        (_("project"), entry.project or ""),
        (_("replaced by"), entry.superseded_by or ""),
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
