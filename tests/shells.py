"""bash, zsh and fish as people have them: with a start-up file of their own, on a terminal, beside a base with notes."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any  # the fields of an Entry

import pytest
from running import NOTED, runtime_folder
from tmux import Tmux

from rekall.db import Database
from rekall.entry import Entry

CLIENT = Path(sys.executable).with_name("rekall")
SHELLS = ("bash", "zsh", "fish")

# What each shell has at hand; the second line of the prompt says that it is ready.
PROMPTS = {
    "bash": "PS1='first line\\nP> '",
    "zsh": "PROMPT=$'first line\\nP> '",
    "fish": "function fish_prompt; printf 'first line\\nP> '; end\nfunction fish_mode_prompt; end\nset -g fish_greeting",
}
INIT = {
    "bash": 'eval "$(rekall init bash{})"',
    "zsh": 'eval "$(rekall init zsh{})"',
    "fish": "rekall init fish{} | source",
}
MODES = {
    "emacs": {"bash": "set -o emacs", "zsh": "bindkey -e", "fish": "fish_default_key_bindings"},
    "vi": {"bash": "set -o vi", "zsh": "bindkey -v", "fish": "fish_vi_key_bindings"},
}
KEYS = {"emacs": "M-k", "vi": "C-g"}

# One that every shell reads the same way, line by line.
TWO_LINES = {"id": "lines", "type": "snippet", "title": "A loop", "content": "echo 'first\n  second'"}


# One that would do something if it were run.
HOSTILE = {
    "id": "hostile",
    "title": "hostile $(touch made-1) `touch made-2`",
    "content": "$(touch made-3); touch made-4",
}

needs_terminal = [
    pytest.mark.skipif(not shutil.which("tmux"), reason="tmux is not installed"),
    pytest.mark.skipif(not CLIENT.exists(), reason="rekall is not installed beside this Python"),
]
every_shell = pytest.mark.parametrize(
    "shell",
    [pytest.param(s, marks=pytest.mark.skipif(not shutil.which(s), reason=f"{s} is not installed")) for s in SHELLS],
)

both_modes = pytest.mark.parametrize("mode", ["emacs", "vi"])


@contextmanager
def noted_world(
    home: Mapping[str, str], folder: Path, make_entry: Callable[..., Entry], *more: dict[str, Any]
) -> Iterator[dict[str, str]]:
    """Yield an environment with a base, a place for the socket, and `rekall` on its PATH. `more`: entries beside NOTED."""
    with runtime_folder() as sockets:
        base = folder / "rekall.db"
        with Database(base) as database:
            for number, fields in enumerate((*NOTED, *more)):
                database.add(make_entry(**{"created_at": f"2026-01-0{number + 1}T00:00:00Z"} | fields))
        path = f"{CLIENT.parent}{os.pathsep}{home['PATH']}"
        yield {**home, "XDG_RUNTIME_DIR": str(sockets), "REKALL_DB": str(base), "PATH": path}


class Prompt(Tmux):
    """A shell that waits for a line: `first line`, then `P> `.

    `before` and `after`: what its start-up file says beside rekall's own line; `init`: the options of that line, or
    None to leave it out.
    """

    def __init__(
        self,
        shell: str,
        env: Mapping[str, str],
        folder: Path,
        *,
        mode: str = "emacs",
        before: str = "",
        after: str = "",
        init: str | None = "",
        columns: int = 80,
        rows: int = 24,
    ) -> None:
        self.shell, self.key = shell, KEYS[mode]
        line = "" if init is None else INIT[shell].format(init)
        start = "\n".join((PROMPTS[shell], MODES[mode][shell], before, line, after, ""))
        super().__init__(dict(env), folder, columns, rows, program(shell, start, folder), "P>")

    def find(self, query: str = "", count: str = "5/5") -> None:
        """Press the key, wait for the list, and type."""
        self.type(self.key)
        self.shows(count)
        if query:
            self.type(f":{query}")

    @property
    def look(self) -> tuple[str, tuple[int, int]]:
        """What a person sees: the screen, and where the cursor is."""
        return self.screen, self.cursor

    def settles(self, line: str, but_not: str = "▌") -> str:
        """Wait until the line stands at the prompt, and return the screen."""
        return self.shows(f"P> {line}".rstrip(), but_not)


def program(shell: str, start: str, folder: Path) -> list[str]:
    """Return a command that starts an interactive shell with this start-up file and no other."""
    home = Path(tempfile.mkdtemp(prefix=f"{shell}-", dir=folder))
    (home / "fish").mkdir()
    for name in (".bashrc", ".zshrc", "fish/config.fish"):
        (home / name).write_text(start)
    return {
        "bash": ["bash", "--noprofile", "--rcfile", f"{home}/.bashrc"],
        "zsh": ["env", f"ZDOTDIR={home}", "zsh", "-d"],
        "fish": ["env", f"XDG_CONFIG_HOME={home}", "fish"],
    }[shell]


Open = Callable[..., Prompt]


def server_of(world: dict[str, str]) -> int:
    """Return the process id of the warm process."""
    return int(next(Path(world["XDG_RUNTIME_DIR"]).glob("rekall/*/server.lock")).read_text())
