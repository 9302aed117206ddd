"""The caller's clipboard, by both ways that there are: the terminal's own (OSC 52), and the desktop's program."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from rekall.screens import Screen

# Terminals drop longer ones, some of them in the middle.
MOST_BYTES = 74_000
# The first of these that works, run where the caller is; the words of those that do not are for nobody.
_PROGRAMS = """
text=$(cat && echo .) && text=${text%.}
for program in wl-copy 'xclip -selection clipboard' pbcopy; do
    command -v "${program%% *}" && printf %s "$text" | $program && exit
done
exit 1
"""


async def copy(screen: Screen, text: str, env: Mapping[str, str]) -> None:
    """Put `text` into the clipboard, by whatever way is there."""
    data = text.encode("utf-8", "replace")
    if len(data) <= MOST_BYTES and env.get("TERM", "dumb") not in ("dumb", "linux"):
        screen.output.write_raw(f"\x1b]52;c;{base64.b64encode(data).decode()}\x07")
        screen.output.flush()
    await screen.run(["sh", "-c", f"{{ {_PROGRAMS} }} >/dev/null 2>&1"], data)
