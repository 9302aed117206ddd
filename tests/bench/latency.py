"""How long an answer takes, as a person waits for it: whole processes, warm and cold, and what they hold in memory.

    make bench-latency NOTES=FOLDER        1k, 10k and 100k entries
    python tests/bench/latency.py --notes FOLDER [--sizes 1000,10000] [--json FILE] [--plot FILE] [--st NAME]

Every figure is the time from starting a process to its end (posix_spawn to wait4), by turns with the others, so that
a machine that drifts drifts for all. Entries beyond 1,000 have synthetic vectors (bases.py). Peers: /bin/true
and python -c pass (what a process costs at all), rekall-py (no server), ripgrep over the same notes as files, and
fzf --filter over their titles and texts. --st NAME measures the memory of another model too, by sentence-transformers.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

from bases import build, entries, notes_of, queries, vectors_for

BIN = Path(sys.executable).parent
REKALL, REKALL_PY = str(BIN / "rekall"), str(BIN / "rekall-py")
NULL = os.open(os.devnull, os.O_RDWR)


class Home:
    """A private home with one base and a place for its socket."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run = Path(tempfile.mkdtemp(prefix="rk", dir="/tmp"))
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        self.env = kept | {
            "HOME": str(folder),
            "XDG_RUNTIME_DIR": str(self.run),
            "REKALL_DB": str(folder / "rekall.db"),
        }

    def seconds(self, command: list[str], stdin: int = NULL) -> float:
        """Return how long a process takes from its start to its end."""
        actions = [(os.POSIX_SPAWN_DUP2, stdin, 0), (os.POSIX_SPAWN_DUP2, NULL, 1), (os.POSIX_SPAWN_DUP2, NULL, 2)]
        begin = time.perf_counter()
        pid = os.posix_spawnp(command[0], command, self.env, file_actions=actions)
        _pid, status = os.waitpid(pid, 0)
        took = time.perf_counter() - begin
        if os.waitstatus_to_exitcode(status) not in (0, 1):
            raise SystemExit(f"{' '.join(command)}: status {status}")
        return took

    def memory(self) -> dict[str, int]:
        """Return what the warm process says of memory."""
        import subprocess

        done = subprocess.run([REKALL, "stats", "--memory", "--json"], env=self.env, capture_output=True, check=True)
        facts: dict[str, int] = json.loads(done.stdout)
        return facts

    def stop(self) -> None:
        self.seconds([REKALL, "server", "stop"])

    def set(self, key: str, value: str) -> None:
        self.seconds([REKALL, "config", "set", key, value])


@contextmanager
def home() -> Iterator[Home]:
    with tempfile.TemporaryDirectory() as folder:
        made = Home(Path(folder))
        try:
            yield made
        finally:
            made.stop()
            shutil.rmtree(made.run, ignore_errors=True)


def by_turns(commands: dict[str, Callable[[int], float]], rounds: int) -> dict[str, list[float]]:
    """Time each command once a round."""
    found: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(rounds):
        for name, run in commands.items():
            found[name].append(run(number) * 1000)
    return found


def warm(at: Home, notes: list[tuple[str, str]], made: list, rounds: int) -> dict[str, list[float]]:  # type: ignore[type-arg]
    """Time what a person asks of a warm process, beside the peers."""
    asked = queries(rounds + 50, notes)
    for text in asked[rounds:]:  # warm up: vectors in memory, copies built
        at.seconds([REKALL, "search", text])
    at.seconds([REKALL, "search", "undo the last commit"])
    files, listed = _as_files(at, made)
    commands: dict[str, Callable[[int], float]] = {
        "/bin/true": lambda _n: at.seconds(["/bin/true"]),
        "rekall: words": lambda n: at.seconds([REKALL, "search", "--words", asked[n]]),
        "rekall: meaning and words, new query": lambda n: at.seconds([REKALL, "search", asked[n]]),
        "rekall: meaning and words, asked before": lambda _n: at.seconds([REKALL, "search", "undo the last commit"]),
        "rekall: from a pipe, new query": lambda n: _piped(at, asked[n] + " please"),
    }
    found = by_turns(commands, rounds)
    found |= by_turns({"rekall add": lambda n: at.seconds([REKALL, "add", "til", f"note {n} {asked[n]}"])}, rounds // 4)
    peers: dict[str, Callable[[int], float]] = {
        "python -c pass": lambda _n: at.seconds([sys.executable, "-c", "pass"]),
        "rekall-py: words": lambda n: at.seconds([REKALL_PY, "search", "--words", asked[n]]),
        "rekall-py: meaning and words": lambda n: at.seconds([REKALL_PY, "search", asked[n]]),
    }
    if shutil.which("rg"):
        peers["rg -i, a word"] = lambda n: at.seconds(["rg", "-il", asked[n].split()[0], str(files)])
    if shutil.which("fzf"):
        peers["fzf --filter"] = lambda n: _fzf(at, listed, asked[n])
    return found | by_turns(peers, max(7, rounds // 20))


def _as_files(at: Home, made: list) -> tuple[Path, Path]:  # type: ignore[type-arg]
    """Write the same entries as files for ripgrep, and one a line for fzf."""
    files, listed = at.folder / "notes", at.folder / "notes.txt"
    files.mkdir()
    with listed.open("w") as lines:
        for number, entry in enumerate(made):
            (files / f"{number}.md").write_text(f"# {entry.title}\n\n{entry.content}\n")
            lines.write(f"{entry.title} {entry.content}".replace("\n", " ") + "\n")
    return files, listed


def _piped(at: Home, text: str) -> float:
    reading, writing = os.pipe()
    os.write(writing, text.encode())
    os.close(writing)
    try:
        return at.seconds([REKALL], reading)
    finally:
        os.close(reading)


def _fzf(at: Home, listed: Path, text: str) -> float:
    stdin = os.open(listed, os.O_RDONLY)
    try:
        return at.seconds(["fzf", "--filter", text], stdin)
    finally:
        os.close(stdin)


def crowd(at: Home, notes: list[tuple[str, str]], clients: int, each: int) -> dict[str, list[float]]:
    """Time `each` questions of every one of `clients` that ask at once, new ones and such as others asked before."""
    asked = queries(max(200, each), notes, seed=3)
    found: list[float] = []

    def ask(number: int) -> None:
        for turn in range(each):
            found.append(at.seconds([REKALL, "search", asked[(number + turn) % len(asked)]]) * 1000)

    threads = [Thread(target=ask, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(found) != clients * each:
        raise SystemExit(f"{clients * each - len(found)} questions were not answered")
    return {f"{clients} clients at once, {each} questions each": found}


def cold(at: Home, rounds: int) -> dict[str, list[float]]:
    """Time the first answer of a session, the start of the server and of the model in it."""
    found: dict[str, list[float]] = {"cold: first words answer": [], "cold: first meaning answer": []}
    for _round in range(rounds):
        for name, more in (("words", ["--words"]), ("meaning", [])):
            at.stop()
            found[f"cold: first {name} answer"].append(at.seconds([REKALL, "search", *more, "undo commit"]) * 1000)
    return found


def memory(at: Home, model: str | None) -> dict[str, float]:
    """Return MB of PSS over all processes at each stage of a session, and the peaks (RSS)."""
    at.stop()
    if model:
        at.set("embeddings.model", f"sentence-transformers/{model}")
        vectors_for(Path(at.env["REKALL_DB"]), f"sentence-transformers/{model}")
    at.set("performance.model_idle_timeout_minutes", "0.1")
    stages: dict[str, float] = {}
    at.seconds([REKALL, "list", "-n", "1"])
    _until(at, lambda facts: facts["model_state"] == "loaded", 120)
    for text in ("undo the last commit", "find large files", "merge", "rebase", "list open ports"):
        at.seconds([REKALL, "search", text])
    time.sleep(1)
    facts = at.memory()
    stages["loaded, after searches"] = _pss(facts)
    stages["peak of the server (RSS)"] = facts["process_peak"] / 2**20
    stages["peak of the model's process (RSS)"] = facts["worker_peak"] / 2**20
    facts = _until(at, lambda facts: facts["model_state"] == "not loaded", 30)
    stages["model gone"] = _pss(facts)
    facts = _until(at, lambda facts: facts["vectors"] == 0, 60)
    stages["vectors gone too"] = _pss(facts)
    stages["first query after that (ms)"] = at.seconds([REKALL, "search", "undo the last commit once more"]) * 1000
    stages["first words after that (ms)"] = at.seconds([REKALL, "search", "--words", "commit"]) * 1000
    at.set("performance.model_idle_timeout_minutes", "10")
    at.set("embeddings.model", "all-MiniLM-L6-v2")
    return stages


def _pss(facts: dict[str, int]) -> float:
    return (facts["process_pss"] + facts.get("worker_pss", 0)) / 2**20


def _until(at: Home, true: Callable[[dict[str, int]], bool], seconds: float) -> dict[str, int]:
    deadline = time.monotonic() + seconds
    while True:
        facts = at.memory()
        if true(facts):
            return facts
        if time.monotonic() > deadline:
            raise SystemExit(f"waited {seconds} s in vain: {facts}")
        time.sleep(0.2)


def summary(times: list[float]) -> dict[str, float]:
    ordered = sorted(times)
    return {
        "p50": statistics.median(ordered),
        "p99": ordered[min(len(ordered) - 1, round(len(ordered) * 0.99))],
        "n": len(ordered),
    }


def measure(size: int, notes: list[tuple[str, str]], rounds: int, model: str | None, each: int) -> dict[str, object]:
    with home() as at:
        print(f"\n{size:,} entries: making the base …", file=sys.stderr)
        is_synthetic = build(Path(at.env["REKALL_DB"]), size, notes)
        times = {name: summary(found) for name, found in {
            **cold(at, max(5, rounds // 30)), **warm(at, notes, entries(size, notes), rounds),
            **(crowd(at, notes, 50, each) if each else {})}.items()}  # fmt: skip
        held = {"all-MiniLM-L6-v2 (onnxruntime)": memory(at, None)}
        if model:
            held[f"{Path(model).name} (sentence-transformers)"] = memory(at, model)
    return {"entries": size, "synthetic_vectors": is_synthetic, "ms": times, "mb": held}


def show(results: list[dict]) -> None:  # type: ignore[type-arg]
    """Print the tables of docs/latency.md."""
    names = list(results[-1]["ms"])
    sizes = [f"{r['entries']:,}" + (" ¹" if r["synthetic_vectors"] else "") for r in results]
    print("| ms, p50 / p99 | " + " | ".join(sizes) + " |\n|---|" + "---|" * len(results))
    for name in names:
        cells = [f"{r['ms'][name]['p50']:.1f} / {r['ms'][name]['p99']:.1f}" if name in r["ms"] else "" for r in results]
        print(f"| {name} | " + " | ".join(cells) + " |")
    print("\n¹ synthetic vectors")
    for engine in results[-1]["mb"]:
        print(f"\n{engine}\n\n| MB of PSS, all processes | " + " | ".join(sizes) + " |\n|---|" + "---|" * len(results))
        for stage in results[-1]["mb"][engine]:
            print(f"| {stage} | " + " | ".join(f"{r['mb'][engine][stage]:.1f}" for r in results) + " |")


def plot(results: list[dict], path: Path) -> None:  # type: ignore[type-arg]
    """Draw the times of each command against the number of entries."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "rekall"
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 4.5))
    sizes = [r["entries"] for r in results]
    axes.set_prop_cycle(color=plt.colormaps["tab20"].colors)
    for name in results[-1]["ms"]:
        style = "-" if name.startswith("rekall:") else ":" if name.startswith("cold") else "--"
        axes.plot(sizes, [r["ms"][name]["p50"] for r in results], style, marker="o", label=name)
    axes.set(xscale="log", yscale="log", xlabel="entries", ylabel="ms from start to end of the process (p50)")
    axes.axhline(50, color="grey", linewidth=0.5)
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    axes.grid(alpha=0.3)
    figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--notes", type=Path, required=True, help="a folder of Markdown notes")
    parser.add_argument("--sizes", default="1000,10000,100000")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--each", type=int, default=20, help="questions of each of 50 clients at once (0: none)")
    parser.add_argument("--st", metavar="NAME", help="a model for sentence-transformers: a name, or its folder")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    notes = notes_of(options.notes) if options.notes.is_dir() else []
    if not notes:
        raise SystemExit(f"{options.notes} holds no Markdown notes; name a folder with --notes")
    results = [measure(int(size), notes, options.rounds, options.st, options.each) for size in options.sizes.split(",")]
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    show(results)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(results, indent=1))
    if options.plot:
        plot(results, options.plot)


if __name__ == "__main__":
    main()
