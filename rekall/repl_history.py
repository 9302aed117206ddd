"""What was typed in the REPL, kept for the next: a private file, secrets left out, the oldest lines dropped."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from prompt_toolkit.history import FileHistory

from rekall.config import state_folder
from rekall.places import make_private
from rekall.redact import redacted

# Beyond this the older half goes, at the next start.
LARGEST_BYTES = 1 << 20


def history_path(env: Mapping[str, str]) -> Path:
    """Return the file of the history: rekall/history in XDG_STATE_HOME."""
    return state_folder(env) / "history"


class RedactedHistory(FileHistory):
    """A FileHistory (0600) that never holds a secret of a known shape. What cannot be written is not kept."""

    def __init__(self, path: Path) -> None:
        self._path = path
        super().__init__(str(path))

    def load_history_strings(self) -> Iterable[str]:
        try:
            self._shorten()
            return list(super().load_history_strings())
        except OSError:
            return []

    def store_string(self, string: str) -> None:
        try:
            make_private(self._path.parent)
            os.close(os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600))
            super().store_string(redacted(string))
        except OSError:
            return

    def _shorten(self) -> None:
        if not self._path.exists() or self._path.stat().st_size <= LARGEST_BYTES:
            return
        kept = self._path.read_bytes()[-LARGEST_BYTES // 2 :]
        newer = self._path.with_name(f".history-{os.getpid()}")
        descriptor = os.open(newer, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(kept[kept.find(b"\n#") + 1 :])
        os.replace(newer, self._path)
