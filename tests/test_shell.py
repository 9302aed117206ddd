"""The key that finds, pressed in real shells on real terminals: what comes, what stays, and what a person sees."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

import pytest
from running import is_running, wait_for
from shells import Open, every_shell, needs_terminal

pytestmark = needs_terminal

both_modes = pytest.mark.parametrize("mode", ["emacs", "vi"])


def server_of(world: dict[str, str]) -> int:
    """Return the process id of the warm process."""
    return int(next(Path(world["XDG_RUNTIME_DIR"]).glob("rekall/*/server.lock")).read_text())


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


# --- who else is there ---


@every_shell
def test_sourced_twice_it_is_there_once(shell: str, at: Open) -> None:
    again = {"fish": "rekall init fish | source"}.get(shell, f'eval "$(rekall init {shell})"')
    shown = {"bash": "declare -p PROMPT_COMMAND", "zsh": "print $precmd_functions $preexec_functions", "fish": "bind"}
    prompt = at(shell, after=f"{again}\n{again}")
    prompt.run(f"clear; {shown[shell]} | grep -o 'rekall_[a-z]*' | sort | uniq -c")
    wait_for(lambda: "1 rekall_" in prompt.screen)
    assert not any(f"{n} rekall_" in prompt.screen for n in range(2, 9))
    prompt.find()
    prompt.type(":disk")
    prompt.shows("▌ bug")
    prompt.type("Enter")
    prompt.settles("du -sh *")


@every_shell
def test_aliases_and_functions_of_the_user_are_passed_by(shell: str, at: Open) -> None:
    names = ["rekall", "printf", "bind", "hash", "history", "print", "read", "whence", "exec", "command"]
    mine = "\n".join(f"alias {name}=false" for name in names if name != "command" or shell != "fish")
    if shell == "fish":  # there an alias is a function
        mine = "alias rekall=false"
    path = f"alias -g L='| less' G='| grep'\n{mine}" if shell == "zsh" else mine
    prompt = at(shell, before=f"{INIT_FIRST[shell]}\n{path}", init=None, after=SOURCE_KEPT[shell])
    prompt.type(":echo ")
    prompt.find("disk")
    prompt.shows("▌ bug")
    prompt.type("Enter")
    prompt.settles("echo du -sh *")


# The script is fetched while `rekall` is what it should be.
INIT_FIRST = {
    "bash": "kept=$(rekall init bash)",
    "zsh": "kept=$(rekall init zsh)",
    "fish": "set kept (rekall init fish | string collect)",
}
SOURCE_KEPT = {"bash": 'eval "$kept"', "zsh": 'eval "$kept"', "fish": "echo $kept | source"}


@every_shell
@both_modes
def test_keys_that_were_taken_can_be_bound_again(shell: str, mode: str, at: Open) -> None:
    """As zsh-vi-mode does at the first prompt: it has maps of its own making."""
    taken = {
        "bash": "bind -r '\\ek'; bind -m vi-insert -r '\\C-g'",
        "zsh": "bindkey -M emacs -r '^[k'; bindkey -M viins -r '^G'",
        "fish": "bind -e \\ek; bind -M insert -e \\cg",
    }
    prompt = at(shell, mode=mode, after=f"{taken[shell]}\nrekall_bind")
    prompt.find("disk")
    prompt.shows("▌ bug")
    prompt.type("Enter")
    prompt.settles("du -sh *")


@pytest.mark.skipif(not shutil.which("zsh"), reason="zsh is not installed")
def test_zsh_vi_mode_which_makes_its_maps_at_the_first_prompt_has_the_keys(at: Open) -> None:
    plugin = """
        zvm_after_init_commands=()
        zvm_init() {
            bindkey -v; bindkey -M viins -r '^G'; bindkey -M vicmd -r '^G'
            for command in $zvm_after_init_commands; do $command; done
            precmd_functions=(${precmd_functions:#zvm_init})
        }
        precmd_functions+=(zvm_init)
    """
    prompt = at("zsh", mode="vi", before=plugin)
    prompt.find("disk")
    prompt.shows("▌ bug")
    prompt.type("Enter")
    prompt.settles("du -sh *")


@every_shell
@pytest.mark.parametrize(
    ("init", "env", "key"),
    [
        (" --key 'ctrl-x ctrl-k'", {}, ["C-x", "C-k"]),
        (" --key alt-shift-j", {}, ["M-J"]),
        ("", {"REKALL_KEY": "ctrl-o"}, ["C-o"]),
        ({"bash": r" --key '\C-x\C-k'", "zsh": " --key '^X^K'", "fish": r" --key '\cx\ck'"}, {}, ["C-x", "C-k"]),
    ],
    ids=["two keys", "shift", "variable", "the shell's own"],
)
def test_the_key_can_be_another(
    shell: str, init: str | dict[str, str], env: dict[str, str], key: list[str], at: Open
) -> None:
    prompt = at(shell, env, init=init if isinstance(init, str) else init[shell])
    prompt.type(*key)
    prompt.shows("5/5")
    prompt.type("Escape")
    prompt.settles("")


@every_shell
@both_modes
@pytest.mark.parametrize(
    ("init", "env"),
    [(" --no-bind", {}), ("", {"REKALL_NO_BIND": "1"}), ("", {"REKALL_KEY": "", "REKALL_KEEP_KEY": ""})],
)
def test_keys_can_be_switched_off(shell: str, mode: str, init: str, env: dict[str, str], at: Open) -> None:
    listed = {"bash": "bind -X; bind -m vi-insert -X; bind -m vi-command -X",
              "zsh": "for map in emacs viins vicmd; bindkey -M $map", "fish": "bind"}  # fmt: skip
    prompt = at(shell, env, mode=mode, init=init)
    prompt.run(f"clear; {listed[shell]} | grep -c rekall_; echo counted")
    assert "0\ncounted" in prompt.shows("counted\nfirst line").replace("0\n0\n0", "0")


@every_shell
def test_nothing_else_is_bound(shell: str, at: Open) -> None:
    """Ctrl-R, Up and Tab are the shell's."""
    listed = {"bash": "bind -X", "zsh": "bindkey -M emacs | grep rekall", "fish": "bind | grep rekall"}
    prompt = at(shell)
    prompt.run(f"clear; {listed[shell]}; echo all")
    seen = prompt.shows("\nall\n")
    assert seen.count("rekall_find") == seen.count("rekall_keep") == 1


@every_shell
def test_a_server_is_started_by_the_key_alone(shell: str, at: Open, shell_world: dict[str, str]) -> None:
    """Not by the start of a shell."""
    prompt = at(shell)
    prompt.run("echo on")
    prompt.shows("\non\n")
    assert not Path(shell_world["XDG_RUNTIME_DIR"], "rekall").exists()
    prompt.find()
    assert is_running(server_of(shell_world))
    prompt.type("Escape")
