"""What `rekall init` prints: the scripts of shell/ as they are, behind the variables that the options set.

The client prints the same by itself (ext/init.c); this is for where nothing was compiled, and for Vim. It is run by
whoever reads it, so every value is quoted for its reader.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

SHELLS = ("bash", "zsh", "fish")
FOLDER = Path(__file__).parent / "shell"

# How an assignment is written, and a quote and a backslash between single quotes.
_WRITTEN = {
    "bash": ("{name}='{value}'\n", "'\\''", "\\"),
    "zsh": ("typeset -g {name}='{value}'\n", "'\\''", "\\"),
    "fish": ("set -g {name} '{value}'\n", "\\'", "\\\\"),
}


def script(shell: str, variables: Mapping[str, str]) -> str:
    """Return what `shell` is to run: assignments, its keys, its completion."""
    assignment, quote, backslash = _WRITTEN[shell]
    written = str.maketrans({"'": quote, "\\": backslash})
    lines = [assignment.format(name=name, value=value.translate(written)) for name, value in variables.items()]
    return "".join(lines) + read_script(f"rekall.{shell}") + read_script(f"completion.{shell}")


def read_script(name: str) -> str:
    """Return a file of shell/."""
    return (FOLDER / name).read_text(encoding="utf-8")


def vim_script() -> str:
    """Return what Vim and Neovim are to source: for the vimrc, and for a Vim that runs already.

    Vim takes the names in 'runtimepath' for patterns, and a comma for their end.
    """
    folder = re.sub(r"([\\,`'{}\[\]*?])", r"\\\1", str(FOLDER / "vim")).replace("'", "''")
    return f"""\
if stridx(',' .. &runtimepath .. ',', ',{folder},') < 0 | let &runtimepath = '{folder},' .. &runtimepath | endif
if v:vim_did_enter | runtime plugin/rekall.vim | endif
"""
