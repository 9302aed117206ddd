"""The one room behind every door: a Request goes in, a Response comes out.

Each command is a function `(room, request, response)` in the module that bears its group's name.
Modules are imported when one of their commands is first asked for: a search has no use for the code
that imports notes.
"""

from __future__ import annotations

from importlib import import_module

from rekall.commands.room import Room
from rekall.errors import BaseUnusable, RekallError, UsageError
from rekall.language import _
from rekall.protocol import Request, Response

__all__ = ["Room", "run"]

_MODULE_OF = {
    **dict.fromkeys(("search", "similar", "duplicates", "show", "list"), "find"),
    **dict.fromkeys(("add", "edit", "tag", "link", "unlink", "delete"), "keep"),
    **dict.fromkeys(("import", "export"), "move"),
    **dict.fromkeys(("backup", "restore", "undo", "history"), "back"),
    **dict.fromkeys(("server", "doctor"), "serve"),
    "bench": "bench",
    "complete": "complete",
    "merge": "merge",
    "pick": "pick",
    **dict.fromkeys(("index", "stats", "config", "init", "help"), "tend"),
}


def run(room: Room, request: Request, response: Response) -> None:
    """Carry out a request and fill its response. Raises RekallError for what the user can mend."""
    module = _MODULE_OF.get(request.command)
    if module is None:
        raise UsageError(_("command {name!r} is not known; see: rekall help").format(name=request.command))
    function = getattr(import_module(f"rekall.commands.{module}"), f"{request.command}_")
    try:
        function(room, request, response)
    except (RekallError, OSError):
        raise
    except Exception as error:  # of a damaged base anything may come; of a sound one this is a mistake of ours
        damage = room.damage()
        if damage is None:
            raise
        raise BaseUnusable(damage) from error
