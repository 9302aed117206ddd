"""fzf as the picker. shell/fzf.sh is all of it; the client runs the same text (ext/fzf.c)."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from rekall.protocol import Request
from rekall.shellinit import read_script


def wants_fzf(request: Request) -> bool:
    """Tell whether a request for the picker is one for fzf: by option, else by REKALL_PICKER."""
    return request.command == "pick" and bool(request.options.fzf or request.env.get("REKALL_PICKER") == "fzf")


def become_fzf(words: Sequence[str]) -> NoReturn:
    """Go on as the shell that runs fzf. Raises OSError where there is no /bin/sh.

    The client beside this Python answers it at every key; where there is none, this Python does, only later.
    """
    at = list(words).index("pick") if "pick" in words else len(words)
    client = Path(sys.executable).with_name("rekall")
    asks = (str(client), "") if os.access(client, os.X_OK) else (sys.executable, "-P -m rekall")
    rest = [*words[:at], *words[at + 1 :]]
    sys.stdout.flush()
    os.execv("/bin/sh", ["sh", "-c", read_script("fzf.sh"), *asks, *rest])  # noqa: S606  # a text of our own
