"""Many at work on one base for long: `python tests/soak.py --minutes 10`, which is `make soak`.

Writers add, tag and delete: through the warm process, without it, and one with plain SQL and an SQLite of its own. Readers ask
about what was acknowledged before they asked: it must be in the answer, and what was deleted must not. At the end the base is
verified and compared with all that was acknowledged. The warm process must be the one of the beginning, and need no more.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock, Thread

from warm import PROGRAMS, Warm, warm_in

from rekall.memory import process_memory

# A writer that holds more deletes its oldest, so that the base stays as it is and growth is a leak.
HELD = 60
# Of a warm reader's questions, how many are asked without the server: each costs a Python start.
COLD_SHARE = 0.02
SECONDS_TO_ANSWER = 120
# Between two writes of one writer. Together they are about what one processor can embed.
PAUSE_SECONDS, PLAIN_PAUSE_SECONDS = 0.4, 0.1
STAMP = "2026-01-02T03:04:05.678Z"
# A process may need so much more in the last quarter than in the second, and no more.
GROWTH_MB, GROWTH_DESCRIPTORS = 12, 8


@dataclass
class Ledger:
    """What was acknowledged. A token is a word, or a tag, that only one entry has."""

    lock: Lock = field(default_factory=Lock)
    alive: dict[str, str] = field(default_factory=dict)  # token → id
    gone: deque[str] = field(default_factory=lambda: deque(maxlen=500))
    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    waits: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))  # seconds, of the warm
    ended: bool = False

    def keep(self, token: str, key: str) -> None:
        with self.lock:
            self.alive[token] = key
            self.counts["writes"] += 1

    def doubt(self, key: str) -> list[str]:
        """Forget what an entry says before it is deleted: until that is acknowledged, anything may be answered."""
        with self.lock:
            tokens = [token for token, other in self.alive.items() if other == key]
            for token in tokens:
                del self.alive[token]
        return tokens

    def lose(self, tokens: list[str]) -> None:
        with self.lock:
            self.gone.extend(tokens)
            self.counts["writes"] += 1

    def chosen(self, draw: random.Random) -> tuple[str, str | None] | None:
        """Return a token and its entry, None for one that is deleted; the newest most often."""
        with self.lock:
            if self.gone and draw.random() < 0.2:
                return draw.choice(self.gone), None
            if not self.alive:
                return None
            newest = list(itertools.islice(reversed(self.alive), 20))
            token = draw.choice(newest if draw.random() < 0.8 else list(self.alive))
            return token, self.alive[token]

    def judge(self, token: str, key: str | None, said: str, question: str) -> None:
        with self.lock:
            self.counts["questions"] += 1
            if key is not None and token in self.alive and token not in said:
                self.wrong.append(f"stale: {token} was acknowledged, and is not in the answer of {question}: {said!r}")
            if key is None and token in said:
                self.wrong.append(f"stale: {token} was deleted, and is in the answer of {question}")

    def failed(self, what: str) -> None:
        with self.lock:
            self.wrong.append(f"error: {what}")


@dataclass
class Door:
    """A way in: the client, or Python alone."""

    warm: Warm
    ledger: Ledger

    def ask(
        self,
        words: list[str],
        cold: bool,
        stdin: str = "",
        statuses: tuple[int, ...] = (0,),
        says_what_it_did: bool = False,
    ) -> str | None:
        """Return what was printed; None, and an error noted, if anything went wrong."""
        command = [str(PROGRAMS / "rekall-py"), "--no-server"] if cold else [str(PROGRAMS / "rekall")]
        start = time.monotonic()
        try:
            done = subprocess.run(
                [*command, *words],
                input=stdin,
                capture_output=True,
                text=True,
                env=self.warm.env,
                cwd=self.warm.cwd,
                timeout=SECONDS_TO_ANSWER,
            )
        except subprocess.TimeoutExpired:
            self.ledger.failed(f"{words} was not answered in {SECONDS_TO_ANSWER} s")
            return None
        with self.ledger.lock:
            self.ledger.counts["cold" if cold else "warm"] += 1
            if not cold:
                self.ledger.waits[_kind(words)].append(time.monotonic() - start)
        said = [line for line in done.stderr.splitlines() if not line.startswith("much like ")]  # writers write alike
        if done.returncode not in statuses or (said and not says_what_it_did and done.returncode != 2):
            self.ledger.failed(f"{words}: status {done.returncode}, {done.stderr!r}")
            return None
        return done.stdout


def _kind(words: list[str]) -> str:
    if words[0] in ("add", "tag", "delete"):
        return "write"
    return "by meaning" if words[0] == "search" and "--words" not in words else "by words"


def write(door: Door, number: int) -> None:
    """Add, tag and delete as one of many, until the end."""
    held: deque[str] = deque()
    cold = number % 4 == 3
    for turn in itertools.count():
        token = f"w{number}x{turn}q"
        key = door.ask(["add", "til", f"note {token} of a writer", "-c", f"about {token} and more"], cold)
        if key:
            held.append(key.strip())
            door.ledger.keep(token, key.strip())
        if turn % 3 == 2 and held and door.ask(["tag", held[-1], f"+t{token}"], cold) is not None:
            door.ledger.keep(f"t{token}", held[-1])
        if len(held) > HELD:
            _delete(door, held.popleft(), cold)
        if door.ledger.ended:
            return
        time.sleep(PAUSE_SECONDS)


def _delete(door: Door, key: str, cold: bool) -> None:
    tokens = door.ledger.doubt(key)
    if door.ask(["delete", key], cold, says_what_it_did=True) is not None:
        door.ledger.lose(tokens)


def write_plainly(door: Door) -> None:
    """Write with SQL alone, as somebody with the sqlite3 shell would."""
    command = [sys.executable, __file__, "--plain", str(door.warm.base)]
    held: deque[str] = deque()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout

        def done(order: str) -> bool:
            print(order, file=process.stdin, flush=True)
            said = process.stdout.readline() if process.stdout else ""
            if said != "done\n":
                door.ledger.failed(f"plain SQL: {order}: {said!r}")
            return said == "done\n"

        for turn in itertools.count():
            key, token = f"plain{turn}", f"p0x{turn}q"
            if done(f"add {key} {token}"):
                held.append(key)
                door.ledger.keep(token, key)
            if len(held) > HELD:
                key = held.popleft()
                tokens = door.ledger.doubt(key)
                if done(f"delete {key} -"):
                    door.ledger.lose(tokens)
            time.sleep(PLAIN_PAUSE_SECONDS)
            if door.ledger.ended:
                process.stdin.close()
                return


def plain(base: str) -> None:
    """The process of `write_plainly`: carries out orders from stdin."""
    with sqlite3.connect(base, isolation_level=None, timeout=60) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        for line in sys.stdin:
            order, key, token = line.split()
            try:
                if order == "add":
                    connection.execute(
                        "INSERT INTO entries(id, type, title, created_at, updated_at) VALUES (?, 'til', ?, ?, ?)",
                        (key, f"note {token} in plain SQL", STAMP, STAMP),
                    )
                else:
                    connection.execute("DELETE FROM entries WHERE id = ?", (key,))
                print("done", flush=True)
            except sqlite3.Error as error:
                print(" ".join(str(error).split()), flush=True)


def read(door: Door, number: int) -> None:
    """Ask about what is known, until the end."""
    draw = random.Random(number)
    while not door.ledger.ended:
        chosen = door.ledger.chosen(draw)
        if chosen is None:
            time.sleep(0.01)
            continue
        token, key = chosen
        cold = draw.random() < COLD_SHARE
        questions: list[tuple[list[str], str]] = [(["search", "--words", token], "")] * 8
        questions += [(["search", token, "-n", "30"], ""), (["search", "-", "--words"], token)]
        if key is not None:
            questions.append((["show", key], ""))
        words, stdin = (["list", "--tag", token, "--tsv"], "") if token.startswith("t") else draw.choice(questions)
        said = door.ask(words, cold, stdin, (0, 1, 2) if words[0] == "show" else (0, 1))
        if said is not None:
            named = said if not token.startswith("t") else said.replace(key or "\0", token)
            door.ledger.judge(token, key, named, " ".join(words))


@dataclass
class Sample:
    """How the warm process was at a moment."""

    seconds: float
    server_mb: float
    model_mb: float
    descriptors: int
    entries: int


def watch(warm: Warm, ledger: Ledger, samples: list[Sample]) -> None:
    """Look at the warm process once a second."""
    start, pid = time.monotonic(), warm.pid
    while not ledger.ended:
        try:
            model = [
                other for other in warm.processes() if b"rekall.worker" in Path(f"/proc/{other}/cmdline").read_bytes()
            ]
            parts = [process_memory(one).get("pss", 0) / 2**20 for one in (pid, *model)]
            open_files = len(os.listdir(f"/proc/{pid}/fd"))
            with ledger.lock:
                entries = len(set(ledger.alive.values()))
            samples.append(Sample(time.monotonic() - start, parts[0], sum(parts[1:]), open_files, entries))
        except OSError:
            pass
        time.sleep(1)


def soak(warm: Warm, seconds: float, writers: int, readers: int) -> tuple[Ledger, list[Sample]]:
    """Run it all for so long; return what was noted."""
    ledger, samples = Ledger(), []
    door = Door(warm, ledger)
    warm.keep([f"an entry from before, number {number}" for number in range(200)])
    pid = warm.warm_up(120)
    threads = [Thread(target=write, args=(door, number)) for number in range(writers)]
    threads += [Thread(target=read, args=(door, number)) for number in range(readers)]
    threads += [Thread(target=write_plainly, args=(door,)), Thread(target=watch, args=(warm, ledger, samples))]
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    ledger.ended = True
    for thread in threads:
        thread.join()
    if warm.servers() != [pid]:
        ledger.failed(
            f"the server of the beginning ({pid}) is not the one of the end ({warm.servers()}): {warm.log[-2000:]}"
        )
    _check_base(door)
    if "ERROR" in warm.log:
        ledger.failed(f"the server's log: {warm.log[-2000:]}")
    return ledger, samples


def _check_base(door: Door) -> None:
    """Compare the base with all that was acknowledged."""
    door.ask(["index", "verify"], cold=True)
    held = door.ask(["export"], cold=True) or ""
    for token in [*door.ledger.alive]:
        if token not in held:
            door.ledger.failed(f"lost: {token}")
    for token in door.ledger.gone:
        if f"{token} " in held:
            door.ledger.failed(f"not deleted: {token}")


def growth(samples: list[Sample], name: str) -> float:
    """Return by how much a figure's median in the last quarter is above that of the second."""
    values = [getattr(sample, name) for sample in samples]
    quarter = len(values) // 4
    return statistics.median(values[-quarter:]) - statistics.median(values[quarter : 2 * quarter])


def _spread(seconds: list[float]) -> str:
    ordered = sorted(seconds)
    places = (len(ordered) // 2, len(ordered) * 99 // 100, len(ordered) - 1)
    return " / ".join(f"{1000 * ordered[place]:.0f}" for place in places)


def report(ledger: Ledger, samples: list[Sample], seconds: float) -> list[str]:
    """Print the table; return what is wrong."""
    server, descriptors = [s.server_mb for s in samples], [s.descriptors for s in samples]
    rows = {
        "seconds": f"{seconds:.0f}",
        "writes acknowledged": str(ledger.counts["writes"]),
        "questions judged": str(ledger.counts["questions"]),
        "commands warm / cold": f"{ledger.counts['warm']} / {ledger.counts['cold']}",
        **{f"warm {kind}, ms p50 / p99 / longest": _spread(waits) for kind, waits in sorted(ledger.waits.items())},
        "errors": str(sum(not text.startswith("stale") for text in ledger.wrong)),
        "stale answers": str(sum(text.startswith("stale") for text in ledger.wrong)),
        "server MB, first / most / last": f"{server[0]:.0f} / {max(server):.0f} / {server[-1]:.0f}",
        "descriptors, first / most / last": f"{descriptors[0]} / {max(descriptors)} / {descriptors[-1]}",
    }
    wrong = list(ledger.wrong)
    if len(samples) >= 100:  # else it is all beginning
        more_mb, more_files = growth(samples, "server_mb"), growth(samples, "descriptors")
        rows["growth, last quarter over second"] = f"{more_mb:+.1f} MB, {more_files:+.0f} descriptors"
        if more_mb > GROWTH_MB or more_files > GROWTH_DESCRIPTORS:
            wrong.append("the server grows")
    for name, value in rows.items():
        print(f"{name:<42}{value}")
    return wrong


def plot(samples: list[Sample], path: Path) -> None:
    """Draw memory and descriptors over time."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "rekall"
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 3.5))
    seconds = [sample.seconds for sample in samples]
    axes.plot(seconds, [sample.server_mb for sample in samples], label="server, MB")
    axes.plot(seconds, [sample.model_mb for sample in samples], label="the model's process, MB")
    axes.plot(seconds, [sample.descriptors for sample in samples], label="the server's descriptors")
    axes.plot(seconds, [sample.entries / 10 for sample in samples], ":", label="entries written and kept, ÷ 10")
    axes.set(xlabel="seconds", ylim=(0, None))
    axes.legend(fontsize=7)
    axes.grid(alpha=0.3)
    figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")


@contextmanager
def private_home() -> Iterator[Warm]:
    """Yield a `rekall` in a home of its own."""
    with tempfile.TemporaryDirectory(prefix="rekall-soak") as folder:
        kept = {name: os.environ[name] for name in ("PATH",) if name in os.environ}
        with warm_in(kept | {"HOME": folder, "XDG_DATA_HOME": f"{folder}/data", "LC_ALL": "C.UTF-8"}) as warm:
            yield warm


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--readers", type=int, default=50)
    parser.add_argument("--plot", type=Path, help="draw memory and descriptors over time (SVG; needs matplotlib)")
    parser.add_argument("--plain", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.plain:
        plain(options.plain)
        return 0
    with private_home() as warm:
        ledger, samples = soak(warm, options.minutes * 60, options.writers, options.readers)
    wrong = report(ledger, samples, options.minutes * 60)
    if options.plot:
        plot(samples, options.plot)
    for text in wrong[:20]:
        print(text, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
