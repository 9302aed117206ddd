"""A power cut at any moment loses nothing that was acknowledged.

Real processes do what a user asks for, and everything they do to the disk is noted. The disk is then made as a power
cut may leave it: what was brought to it (fsync) is there, of the rest any part (tests/faults.py). Each such disk is
opened, verified, and compared with what had been acknowledged by then.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from random import Random

import pytest
from faults import Trace, library, with_faults
from story import Story, Titles, held
from warm import Cold, Warm, rounds, serve

pytestmark = [pytest.mark.torture, pytest.mark.timeout(7200)]


@pytest.fixture(scope="session")
def preload(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return library(tmp_path_factory.mktemp("faults"))


def told(
    rekall: Cold | Warm, story: Story, trace: Trace, env: dict[str, str], steps: int
) -> list[tuple[Titles, Titles]]:
    """Do as many steps, and return what the base held before and after each."""
    states = []
    for number in range(steps):
        step = story.plan()
        answer = rekall(*step.words, **env)
        assert answer.status == 0, (step, answer)
        trace.acknowledge(f"{number} {step.kind}")
        states.append((story.titles, step.titles))
        story.settle(step, True)
    return states


def check(trace: Trace, states: list[tuple[Titles, Titles]], base: Path, cuts: int, tmp_path: Path) -> None:
    """Cut the power at random moments, and just after each acknowledgement, and look at what is left."""
    deeds, random = trace.deeds(), Random(11)
    assert sum(deed.kind == "S" for deed in deeds) > 20, "nothing was noted: the test shows nothing"
    ends = [place + 1 for place, deed in enumerate(deeds) if deed.kind == "A"]
    for number in range(cuts):
        end = random.choice(ends) if random.random() < 0.3 else random.randint(1, len(deeds))
        disk = tmp_path / f"disk-{number}"
        acknowledged = len(trace.after_power_cut(deeds[:end], random, disk))
        found = held(disk / base.name)
        allowed = {states[acknowledged - 1][1]} if acknowledged else {states[0][0]}
        allowed |= set(states[acknowledged]) if acknowledged < len(states) else set()
        assert found in allowed, (end, acknowledged, [found ^ one for one in allowed])
        for backup in disk.glob("*.bak"):
            held(backup)  # what has a backup's name is whole
        shutil.rmtree(disk, ignore_errors=True)


@pytest.mark.parametrize("door", ["cold", "warm"])
def test_a_power_cut_loses_nothing_that_was_acknowledged(warm: Warm, preload: Path, tmp_path: Path, door: str) -> None:
    rekall = warm.cold if door == "cold" else warm
    folder = warm.base.parent
    folder.mkdir(parents=True)
    trace = Trace(tmp_path / "trace", folder)
    env = with_faults(preload, folder, trace=trace.file)
    story = Story(warm.base, tmp_path, Random(5))
    story.work = tmp_path / "work"
    story.work.mkdir()
    server = serve(warm, **env) if door == "warm" else None
    states = told(rekall, story, trace, env, rounds(8, 16, 150))
    if server:
        assert server.poll() is None, "another server was started, and nothing of it noted"
        server.kill()
        server.wait()
    check(trace, states, warm.base, rounds(25, 80, 4000), tmp_path)


def test_the_log_is_on_the_disk_before_an_add_is_acknowledged_and_so_is_its_name(
    warm: Warm, preload: Path, tmp_path: Path
) -> None:
    folder = warm.base.parent
    folder.mkdir(parents=True)
    trace = Trace(tmp_path / "trace", folder)
    env = with_faults(preload, folder, trace=trace.file)
    server = serve(warm, **env)
    for number in range(3):
        assert warm(*("add", "til", f"kept {number}"), **env).status == 0
        trace.acknowledge(str(number))
    server.kill()
    server.wait()
    waiting: set[str] = set()
    names: set[str] = set()
    for deed in trace.deeds():
        if deed.kind == "W" and not re.search(r"-journal$", deed.path):
            waiting.add(deed.path)
        elif deed.kind == "C":
            names.add(deed.path)
        elif deed.kind == "S":
            waiting.discard(deed.path)
            names -= {name for name in names if str(Path(name).parent) == deed.path}
        elif deed.kind == "A":
            assert not waiting & {str(warm.base) + "-wal"}, deed
            assert not {name for name in names if name.endswith((".db", "-wal"))}, names
