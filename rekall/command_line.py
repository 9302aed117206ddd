"""A command line taken apart: words in, checked options out. What there is to check is the table in usage.py.

The promises are in docs/commands.md. What cannot be understood is a UsageError of one line that names the word, and
the one that was probably meant.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Sequence
from functools import lru_cache
from threading import Lock
from typing import Any, NoReturn  # Any: the value of an option

from rekall.errors import UsageError
from rekall.language import _, _n, language
from rekall.options import COMPLETED_SHELLS
from rekall.typed_line import split
from rekall.usage import Command, find_command, nearest

# The options that every command has, and where they go.
GENERAL = {
    "--global": "skip_project",
    "--no-server": "no_server",
    "--version": "version",
    "--help": "help",
    "-h": "help",
}
# The commands whose words are one text, and where it goes.
_TAKES_TEXT = {"search": "query", "pick": "query", "add": "title"}
_TAKES_NO_WORDS = ("list", "repl", "export", "backup", "stats")

# What argparse says, in our words: it has no catalogue of its own, and speaks one language a process.
_SAID = (
    (re.compile("the following arguments are required: (?P<name>.+)"), _n("missing: {name}")),
    (re.compile("argument (?P<name>.+): expected one argument"), _n("{name} needs a value")),
    (re.compile("argument (?P<name>.+): not allowed with argument (?P<other>.+)"), _n("{name} excludes {other}")),
    (re.compile("argument (?P<name>.+): ignored explicit argument .+"), _n("{name} takes no value")),
    (re.compile("argument (?P<name>.+?): (?P<other>.+)", re.DOTALL), "{name}: {other}"),
)


class CommandParser(argparse.ArgumentParser):
    """What one command takes. Raises UsageError where argparse would print its usage and exit."""

    def error(self, message: str) -> NoReturn:
        for pattern, wording in _SAID:
            if found := pattern.fullmatch(message):
                message = _(wording).format(**found.groupdict())
                break
        raise UsageError(_("{message}; see: rekall help {command}").format(message=message, command=self.command))

    @property
    def command(self) -> str:
        return self.prog.split()[-1]

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        choices = [str(choice) for choice in action.choices]
        message = _("{value!r} is none of: {choices}").format(value=value, choices=" ".join(choices))
        if near := nearest(str(value), choices):
            raise UsageError(_("{message}; did you mean {name}?").format(message=message, name=near))
        raise argparse.ArgumentError(action if action.option_strings else None, message)

    def is_unknown(self, word: str) -> bool:
        """Tell whether a word is a long option that this command does not have; with a blank in it, it is text."""
        return word.startswith("--") and " " not in word and word.split("=")[0] not in self._option_string_actions

    def refuse(self, words: Sequence[str]) -> None:
        """Raise UsageError if an option among `words` is none of this command's, or any word is left over."""
        for word in words:
            if word.startswith("-") and word != "-":
                raise UsageError(unknown_option(word, self._option_string_actions, self.command))
        if words:
            self.error(_("{word!r} is one word too many").format(word=words[0]))


def unknown_option(word: str, known: Sequence[str] | dict[str, Any], command: str) -> str:
    """Return what to say of an option that there is not."""
    name = word.split("=")[0]
    names = [*(option for option in known if option.startswith("--")), *GENERAL, "--db"]
    if near := nearest(name.lstrip("-"), [option.lstrip("-") for option in names]):
        return _("option {name} is not known; did you mean {near}?").format(name=name, near=f"--{near}")
    return _("option {name} is not known; see: rekall help {command}").format(name=name, command=command)


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Return the options of a command line, `command` among them. Raises UsageError.

    Options may stand before or after the words; after `--` everything is text, `-` too. No command
    at all is command ''.
    """
    asked = list(words[1:] if words[:1] == ["--no-server"] else words)
    if asked[:1] == ["complete"]:  # its words are another command line's: none of them is an option
        return _completion(asked[1:])
    before, text = _split_text(words)
    general, rest = _general_options(before)
    if general.version or (general.help and not rest):
        general.command = "--version" if general.version else "help"
        general.topic = None
        return general
    if not rest:
        general.command = ""
        if text:
            raise UsageError(_("no command before --; see: rekall help"))
        return general
    if rest[0].startswith("-"):
        return _implied_search([*rest, "--", *text] if text else rest, general)
    name, rest = rest[0], rest[1:]
    command = find_command(name)
    general.command = name
    if general.help:
        return argparse.Namespace(**{**vars(general), "command": "help", "topic": name})
    if name == "tag":  # its -TAG words look like options
        options = argparse.Namespace(**vars(general), id=rest[0] if rest else "", changes=rest[1:], literal=False)
    elif name in _TAKES_TEXT:
        options = _parsed(command, rest, general)
        _take_text(options, text)
    elif text and name in _TAKES_NO_WORDS:
        raise UsageError(_("{command} takes no text after --; see: rekall help {command}").format(command=name))
    else:
        options = _parsed(command, [*rest, "--", *text] if text else rest, general)
    return options


def _parsed(command: Command, words: list[str], general: argparse.Namespace) -> argparse.Namespace:
    """Return the options of one command's own words. Raises UsageError."""
    parser = _kept_parser(command, language())
    parser.refuse([word for word in _before_text(words) if parser.is_unknown(word)])
    if command.name not in _TAKES_TEXT:
        options, left = parser.parse_known_args(words, general)
    else:
        with _ONE_AT_A_TIME:
            options, left = parser.parse_known_intermixed_args(words, general)
    parser.refuse(left)
    return options


def _implied_search(words: list[str], general: argparse.Namespace) -> argparse.Namespace:
    """Return what options without a command ask for: `search -` with them. Raises UsageError."""
    asked = argparse.Namespace(**{**vars(general), "command": "search"})
    options = _parsed(find_command("search"), ["-", *words], asked)
    if options.query != ["-"] or general.help:
        raise UsageError(_("no command before {option}; see: rekall help").format(option=words[0]))
    options.is_implied = True
    return options


def _completion(given: list[str]) -> argparse.Namespace:
    """Return what `complete SHELL LINE [WORD]` asks for: it is about the base that LINE names. Raises UsageError."""
    if not 2 <= len(given) <= 3 or given[0] not in COMPLETED_SHELLS:
        raise UsageError(_("complete is for the scripts of rekall init; it takes bash, zsh or fish, and a line"))
    words, _quote = split(given[1], given[0])
    try:
        found, _rest = _general_options(_split_text(words[1:-1])[0])
    except UsageError:  # --db is being typed
        found = _general_options([])[0]
    found.version = found.help = False
    if found.db and found.db.startswith("~/"):
        found.db = os.path.expanduser(found.db)
    word = given[2] if len(given) > 2 else None
    return argparse.Namespace(**{**vars(found), "command": "complete"}, shell=given[0], line=given[1], word=word)


def _split_text(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Cut at the first `--`."""
    before = _before_text(words)
    return before, list(words[len(before) + 1 :])


def _before_text(words: Sequence[str]) -> list[str]:
    return list(words[: words.index("--")] if "--" in words else words)


def _general_options(words: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Take the options that every command has, wherever they stand."""
    found = argparse.Namespace(db=None, skip_project=False, no_server=False, version=False, help=False)
    rest: list[str] = []
    waiting = iter(words)
    for word in waiting:
        if word in GENERAL:
            setattr(found, GENERAL[word], True)
        elif word == "--db" or word.startswith("--db="):
            found.db = word[5:] if "=" in word else next(waiting, "")
            if not found.db:
                raise UsageError(_("--db needs the path of a base"))
        else:
            rest.append(word)
    return found, rest


def _take_text(options: argparse.Namespace, text: list[str]) -> None:
    """Add the words behind `--` to the command's text."""
    if text:
        field = _TAKES_TEXT[options.command]
        setattr(options, field, [*getattr(options, field), *text])
        options.literal = True


def parser_of(command: Command) -> CommandParser:
    """Return what takes a command's own words apart, in the current language."""
    parser = CommandParser(
        prog=f"rekall {command.name}",
        description=_(command.summary),
        add_help=False,
        allow_abbrev=False,
        usage=f"rekall {command.name} {command.synopsis}".rstrip() if command.synopsis else None,
    )
    setattr(parser, "color", False)  # noqa: B010  # Python 3.14 would ask a terminal that is not the caller's
    parser.set_defaults(literal=False)
    command.takes(parser)
    return parser


@lru_cache(maxsize=64)
def _kept_parser(command: Command, language: object) -> CommandParser:
    """Return the parser of a command in the current `language`: making one takes longer than many a whole answer."""
    parser = parser_of(command)
    parser.usage = parser.usage or parser.format_usage()  # or argparse would make it at every line, and print it never
    return parser


# argparse changes its parser for the time it looks at words among options.
_ONE_AT_A_TIME = Lock()
