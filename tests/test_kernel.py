"""The compiled kernel: every path against a float64 twin, and the quick way against the plain one, bit by bit."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rekall import _topk as topk
from rekall.errors import BackendUnavailable
from rekall.kernel import COPY_ROWS, KernelSearcher, path_number
from rekall.vector_index import VectorIndex

Floats = NDArray[np.float32]
PATHS = [topk.PATHS.index(name) for name in topk.paths()]
# The vector paths add in one order and give the same bits; the scalar one has no fused multiply-add.
VECTOR_PATHS = [path for path in PATHS if path > 0]
DIMENSIONS = (1, 2, 7, 8, 15, 16, 17, 31, 33, 100, 384, 385)


def copy_of(rows: Floats, bits: int, path: int = PATHS[-1]) -> topk.Copy:
    copy = topk.Copy(bits, rows)
    copy.encode(path, len(rows) // 2)
    copy.encode(path, len(rows))
    return copy


def random_rows(rng: np.random.Generator, n: int, d: int, kind: str) -> Floats:
    """Rows of unit length of one kind, hard cases among them."""
    rows = rng.normal(size=(n, d))
    if kind == "clustered":
        rows = rng.normal(size=(max(1, n // 40), d))[rng.integers(0, max(1, n // 40), n)] + 0.3 * rows
    elif kind == "duplicates":
        rows = rows[rng.integers(0, max(1, n // 10), n)]
    elif kind == "near duplicates":
        rows = rows[:1] + 1e-4 * rows
    elif kind == "sparse":
        rows *= rng.random((n, d)) < 0.05
        rows[:, 0] += 1e-3
    elif kind == "sorted":
        rows = rows[np.argsort(rows[:, 0])]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return np.ascontiguousarray(rows, dtype=np.float32)


KINDS = ("noise", "clustered", "duplicates", "near duplicates", "sparse", "sorted")


@st.composite
def searches(draw: st.DrawFn) -> tuple[Floats, Floats, int, NDArray[np.bool_] | None, float]:
    """Return (rows, query, k, mask, floor)."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, d = draw(st.integers(1, 300)), draw(st.sampled_from(DIMENSIONS))
    rows = random_rows(rng, n, d, draw(st.sampled_from(KINDS)))
    odd = draw(st.sampled_from(("none", "nan", "inf", "denormal")))
    if odd == "nan":
        rows[rng.integers(0, n)] = np.nan
    elif odd == "inf":
        rows[rng.integers(0, n), 0] = np.inf
    elif odd == "denormal":
        rows[rng.integers(0, n)] = 1e-41
    near = np.nan_to_num(rows[rng.integers(0, n)], nan=1.0, posinf=1.0) + 0.1 * rng.normal(size=d)
    query = topk.unit((near if draw(st.booleans()) else rng.normal(size=d)).astype(np.float32), d)
    mask = rng.random(n) < draw(st.sampled_from((0.02, 0.5, 0.98))) if draw(st.booleans()) else None
    return rows, query, draw(st.integers(1, n + 5)), mask, draw(st.sampled_from((-np.inf, 0.0, 0.3)))


def packed(mask: NDArray[np.bool_] | None) -> NDArray[np.uint8] | None:
    return None if mask is None else np.packbits(mask, bitorder="little")


@settings(max_examples=600)
@given(searches())
def test_every_path_equals_the_float64_twin(case: tuple[Floats, Floats, int, NDArray[np.bool_] | None, float]) -> None:
    rows, query, k, mask, floor = case
    with np.errstate(invalid="ignore", over="ignore"):
        exact = rows.astype(np.float64) @ query.astype(np.float64)
    allowed = np.ones(len(rows), bool) if mask is None else mask
    candidates = np.flatnonzero(allowed & ~np.isnan(exact) & (exact >= floor - 1e-6))
    expected = sorted(exact[candidates], reverse=True)[:k]
    for path in PATHS:
        found, *_work = topk.search(path, rows, len(rows), query, k, packed(mask), floor)
        scores = [score for _row, score in found]
        assert all(allowed[row] for row, _score in found)
        assert [(-score, row) for row, score in found] == sorted((-score, row) for row, score in found)
        # A score within rounding of the floor may fall on either side of it.
        certain = [score for score in expected if score >= floor + 1e-6]
        assert len(certain) <= len(found) <= len(expected)
        assert scores == pytest.approx(expected[: len(found)], abs=2e-6)


@settings(max_examples=1600)
@given(searches())
def test_the_quick_way_equals_the_plain_scan_bit_by_bit(
    case: tuple[Floats, Floats, int, NDArray[np.bool_] | None, float],
) -> None:
    rows, query, k, mask, floor = case
    for bits in (8, 4):
        for path in PATHS:
            copy = copy_of(rows, bits, path)
            plain, *_work = topk.search(path, rows, len(rows), query, k, packed(mask), floor)
            quick, *_work = topk.search(path, rows, len(rows), query, k, packed(mask), floor, copy)
            assert quick == plain


@pytest.mark.parametrize("kind", KINDS)
def test_the_quick_way_equals_the_plain_scan_where_it_is_used(kind: str) -> None:
    """Thousands of rows, many queries: 2 copies x paths x 60 queries x 6 kinds, with and without giving up."""
    rng = np.random.default_rng(KINDS.index(kind))
    rows = random_rows(rng, 3000, 384, kind)
    copies = [copy_of(rows, bits) for bits in (8, 4)]
    gave_up = []
    for number in range(60):
        near = rows[rng.integers(0, len(rows))] + 0.05 * rng.normal(size=384).astype(np.float32)
        query, k = topk.unit(near, 384), (1, 10, 50)[number % 3]
        for path in VECTOR_PATHS:
            plain, *_work = topk.search(path, rows, len(rows), query, k)
            for copy in copies:
                quick, rescored, up = topk.search(path, rows, len(rows), query, k, None, -np.inf, copy)
                assert quick == plain
                assert rescored <= len(rows)
                gave_up.append(up)
    if kind == "clustered":
        assert not all(gave_up)  # where rows differ the copy does its work


@pytest.mark.parametrize("path", VECTOR_PATHS[1:])
def test_the_vector_paths_give_the_same_bits(path: int) -> None:
    rng = np.random.default_rng(7)
    for d in DIMENSIONS:
        rows = random_rows(rng, 200, d, "noise")
        query = topk.unit(rng.normal(size=d).astype(np.float32), d)
        assert topk.search(path, rows, 200, query, 200)[0] == topk.search(VECTOR_PATHS[0], rows, 200, query, 200)[0]


def test_a_batch_equals_its_queries_one_by_one() -> None:
    rng = np.random.default_rng(3)
    rows = random_rows(rng, 2500, 100, "clustered")
    queries = random_rows(rng, 9, 100, "noise")
    mask = packed(rng.random(2500) < 0.6)
    for path in PATHS:
        for bits in (8, 4):
            for k in (1, 12, 300):  # the last gives up
                copy = copy_of(rows, bits, path)
                one_by_one = [topk.search(path, rows, 2500, query, k, mask)[0] for query in queries]
                assert topk.batch(path, rows, 2500, queries, k, mask, -np.inf, copy)[0] == one_by_one


def test_rows_need_no_alignment() -> None:
    rng = np.random.default_rng(5)
    rows = random_rows(rng, 100, 33, "noise")
    raw = np.zeros(rows.nbytes + 1, np.uint8)
    shifted = raw[1:].view(np.uint8)
    shifted[:] = rows.view(np.uint8).reshape(-1)
    odd = np.frombuffer(shifted.data, dtype=np.float32).reshape(100, 33)
    assert odd.ctypes.data % 4 == 1
    query = topk.unit(rows[3], 33)
    for path in PATHS:
        assert topk.search(path, odd, 100, query, 5)[0] == topk.search(path, rows, 100, query, 5)[0]


def test_arrays_that_do_not_fit_are_refused() -> None:
    rows = random_rows(np.random.default_rng(1), 20, 16, "noise")
    query = topk.unit(rows[0], 16)
    with pytest.raises(ValueError, match="shape"):
        topk.search(0, rows, 21, query, 3)
    with pytest.raises(ValueError, match="shape"):
        topk.search(0, rows, 20, query[:8].copy(), 3)
    with pytest.raises(ValueError, match="mask"):
        topk.search(0, rows, 20, query, 3, np.zeros(2, np.uint8))
    with pytest.raises(ValueError, match="copy"):
        topk.search(0, rows, 20, query, 3, None, -1.0, copy_of(rows[:19], 8))
    with pytest.raises(ValueError, match="copy"):
        topk.search(
            0, rows, 20, query, 3, None, -1.0, copy_of(random_rows(np.random.default_rng(1), 20, 8, "noise"), 8)
        )
    with pytest.raises(ValueError, match="shape"):
        topk.Copy(8, rows).encode(0, 21)
    with pytest.raises(ValueError, match="shape"):
        copy_of(rows, 8).moved(rows[:3])
    with pytest.raises(ValueError, match="bits"):
        topk.Copy(7, rows)
    with pytest.raises(ValueError, match="path"):
        topk.search(99, rows, 20, query, 3)


def test_rekall_kernel_names_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in topk.paths():
        monkeypatch.setenv("REKALL_KERNEL", name)
        assert KernelSearcher().path == name
    monkeypatch.delenv("REKALL_KERNEL")
    assert KernelSearcher().path == topk.paths()[-1]
    with pytest.raises(BackendUnavailable, match="REKALL_KERNEL is 'mmx'; this CPU can take: scalar"):
        path_number("mmx")


def wait_for_copies(index: VectorIndex, query: Floats) -> None:
    """Search until the copies that are built behind the answers are there."""
    deadline = time.monotonic() + 20
    while not index.stats()["copies_bytes"]:
        index.search(query, 1)
        assert time.monotonic() < deadline, "no copy was built"


@pytest.mark.parametrize("bits", [8, 4])
def test_copies_are_built_behind_the_answers_and_follow_every_change(
    bits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rekall.kernel.FOUR_BIT_ROWS", COPY_ROWS if bits == 4 else 10**9)
    rng = np.random.default_rng(11)
    rows = random_rows(rng, COPY_ROWS * 3, 64, "clustered")
    ids = [f"e{number}" for number in range(len(rows))]
    index, twin = VectorIndex.from_matrix(ids, rows, "kernel"), VectorIndex.from_matrix(ids, rows, "numpy")
    wait_for_copies(index, rows[0])
    for number in range(400):
        fresh = random_rows(rng, 1, 64, "noise")[0]
        action, key = number % 4, f"e{rng.integers(0, len(rows))}"
        for one in (index, twin):
            if action == 0:
                one.add(f"new{number}", fresh)
            elif action == 1:
                one.delete(key)
            elif action == 2 and key in one:
                one.update(key, fresh)
        query = fresh + 0.2 * random_rows(rng, 1, 64, "noise")[0]
        found, expected = index.search(query, 10), twin.search(query, 10)
        assert [key for key, _score in found] == [key for key, _score in expected]
        assert [score for _key, score in found] == pytest.approx([score for _key, score in expected], abs=1e-6)


def test_rows_that_come_while_a_copy_is_built_are_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rekall.kernel.ENCODE_STEP", 1)  # slow enough to be overtaken
    rng = np.random.default_rng(12)
    rows = random_rows(rng, COPY_ROWS, 64, "clustered")
    index = VectorIndex.from_matrix([str(number) for number in range(len(rows))], rows, "kernel")
    searcher = index._searcher
    assert isinstance(searcher, KernelSearcher)
    for number in range(COPY_ROWS):  # the matrix grows more than once
        index.search(rows[0], 1)
        index.add(f"new{number}", random_rows(rng, 1, 64, "noise"))
    wait_for_copies(index, rows[0])
    [copy] = searcher._copies.values()
    assert (copy.count, copy.store is index._store) == (2 * COPY_ROWS, True)


def test_masks_and_floors_go_through_the_copies_of_many_searches() -> None:
    rng = np.random.default_rng(13)
    rows, queries = random_rows(rng, 3000, 64, "clustered"), random_rows(rng, 200, 64, "clustered")
    index = VectorIndex.from_matrix([str(number) for number in range(len(rows))], rows, "kernel")
    wait_for_copies(index, rows[0])
    for mask in (None, rng.random(3000) < 0.5, rng.random(3000) < 0.01):
        for k, floor in ((1, -2.0), (10, 0.3), (400, -2.0)):
            alone = [index.search(query, k, mask, floor) for query in queries]
            assert index.search_many(queries, k, mask, floor) == alone


def test_eight_threads_search_while_one_adds_and_deletes() -> None:
    """A process of its own: a crash of the C code must fail this test, not end the run."""
    script = """
import threading, numpy as np
from rekall.vector_index import VectorIndex
rng = np.random.default_rng(0)
rows = rng.normal(size=(5000, 64)).astype(np.float32)
index = VectorIndex.from_matrix([f"fixed{i}" for i in range(5000)], rows, "kernel")
stop, seen, problems = threading.Event(), [], []
def search(seed):
    rng = np.random.default_rng(seed)
    count = 0
    while not stop.is_set():
        target = int(rng.integers(0, 5000))
        found = index.search(rows[target], 3)
        count += 1
        if found[0][0] != f"fixed{target}" or found[0][1] < 0.9999:
            problems.append((target, found))
    seen.append(count)
threads = [threading.Thread(target=search, args=(seed,)) for seed in range(8)]
for thread in threads: thread.start()
for i in range(3000):
    index.add(f"gone{i}", rng.normal(size=64))
    if i >= 50: index.delete(f"gone{i - 50}")
stop.set()
for thread in threads: thread.join()
assert not problems, problems[:3]
assert len(seen) == 8 and min(seen) > 0
assert len(index) == 5050
"""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=env, timeout=100)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(platform.machine() != "x86_64" or not Path("/proc/cpuinfo").exists(), reason="read from Linux")
def test_what_the_processor_has_is_what_the_system_says() -> None:
    """Whatever compiled it: a path that is not taken costs a factor of thirty, and nobody is told."""
    flags = set(Path("/proc/cpuinfo").read_text().split("\nflags")[1].split("\n")[0].split())
    expected = {"scalar": set(), "avx2": {"avx2", "fma"}}
    expected["avx512"] = {"avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512_vnni"} | expected["avx2"]
    assert topk.paths() == [name for name, needed in expected.items() if needed <= flags]
