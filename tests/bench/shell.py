"""How long the key of a shell takes: from the key press until the list is there, and what a shell pays for having it.

    make bench-shell NOTES=FOLDER
    python tests/bench/shell.py --notes FOLDER [--size 10000] [--rounds 50] [--json FILE]

Each shell runs on a pty of its own, 100 columns by 30 rows, with a start-up file that holds a prompt and rekall's line.
The key is pressed on an empty line (alone), and behind three words (they are the query). The picker by itself is
started beside them: what is more is the shell's. A start of the shell is timed with rekall's line and without, by turns.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

from bases import build, notes_of, queries
from keys import REKALL, Terminal, picker
from latency import Home, home, summary

PROMPT = {
    "bash": "PS1='> '\n",
    "zsh": "PROMPT='> '\n",
    "fish": "function fish_prompt; echo '> '; end\nset -g fish_greeting\n",
}
LINE = {
    "bash": 'eval "$(rekall init bash)"\n',
    "zsh": 'eval "$(rekall init zsh)"\n',
    "fish": "rekall init fish | source\n",
}


def command(shell: str, at: Home, line: str) -> list[str]:
    """Return a command that starts a shell with its prompt and `line` in its start-up file."""
    folder = at.folder / f"{shell}-{'with' if line else 'without'}"
    (folder / "fish").mkdir(parents=True, exist_ok=True)
    for name in (".bashrc", ".zshrc", "fish/config.fish"):
        (folder / name).write_text(PROMPT[shell] + line)
    return {
        "bash": ["bash", "--noprofile", "--rcfile", str(folder / ".bashrc")],
        "zsh": ["env", f"ZDOTDIR={folder}", "zsh", "-d"],
        "fish": ["env", f"XDG_CONFIG_HOME={folder}", "fish"],
    }[shell]


def press(terminal: Terminal, words: str) -> float:
    """Return the seconds from the key to the list, behind these words, and leave the line empty."""
    if words:
        terminal.seconds(words)
    seconds = terminal.seconds("\x1bk")
    assert "▌" in terminal.shows(), "no list:\n" + terminal.shows()
    terminal.seconds("\x1b")
    if words:
        terminal.seconds("\x15")
    return seconds


def pressing(shells: list[str], at: Home, asked: list[str], rounds: int) -> dict[str, list[float]]:
    """Return the seconds from the key to the list, by turns: the picker itself, each shell alone and behind words."""
    terminals = {shell: Terminal(command(shell, at, LINE[shell]), at.env, columns=54, output=None) for shell in shells}
    for terminal in terminals.values():
        terminal.seconds("")
        press(terminal, "warm up")
    found: dict[str, list[float]] = {"rekall pick by itself": []}
    for number in range(rounds):
        alone = picker(at)
        found["rekall pick by itself"].append(alone.seconds(""))
        alone.close()
        words = " ".join(asked[number % len(asked)].replace("'", "").split()[-3:])
        for shell, terminal in terminals.items():
            found.setdefault(f"{shell}, alone", []).append(press(terminal, ""))
            found.setdefault(f"{shell}, behind words", []).append(press(terminal, words))
    for terminal in terminals.values():
        terminal.close()
    return found


def starting(shells: list[str], at: Home, rounds: int) -> dict[str, list[float]]:
    """Return how long a start and an end of each shell take, with rekall's line and without, by turns."""
    found: dict[str, list[float]] = {}
    for _number in range(rounds):
        for shell in shells:
            for name, line in (("with", LINE[shell]), ("without", "")):
                words = [*command(shell, at, line), "-i", "-c", "exit"]
                begin = time.perf_counter()
                subprocess.run(words, env=at.env, capture_output=True, stdin=subprocess.DEVNULL, start_new_session=True)
                found.setdefault(f"{shell} starts, {name}", []).append(time.perf_counter() - begin)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--notes", type=Path, required=True, help="a folder of Markdown notes")
    parser.add_argument("--size", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    notes = notes_of(options.notes) if options.notes.is_dir() else []
    if not notes:
        raise SystemExit(f"{options.notes} holds no Markdown notes; name a folder with --notes")
    shells = [shell for shell in LINE if shutil.which(shell)]
    with home() as at:
        at.env |= {"TERM": "xterm-256color", "PATH": f"{Path(REKALL).parent}{os.pathsep}{at.env['PATH']}"}
        at.env |= {"LC_ALL": "C.UTF-8"}
        print(f"{options.size:,} entries: making the base …", file=sys.stderr)
        build(Path(at.env["REKALL_DB"]), options.size, notes)
        asked = queries(20, notes)
        for text in asked:
            at.seconds([REKALL, "search", text])
        found = pressing(shells, at, asked, options.rounds) | starting(shells, at, options.rounds)
    print(f"{platform.machine()}, {os.cpu_count()} cores, {options.size:,} entries")
    print("| ms | p50 | p99 | n |\n|---|---|---|---|")
    for name, values in found.items():
        times = summary([1000 * seconds for seconds in values])
        print(f"| {name} | {times['p50']:.1f} | {times['p99']:.1f} | {times['n']} |")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
