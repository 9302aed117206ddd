"""On a full disk every command does what it was asked, or says that it did not; and the base is as it was.

The disk is full from the nth deed of a real process on (tests/c/faults.c): wherever a program can meet that, it does.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from random import Random

import pytest
from faults import library, with_faults
from running import unmount
from story import KINDS, Story, held
from warm import Warm, rounds, serve

pytestmark = [pytest.mark.torture, pytest.mark.timeout(7200)]


@pytest.fixture(scope="session")
def preload(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return library(tmp_path_factory.mktemp("faults"))


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if ".part" in path.name or path.name.startswith(".rekall-")]


@pytest.mark.parametrize("how", ["full", "error"])
def test_a_disk_that_fails_from_any_deed_on_leaves_the_base_as_it_was_and_one_line(
    warm: Warm, preload: Path, how: str
) -> None:
    rekall = warm.cold
    assert rekall("add", "til", "the first").status == 0
    story = Story(rekall.base, Path(rekall.env["HOME"]), Random(29), frozenset({"the first"}), (frozenset(),))
    failed = 0
    for _round in range(rounds(14, 30, 1500)):
        step = story.plan(tuple(kind for kind in KINDS if kind != "import"))
        number = story.random.randint(1, 90 if step.kind in ("bulk", "merge", "restore", "repair") else 25)
        answer = rekall(*step.words, **with_faults(preload, warm.base.parent, number, how))
        assert answer.status in (0, 2), answer
        if answer.status == 2:
            failed += 1
            assert "rekall: " in answer.errors, answer
        # One that says it failed may have been done: the fault met it after its commit, in what follows it.
        story.settle(step, answer.status == 0)
        assert leftovers(warm.base.parent) == []
    assert failed


def test_a_warm_process_on_a_full_disk_says_so_and_goes_on_when_there_is_room(warm: Warm, preload: Path) -> None:
    assert warm("add", "til", "the first").status == 0
    server = serve(warm, **with_faults(preload, warm.base.parent, 1, "full"))
    warm.facts()  # a machine under load takes its time; until it answers, the client would answer by itself
    answer = warm("add", "til", "no room for this")
    assert answer.status == 2 and "full" in answer.errors, answer
    assert warm("search", "--words", "first").status == 0
    assert held(warm.base) == {"the first"}
    server.kill()
    server.wait()
    assert warm("add", "til", "room again").status == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_small_disk_that_fills_up_keeps_what_it_has(warm: Warm, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", disk], check=False).returncode:
        pytest.skip("this machine lets nobody mount")
    try:
        base, kept = disk / "rekall.db", set()
        for number in range(60):
            title = f"note {number}"
            answer = warm.cold("--db", str(base), "add", "til", title, "-c", "-", stdin=b"words of some length " * 8000)
            if answer.status:
                assert answer.status == 2 and "full" in answer.errors, answer
                break
            kept.add(title)
        else:
            raise AssertionError("the disk was never full")
        assert held(base) >= kept and len(held(base)) <= len(kept) + 1
        for words in (("backup",), ("export", "-o", str(disk / "all.jsonl"))):
            assert warm.cold("--db", str(base), *words).status in (0, 2)
        assert leftovers(disk) == []
        assert warm.cold("--db", str(base), "backup", "-o", str(tmp_path / "elsewhere.bak")).status == 0
        assert held(tmp_path / "elsewhere.bak") >= kept
    finally:
        unmount(disk)
        shutil.rmtree(disk, ignore_errors=True)
