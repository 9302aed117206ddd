"""The manual: one screen that lists what there is, and a page for each command and topic.

A page is made of what the command takes (usage.py) and of a text in topics/, Markdown of a small kind: headings,
paragraphs, code, tables of two columns. It is read into Blocks; here they become lines for a terminal, in
ext/manpage.py the man page. So there is one source of both, in each language.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rekall.command_line import CommandParser, parser_of
from rekall.config import SETTINGS
from rekall.errors import UsageError
from rekall.language import _, _n
from rekall.usage import COMMANDS, OTHER_NAMES, TOPICS, find_command, nearest

_HERE = Path(__file__).parent
# Where the pages are in the language of the messages; a catalogue names its own folder.
_FOLDER = _n("topics/en")
# Lines that are longer are hard to read.
WIDEST = 100
_NARROWEST = 30
_NAMES, _TERMS = 11, 26  # columns
_SIDE_BY_SIDE = 50  # from here on a term and its meaning fit on a line


@dataclass(frozen=True)
class Heading:
    text: str


@dataclass(frozen=True)
class Paragraph:
    text: str


@dataclass(frozen=True)
class Code:
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Rows:
    """What is explained, and how: (term, meaning)."""

    rows: tuple[tuple[str, str], ...]


Block = Heading | Paragraph | Code | Rows

# What every command takes.
GENERAL_OPTIONS = (
    ("--db PATH", _n("which base")),
    ("--global", _n("no project base")),
    ("--no-server", _n("answer in this process")),
    ("-h, --help", _n("explain it")),
    ("--version", _n("print the version")),
)


def help_text(topic: str | None, width: int = 80, colour: bool = False) -> str:
    """Return the page of a command or a topic, or the screen that lists them. `width` in columns. Raises UsageError."""
    if not topic:
        return overview()
    return "\n".join(lines_of(page(topic, width), width, colour))


def overview() -> str:
    """Return all commands and topics on 24 lines of 80 columns at most, commands in two columns."""
    lines = [
        _("rekall – the fix you found three months ago, back at your prompt"),
        _("usage: rekall COMMAND …  rekall: find as you type  … | rekall: what is piped in"),
    ]
    for group in dict.fromkeys(command.group for command in COMMANDS):
        shown = [f"{c.name:<{_NAMES}}{_(c.summary)}" for c in COMMANDS if c.group == group and not c.is_hidden]
        lines += [f"{_(group)}:"]
        lines += [f"  {left:<39}{right}".rstrip() for left, right in _in_pairs(shown)]
    topics = _filled(_("topics:") + " " + " ".join(TOPICS), 80)
    return "\n".join([*lines, *topics, _("more: rekall help NAME   everywhere: --db PATH  --global  --no-server  -h")])


def _in_pairs(shown: Sequence[str]) -> Iterator[tuple[str, str]]:
    half = (len(shown) + 1) // 2
    for number in range(half):
        yield shown[number], shown[half + number] if half + number < len(shown) else ""


def page(topic: str, width: int = 80) -> list[Block]:
    """Return the page of a command or a topic. Raises UsageError with the one that was probably meant."""
    names = [command.name for command in COMMANDS]
    if topic not in names and topic not in TOPICS:
        near = OTHER_NAMES.get(topic) or nearest(topic, [*names, *TOPICS])
        if near in names or near in TOPICS:
            raise UsageError(_("there is no help on {topic!r}; did you mean {name}?").format(topic=topic, name=near))
        raise UsageError(_("there is no help on {topic!r}; rekall help lists what there is").format(topic=topic))
    return [*(command_page(topic, width) if topic in names else ()), *topic_page(topic)]


def command_page(name: str, width: int = 80) -> list[Block]:
    """Return what a command takes."""
    command = find_command(name)
    parser = parser_of(command)
    title = Heading(f"rekall {command.name} – {_(command.summary)}")
    blocks: list[Block] = [title, Code(usage_of(parser, width))]
    words = [action for action in parser._actions if not action.option_strings]
    options = [action for action in parser._actions if action.option_strings]
    for actions in (words, options):
        rows = tuple((_term(action), _meaning(action)) for action in actions if action.help != argparse.SUPPRESS)
        blocks += [Rows(rows)] if rows else []
    return blocks


def usage_of(parser: CommandParser, width: int) -> tuple[str, ...]:
    """Return a command's synopsis in lines of at most `width` columns."""
    # argparse would ask the terminal of this process, which need not be the caller's.
    parser.formatter_class = partial(argparse.HelpFormatter, width=max(width - 10, 20))
    text = parser.format_usage().removeprefix("usage: ").rstrip()
    return tuple(line[7:] if line.startswith(" " * 7) else line for line in text.splitlines())


def _term(action: argparse.Action) -> str:
    if not action.option_strings:
        return str(action.metavar or action.dest)
    value = "" if action.nargs == 0 else str(action.metavar or "|".join(map(str, action.choices or ())))
    return f"{', '.join(action.option_strings)} {value}".rstrip()


def _meaning(action: argparse.Action) -> str:
    return (action.help or "").replace("%%", "%")


def topic_page(name: str) -> list[Block]:
    """Return the text on a topic, or what there is to say of a command beside its options. Empty if there is none."""
    for folder in (_(_FOLDER), _FOLDER):
        path = _HERE / folder / f"{name}.md"
        if path.is_file():
            return blocks_of(path.read_text(encoding="utf-8"))
    return []


def _settings() -> Rows:
    rows = []
    for setting in SETTINGS:
        default = f"{setting.default:g}" if isinstance(setting.default, float) else str(setting.default)
        others = ", ".join(f"`{setting.key.rsplit('.', 1)[0]}.{name}`" for name in setting.other_names)
        also = _("; also read as {names}").format(names=others) if others else ""
        choices = f" ({', '.join(setting.choices)})" if setting.choices else ""
        rows.append((f"{setting.key} = {default}", _(setting.meaning) + choices + also))
    return Rows(tuple(rows))


def blocks_of(text: str) -> list[Block]:
    """Return a text in Markdown as blocks. `{settings}` on a line of its own is the table of settings."""
    blocks: list[Block] = []
    for part in re.split(r"\n\s*\n", text.strip("\n")):
        lines = part.splitlines()
        if part == "{settings}":
            blocks.append(_settings())
        elif part.startswith("#"):
            blocks.append(Heading(part.lstrip("#").strip()))
        elif part.startswith("```"):
            blocks.append(Code(tuple(line for line in lines if not line.startswith("```"))))
        elif part.startswith("|"):
            rows = [re.split(r"(?<!\\)\|", line.strip().strip("|").strip()) for line in lines[2:]]
            blocks.append(Rows(tuple((_cell(row[0]), _cell(row[-1])) for row in rows)))
        else:
            blocks.append(Paragraph(" ".join(lines)))
    return blocks


def _cell(text: str) -> str:
    return text.strip().replace("\\|", "|")


# --- blocks as lines ---


def lines_of(blocks: Sequence[Block], width: int, colour: bool) -> Iterator[str]:
    """Yield blocks as lines of at most `width` columns, a blank line between two of them."""
    width = min(max(width, _NARROWEST), WIDEST)
    for number, block in enumerate(blocks):
        if number and not (isinstance(block, Code) and isinstance(blocks[number - 1], Heading)):
            yield ""
        if isinstance(block, Heading):
            yield _bold(block.text, colour)
        elif isinstance(block, Code):
            yield from (f"    {line}".rstrip() for line in block.lines)
        elif isinstance(block, Rows):
            yield from _row_lines(block, width, colour)
        else:
            yield from _styled(_filled(block.text, width), colour)


def _row_lines(block: Rows, width: int, colour: bool) -> Iterator[str]:
    """Yield each term, and behind it or below it what it means."""
    terms = [_shown(term) for term, _text in block.rows]
    column = min(max(map(len, terms), default=0), _TERMS) + 4 if width >= _SIDE_BY_SIDE else 6
    for term, (_term_text, meaning) in zip(terms, block.rows, strict=True):
        below = len(term) + 4 > column
        if below or not meaning:
            yield "  " + _bold(term, colour)
        for number, line in enumerate(_styled(_filled(meaning, width - column), colour)):
            if number or below:
                yield " " * column + line
            else:
                yield "  " + _bold(term, colour) + " " * (column - 2 - len(term)) + line


# A word, and whatever stands between backticks as one word with what touches it.
_WORD = re.compile(r"(?:[^ `]|`[^`]*`)+")  # not \s: French has blanks at which no line ends


def _filled(text: str, width: int) -> list[str]:
    """Return a text in lines of at most `width` columns, as far as its words let it; code is not broken if it fits."""
    lines: list[str] = []
    used = width  # the first word begins a line
    for word in _WORD.findall(text):
        for part in [word] if len(_shown(word)) <= width else word.split(" "):
            if lines and used + 1 + len(_shown(part)) <= width:
                lines[-1] += " " + part
                used += 1 + len(_shown(part))
            else:
                lines.append(part)
                used = len(_shown(part))
    return lines


def _shown(text: str) -> str:
    return text.replace("`", "")


def _styled(lines: Sequence[str], colour: bool) -> Iterator[str]:
    """Yield lines with what stands between backticks in bold, or without the backticks."""
    for line in lines:
        yield re.sub(r"`([^`]*)`", lambda found: _bold(found[1], colour), line).replace("`", "")


def _bold(text: str, colour: bool) -> str:
    text = _shown(text)
    return f"\x1b[1m{text}\x1b[0m" if colour else text


# --- the whole of it ---


def chapters() -> Iterator[tuple[str, list[Block]]]:
    """Yield title and blocks of each part of the manual, for the man page."""
    yield _("name"), [Paragraph(_("rekall – a developer’s own memory at the shell prompt"))]
    yield _("synopsis"), [Code((_("rekall COMMAND …"), "rekall", "… | rekall"))]
    about = _(
        "Bugs and their fixes, decisions, pitfalls, snippets and small things learned, kept in one SQLite file and "
        "found by meaning and by words. `rekall help NAME` shows each part of this page."
    )
    start = topic_page("start")
    yield _("description"), [Paragraph(about), *start[1:]]
    yield _("options"), [Rows(tuple((name, _(meaning)) for name, meaning in GENERAL_OPTIONS))]
    commands: list[Block] = []
    for command in COMMANDS:
        if not command.is_hidden:
            commands += page(command.name)
    yield _("commands"), commands
    for name in TOPICS:
        blocks = topic_page(name)
        if name != "start" and isinstance(blocks[0], Heading):
            yield blocks[0].text, blocks[1:]
