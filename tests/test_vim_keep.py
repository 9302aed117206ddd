"""The plugin in real Vims and Neovims: errors asked about, and selections kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from editors import CLIENT, HOSTILE, Open, fake_rekall, keep, kept, needs_editors
from running import wait_for

from rekall.entry import Entry

pytestmark = needs_editors


def test_the_error_the_quickfix_list_is_at_is_asked_about(
    editor: Open, vim_world: dict[str, str], make_entry: Callable[..., Entry], tmp_path: Path
) -> None:
    keep(
        vim_world,
        make_entry("memory", solution="add an include", errors=("error: implicit declaration of function 'foo'",)),
    )
    vim = editor()
    lines = [
        f"{tmp_path}/a.c:3:1: warning: unused",
        f"{tmp_path}/b.c:7:5: error: implicit declaration of function 'qux'",
        "cc: note",
    ]
    (tmp_path / "out").write_text("\n".join(lines))
    vim.command(f"set efm=%f:%l:%c:\\ %m | cgetfile {tmp_path}/out")
    vim.command("RekallFix")
    vim.shows("no entry answers this error")
    vim.command("silent cnext | edit file.txt")
    vim.command("RekallFix")
    vim.shows("add an include")
    vim.type("Enter")
    vim.shows("add an include", "›")
    vim.is_calm()
    vim.command("call setqflist([])")
    vim.command("RekallFix")
    vim.shows("the quickfix list is empty")
    vim.is_calm()


def test_an_error_whose_mark_errorformat_took_is_known_all_the_same_and_so_is_a_selection(
    editor: Open, vim_world: dict[str, str], make_entry: Callable[..., Entry]
) -> None:
    keep(
        vim_world,
        make_entry("memory", solution="add an include", errors=("error: implicit declaration of function 'foo'",)),
    )
    vim = editor(setup='let mapleader = ","')
    vim.command("call setloclist(0, [{'type': 'E', 'lnum': 3, 'text': \"implicit declaration of function 'z'\"}])")
    vim.command("RekallFix!")
    vim.shows("add an include")
    vim.type("Escape")
    vim.command(
        "call setline(1, ['make', \"x.c:1: error: implicit declaration of function 'y'\", 'make: *** [x] Error 1'])"
    )
    vim.type(":ggVG,rf")
    vim.shows("add an include")
    vim.type("Escape")
    vim.shows("make", "›")
    vim.is_calm()


def test_a_selection_is_kept_with_its_place_and_comes_back_as_it_was(
    editor: Open, vim_world: dict[str, str], tmp_path: Path
) -> None:
    text = f"a = 1\n\tif b: {HOSTILE}".replace("\r", "").replace("\x1b", "") + "\n````\n-c x\n"
    (tmp_path / "file.txt").write_text(f"a = 1{text[5:]}")
    vim = editor(setup='let mapleader = ","')
    vim.command("set filetype=python")
    vim.command('1,4RekallAdd snippet -- a "title" | with $(id) <CR>')
    vim.shows("rekall: kept 01")
    (entry,) = kept(vim_world)
    place = str(tmp_path / "file.txt")
    assert (entry.type, entry.title) == ("snippet", '-- a "title" | with $(id) <CR>')
    assert (entry.source, entry.files) == (f"{place}:1", (place,))
    assert entry.content == "`````python\n" + text + "`````"
    vim.command("enew! | Rekall a title with id")
    vim.shows("1/")
    vim.type("Enter")
    vim.shows("if b", "›")
    assert vim.text() == "\n" + text.rstrip("\n")
    vim.is_calm()


def test_what_is_not_said_is_asked_for_and_esc_keeps_nothing(editor: Open, vim_world: dict[str, str]) -> None:
    vim = editor(setup='let mapleader = ","')
    vim.type(":jwviw,ra")
    vim.shows("Type: snippet")
    vim.type("C-u", ":refe", "Tab")
    vim.shows("Type: reference")
    vim.type("Enter")
    vim.shows("Title: disk")
    vim.type(": words", "Enter")
    vim.shows("rekall: kept 01")
    (entry,) = kept(vim_world)
    assert (entry.type, entry.title, entry.content) == ("reference", "disk words", "disk")
    assert entry.source and entry.source.endswith("file.txt:2")
    vim.command("RekallAdd til")
    vim.shows("Title:")
    vim.type("Escape")
    vim.shows("nothing kept")
    vim.command("RekallAdd nothing at all")
    vim.shows("is no type; there are: bug")
    vim.is_calm()
    assert len(kept(vim_world)) == 1


def test_what_is_being_kept_is_kept_although_the_editor_is_left_at_once(
    editor: Open, vim_world: dict[str, str], tmp_path: Path
) -> None:
    path = fake_rekall(tmp_path, f'sleep 1; exec {CLIENT} "$@"')
    vim = editor(PATH=path)
    vim.command("%RekallAdd til left at once | qa!")
    wait_for(lambda: len(kept(vim_world)) == 1)
    assert kept(vim_world)[0].content == "one two\nthree disk four"
