"""The picker in a real terminal: tmux, a shell, the C client and the warm process, and what goes wrong between them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from running import REPOSITORY, is_running, picks_of, wait_for
from shells import CLIENT, noted_world
from tmux import Tmux

from rekall.config import DEFAULT_MODEL
from rekall.db import Database
from rekall.entry import Entry

pytestmark = [
    pytest.mark.skipif(not shutil.which("tmux"), reason="tmux is not installed"),
    pytest.mark.skipif(not CLIENT.exists(), reason="rekall is not installed beside this Python"),
]


Open = Callable[..., Tmux]


@pytest.fixture
def world(home: dict[str, str], tmp_path: Path, make_entry: Callable[..., Entry]) -> Iterator[dict[str, str]]:
    """An environment with a base, a place for the socket, and `rekall` on its PATH."""
    with noted_world(home, tmp_path, make_entry) as found:
        yield found


@pytest.fixture
def terminal(world: dict[str, str], tmp_path: Path) -> Iterator[Open]:
    """Return a function that opens a terminal of a size."""
    opened: list[Tmux] = []

    def new(columns: int = 80, rows: int = 24, **env: str) -> Tmux:
        opened.append(Tmux(world | env, tmp_path, columns, rows))
        return opened[-1]

    yield new
    for tmux in opened:
        tmux.close()


def server_of(world: dict[str, str]) -> int:
    """Return the process id of the warm process, as soon as there is one."""
    folder = Path(world["XDG_RUNTIME_DIR"])
    wait_for(lambda: list(folder.glob("rekall/*/s")))
    return int(next(folder.glob("rekall/*/server.lock")).read_text())


WAYS = pytest.mark.parametrize("way", ["rekall pick", "rekall-py --no-server pick"], ids=["warm", "local"])


@WAYS
def test_a_choice_is_inserted_and_nothing_else_is(way: str, world: dict[str, str], terminal: Open) -> None:
    tmux = terminal()
    tmux.run(f'echo "got [$({way})]"')
    tmux.shows("3/3")
    tmux.type(":undo")
    tmux.shows("▌ pattern")
    tmux.type("Enter")
    seen = tmux.shows("got [git reset --soft HEAD~1]\n$", "/3")
    assert seen.splitlines()[1:] == ["got [git reset --soft HEAD~1]", "$"]
    wait_for(lambda: picks_of(Path(world["REKALL_DB"])) == {"undo": 1})


@WAYS
def test_leaving_keeps_the_screen_and_says_130(way: str, terminal: Open) -> None:
    tmux = terminal()
    tmux.run(f"echo before; {way}; echo status $?")
    tmux.shows("3/3")
    tmux.type("Escape")
    assert tmux.shows("status 130").splitlines()[1:] == ["before", "status 130", "$"]


def test_at_the_bottom_of_the_screen_there_is_room_all_the_same(terminal: Open) -> None:
    tmux = terminal()
    tmux.run("clear; seq 30; rekall pick")
    tmux.shows("3/3")
    assert "The disk is full" in tmux.screen
    tmux.type("C-c")
    assert tmux.shows("$", "3/3").splitlines()[-2:] == ["30", "$"]


def test_a_new_size_is_taken_at_once(terminal: Open) -> None:
    tmux = terminal(100, 30)
    tmux.run("rekall pick disk")
    tmux.shows("du -sh *")  # the preview
    for columns, rows in ((60, 20), (24, 8), (120, 40)):
        tmux("resize-window", "-x", str(columns), "-y", str(rows))
        # 1/3 by words, 3/3 once the entries are embedded behind the picker's back
        wait_for(lambda: all(tmux.screen.count(text) == 1 for text in ("› disk", "▌", "/3")))
    tmux.type("Enter")
    tmux.shows("du -sh *\n$")


def test_the_smallest_terminal(terminal: Open) -> None:
    tmux = terminal(20, 5)
    tmux.run("rekall pick")
    tmux.shows("3/3")
    tmux.type("Down", "Up", ":disk", "M-p")
    tmux.shows("2026-01-03")
    tmux.type("S-Down", "S-Down", "S-Down")
    tmux.shows("du -sh *")
    tmux.type("M-p", "Enter")
    tmux.shows("du -sh *", "› disk")


def test_a_server_that_is_killed_leaves_one_message_and_a_sane_terminal(world: dict[str, str], terminal: Open) -> None:
    tmux = terminal()
    tmux.run("rekall pick; echo status $?")
    tmux.shows("3/3")
    os.kill(server_of(world), signal.SIGKILL)
    seen = tmux.shows("status 2")
    assert seen.count("rekall:") == 1
    assert seen.splitlines()[1].startswith("rekall:"), "where the line to type in was"
    assert "disk" not in seen and "\u2500" not in seen, "what the picker had drawn is still there"
    tmux.run("clear; stty -a | grep -o ' -\\?echo '")
    tmux.shows(" echo")
    tmux.run("clear; rekall pick --print title")  # and the next one starts another
    tmux.shows("3/3")
    tmux.type("Enter")
    tmux.shows("The disk is full\n$")


@pytest.mark.parametrize("before", ["REKALL_NO_SERVER=1 ", ""], ids=["none is wanted", "none can listen"])
def test_where_no_server_can_be_it_answers_by_itself(before: str, terminal: Open, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    tmux = terminal(XDG_RUNTIME_DIR=str(tmp_path / "file"), TMPDIR="/proc/1")
    tmux.run(f"{before}rekall pick")
    tmux.shows("3/3")
    tmux.type("Enter")
    tmux.shows("du -sh *\n$", "3/3")


def test_two_at_once_do_not_know_each_other(terminal: Open) -> None:
    one, other = terminal(), terminal()
    for tmux, query in ((one, "undo"), (other, "disk")):
        tmux.run("rekall pick")
        tmux.shows("3/3")
        tmux.type(f":{query}")
    for tmux, best, answer in ((other, "▌ bug", "du -sh *"), (one, "▌ pattern", "git reset --soft HEAD~1")):
        tmux.shows(best)
        tmux.type("Enter")
        tmux.shows(f"{answer}\n$", "/3")


def test_an_editor_has_the_terminal_and_what_it_changed_is_shown(terminal: Open, tmp_path: Path) -> None:
    editor = tmp_path / "editor"
    editor.write_text(
        '#!/bin/sh\necho "editing"; read -r answer </dev/tty\nsed -i "s/disk is full/disk is $answer/" "$1"\n'
    )
    editor.chmod(0o755)
    tmux = terminal(EDITOR=str(editor), VISUAL="")
    tmux.run("rekall pick --print title disk")
    tmux.shows("The disk is full")
    tmux.type("C-o")
    tmux.shows("editing", "› disk")
    tmux.run("empty")
    tmux.shows("The disk is empty")
    assert "› disk" in tmux.screen
    tmux.type("Enter")
    tmux.shows("The disk is empty\n$", "› disk")


@pytest.mark.parametrize("program", ["xclip", "pbcopy"])
def test_what_is_copied_reaches_the_clipboards_program(
    program: str, world: dict[str, str], terminal: Open, tmp_path: Path
) -> None:
    """Those that are not there, or have no desktop to talk to, are passed over without a word."""
    (tmp_path / "bin").mkdir()
    for name, script in (("wl-copy", "echo no desktop >&2; exit 1"), (program, f"cat >{tmp_path}/copied")):
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    tmux = terminal(PATH=f"{tmp_path}/bin{os.pathsep}{world['PATH']}")
    tmux.run("rekall pick undo")
    tmux.shows("▌ pattern")
    tmux.type("C-y")
    tmux.shows("1 copied", "no desktop")
    wait_for(lambda: (tmp_path / "copied").exists() and (tmp_path / "copied").read_text() == "git reset --soft HEAD~1")
    tmux.type("C-c")
    tmux.shows("$", "1 copied")


def test_it_stops_and_goes_on_like_any_job(world: dict[str, str], terminal: Open) -> None:
    tmux = terminal()
    tmux.run("rekall pick")
    tmux.shows("3/3")
    tmux.type("C-z")
    tmux.shows("Stopped", "3/3")
    tmux.run("clear; echo still here")
    tmux.shows("still here\n$")
    tmux.run("fg")
    tmux.shows("3/3")
    tmux.type(":disk")
    tmux.shows("▌ bug")
    tmux.type("Enter")
    tmux.shows("du -sh *\n$", "/3")


def test_a_terminal_that_is_closed_leaves_nothing_behind(world: dict[str, str], terminal: Open) -> None:
    tmux = terminal()
    tmux.run("rekall pick")
    tmux.shows("3/3")
    pid = server_of(world)
    with Database(Path(world["REKALL_DB"])) as database:  # else the server may be embedding, and open files for it
        wait_for(lambda: not database.count_pending(DEFAULT_MODEL))
    before = len(os.listdir(f"/proc/{pid}/fd"))
    for _number in range(3):
        other = terminal()
        other.run("rekall pick")
        other.shows("3/3")
        other.close()
    wait_for(lambda: len(os.listdir(f"/proc/{pid}/fd")) <= before)
    assert is_running(pid)
    tmux.type("Enter")
    tmux.shows("du -sh *\n$", "3/3")


def test_without_colour_there_is_none(terminal: Open) -> None:
    tmux = terminal(80, 24)
    tmux.run("NO_COLOR=1 rekall pick disk")
    tmux.shows("/3")
    coloured = tmux("capture-pane", "-p", "-e")
    assert not any(f"\x1b[{code}m" in coloured for code in (31, 32, 33, 34, 35, 36)), coloured
    tmux.type("Escape")


def test_titles_that_would_take_over_the_terminal_are_shown_harmless(world: dict[str, str], terminal: Open) -> None:
    with Database(Path(world["REKALL_DB"])) as database:
        entry = database.get("undo")
        title = "\x1b]0;owned\x07\x1b[2J wide 目录 e\u0301 " + "\U0001f469\u200d\U0001f469\u200d\U0001f467 end"
        values = {name: getattr(entry, name) for name in type(entry).__slots__}
        database.update(Entry(**values | {"title": title}))
    tmux = terminal()
    tmux.run("echo above; rekall pick --print title")
    tmux.shows("3/3")
    seen = tmux.shows("␛]0;owned")
    assert "above" in seen and "目录" in seen
    assert tmux("display-message", "-p", "#{pane_title}").strip() != "owned"
    tmux.type("Down", "Enter")
    tmux.shows("␛]0;owned", "3/3")  # printed on a terminal, it is as harmless


def test_the_documented_picture_can_be_made_again(tmp_path: Path) -> None:
    if not (REPOSITORY / "tests" / "shots.py").exists() or not (REPOSITORY / "demo").exists():
        pytest.skip("away from a checkout there is nothing to take a picture of")
    pytest.importorskip("pyte", reason="pyte, of the extra test, reads the terminal")
    made = tmp_path / "picker.svg"
    subprocess.run([sys.executable, str(REPOSITORY / "tests" / "shots.py"), str(made)], check=True, timeout=100)
    assert "words and meaning" in made.read_text(encoding="utf-8")
