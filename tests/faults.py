"""Faults of the disk and of processes: real programs stopped at their nth deed, and what a power cut leaves of them.

tests/c/faults.c is compiled once and loaded before a program. A Trace is what it noted: from it, `after_power_cut`
makes the folder as a power cut at any moment may leave it. Kept is what was brought to the disk (fsync of the file; of
the folder, for a name). Of the rest any part may be there, torn at 512 bytes, in any order for what is written, in
their order for names, as file systems with a journal keep them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from struct import unpack

import pytest

SOURCE = Path(__file__).parent / "c" / "faults.c"
SECTOR = 512


def library(folder: Path) -> Path:
    """Compile the library into `folder` and return it; without a compiler, the test is skipped."""
    target = folder / "faults.so"
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None or not Path("/proc/self/fd").is_dir():
        pytest.skip("faults are caused with a C compiler, on Linux")
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", target, SOURCE, "-ldl"], check=True, timeout=60)
    return target


def with_faults(
    preload: Path, below: Path, at: int = 0, how: str = "", within: str = "", trace: Path | None = None
) -> dict[str, str]:
    """Return the variables that load the library. See tests/c/faults.c."""
    return {
        "LD_PRELOAD": str(preload),
        "FAULTS_BELOW": os.path.realpath(below),
        "FAULTS_AT": str(at),
        "FAULTS_HOW": how,
        "FAULTS_IN": within,
        "FAULTS_TRACE": str(trace or ""),
    }


@dataclass(frozen=True)
class Deed:
    """One thing that was done to the disk. Kinds: Write Sync Truncate Create Rename Link Unlink, Acknowledged."""

    kind: str
    inode: int
    offset: int
    path: str
    data: bytes


class Trace:
    """The deeds below a folder, from what was there at the beginning."""

    def __init__(self, file: Path, below: Path) -> None:
        self.file, self.below = file, Path(os.path.realpath(below))
        self._before = {path: (path.stat().st_ino, path.read_bytes()) for path in self._files()}

    def _files(self) -> Iterator[Path]:
        return (path for path in self.below.rglob("*") if path.is_file() and not path.name.endswith("-shm"))

    def acknowledge(self, what: str) -> None:
        """Note that somebody was told, now, that `what` is done."""
        data = what.encode()
        head = b"A" + b"".join(number.to_bytes(8, "little") for number in (0, 0, 0, len(data)))
        with self.file.open("ab", buffering=0) as file:
            file.write(head + data)

    def deeds(self) -> list[Deed]:
        found, place = [], 0
        data = self.file.read_bytes()
        while place < len(data):
            inode, offset, length, size = unpack("<4Q", data[place + 1 : place + 33])
            body = data[place + 33 : place + 33 + length + size]
            found.append(Deed(chr(data[place]), inode, offset, body[:length].decode(), body[length:]))
            place += 33 + length + size
        return found

    def after_power_cut(self, deeds: list[Deed], random: Random, target: Path) -> set[str]:
        """Write into `target` what may be left after these deeds; return what had been acknowledged."""
        disk = _Disk()
        for path, (inode, data) in self._before.items():
            disk.files[inode] = _File(bytearray(data))
            disk.names[str(path)] = inode
        acknowledged = {deed.data.decode() for deed in deeds if deed.kind == "A"}
        for deed in deeds:
            disk.take(deed)
        for name, inode in disk.names_left(random).items():
            path = target / Path(name).relative_to(self.below)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(disk.files[inode].left(random))
        return acknowledged


@dataclass
class _File:
    """A file: what is on the disk, and the writes that may be."""

    durable: bytearray
    waiting: list[tuple[int, bytes | None]] = field(default_factory=list)  # (place, data); None cuts at the place

    def sync(self) -> None:
        for place, data in self.waiting:
            _apply(self.durable, place, data)
        self.waiting.clear()

    def left(self, random: Random) -> bytes:
        content = bytearray(self.durable)
        keep = random.choice((0.0, 0.5, 0.9, 1.0))
        for place, data in self.waiting:
            if data is None:
                if random.random() < keep:
                    _apply(content, place, None)
                continue
            for start in range(0, len(data), SECTOR):
                if random.random() < keep:
                    _apply(content, place + start, data[start : start + SECTOR])
        return bytes(content)


def _apply(content: bytearray, place: int, data: bytes | None) -> None:
    end = place + len(data or b"")
    if data is None:
        del content[place:]
    content.extend(bytes(max(0, end - len(content))))
    if data is not None:
        content[place:end] = data


class _Disk:
    def __init__(self) -> None:
        self.files: dict[int, _File] = {}
        self.names: dict[str, int] = {}
        self._waiting: list[Deed] = []

    def take(self, deed: Deed) -> None:
        if deed.kind == "C":
            self.files[deed.inode] = _File(bytearray())
            self._waiting.append(deed)
        elif deed.kind in ("R", "L", "U"):
            self._waiting.append(deed)
        elif deed.kind == "S" and deed.inode in self.files:
            self.files[deed.inode].sync()
        elif deed.kind == "S":  # a folder: all that was done in it before
            mine = [d for d in self._waiting if any(os.path.dirname(p) == deed.path for p in _paths(d))]
            for one in mine:
                _rename(self.names, one)
            self._waiting = [d for d in self._waiting if d not in mine]
        elif deed.kind in ("W", "T") and deed.inode in self.files:
            self.files[deed.inode].waiting.append((deed.offset, deed.data if deed.kind == "W" else None))

    def names_left(self, random: Random) -> dict[str, int]:
        names = dict(self.names)
        for deed in self._waiting[: random.randint(0, len(self._waiting))]:
            _rename(names, deed)
        return {name: inode for name, inode in names.items() if inode in self.files}


def _paths(deed: Deed) -> list[str]:
    return [deed.path, deed.data.decode()] if deed.kind in ("R", "L") else [deed.path]


def _rename(names: dict[str, int], deed: Deed) -> None:
    if deed.kind in ("U", "R"):
        names.pop(deed.path, None)
    if deed.kind in ("R", "L"):
        names[deed.data.decode()] = deed.inode
    elif deed.kind == "C":
        names[deed.path] = deed.inode
