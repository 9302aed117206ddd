"""A terminal with a shell in it: a tmux server of its own with one window, which is typed into and read."""

from __future__ import annotations

import subprocess
import time
import uuid
from collections.abc import Sequence
from pathlib import Path


class Tmux:
    """A tmux server of its own with one window, in which a program runs: bash unless another is named."""

    def __init__(
        self,
        env: dict[str, str],
        folder: Path,
        columns: int,
        rows: int,
        program: Sequence[str] = ("env", "PS1=$ ", "bash", "--norc", "--noprofile"),
        ready: str = "$",
    ) -> None:
        """Return when the window shows `ready`."""
        self._name = f"rekall-test-{uuid.uuid4().hex[:8]}"
        self.env, self.folder = env, folder
        unwanted = ("TMUX", "NO_COLOR", "COLUMNS", "LINES")
        self._env = {key: value for key, value in env.items() if key not in unwanted} | {"TERM": "xterm-256color"}
        self("-f", "/dev/null", "new-session", "-d", "-x", str(columns), "-y", str(rows), "-c", str(folder), *program)
        self("set-option", "-g", "escape-time", "0")
        self.shows(ready)

    def __call__(self, *words: str) -> str:
        done = subprocess.run(
            ["tmux", "-L", self._name, *words], env=self._env, capture_output=True, text=True, timeout=20
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def screen(self) -> str:
        return self("capture-pane", "-p").rstrip("\n")

    @property
    def cursor(self) -> tuple[int, int]:
        """Where the cursor is: row and column, from 0."""
        row, column = self("display-message", "-p", "#{cursor_y} #{cursor_x}").split()
        return int(row), int(column)

    def type(self, *keys: str) -> None:
        """Type: tmux's names of keys, or text that begins with a colon."""
        for key in keys:
            self("send-keys", *(["-l", key[1:]] if key.startswith(":") else [key]))

    def run(self, line: str) -> None:
        self.type(f":{line}", "Enter")

    def shows(self, text: str, but_not: str = "\0", seconds: float = 20) -> str:
        """Wait until the screen shows something, and something else no more."""
        deadline = time.monotonic() + seconds
        while not (text in (seen := self.screen) and but_not not in seen):
            assert time.monotonic() < deadline, f"{text!r} did not come, or {but_not!r} stayed:\n{seen}"
            time.sleep(0.03)
        return seen

    def close(self) -> None:
        subprocess.run(["tmux", "-L", self._name, "kill-server"], env=self._env, capture_output=True, check=False)
