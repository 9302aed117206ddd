"""What may stand at the cursor of a command line: the grammar of usage.py, asked from its other end. Pure.

`rekall complete SHELL LINE` is what the shells' scripts call at every TAB. What the grammar alone knows, the client
answers by itself, from a table made of `grammar_of` when it is built (ext/complete.c). What stands in the base, it
asks the warm process, which comes here. Libraries that make scripts of argparse do not know all three shells, nor
words that only a running process has.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from rekall.command_line import parser_of
from rekall.config import SETTINGS
from rekall.entry import TYPES
from rekall.language import _, language
from rekall.typed_line import split
from rekall.usage import COMMANDS, TOPICS

# Kinds of places. CHOICE: one of `choices`; FILE: the shell's own business; NOTHING: any text.
# The others name what is looked up in the base.
NOTHING, FILE, CHOICE = "nothing", "file", "choice"
ID, TAG, TAGS, PROJECT, CHANGE = "id", "tag", "tags", "project", "change"
# What usage.py calls them.
_KINDS = {"ID": ID, "A": ID, "B": ID, "TAG": TAG, "A,B": TAGS, "+TAG -TAG": CHANGE, "PATH": FILE, "FILE": FILE}

# A word that may stand somewhere, and what it means.
Choice = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Place:
    """What may stand at one place."""

    kind: str = NOTHING
    choices: tuple[Choice, ...] = ()


@dataclass(frozen=True, slots=True)
class Option:
    """One name of an option. `is_shown`: its long name, if it has one. `place`: of its value, None if it takes none."""

    name: str
    meaning: str
    is_shown: bool
    place: Place | None


@dataclass(frozen=True, slots=True)
class Grammar:
    """What one command takes; the last of `places` again and again if it `repeats`.

    `has_signs`: behind the first word, what begins with a dash is no option but a word, as in `tag ID -wip`.
    """

    name: str
    options: tuple[Option, ...]
    places: tuple[Place, ...]
    repeats: bool = False
    has_signs: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is wanted at the cursor: a `place`, of which `typed` is there already, behind `before` in the same word."""

    place: Place
    typed: str
    before: str = ""
    words: tuple[str, ...] = ()  # of the command so far, without options


def wanted(line: str, shell: str) -> Wanted:
    """Return what may stand at the end of `line`, whose first word is rekall itself."""
    words, _quote = split(line, shell)
    current = words[-1]
    grammar: Grammar | None = grammar_of("")
    given: list[str] = []
    option: Option | None = None  # whose value comes next
    is_text = False
    for word in words[1:-1]:
        if option:
            option = None
        elif word == "--" and not is_text:
            is_text = True
        elif grammar and not is_text and _is_option(word, grammar, given):
            found = _option(grammar, word)
            option = found if found and found.place else None
        elif grammar and not grammar.name:
            grammar = None if is_text or word not in _names() else grammar_of(word)
        else:
            given.append(word)
    if grammar is None or len(words) < 2:
        return Wanted(Place(), current)
    if option and option.place:
        return Wanted(option.place, current)
    if not is_text and _is_option(current, grammar, given):
        return _option_wanted(grammar, current)
    places = grammar.places if grammar.name or not is_text else ()
    number = min(len(given), len(places) - 1) if grammar.repeats else len(given)
    return Wanted(places[number] if 0 <= number < len(places) else Place(), current, words=tuple(given))


def _is_option(word: str, grammar: Grammar, given: Sequence[str]) -> bool:
    return word.startswith("-") and not (grammar.has_signs and given)


def _option(grammar: Grammar, name: str) -> Option | None:
    return next((option for option in grammar.options if option.name == name), None)


def _option_wanted(grammar: Grammar, current: str) -> Wanted:
    """Return what is wanted where an option is being typed: its name, or the value behind its `=`."""
    name, equals, typed = current.partition("=")
    if equals:
        option = _option(grammar, name)
        place = option.place if option and option.place and name.startswith("--") else Place()
        return Wanted(place, typed, f"{name}=")
    shown = tuple((option.name, option.meaning) for option in grammar.options if option.is_shown)
    return Wanted(Place(CHOICE, shown), current)


def grammar_of(name: str) -> Grammar:
    """Return what a command takes, in the current language; '' for what stands before any command."""
    return _grammar_of(name, language())


@lru_cache(maxsize=64)
def _grammar_of(name: str, language: object) -> Grammar:
    if not name:
        version = Option("--version", _("print the version"), True, None)
        return Grammar("", (*_general(), version), (Place(CHOICE, _commands()),))
    command = next(command for command in COMMANDS if command.name == name)
    actions = parser_of(command)._actions
    places = [action for action in actions if not action.option_strings]
    return Grammar(
        name,
        (*(option for action in actions if action.option_strings for option in _options_of(action)), *_general()),
        tuple(_place_of(action) for action in places),
        any(action.nargs == "*" for action in places),
        name == "tag",
    )


def _names() -> frozenset[str]:
    return frozenset(command.name for command in COMMANDS if not command.is_hidden)


def _commands() -> tuple[Choice, ...]:
    return tuple((command.name, _(command.summary)) for command in COMMANDS if not command.is_hidden)


def _general() -> tuple[Option, ...]:
    """Return the options that every command has."""
    return (
        Option("--db", _("which base"), True, Place(FILE)),
        Option("--global", _("no project base"), True, None),
        Option("--no-server", _("answer in this process"), True, None),
        Option("--help", _("explain it"), True, None),
        Option("-h", "", False, None),
    )


def _options_of(action: argparse.Action) -> list[Option]:
    if action.help == argparse.SUPPRESS:
        return []
    place = None if action.nargs == 0 else _place_of(action)
    shown = max(action.option_strings, key=len)
    meaning = (action.help or "").replace("%%", "%")
    return [Option(name, meaning, name == shown, place) for name in action.option_strings]


def _place_of(action: argparse.Action) -> Place:
    if action.choices:
        return Place(CHOICE, tuple((str(choice), "") for choice in action.choices))
    name = str(action.metavar)
    if name == "TYPE":
        return Place(CHOICE, tuple((choice, "") for choice in TYPES))
    if name == "KEY" and not action.option_strings:
        return Place(CHOICE, tuple((setting.key, "") for setting in SETTINGS))
    if name == "TOPIC":
        return Place(CHOICE, (*_commands(), *((name, _(about)) for name, about in TOPICS.items())))
    if name == "NAME":
        return Place(PROJECT)
    return Place(_KINDS.get(name, NOTHING))


# --- how the shells take it ---

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-")


def line_for(choice: Choice, found: Wanted, line: str, shell: str, word: str | None) -> str:
    """Return a choice as the script of `shell` reads it: the word to insert, a tab, what it means.

    zsh and fish quote by themselves. For bash it is quoted here, as the quote that is open needs it, and without what
    stands before `word`, which is the part of the word that bash puts it in place of. Empty: it cannot be inserted.
    """
    text = found.before + choice[0]
    if shell == "bash":
        words, quote = split(line, shell)
        if word is not None:
            text = text[max(0, len(words[-1]) - len(split(quote + word, shell)[0][-1])) :]
        if quote == '"' and "!" in text:  # history expansion; nothing quotes it there
            return ""
        text = _quoted(text, quote)
    return f"{text}\t{choice[1]}"


def _quoted(text: str, quote: str) -> str:
    """Return `text` as bash takes it for itself, where `quote` is open, or none."""
    if quote == "'":
        return text.replace("'", "'\\''")
    if quote == '"':
        return "".join(f"\\{letter}" if letter in '$`"\\' else letter for letter in text)
    return "".join(letter if letter in _PLAIN or letter > "\x7f" else f"\\{letter}" for letter in text)
