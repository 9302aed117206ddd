"""The warm process answers as a process of the caller's own would: to the byte, in the caller's own surroundings.

Each command line is answered twice: by the installed `rekall` and its server, and by Python alone.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from running import Answer, wait_for
from warm import Line, Warm, rounds, warm_in

from rekall.entry import new_id

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are found in /proc")


class Alone:
    """Answers as `rekall --no-server` does, each time in a process of its own, forked from one that is ready."""

    _SCRIPT = """
import base64, json, os, sys, time
import rekall.cli, rekall.commands.find, rekall.commands.tend, rekall.commands.keep, rekall.db
home = os.environ['HOME']
for line in sys.stdin:
    words, env, cwd, stdin = json.loads(line)
    pid = os.fork()
    if pid == 0:
        os.environ.clear(); os.environ.update(env); os.chdir(cwd); time.tzset()
        with open(home + '/stdin', 'wb') as file: file.write(base64.b64decode(stdin))
        files = [home + name for name in ('/stdin', '/stdout', '/stderr')]
        for number, path in enumerate(files):
            os.dup2(os.open(path, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        sys.stdin, sys.stdout, sys.stderr = open(0), open(1, 'w'), open(2, 'w')
        status = 99
        try:
            status = rekall.cli.main([os.fsdecode(base64.b64decode(word)) for word in words])
            sys.stdout.flush(); sys.stderr.flush()
        finally:
            os._exit(status)
    _pid, status = os.waitpid(pid, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""

    def __init__(self, warm: Warm) -> None:
        self._warm = warm
        self._process = subprocess.Popen(
            [sys.executable, "-c", self._SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=warm.env
        )

    def __call__(self, *words: str | bytes, stdin: bytes = b"", cwd: Path | None = None, **env: str) -> Answer:
        assert self._process.stdin and self._process.stdout
        coded = [base64.b64encode(os.fsencode(word)).decode() for word in ("--no-server", *words)]
        request = [coded, self._warm.env | env, str(cwd or self._warm.cwd), base64.b64encode(stdin).decode()]
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        status = int(self._process.stdout.readline())
        home = Path(self._warm.env["HOME"])
        return Answer(status, (home / "stdout").read_text(), (home / "stderr").read_text())

    def close(self) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


@contextmanager
def both_in(home: dict[str, str]) -> Iterator[tuple[Warm, Alone]]:
    with warm_in(home) as warm:
        alone = Alone(warm)
        try:
            yield warm, alone
        finally:
            alone.close()


@pytest.fixture
def both(home: dict[str, str]) -> Iterator[tuple[Warm, Alone]]:
    with both_in(home) as found:
        yield found


@pytest.fixture(scope="module")
def noted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Warm, Alone]]:
    """One base, one server for many questions that change nothing."""
    folder = tmp_path_factory.mktemp("home")
    names = ("PATH", "LANG", "LC_ALL", "TMPDIR")
    env = {name: os.environ[name] for name in names if name in os.environ}
    env |= {"HOME": str(folder), "XDG_DATA_HOME": str(folder / "data"), "XDG_CONFIG_HOME": str(folder / "config")}
    with both_in(env | {"LC_ALL": "C.UTF-8", "NO_COLOR": "1"}) as (warm, alone):
        warm.keep_noted()
        warm.start_server()
        yield warm, alone


# --- the same answer ---

LINES = """
list
list --json
list --jsonl
list --tsv
list -0
list --limit 2
list -t bug --tag git
list -p shop --json
list --since 2024-01-01 --until 2025-06-01
list --since yesterday
list --since nonsense
list --limit 0
list --limit -1
list nonsense
show undo
show und
show cpp
show nothing
show undo --json
show
search --words git
search --words git --json
search --words c++
search --words can't
search --words foo-bar
search --words "
search --words git --limit 1 --explain
search --words -- -x
search --words --nonsense
search git --words --no-context
search --words --tsv note
search --words -0 disk
search --words
search --words --each-line
tag undo
tag undo nonsense
tag
similar nothing
stats
stats --json
stats nonsense
help
help search
help nonsense
search --help
nonsense
serach x
config list
config get performance.vector_backend
config get nonsense
config path
config
link undo undo
link undo nothing
unlink undo nothing
delete nothing
add
add nonsense x
add til
--db
--db= list
--db other.db list
--db=other.db search --words x
--global list
--nonsense
--
-- list
list --
list -- x
index status
index nonsense
"""


@pytest.mark.parametrize("line", LINES.strip().splitlines())
def test_a_command_line_has_the_same_answer_with_the_warm_process_and_without(
    noted: tuple[Warm, Alone], line: str
) -> None:
    warm, alone = noted
    words = line.split()
    assert warm(*words) == alone(*words)
    assert warm(*words, COLUMNS="33", LANG="fr_FR.UTF-8", LC_ALL="") == alone(
        *words, COLUMNS="33", LANG="fr_FR.UTF-8", LC_ALL=""
    )


def test_queries_by_meaning_have_the_same_answer(both: tuple[Warm, Alone]) -> None:
    warm, alone = both
    for title in ("Amounts are kept as integer cents", "The laptop does not wake from standby", "tar -C changes it"):
        assert warm("add", "til", title).status == 0
    key = warm("list", "--jsonl").output.split('"id": "')[1][:26]
    for words in (
        ["search", "rounding of prices"],
        ["search", "rounding of prices", "--json", "--explain"],
        ["search", "--semantic", "a notebook that sleeps", "--json"],
        ["search", "tar", "--limit", "1", "--tsv"],
        ["similar", key, "--json"],
        ["search", ""],
        ["search", "word " * 5000],
    ):
        assert warm(*words) == alone(*words), words
    queries = b"rounding\n\nsleep\r\n \nlast without an end"
    for words in (["search", "-", "--each-line"], ["search", "-"], []):
        assert warm(*words, stdin=queries) == alone(*words, stdin=queries), words


# Words that mean something at one place or another, and some that never do.
_PLAIN = """
search list show similar tag help stats config index get path status add -t --type til bug --tag git -p shop
--since --until 2025-01-01 7d -n --limit 1 0 -1 99999999999999999999 --words --explain --no-context --json --jsonl
--tsv -0 --each-line - -- undo cpp cpp-1 n-1 c++ can't foo-bar " ( ) * NEAR AND OR é 漢 🙂 -x --nonsense -nx
--limit=2 --global --db --db=x.db -h --help --version performance.vector_backend rekall.db
"""
_ODD = ["", " ", "two words", "\n", "\t", "\x1b[31m", "\u202e", "x" * 3000, os.fsdecode(b"\xff\xfe")]
_WORDS = st.sampled_from(_PLAIN.split()) | st.sampled_from(_ODD)
_WRITES = {"add", "edit", "delete", "link", "unlink", "import", "export", "backup", "index", "doctor", "server"}


@pytest.mark.torture
@settings(
    max_examples=rounds(150, 600, 5000), suppress_health_check=list(HealthCheck), print_blob=False
)  # the fixture is one for all
@given(st.lists(_WORDS, max_size=6), st.sampled_from([b"", b"git\n", b"\xff\n\ndisk", b"x" * 5000]))
def test_any_command_line_has_the_same_answer(noted: tuple[Warm, Alone], words: list[str], stdin: bytes) -> None:
    warm, alone = noted
    command = next((word for word in words if not word.startswith("-")), "")
    assume(command not in _WRITES)
    if "search" in words or not command:
        words = [*words[: words.index("--")], "--words", *words[words.index("--") :]] if "--" in words else [*words, "--words"]  # fmt: skip
    assert warm(*words, stdin=stdin) == alone(*words, stdin=stdin)


@pytest.mark.torture
@settings(max_examples=rounds(20, 100, 2000), suppress_health_check=list(HealthCheck), print_blob=False)
@given(
    st.sampled_from(["COLUMNS", "LANG", "LC_ALL", "LANGUAGE", "TZ", "NO_COLOR", "TERM", "REKALL_DB", "REKALL_CONFIG", "REKALL_REQUEST_ID", "HOME", "XDG_DATA_HOME"]),
    st.sampled_from(["", "0", "7", "-5", "9" * 30, "9" * 5000, "fr_FR.UTF-8", "fr", "C", "xx", "../x", "UTC", "Europe/Paris", ":UTC", "UTC-3", "/etc/hostname", "é\n", os.fsdecode(b"\xff"), "x/y/z", "٣٤"]),
    st.sampled_from([["list"], ["show", "undo"], ["search", "--words", "git"], ["nonsense"], ["config", "path"], ["list", "--since", "2025-01-01"]]),
)  # fmt: skip
def test_any_surroundings_have_the_same_answer(
    noted: tuple[Warm, Alone], name: str, value: str, words: list[str]
) -> None:
    warm, alone = noted
    assume(not (name == "HOME" and not value))
    assert warm(*words, **{name: value}) == alone(*words, **{name: value})


def test_writes_leave_the_same_base_behind(both: tuple[Warm, Alone], tmp_path: Path) -> None:
    """The same writes to twin bases, by the server to one, without it to the other."""
    warm, alone = both
    warm.keep_noted()
    twin = tmp_path / "twin.db"
    shutil.copy(warm.base, twin)
    for words in (
        ["add", "til", "a new note"],
        ["add", "bug", "with", "all", "--tags", "a,b c", "-p", "x", "-c", "-", "--solution", "s", "--error", "E1"],
        ["add", "til", "a\x1b[31mred\nnote"],
        ["add", "til", os.fsdecode(b"\xff\xfe")],
        ["add", "til"],
        ["tag", "undo", "+new", "-git"],
        ["tag", "undo", "+new"],
        ["link", "undo", "cpp-1", "-r", "supersedes"],
        ["link", "undo", "cpp-2", "--reason", "why"],
        ["unlink", "undo", "cpp-2"],
        ["unlink", "undo", "cpp-2"],
        ["edit", "cpp-2", "--title", "Another title"],
        ["edit", "cpp-2", "--title", ""],
        ["delete", "cpp-1"],
        ["delete", "cpp-1"],
    ):
        repeated = {"REKALL_REQUEST_ID": new_id()}
        stdin = b"from\r\nstdin\xff\n\n"
        by_server = warm(*words, stdin=stdin, **repeated)
        assert by_server == alone(*words, stdin=stdin, REKALL_DB=str(twin), **repeated), words
    assert _without_times(warm("list", "--jsonl").output) == _without_times(alone("--db", str(twin), "list", "--jsonl").output)  # fmt: skip
    assert os.stat(warm.base).st_mode == os.stat(twin).st_mode


def _without_times(text: str) -> list[str]:
    return sorted(re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", text).splitlines())


def test_a_base_and_settings_made_by_the_server_are_as_private_as_those_made_without(home: dict[str, str]) -> None:
    with both_in(home) as (warm, _alone):
        modes = []
        for folder, answering in (("a", warm), ("b", warm.cold)):
            env = {name: str(Path(home["HOME"], folder, name)) for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME")}
            assert answering("add", "til", "x", **env).status == 0
            assert answering("config", "set", "performance.cache_max_size", "7", **env).status == 0
            modes.append(
                {
                    str(path.relative_to(Path(home["HOME"], folder))): oct(path.stat().st_mode)
                    for path in Path(home["HOME"], folder).glob("*/**/*")
                    if not path.name.endswith(("-wal", "-shm"))
                }
            )
        assert modes[0] == modes[1] and len(modes[0]) == 4


# --- the caller's own surroundings, whatever the server was started in ---


def test_each_request_is_answered_in_its_own_language(noted: tuple[Warm, Alone]) -> None:
    warm, _alone = noted
    english = warm("show", "nothing")
    french = warm("show", "nothing", LANG="fr_FR.UTF-8", LC_ALL="")
    assert english.errors != french.errors and "aucune" in french.errors
    assert warm("show", "nothing") == english
    assert warm("show", "nothing", LANG="fr_FR.UTF-8", LC_ALL="", LANGUAGE="en") == english


def test_a_server_started_in_french_speaks_english_to_who_asks_in_english(both: tuple[Warm, Alone]) -> None:
    warm, _alone = both
    french = warm("show", "nothing", LANG="fr_FR.UTF-8", LC_ALL="")
    assert "aucune" in french.errors
    assert "no entry" in warm("show", "nothing").errors


def test_each_request_is_as_wide_and_as_coloured_as_its_terminal(noted: tuple[Warm, Alone]) -> None:
    warm, _alone = noted
    wide, narrow = (warm.on_terminal("list", columns=columns) for columns in (120, 40))
    assert max(map(len, narrow.splitlines())) < 90 and wide != narrow
    assert "\x1b[" in wide
    assert "\x1b[" not in warm.on_terminal("list", NO_COLOR="1")
    assert "\x1b[" not in warm.on_terminal("list", TERM="dumb")
    assert warm.on_terminal("list", columns=120, COLUMNS="40") == narrow
    assert "\x1b[" not in warm("list").output
    for columns in (20, 57, 200):
        assert warm.on_terminal("list", columns=columns) == warm.cold.on_terminal("list", columns=columns)


def test_a_date_is_that_of_the_callers_own_time_zone(both: tuple[Warm, Alone]) -> None:
    warm, alone = both
    warm.keep(["late"], created_at="2026-03-01T23:30:00.000Z")
    found = {}
    for zone in ("UTC", "Pacific/Auckland", "America/Los_Angeles", ":Europe/Paris", "EST5EDT", "UTC-3", "nonsense", ""):
        answer = warm("list", "--since", "2026-03-02", TZ=zone)
        assert answer == alone("list", "--since", "2026-03-02", TZ=zone), zone
        found[zone] = answer.status
    assert (found["UTC"], found["Pacific/Auckland"], found["America/Los_Angeles"], found[":Europe/Paris"]) == (
        1,
        0,
        1,
        0,
    )


def test_who_has_no_time_zone_has_the_systems_whatever_the_servers_starter_had(both: tuple[Warm, Alone]) -> None:
    """Where the system's zone is UTC, the caller without one is answered right by accident; the others are not."""
    warm, alone = both
    warm.keep(["late"], created_at="2026-03-01T23:30:00.000Z")
    zones = ("Pacific/Auckland", "America/Los_Angeles")
    for started_in in zones:
        with subprocess.Popen(
            warm.command("server", "run"), env=warm.env | {"TZ": started_in}, cwd=warm.cwd
        ) as process:
            wait_for(lambda: warm.socket.exists() and warm.facts())
            for env in ({}, *({"TZ": zone} for zone in zones)):
                assert warm("list", "--since", "2026-03-02", **env) == alone("list", "--since", "2026-03-02", **env)
            assert warm("server", "stop").status == 0
            assert process.wait(30) == 0


def test_the_folder_of_the_caller_decides_which_base_is_meant(both: tuple[Warm, Alone], tmp_path: Path) -> None:
    warm, alone = both
    project = Path(warm.env["HOME"], "project")
    inside = project / "deep" / "inside"
    inside.mkdir(parents=True)
    (project / ".rekall").mkdir()
    assert warm("add", "til", "the users own").status == 0
    assert warm("add", "til", "the projects own", cwd=inside).status == 0
    assert warm("--db", "mine.db", "add", "til", "in a file here", cwd=tmp_path).status == 0
    assert (tmp_path / "mine.db").exists() and (project / ".rekall" / "rekall.db").exists()
    for words, cwd, title in (
        (["list"], warm.cwd, "the users own"),
        (["list"], inside, "the projects own"),
        (["--global", "list"], inside, "the users own"),
        (["--db", "mine.db", "list"], tmp_path, "in a file here"),
        (["--db", f"../{tmp_path.name}/mine.db", "list"], tmp_path, "in a file here"),
        (["list"], project / "deep", "the projects own"),
    ):
        answer = warm(*words, cwd=cwd)
        assert title in answer.output and answer.output.count("\n") == 1, words
        assert answer == alone(*words, cwd=cwd)
    assert len(warm.servers()) == 3  # one a base


def test_a_caller_whose_folder_is_gone_is_told_so(both: tuple[Warm, Alone], tmp_path: Path) -> None:
    warm, _alone = both
    warm.start_server()
    folder = tmp_path / "gone"
    folder.mkdir()
    command = f'cd {folder} && rmdir {folder} && exec "$@"'
    for words in (["list"], ["--db", str(tmp_path / "x.db"), "list"]):
        done = [
            subprocess.run(["sh", "-c", command, "sh", *map(os.fsdecode, each.command(*words))], env=warm.env, capture_output=True, timeout=30)
            for each in (warm, warm.cold)
            if folder.mkdir(exist_ok=True) is None
        ]  # fmt: skip
        assert (done[0].returncode, done[0].stdout, done[0].stderr) == (
            done[1].returncode,
            done[1].stdout,
            done[1].stderr,
        )
        assert done[0].returncode == 2 and b"working directory is gone" in done[0].stderr


def test_one_server_answers_two_callers_in_turn_each_in_its_own_way(noted: tuple[Warm, Alone]) -> None:
    """Interleaved on two connections: nothing of one's surroundings is seen by the other."""
    warm, _alone = noted
    with Line(warm) as one, Line(warm) as other:
        one.acknowledged("show", "nothing", env={**_sent(warm), "LANG": "fr_FR.UTF-8", "LC_ALL": ""})
        other.acknowledged("show", "nothing")
        for line in (other, one):
            line.send(b"G")
        assert "aucune" in one.rest().errors and "no entry" in other.rest().errors


def _sent(warm: Warm) -> dict[str, str]:
    from rekall.frames import caller_variables

    return caller_variables(warm.env)
