"""TAB pressed in real shells: what comes, what it means, and that nothing of an entry is ever run."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from running import wait_for
from shells import CLIENT, INIT, SHELLS, Prompt, noted_world

from rekall.entry import Entry

pytestmark = [
    pytest.mark.skipif(not shutil.which("tmux"), reason="tmux is not installed"),
    pytest.mark.skipif(not CLIENT.exists(), reason="rekall is not installed beside this Python"),
]

every_shell = pytest.mark.parametrize(
    "shell",
    [pytest.param(s, marks=pytest.mark.skipif(not shutil.which(s), reason=f"{s} is not installed")) for s in SHELLS],
)
# zsh completes by the system that compinit sets up.
BEFORE = {"bash": "", "fish": "", "zsh": "autoload -Uz compinit; compinit -D"}

HOSTILE = (
    "$(touch made-1)",
    "`touch made-2`",
    "quo'te",
    'dou"ble',
    "semi;touch made-3",
    "back\\slash",
    "two words",
    "éclair",
)
DANGER = {
    "id": "danger",
    "title": "hostile $(touch made-4) `touch made-5` \x1b]0;owned\x07 'quoted\" title",
    "content": "x",
    "tags": HOSTILE,
    "project": "my `touch made-6` shop",
}


@pytest.fixture
def world(home: dict[str, str], tmp_path: Path, make_entry: Callable[..., Entry]) -> Iterator[dict[str, str]]:
    with noted_world(home, tmp_path, make_entry, DANGER) as found:
        yield found


@pytest.fixture
def warm_world(world: dict[str, str]) -> dict[str, str]:
    """The same with a server that has come to rest."""
    subprocess.run([CLIENT, "search", "disk"], env=world, check=True, capture_output=True, timeout=60)
    wait_for(lambda: complete(world, "rekall list --tag tw"))
    return world


def complete(world: dict[str, str], line: str) -> str:
    done = subprocess.run([CLIENT, "complete", "zsh", line], env=world, capture_output=True, text=True, timeout=60)
    return done.stdout


Open = Callable[..., Prompt]


@pytest.fixture
def at(world: dict[str, str], tmp_path: Path) -> Iterator[Open]:
    opened: list[Prompt] = []

    def new(shell: str, **how: object) -> Prompt:
        opened.append(Prompt(shell, world, tmp_path, **{"before": BEFORE[shell]} | how))  # type: ignore[arg-type]  # passed on
        return opened[-1]

    yield new
    for prompt in opened:
        prompt.close()


def made(folder: Path) -> list[str]:
    """Return what a title or a tag would have made, had it been run."""
    return [name for name in os.listdir(folder) if name.startswith("made")]


def completed(prompt: Prompt, line: str, seconds: float = 20) -> str:
    """Type a line and TAB, and return what it has become; TAB again if an answer came too late on a busy machine."""
    typed = f"P> {line}"
    prompt.type(f":{line}", "Tab")
    deadline, again = time.monotonic() + seconds, time.monotonic() + 2
    while len(last := prompt.screen.splitlines()[-1].rstrip()) <= len(typed):
        assert time.monotonic() < deadline, f"{line!r} was not completed:\n{prompt.screen}"
        if last == typed and time.monotonic() > again:
            prompt.type("Tab")
            again = time.monotonic() + 2
        time.sleep(0.02)
    return last.removeprefix("P> ")


def empty(prompt: Prompt) -> None:
    prompt.type("C-e", "C-u")
    prompt.settles("", "rekall")


def tab(prompt: Prompt, line: str, becomes: str) -> None:
    """Complete a line and see what it has become."""
    assert completed(prompt, line) == becomes
    empty(prompt)


def run_as_filter(prompt: Prompt, line: str, closing: str = "") -> None:
    """Complete the tag at the end of a line and run it: the tag has come as it is stored if its entry is found."""
    is_closed = completed(prompt, line).endswith(closing)  # bash leaves that to who typed it
    prompt.type(f":{'' if is_closed else closing} -n 1", "Enter")
    prompt.shows("danger  til")
    prompt.type("C-l")
    prompt.settles("", "danger  til")


@every_shell
def test_the_grammar_is_completed_without_a_server(shell: str, world: dict[str, str], at: Open) -> None:
    prompt = at(shell)
    for line, becomes in (
        ("rekall simi", "rekall similar"),
        ("rekall search --sem", "rekall search --semantic"),
        ("rekall add pitf", "rekall add pitfall"),
        ("rekall link a b -r contr", "rekall link a b -r contradicts"),
        ("rekall search --type=pitf", "rekall search --type=pitfall"),
        ("true; rekall config get embe", "true; rekall config get embeddings.model"),
        ("rekall-py unl", "rekall-py unlink"),
    ):
        tab(prompt, line, becomes)
    assert not Path(world["XDG_RUNTIME_DIR"], "rekall").exists()


@every_shell
def test_files_are_the_shells_own(shell: str, at: Open, tmp_path: Path) -> None:
    (tmp_path / "some notes.md").write_text("x")
    (tmp_path / "some folder").mkdir()
    prompt = at(shell)
    tab(prompt, "rekall import some\\ n", "rekall import some\\ notes.md")
    tab(prompt, "rekall backup -o some\\ f", "rekall backup -o some\\ folder/")
    tab(prompt, "rekall backup --output=some\\ n", "rekall backup --output=some\\ notes.md")


@every_shell
def test_the_base_is_completed_and_what_it_holds_is_never_run(
    shell: str, warm_world: dict[str, str], at: Open, tmp_path: Path
) -> None:
    prompt = at(shell)
    tab(prompt, "rekall show dan", "rekall show danger")
    shop = "my\\ `touch\\ made-6`\\ shop" if shell == "fish" else "my\\ \\`touch\\ made-6\\`\\ shop"
    tab(prompt, "rekall search x -p my", f"rekall search x -p {shop}")
    for beginning in ("\\$", "\\`", "quo", "dou", "semi", "back", "two", "éc"):
        run_as_filter(prompt, f"rekall list --tag {beginning}")
    assert made(tmp_path) == []


@every_shell
@pytest.mark.parametrize("quote", ["'", '"'])
def test_within_quotes_too(shell: str, quote: str, warm_world: dict[str, str], at: Open, tmp_path: Path) -> None:
    prompt = at(shell)
    for beginning in ("quo", "dou", "semi", "back", "two"):
        run_as_filter(prompt, f"rekall list --tag {quote}{beginning}", quote)
    assert made(tmp_path) == []


@every_shell
def test_titles_are_shown_beside_their_ids(shell: str, warm_world: dict[str, str], at: Open, tmp_path: Path) -> None:
    prompt = at(shell, columns=120)
    prompt.type(":rekall show ", "Tab")
    again = time.monotonic() + 2
    while "hostile" not in prompt.screen:
        assert time.monotonic() < again + 20
        prompt.type("Tab")
        time.sleep(0.3)
    seen = prompt.shows("hostile $(touch made-4) `touch made-5` ␛]0;owned")
    assert "Undo the last commit" in seen and "undo" in seen
    assert prompt("display-message", "-p", "#{pane_title}").strip() != "owned"
    prompt.type("C-c")
    assert made(tmp_path) == []


@every_shell
def test_it_can_be_left_out(shell: str, at: Open) -> None:
    prompt = at(shell, init=" --no-completion")
    prompt.type(":rekall simi", "Tab", ":x")
    prompt.settles("rekall simix")


@pytest.mark.skipif(not shutil.which("zsh"), reason="zsh is not installed")
def test_in_zsh_compinit_may_come_later(at: Open) -> None:
    tab(at("zsh", before="", after=BEFORE["zsh"]), "rekall simi", "rekall similar")


@pytest.mark.skipif(not shutil.which("fish"), reason="fish is not installed")
def test_fish_is_told_what_the_words_mean(warm_world: dict[str, str]) -> None:
    def offered(line: str) -> list[str]:
        script = f"{INIT['fish'].format('')}; complete -C {line!r}"
        done = subprocess.run(
            ["fish", "--no-config", "-c", script],
            env=warm_world,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return done.stdout.splitlines()

    assert "similar\tentries like this one" in offered("rekall s")
    wait_for(lambda: "undo\tUndo the last commit" in offered("rekall show "))
    wait_for(lambda: f"{HOSTILE[0]}\t1 entry" in offered("rekall list --tag "))
    assert "--type=bug" in offered("rekall list --type=")
