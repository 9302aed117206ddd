"""Killed at any moment, a base holds every write that was acknowledged, and nothing in part.

Real processes are killed hard, at random moments and at their nth deed on the disk (tests/c/faults.c); then the base is
verified and compared with what had been acknowledged (tests/story.py). A step that was cut short happened or did not.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from itertools import count
from pathlib import Path
from random import Random

import pytest
from faults import library, with_faults
from story import KINDS, Step, Story, held
from warm import Cold, Warm, rounds, serve

pytestmark = [pytest.mark.torture, pytest.mark.timeout(7200)]

DATA = Path(__file__).parent / "data"
# Deeds on the disk that a command does, about; a killed one is met before, in and after its transaction.
MOST_DEEDS = {"import": 60, "bulk": 90, "merge": 90, "rebuild": 60, "repair": 120, "backup": 40, "restore": 120}


@pytest.fixture(scope="session")
def preload(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return library(tmp_path_factory.mktemp("faults"))


def run(rekall: Cold | Warm, words: tuple[str, ...], env: dict[str, str], kill_after: float | None) -> int | None:
    """Run a command, killed after so many seconds if it still runs; return its status, None if it was killed."""
    process = subprocess.Popen(
        rekall.command(*words),
        env=rekall.env | env,
        cwd=rekall.cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert process.stderr
    with process.stderr:
        if kill_after is not None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(kill_after)
            process.kill()
        errors = process.stderr.read()
        process.wait(60)
    if process.returncode == -signal.SIGKILL:
        return None
    assert process.returncode in (0, 1), (words, process.returncode, errors)
    assert b"Traceback" not in errors
    return process.returncode


def faults_of(random: Random, step: Step, preload: Path, below: Path) -> tuple[dict[str, str], float | None]:
    """Return how to kill the process of a step: at one of its deeds on the disk, or after a while."""
    if random.random() < 0.3:
        return {}, random.uniform(0.02, 0.6)
    number = random.randint(1, MOST_DEEDS.get(step.kind, 25))
    return with_faults(preload, below, number, random.choice(("kill", "torn"))), None


def story_in(rekall: Cold | Warm, seed: int) -> Story:
    assert rekall("add", "til", "the first").status == 0
    return Story(rekall.base, Path(rekall.env["HOME"]), Random(seed), frozenset({"the first"}), (frozenset(),))


@pytest.mark.parametrize("seed", range(4))
def test_a_process_killed_at_any_moment_loses_nothing_it_acknowledged(warm: Warm, preload: Path, seed: int) -> None:
    rekall = warm.cold
    story, killed = story_in(rekall, seed), 0
    for _round in range(rounds(5, 30, 2400)):
        step = story.plan()
        env, after = faults_of(story.random, step, preload, warm.base.parent)
        status = run(rekall, step.words, env, after)
        killed += status is None
        story.settle(step, status is not None)
    assert killed, "nothing was killed: the test shows nothing"


def test_a_killed_server_loses_nothing_and_its_clients_are_answered_all_the_same(warm: Warm, preload: Path) -> None:
    story, kills = story_in(warm, 7), 0
    random = story.random
    for number in count():
        if number >= rounds(6, 15, 1000) and (kills or number > 100):  # on a busy machine a handful may all miss
            break
        step = story.plan(tuple(kind for kind in KINDS if kind in ("add", "delete", "undo", "edit")))
        env = with_faults(preload, warm.base.parent, random.randint(1, 40), random.choice(("kill", "torn")), "run")
        victim = random.choice(("deed", "deed", "server", "worker", "nobody"))
        server = serve(warm, **env) if victim == "deed" else None
        process = subprocess.Popen(
            warm.command(*step.words), env=warm.env, cwd=warm.cwd,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        if victim in ("server", "worker"):
            time.sleep(random.uniform(0, 0.05))
            kills += kill_one(warm, b"run" if victim == "server" else b"rekall.worker")
        errors = process.communicate(timeout=60)[1]
        if server:
            kills += server.poll() is not None
            server.kill()
            server.wait()
        # An undo is not repeated by itself: nobody knows whether the server did it before it died.
        assert process.returncode == 0 or (victim != "nobody" and "rekall: " in errors), (step, errors)
        story.settle(step, process.returncode == 0)
    assert kills


def kill_one(warm: Warm, word: bytes) -> int:
    for pid in warm.processes():
        with suppress(OSError):
            if word in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                os.kill(pid, signal.SIGKILL)
                return 1
    return 0


@pytest.mark.parametrize("older", ["rekall-v11.db", "rekall-v12.db", "rekall-v13.db"])
def test_a_migration_killed_at_any_moment_leaves_the_old_base_or_the_new_one(
    warm: Warm, preload: Path, tmp_path: Path, older: str
) -> None:
    rekall, random = warm.cold, Random(3)
    whole = tmp_path / "whole.db"
    shutil.copy(DATA / older, whole)
    wanted = held(whole)
    assert wanted
    killed = 0
    for number in range(rounds(5, 15, 500)):
        folder = tmp_path / f"round-{number}"
        folder.mkdir()
        base = folder / "old.db"
        shutil.copy(DATA / older, base)
        env = with_faults(preload, folder, random.randint(1, 80), random.choice(("kill", "torn")))
        status = run(rekall, ("--db", str(base), "list"), env, None)
        killed += status is None
        if status is None and random.random() < 0.5:  # and the process that mends it, too
            run(rekall, ("--db", str(base), "list"), env, None)
        assert held(base) == wanted
        for backup in folder.glob("*.bak"):
            assert held(backup) == wanted
        shutil.rmtree(folder)
    assert killed
