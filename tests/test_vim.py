"""The plugin in real Vims and Neovims, typed into on a terminal: what is found, previewed, inserted, copied, opened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from editors import HOSTILE, Open, keep, needs_editors
from running import picks_of, wait_for

from rekall.db import Database
from rekall.entry import Entry

pytestmark = needs_editors


def test_what_is_found_is_shown_with_its_preview_and_inserted_in_one_change(
    editor: Open, vim_world: dict[str, str]
) -> None:
    vim = editor()
    vim.command("Rekall undo the commit")
    seen = vim.shows("git reset --soft")
    assert "› undo the commit" in seen and "│ pattern" in seen and "pattern · #git" in seen
    vim.type("Enter")
    vim.shows("git reset --soft HEAD~1", "›")
    assert vim.text() == "ogit reset --soft HEAD~1ne two\nthree disk four"  # behind the cursor, as p does
    vim.type(":u")
    assert vim.text() == "one two\nthree disk four"
    wait_for(lambda: picks_of(Path(vim_world["REKALL_DB"])) == {"undo": 1})
    vim.is_calm()


def test_an_obsolete_entry_names_what_replaced_it(editor: Open, vim_world: dict[str, str]) -> None:
    with Database(Path(vim_world["REKALL_DB"])) as database:
        database.update(replace(database.get("cpp-2"), status="obsolete", superseded_by="undo"))
    vim = editor(150, 24)
    vim.command("Rekall disk is full")
    vim.shows("(obsolete → undo Undo the last commit) · #disk #git")  # the preview
    assert "The disk is full  (obsolete → undo" in vim.screen
    vim.type("Escape")
    vim.is_calm()


def test_an_empty_question_lists_what_was_kept_last_and_typing_narrows(editor: Open) -> None:
    vim = editor()
    vim.command("Rekall")
    vim.shows("1/3")
    vim.type(":undx", "BSpace", ":o")
    vim.shows("git reset")
    vim.type("C-w", ":full disk", "C-a", ":the ", "C-e")
    vim.shows("› the full disk")
    vim.shows("du -sh")
    vim.type("C-u")
    vim.shows("1/3")
    vim.type("Escape")
    vim.shows("one two", "›")
    vim.is_calm()
    assert vim.text() == "one two\nthree disk four"


def test_a_key_takes_what_fits_the_whole_line_however_fast_it_was_typed(editor: Open) -> None:
    vim = editor()
    vim.type("::Rekall", "Enter", ":disk is full", "Enter")
    wait_for(lambda: "du -sh *" in vim.file.read_text() or ("du -sh *" in vim.screen and "›" not in vim.screen))
    assert vim.text() == "odu -sh *ne two\nthree disk four"


def test_moving_changes_what_is_previewed_and_taken(editor: Open) -> None:
    vim = editor()
    vim.command("Rekall")
    vim.shows("du -sh")  # the newest is the first
    vim.type("Down", "C-n", "Up")
    vim.shows("git reset")
    vim.type("PageUp")
    vim.shows("du -sh")
    vim.type("PageDown", "Enter")
    vim.shows("C++ templates", "›")
    assert vim.text() == "oC++ templates can't be foo-barne two\nthree disk four"


def test_the_word_under_the_cursor_and_the_selection_are_questions(editor: Open) -> None:
    vim = editor(setup='let mapleader = ","')
    vim.type(":jw", ":,rw")
    vim.shows("› disk")
    vim.type("Escape")
    vim.shows("one two", "›")
    vim.type(":0vE,rr")
    vim.shows("› three")
    vim.type("Escape")
    vim.shows("one two", "›")
    vim.type(":ggVG,rr")
    vim.shows("› one two three disk four")
    vim.type("Escape")
    vim.is_calm()
    assert vim.value("getreg('\"')") == ""  # no register was touched


def test_in_insert_mode_text_goes_where_the_cursor_is_and_typing_goes_on(
    editor: Open, vim_world: dict[str, str], make_entry: Callable[..., Entry]
) -> None:
    keep(vim_world, make_entry("many lines", "if x:\n\tindented\n    spaces  \n\nend"))
    vim = editor(setup="set autoindent textwidth=20 expandtab | inoremap <C-g>r <Plug>(rekall-find)")
    vim.type(":wi", "C-g", ":r")
    vim.shows("1/4")
    vim.type(":many lines")
    vim.shows("indented")
    vim.type("Enter")
    vim.shows("end", "›")
    vim.type(":!!")
    assert vim.text() == "one if x:\n\tindented\n    spaces  \n\nend!!two\nthree disk four"
    vim.is_calm()


@pytest.mark.parametrize("is_inserting", [False, True], ids=["normal", "insert"])
def test_whatever_an_entry_holds_comes_byte_for_byte_and_drives_nothing(
    is_inserting: bool, editor: Open, vim_world: dict[str, str], make_entry: Callable[..., Entry], tmp_path: Path
) -> None:
    content = f"first {HOSTILE}\n:call writefile([], '{tmp_path}/driven')\n \n\x03\x1b:qa!"
    keep(vim_world, make_entry(f"hostile {HOSTILE}", content, tags=("a|b", "%x")))
    vim = editor(setup="set ignorecase nomagic shell=fish cpoptions+=aAB gdefault startofline nowrapscan tildeop")
    vim.type("i" if is_inserting else ":j")
    vim.command("Rekall hostile") if not is_inserting else vim.type("C-o", "::Rekall hostile", "Enter")
    vim.shows("1/")
    vim.shows("␛[2J")
    vim.type("Enter")
    vim.shows("first it's", "›")
    whole = f"{content}one two\nthree disk four" if is_inserting else f"one two\nthree disk four\n{content}"
    assert vim.text() == whole
    vim.is_calm()
    assert not (tmp_path / "driven").exists()


def test_a_copy_goes_to_the_register_that_was_named_and_open_shows_all_of_it(editor: Open) -> None:
    vim = editor()
    vim.type(":j$")
    vim.command("Rekall disk full")
    vim.shows("du -sh")
    vim.type("C-y")
    vim.shows("rekall: copied", "›")
    assert vim.value("[getreg('\"'), getregtype('\"'), getcurpos()[1:2]]") == ["du -sh *", "v", [2, 15]]
    vim.command("Rekall disk full")
    vim.shows("1/")
    vim.type("C-o")
    vim.shows("# The disk is full", "›")
    facts = "[&filetype, &buftype, &modifiable, bufname(), getline(1, 3)]"
    shown = vim.value(facts)
    assert shown == [
        "markdown",
        "nofile",
        0,
        "rekall://cpp-2",
        ["# The disk is full", "", "bug · #disk #git · 2026-01-03 · cpp-2"],
    ]
    vim.command("Rekall undo")  # and nothing can be put there
    vim.shows("git reset")
    vim.type("Enter")
    vim.shows("this buffer cannot")
    vim.type("Escape")
    vim.shows("one two", "›")
    vim.is_calm()


def test_a_large_entry_opens_whole_and_shows_its_beginning(
    editor: Open, vim_world: dict[str, str], make_entry: Callable[..., Entry]
) -> None:
    content = "\n".join(f"line {number} " + "x" * 90 for number in range(1000)) + "\n" + "y" * 20_000
    keep(vim_world, make_entry("Heron nests", content, created_at="2026-02-01T00:00:00Z"))
    vim = editor()
    vim.command("Rekall")
    vim.shows("line 3 xx")
    vim.type("Enter")
    vim.shows("line 3 xx", "›")
    assert vim.text() == f"one two\n{content}\nthree disk four"


@pytest.mark.parametrize("size", [(40, 12), (20, 6), (200, 50)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_it_fits_any_window_and_follows_its_size(size: tuple[int, int], editor: Open) -> None:
    vim = editor(*size)
    vim.command("Rekall disk")
    vim.shows("1/3")
    for columns, rows in ((30, 10), (100, 30), size):
        vim("resize-window", "-x", str(columns), "-y", str(rows))
        wait_for(lambda: vim.screen.count("› disk") == 1 and vim.screen.count("1/3") == 1)
    vim.type("Tab")
    if size == (40, 12):
        vim.shows("bug · #disk #git")
    vim.type("Enter")
    vim.shows("du -sh *", "›")
    vim.is_calm()
