"""The command line: which commands there are, what they take, and how they are explained.

`parse` turns words into checked options. The same table feeds the help, so that what is explained is
what is accepted. The exact command line is promised in docs/commands.md.
"""

from __future__ import annotations

import argparse
import difflib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from threading import Lock
from typing import NoReturn

from rekall.entry import RELATIONS, TYPES
from rekall.errors import UsageError
from rekall.language import _, language
from rekall.typed_line import split

COMPLETED_SHELLS = ("bash", "zsh", "fish")
# What the picker can print of an entry (render.printed).
PRINTS = ("answer", "title", "content", "solution", "command", "id", "json")

Adder = Callable[[argparse.ArgumentParser], None]


@dataclass(frozen=True)
class Command:
    """One command: where it stands in the help, what it does in a line, and what it takes.

    `is_local`: it belongs in the caller's own process, because it runs for long, talks to the terminal, or is
    about the warm process itself. `writes`: once begun it is not repeated or broken off.
    `is_interactive`: it draws on the terminal and reads keys. `is_hidden`: scripts call it, people do not.
    """

    name: str
    group: str
    summary: str
    takes: Adder
    synopsis: str = ""
    is_local: bool = False
    writes: bool = False
    is_interactive: bool = False
    is_hidden: bool = False


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(
            _("{message}; see: rekall help {command}").format(message=message, command=self.prog.split()[-1])
        )


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
    if rest[0].startswith("-") and not text:
        return _implied_search(rest, general)
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
    if command.name not in _TAKES_TEXT:
        return parser.parse_args(words, general)
    with _ONE_AT_A_TIME:
        return parser.parse_intermixed_args(words, general)


def _implied_search(words: list[str], general: argparse.Namespace) -> argparse.Namespace:
    """Return what options without a command ask for: `search -` with them. Raises UsageError."""
    asked = argparse.Namespace(**{**vars(general), "command": "search"})
    try:
        options = _kept_parser(find_command("search"), language()).parse_args(["-", *words], asked)
        if options.query == ["-"] and not general.help:
            options.is_implied = True
            return options
    except UsageError:
        pass
    find_command(words[0])  # says that there is no such command
    raise AssertionError("no command begins with a dash")


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
    given = list(words)
    if "--" not in given:
        return given, []
    place = given.index("--")
    return given[:place], given[place + 1 :]


def _general_options(words: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Take the options that every command has, wherever they stand."""
    found = argparse.Namespace(db=None, skip_project=False, no_server=False, version=False, help=False)
    flags = {
        "--global": "skip_project",
        "--no-server": "no_server",
        "--version": "version",
        "--help": "help",
        "-h": "help",
    }
    rest: list[str] = []
    waiting = iter(words)
    for word in waiting:
        if word in flags:
            setattr(found, flags[word], True)
        elif word == "--db" or word.startswith("--db="):
            found.db = word[5:] if "=" in word else next(waiting, "")
            if not found.db:
                raise UsageError(_("--db needs the path of a base"))
        else:
            rest.append(word)
    return found, rest


# The commands whose words are one text, and where it goes.
_TAKES_TEXT = {"search": "query", "pick": "query", "add": "title"}
_TAKES_NO_WORDS = ("list", "repl", "export", "backup", "stats")


def _take_text(options: argparse.Namespace, text: list[str]) -> None:
    """Add the words behind `--` to the command's text."""
    if text:
        field = _TAKES_TEXT[options.command]
        setattr(options, field, [*getattr(options, field), *text])
        options.literal = True


def find_command(name: str) -> Command:
    """Return the command `name`. Raises UsageError with the nearest one."""
    for command in COMMANDS:
        if command.name == name:
            return command
    near = difflib.get_close_matches(name, [command.name for command in COMMANDS], n=1, cutoff=0.6)
    hint = (
        _("did you mean {name}?").format(name=near[0])
        if near
        else _("to search for it: rekall search {name}").format(name=name)
    )
    raise UsageError(_("command {name!r} is not known; {hint}").format(name=name, hint=hint))


def parser_of(command: Command) -> _Parser:
    """Return what takes a command's own words apart, in the current language."""
    parser = _Parser(
        prog=f"rekall {command.name}",
        description=_(command.summary),
        add_help=False,
        allow_abbrev=False,
        usage=f"rekall {command.name} {command.synopsis}".rstrip() if command.synopsis else None,
    )
    parser.set_defaults(literal=False)
    command.takes(parser)
    return parser


@lru_cache(maxsize=64)
def _kept_parser(command: Command, language: object) -> _Parser:
    """Return the parser of a command in the current `language`: making one takes longer than many a whole answer."""
    parser = parser_of(command)
    parser.usage = parser.usage or parser.format_usage()  # or argparse would make it at every line, and print it never
    return parser


# argparse changes its parser for the time it looks at words among options.
_ONE_AT_A_TIME = Lock()


def help_text(topic: str | None, width: int = 80) -> str:
    """Return the help of one command, or the page that lists them all. `width` in columns. Raises UsageError."""
    if topic:
        parser = parser_of(find_command(topic))
        # argparse would ask the terminal of this process, which need not be the caller's.
        parser.formatter_class = partial(argparse.HelpFormatter, width=max(width - 2, 11))
        return parser.format_help().rstrip()
    lines = [_("rekall – the fix you found three months ago, back at your prompt"), "", _("usage: rekall COMMAND …")]
    for group in dict.fromkeys(command.group for command in COMMANDS):
        lines += ["", f"{_(group)}:"]
        lines += [f"  {c.name:<10} {_(c.summary)}" for c in COMMANDS if c.group == group and not c.is_hidden]
    lines += [
        "",
        _("every command takes: --db PATH   --global (no project base)   -h"),
        _("more on one of them: rekall help COMMAND"),
    ]
    return "\n".join(lines)


# --- what each command takes ---


def _nothing(parser: argparse.ArgumentParser) -> None:
    """Take no option of its own."""


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help=_("one JSON object instead of text"))


def _filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-t", "--type", action="append", default=[], metavar="TYPE", help=_("only this type (repeatable)")
    )
    parser.add_argument("--tag", action="append", default=[], metavar="TAG", help=_("only with this tag (repeatable)"))
    parser.add_argument("-p", "--project", action="append", default=[], metavar="NAME", help=_("only of this project"))
    parser.add_argument("--since", metavar="TIME", help=_("only made since: 30d, 2w, 2026-11-01"))
    parser.add_argument("--until", metavar="TIME", help=_("only made before"))


def _formats(parser: argparse.ArgumentParser) -> None:
    group = parser.add_mutually_exclusive_group()
    for flag, meaning in (
        ("--json", _("one JSON object")),
        ("--jsonl", _("one JSON object a line")),
        ("--tsv", _("id, type, score, title between tabs")),
    ):
        group.add_argument(flag, dest="format", action="store_const", const=flag[2:], help=meaning)
    group.add_argument(
        "-0", dest="format", action="store_const", const="nul", help=_("whole entries, a NUL after each")
    )
    parser.set_defaults(format="text")


def _limit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-n", "--limit", type=_count, default=10, metavar="N", help=_("at most N (10)"))


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError(_("a number from 1 is wanted, found {text!r}").format(text=text))
    return int(text)


def _search(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("query", nargs="*", metavar="QUERY", help=_("what to look for; - reads it from stdin"))
    _filters(parser)
    _limit(parser)
    arms = parser.add_mutually_exclusive_group()
    arms.add_argument(
        "--words", dest="arm", action="store_const", const="words", help=_("by words alone, without the model")
    )
    arms.add_argument("--semantic", dest="arm", action="store_const", const="meaning", help=_("by meaning alone"))
    parser.set_defaults(arm="both")
    parser.add_argument("--explain", action="store_true", help=_("name each part of the score"))
    parser.add_argument("--no-context", action="store_true", help=_("leave out where and when you ask"))
    parser.add_argument("--each-line", action="store_true", help=_("with -: one query a line, one JSON object a line"))
    parser.add_argument(
        "--as", dest="reads_as", choices=("query", "output"), help=_("with -: what stdin is, a query or failing output")
    )
    parser.add_argument("--tee", action="store_true", help=_("with -: copy stdin to stderr as it comes"))
    _formats(parser)


def _pick(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("query", nargs="*", metavar="QUERY", help=_("what to begin with"))
    parser.add_argument(
        "--print",
        dest="what",
        choices=PRINTS,
        default="answer",
        metavar="WHAT",
        help=_("what Enter gives: {choices} (answer: the command, else the solution, else the content)").format(
            choices=" ".join(PRINTS)
        ),
    )
    parser.add_argument(
        "--height", type=_height, default="40%", metavar="N|N%", help=_("how many lines it takes, or what part (40%%)")
    )
    parser.add_argument("--full", dest="height", action="store_const", const="100%", help=_("take the whole terminal"))
    parser.add_argument("-0", dest="nul", action="store_true", help=_("a NUL after each choice, not a line end"))
    by_others = parser.add_mutually_exclusive_group()
    by_others.add_argument("--fzf", action="store_true", help=_("let fzf draw it"))
    by_others.add_argument(
        "--list", action="store_true", help=_("print what it would list: id, tab, line, NUL; for other pickers")
    )
    by_others.add_argument("--take", action="store_true", help=_("print what Enter gives; QUERY is ids"))


def _height(text: str) -> str:
    if not text.removesuffix("%").isdecimal() or not 1 <= int(text.removesuffix("%")) <= 1000:
        raise argparse.ArgumentTypeError(
            _("a number of lines or a percentage is wanted, found {text!r}").format(text=text)
        )
    return text


def _repl(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--vi", action="store_true", help=_("edit lines as vi does (F4 changes it)"))


def _fields(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-t", "--tags", metavar="A,B", help=_("tags, between commas"))
    parser.add_argument("-p", "--project", metavar="NAME", help=_("the project it belongs to"))
    parser.add_argument("-c", "--content", metavar="TEXT", help=_("the text, Markdown; - reads it from stdin"))
    parser.add_argument("--situation", metavar="TEXT", help=_("what was going on"))
    parser.add_argument("--solution", metavar="TEXT", help=_("what helped"))
    parser.add_argument("--what-failed", metavar="TEXT", help=_("what did not help"))
    parser.add_argument("--error", action="append", metavar="TEXT", help=_("the error as it was printed (repeatable)"))
    parser.add_argument("--file", action="append", metavar="PATH", help=_("a file it is about (repeatable)"))
    parser.add_argument("--source", metavar="TEXT", help=_("where it comes from: a URL, a book, a person"))


def _allow_secrets(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--allow-secrets", action="store_true", help=_("keep what looks like a secret as it is"))


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("type", choices=TYPES, metavar="TYPE", help=" ".join(TYPES))
    parser.add_argument("title", nargs="*", metavar="TITLE", help=_("what it is about, in a few words"))
    _fields(parser)
    parser.add_argument("--edit", action="store_true", help=_("write the rest in $EDITOR"))
    _allow_secrets(parser)


def _edit(parser: argparse.ArgumentParser) -> None:
    _id(parser)
    _fields(parser)
    parser.add_argument("--type", choices=TYPES, metavar="TYPE", help=" ".join(TYPES))
    parser.add_argument("--title", dest="new_title", metavar="TEXT", help=_("the new title"))
    parser.add_argument("--status", choices=("active", "obsolete"), help=_("obsolete entries sink"))
    _allow_secrets(parser)


def _id(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help=_("an id, or as much of its beginning as no other shares"))


def _show(parser: argparse.ArgumentParser) -> None:
    _id(parser)
    _json(parser)


def _similar(parser: argparse.ArgumentParser) -> None:
    _id(parser)
    _filters(parser)
    _limit(parser)
    parser.add_argument("--explain", action="store_true", help=_("name each part of the score"))
    _formats(parser)


def _duplicates(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-n", "--limit", type=_count, default=10, metavar="N", help=_("at most N pairs (10)"))
    _json(parser)


def _list(parser: argparse.ArgumentParser) -> None:
    _filters(parser)
    parser.add_argument("--status", choices=("active", "obsolete"), help=_("only with this status"))
    parser.add_argument("-n", "--limit", type=_count, default=None, metavar="N", help=_("at most N (all)"))
    _formats(parser)


def _delete(parser: argparse.ArgumentParser) -> None:
    _id(parser)
    parser.add_argument(
        "--forever",
        action="store_true",
        help=_("and its history, so that the base keeps no trace"),
    )


def _tag(parser: argparse.ArgumentParser) -> None:
    _id(parser)
    parser.add_argument("changes", nargs="*", metavar="+TAG -TAG", help=_("tags to add and to take away"))


def _link(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="A")
    parser.add_argument("target", metavar="B")
    parser.add_argument("-r", "--relation", choices=RELATIONS, default="related", help=" ".join(RELATIONS))
    parser.add_argument("--reason", metavar="TEXT", help=_("why they belong together"))
    _allow_secrets(parser)


def _unlink(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="A")
    parser.add_argument("target", metavar="B")
    parser.add_argument("-r", "--relation", choices=RELATIONS, default=None, help=_("only this relation (all)"))


def _import(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="PATH", help=_("a folder of Markdown, a .md or .jsonl file, a rekall base"))
    parser.add_argument("--no-wait", action="store_true", help=_("return when all is stored; meaning follows later"))
    _allow_secrets(parser)


def _export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", metavar="FILE", help=_("a file instead of stdout; a folder for Markdown"))
    parser.add_argument(
        "--format", choices=("jsonl", "markdown"), default="jsonl", help=_("jsonl (lossless) or markdown")
    )


def _undo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "deed", nargs="?", type=_count, metavar="NUMBER", help=_("which deed, by its number (the last that stands)")
    )


def _history(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", nargs="?", metavar="ID", help=_("of which entry, deleted ones too (all that was done)"))
    parser.add_argument("-n", "--limit", type=_count, default=20, metavar="N", help=_("at most N deeds (20)"))
    _json(parser)


def _restore(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="FILE", help=_("a backup; the base as it is now is backed up first"))


def _index(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("rebuild", "status", "verify"), help=_("rebuild, status or verify"))
    parser.add_argument("--embed", action="store_true", help=_("with rebuild: compute every vector anew"))
    parser.add_argument("--repair", action="store_true", help=_("with verify: mend what is wrong, after a backup"))
    _json(parser)


def _bench(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action",
        choices=("run", "generate"),
        help=_("run: how well is found what is in this base; generate: fill an empty base with made-up entries"),
    )
    parser.add_argument(
        "--entries", type=_count, metavar="N", help=_("with run: ask for N entries, always the same ones (200)")
    )
    parser.add_argument("--count", type=_count, metavar="N", help=_("with generate: make N entries (1000)"))
    parser.add_argument("--seed", type=_count, metavar="N", help=_("with generate: other entries for another N (1)"))
    parser.add_argument(
        "--synthetic-vectors",
        action="store_true",
        help=_("with generate: seeded vectors that mean nothing, in seconds; without, the model embeds each entry"),
    )
    parser.add_argument("--force", action="store_true", help=_("with generate: also among entries of yours"))
    _json(parser)


def _stats(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--memory", action="store_true", help=_("what is held in memory"))
    _json(parser)


def _config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action", choices=("get", "set", "list", "path"), help=_("get KEY, set KEY VALUE, list or path")
    )
    parser.add_argument("key", nargs="?", metavar="KEY")
    parser.add_argument("value", nargs="?", metavar="VALUE")


def _server(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action",
        choices=("status", "stop", "restart", "run"),
        help=_("status, stop (waits until it is gone), restart, or run it here"),
    )
    parser.add_argument("--ready", type=_count, metavar="FD", help=argparse.SUPPRESS)
    _json(parser)


def _doctor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--secrets", action="store_true", help=_("look for secrets in what is stored"))
    _json(parser)


def _init(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh", "fish", "vim"), metavar="bash|zsh|fish|vim")
    parser.add_argument(
        "--key", metavar="KEY", help=_("the key that finds: alt-k, ctrl-x ctrl-r or as the shell writes it")
    )
    parser.add_argument("--no-bind", action="store_true", help=_("bind no keys"))
    parser.add_argument("--no-completion", action="store_true", help=_("complete nothing"))


def _backup(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-o", "--output", metavar="FILE", help=_("where to (beside the base, with the time in its name)")
    )


def _complete(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=COMPLETED_SHELLS, metavar="SHELL")
    parser.add_argument("line", metavar="LINE", help=_("the command line up to the cursor"))
    parser.add_argument("word", nargs="?", metavar="WORD", help=_("the end of it that the answer takes the place of"))


def _help(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("topic", nargs="?", metavar="COMMAND")


def _n(message: str) -> str:
    """Mark a message for the catalogues; it is translated when it is shown."""
    return message


_FIND, _KEEP, _MOVE, _TEND = _n("find"), _n("keep"), _n("bring in, take out"), _n("look after")

COMMANDS = (
    Command("search", _FIND, _n("find entries by meaning and by words"), _search),
    Command("pick", _FIND, _n("find as you type, and take one"), _pick, is_interactive=True),
    Command("repl", _FIND, _n("search, look and change, line by line"), _repl, is_interactive=True),
    Command("similar", _FIND, _n("find entries like this one"), _similar),
    Command("duplicates", _FIND, _n("list pairs of entries that may say the same"), _duplicates),
    Command("show", _FIND, _n("show an entry whole"), _show),
    Command("list", _FIND, _n("list entries, newest first"), _list),
    Command("add", _KEEP, _n("keep something new; prints its id"), _add, writes=True),
    Command("edit", _KEEP, _n("change an entry, in $EDITOR or by options"), _edit, is_local=True),
    Command("tag", _KEEP, _n("add and take away tags"), _tag, "ID +TAG -TAG …", writes=True),
    Command("link", _KEEP, _n("say that two entries belong together"), _link, writes=True),
    Command("unlink", _KEEP, _n("take a link away"), _unlink, writes=True),
    Command("delete", _KEEP, _n("delete an entry"), _delete, writes=True),
    Command("undo", _KEEP, _n("take back the last change, or the one before it"), _undo, writes=True),
    Command("history", _KEEP, _n("what was changed, and what was there before"), _history),
    Command("import", _MOVE, _n("bring in Markdown notes, JSONL or another base"), _import, is_local=True),
    Command("export", _MOVE, _n("write all entries out"), _export, is_local=True),
    Command("backup", _MOVE, _n("copy the base to a file"), _backup, is_local=True),
    Command("restore", _MOVE, _n("put a backup in the place of the base"), _restore, is_local=True),
    Command(
        "index",
        _TEND,
        _n("look after words and vectors"),
        _index,
        "rebuild|status|verify [--embed] [--repair] [--json]",
        is_local=True,
    ),
    Command(
        "server", _TEND, _n("the warm process behind the prompt"), _server, "status|stop|restart|run", is_local=True
    ),
    Command("init", _TEND, _n("print what sets up bash, zsh, fish or Vim"), _init, is_local=True),
    Command("doctor", _TEND, _n("say what runs, what is wrong, and what to do"), _doctor, is_local=True),
    Command("bench", _TEND, _n("measure how well search finds what is in this base"), _bench, is_local=True),
    Command("stats", _TEND, _n("say what is in the base"), _stats),
    Command(
        "config", _TEND, _n("read and change settings"), _config, "get KEY | set KEY VALUE | list | path", writes=True
    ),
    Command("complete", _TEND, _n("say what may stand at the cursor"), _complete, "SHELL LINE [WORD]", is_hidden=True),
    Command("help", _TEND, _n("explain a command"), _help),
)
