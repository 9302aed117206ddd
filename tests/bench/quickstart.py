"""The figures of docs/quickstart.md: the goals of the task list, measured by the commands that stand beside them.

    python tests/bench/quickstart.py [--rounds 20] [--large 50000]

Prints the rows of its table. Whole processes, from start to end, medians; memory as `rekall stats --memory` tells it. The
bases are made with `rekall bench generate`: 1,000 entries embedded by the model, more with synthetic vectors.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

from latency import REKALL, REKALL_PY, Home, _pss, _until, home

ASKED = "the pods are killed when there is much traffic"


def generate(at: Home, count: int) -> None:
    synthetic = ["--synthetic-vectors"] if count > 1000 else []
    at.seconds([REKALL_PY, "bench", "generate", "--count", str(count), *synthetic])


def median(rounds: int, seconds: Callable[[int], float]) -> str:
    found = [seconds(number) for number in range(rounds)]
    return f"{1000 * statistics.median(found):,.0f} ms"


def warm(at: Home, rounds: int) -> str:
    """Time new queries of a warm process."""
    at.seconds([REKALL, "search", ASKED])
    return median(rounds, lambda number: at.seconds([REKALL, "search", f"{ASKED} {number}"]))


def first(at: Home, rounds: int) -> str:
    """Time the first answer of a session: the server's start, the model's, the vectors'."""

    def once(number: int) -> float:
        at.stop()
        return at.seconds([REKALL, "search", f"{ASKED} {number}"])

    return median(rounds, once)


def alone(at: Home, rounds: int) -> str:
    return median(rounds, lambda number: at.seconds([REKALL_PY, "search", f"{ASKED} {number}"]))


def megabytes(size: float) -> str:
    return f"{size:.0f} MB"


def memory(at: Home) -> list[tuple[str, str, str, str]]:
    """Return the rows on memory: what all processes take in use, at their peaks, and at rest."""
    at.stop()
    at.set("performance.model_idle_timeout_minutes", "0.1")
    for number in range(20):
        at.seconds([REKALL, "search", f"{ASKED} {number}"])
    facts = _until(at, lambda facts: facts["model_state"] == "loaded", 60)
    in_use, peak = _pss(facts), (facts["process_peak"] + facts["worker_peak"]) / 2**20
    model_gone = _pss(_until(at, lambda facts: facts["model_state"] == "not loaded", 60))
    at_rest = _pss(_until(at, lambda facts: facts["vectors"] == 0, 60))
    at.set("performance.model_idle_timeout_minutes", "10")
    command = "`rekall stats --memory`"
    return [
        ("memory in use", "", megabytes(in_use), command),
        ("… the most it was, both processes' peaks added up", "200 MB", megabytes(peak), f"{command}: at most"),
        ("… at rest, model gone", "100 MB", megabytes(model_gone), f"{command}, idle"),
        ("… vectors gone too", "100 MB", megabytes(at_rest), f"{command}, idle twice as long"),
    ]


def index_seconds(at: Home) -> float:
    """Return how long reading all vectors and building the index takes, as the warm process does at its first question."""
    from rekall.cache import EmbeddingCache
    from rekall.config import DEFAULT_MODEL
    from rekall.db import Database
    from rekall.nearness import Resident

    with Database(at.folder / "rekall.db") as database:
        begin = time.perf_counter()
        index = Resident(EmbeddingCache(), DEFAULT_MODEL, "auto").index_at(database)
        index.search(index.gather([index.ids[0]])[1][0], 10)
        return time.perf_counter() - begin


def show(rows: list[tuple[str, str, str, str]]) -> None:
    for what, goal, measured, command in rows:
        print(f"| {what} | {f'< {goal}' if goal else ''} | {measured} | {command} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--large", type=int, default=50_000)
    options = parser.parse_args()
    few = max(3, options.rounds // 4)
    asked, cold = "`time rekall search …`", "`rekall server stop; time rekall search …`"
    print("| what | goal | measured | command |\n|---|---|---|---|")
    for count, goal in ((1000, "500 ms"), (10_000, "1,000 ms")):
        with home() as at:
            generate(at, count)
            show(
                [
                    (f"{count:,} entries: a search", goal, warm(at, options.rounds), asked),
                    ("… the first of a session", goal, first(at, few), cold),
                    ("… without the warm process", goal, alone(at, few), "`time rekall --no-server search …`"),
                ]
            )
            if count == 10_000:
                show([(f"{count:,} entries: {what}", *more) for what, *more in memory(at)])  # type: ignore[misc]
    with home() as at:
        generate(at, options.large)
        found = [index_seconds(at) for _round in range(few)]
        name = f"{options.large:,} entries"
        show(
            [
                (f"{name}: vectors read and indexed", "2,000 ms", f"{1000 * statistics.median(found):,.0f} ms",
                 "`python tests/bench/quickstart.py`"),
                ("… in the first search of a session", "2,000 ms", first(at, few), cold),
                ("… a search", "", warm(at, options.rounds), asked),
                ("… words, tags, fingerprints and the copy for sqlite-vec made anew", "",
                 median(3, lambda _n: at.seconds([REKALL_PY, "index", "rebuild"])), "`time rekall index rebuild`"),
            ]
        )  # fmt: skip


if __name__ == "__main__":
    main()
