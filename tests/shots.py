"""Pictures of rekall on a terminal, made from real runs, for the documentation.

    make shots          docs/picker.svg from the notes of demo/
    python tests/shots.py --db BASE --keys TEXT [--size 100x16] [--env NAME=VALUE] [--light] FILE.svg

A run is the installed `rekall` on a pty of its own; pyte reads what it draws.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import tempfile
import termios
import time
from html import escape
from pathlib import Path

import pyte

REKALL = str(Path(sys.executable).with_name("rekall"))
CELL = (8.43, 18.0)
INK = {
    "dark": {"default": "#c8ccd4", "paper": "#16191f", "black": "#3b4048", "red": "#e06c75", "green": "#98c379",
             "brown": "#e5c07b", "blue": "#61afef", "magenta": "#c678dd", "cyan": "#56b6c2", "white": "#abb2bf"},
    "light": {"default": "#383a42", "paper": "#fafafa", "black": "#a0a1a7", "red": "#e45649", "green": "#2f7d31",
              "brown": "#986801", "blue": "#4078f2", "magenta": "#a626a4", "cyan": "#0184bc", "white": "#696c77"},
}  # fmt: skip


class Screen(pyte.Screen):
    """A screen that knows faint letters: pyte does not, so its blinking ones stand for them."""

    def select_graphic_rendition(self, *attributes: int, **options: bool) -> None:
        super().select_graphic_rendition(*(5 if code == 2 else code for code in attributes), **options)


class Run:
    """A command on a terminal."""

    def __init__(self, command: list[str], columns: int, rows: int, env: dict[str, str]) -> None:
        self.screen = Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        self._terminal, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
        self.process = subprocess.Popen(["setsid", "--ctty", *command], env=env, **streams)
        os.close(theirs)

    def read(self, seconds: float) -> None:
        """Let it draw for so long."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if select.select([self._terminal], [], [], left)[0]:
                try:
                    self._stream.feed(os.read(self._terminal, 65536))
                except OSError:
                    return

    def type(self, keys: str, seconds: float = 0.5) -> None:
        os.write(self._terminal, keys.encode())
        self.read(seconds)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._terminal)


def svg(screen: pyte.Screen, rows: int, ink: dict[str, str]) -> str:
    """Return the first rows of a screen as a picture."""
    wide, high = CELL
    width, height = screen.columns * wide + 24, rows * high + 24
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}">',
        f'<rect width="100%" height="100%" rx="6" fill="{ink["paper"]}"/>',
        f'<g font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="14" fill="{ink["default"]}" '
        'xml:space="preserve">',
    ]
    for row in range(rows):
        for start, cells in _runs(screen, row):
            parts.append(_text(cells, 12 + start * wide, 12 + row * high, ink))
    x, y = 12 + screen.cursor.x * wide, 12 + screen.cursor.y * high
    if not screen.cursor.hidden:
        parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="2" height="{high}" fill="{ink["default"]}"/>')
    return "\n".join([*parts, "</g></svg>\n"])


def _runs(screen: pyte.Screen, row: int):  # type: ignore[no-untyped-def]
    """Yield (column, cells) of what stands together and looks alike."""
    line = screen.buffer[row]
    start, run = 0, []
    for column in range(screen.columns):
        cell = line[column]
        if run and (cell._replace(data="") != run[-1]._replace(data="") or not cell.data.isascii()
                    or not run[-1].data.isascii()):  # fmt: skip
            yield start, run
            run = []
        if not run:
            start = column
        run.append(cell)
    yield start, run


def _text(cells: list[pyte.screens.Char], x: float, y: float, ink: dict[str, str]) -> str:
    text, cell = "".join(cell.data for cell in cells), cells[0]
    if not text.strip() and not cell.reverse:
        return ""
    wide, high = CELL
    fill = ink.get(cell.fg, f"#{cell.fg}") if cell.fg != "default" else ink["default"]
    box = ""
    if cell.reverse:
        box = f'<rect x="{x:.1f}" y="{y:.1f}" width="{len(cells) * wide:.1f}" height="{high}" fill="{fill}"/>'
        fill = ink["paper"]
    if text == "▌":
        return f'<rect x="{x:.1f}" y="{y:.1f}" width="{wide / 2:.1f}" height="{high}" fill="{fill}"/>'
    if text == "│":
        return f'<rect x="{x + wide / 2:.1f}" y="{y:.1f}" width="1" height="{high}" fill="{fill}" opacity=".4"/>'
    style = (
        ' font-weight="bold"' * cell.bold + ' opacity=".6"' * cell.blink + f' fill="{fill}"' * (fill != ink["default"])
    )
    shown = text.rstrip()
    length = f' textLength="{len(shown) * wide:.1f}"' if shown.isascii() and len(shown) > 1 else ""
    return f'{box}<text x="{x:.1f}" y="{y + 14:.1f}"{length}{style}>{escape(shown)}</text>'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--db", help="a base (default: the notes of demo/)")
    parser.add_argument("--keys", default="undo a commit", help="what is typed; \\e is Escape, \\t Tab")
    parser.add_argument("--size", default="100x16")
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--light", action="store_true")
    parser.add_argument("--height", default="100%")
    parser.add_argument("file", type=Path)
    options = parser.parse_args()
    columns, rows = map(int, options.size.split("x"))
    with tempfile.TemporaryDirectory(prefix="rk", dir="/tmp") as folder:
        env = {"PATH": os.environ["PATH"], "HOME": folder, "XDG_RUNTIME_DIR": folder, "TERM": "xterm-256color",
               "LANG": "C.UTF-8", "REKALL_DB": options.db or f"{folder}/rekall.db"}  # fmt: skip
        env |= dict(pair.split("=", 1) for pair in options.env)
        os.chmod(folder, 0o700)
        if not options.db:
            notes = Path(__file__).parent.parent / "demo" / "notes"
            subprocess.run([REKALL, "import", str(notes)], env=env, check=True, capture_output=True)
        subprocess.run([REKALL, "search", "warm up"], env=env, check=False, capture_output=True)
        run = Run([REKALL, "pick", "--height", options.height], columns, rows, env)
        run.read(1.0)
        for key in options.keys.replace("\\e", "\x1b").replace("\\t", "\t").split("|"):
            for letter in [key] if key.startswith("\x1b") else key:
                run.type(letter, 0.08)
        run.read(1.0)
        picture = svg(run.screen, rows, INK["light" if options.light else "dark"])
        run.close()
        subprocess.run([REKALL, "server", "stop"], env=env, check=False, capture_output=True)
    options.file.write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    main()
