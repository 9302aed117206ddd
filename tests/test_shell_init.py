"""What `rekall init` prints: the same from every door, at once, and quiet in every shell under every option."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from fake_server import CLIENT
from shells import SHELLS, every_shell

from rekall.shellinit import FOLDER, vim_script

is_compiled = CLIENT.exists() and not CLIENT.read_bytes().startswith(b"#!")
compiled = pytest.mark.skipif(not is_compiled, reason="the command rekall was not compiled here")

KEYS = ("", "alt-j", "ctrl-x ctrl-k", "it's \\e\\\\' \"$(touch made)\" `touch made` !x\n;#", "'", "''\\''")
OPTIONS = [
    [*(["--key", key] if key is not None else []), *binding, *completion]
    for key, binding, completion in itertools.product(
        (None, *KEYS), ([], ["--no-bind"]), ([], ["--no-completion"])
    )
]  # fmt: skip


def printed(command: list[str | Path], words: list[str], env: Mapping[str, str]) -> bytes:
    done = subprocess.run([*command, *words], env=env, capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout


def script(shell: str, words: list[str], env: Mapping[str, str]) -> bytes:
    return printed([CLIENT], ["init", shell, *words], env)


# --- two doors ---


@compiled
@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    "words", [[], ["--key", KEYS[3], "--no-completion"], ["--no-bind", "--key=", "--key='"]], ids=str
)
def test_the_client_prints_what_python_prints(shell: str, words: list[str], home: dict[str, str]) -> None:
    """If it does not after a change in shell/, the client is to be built again: make .venv/installed."""
    assert script(shell, words, home) == printed([sys.executable, "-m", "rekall", "init", shell], words, home)


@compiled
@pytest.mark.parametrize("shell", SHELLS)
def test_the_scripts_are_printed_as_they_are(shell: str, home: dict[str, str]) -> None:
    whole = b"".join((FOLDER / f"{part}.{shell}").read_bytes() for part in ("rekall", "completion"))
    assert script(shell, [], home) == whole
    assert script(shell, ["--no-bind"], home).endswith(b"1'\n" + whole)


@compiled
def test_the_client_needs_no_python_no_server_and_no_file(home: dict[str, str], tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(CLIENT, alone / "rekall")
    env = {"XDG_RUNTIME_DIR": str(tmp_path), "HOME": home["HOME"], "REKALL_CONFIG": "/dev/full"}
    assert printed([alone / "rekall"], ["init", "zsh"], env) == script("zsh", [], home)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alone", "home"]


@compiled
def test_a_shell_that_starts_waits_less_than_ten_milliseconds_for_it(home: dict[str, str]) -> None:
    times = []
    for _number in range(30):
        begin = time.perf_counter()
        script("bash", ["--key", "alt-j"], home)
        times.append(time.perf_counter() - begin)
    assert min(times) < (0.1 if os.environ.get("REKALL_TEST_CLIENT") else 0.010)  # at rest the median is 1 ms


@compiled
def test_a_reader_that_leaves_is_no_failure(home: dict[str, str]) -> None:
    done = subprocess.run(f"{CLIENT} init bash | true; exit ${{PIPESTATUS[0]}}", shell=True, executable="/bin/bash",
                          env=home, capture_output=True)  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    if Path("/dev/full").exists():
        done = subprocess.run(f"{CLIENT} init bash >/dev/full", shell=True, env=home, capture_output=True)
        assert done.returncode == 2 and done.stderr.count(b"\n") == 1


# --- the printed scripts ---


def running(shell: str, path: Path, interactive: bool) -> list[str]:
    """Return a command that sources a file, strictly where there is such a thing."""
    if shell == "fish":
        return ["fish", "--no-config", *(["-i"] if interactive else []), "-c", f"source {path}"]
    quiet = {"bash": ["--norc", "--noprofile"], "zsh": ["-f"]}[shell]
    return [shell, *quiet, "-eui" if interactive else "-eu", "-c", f". {path}"]


@every_shell
@pytest.mark.parametrize("interactive", [False, True], ids=["script", "interactive"])
def test_every_combination_is_silent_and_sets_what_was_given(
    shell: str, interactive: bool, home: dict[str, str], tmp_path: Path
) -> None:
    """What the options say comes through as it is, and nothing of it is run. Sourced twice it is as silent."""
    env = home | {"TERM": "xterm-256color"}
    values = '"$REKALL_KEY" "$REKALL_NO_BIND" "$REKALL_NO_COMPLETION"'
    tell = 'printf "%s|" ' + (values if shell == "fish" else re.sub(r"\$(\w+)", r"${\1-}", values))
    path = tmp_path / "script"
    for words in OPTIONS:
        text = script(shell, words, home)
        path.write_bytes(text + b"\n" + text + b"\n" + tell.encode() + b"\n")
        done = subprocess.run(
            running(shell, path, interactive), env=env, cwd=tmp_path, capture_output=True, timeout=60,
            start_new_session=True,
        )  # fmt: skip
        heard = [
            line
            for line in done.stderr.decode().splitlines()
            if "job control" not in line and "process group" not in line
        ]
        assert (done.returncode, heard) == (0, []), words
        key = words[1] if "--key" in words else None
        given = [key, "1" if "--no-bind" in words else None, "1" if "--no-completion" in words else None]
        assert done.stdout.decode() == "".join(f"{value or ''}|" for value in given), words
    assert not (tmp_path / "made").exists()


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
def test_shellcheck_finds_nothing_in_any_combination(home: dict[str, str], tmp_path: Path) -> None:
    paths = []
    for number, words in enumerate(OPTIONS):
        paths.append(tmp_path / f"{number}.bash")
        paths[-1].write_bytes(
            b"#!/bin/bash\n# shellcheck disable=SC2016,SC1003\n" + script("bash", words, home)
        )  # what the keys hold
    done = subprocess.run(["shellcheck", "-s", "bash", "-e", "SC2034", *paths], capture_output=True, text=True)
    assert done.stdout == ""


@every_shell
def test_a_shell_that_is_strict_can_still_find_and_be_asked(shell: str, home: dict[str, str], tmp_path: Path) -> None:
    """The hooks of the prompt run under -e and -u, and a strict shell outlives a command that is allowed to fail."""
    (tmp_path / "script").write_bytes(script(shell, [], home))
    start = f". {tmp_path}/script\n" if shell != "fish" else f"source {tmp_path}/script\n"
    lines = "echo one\n! true || true\necho two\nexit 0\n"
    program = {
        "bash": ["bash", "--norc", "--noprofile", "-eui"],
        "zsh": ["zsh", "-f", "-eui"],
        "fish": ["fish", "--no-config", "-i"],
    }
    done = subprocess.run(program[shell], input=(start + lines).encode(), env=home | {"TERM": "dumb"}, cwd=tmp_path,
                          capture_output=True, timeout=60, start_new_session=True)  # fmt: skip
    assert b"two" in done.stdout
    assert b"__rekall" not in done.stderr and b"unbound" not in done.stderr and b"parameter not" not in done.stderr


def test_private_names_are_private() -> None:
    """Beside rekall_find, rekall_keep and rekall_bind everything a script defines begins with two underlines."""
    for shell in SHELLS:
        for line in (FOLDER / f"rekall.{shell}").read_text().splitlines():
            named = (
                line.split("()")[0].removeprefix("    function ").split(" ")[0]
                if "() {" in line or line.startswith("    function ")
                else ""
            )
            assert not named or named.startswith("__rekall_") or named in ("rekall_find", "rekall_keep", "rekall_bind")


# --- Vim ---


@pytest.mark.parametrize("vim", [["vim", "-Es", "-u"], ["nvim", "--headless", "-u"]], ids=["vim", "nvim"])
def test_vim_finds_the_plugin_wherever_it_lies(vim: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Sourced as the vimrc, in a folder whose name is as odd as it gets."""
    if not shutil.which(vim[0]):
        pytest.skip(f"{vim[0]} is not installed")
    odd = tmp_path / "it's [a], `odd` {b} folder*" / "shell"
    (odd / "vim" / "plugin").mkdir(parents=True)
    (odd / "vim" / "plugin" / "rekall.vim").write_text("let g:came = get(g:, 'came', 0) + 1\n")
    monkeypatch.setattr("rekall.shellinit.FOLDER", odd)
    vimrc, told = tmp_path / "vimrc", tmp_path / "told"
    vimrc.write_text(f"set nocompatible\n{vim_script()}")
    command = [*vim, str(vimrc), "-i", "NONE", "-c", f"call writefile([get(g:, 'came', 0)], '{told}')", "-c", "qa!"]
    subprocess.run(command, env=os.environ | {"HOME": str(tmp_path)}, stdin=subprocess.DEVNULL, capture_output=True,
                   timeout=60)  # fmt: skip
    assert told.read_text().strip() == "1"


def test_what_init_vim_prints_is_sourced_again_without_harm(home: dict[str, str], tmp_path: Path) -> None:
    said = printed([sys.executable, "-m", "rekall"], ["init", "vim"], home).decode()
    path = tmp_path / "vimrc"
    path.write_text(said)
    told = tmp_path / "told"
    if not shutil.which("vim"):
        pytest.skip("vim is not installed")
    asked = f"call writefile([count(split(&runtimepath, ','), {str(FOLDER / 'vim')!r})], '{told}')"
    subprocess.run(["vim", "-Es", "-u", "NONE", "-i", "NONE", "-c", f"source {path}", "-c", f"source {path}", "-c", asked,
                    "-c", "qa!"], env=os.environ | {"HOME": str(tmp_path)}, stdin=subprocess.DEVNULL, timeout=60)  # fmt: skip
    assert told.read_text().strip() == "1"
