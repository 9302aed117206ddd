"""The plugin in real Vims and Neovims, typed into on a terminal: tmux, the editor, the client and the warm process."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from running import NOTED, REPOSITORY, picks_of, runtime_folder, wait_for
from tmux import Tmux

import rekall
from rekall.db import Database
from rekall.entry import TYPES, Entry
from rekall.query import Filters

CLIENT = Path(sys.executable).with_name("rekall")
PLUGIN = next(
    folder / "shell" / "vim"
    for folder in (REPOSITORY, Path(rekall.__file__).parent)
    if (folder / "shell" / "vim").exists()
)
EDITORS = {"vim": ["vim", "-Nnu", "NONE", "-i", "NONE"], "nvim": ["nvim", "-nu", "NONE", "-i", "NONE"]}

pytestmark = [
    pytest.mark.skipif(
        not all(map(shutil.which, ("tmux", "vim", "nvim"))), reason="tmux, vim or nvim is not installed"
    ),
    pytest.mark.skipif(not CLIENT.exists(), reason="rekall is not installed beside this Python"),
]

HOSTILE = 'it\'s "quoted" | echo $(touch /tmp/x) `id` \\n \\<CR> <CR> %d \t tab\x1b[2Jé漢字 \r end'


class Editor(Tmux):
    """An editor in a window of its own, on one file."""

    def __init__(self, name: str, env: dict[str, str], folder: Path, size: tuple[int, int], setup: str) -> None:
        self.file = folder / "file.txt"
        if not self.file.exists():
            self.file.write_text("one two\nthree disk four\n")
        before = ["--cmd", f"set rtp^={PLUGIN}", "--cmd", setup or "set noswapfile"]
        command = [*EDITORS[name], *before, "-c", "runtime plugin/rekall.vim", str(self.file)]
        self._written = 0
        super().__init__(env, folder, *size, program=command, ready=self.file.read_text()[:5])

    def command(self, text: str) -> None:
        self.type(f"::{text}", "Enter")

    def value(self, expression: str) -> object:
        """Return what an expression is worth in the editor; it goes out of Insert mode for it."""
        self._written += 1
        out = self.folder / f"value-{self._written}"
        self.type("C-\\", "C-n")
        self.command(f"call writefile([json_encode({expression})], '{out}')")
        wait_for(lambda: out.exists() and out.read_text().endswith("\n"))
        return json.loads(out.read_text())

    def text(self) -> str:
        """Return the text of the buffer."""
        return "\n".join(self.value("getline(1, '$')"))  # type: ignore[arg-type]  # a list of lines

    def is_calm(self) -> None:
        """Nobody has to press Enter, and nothing has gone wrong."""
        messages = str(self.value("execute('messages')"))
        assert not re.search(r"E\d+:|Error", messages), messages
        assert "Press ENTER" not in self.screen


Open = Callable[..., Editor]


@pytest.fixture
def world(home: dict[str, str], tmp_path: Path, make_entry: Callable[..., Entry]) -> Iterator[dict[str, str]]:
    """An environment with a base, a place for the socket, and `rekall` on its PATH."""
    with runtime_folder() as sockets:
        base = tmp_path / "rekall.db"
        with Database(base) as database:
            for number, fields in enumerate(NOTED):
                database.add(make_entry(**{"created_at": f"2026-01-0{number + 1}T00:00:00Z"} | fields))
        path = f"{CLIENT.parent}{os.pathsep}{home['PATH']}"
        yield home | {"XDG_RUNTIME_DIR": str(sockets), "REKALL_DB": str(base), "PATH": path}


@pytest.fixture(params=EDITORS)
def editor(request: pytest.FixtureRequest, world: dict[str, str], tmp_path: Path) -> Iterator[Open]:
    """Return a function that opens the editor, each of both in turn."""
    opened: list[Editor] = []

    def new(columns: int = 80, rows: int = 24, setup: str = "", **env: str) -> Editor:
        opened.append(Editor(request.param, world | env, tmp_path, (columns, rows), setup))
        return opened[-1]

    yield new
    for one in opened:
        one.close()


def keep(world: dict[str, str], entry: Entry) -> None:
    with Database(Path(world["REKALL_DB"])) as database:
        database.add(entry)


def kept(world: dict[str, str]) -> list[Entry]:
    with Database(Path(world["REKALL_DB"])) as database:
        return [entry for entry in database.entries(Filters(), 100) if entry.id not in ("undo", "cpp-1", "cpp-2")]


def fake_rekall(tmp_path: Path, script: str) -> str:
    """Put a `rekall` that does as `script` says in front of the real one; return a PATH for it."""
    (tmp_path / "bin").mkdir(exist_ok=True)
    fake = tmp_path / "bin" / "rekall"
    fake.write_text(f"#!/bin/sh\n{script}\n")
    fake.chmod(0o755)
    return f"{tmp_path / 'bin'}{os.pathsep}{CLIENT.parent}{os.pathsep}{os.environ['PATH']}"


def test_what_is_found_is_shown_with_its_preview_and_inserted_in_one_change(
    editor: Open, world: dict[str, str]
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
    wait_for(lambda: picks_of(Path(world["REKALL_DB"])) == {"undo": 1})
    vim.is_calm()


def test_an_obsolete_entry_names_what_replaced_it(editor: Open, world: dict[str, str]) -> None:
    with Database(Path(world["REKALL_DB"])) as database:
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
    editor: Open, world: dict[str, str], make_entry: Callable[..., Entry]
) -> None:
    keep(world, make_entry("many lines", "if x:\n\tindented\n    spaces  \n\nend"))
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
    is_inserting: bool, editor: Open, world: dict[str, str], make_entry: Callable[..., Entry], tmp_path: Path
) -> None:
    content = f"first {HOSTILE}\n:call writefile([], '{tmp_path}/driven')\n \n\x03\x1b:qa!"
    keep(world, make_entry(f"hostile {HOSTILE}", content, tags=("a|b", "%x")))
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
    editor: Open, world: dict[str, str], make_entry: Callable[..., Entry]
) -> None:
    content = "\n".join(f"line {number} " + "x" * 90 for number in range(1000)) + "\n" + "y" * 20_000
    keep(world, make_entry("Heron nests", content, created_at="2026-02-01T00:00:00Z"))
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


def test_the_error_the_quickfix_list_is_at_is_asked_about(
    editor: Open, world: dict[str, str], make_entry: Callable[..., Entry], tmp_path: Path
) -> None:
    keep(
        world,
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
    editor: Open, world: dict[str, str], make_entry: Callable[..., Entry]
) -> None:
    keep(
        world,
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
    editor: Open, world: dict[str, str], tmp_path: Path
) -> None:
    text = f"a = 1\n\tif b: {HOSTILE}".replace("\r", "").replace("\x1b", "") + "\n````\n-c x\n"
    (tmp_path / "file.txt").write_text(f"a = 1{text[5:]}")
    vim = editor(setup='let mapleader = ","')
    vim.command("set filetype=python")
    vim.command('1,4RekallAdd snippet -- a "title" | with $(id) <CR>')
    vim.shows("rekall: kept 01")
    (entry,) = kept(world)
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


def test_what_is_not_said_is_asked_for_and_esc_keeps_nothing(editor: Open, world: dict[str, str]) -> None:
    vim = editor(setup='let mapleader = ","')
    vim.type(":jwviw,ra")
    vim.shows("Type: snippet")
    vim.type("C-u", ":refe", "Tab")
    vim.shows("Type: reference")
    vim.type("Enter")
    vim.shows("Title: disk")
    vim.type(": words", "Enter")
    vim.shows("rekall: kept 01")
    (entry,) = kept(world)
    assert (entry.type, entry.title, entry.content) == ("reference", "disk words", "disk")
    assert entry.source and entry.source.endswith("file.txt:2")
    vim.command("RekallAdd til")
    vim.shows("Title:")
    vim.type("Escape")
    vim.shows("nothing kept")
    vim.command("RekallAdd nothing at all")
    vim.shows("is no type; there are: bug")
    vim.is_calm()
    assert len(kept(world)) == 1


def test_what_is_being_kept_is_kept_although_the_editor_is_left_at_once(
    editor: Open, world: dict[str, str], tmp_path: Path
) -> None:
    path = fake_rekall(tmp_path, f'sleep 1; exec {CLIENT} "$@"')
    vim = editor(PATH=path)
    vim.command("%RekallAdd til left at once | qa!")
    wait_for(lambda: len(kept(world)) == 1)
    assert kept(world)[0].content == "one two\nthree disk four"


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


def test_a_server_that_is_killed_is_started_again(editor: Open, world: dict[str, str]) -> None:
    vim = editor()
    vim.command("Rekall disk full")
    vim.shows("du -sh")
    (lock,) = Path(world["XDG_RUNTIME_DIR"]).glob("rekall/*/server.lock")
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
    assert "│ pattern" in vim.screen
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
    world: dict[str, str], tmp_path: Path, make_entry: Callable[..., Entry]
) -> None:
    keep(world, make_entry("Café", "crème brûlée"))
    vim = Editor("vim", world, tmp_path, (80, 24), "set encoding=latin1 termencoding=utf-8")
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


def test_compatible_vim_loads_it_without_a_word(world: dict[str, str], tmp_path: Path) -> None:
    vim = Editor("vim", world, tmp_path, (80, 24), "set compatible shortmess=atI")
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
