"""The plugin in real Vims and Neovims: slow, strange and missing answers, other settings, and what it is made of."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from editors import CLIENT, PLUGIN, Editor, Open, fake_rekall, keep, needs_editors
from running import wait_for

from rekall.entry import TYPES, Entry

pytestmark = needs_editors


def test_an_editor_that_waits_for_a_slow_answer_does_all_else(editor: Open, tmp_path: Path) -> None:
    vim = editor(PATH=fake_rekall(tmp_path, f"echo $$ >>{tmp_path}/pids; exec sleep 60"))
    began = time.monotonic()
    vim.command("Rekall disk")
    vim.shows("searching…")
    vim.type(": full", "C-a", ":x", "Escape")
    vim.shows("one two", "›")
    vim.type(":Oa new line")
    assert vim.text() == "a new line\none two\nthree disk four"
    assert time.monotonic() - began < 30
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))  # all were stopped


def test_a_large_selection_does_not_make_the_editor_wait_for_its_reader(editor: Open, tmp_path: Path) -> None:
    (tmp_path / "file.txt").write_text("one two" + "\nx" * 400_000 + "\n")
    vim = editor(PATH=fake_rekall(tmp_path, "sleep 5; wc -c >&2; exit 2"))
    vim.command("%RekallAdd til large")
    vim.type(":ggOstill here", "Escape")
    vim.shows("still here", seconds=4)
    vim.shows("rekall: 800007")
    vim.is_calm()


def test_the_answer_to_a_replaced_question_is_not_shown(editor: Open, tmp_path: Path) -> None:
    """Even from a `rekall` that does not end when it is asked to."""
    script = f'trap "" TERM; case "$*" in *slow) sleep 2; set -- search --json disk;; esac; exec {CLIENT} "$@"'
    vim = editor(PATH=fake_rekall(tmp_path, script))
    vim.command("Rekall slow")
    vim.shows("searching…")
    vim.type("C-u", ":undo")
    vim.shows("git reset")
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        assert "│ pattern" in vim.screen.splitlines()[5], vim.screen
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("script", "said"),
    [("echo 'rekall: the disk is on fire; call' >&2; exit 2", "the disk is on fire"), ("echo nonsense", "are both of one"),
     ("kill -9 $$", "ended with status"), ("echo '{\"query\": \"\", \"hits\": []}'; exit 1", "nothing found")],
    ids=["error", "nonsense", "killed", "nothing"],
)  # fmt: skip
def test_what_goes_wrong_is_one_line(script: str, said: str, editor: Open, tmp_path: Path) -> None:
    vim = editor(100, 24, PATH=fake_rekall(tmp_path, script), setup="set noshowmode")
    vim.command("Rekall disk")
    vim.shows(said)
    vim.type("Enter", "C-y", "Escape")
    vim.shows("one two", "›")
    vim.command("RekallFix | 1RekallFix")
    vim.is_calm()


def test_a_rekall_that_is_not_there_is_told_in_a_line(editor: Open) -> None:
    vim = editor(setup="let g:rekall_command = 'rekall-not-there'")
    for command in ("Rekall disk", "1RekallFix", "1RekallAdd til x"):
        vim.command(command)
        vim.shows("'rekall-not-there' cannot be")
        vim.type("Escape")
        vim.shows("one two", "›")
    vim.is_calm()


@pytest.mark.parametrize(
    "env",
    [{"REKALL_NO_SERVER": "1"}, {"XDG_RUNTIME_DIR": "/proc/1", "TMPDIR": "/proc/1"}],
    ids=["no server", "nowhere"],
)
def test_without_a_server_it_finds_the_same(env: dict[str, str], editor: Open) -> None:
    vim = editor(**env)
    vim.command("Rekall disk full")
    vim.shows("du -sh")
    vim.type("Enter")
    vim.shows("du -sh *", "›")
    vim.is_calm()


def test_a_server_that_is_killed_is_started_again(editor: Open, vim_world: dict[str, str]) -> None:
    vim = editor()
    vim.command("Rekall disk full")
    vim.shows("du -sh")
    (lock,) = Path(vim_world["XDG_RUNTIME_DIR"]).glob("rekall/*/server.lock")
    os.kill(int(lock.read_text()), 9)
    vim.type("C-u", ":undo")
    vim.shows("git reset")
    vim.type("Enter")
    assert "git reset --soft HEAD~1" in vim.text()
    vim.is_calm()


def test_a_paste_is_text_with_its_line_ends_and_takes_nothing(editor: Open) -> None:
    vim = editor()
    vim.command("Rekall")
    vim.shows("1/3")
    vim("set-buffer", "undo\nthe\ncommit")
    vim("paste-buffer", "-p")
    vim.shows("› undo the commit")
    vim.shows("│ pattern")
    vim.type("Escape")
    assert vim.text() == "one two\nthree disk four"


def test_keys_are_left_alone_where_they_are_taken_or_unwanted(editor: Open) -> None:
    keys = "[maparg(',rr', 'n'), maparg(',rw', 'n'), maparg(',rr', 'x'), maparg(',ra', 'x')]"
    mine = 'let mapleader = "," | nnoremap ,rr :echo<CR>| nmap <F5> <Plug>(rekall-word)'
    assert editor(setup=mine).value(keys) == [":echo<CR>", "", "<Plug>(rekall-selection)", "<Plug>(rekall-add)"]
    assert editor(setup='let mapleader = "," | let g:rekall_no_maps = 1').value(keys) == [""] * 4


def test_it_speaks_french_as_rekall_does(editor: Open) -> None:
    vim = editor(LC_ALL="fr_FR.UTF-8", LANGUAGE="")
    vim.command("RekallFix")
    vim.shows("la liste quickfix est vide")
    vim.command("Rekall disk full")
    vim.shows("solution:")
    vim.type("Escape")


def test_an_encoding_that_is_not_utf_8_gets_the_text_in_its_own(
    vim_world: dict[str, str], tmp_path: Path, make_entry: Callable[..., Entry]
) -> None:
    keep(vim_world, make_entry("Café", "crème brûlée"))
    vim = Editor("vim", vim_world, tmp_path, (80, 24), "set encoding=latin1 termencoding=utf-8")
    try:
        vim.command("Rekall Café")
        vim.shows("> Café")
        vim.shows("crème")
        vim.type("Enter")
        vim.shows("crème brûlée", "> Café")
        vim.command(f"w! ++enc=utf-8 {tmp_path}/written")
        wait_for(lambda: (tmp_path / "written").exists() and "crème brûlée" in (tmp_path / "written").read_text())
    finally:
        vim.close()


def test_compatible_vim_loads_it_without_a_word(vim_world: dict[str, str], tmp_path: Path) -> None:
    vim = Editor("vim", vim_world, tmp_path, (80, 24), "set compatible shortmess=atI")
    try:
        vim.command("Rekall disk full")
        vim.shows("du -sh")
        vim.type("C-c")
        vim.shows("one two", "›")
        vim.command("set nocompatible")
        vim.is_calm()
    finally:
        vim.close()


def sources() -> dict[str, str]:
    return {str(path): path.read_text(encoding="utf-8") for path in PLUGIN.rglob("*.vim")}


def test_every_message_is_also_in_french_and_nothing_else_is() -> None:
    code = "".join(sources().values())
    used = {text.replace("''", "'") for text in re.findall(r"rekall#text#_\('((?:[^']|'')+)'\)", code)}
    catalogue = code[code.index("let s:FRENCH = {") : code.index('" Return a message in the language')]
    assert set(re.findall(r"^      \\ '((?:[^']|'')+)':", catalogue, re.MULTILINE)) == used


def test_the_types_are_those_of_rekall() -> None:
    (listed,) = re.findall(r"let s:TYPES = (\[.*\])", sources()[str(PLUGIN / "autoload" / "rekall" / "add.vim")])
    assert json.loads(listed.replace("'", '"')) == list(TYPES)


def test_the_help_has_a_tag_for_every_command_key_and_option() -> None:
    code = "".join(sources().values())
    tags = (PLUGIN / "doc" / "tags").read_text(encoding="utf-8").splitlines()
    names = {f":{name}" for name in re.findall(r"^command! .*?(Rekall\w*) ", code, re.MULTILINE)}
    names |= {":RekallAdd"} | set(re.findall(r"<Plug>\(rekall-\w+\)", code)) | set(re.findall(r"g:rekall_\w+", code))
    names |= {"g:rekall_no_maps"}
    assert names <= {tag.split("\t")[0] for tag in tags}
    targets = set(re.findall(r"\*(\S+)\*", (PLUGIN / "doc" / "rekall.txt").read_text(encoding="utf-8")))
    assert {tag.split("\t")[0] for tag in tags} == targets
