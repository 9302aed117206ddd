"""What the picker shows: lines for a width, out of entries, marks and a place. Pure.

A line is a tuple of (style, text) parts, see sheet.py; styles are prompt_toolkit's. Colours are the terminal's own
eight, so that they fit its background, and nothing is told by colour alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from rekall.entry import TYPES, Entry
from rekall.language import _, plural
from rekall.render import Replaced, age, beginnings, fitted, matched, obsolete_mark, plain, width_of, with_mark
from rekall.sheet import AT, Line

DIM, MATCH, TYPE, CHOSEN, WRONG = "dim", "class:match", "fg:ansicyan", "bold", "fg:ansired"
# Narrower than this, the list leaves out its types, ages, tags and project.
TYPE_COLUMNS, AGE_COLUMNS, META_COLUMNS = 30, 40, 60
# The least for a preview beside the list, and below it (its lines and the list's).
BESIDE_COLUMNS, BELOW_ROWS = 76, 14
LEAST_ROWS = 6
# Letters of an entry that are looked through for a word that its title does not have.
SEEN_CHARACTERS = 3000


@dataclass(frozen=True, slots=True)
class Areas:
    """How the screen below the line is shared out. `preview`: beside the list, below it, alone, or '' for none."""

    columns: int
    rows: int
    preview: str = ""
    preview_columns: int = 0
    preview_rows: int = 0
    has_status: bool = True


def rows_wanted(height: str, rows: int) -> int:
    """Return how many of the terminal's rows `--height` (N or N%) means; at least a few where there is room."""
    wanted = rows * int(height[:-1]) // 100 if height.endswith("%") else int(height)
    return max(1, min(max(wanted, LEAST_ROWS), rows))


def areas(columns: int, rows: int, wants_preview: bool | None) -> Areas:
    """Share `columns` x `rows` between list, preview and status. None: a preview where it does not crowd the list."""
    body = rows - 1 if rows > 1 else rows
    has_status = rows > 1
    plain_list = Areas(columns, body, has_status=has_status)
    if wants_preview is False or body < 1:
        return plain_list
    if columns >= BESIDE_COLUMNS:
        width = min(columns * 11 // 20, columns - 36)
        return Areas(width, body, "beside", columns - width - 3, body, has_status)
    if body >= BELOW_ROWS:
        return Areas(columns, body * 2 // 5, "below", columns, body - body * 2 // 5 - 1, has_status)
    if wants_preview is None:
        return plain_list
    return Areas(columns, 0, "alone", columns, body, has_status)


def entry_line(
    entry: Entry, columns: int, begins: tuple[str, ...], moment: float, is_here: bool, is_marked: bool, note: str = ""
) -> Line:
    """Return an entry as a line of the list: where one is, what is marked, type, title, where it belongs, age.

    `note` stands behind the title, and has at least half of its room: that an entry is obsolete.
    """
    bold = CHOSEN if is_here else ""
    parts = [("fg:ansiblue " + bold, "▌" if is_here else " "), ("fg:ansimagenta", "•" if is_marked else " ")]
    start = 2
    if columns >= TYPE_COLUMNS:
        parts.append((f"{TYPE} {bold}".strip(), f"{plain(entry.type)[:9]:<10}"))
        start += 10
    end = columns - 5 if columns >= AGE_COLUMNS else columns
    title = " ".join(plain(entry.title).split())
    room = end - start
    meta = fitted(_meta(entry), room // 3) if columns >= META_COLUMNS and not note else ""
    if meta:
        room -= min(width_of(meta) + 2, max(room // 3, room - width_of(title)))
        meta = fitted(meta, end - start - room - 2)
    shown, note = with_mark(title, note, room)
    parts += with_matches(((bold, shown), ("", "  " * bool(note)), (DIM, note)), begins)
    left = room - width_of(shown) if not note else 0
    if begins and left > 16 and not matched(title, begins):
        parts += [("", "  "), *with_matches(((DIM, fitted(_where(entry, begins, left), left - 2)),), begins)]
    if meta:
        parts += [(AT, str(end - width_of(meta))), *with_matches(((DIM, meta),), begins)]
    if end < columns:
        parts += [(AT, str(columns - 4)), (DIM, f"{age(entry.created_at, moment):>4}")]
    return tuple(parts)


def _meta(entry: Entry) -> str:
    return plain(" ".join([*([entry.project] if entry.project else []), *(f"#{tag}" for tag in entry.tags)]))


def _where(entry: Entry, begins: tuple[str, ...], columns: int) -> str:
    """Return the surroundings of the first word that matched in an entry's text, on one line; nothing if none did."""
    text = entry.body()[:SEEN_CHARACTERS]
    spans = matched(text, tuple(begin for begin in begins if len(begin) > 2))
    if not spans:
        return ""
    longest = max(spans, key=lambda span: span[1] - span[0])[0]
    line = text.rfind("\n", 0, longest) + 1
    begin = longest
    while begin > line and longest - begin < columns // 4:  # whole words before it, as many as leave it in sight
        begin = max(line, text.rfind(" ", line, begin - 1) + 1)
    begin = begin if longest - begin < columns // 2 else longest
    found = " ".join(plain(text[begin : begin + columns].split("\n", 1)[0]).split())
    return ("…" if begin > line else "") + found


def with_matches(line: Line, begins: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return the parts of a line with the words that begin so highlighted."""
    if not begins:
        return list(line)
    found: list[tuple[str, str]] = []
    for style, text in line:
        place = 0
        for start, end in matched(text, begins):
            found += [(style, text[place:start]), (f"{style} {MATCH}".strip(), text[start:end])]
            place = end
        found.append((style, text[place:]))
    return [part for part in found if part[1]]


def beside(left: Sequence[Line], right: Sequence[Line], columns: int, rows: int) -> list[Line]:
    """Return two blocks of lines as one, a rule between them; the left one is `columns` wide."""
    empty: Line = ()
    return [
        (
            *(left[row] if row < len(left) else empty),
            (AT, str(columns)),
            (DIM, " │ "),
            *(right[row] if row < len(right) else empty),
        )
        for row in range(rows)
    ]


def below(upper: Sequence[Line], lower: Sequence[Line], shared: Areas) -> list[Line]:
    """Return two blocks of lines one above the other, a rule between them."""
    filled = [*upper[: shared.rows], *[()] * (shared.rows - len(upper))]
    return [*filled, ((DIM, "─" * shared.columns),), *lower]


@dataclass(frozen=True, slots=True)
class Status:
    """What the last line tells. `mode`: '' while nothing was typed, 'words', 'both', 'loading'."""

    matches: int
    total: int
    mode: str
    seconds: float
    marked: int = 0
    notice: str = ""  # in place of the rest
    problem: str = ""


def status_line(status: Status, columns: int) -> Line:
    """Return the last line; what there is no room for is left out from its end."""
    hint = _("? help")
    if status.problem or status.notice:
        text = plain(" ".join((status.problem or status.notice).split()))
        return ((WRONG if status.problem else "", fitted(" " + text, columns)),)
    mode = {
        "words": _("words only"),
        "both": _("words and meaning"),
        "loading": _("words; the model is loading"),
    }.get(status.mode, _("newest first"))
    facts = [
        f"{status.matches}/{status.total}",
        *(
            [plural("{count} marked", "{count} marked", status.marked).format(count=status.marked)]
            * (status.marked > 0)
        ),
        mode,
        f"{status.seconds * 1000:.0f} ms",
    ]
    shown = " "
    for fact in facts:
        longer = (shown + " · " if shown.strip() else shown) + fact
        if width_of(longer) > columns:
            break
        shown = longer
    if width_of(shown) + width_of(hint) + 3 > columns:
        return ((DIM, shown),)
    return (DIM, shown), (AT, str(columns - width_of(hint) - 1)), (DIM, hint)


def copied(count: int) -> str:
    """Return the notice that so many entries were copied."""
    return plural("{count} copied", "{count} copied", count).format(count=count)


def types_line(chosen: Collection[str]) -> Line:
    """Return the choice of types: each with its figure."""
    parts: list[tuple[str, str]] = [(DIM, " " + _("type:"))]
    for number, name in enumerate((_("all"), *TYPES)):
        is_it = name in chosen or (number == 0 and not chosen)
        parts += [(DIM, f" {number} "), ("reverse" if is_it else "", name)]
    return tuple(parts)


def help_lines(columns: int) -> list[Line]:
    """Return what the keys do, and what can be typed."""
    keys = [
        ("↑ ↓  ^P ^N", _("move; PgUp PgDn by pages")),
        ("Enter", _("take it (or all that is marked)")),
        ("Tab", _("mark, for several at once; S-Tab backwards")),
        ("Esc ^C ^G", _("leave")),
        ("M-p", _("preview on, off")),
        ("S-↑ S-↓", _("scroll the preview; M-↑ M-↓ by pages")),
        ("^O", _("edit in $EDITOR")),
        ("^Y", _("copy what Enter would give")),
        ("^T", _("narrow to a type")),
        ("? F1", _("this help")),
        ("", ""),
        ("type:bug", _("only bugs; type:bug,til either")),
        ("tag:git", _('only with this tag; project:shop, project:"my shop"')),
        ("since:30d", _("only made since; until:2026-11-01")),
    ]
    width = max(width_of(key) for key, _meaning in keys) + 2
    if columns < 40:
        return [((CHOSEN, key + " "), ("", meaning)) for key, meaning in keys]
    return [(("", "  "), (CHOSEN, key), (AT, str(width + 2)), ("", meaning)) for key, meaning in keys]


def list_lines(
    entries: Sequence[Entry],
    place: int,
    marked: Collection[str],
    columns: int,
    query: str,
    moment: float,
    replaced: Replaced,
) -> Iterator[Line]:
    """Yield the lines of `entries`, of which the one at `place` is where one is."""
    begins = beginnings(query)
    for number, entry in enumerate(entries):
        note = obsolete_mark(entry, replaced)
        yield entry_line(entry, columns, begins, moment, number == place, entry.id in marked, note)
