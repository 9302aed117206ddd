"""docs/quickstart.md runs as it is written, in a home of its own, and its figures keep what they promise."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from running import REPOSITORY, runtime_folder
from warm import PROGRAMS

PAGE = REPOSITORY / "docs" / "quickstart.md"
pytestmark = pytest.mark.skipif(not PAGE.exists(), reason="the page is not there")


@dataclass
class Step:
    """A command of the page, and the lines that it is said to print."""

    command: str
    expected: list[str] = field(default_factory=list)


def steps(kinds: tuple[str, ...]) -> list[Step]:
    """Return the commands of the page's console blocks of these kinds ('' or 'slow'), in their order."""
    found: list[Step] = []
    for kind, block in re.findall(r"^```console ?(\w*)\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE):
        for line in block.splitlines() if kind in kinds else ():
            if line.startswith("$ "):
                found.append(Step(line[2:]))
            else:
                found[-1].expected.append(line)
    return found


def pattern(lines: list[str]) -> re.Pattern[str]:
    """Return what fits the printed lines: … is anything within a line, and alone any lines."""
    parts = ["(?:.*\n)*" if line == "…" else re.escape(line).replace("…", ".*") + "\n" for line in lines]
    return re.compile("".join(parts))


@pytest.fixture
def env(home: dict[str, str]) -> Iterator[dict[str, str]]:
    with runtime_folder() as sockets:
        path = f"{PROGRAMS}{os.pathsep}{home['PATH']}"
        yield home | {"PATH": path, "XDG_RUNTIME_DIR": str(sockets), "TERM": "xterm-256color", "COLUMNS": "100"}


def run(wanted: list[Step], env: dict[str, str], folder: Path) -> None:
    """Run the commands in one bash, one after the other; fail at the first that prints anything else."""
    script = "".join(
        f"{{ {step.command}\n}} > {folder}/{number}.out 2>&1 </dev/null; echo $? > {folder}/{number}.status\n"
        for number, step in enumerate(wanted)
    )
    work = Path(env["HOME"], "desk")
    work.mkdir()
    subprocess.run(["bash", "-c", script], cwd=work, env=env, timeout=800, check=True)
    for number, step in enumerate(wanted):
        printed = (folder / f"{number}.out").read_text("utf-8")
        assert pattern(step.expected).fullmatch(printed), f"$ {step.command}\n{printed}"
        silent = step.command == "rekall list"  # of an empty base: nothing found
        assert (folder / f"{number}.status").read_text() == ("1\n" if silent else "0\n"), step.command


@pytest.mark.timeout(900)
def test_the_quickstart_runs_as_it_is_written(env: dict[str, str], tmp_path: Path) -> None:
    wanted = steps(("",))
    assert len(wanted) > 20
    run(wanted, env, tmp_path)


@pytest.mark.torture
@pytest.mark.timeout(900)
def test_the_quickstart_runs_with_fifty_thousand(env: dict[str, str], tmp_path: Path) -> None:
    if not os.environ.get("REKALL_ROUNDS"):
        pytest.skip("a minute's work: make torture")
    wanted = steps(("", "slow"))
    first = next(number for number, step in enumerate(wanted) if "large" in step.command)
    run(wanted[first:], env, tmp_path)


def test_each_figure_keeps_its_goal_and_bears_its_command() -> None:
    rows = [line.strip("| ").split(" | ") for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ")][1:]
    goals = [(row[1], row[2]) for row in rows if "<" in row[1]]
    assert {"< 500 ms", "< 1,000 ms", "< 2,000 ms", "< 100 MB", "< 200 MB"} <= {goal for goal, _measured in goals}
    for goal, measured in goals:
        (most, unit), (found, same) = goal[2:].replace(",", "").split(), measured.replace(",", "").split()
        assert unit == same and float(found) < float(most), (goal, measured)
    assert all("`" in row[3] or row[3].startswith("the same") for row in rows)


def test_what_is_expected_is_looked_at() -> None:
    assert pattern(["a … c", "…"]).fullmatch("a b c\nanything\nat all\n")
    assert not pattern(["a … c"]).fullmatch("a b d\n") and not pattern(["a"]).fullmatch("a\nb\n")
