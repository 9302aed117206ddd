"""The command line as people see it: every transcript in sessions/ still runs as it is written.

A transcript is a text file. `$ ` begins a command for sh, `> ` goes on with it; then what it prints on
stdout, each line of stderr after `! `, and its exit status after `? ` unless that is 0. `;; ` begins a
comment. One sh runs the whole file, so a variable lives on. What differs from run to run is written as
<ID>, <TIME>, <HOME>, <N> (a score).
UPDATE_TRANSCRIPTS=1 writes down what happened: read it before you keep it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from running import runtime_folder

from rekall.usage import COMMANDS

TESTS = Path(__file__).parent
SESSIONS = sorted((TESTS / "sessions").glob("*.txt"))

_VARYING = (
    (re.compile(r"\b01[0-9A-HJKMNP-TV-Z]{4,24}\b"), "<ID>"),
    (re.compile(r"<ID> {2,}"), "<ID>  "),  # columns are as wide as the longest short id
    (re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z"), "<TIME>"),
    (re.compile(r"\b\d{8}T\d{6}Z"), "<TIME>"),
    (re.compile(r"-?\b\d+\.\d{2,16}\b"), "<N>"),
    (re.compile(r"/\S+/rekall(-\d+)?/[0-9a-f]{16}/s\b"), "<SOCKET>"),
)


@dataclass
class Step:
    """One command of a transcript and what came of it."""

    command: str
    output: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    status: int = 0
    comments: list[str] = field(default_factory=list)  # written above it

    def __str__(self) -> str:
        lines = [*self.comments, "$ " + self.command.replace("\n", "\n> "), *self.output]
        lines += [f"! {line}".rstrip() for line in self.errors]
        return "\n".join(lines + [f"? {self.status}"] * (self.status != 0))


def read_transcript(text: str) -> list[Step]:
    steps: list[Step] = []
    comments: list[str] = []
    for line in text.splitlines():
        if line.startswith(";; "):
            comments.append(line)
        elif line.startswith("$ "):
            steps.append(Step(line[2:], comments=comments))
            comments = []
        elif line.startswith("> ") and not steps[-1].output:
            steps[-1].command += "\n" + line[2:]
        elif line == "!" or line.startswith("! "):
            steps[-1].errors.append(line[2:])
        elif line.startswith("? "):
            steps[-1].status = int(line[2:])
        elif line or steps:
            steps[-1].output.append(line)
    for step in steps:
        step.output = _without_blank_end(step.output)
    return steps


def write_transcript(steps: list[Step]) -> str:
    return "\n\n".join(map(str, steps)) + "\n"


def _without_blank_end(lines: list[str]) -> list[str]:
    while lines and not lines[-1]:
        lines = lines[:-1]
    return lines


class Shell:
    """A shell in a private home, with `rekall` on its PATH. Each command's streams go to files.

    Without a server, each command is a process of Python's; `warm`, it is what was installed.
    """

    def __init__(self, env: dict[str, str], folder: Path, warm: bool) -> None:
        self.folder, self.home = folder, env["HOME"]
        self.work = Path(self.home) / "desk"
        for made in (folder / "bin", folder / "out", self.work):
            made.mkdir()
        program = folder / "bin" / "rekall"
        if warm:
            program.symlink_to(Path(sys.executable).with_name("rekall"))
        else:
            cold = f'PYTHONPATH={TESTS.parent} REKALL_NO_SERVER=1 exec {sys.executable} -P -W error -m rekall "$@"'
            program.write_text(f"#!/bin/sh\n{cold}\n")
            program.chmod(0o755)
        path = f"{program.parent}{os.pathsep}{env['PATH']}"
        self.env = env | {"PATH": path, "COLUMNS": "100", "TZ": "UTC", "DATA": str(TESTS / "data")}

    def run(self, steps: list[Step]) -> list[Step]:
        """Run all commands in one sh and return them with what they really did."""
        out = self.folder / "out"
        script = "".join(
            f"{{ {step.command}\n}} >{out}/{number}.out 2>{out}/{number}.err </dev/null\n"
            f"echo $? >{out}/{number}.status\n"
            for number, step in enumerate(steps)
        )
        subprocess.run(["sh", "-c", script], cwd=self.work, env=self.env, timeout=100, check=False)
        return [
            Step(
                step.command,
                self._lines(out / f"{number}.out"),
                self._lines(out / f"{number}.err"),
                int((out / f"{number}.status").read_text()),
                step.comments,
            )
            for number, step in enumerate(steps)
        ]

    def _lines(self, path: Path) -> list[str]:
        text = path.read_text(encoding="utf-8").replace(self.home, "<HOME>").replace("\0", "<NUL>\n")
        for pattern, name in _VARYING:
            text = pattern.sub(name, text)
        return _without_blank_end([line.rstrip() for line in text.split("\n")])


@pytest.fixture
def shell(home: dict[str, str], tmp_path: Path) -> Shell:
    return Shell(home, tmp_path, warm=False)


@pytest.fixture(params=["cold", "warm"])
def any_shell(home: dict[str, str], tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Shell]:
    """A shell whose commands answer by themselves, and one whose commands ask the warm process."""
    with runtime_folder() as sockets:
        yield Shell(home | {"XDG_RUNTIME_DIR": str(sockets)}, tmp_path, warm=request.param == "warm")


@pytest.mark.parametrize("path", SESSIONS, ids=lambda path: path.stem)
def test_a_session_runs_as_it_is_written(path: Path, any_shell: Shell) -> None:
    """With the warm process and without, to the byte."""
    expected = read_transcript(path.read_text(encoding="utf-8"))
    found = any_shell.run(expected)
    if os.environ.get("UPDATE_TRANSCRIPTS"):
        path.write_text(write_transcript(found), encoding="utf-8")
    assert write_transcript(found) == write_transcript(expected)


def test_every_command_is_in_a_session() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in SESSIONS)
    assert [c.name for c in COMMANDS if not re.search(rf"\brekall {c.name}\b", text)] == []


def test_a_transcript_is_read_as_it_is_written() -> None:
    text = ";; why\n$ id=$(cat <<E\n> x\n> E\n> )\n\n$ echo\nout\n\n> quoted\n! err\n! more\n? 2\n"
    steps = read_transcript(text)
    assert steps[0].command == "id=$(cat <<E\nx\nE\n)"
    assert (steps[1].output, steps[1].errors, steps[1].status) == (["out", "", "> quoted"], ["err", "more"], 2)
    assert write_transcript(steps) == text


# Options that contract.md names, by command.
OPTIONS = {
    "add": "-t --tags -p --project -c --content --situation --solution --what-failed --error --file --source --edit",
    "search": "-t --type --tag -p --project --since --until -n --limit --words --semantic --explain --no-context "
    "--json --jsonl --tsv -0 --each-line --as --tee",
    "link": "-r --reason",
    "import": "--no-wait",
    "export": "-o --format",
    "index": "rebuild status verify --embed --json",
    "stats": "--memory --json",
    "config": "get set list path",
    "list": "--json",
    **dict.fromkeys(("similar", "show", "edit", "delete", "tag", "unlink", "backup", "help"), ""),
}


def test_help_of_every_command_names_what_the_contract_names(shell: Shell) -> None:
    names = [command.name for command in COMMANDS]
    assert set(OPTIONS) <= set(names)
    steps = shell.run([Step(f"rekall help {name}") for name in names])
    for name, step in zip(names, steps, strict=True):
        words = set(re.findall(r"[\w-]+", " ".join(step.output)))
        assert (step.status, step.errors) == (0, [])
        assert set(OPTIONS.get(name, "").split()) - words == set(), name
        assert f"rekall {name}" in step.output[0]


@pytest.mark.parametrize("spelling", ["{} --help", "{} -h", "--help {}"])
def test_help_may_be_asked_for_in_any_way(spelling: str, shell: Shell) -> None:
    page, other = shell.run([Step("rekall help link"), Step("rekall " + spelling.format("link"))])
    assert page.output == other.output
    assert len(page.output) > 3
