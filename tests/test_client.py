"""The C client: which commands it gives to whom, and what it tells them."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from fake_server import (
    LOCAL_STATUS,
    QUITTER,
    REQUEST,
    SEND_STDIN,
    VERSION,
    Connection,
    Desk,
    answering,
    hello_frame,
    needs_client,
)

pytestmark = needs_client

TABLE = {
    "local": ["import", "export", "edit", "backup", "restore", "merge", "index", "server", "bench", "doctor", "init"],
    "asks": ["stats", "help", "config"],
    "starts": [
        "search",
        "add",
        "list",
        "show",
        "similar",
        "tag",
        "link",
        "unlink",
        "delete",
        "undo",
        "history",
        "pick",
        "repl",
        "nonsense",
    ],
}


# --- which commands go where ---


@pytest.mark.parametrize("words", [["--version"], ["search", "x", "--version"], ["--no-server", "--version"]])
def test_the_version_needs_nobody(words: list[str], desk: Desk) -> None:
    answer = desk(*words)
    assert (answer.status, answer.output, answer.errors) == (0, f"rekall {VERSION.decode()}\n", "")
    assert desk.local_words() is None


@pytest.mark.parametrize("command", TABLE["local"])
def test_what_belongs_in_the_users_own_process_stays_there(command: str, desk: Desk) -> None:
    with desk.server():
        answer = desk("--db", "x.db", command, "a", "--", "--global")
    assert (answer.status, answer.output) == (LOCAL_STATUS, "local\n")
    assert desk.local_words() == [b"--db", b"x.db", command.encode(), b"a", b"--", b"--global"]


@pytest.mark.parametrize(
    "words", [["--no-server", "list"], ["list", "--no-server"], ["--db"], ["--db=", "list"], ["--db", ""]]
)
def test_these_words_never_ask_a_server(words: list[str], desk: Desk) -> None:
    with desk.server():
        assert desk(*words).status == LOCAL_STATUS
    assert desk.local_words() == [word.encode() for word in words]


def test_a_variable_switches_the_server_off(desk: Desk) -> None:
    with desk.server(answering()):
        assert desk("list", env={"REKALL_NO_SERVER": "1"}).status == LOCAL_STATUS
        assert desk.local_words() == [b"list"]
        assert desk("list", env={"REKALL_NO_SERVER": ""}).output == "warm\n"


@pytest.mark.parametrize("words", [[command] for command in TABLE["asks"]] + [["-h"], ["--help"], ["search", "-h"]])
def test_what_is_quick_anyway_asks_a_server_that_runs_and_starts_none(words: list[str], desk: Desk) -> None:
    with desk.server(answering()):
        assert desk(*words).output == "warm\n"
    desk.install_server()
    shutil.rmtree(desk.runtime / "rekall")
    assert desk(*words).status == LOCAL_STATUS
    assert desk.local_words() == [b"--no-server", *(word.encode() for word in words)]
    assert desk.starts() == [] and not (desk.runtime / "rekall").exists()


@pytest.mark.parametrize("command", TABLE["starts"])
def test_everything_else_asks_a_server_and_starts_one(command: str, desk: Desk) -> None:
    desk.install_server()
    answer = desk(command)
    assert (answer.status, answer.output, answer.errors) == (0, "warm\n", "")
    assert len(desk.starts()) == 1 and desk.local_words() is None
    assert desk(command).output == "warm\n" and len(desk.starts()) == 1


@pytest.mark.parametrize(
    ("words", "variable", "base"),
    [
        (["list"], "", "desk/.rekall/rekall.db"),
        (["list", "--global"], "", ".local/share/rekall/rekall.db"),
        (["list", "--db", "x.db"], "y.db", "desk/x.db"),
        (["--db=x.db", "list", "--", "--db", "z.db"], "", "desk/x.db"),
        (["list"], "sub/../y.db", "desk/y.db"),
    ],
)
def test_the_general_options_choose_the_base_wherever_they_stand(
    words: list[str], variable: str, base: str, desk: Desk
) -> None:
    desk.install("rekall-py", QUITTER)
    (desk.work / ".rekall").mkdir()
    assert desk(*words, env={"REKALL_DB": variable}).status == LOCAL_STATUS
    told = (desk.note("server-words") or b"").split(b"\0")
    assert told == [b"--db", str(desk.home / base).encode(), b"server", b"run", b"--ready", b"3", b""]


# --- becoming rekall-py ---


def test_rekall_py_gets_the_same_words_environment_and_stdin(desk: Desk) -> None:
    desk.install("rekall-py", QUITTER)
    words = [b"search", b"\xff\xfe", b"", "é".encode(), b"--", b"-", b"--db"]
    answer = desk(*words, stdin=b"some\0text", env={"PRIVATE": "kept"})
    assert (answer.status, answer.output, answer.errors) == (LOCAL_STATUS, "local\n", "")
    assert desk.local_words() == [b"--no-server", *words]
    assert desk.note("stdin") == b"some\0text"
    given = (desk.note("environment") or b"").split(b"\0")
    assert {b"PRIVATE=kept", b"LC_ALL=C"} < set(given)


def test_rekall_py_is_found_beside_the_file_that_a_link_leads_to(desk: Desk) -> None:
    (desk.work / "link").symlink_to(desk.bin / "rekall")
    done = subprocess.run([desk.work / "link", "import"], env=desk.env, capture_output=True)
    assert done.returncode == LOCAL_STATUS


@pytest.mark.parametrize(("language", "part"), [("C", "install rekall again"), ("fr_FR.UTF-8", "réinstallez rekall")])
def test_a_missing_rekall_py_is_an_error_in_the_users_language(language: str, part: str, desk: Desk) -> None:
    (desk.bin / "rekall-py").unlink()
    answer = desk("import", env={"LC_ALL": language})
    assert answer.status == 2 and answer.errors.count("\n") == 1
    assert answer.errors.startswith(f"rekall: {desk.bin}/rekall-py ") and part in answer.errors


@pytest.mark.parametrize(
    ("env", "french"),
    [
        ({"LC_ALL": "", "LC_MESSAGES": "fr", "LANG": "C"}, True),
        ({"LC_ALL": "", "LC_MESSAGES": "", "LANG": "fr.UTF-8"}, True),
        ({"LC_ALL": "C", "LC_MESSAGES": "fr", "LANG": "fr"}, False),
        ({"LC_ALL": "", "LC_MESSAGES": "de_CH", "LANG": "fr"}, False),
        ({"LC_ALL": "fry_NL"}, False),
    ],
)
def test_the_language_is_chosen_as_gettext_does(env: dict[str, str], french: bool, desk: Desk) -> None:
    (desk.bin / "rekall-py").unlink()
    assert ("réinstallez" in desk("import", env=env).errors) is french


def test_no_signal_setting_is_left_behind_for_rekall_py(desk: Desk) -> None:
    def play(client: Connection) -> None:
        client.accept(SEND_STDIN)  # from here on SIGINT is held back, and SIGPIPE is ignored from the start

    desk.install("rekall-py", "#!/bin/sh\ngrep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status\n")
    plain = subprocess.run(
        ["grep", "-E", "^Sig(Blk|Ign|Cgt)", "/proc/self/status"], capture_output=True, text=True, start_new_session=True
    )
    with desk.server(play), desk.start("search", "x", stdin=subprocess.PIPE) as process:
        output = process.communicate(timeout=30)[0].decode()
    assert output == plain.stdout


# --- the hello ---


def test_the_hello_tells_all_that_the_server_may_know_and_nothing_else(desk: Desk) -> None:
    got: list[bytes] = []

    def play(client: Connection) -> None:
        got.append(client.expect(b"H"))
        client.send(b"A", b"\0" + REQUEST)
        client.expect(b"G", b"")
        client.finish()

    sent = {
        "LANGUAGE": "fr:en", "LC_TIME": "\udcff", "NO_COLOR": "", "TERM": "xterm", "TZ": "UTC", "COLUMNS": "7",
        "XDG_CONFIG_HOME": "/c", "XDG_DATA_HOME": "/d", "XDG_STATE_HOME": "/st", "REKALL_X": "a=b\nc", "LANG": "C",
    }  # fmt: skip
    withheld = {
        "AWS_SECRET": "s",
        "LINES": "9",
        "XDG_CACHE_HOME": "/s",
        "HOMEBREW": "x",
        "SSH_AUTH_SOCK": "/a",
        "_LC_": "x",
    }
    words = [b"search", b"\xff\xfe", b"", "é".encode(), b"--", b"-"]
    desk.env |= sent | withheld
    with desk.server(play):
        assert desk(*words).status == 0
    told = {name: value for name, value in desk.env.items() if name in sent or name in ("HOME", "LC_ALL")}
    variables = [os.fsencode(f"{name}={value}") for name, value in told.items()]
    head = [b"1", VERSION, os.fsencode(desk.work), b"", b"0", b"0", str(len(variables)).encode()]
    assert got == [hello_frame(*head, *variables, *words)]


def test_a_working_directory_that_is_gone_is_told_as_none(desk: Desk) -> None:
    gone = desk.work / "gone"
    gone.mkdir()
    client = '"$@"'
    script = ["sh", "-c", f"cd {gone} && rmdir {gone} && {client}", "sh", *desk.command("list")]
    hellos = []

    def play(client: Connection) -> None:
        hellos.append(client.accept())
        client.finish(status=5)

    with desk.server(play):
        assert subprocess.run(script, env=desk.env).returncode == 5
    assert hellos[0].cwd == b""
