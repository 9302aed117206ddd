"""The C client, against servers that play every part docs/protocol.md knows and some that it does not."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from fake_server import (
    CLIENT,
    LOCAL_STATUS,
    QUITTER,
    REQUEST,
    SEND_STDIN,
    VERSION,
    WRITES,
    Connection,
    Desk,
    Play,
    hello_frame,
    seconds_since,
)

is_compiled = CLIENT.exists() and not CLIENT.read_bytes().startswith(b"#!")
pytestmark = pytest.mark.skipif(not is_compiled, reason="the command rekall was not compiled here")
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can play another user")

NOBODY = 65534
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


@pytest.fixture
def desk() -> Iterator[Desk]:
    folder = Path(os.path.realpath(tempfile.mkdtemp(prefix="rk", dir="/tmp")))
    desk = Desk(folder)
    yield desk
    for pid in desk.starts():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    shutil.rmtree(folder)


def answering(output: bytes = b"warm\n", status: int = 0, flags: int = 0) -> Play:
    def play(client: Connection) -> None:
        client.accept(flags)
        client.finish(output, status)
        client.expect_end()

    return play


def hang_up_after_hello(client: Connection) -> None:
    client.hello()


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


# --- stdin and output ---


def test_stdin_is_left_alone_unless_it_is_asked_for(desk: Desk) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"not yours")
    with desk.server(answering()), desk.start("search", "x", stdin=reading) as process:
        assert process.wait(30) == 0  # and it is not waited for either: the pipe stays open
    assert os.read(reading, 100) == b"not yours"
    os.close(reading)
    os.close(writing)


def test_stdin_comes_whole_and_its_end_ends_nothing(desk: Desk) -> None:
    def play(client: Connection) -> None:
        client.accept(SEND_STDIN)
        client.send(b"R", b"reading\n")
        text = client.stdin()
        time.sleep(0.1)  # the client has nothing to do but wait
        client.finish(text.upper(), 3)
        client.expect_end()

    with desk.server(play):
        answer = desk("search", "-", stdin=b"abc\n")
    assert (answer.status, answer.output, answer.errors) == (3, "ABC\n", "reading\n")


def test_an_answer_does_not_wait_for_the_end_of_stdin(desk: Desk) -> None:
    with (
        desk.server(answering(flags=SEND_STDIN)),
        desk.start("search", "-", stdin=subprocess.PIPE) as process,
    ):
        assert process.wait(30) == 0
        assert process.stdin
        process.stdin.close()


def test_an_answer_is_taken_though_the_server_no_longer_listens(desk: Desk) -> None:
    def play(client: Connection) -> None:
        client.accept(SEND_STDIN)
        client.get()
        client.finish(b"enough\n", 4)  # leaves most of stdin unread: the client's writing fails

    with desk.server(play):
        answer = desk("search", "-", stdin=b"x" * 5_000_000)
    assert (answer.status, answer.output, answer.errors) == (4, "enough\n", "")


def test_much_stdin_and_much_output_at_once_do_not_wait_for_each_other(desk: Desk) -> None:
    text = os.urandom(1_000_000) * 10
    received: list[bytes] = []

    def play(client: Connection) -> None:
        client.accept(SEND_STDIN)
        reader = threading.Thread(target=lambda: received.append(client.stdin()))
        reader.start()
        for start in range(0, len(text), 1 << 20):
            client.send(b"O", text[start : start + (1 << 20)])
        reader.join()
        client.finish()

    with desk.server(play), desk.start("search", "-", stdin=subprocess.PIPE) as process:
        output, errors = process.communicate(text, timeout=60)
    assert (process.returncode, errors) == (0, b"")
    assert hashlib.sha256(output).digest() == hashlib.sha256(received[0]).digest() == hashlib.sha256(text).digest()


def test_a_server_that_writes_before_it_reads_is_no_deadlock(desk: Desk) -> None:
    text = b"y" * 3_000_000

    def play(client: Connection) -> None:
        client.accept(SEND_STDIN)
        for _ in range(3):
            client.send(b"O", text[: 1 << 20])  # all of it before the first read
        assert client.stdin() == text
        client.finish()

    with desk.server(play), desk.start("search", "-", stdin=subprocess.PIPE) as process:
        output, _errors = process.communicate(text, timeout=60)
    assert (process.returncode, len(output)) == (0, 3 << 20)


def test_output_and_errors_keep_their_order_and_their_streams(desk: Desk) -> None:
    def play(client: Connection) -> None:
        client.accept()
        for kind, text in ((b"O", b"1"), (b"R", b"2"), (b"O", b""), (b"O", b"3\0"), (b"R", b"4")):
            client.send(kind, text)
        client.finish(status=1)

    with desk.server(play, play), desk.start("list", stderr=subprocess.STDOUT) as process:
        assert process.communicate(timeout=30)[0] == b"123\x004"
        answer = desk("list")
    assert (process.returncode, answer.output, answer.errors) == (1, "13\0", "24")


def test_frames_that_come_byte_by_byte_are_put_together(desk: Desk) -> None:
    def play(client: Connection) -> None:
        client.accept()
        for byte in b"O\0\0\0\3abcX\0\0\0\1":
            client.stream.sendall(bytes([byte]))
            time.sleep(0.002)
        client.stream.sendall(b"\7X\0\0\0\1\0O")  # whatever may follow the first X

    with desk.server(play):
        answer = desk("list")
    assert (answer.status, answer.output) == (7, "abc")


def test_a_reader_that_leaves_early_is_no_error(desk: Desk) -> None:
    def play(client: Connection) -> None:
        client.accept()
        with suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(100):
                client.send(b"O", b"line\n" * 10_000)
            client.finish()

    with desk.server(play):
        done = subprocess.run(
            ["bash", "-c", '"$@" | head -1; exit ${PIPESTATUS[0]}', "bash", *desk.command("list")],
            env=desk.env,
            cwd=desk.work,
            capture_output=True,
            timeout=30,
        )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"line\n", b"")


def test_a_full_disk_is_an_error_with_its_reason(desk: Desk) -> None:
    def play(client: Connection) -> None:
        client.accept()
        client.send(b"O", b"text")
        client.expect_end()

    with desk.server(play), open("/dev/full", "wb") as full, desk.start("list", stdout=full) as process:
        assert process.communicate(timeout=30)[1] == b"rekall: No space left on device\n"
    assert process.returncode == 2


@pytest.mark.parametrize("redirection", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_an_empty_one(redirection: str, desk: Desk) -> None:
    def play(client: Connection) -> None:
        client.accept(SEND_STDIN)
        assert client.stdin() == b""
        client.send(b"R", b"noted\n")
        client.finish(b"data\n", 1)

    with desk.server(play):
        done = subprocess.run(
            ["sh", "-c", f'exec "$@" {redirection}', "sh", *desk.command("search", "-")],
            env=desk.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=30,
        )
    output = b"" if ">&-" in redirection.replace("2>&-", "") else b"data\n"
    errors = b"" if "2>&-" in redirection else b"noted\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, output, errors)


def test_a_stdin_that_cannot_be_read_is_an_error(desk: Desk) -> None:
    ended = []

    def play(client: Connection) -> None:
        client.accept(SEND_STDIN | WRITES)
        ended.append(client.get())  # no `E`: half a text is not stored

    folder = os.open(desk.work, os.O_RDONLY)
    with desk.server(play), desk.start("add", "til", "-c", "-", stdin=folder) as process:
        assert process.communicate(timeout=30)[1] == b"rekall: Is a directory\n"
    os.close(folder)
    assert (process.returncode, ended) == (2, [(b"", b"")])


# --- interrupts ---


def interrupted(
    desk: Desk, flags: int, answer: Callable[[Connection], object], signals: int = 1
) -> tuple[int, bytes, float]:
    """Return the status, stderr, and how long it took after the first SIGINT."""
    ready, seen = threading.Event(), threading.Event()

    def play(client: Connection) -> None:
        client.accept(flags)
        ready.set()
        if flags & SEND_STDIN:
            client.expect(b"I")
        client.expect(b"X", b"")
        seen.set()
        answer(client)
        client.expect_end()

    with desk.server(play), desk.start("search", "x", stdin=subprocess.PIPE) as process:
        assert process.stdin and process.stderr
        if flags & SEND_STDIN:
            process.stdin.write(b"half")
            process.stdin.flush()
        assert ready.wait(20)
        start = time.monotonic()
        process.send_signal(signal.SIGINT)
        if signals == 2:
            assert seen.wait(20)
            process.send_signal(signal.SIGINT)
        status = process.wait(30)
        return status, process.stderr.read(), seconds_since(start)


def test_ctrl_c_cancels_and_the_servers_status_comes(desk: Desk) -> None:
    assert interrupted(desk, SEND_STDIN, lambda client: client.finish(status=130))[:2] == (130, b"")


def test_a_write_under_way_is_finished_and_its_own_status_comes(desk: Desk) -> None:
    def finish(client: Connection) -> None:
        time.sleep(0.2)
        client.finish(b"id\n", 0)

    assert interrupted(desk, WRITES, finish)[:2] == (0, b"")


def test_a_server_that_does_not_answer_is_left_after_half_a_second(desk: Desk) -> None:
    status, errors, seconds = interrupted(desk, 0, lambda _client: None)
    assert (status, errors) == (130, b"") and 0.45 < seconds < 3
    status, errors, seconds = interrupted(desk, WRITES, lambda _client: None)
    assert status == 130 and REQUEST in errors and errors.count(b"\n") == 1


def test_a_second_ctrl_c_does_not_wait(desk: Desk) -> None:
    status, errors, seconds = interrupted(desk, 0, lambda _client: None, signals=2)
    assert (status, errors) == (130, b"") and seconds < 0.45


def test_ctrl_c_before_anything_was_asked_ends_the_client(desk: Desk) -> None:
    ready = threading.Event()

    def play(client: Connection) -> None:
        client.hello()
        ready.set()
        client.expect_end()

    with desk.server(play), desk.start("search", "x") as process:
        assert ready.wait(20)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == -signal.SIGINT
    assert desk.local_words() is None


def test_an_ignored_ctrl_c_stays_ignored(desk: Desk) -> None:
    ready, go = threading.Event(), threading.Event()

    def play(client: Connection) -> None:
        client.accept()
        ready.set()
        assert go.wait(20)
        client.finish(b"whole\n")

    command = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *desk.command("search", "x")]
    with desk.server(play), subprocess.Popen(command, env=desk.env, stdout=subprocess.PIPE) as process:
        assert ready.wait(20)
        process.send_signal(signal.SIGINT)
        go.set()
        assert process.communicate(timeout=30)[0] == b"whole\n"
    assert process.returncode == 0


# --- servers that are busy, gone, strange ---


@pytest.mark.parametrize("kind", [b"L", b"O", b"X", b"Q", b"\0"])
def test_whatever_comes_in_place_of_an_acknowledgement_leaves_it_to_rekall_py(kind: bytes, desk: Desk) -> None:
    def play(client: Connection) -> None:
        client.hello()
        client.send(kind, b"\1")
        client.expect_end()  # not a `G`

    with desk.server(play):
        answer = desk("list", stdin=b"text")
    assert (answer.status, answer.errors) == (LOCAL_STATUS, "")
    assert desk.local_words() == [b"--no-server", b"list"] and desk.note("stdin") == b"text"


@pytest.mark.parametrize("payload", [b"", b"\0", b"\0" + REQUEST + b"x"])
def test_an_acknowledgement_of_a_wrong_length_is_none(payload: bytes, desk: Desk) -> None:
    def play(client: Connection) -> None:
        client.hello()
        client.send(b"A", payload)
        client.expect_end()

    with desk.server(play):
        assert desk("list").status == LOCAL_STATUS


@pytest.mark.parametrize("seconds", [0.6, 20])
def test_a_server_that_does_not_acknowledge_in_time_is_not_waited_for(seconds: float, desk: Desk) -> None:
    def play(client: Connection) -> None:
        client.hello()
        with suppress(BrokenPipeError):
            if seconds < 1:
                time.sleep(seconds)
                client.send(b"A", b"\0" + REQUEST)  # too late: nobody says go
        client.expect_end()

    with desk.server(play):
        start = time.monotonic()
        assert desk("add", "til", "x").status == LOCAL_STATUS
        assert 0.3 <= seconds_since(start) < 2


def test_a_full_backlog_is_not_waited_for_either(desk: Desk) -> None:
    clients = []

    def fill(listener: socket.socket) -> None:
        listener.listen(0)
        for _ in range(3):
            client = socket.socket(socket.AF_UNIX)
            client.setblocking(False)
            with suppress(BlockingIOError):
                client.connect(str(desk.socket))
            clients.append(client)

    with desk.server(during=fill):
        start = time.monotonic()
        assert desk("list").status == LOCAL_STATUS
        assert seconds_since(start) < 2
    for client in clients:
        client.close()


def test_a_connection_that_ends_before_the_acknowledgement_begins_again_once(desk: Desk) -> None:
    with desk.server(hang_up_after_hello, answering()):
        assert desk("add", "til", "x").output == "warm\n"
    with desk.server(hang_up_after_hello, hang_up_after_hello):
        assert desk("add", "til", "x").status == LOCAL_STATUS


@pytest.mark.parametrize("flags", [0, WRITES, SEND_STDIN, SEND_STDIN | WRITES])
@pytest.mark.parametrize("before", ["nothing", "an empty frame", "half a frame", "output", "an error line"])
def test_a_server_that_goes_after_it_was_told_to_begin(flags: int, before: str, desk: Desk) -> None:
    def play(client: Connection) -> None:
        client.accept(flags)
        if flags & SEND_STDIN:
            client.stdin()
        frames = {
            "an empty frame": b"O\0\0\0\0",
            "half a frame": b"O\0\0\0\5ab",
            "output": b"O\0\0\0\5abcde",
            "an error line": b"R\0\0\0\5abcd\n",
        }
        client.stream.sendall(frames.get(before, b""))

    with desk.server(play):
        answer = desk("search", "-", stdin=b"text" if flags & SEND_STDIN else b"")
    message = answer.errors.removeprefix("abcd\n")
    if flags & WRITES:
        assert answer.status == 2 and REQUEST.decode() in message and message.count("\n") == 1
    elif flags & SEND_STDIN or before in ("output", "an error line"):
        assert answer.status == 2 and message.endswith("ask again\n") and message.count("\n") == 1
    else:
        assert (answer.status, answer.errors) == (LOCAL_STATUS, "")
    assert (desk.local_words() is None) is (answer.status == 2)


def test_an_empty_stdin_that_was_asked_for_is_still_to_be_had(desk: Desk) -> None:
    def play(client: Connection) -> None:
        client.accept(SEND_STDIN)
        assert client.stdin() == b""

    with desk.server(play):
        assert desk("search", "-").status == LOCAL_STATUS


@pytest.mark.parametrize(
    "frame",
    [
        b"Q\0\0\0\0",
        b"A\0\0\0\0",
        b"X\0\0\0\0",
        b"X\0\0\0\2ab",
        b"T\0\0\0\1a",
        b"O\0\x10\0\1",
        b"O\xff\xff\xff\xff",
        b"\n\0\0\0\0",
        b"C\0\0\0\5\0\0\0\0\0",
        b"C\0\0\0\6\0\0\0\1a\0",
        b"C\0\0\0\6\0\0\0\0ab",
        b"C\0\0\0\6\xff\xff\xff\xffa\0",
        b"C\0\0\4\4" + bytes(0x404),
    ],
)
def test_what_is_no_frame_is_an_error(frame: bytes, desk: Desk) -> None:
    def play(client: Connection, flags: int = 0) -> None:
        client.accept(flags)
        client.stream.sendall(frame)
        client.expect_end()

    with desk.server(play, lambda client: play(client, WRITES)):
        answer, written = desk("list"), desk("add", "til", "x")
    assert answer.status == written.status == 2
    assert answer.errors.startswith("rekall: ") and "rekall server restart" in answer.errors
    assert REQUEST.decode() in written.errors
    assert answer.errors.count("\n") == written.errors.count("\n") == 1
    assert desk.local_words() is None


def test_a_frame_of_the_greatest_length_is_taken(desk: Desk) -> None:
    def play(client: Connection) -> None:
        client.accept()
        client.finish(b"x" * (1 << 20))

    with desk.server(play):
        assert len(desk("list").output) == 1 << 20


def test_a_hello_that_is_too_long_is_left_to_rekall_py(desk: Desk) -> None:
    script = """ulimit -s unlimited || exit 77
        printf -v long %100000s
        for n in {1..45}; do export REKALL_$n="$long"; done
        exec "$@"
    """
    with desk.server(lambda client: client.expect_end()):
        command = ["bash", "-c", script, "bash", *desk.command("list")]
        done = subprocess.run(command, env=desk.env, cwd=desk.work, capture_output=True, timeout=30)
        if done.returncode == 77:
            desk("list")
            pytest.skip("no environment of 4 MiB can be had here")
    assert (done.returncode, done.stderr) == (LOCAL_STATUS, b"")


# --- C: programs in the user's own process ---


def test_what_the_server_has_run_is_the_users_own_process(desk: Desk) -> None:
    def run(client: Connection, text: bytes, *words: bytes) -> bytes:
        client.send(b"C", len(text).to_bytes(4, "big") + text + b"".join(word + b"\0" for word in words))
        return client.expect(b"C")

    statuses = []

    def play(client: Connection) -> None:
        client.accept()
        statuses.extend(
            [
                run(client, b"clip\0board", b"sh", b"-c", b'cat > copied; echo "$PRIVATE"; exit 3'),
                run(client, b"", b"rekall-py", b"edit", b"\xff"),
                run(client, b"x" * 900_000, b"true"),  # reads nothing of it
                run(client, b"", b"no-such-program"),
                run(client, b"", b"sh", b"-c", b"kill -9 $$"),
            ]
        )
        client.finish(b"done\n")

    with desk.server(play):
        answer = desk("list", env={"PRIVATE": "mine"})
    assert (answer.status, answer.output, answer.errors) == (0, "mine\nlocal\ndone\n", "")
    assert [status[0] for status in statuses] == [3, LOCAL_STATUS, 0, 127, 128 + 9]
    assert (desk.work / "copied").read_bytes() == b"clip\0board"
    assert desk.local_words() == [b"edit", b"\xff"]


def test_what_was_run_is_not_run_again(desk: Desk) -> None:
    def play(client: Connection) -> None:
        client.accept()
        client.send(b"C", bytes(4) + b"true\0")
        client.expect(b"C", b"\0")

    with desk.server(play):
        assert desk("list").status == 2
    assert desk.local_words() is None


# --- folders and users that are not to be trusted ---


@pytest.mark.parametrize("which", ["root", "folder"])
@pytest.mark.parametrize("mode", [0o755, 0o710, 0o701, 0o702])
def test_a_folder_that_others_may_enter_is_refused(which: str, mode: int, desk: Desk) -> None:
    folder = desk.prepare() if which == "folder" else desk.prepare().parent
    folder.chmod(mode)
    with desk.server():
        folder.chmod(mode)
        answer = desk("list")
    assert answer.status == LOCAL_STATUS
    assert answer.errors.startswith(f"rekall: {folder} ") and f"chmod 700 {folder}" in answer.errors


@pytest.mark.parametrize("which", ["root", "folder"])
@pytest.mark.parametrize("what", ["link", "file", "dangling"])
def test_a_link_or_a_file_in_place_of_a_folder_is_refused(which: str, what: str, desk: Desk) -> None:
    folder = desk.prepare() if which == "folder" else desk.prepare().parent
    if what == "file":
        shutil.rmtree(folder)
        folder.write_text("")
    else:
        folder.rename(desk.folder / "elsewhere")
        folder.symlink_to(desk.folder / ("elsewhere" if what == "link" else "nowhere"))
    answer = desk("list")
    assert answer.status == LOCAL_STATUS
    assert answer.errors.startswith(f"rekall: {folder} is a link or a file"), answer.errors
    assert answer.errors.count("\n") == 1


@as_root
@pytest.mark.parametrize("which", ["root", "folder"])
def test_a_folder_of_another_user_is_refused(which: str, desk: Desk) -> None:
    folder = desk.prepare() if which == "folder" else desk.prepare().parent
    os.chown(folder, NOBODY, NOBODY)
    answer = desk("list", env={"LC_ALL": "fr_FR.UTF-8"})
    assert answer.status == LOCAL_STATUS
    assert answer.errors.startswith(f"rekall: {folder} appartient à l'utilisateur {NOBODY}")


@as_root
def test_a_server_of_another_user_is_told_nothing(desk: Desk) -> None:
    def listen_as_nobody(listener: socket.socket) -> None:
        code = f"import os, socket; os.setuid({NOBODY}); socket.socket(fileno={listener.fileno()}).listen(100)"
        done = subprocess.run([sys.executable, "-IS", "-c", code], pass_fds=[listener.fileno()])
        assert done.returncode == 0

    with desk.server(lambda client: client.expect_end(), during=listen_as_nobody):
        answer = desk("list")
    assert answer.status == LOCAL_STATUS
    assert answer.errors.startswith(f"rekall: {desk.socket}: another user's process")


def test_a_stale_socket_and_a_file_in_its_place_are_no_obstacle(desk: Desk) -> None:
    desk.install_server()
    desk.prepare()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(desk.socket))
    assert desk("list").output == "warm\n"
    os.kill(desk.starts()[0], signal.SIGKILL)
    desk.socket.unlink()
    desk.socket.write_text("")
    assert desk("list").output == "warm\n"


def test_a_start_lock_that_is_a_link_is_not_followed(desk: Desk) -> None:
    desk.install_server()
    (desk.prepare() / "start.lock").symlink_to(desk.folder / "made-by-mistake")
    assert desk("list").status == LOCAL_STATUS
    assert not (desk.folder / "made-by-mistake").exists() and desk.starts() == []


# --- starts ---


def test_twenty_clients_at_once_start_one_server(desk: Desk) -> None:
    desk.install_server(seconds_before=0.3)
    processes = [desk.start("search", "x") for _ in range(20)]
    for process in processes:
        assert process.communicate(timeout=30) == (b"warm\n", b"") and process.returncode == 0
    assert len(desk.starts()) == 1 and desk.local_words() is None


def test_a_server_that_gives_up_is_not_waited_for(desk: Desk) -> None:
    desk.install("rekall-py", QUITTER)
    start = time.monotonic()
    assert desk("list").status == LOCAL_STATUS
    assert len(desk.starts()) == 1 and seconds_since(start) < 2


def test_a_server_that_does_not_say_that_it_listens_is_waited_for_three_seconds(desk: Desk) -> None:
    desk.install_server(seconds_before=60)
    start = time.monotonic()
    with desk.start("list") as first, desk.start("list") as second:
        assert first.wait(30) == second.wait(30) == LOCAL_STATUS
    assert 2.9 < seconds_since(start) < 5
    assert desk.local_words() == [b"--no-server", b"list"]


def test_the_server_has_nothing_of_its_starter(desk: Desk) -> None:
    desk.install_server()
    kept = {
        "USER": "ada", "LANG": "C", "LC_CTYPE": "C", "XDG_DATA_HOME": str(desk.home / "data"), "XDG_X": "1",
        "TMPDIR": "/tmp", "REKALL_CONFIG": "/c", "REKALL_KERNEL": "scalar",
        "HF_HOME": "/hf", "SENTENCE_TRANSFORMERS_HOME": "/st",
    }  # fmt: skip
    dropped = {
        "REKALL_DB": str(desk.work / "x.db"),
        "LANGUAGE": "fr",
        "SECRET": "s",
        "PYTHONPATH": "/x",
        "VIRTUAL_ENV": "/v",
    }
    env = desk.env | kept | dropped
    desk.env["REKALL_DB"] = env["REKALL_DB"]
    desk.install_server()
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    # $(…) ends when the last process that has its pipe open does: the server must not be one of them
    script = ["sh", "-c", 'trap "" INT; got=$("$@" 2>&1); echo "got $got"', "sh", *desk.command("search", "x")]
    done = subprocess.run(script, env=env, cwd=desk.work, capture_output=True, timeout=20, pass_fds=[writing])
    assert done.stdout == b"got warm\n"
    os.close(writing)
    assert os.read(reading, 1) == b""  # no other descriptor is held open either
    os.close(reading)
    (pid,) = desk.starts()
    proc = Path("/proc", str(pid))
    assert {name: os.readlink(proc / "fd" / name) for name in ("0", "1", "2")} == dict.fromkeys("012", "/dev/null")
    assert all(os.readlink(entry).startswith("socket:") for entry in (proc / "fd").iterdir() if int(entry.name) > 2)
    assert os.readlink(proc / "cwd") == "/"
    assert os.getsid(pid) == pid
    variables = dict(text.split(b"=", 1) for text in (proc / "environ").read_bytes().split(b"\0")[:-1])
    expected = {
        name: value
        for name, value in env.items()
        if name in kept or name in ("HOME", "PATH", "XDG_RUNTIME_DIR", "LC_ALL")
    }
    assert variables == {os.fsencode(name): os.fsencode(value) for name, value in expected.items()}
    status = (proc / "status").read_text()
    ignored = int(status.split("SigIgn:\t")[1].split()[0], 16) & 0x7FFF_FFFF  # 32 and up: the C library's own
    assert ignored in (0x1001000, 0x1000)  # Python's own: SIGPIPE, SIGXFSZ
    assert "SigBlk:\t0000000000000000" in status


def test_no_child_is_left_to_wait_for(desk: Desk) -> None:
    desk.install_server()
    assert desk("list").output == "warm\n"
    (pid,) = desk.starts()
    stat = Path("/proc", str(pid), "stat").read_text()
    assert stat.rsplit(")", 1)[1].split()[1] != str(os.getpid())
    states = [
        path.read_text().rsplit(")", 1)[1].split()[:2] for path in Path("/proc").glob("[0-9]*/stat") if path.exists()
    ]
    assert ["Z", str(pid)] not in states


# --- servers of another version ---


def test_a_server_of_another_version_makes_place_for_ours(desk: Desk) -> None:
    desk.install_server()

    def play(client: Connection) -> None:
        client.hello()
        client.send(b"V", b"0.0")
        time.sleep(0.2)  # finishes what it has
        desk.socket.unlink()

    with desk.server(play):
        assert desk("add", "til", "x").output == "warm\n"
    assert len(desk.starts()) == 1


def test_a_server_of_another_version_that_stays_is_left_alone(desk: Desk) -> None:
    def play(client: Connection) -> None:
        client.hello()
        client.send(b"V")
        client.expect_end()

    start = time.monotonic()
    with desk.server(play):
        assert desk("list").status == LOCAL_STATUS
    assert 2.9 < seconds_since(start) < 5
    start = time.monotonic()
    with desk.server(play):
        assert desk("stats").status == LOCAL_STATUS  # starts none, so it waits for nothing
    assert seconds_since(start) < 1


def test_two_versions_do_not_replace_each_other_for_ever(desk: Desk) -> None:
    def play(client: Connection) -> None:
        client.hello()
        desk.socket.rename(desk.folder / "old")
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(desk.socket))
            other.listen()
            client.send(b"V")
            with other.accept()[0] as again:
                Connection(again).hello()
                Connection(again).send(b"V")

    with desk.server(play):
        assert desk("list").status == LOCAL_STATUS


# --- how fast ---


def test_a_warm_answer_takes_no_time_worth_noticing(desk: Desk) -> None:
    """A loose bound: others use the machine."""
    times = []
    with desk.server(*[answering()] * 20):
        for _ in range(20):
            start = time.monotonic()
            assert desk("search", "x").output == "warm\n"
            times.append(seconds_since(start))
    assert min(times) < 0.05
