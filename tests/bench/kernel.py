"""The kernel beside its peers: one run, the same data, through VectorIndex.search.

    make bench-kernel            1k, 10k and 100k rows; d = 256, 384, 768
    make bench-kernel MILLION=1  also a million rows of 384

    python tests/bench/kernel.py [--million] [--notes FOLDER] [--json FILE] [--plot FILE]

Data: clustered synthetic vectors, and with --notes real embeddings of real text (every passage of the
notes; repeated with a little noise where more rows are wanted). Peers: numpy (matrix-vector product and
argpartition), faiss IndexFlatIP, usearch exact, simsimd and argpartition, sqlite-vec, and the time to read the float32
bytes once. Medians of interleaved rounds; ratios are what to quote.

First on one thread. Then two searches at once, each on one thread of its own and all of one contender's over the same
index: what a server with two clients sees, as the milliseconds that pass a query answered.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# Before numpy is imported: one thread for every library, and OpenBLAS free to choose its own kernel.
for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"
for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    os.environ.pop(name, None)

import numpy as np
from numpy.typing import NDArray

from rekall.kernel import FOUR_BIT_ROWS
from rekall.vector_index import VectorIndex

Floats = NDArray[np.float32]
Search = Callable[[Floats], object]
K = 10


def clustered(n: int, d: int, seed: int = 1) -> Floats:
    """Unit rows around n / 50 centres: what embeddings of notes look like, coarsely."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(max(1, n // 50), d)).astype(np.float32)
    rows = np.empty((n, d), np.float32)
    for start in range(0, n, 50_000):
        end = min(n, start + 50_000)
        rows[start:end] = centres[rng.integers(0, len(centres), end - start)]
        rows[start:end] += 0.6 * rng.normal(size=(end - start, d)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def embedded(folder: Path, n: int) -> Floats:
    """Unit rows of real text: the passages of a folder of notes, kept in a file between runs."""
    from rekall.capture import read_markdown
    from rekall.model_manager import ModelManager

    name = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:8]
    kept = Path(tempfile.gettempdir()) / f"rekall-bench-{name}.npy"
    if kept.exists():
        base = np.load(kept)
    else:
        with ModelManager() as models:
            notes = [read_markdown(path.read_text(errors="replace")) for path in sorted(folder.glob("**/*.md"))]
            parts = [models.get_model().encode_document(note.get("title", ""), note["content"]) for note in notes]
        base = np.concatenate(parts)
        np.save(kept, base)
    rng = np.random.default_rng(2)
    rows = base[rng.integers(0, len(base), n)] if n > len(base) else base[:n]
    if n > len(base):
        rows = rows + 0.02 * rng.normal(size=rows.shape).astype(np.float32)
    return np.ascontiguousarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def queries_for(rows: Floats, count: int) -> list[Floats]:
    """Queries near some of the rows, as questions are near notes."""
    rng = np.random.default_rng(3)
    near = rows[rng.integers(0, len(rows), count)]
    near = near + (0.8 / np.sqrt(rows.shape[1])) * rng.normal(size=near.shape).astype(np.float32)
    return [np.ascontiguousarray(row / np.linalg.norm(row), dtype=np.float32) for row in near]


def ours(rows: Floats, backend: str, copies: bool = True) -> tuple[VectorIndex, Search]:
    """Return our index with its copies built, or kept from building them."""
    index = VectorIndex.from_matrix([str(row) for row in range(len(rows))], rows, backend)
    searcher = index._searcher
    if backend == "kernel":
        if copies:
            searcher.build_copy(4 if len(rows) >= FOUR_BIT_ROWS else 8)  # type: ignore[attr-defined]
        else:
            searcher._copy_for = lambda *_arguments: None  # type: ignore[attr-defined]
    return index, lambda query: index.search(query, K)


def peers(rows: Floats) -> dict[str, Search]:
    """Return the peers that are installed, each as a function of the query that gives its top k."""
    found: dict[str, Search] = {}

    def by_numpy(query: Floats) -> object:
        scores = rows @ query
        best = np.argpartition(scores, -K)[-K:]
        return best[np.argsort(-scores[best])]

    found["numpy"] = by_numpy
    try:  # before usearch, whose library carries symbols that simsimd would take for its own: it then refuses any array
        import simsimd

        def by_simsimd(query: Floats) -> object:
            scores = np.asarray(simsimd.cdist(query.reshape(1, -1), rows, metric="inner", threads=1)).ravel()
            best = np.argpartition(scores, -K)[-K:]
            return best[np.argsort(-scores[best])]

        found["simsimd"] = by_simsimd
    except ImportError:
        print("simsimd is not installed: left out", file=sys.stderr)
    try:
        import faiss

        faiss.omp_set_num_threads(1)
        flat = faiss.IndexFlatIP(rows.shape[1])
        flat.add(rows)
        found["faiss"] = lambda query: flat.search(query[None], K)
    except ImportError:
        print("faiss-cpu is not installed: left out", file=sys.stderr)
    try:
        from usearch.index import MetricKind, search

        found["usearch"] = lambda query: search(rows, query, K, MetricKind.IP, exact=True, threads=1)
    except ImportError:
        print("usearch is not installed: left out", file=sys.stderr)
    if VectorIndex.is_available("sqlite-vec"):
        found["sqlite-vec"] = ours(rows, "sqlite-vec")[1]
    return found


def read_floor() -> Callable[[Floats], object]:
    """Return a function that reads a matrix once, compiled now."""
    folder = tempfile.mkdtemp()
    library = str(Path(folder) / "read_floor.so")
    source = Path(__file__).with_name("read_floor.c")
    subprocess.run(["cc", "-O3", "-march=native", "-shared", "-fPIC", str(source), "-o", library], check=True)
    function = ctypes.CDLL(library).read_all
    function.restype = ctypes.c_uint64
    function.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    return lambda rows: function(rows.ctypes.data, rows.nbytes // 8)


def medians(searches: dict[str, Search], queries: list[Floats], rounds: int, warm: int) -> dict[str, float]:
    """Return milliseconds a query: the median over all queries of `rounds` rounds, the contenders taking turns.

    A turn begins with `warm` queries that do not count: who comes after a contender that has emptied the caches would
    pay for it.
    """
    taken: dict[str, list[float]] = {name: [] for name in searches}
    for number in range(rounds + 1):
        for name, search in searches.items():
            for query in queries[:warm]:
                search(query)
            times = [timed(search, query) for query in queries]
            if number:  # the first round warms up
                taken[name] += times
    return {name: float(np.median(times)) * 1000 for name, times in taken.items()}


def two_at_once(
    searches: dict[str, Search], queries: list[Floats], rounds: int, alone: dict[str, float]
) -> dict[str, float]:
    """Return milliseconds that pass a query answered, with two threads asking: medians of `rounds` rounds."""
    taken: dict[str, list[float]] = {name: [] for name in searches}
    with ThreadPoolExecutor(2) as pool:
        for _round in range(rounds):
            for name, search in searches.items():
                times = max(1, round(20 / (alone[name] * len(queries))))  # 20 ms and more: threads start slowly

                def ask(_thread: int, search: Search = search, times: int = times) -> None:
                    for query in queries * times:
                        search(query)

                started = time.perf_counter()
                list(pool.map(ask, range(2)))
                taken[name].append((time.perf_counter() - started) / (2 * times * len(queries)))
    return {name: float(np.median(times)) * 1000 for name, times in taken.items()}


def timed(search: Search, query: Floats) -> float:
    """Return the seconds one search takes."""
    started = time.perf_counter()
    search(query)
    return time.perf_counter() - started


def measure(rows: Floats, label: str) -> dict[str, object]:
    """Time everything over one matrix."""
    n, d = rows.shape
    queries = queries_for(rows, 20 if n <= 100_000 else 5)
    floor = read_floor()
    index, quick = ours(rows, "kernel")
    searches: dict[str, Search] = {"rekall": quick, "rekall, plain scan": ours(rows, "kernel", copies=False)[1]}
    searches |= peers(rows)
    searches["read floor"] = lambda _query: floor(rows)
    times = medians(searches, queries, max(3, min(50, 600_000 // n)), 20 if n <= 10_000 else 1)
    two = two_at_once(searches, queries, max(3, min(15, 300_000 // n)), times)
    names = {key for key, _score in index.search(queries[0], K)}
    assert names == {str(row) for row in np.argsort(-(rows @ queries[0]))[:K]}, "the kernel's answer is wrong"
    return {"data": label, "n": n, "d": d, "ms": times, "ms_two_at_once": two, "bytes": index.stats()["bytes"]}


def table(rows: list[dict[str, object]], which: str = "ms") -> str:
    """Return the results as Markdown: milliseconds, then how many times as long as ours."""
    names = list(dict.fromkeys(name for row in rows for name in row[which]))  # type: ignore[attr-defined]
    lines = ["| data | n | d | " + " | ".join(names) + " |", "|" + "---|" * (len(names) + 3)]
    for row in rows:
        times: dict[str, float] = row[which]  # type: ignore[assignment]
        cells = []
        for name in names:
            value = times.get(name)
            ratio = "" if value is None or name == "rekall" else f" ({value / times['rekall']:.1f}×)"
            cells.append("–" if value is None else f"{value:.3g}{ratio}")
        lines.append(f"| {row['data']} | {row['n']:,} | {row['d']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def plot(rows: list[dict[str, object]], path: Path) -> None:
    """Draw milliseconds a query against rows, both logarithmic."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    chosen = [row for row in rows if row["d"] == 384 and row["data"] == "clustered"]
    names = list(dict.fromkeys(name for row in chosen for name in row["ms"]))  # type: ignore[attr-defined]
    figure, axes = plt.subplots(figsize=(8, 5))
    for name in names:
        points = [(row["n"], row["ms"][name]) for row in chosen if name in row["ms"]]  # type: ignore[operator,index]
        style = {"linewidth": 3} if name == "rekall" else {"linestyle": ":"} if name == "read floor" else {}
        axes.plot(*zip(*points, strict=True), marker="o", label=name, **style)
    axes.set(xscale="log", yscale="log", xlabel="vectors (d = 384)", ylabel="ms a query, top 10, one thread")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--million", action="store_true")
    parser.add_argument("--notes", type=Path, help="a folder of Markdown notes, for real embeddings")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    if options.notes and not options.notes.is_dir():
        sys.exit(f"{options.notes} is no folder of notes; leave --notes out for synthetic vectors alone")
    results = []
    for n in (1000, 10_000, 100_000):
        for d in (384, 256, 768):
            results.append(measure(clustered(n, d), "clustered"))
            print(table(results[-1:]).splitlines()[-1], flush=True)
        if options.notes:
            results.append(measure(embedded(options.notes, n), "real text"))
            print(table(results[-1:]).splitlines()[-1], flush=True)
    if options.million:
        results.append(measure(clustered(1_000_000, 384), "clustered"))
        print(table(results[-1:]).splitlines()[-1], flush=True)
    print(
        f"\n{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, numpy {np.__version__}\n"
    )
    print(table(results))
    print(f"\nTwo searches at once\n\n{table(results, 'ms_two_at_once')}")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))
    if options.plot:
        plot(results, options.plot)


if __name__ == "__main__":
    main()
