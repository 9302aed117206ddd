"""What each command takes: its words and options, one function a command, for the table in usage.py.

A function adds to an argparse parser, in the current language. `metavar` also tells completion.py what may stand there.
"""

from __future__ import annotations

import argparse

from rekall.entry import RELATIONS, TYPES
from rekall.language import _

COMPLETED_SHELLS = ("bash", "zsh", "fish")
# What the picker can print of an entry (render.printed).
PRINTS = ("answer", "title", "content", "solution", "command", "id", "json")


def _action(parser: argparse.ArgumentParser, meaning: str, *choices: str) -> None:
    parser.add_argument("action", choices=choices, metavar="|".join(choices), help=meaning)


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


def search_(parser: argparse.ArgumentParser) -> None:
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


def pick_(parser: argparse.ArgumentParser) -> None:
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


def repl_(parser: argparse.ArgumentParser) -> None:
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


def add_(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("type", choices=TYPES, metavar="TYPE", help=" ".join(TYPES))
    parser.add_argument("title", nargs="*", metavar="TITLE", help=_("what it is about, in a few words"))
    _fields(parser)
    parser.add_argument("--edit", action="store_true", help=_("write the rest in $EDITOR"))
    _allow_secrets(parser)


def edit_(parser: argparse.ArgumentParser) -> None:
    _id(parser)
    _fields(parser)
    parser.add_argument("--type", choices=TYPES, metavar="TYPE", help=" ".join(TYPES))
    parser.add_argument("--title", dest="new_title", metavar="TEXT", help=_("the new title"))
    parser.add_argument("--status", choices=("active", "obsolete"), help=_("obsolete entries sink"))
    _allow_secrets(parser)


def _id(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help=_("an id, or as much of its beginning as no other shares"))


def show_(parser: argparse.ArgumentParser) -> None:
    _id(parser)
    _json(parser)


def similar_(parser: argparse.ArgumentParser) -> None:
    _id(parser)
    _filters(parser)
    _limit(parser)
    parser.add_argument("--explain", action="store_true", help=_("name each part of the score"))
    _formats(parser)


def duplicates_(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-n", "--limit", type=_count, default=10, metavar="N", help=_("at most N pairs (10)"))
    _json(parser)


def list_(parser: argparse.ArgumentParser) -> None:
    _filters(parser)
    parser.add_argument("--status", choices=("active", "obsolete"), help=_("only with this status"))
    parser.add_argument("-n", "--limit", type=_count, default=None, metavar="N", help=_("at most N (all)"))
    _formats(parser)


def delete_(parser: argparse.ArgumentParser) -> None:
    _id(parser)
    parser.add_argument(
        "--forever",
        action="store_true",
        help=_("and its history, so that the base keeps no trace"),
    )


def tag_(parser: argparse.ArgumentParser) -> None:
    _id(parser)
    parser.add_argument("changes", nargs="*", metavar="+TAG -TAG", help=_("tags to add and to take away"))


def link_(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="A")
    parser.add_argument("target", metavar="B")
    parser.add_argument("-r", "--relation", choices=RELATIONS, default="related", help=" ".join(RELATIONS))
    parser.add_argument("--reason", metavar="TEXT", help=_("why they belong together"))
    _allow_secrets(parser)


def unlink_(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="A")
    parser.add_argument("target", metavar="B")
    parser.add_argument("-r", "--relation", choices=RELATIONS, default=None, help=_("only this relation (all)"))


def import_(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="PATH", help=_("a folder of Markdown, a .md or .jsonl file, a rekall base"))
    parser.add_argument("--no-wait", action="store_true", help=_("return when all is stored; meaning follows later"))
    _allow_secrets(parser)


def export_(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", metavar="FILE", help=_("a file instead of stdout; a folder for Markdown"))
    parser.add_argument(
        "--format", choices=("jsonl", "markdown"), default="jsonl", help=_("jsonl (lossless) or markdown")
    )
    parser.add_argument("--deleted", action="store_true", help=_("with jsonl: name what was deleted too, for merge"))


def merge_(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "path", metavar="FILE", help=_("another base, or what rekall export wrote of one; it is only read")
    )
    parser.add_argument("--dry-run", action="store_true", help=_("say what would be done, and do nothing"))
    parser.add_argument("--no-wait", action="store_true", help=_("return when all is stored; meaning follows later"))
    _json(parser)
    _allow_secrets(parser)


def undo_(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "deed", nargs="?", type=_count, metavar="NUMBER", help=_("which deed, by its number (the last that stands)")
    )


def history_(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", nargs="?", metavar="ID", help=_("of which entry, deleted ones too (all that was done)"))
    parser.add_argument("-n", "--limit", type=_count, default=20, metavar="N", help=_("at most N deeds (20)"))
    _json(parser)


def restore_(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="FILE", help=_("a backup; the base as it is now is backed up first"))


def index_(parser: argparse.ArgumentParser) -> None:
    _action(parser, _("rebuild, status or verify"), "rebuild", "status", "verify")
    parser.add_argument("--embed", action="store_true", help=_("with rebuild: compute every vector anew"))
    parser.add_argument("--repair", action="store_true", help=_("with verify: mend what is wrong, after a backup"))
    _json(parser)


def bench_(parser: argparse.ArgumentParser) -> None:
    about = _("run: how well is found what is in this base; generate: fill an empty base with made-up entries")
    _action(parser, about, "run", "generate")
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


def stats_(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--memory", action="store_true", help=_("what is held in memory"))
    _json(parser)


def config_(parser: argparse.ArgumentParser) -> None:
    _action(parser, _("get KEY, set KEY VALUE, list or path"), "get", "set", "list", "path")
    parser.add_argument("key", nargs="?", metavar="KEY")
    parser.add_argument("value", nargs="?", metavar="VALUE")


def server_(parser: argparse.ArgumentParser) -> None:
    about = _("status, stop (waits until it is gone), restart, or run it here")
    _action(parser, about, "status", "stop", "restart", "run")
    parser.add_argument("--ready", type=_count, metavar="FD", help=argparse.SUPPRESS)
    _json(parser)


def doctor_(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--secrets", action="store_true", help=_("look for secrets in what is stored"))
    _json(parser)


def init_(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh", "fish", "vim"), metavar="bash|zsh|fish|vim")
    parser.add_argument(
        "--key", metavar="KEY", help=_("the key that finds: alt-k, ctrl-x ctrl-r or as the shell writes it")
    )
    parser.add_argument("--no-bind", action="store_true", help=_("bind no keys"))
    parser.add_argument("--no-completion", action="store_true", help=_("complete nothing"))


def backup_(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-o", "--output", metavar="FILE", help=_("where to (beside the base, with the time in its name)")
    )


def complete_(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=COMPLETED_SHELLS, metavar="SHELL")
    parser.add_argument("line", metavar="LINE", help=_("the command line up to the cursor"))
    parser.add_argument("word", nargs="?", metavar="WORD", help=_("the end of it that the answer takes the place of"))


def help_(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("topic", nargs="?", metavar="TOPIC", help=_("a command, or a topic: rekall help lists them"))
