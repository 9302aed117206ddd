"""What a process takes, as the system counts it."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rekall.memory import give_back, process_memory

MB = 1 << 20
on_linux = pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="the system does not tell")


@on_linux
def test_a_process_is_told_its_memory_in_bytes() -> None:
    found = process_memory()
    assert set(found) == {"pss", "rss", "peak"}
    assert 0 < found["pss"] <= found["rss"] <= found["peak"]
    assert 5 * MB < found["rss"] < 4096 * MB


@on_linux
def test_what_is_taken_shows_and_the_peak_remains() -> None:
    before = process_memory()
    held = bytearray(os.urandom(MB)) * 64
    during = process_memory()
    assert during["pss"] - before["pss"] > 60 * MB
    del held
    give_back()
    after = process_memory()
    assert during["pss"] - after["pss"] > 60 * MB
    assert after["peak"] >= during["rss"] - MB


@on_linux
def test_another_process_can_be_asked_about() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        found = process_memory(child.pid)
        assert set(found) == {"pss", "rss", "peak"}
        assert child.stdin
        child.stdin.close()


def test_of_a_process_that_has_gone_nothing_is_known() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert process_memory(child.pid) == {}


@on_linux
@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the C library decides for itself")
def test_give_back_returns_what_the_c_library_keeps() -> None:
    """Many small blocks, freed below one that stays: without a call the library keeps them all."""
    code = (
        "from rekall.memory import give_back, process_memory\n"
        "import ctypes; c = ctypes.CDLL(None)\n"
        "c.malloc.restype = ctypes.c_void_p; c.free.argtypes = [ctypes.c_void_p]\n"
        "blocks = [c.malloc(4000) for _ in range(10000)]\n"
        "for block in blocks: ctypes.memset(block, 1, 4000)\n"
        "last = c.malloc(4000)\n"
        "for block in blocks: c.free(block)\n"
        "del blocks\n"
        "kept = process_memory()['rss']; give_back(); print(kept - process_memory()['rss'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert int(done.stdout) > 30 * MB
