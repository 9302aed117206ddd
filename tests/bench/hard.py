"""Data on which the small copies tell little apart: what does the attempt cost beside the plain scan?

python tests/bench/hard.py
"""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from rekall import _topk as topk
from rekall.kernel import FOUR_BIT_ROWS

Floats = NDArray[np.float32]
PATH = topk.PATHS.index(topk.paths()[-1])


def hard_rows(kind: str, n: int, d: int = 384) -> Floats:
    """Unit rows of one kind."""
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(n, d)).astype(np.float32)
    if kind == "near-duplicates":
        rows = rows[:1] + 0.01 * rows
    elif kind == "exact duplicates":
        rows = np.repeat(rows[:1], n, axis=0)
    elif kind == "sparse":
        rows *= rng.random((n, d)) < 0.02
        rows[:, 0] += 0.01
    elif kind == "sorted":  # ever closer to the query: the bar rises to the last row
        away = np.linspace(2, 0.2, n, dtype=np.float32)[:, None]
        rows = rows[:1] + away * rows
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def ratio(rows: Floats, query: Floats, k: int, copy: topk.Copy) -> float:
    """Return the median time of a search by way of the copy over that of the plain scan, the two taking turns."""
    taken: dict[topk.Copy | None, list[float]] = {copy: [], None: []}
    for _round in range(max(15, 200_000 // len(rows))):
        for way, times in taken.items():
            started = time.perf_counter()
            topk.search(PATH, rows, len(rows), query, k, None, -np.inf, way)
            times.append(time.perf_counter() - started)
    return float(np.median(taken[copy]) / np.median(taken[None]))


def main() -> None:
    print("| rows | k | 5k | 30k | 100k |\n|---|---|---|---|---|")
    for kind in ("noise", "near-duplicates", "exact duplicates", "sparse", "sorted"):
        for k in (10, 200):
            cells = []
            for n in (5000, 30_000, 100_000):
                rows = hard_rows(kind, n)
                query = topk.unit(rows[-1] + 0.01 * np.random.default_rng(2).normal(size=384).astype(np.float32), 384)
                copy = topk.Copy(8 if n < FOUR_BIT_ROWS else 4, rows)
                copy.encode(PATH, n)
                cells.append(f"{ratio(rows, query, k, copy):.2f}")
            print(f"| {kind} | {k} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
