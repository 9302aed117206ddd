"""Vim and Neovim in a window each, typed into and read: an Editor, and what it works on."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from running import REPOSITORY, wait_for
from tmux import Tmux

import rekall
from rekall.db import Database
from rekall.entry import Entry
from rekall.query import Filters

CLIENT = Path(sys.executable).with_name("rekall")
PLUGIN = next(
    folder / "shell" / "vim"
    for folder in (REPOSITORY, Path(rekall.__file__).parent)
    if (folder / "shell" / "vim").exists()
)
EDITORS = {"vim": ["vim", "-Nnu", "NONE", "-i", "NONE"], "nvim": ["nvim", "-nu", "NONE", "-i", "NONE"]}

needs_editors = [
    pytest.mark.skipif(
        not all(map(shutil.which, ("tmux", "vim", "nvim"))), reason="tmux, vim or nvim is not installed"
    ),
    pytest.mark.skipif(not CLIENT.exists(), reason="rekall is not installed beside this Python"),
]

NUMBERS = itertools.count()  # of the files that values are written to: two editors may share a folder

HOSTILE = 'it\'s "quoted" | echo $(touch /tmp/x) `id` \\n \\<CR> <CR> %d \t tab\x1b[2Jé漢字 \r end'


class Editor(Tmux):
    """An editor in a window of its own, on one file."""

    def __init__(self, name: str, env: dict[str, str], folder: Path, size: tuple[int, int], setup: str) -> None:
        self.file = folder / "file.txt"
        if not self.file.exists():
            self.file.write_text("one two\nthree disk four\n")
        before = ["--cmd", f"set rtp^={PLUGIN}", "--cmd", setup or "set noswapfile"]
        command = [*EDITORS[name], *before, "-c", "runtime plugin/rekall.vim", str(self.file)]
        super().__init__(env, folder, *size, program=command, ready=self.file.read_text()[:5])

    def command(self, text: str) -> None:
        self.type(f"::{text}", "Enter")

    def value(self, expression: str) -> object:
        """Return what an expression is worth in the editor; it goes out of Insert mode for it."""
        out = self.folder / f"value-{next(NUMBERS)}"
        self.type("C-\\", "C-n")
        self.command(f"call writefile([json_encode({expression})], '{out}')")
        wait_for(lambda: out.exists() and out.read_text().endswith("\n"))
        return json.loads(out.read_text())

    def text(self) -> str:
        """Return the text of the buffer."""
        return "\n".join(self.value("getline(1, '$')"))  # type: ignore[arg-type]  # a list of lines

    def is_calm(self) -> None:
        """Nobody has to press Enter, and nothing has gone wrong."""
        messages = str(self.value("execute('messages')"))
        assert not re.search(r"E\d+:|Error", messages), messages
        assert "Press ENTER" not in self.screen


Open = Callable[..., Editor]


def keep(world: dict[str, str], entry: Entry) -> None:
    with Database(Path(world["REKALL_DB"])) as database:
        database.add(entry)


def kept(world: dict[str, str]) -> list[Entry]:
    with Database(Path(world["REKALL_DB"])) as database:
        return [entry for entry in database.entries(Filters(), 100) if entry.id not in ("undo", "cpp-1", "cpp-2")]


def fake_rekall(tmp_path: Path, script: str) -> str:
    """Put a `rekall` that does as `script` says in front of the real one; return a PATH for it."""
    (tmp_path / "bin").mkdir(exist_ok=True)
    fake = tmp_path / "bin" / "rekall"
    fake.write_text(f"#!/bin/sh\n{script}\n")
    fake.chmod(0o755)
    return f"{tmp_path / 'bin'}{os.pathsep}{CLIENT.parent}{os.pathsep}{os.environ['PATH']}"
