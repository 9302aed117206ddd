"""The keys of real shells: which are bound, to what, and that rekall gets on with whoever else is there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from running import is_running, wait_for
from shells import Open, both_modes, every_shell, needs_terminal, server_of

pytestmark = needs_terminal


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
