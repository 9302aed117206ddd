"""Bad days, caused for real: a full disk, a file system that may not be written, a process without its usual rights.

Every question is asked twice, of `rekall-py` and of `rekall` with its warm process, and must be answered alike. Mounts are
made in a namespace of the test's own, so none of it needs root, and nothing of it outlives the test.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from running import Answer
from warm import PROGRAMS, Warm

from rekall.client import is_running

SECONDS = 100
_ID = re.compile(r"\b[0-9A-HJKMNP-TV-Z]{26}\b")
# Root may write what it likes; without these two it is kept out by a file's mode, like everybody else.
WITHOUT_ROOTS_RIGHTS = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search") if os.getuid() == 0 else ()


@dataclass
class Day:
    """One day's circumstances: what runs a command, and for whom."""

    warm: Warm
    within: tuple[str | bytes, ...] = ()

    def cold(self, *words: str | bytes, **options: object) -> Answer:
        """Ask `rekall-py`."""
        return self._run([PROGRAMS / "rekall-py", "--no-server", *words], options)

    def hot(self, *words: str | bytes, **options: object) -> Answer:
        """Ask `rekall`, which may start its server."""
        return self._run([PROGRAMS / "rekall", *words], options)

    def both(self, *words: str | bytes, **options: object) -> Answer:
        """Ask both ways and return the answer, which is the same; ids of new entries apart."""
        cold, hot = self.cold(*words, **options), self.hot(*words, **options)
        assert _comparable(hot) == _comparable(cold)
        return hot

    def refused(self, *words: str | bytes, **options: object) -> str:
        """Ask both ways for what cannot be done; return the one line that says why."""
        answer = self.both(*words, **options)
        assert answer.status == 2 and not answer.output, answer
        assert re.fullmatch(r"rekall: [^\n]+\n", answer.errors), answer
        return answer.errors

    def assert_warm(self) -> None:
        """Fail unless a server answers: what was asked was asked of it."""
        assert is_running(self.warm.folder)

    def _run(self, command: Sequence[str | bytes | Path], options: dict[str, object]) -> Answer:
        known = {"cwd": self.warm.cwd, "env": self.warm.env, "timeout": SECONDS, "capture_output": True, **options}
        if "stdin" not in options:
            known.setdefault("input", b"")
        done = subprocess.run([*self.within, *command], **known)  # type: ignore[call-overload]
        answer = Answer(done.returncode, (done.stdout or b"").decode(), (done.stderr or b"").decode())
        for noise in ("Traceback", "Exception ignored", "an error of rekall itself"):
            assert noise not in answer.errors, answer.errors
        assert answer.status in (0, 1, 2), answer
        return answer


def _comparable(answer: Answer) -> tuple[int, str, str]:
    # Asked twice, an `add` is told of the first: where the model is not there yet, it is not.
    errors = "".join(line for line in answer.errors.splitlines(True) if not line.startswith("much like "))
    return answer.status, _ID.sub("ID", answer.output), _ID.sub("ID", errors)


@contextmanager
def mounted(warm: Warm, script: str, *arguments: str | Path) -> Iterator[Day]:
    """Yield a day in a namespace of mounts in which `script` (sh) has run; its arguments are $1 and so on."""
    held = "set -e\n" + script + "\necho ready\nexec sleep 1000"
    command = ["unshare", "-rm", "sh", "-c", held, "sh", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as holder:
        assert holder.stdout and holder.stderr
        try:
            if holder.stdout.readline() != b"ready\n":
                pytest.skip(f"no mount may be made here: {holder.stderr.read().decode()}")
            enter = ("nsenter", "--preserve-credentials", "-U", "-m", "-t", str(holder.pid))
            change = ("sh", "-c", 'cd "$0" && exec "$@"', os.fsencode(warm.cwd))
            yield Day(warm, (*enter, *change))
        finally:
            warm.end()
            holder.kill()


def inside(day: Day, script: str, *arguments: str | Path) -> str:
    """Run a script of sh where the day is; return what it printed."""
    done = subprocess.run(
        [*day.within, "sh", "-c", script, "sh", *map(str, arguments)], capture_output=True, timeout=SECONDS
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def measured(command: Sequence[str | Path], source: str, warm: Warm) -> tuple[Answer, int]:
    """Run a shell's `source | command`; return its answer and the most memory the command had, in bytes."""
    probe = (
        "import os, subprocess, sys\n"
        "pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)\n"
        "status, usage = os.wait4(pid, 0)[1:]\n"
        "print(usage.ru_maxrss, file=open(os.environ['MEASURED'], 'w'))\n"
        "sys.exit(os.waitstatus_to_exitcode(status))"
    )
    told = warm.cwd / "measured"
    words = ["sh", "-c", f'{source} | "$@"', "sh", sys.executable, "-c", probe, *map(str, command)]
    done = subprocess.run(words, env=warm.env | {"MEASURED": str(told)}, cwd=warm.cwd, capture_output=True, timeout=600)
    return Answer(done.returncode, done.stdout.decode(), done.stderr.decode()), int(told.read_text()) * 1024


def needs(*programs: str) -> None:
    """Fail, rather than pass over a test in silence, where a program is missing."""
    missing = [program for program in programs if not shutil.which(program)]
    assert not missing, f"{' '.join(missing)} must be installed for these tests (util-linux)"
