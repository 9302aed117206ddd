"""What may stand at the cursor: the grammar, the quoting, and a client that answers at once or not at all."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from running import wait_for
from warm import PROGRAMS, Warm

from rekall import frames
from rekall.completion import CHANGE as CHANGED
from rekall.completion import CHOICE, FILE, ID, NOTHING, PROJECT, TAG, TAGS, line_for, wanted
from rekall.config import SETTINGS
from rekall.db import Database
from rekall.entry import RELATIONS, TYPES, Entry
from rekall.shellinit import FOLDER
from rekall.typed_line import split
from rekall.usage import COMMANDS, TOPICS

CLIENT = PROGRAMS / "rekall"
FILES_BELONG = 3

compiled = pytest.mark.skipif(
    not CLIENT.exists() or CLIENT.read_bytes()[:2] == b"#!", reason="no compiled rekall beside this Python"
)


# --- a line, cut into words ---


@pytest.mark.parametrize(
    ("line", "words", "quote"),
    [
        ("rekall", ["rekall"], ""),
        ("rekall ", ["rekall", ""], ""),
        ("rekall  add\tbug", ["rekall", "add", "bug"], ""),
        ("rekall 'a b' \"c d\" e\\ f ''", ["rekall", "a b", "c d", "e f", ""], ""),
        ("rekall \"a 'b", ["rekall", "a 'b"], '"'),
        ("rekall 'a \"b\\", ["rekall", 'a "b\\'], "'"),
        ('rekall --tag="x y', ["rekall", "--tag=x y"], '"'),
        ('rekall "a\\"b\\$c\\d', ["rekall", 'a"b$c\\d'], '"'),
        ("rekall a\\", ["rekall", "a"], ""),
        ("", [""], ""),
    ],
)
def test_a_line_is_cut_as_a_shell_cuts_it(line: str, words: list[str], quote: str) -> None:
    assert split(line, "bash") == (words, quote)


def test_fish_escapes_between_single_quotes() -> None:
    assert split(r"rekall 'it\'s \\ \n", "fish") == (["rekall", r"it's \ \n"], "'")


# --- what is wanted ---


@pytest.mark.parametrize(
    ("line", "kind", "typed", "before"),
    [
        ("rekall show ", ID, "", ""),
        ("rekall --db x show 01", ID, "01", ""),
        ("rekall show 01 ", NOTHING, "", ""),
        ("rekall link 01 ", ID, "", ""),
        ("rekall show --json -- -", ID, "-", ""),
        ("rekall search --tag ", TAG, "", ""),
        ("rekall search x --tag=gi", TAG, "gi", "--tag="),
        ("rekall add til x -t a,b", TAGS, "a,b", ""),
        ("rekall list -p ", PROJECT, "", ""),
        ("rekall tag 01 ", CHANGED, "", ""),
        ("rekall tag 01 +a -", CHANGED, "-", ""),
        ("rekall import ", FILE, "", ""),
        ("rekall backup --output=", FILE, "", "--output="),
        ("rekall --db ", FILE, "", ""),
        ("rekall search no ", NOTHING, "", ""),
        ("rekall search --limit ", NOTHING, "", ""),
        ("rekall search -- --", NOTHING, "--", ""),
        ("rekall nonsense ", NOTHING, "", ""),
        ("rekall -- ", NOTHING, "", ""),
        ("rekall", NOTHING, "rekall", ""),
    ],
)
def test_the_grammar_says_what_stands_where(line: str, kind: str, typed: str, before: str) -> None:
    found = wanted(line, "bash")
    assert (found.place.kind, found.typed, found.before) == (kind, typed, before)


def offered(line: str) -> list[str]:
    found = wanted(line, "zsh")
    assert found.place.kind == CHOICE
    return [name for name, _meaning in found.place.choices if name.startswith(found.typed)]


def test_what_the_grammar_knows_is_offered() -> None:
    commands = [command.name for command in COMMANDS if not command.is_hidden]
    assert offered("rekall ") == commands and "complete" not in commands
    assert offered("rekall help ") == [*commands, *TOPICS]
    assert offered("rekall add ") == list(TYPES) == offered("rekall list --type ")
    assert offered("rekall search --type=b") == ["bug"]
    assert offered("rekall link a b -r ") == list(RELATIONS)
    assert offered("rekall config get ") == [setting.key for setting in SETTINGS]
    assert offered("rekall server ") == ["status", "stop", "restart", "run"]
    assert {"--type", "--words", "-0", "--db", "--help"} <= set(offered("rekall search -"))
    assert "--ready" not in offered("rekall server --") and "-t" not in offered("rekall search -")


# --- how it stands in the line ---

HOSTILE = [
    "$(touch made)",
    "`touch made`",
    "it's",
    'a "q"',
    "a;b&c|d",
    "back\\slash",
    "~",
    "#x",
    "*?[a]",
    "bang!",
    "é ü",
    "{a,b}",
    "=ls",
]


def read_back(lines: Sequence[str]) -> list[str]:
    """Return what bash makes of words."""
    script = "".join(f"printf '%s\\0' {line}\n" for line in lines)
    done = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, check=True, cwd="/", timeout=30)
    return done.stdout.decode().split("\0")[:-1]


@pytest.mark.parametrize("quote", ["", "'", '"'])
def test_whatever_bash_is_given_it_reads_back_as_it_was(quote: str) -> None:
    names = [name for name in HOSTILE if quote != '"' or "!" not in name]
    line = f"rekall list --tag {quote}"
    shown = [line_for((name, "x"), wanted(line, "bash"), line, "bash", "") for name in names]
    assert read_back([quote + text.removesuffix("\tx") + quote for text in shown]) == names


@given(st.text(st.characters(exclude_categories=["C", "Z"], include_characters=" "), min_size=1))
def test_any_word_is_read_back_by_the_same_rules(name: str) -> None:
    for quote in ("", "'", '"'):
        line = f"rekall list --tag {quote}"
        text = line_for((name, ""), wanted(line, "bash"), line, "bash", "")
        if not text:
            assert quote == '"' and "!" in name
            continue
        assert split(line + text[:-1] + quote, "bash") == (["rekall", "list", "--tag", name], "")


def test_bash_gets_what_stands_in_place_of_its_own_part_of_the_word() -> None:
    for line, word, text in (
        ("rekall list --tag=my", "my", "my\\ tag"),
        ('rekall list --tag="my', "my", "my tag"),
        ("rekall list --tag my\\ t", "my\\ t", "my\\ tag"),
        ("rekall list --tag=", "", "my\\ tag"),
    ):
        assert line_for(("my tag", ""), wanted(line, "bash"), line, "bash", word) == f"{text}\t"
    double = 'rekall list --tag "b'
    assert line_for(("bang!", ""), wanted(double, "bash"), double, "bash", "b") == ""


# --- the client ---

TITLES = [
    "a $(touch made) `touch made` \"quoted\" 'single' title",
    "an escape \x1b[31m, a\ttab, a line\nbreak",
    "目录 wide",
]
TAGS_THERE = (*HOSTILE, "git", "with space")
LINES = [
    "rekall ", "rekall s", "rekall -", "rekall --", "rekall add ", "rekall add b", "rekall search --", "rekall search -t b",
    "rekall search --type=b", "rekall link a b -r ", "rekall config get performance.v", "rekall help i", "rekall show ",
    "rekall show 01", "rekall show zz", "rekall edit ", "rekall list --tag ", "rekall list --tag g", "rekall list --tag=w",
    "rekall list --tag '", 'rekall list --tag "', "rekall add til x --tags git,", "rekall list -p ", "rekall tag 01", "rekall tag alpha ",
    "rekall tag alpha +", "rekall tag alpha -", "rekall tag alpha -g", "rekall import ", "rekall export -o x", "rekall search x", "rekall -- x",
    "rekall --global list --tag w", "rekall nonsense ", "rekall", "", "rekall 'sh", 'rekall "show" ', "rekall init ", "rekall --db /nowhere/x.db list --tag ",
]  # fmt: skip


def ask(warm: Warm, *words: str) -> tuple[int, bytes]:
    """Return status and output of `rekall complete`; it has nothing to say on stderr."""
    done = subprocess.run(
        [CLIENT, "complete", *words],
        env=warm.env, cwd=warm.cwd, stdin=subprocess.DEVNULL, capture_output=True, timeout=60,
    )  # fmt: skip
    assert done.stderr == b""
    return done.returncode, done.stdout


def comes(warm: Warm, words: Sequence[str], said: tuple[int, bytes]) -> None:
    """Wait until an answer comes: a server that is busy, or a machine, may be too late for one TAB, not for all."""
    wait_for(lambda: ask(warm, *words) == said, 60)


SLOW_TWIN = """
import io, json, sys
from rekall.cli import main
for words in json.load(sys.stdin):
    kept, sys.stdout = sys.stdout, io.TextIOWrapper(io.BytesIO(), "utf-8")
    status = main(["complete", *words])
    sys.stdout.flush()
    said, sys.stdout = sys.stdout.buffer.getvalue().decode(), kept
    print(json.dumps([status, said]))
"""


def python_says(warm: Warm, asked: Sequence[Sequence[str]]) -> list[tuple[int, bytes]]:
    """Return what Python answers by itself, in one process for all."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", SLOW_TWIN],
        input=json.dumps(asked).encode(), env=warm.env, cwd=warm.cwd, capture_output=True, check=True, timeout=60,
    )  # fmt: skip
    return [(status, said.encode()) for status, said in map(json.loads, done.stdout.splitlines())]


@pytest.fixture
def noted(warm: Warm) -> Warm:
    keys = warm.keep(TITLES, tags=TAGS_THERE, project="my `p` $x")
    assert keys
    stamp = "2026-01-01T00:00:00Z"
    with Database(warm.base) as database:
        database.add(
            Entry(id="alpha", type="til", title="first", tags=("git", "wip"), created_at=stamp, updated_at=stamp)
        )
    return warm


@compiled
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_client_server_and_python_say_the_same(shell: str, noted: Warm) -> None:
    noted.start_server()
    asked = [[shell, line] for line in LINES]
    asked += [[shell, line, line.rsplit(" ", 1)[-1].lstrip("\"'").rpartition("=")[2]] for line in LINES]
    for words, said in zip(asked, python_says(noted, asked), strict=True):
        comes(noted, words, said)


@compiled
def test_in_french_too(noted: Warm) -> None:
    noted.env |= {"LC_ALL": "fr_FR.UTF-8"}
    noted.start_server()
    asked = [["zsh", line] for line in ("rekall s", "rekall search --", "rekall list --tag g")]
    for words, said in zip(asked, python_says(noted, asked), strict=True):
        comes(noted, words, said)
    assert said == (0, "git\t4 entrées\n".encode())


def answer(warm: Warm, line: str) -> dict[str, str]:
    """Return the words offered at the end of `line`, with what they mean, as soon as there are any."""
    found: list[bytes] = []

    def is_there() -> bool:
        status, said = ask(warm, "zsh", line)
        found.append(said)
        return status == 0

    wait_for(is_there, 60)
    rows = [row.split("\t") for row in found[-1].decode().splitlines()]
    assert all(len(row) == 2 for row in rows), rows
    return dict(rows)


@compiled
def test_the_base_is_asked_for_ids_tags_and_projects(noted: Warm) -> None:
    noted.start_server()
    titles = list(answer(noted, "rekall show ").values())
    assert len(titles) == len(TITLES) + 1 and titles[-1] == "first"
    assert "␛[31m" in titles[1] and "\x1b" not in titles[1]
    tags = answer(noted, "rekall list --tag ")
    assert set(tags) == {*TAGS_THERE, "wip"} and tags["git"] == "4 entries" and tags["wip"] == "1 entry"
    assert answer(noted, "rekall list -p ") == {"my `p` $x": "3 entries"}
    assert answer(noted, "rekall tag alpha -") == {"-git": "", "-wip": ""}
    assert answer(noted, "rekall add til x -t git,wi") == {"git,with space": "3 entries", "git,wip": "1 entry"}


@compiled
def test_an_id_is_completed_in_either_case_and_however_old_it_is(noted: Warm) -> None:
    oldest, *_others = noted.keep([f"one of many {number}" for number in range(300)])
    noted.start_server()
    for typed in (oldest[:20], oldest[:20].lower(), oldest):
        assert any(oldest.startswith(key) and len(key) > 19 for key in answer(noted, f"rekall show {typed}"))


@compiled
def test_tags_that_would_leave_their_line_are_not_offered(noted: Warm) -> None:
    with Database(noted.base) as database:
        for tag in ("a\nb", "a\tb", "a\x1b[31m", "a\x7f", "a\u202eb"):
            database.connection.execute(
                "INSERT INTO tags (entry_rowid, tag) SELECT rowid, ? FROM entries LIMIT 1", (tag,)
            )
    noted.start_server()
    assert set(answer(noted, "rekall list --tag a")) == {'a "q"', "a;b&c|d"}


@compiled
def test_no_server_is_started_and_the_grammar_answers_all_the_same(noted: Warm) -> None:
    for line, status in (
        ("rekall show ", 1),
        ("rekall list --tag ", 1),
        ("rekall sh", 0),
        ("rekall import ", FILES_BELONG),
    ):
        assert ask(noted, "bash", line)[0] == status
    assert os.listdir(noted.env["XDG_RUNTIME_DIR"]) == [] and noted.processes() == []


@compiled
def test_with_no_server_wanted_none_is_asked(noted: Warm) -> None:
    noted.start_server()
    asked = noted.requests()
    assert ask(noted, "bash", "rekall --no-server show ") == (1, b"")
    noted.env["REKALL_NO_SERVER"] = "1"
    assert ask(noted, "bash", "rekall show ") == (1, b"")
    del noted.env["REKALL_NO_SERVER"]
    assert noted.requests() == asked + 1  # the question itself


@compiled
def test_the_base_of_the_line_is_the_one_that_is_asked(noted: Warm) -> None:
    noted.start_server()
    (noted.cwd / "sub").mkdir()
    for named in (f"'{noted.base}'", "~/.local/share/rekall/rekall.db"):
        assert answer(noted, f"rekall --db {named} show al") == {"alpha": "first"}
    assert ask(noted, "bash", "rekall --db other.db show al") == (1, b"")
    (noted.cwd / ".rekall").mkdir()
    assert ask(noted, "bash", "rekall show al") == (1, b"")
    assert answer(noted, "rekall show --global al") == {"alpha": "first"}


def quickest(count: int, warm: Warm, line: str, wanted_status: int) -> float:
    """Return the seconds of the quickest of `count` processes; what a busy machine adds is not the client's.

    Only those with that status count: on such a machine an answer may be too late now and then.
    """
    times = []
    for _number in range(count):
        begin = time.perf_counter()
        status, _said = ask(warm, "bash", line)
        if status == wanted_status:
            times.append(time.perf_counter() - begin)
    return min(times)


@pytest.fixture
def silent(noted: Warm) -> Iterator[socket.socket]:
    """A socket where the server's would be, on which nobody answers; its queue is full after one."""
    noted.start_server()
    assert noted("server", "stop").status == 0
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(noted.socket))
        listening.listen(0)
        yield listening


@compiled
def test_a_server_that_stands_still_is_not_waited_for(noted: Warm) -> None:
    pid = noted.start_server()
    os.kill(pid, signal.SIGSTOP)
    try:
        assert 0.045 < quickest(5, noted, "rekall show ", 1) < 0.15
        assert quickest(20, noted, "rekall sh", 0) < 0.02
    finally:
        os.kill(pid, signal.SIGCONT)
    assert answer(noted, "rekall show al")


@compiled
def test_nor_is_one_that_takes_nobody_any_more(noted: Warm, silent: socket.socket) -> None:
    with socket.socket(socket.AF_UNIX) as first, socket.socket(socket.AF_UNIX) as second:
        for other in (first, second):
            other.setblocking(False)
            other.connect_ex(str(noted.socket))
        assert 0.045 < quickest(5, noted, "rekall show ", 1) < 0.15


@compiled
def test_half_an_answer_is_none(noted: Warm, silent: socket.socket) -> None:
    process = subprocess.Popen(
        [CLIENT, "complete", "bash", "rekall show "], env=noted.env, cwd=noted.cwd, stdout=subprocess.PIPE
    )
    line, _address = silent.accept()
    with line, process:
        line.sendall(frames.acknowledgement(0, "A" * 26) + frames.frame(frames.OUTPUT, b"01ABC\thalf an answer\n"))
        assert process.stdout and process.stdout.read() == b"" and process.wait() == 1


@compiled
def test_an_answer_takes_less_than_twenty_milliseconds(noted: Warm) -> None:
    noted.start_server()
    for line in ("rekall ", "rekall search --", "rekall show ", "rekall list --tag "):
        assert quickest(20, noted, line, 0) < 0.02, line


@pytest.mark.parametrize("words", [(), ("bash",), ("tcsh", "rekall "), ("bash", "a", "b", "c")])
def test_what_is_no_question_is_explained(words: tuple[str, ...], warm: Warm) -> None:
    answer = warm("complete", *words)
    assert answer.status == 2 and "complete is for the scripts" in answer.errors


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
def test_the_scripts_have_no_known_faults() -> None:
    for name, shell in (("completion.bash", "bash"), ("fzf.sh", "sh")):
        subprocess.run(["shellcheck", "-s", shell, str(FOLDER / name)], check=True, timeout=60)
