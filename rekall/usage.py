"""The table of the command line: which commands there are, what they take, and what is explained.

What takes words apart (command_line.py), explains them (manual.py) and completes them (completion.py) reads it, so
that what is explained is what is accepted. The exact command line is promised in docs/commands.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from rekall import options
from rekall.errors import UsageError
from rekall.language import _, _n

Adder = Callable[[argparse.ArgumentParser], None]


@dataclass(frozen=True)
class Command:
    """One command: where it stands in the help, what it does in a few words, and what it takes.

    `is_local`: it belongs in the caller's own process, because it runs for long, talks to the terminal, or is
    about the warm process itself. `writes`: once begun it is not repeated or broken off.
    `is_interactive`: it draws on the terminal and reads keys. `is_hidden`: scripts call it, people do not.
    """

    name: str
    group: str
    summary: str  # at most 27 letters: two of them stand side by side in the help
    takes: Adder
    synopsis: str = ""
    is_local: bool = False
    writes: bool = False
    is_interactive: bool = False
    is_hidden: bool = False


def find_command(name: str) -> Command:
    """Return the command `name`. Raises UsageError with the one that was probably meant."""
    for command in COMMANDS:
        if command.name == name:
            return command
    near = OTHER_NAMES.get(name) or nearest(name, [command.name for command in COMMANDS if not command.is_hidden])
    if name in TOPICS:
        hint = _("to read about it: rekall help {name}").format(name=name)
    elif near:
        hint = _("did you mean {name}?").format(name=near)
    else:
        hint = _("to search for it: rekall search {name}").format(name=name)
    raise UsageError(_("command {name!r} is not known; {hint}").format(name=name, hint=hint))


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return what was probably meant by a mistyped word, or None. Cost: a comparison with each of `known`."""
    import difflib  # a line without a mistake needs none of it

    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return found[0] if found else None


_FIND, _KEEP, _MOVE, _TEND = _n("find"), _n("keep"), _n("bring in, take out"), _n("look after")

COMMANDS = (
    Command("search", _FIND, _n("by meaning and by words"), options.search_),
    Command("pick", _FIND, _n("as you type, and take one"), options.pick_, is_interactive=True),
    Command("repl", _FIND, _n("look and edit, line by line"), options.repl_, is_interactive=True),
    Command("similar", _FIND, _n("entries like this one"), options.similar_),
    Command("duplicates", _FIND, _n("pairs that may say the same"), options.duplicates_),
    Command("show", _FIND, _n("an entry whole"), options.show_),
    Command("list", _FIND, _n("entries, newest first"), options.list_),
    Command("add", _KEEP, _n("a new entry; prints its id"), options.add_, writes=True),
    Command("edit", _KEEP, _n("an entry, in your editor"), options.edit_, is_local=True),
    Command("tag", _KEEP, _n("add and take away tags"), options.tag_, "ID +TAG -TAG …", writes=True),
    Command("link", _KEEP, _n("relate two entries"), options.link_, writes=True),
    Command("unlink", _KEEP, _n("take a link away"), options.unlink_, writes=True),
    Command("delete", _KEEP, _n("an entry"), options.delete_, writes=True),
    Command("undo", _KEEP, _n("take back the last change"), options.undo_, writes=True),
    Command("history", _KEEP, _n("what was changed, and how"), options.history_),
    Command("import", _MOVE, _n("Markdown, JSONL, a base"), options.import_, is_local=True),
    Command("export", _MOVE, _n("JSONL or Markdown"), options.export_, is_local=True),
    Command("merge", _MOVE, _n("another base, by history"), options.merge_, is_local=True),
    Command("backup", _MOVE, _n("copy the base to a file"), options.backup_, is_local=True),
    Command("restore", _MOVE, _n("make a backup the base"), options.restore_, is_local=True),
    Command(
        "index",
        _TEND,
        _n("check and rebuild the index"),
        options.index_,
        "rebuild|status|verify [--embed] [--repair] [--json]",
        is_local=True,
    ),
    Command("server", _TEND, _n("the warm process"), options.server_, "status|stop|restart|run", is_local=True),
    Command("init", _TEND, _n("set up bash, zsh, fish, Vim"), options.init_, is_local=True),
    Command("doctor", _TEND, _n("what is wrong, what to do"), options.doctor_, is_local=True),
    Command("bench", _TEND, _n("how well search finds"), options.bench_, is_local=True),
    Command("stats", _TEND, _n("what is in the base"), options.stats_),
    Command(
        "config",
        _TEND,
        _n("read and change settings"),
        options.config_,
        "get KEY | set KEY VALUE | list | path",
        writes=True,
    ),
    Command(
        "complete",
        _TEND,
        _n("say what may stand at the cursor"),
        options.complete_,
        "SHELL LINE [WORD]",
        is_hidden=True,
    ),
    Command("help", _TEND, _n("on a command or a topic"), options.help_),
)

# What is explained beside the commands: a page each in topics/.
TOPICS = {
    "start": _n("the first ten minutes"),
    "query": _n("phrases, not:, filters"),
    "pipes": _n("the output of what failed"),
    "output": _n("formats, streams, exit status"),
    "shell": _n("the keys of bash, zsh, fish"),
    "keys": _n("every key, in every place"),
    "vim": _n("Vim and Neovim"),
    "bases": _n("which base; a project's own"),
    "formats": _n("what import and export know"),
    "backups": _n("copies, undo, the way back"),
    "memory": _n("the warm process, what it holds"),
    "environment": _n("variables"),
    "security": _n("secrets, files, other people"),
    "languages": _n("messages and notes in French"),
}

# What people type who know other programs.
OTHER_NAMES = {
    **dict.fromkeys(("find", "grep", "ask"), "search"),
    **dict.fromkeys(("new", "note", "save", "keep", "create", "remember"), "add"),
    **dict.fromkeys(("rm", "remove", "del", "forget"), "delete"),
    **dict.fromkeys(("get", "cat", "view", "open"), "show"),
    **dict.fromkeys(("ls", "all"), "list"),
    **dict.fromkeys(("update", "change", "modify"), "edit"),
    **dict.fromkeys(("settings", "set", "configure"), "config"),
    **dict.fromkeys(("completion", "completions", "setup"), "init"),
    **dict.fromkeys(("check", "health"), "doctor"),
    **dict.fromkeys(("log", "changes"), "history"),
    **dict.fromkeys(("daemon", "status"), "server"),
    **dict.fromkeys(("load", "restore-from"), "import"),
    "dump": "export",
    "reindex": "index",
    "revert": "undo",
    "man": "help",
    "version": "--version",
}
