"""How much memory a process takes, as the system counts it. Linux tells through /proc; elsewhere little is known."""

from __future__ import annotations

import ctypes
import gc
import resource
import sys
from contextlib import suppress
from pathlib import Path


def process_memory(pid: int | str = "self") -> dict[str, int]:
    """Return pss, rss and peak (of rss) of a process in bytes; what the system does not tell is left out.

    pss shares out the pages that several processes have in common, so the sum over processes is what they take.
    Without /proc only the peak is known, and only of this process.
    """
    found: dict[str, int] = {}
    for file, names in (("smaps_rollup", {"Pss": "pss", "Rss": "rss"}), ("status", {"VmHWM": "peak"})):
        with suppress(OSError):
            for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
                name, _colon, rest = line.partition(":")
                if name in names:
                    found[names[name]] = int(rest.split()[0]) * 1024
    if not found and pid == "self":
        unit = 1 if sys.platform == "darwin" else 1024
        found["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return found


def give_back() -> None:
    """Return freed memory to the system, where the C library keeps it for itself. Cost: a few ms."""
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # glibc's own; others have no such function
