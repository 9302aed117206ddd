"""The key that keeps: what a shell notes of the last command, what it writes, and that nobody else is disturbed by it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from running import wait_for
from shells import CLIENT, Open, every_shell, needs_terminal

pytestmark = needs_terminal


def newest(world: Mapping[str, str]) -> dict[str, str]:
    """Return the entry that was kept last, or {} if that is one of those that were there before."""
    done = subprocess.run([CLIENT, "list", "--json", "-n", "1"], env=dict(world), capture_output=True, check=True)
    key = json.loads(done.stdout)["hits"][0]["id"]
    done = subprocess.run([CLIENT, "show", key, "--json"], env=dict(world), capture_output=True, check=True)
    found: dict[str, str] = json.loads(done.stdout)
    return {} if found["created_at"] < "2026-02" else found


@every_shell
def test_the_last_command_is_kept_with_its_folder_and_status(
    shell: str, at: Open, shell_world: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "home" / "src").mkdir()
    prompt = at(shell, columns=200)
    prompt.run("cd ~/src")
    prompt.run("sh -c 'cd / && exit 3'")
    prompt.run("")
    wait_for(lambda: prompt.screen.count("P>") == 4)
    prompt.type("M-K")
    seen = prompt.shows("rekall add bug")
    assert "exit status 3" in seen
    prompt.type(":it won't end", "Enter")
    wait_for(lambda: newest(shell_world))
    kept = newest(shell_world)
    assert (kept["type"], kept["title"], kept["content"]) == ("bug", "it won't end", "sh -c 'cd / && exit 3'")
    assert kept["situation"] == "in ~/src, exit status 3"


@every_shell
def test_what_went_well_is_a_snippet_and_the_folder_is_where_it_began(
    shell: str, at: Open, shell_world: dict[str, str], tmp_path: Path
) -> None:
    prompt = at(shell, columns=200)
    prompt.run("cd /usr")
    prompt.shows("/usr\nfirst line")
    prompt.type("M-K")
    prompt.shows("rekall add snippet")
    prompt.type(":where it is", "Enter")
    wait_for(lambda: newest(shell_world))
    kept = newest(shell_world)
    assert (kept["type"], kept["content"]) == ("snippet", "cd /usr")
    assert kept["situation"] == f"in {tmp_path}, exit status 0"


@every_shell
def test_several_lines_and_quotes_are_kept_as_they_were(shell: str, at: Open, shell_world: dict[str, str]) -> None:
    prompt = at(shell, columns=200)
    prompt.run("echo 'it\"s \\ $HOME")
    prompt.run('  `two`\' "a."')
    prompt.shows("`two` a.\nfirst line")
    prompt.type("M-K")
    prompt.shows("rekall add snippet")
    prompt.type(":quotes", "Enter")
    wait_for(lambda: newest(shell_world))
    assert newest(shell_world)["content"] == 'echo \'it"s \\ $HOME\n  `two`\' "a."'


@every_shell
def test_what_is_being_typed_is_kept_and_can_be_had_back(shell: str, at: Open, shell_world: dict[str, str]) -> None:
    prompt = at(shell, columns=200)
    prompt.type(":echo not yet", "Left", "M-K")
    prompt.shows("rekall add snippet")
    assert "exit status" not in prompt.screen
    prompt.type(":later", "Enter")
    wait_for(lambda: newest(shell_world))
    assert newest(shell_world)["content"] == "echo not yet"
    if shell == "bash":  # there it is in the history, below the line that kept it
        prompt.type("Up", "Up")
    prompt.shows("P> echo not yet", but_not="P>\n")


@every_shell
def test_what_is_ours_is_not_what_is_kept(shell: str, at: Open) -> None:
    prompt = at(shell, columns=200)
    prompt.run("echo mine")
    prompt.run("rekall search nothing-like-it --words")
    wait_for(lambda: prompt.screen.count("P>") == 3)
    prompt.type("M-K")
    assert "-c 'echo mine'" in prompt.shows("rekall add")


@every_shell
def test_where_nothing_was_run_nothing_is_written(shell: str, at: Open) -> None:
    prompt = at(shell, {"HISTFILE": ""})
    prompt.type("M-K", ":echo on")
    prompt.settles("echo on")


@pytest.mark.parametrize("control", ["ignoreboth", "ignorespace"])
def test_a_command_that_the_history_left_out_lends_nothing_to_another(control: str, at: Open) -> None:
    prompt = at("bash", before=f"HISTCONTROL={control}; HISTTIMEFORMAT='%F '; HISTIGNORE='secret*'", columns=200)
    prompt.run("(exit 7)")
    prompt.run(" secret; false")
    prompt.run("secret 2>/dev/null")
    wait_for(lambda: prompt.screen.count("P>") == 4)
    prompt.type("M-K")
    seen = prompt.shows("rekall add")
    assert "-c '(exit 7)'" in seen and "exit status" not in seen


@pytest.mark.parametrize("control", ["ignoredups", "erasedups", "ignoreboth:erasedups"])
def test_a_command_that_was_run_before_has_no_status_of_then(control: str, at: Open) -> None:
    prompt = at("bash", before=f"HISTCONTROL={control}", columns=200)
    for line in ("test -d made", "mkdir made", "test -d made", "test -d made"):
        prompt.run(line)
    wait_for(lambda: prompt.screen.count("P>") == 5)
    prompt.type("M-K")
    seen = prompt.shows("rekall add snippet")
    assert "-c 'test -d made'" in seen and "exit status 1" not in seen


# --- nobody is disturbed ---

SHOWS_STATUS = {
    "bash": "PROMPT_COMMAND='seen=$?'; PS1='[$seen $?] first line\\nP> '",
    "zsh": "setopt prompt_subst; precmd() { seen=$? }; PROMPT=$'[$seen %?] first line\\nP> '",
    "fish": "function fish_prompt; printf '[%s] first line\\nP> ' $status; end",
}


@every_shell
def test_the_prompt_and_its_hooks_see_the_status_of_the_command(shell: str, at: Open) -> None:
    prompt = at(shell, before=SHOWS_STATUS[shell])
    for number in (3, 0, 4):
        prompt.run(f"sh -c 'exit {number}'")
        prompt.shows(f"[{number}] first line" if shell == "fish" else f"[{number} {number}] first line")
        prompt.run("clear")
        prompt.shows("[0", but_not="exit")


@pytest.mark.parametrize(
    "hooks", ["PROMPT_COMMAND=(one two)", "PROMPT_COMMAND='one; two'", "PROMPT_COMMAND='one; two;'"]
)
def test_every_prompt_command_of_bash_still_runs(hooks: str, at: Open) -> None:
    mine = "one() { printf '<%s' $?; }; two() { printf ' two>\\n'; }; " + hooks
    prompt = at("bash", before=mine, after='eval "$(rekall init bash)"')
    prompt.run("(exit 5)")
    prompt.shows("<5 two>\nfirst line")
    assert "<5 two>\n<" not in prompt.screen


def test_hooks_of_zsh_that_others_set_still_run(at: Open) -> None:
    mine = 'a() { print "a $?" }; b() { print "b $1" }; precmd_functions=(a); preexec_functions=(b)'
    prompt = at("zsh", before=mine, after='c() { print "c $?" }; precmd_functions+=(c)')
    prompt.run("(exit 5)")
    prompt.shows("b (exit 5)\na 5\nc 5\nfirst line")


def test_events_of_fish_that_others_set_still_run(at: Open) -> None:
    mine = "function a --on-event fish_postexec; echo a $status; end; function b --on-event fish_prompt; echo b; end"
    prompt = at("fish", before=mine)
    prompt.run("sh -c 'exit 5'")
    prompt.shows("a 5\nb\nfirst line")
