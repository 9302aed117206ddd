"""The key that finds, pressed in real shells on real terminals: what comes, what stays, and what a person sees."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

import pytest
from running import wait_for
from shells import Open, both_modes, every_shell, needs_terminal, server_of

from rekall.shellinit import FOLDER

pytestmark = needs_terminal

# --- what comes ---


@every_shell
@both_modes
def test_a_choice_stands_at_the_cursor_and_the_prompt_once(shell: str, mode: str, at: Open) -> None:
    prompt = at(shell, mode=mode)
    prompt.type(":echo [ ] end", *["Left"] * 5)
    prompt.settles("echo [ ] end")
    prompt.find("undo")
    prompt.shows("▌ pattern")
    prompt.type("Enter")
    seen = prompt.settles("echo [ git reset --soft HEAD~1] end")
    assert seen.splitlines() == ["first line", "P> echo [ git reset --soft HEAD~1] end"]
    prompt.type(":X")  # the cursor stands behind it
    prompt.settles("echo [ git reset --soft HEAD~1X] end")


@every_shell
@both_modes
def test_several_lines_stay_several(shell: str, mode: str, at: Open) -> None:
    prompt = at(shell, mode=mode)
    prompt.find("loop")
    prompt.shows("▌ snippet")
    prompt.type("Enter")
    prompt.shows("P> echo 'first", "▌")
    prompt.type("Enter")
    prompt.shows("second'\nfirst\n  second\nfirst line\nP>")


@every_shell
@both_modes
@pytest.mark.parametrize("where", ["top", "bottom"])
def test_leaving_keeps_line_cursor_and_screen(shell: str, mode: str, where: str, at: Open) -> None:
    prompt = at(shell, mode=mode)
    if where == "bottom":
        prompt.run("seq 40")
        prompt.shows("40\nfirst line\nP>")
    prompt.type(":echo left right", *["Left"] * 5)
    prompt.settles("echo left right")
    wait_for(lambda: prompt.cursor[1] == len("P> echo left "))
    line, column = prompt.screen.splitlines()[-2:], prompt.cursor[1]
    for key in ("Escape", "C-c"):
        prompt.find()
        prompt.type(key)
        prompt.settles("echo left right")
        wait_for(lambda: prompt.cursor[1] == column)
        assert prompt.screen.splitlines()[-2:] == line
        assert prompt.screen.count("first line") == 1
    prompt.type(":X")
    prompt.settles("echo left Xright")


@every_shell
def test_within_several_lines_all_of_them_come_back(shell: str, at: Open) -> None:
    prompt = at(shell)
    prompt.find("loop")
    prompt.shows("▌ snippet")
    prompt.type("Enter")
    prompt.shows("second'", "▌")
    prompt.type(*["Left"] * len("st\n  second'"))
    prompt.shows("second'")
    wait_for(lambda: prompt.cursor == (1, len("P> echo 'fir")))
    before = prompt.screen
    prompt.find()
    prompt.type("Escape")
    prompt.shows("second'", "▌")
    wait_for(lambda: prompt.cursor == (1, len("P> echo 'fir")))
    assert prompt.screen == before
    prompt.type(":X", "Enter")
    prompt.shows("\nfirXst\n  second\nfirst line")


@every_shell
def test_behind_a_word_the_command_is_the_query_and_makes_way(shell: str, at: Open) -> None:
    prompt = at(shell)
    prompt.type(":echo kept; undo the last")
    prompt.find(count="› undo the last")
    prompt.shows("▌ pattern")
    prompt.type("Enter")
    prompt.settles("echo kept; git reset --soft HEAD~1")
    prompt.type("C-_")
    prompt.settles("echo kept; undo the last")


@every_shell
def test_in_the_command_mode_of_vi_the_place_is_behind_the_cursor(shell: str, at: Open) -> None:
    prompt = at(shell, mode="vi")
    prompt.type(":echo kept; undo the last", "Escape")
    wait_for(lambda: prompt.cursor[1] == len("P> echo kept; undo the las"))
    prompt.find(count="› undo the last")
    prompt.type("Escape")
    prompt.settles("echo kept; undo the last")
    wait_for(lambda: prompt.cursor[1] == len("P> echo kept; undo the las"))
    prompt.find(count="› undo the last")
    prompt.shows("▌ pattern")
    prompt.type("Enter")
    prompt.settles("echo kept; git reset --soft HEAD~1")
    prompt.type("0")
    wait_for(lambda: prompt.cursor[1] == len("P> "))
    prompt.find("disk")
    prompt.shows("▌ bug")
    prompt.type("Enter")
    prompt.settles("edu -sh *cho kept; git reset --soft HEAD~1")


@every_shell
def test_within_quotes_the_query_is_what_was_quoted(shell: str, at: Open) -> None:
    prompt = at(shell)
    prompt.type(":echo 'a' -m \"the disk is")
    prompt.find(count="› the disk is")
    prompt.shows("▌ bug")
    prompt.type("Enter")
    prompt.settles("echo 'a' -m \"du -sh *")


@every_shell
def test_several_choices_come_in_their_order(shell: str, at: Open) -> None:
    prompt = at(shell)
    prompt.find("type:bug,pattern")
    prompt.shows("2/5")
    prompt.type("Tab", "Tab", "Enter")
    prompt.shows("P> du -sh *", "▌")
    assert "git reset --soft HEAD~1" in prompt.screen.splitlines()[-1]


@every_shell
def test_a_choice_is_never_run(shell: str, at: Open, tmp_path: Path) -> None:
    prompt = at(shell)
    prompt.find("hostile")
    prompt.shows("▌ til")
    prompt.type("Enter")
    prompt.settles("$(touch made-3); touch made-4")
    prompt.type("C-u", ":echo well", "Enter")
    prompt.shows("well\nfirst line")
    assert list(tmp_path.glob("made-*")) == []


@every_shell
@pytest.mark.skipif(
    not shutil.which("fzf") or "--disabled" not in (FOLDER / "fzf.sh").read_text(), reason="there is no fzf to draw"
)
def test_fzf_draws_where_it_is_the_picker(shell: str, at: Open) -> None:
    """What it draws goes to the terminal, though the key reads its stdout and its stderr."""
    prompt = at(shell, {"REKALL_PICKER": "fzf"})
    prompt.type(":echo ")
    prompt.find("disk")
    prompt.shows("id: cpp-2")
    prompt.type("Enter")
    assert prompt.settles("echo du -sh *", "id: cpp-2").splitlines() == ["first line", "P> echo du -sh *"]


# --- what stays ---


@every_shell
def test_nothing_fits_and_nothing_happens(shell: str, at: Open) -> None:
    prompt = at(shell)
    prompt.type(":echo ")
    prompt.find("type:decision")
    prompt.shows("0/5")
    prompt.type("Enter")
    assert prompt.settles("echo", "0/5").splitlines() == ["first line", "P> echo"]


@every_shell
def test_pastes_are_still_marked_as_such(shell: str, at: Open) -> None:
    """Else a paste of several lines would be run."""
    prompt = at(shell)
    prompt.find()
    prompt.type("Escape")
    prompt.settles("")
    prompt("set-buffer", "echo one\necho two\n")
    prompt("paste-buffer", "-p")
    prompt.shows("echo two")
    time.sleep(0.2)
    assert prompt.screen.count("one") == 1


@every_shell
def test_a_new_size_meanwhile_leaves_the_line(shell: str, at: Open) -> None:
    prompt = at(shell, columns=90)
    prompt.type(":echo ")
    prompt.find()
    for columns, rows in ((60, 20), (100, 30), (80, 24)):
        prompt("resize-window", "-x", str(columns), "-y", str(rows))
        wait_for(lambda: all(prompt.screen.count(text) == 1 for text in ("▌")))
    prompt.type(":disk", "Enter")
    prompt.settles("echo du -sh *")
    # lines that were wrapped may have pushed the first one out of sight
    assert prompt.screen.count("first line") <= prompt.screen.count("P>") == 1


@every_shell
def test_a_server_that_is_killed_costs_one_message_and_not_the_line(
    shell: str, at: Open, shell_world: dict[str, str]
) -> None:
    prompt = at(shell)
    prompt.type(":echo ")
    prompt.find()
    os.kill(server_of(shell_world), signal.SIGKILL)
    seen = prompt.shows("ask again", "▌")
    assert seen.count("rekall:") == 1
    assert "P> echo" in seen and seen.count("P>") <= 2
    prompt.type(":on")
    prompt.settles("echo on")
    prompt.type("Enter")
    prompt.shows("\non\nfirst line")
    prompt.find("disk")  # and the next one starts another
    prompt.shows("▌ bug")
    prompt.type("Enter")
    prompt.settles("du -sh *")


@every_shell
def test_where_no_server_can_be_it_comes_all_the_same(shell: str, at: Open, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    nowhere = {"XDG_RUNTIME_DIR": f"{tmp_path}/file", "TMPDIR": "/proc/1", "REKALL_NO_SERVER": "1"}
    export = "set -gx {} '{}'" if shell == "fish" else "export {}='{}'"
    prompt = at(shell, before="\n".join(export.format(*pair) for pair in nowhere.items()))
    prompt.type(":echo ")
    prompt.find("disk")
    prompt.shows("▌ bug")
    prompt.type("Enter")
    assert prompt.settles("echo du -sh *").count("first line") == 1


@every_shell
def test_a_warning_does_not_get_into_the_line(shell: str, at: Open, shell_world: dict[str, str]) -> None:
    """The folder of the socket is open to others: the client says so, and goes on without a server."""
    folder = Path(shell_world["XDG_RUNTIME_DIR"], "rekall")
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    prompt = at(shell)
    prompt.type(":echo ")
    prompt.find("disk")
    prompt.shows("▌ bug")
    prompt.type("Enter")
    prompt.settles("echo du -sh *")
    folder.chmod(0o700)


@every_shell
def test_without_rekall_one_line_says_so(shell: str, at: Open) -> None:
    prompt = at(shell, after={"fish": "set -x PATH /usr/bin /bin"}.get(shell, "PATH=/usr/bin:/bin"))
    prompt.type(":echo on", prompt.key)
    seen = prompt.shows("rekall is not found")
    assert seen.count("rekall") == 1
    prompt.type(":e", "Enter")
    prompt.shows("\none\nfirst line")
