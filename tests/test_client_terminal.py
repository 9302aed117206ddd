"""The C client on a terminal of its own: raw while the server draws, and as it was on every way out."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any  # the numbers and lists of tcgetattr

import pytest
from fake_server import INTERACTIVE, LOCAL_STATUS, REQUEST, SEND_STDIN, WRITES, Connection, Desk, needs_client
from running import wait_for

pytestmark = needs_client

TIDY = b"\x1b[0m\x1b[?25h\x1b[?2004l"
WIPE = b"\r\x1b[J"  # of what an app drew, if it did

# A shell with one job: it gives it the terminal, tells when it stops or ends, and continues it when told to.
SHELL = """
import fcntl, json, os, signal, sys
said, told = int(sys.argv[1]), int(sys.argv[2])
for fd in (said, told):
    fcntl.fcntl(fd, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
job = os.fork()
if not job:
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpid())
    for number in (signal.SIGTTOU, signal.SIGHUP):  # whatever started the tests may ignore the latter, as nohup does
        signal.signal(number, signal.SIG_DFL)
    os.execvp(sys.argv[3], sys.argv[3:])
def say(*what):
    os.write(said, json.dumps(what).encode() + b"\\n")
say("job", job)
while True:
    status = os.waitpid(job, os.WUNTRACED)[1]
    if not os.WIFSTOPPED(status):
        break
    os.tcsetpgrp(0, os.getpgrp())
    say("stopped", os.WSTOPSIG(status))
    os.read(told, 1)
    os.tcsetpgrp(0, job)
    os.killpg(job, signal.SIGCONT)
say("ended", os.waitstatus_to_exitcode(status))
os.tcsetpgrp(0, os.getpgrp())
os.read(told, 1)
"""


class Terminal:
    """The client as the one job of a shell on a new terminal, its stdout a file."""

    def __init__(self, desk: Desk, *words: str, shell: str = 'exec "$@" > output', rows: int = 24, columns: int = 80):
        self.screen, theirs = pty.openpty()
        self._theirs = theirs
        self.resize(columns, rows)
        self.desk = desk
        self.drawn = b""
        self._closing = False
        self.before = self.mode()
        said, self._told = os.pipe(), os.pipe()
        fds = [said[1], self._told[0]]
        self.process = subprocess.Popen(
            [
                "setsid",
                "--ctty",
                sys.executable,
                "-IS",
                "-c",
                SHELL,
                *map(str, fds),
                "sh",
                "-c",
                shell,
                "sh",
                *desk.command(*words),
            ],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            pass_fds=fds,
            env=desk.env,
            cwd=desk.work,
        )
        for fd in fds:
            os.close(fd)
        self._said, self._heard = said[0], b""
        self.job: int = self.heard("job")
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        while not self._closing:
            try:
                if select.select([self.screen], [], [], 0.02)[0]:
                    self.drawn += os.read(self.screen, 65536)
            except OSError:
                return

    def hang_up(self) -> None:
        """Close the terminal, as the window it is in would."""
        self._closing = True
        self._reader.join(20)
        os.close(self.screen)

    def heard(self, what: str) -> int:
        """Return what the shell says next, which must be `what`."""
        while b"\n" not in self._heard:
            assert select.select([self._said], [], [], 20)[0], self.drawn
            piece = os.read(self._said, 4096)
            assert piece, self.drawn
            self._heard += piece
        line, self._heard = self._heard.split(b"\n", 1)
        said, value = json.loads(line)
        assert said == what, (said, value, self.drawn)
        return int(value)

    def go_on(self) -> None:
        os.write(self._told[1], b".")

    def type(self, keys: bytes) -> None:
        os.write(self.screen, keys)

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def mode(self) -> list[Any]:
        return termios.tcgetattr(self._theirs)

    def is_raw(self) -> bool:
        return not self.mode()[3] & (termios.ICANON | termios.ECHO | termios.ISIG)

    def ended(self) -> int:
        """Return the client's status, after a look at the terminal it leaves."""
        status = self.heard("ended")
        assert self.mode() == self.before
        return status

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind:
            with suppress(ProcessLookupError):
                os.killpg(self.job, signal.SIGKILL)
            self.process.kill()
        os.close(self._told[1])
        self.process.wait(20)
        if not self._closing:
            self.hang_up()
        os.close(self._theirs)
        os.close(self._said)

    @property
    def output(self) -> bytes:
        return Path(self.desk.work, "output").read_bytes()


def test_keys_go_to_the_server_and_its_drawing_to_the_terminal_while_stdout_is_a_file(desk: Desk) -> None:
    hellos, raw = [], threading.Event()

    def play(client: Connection) -> None:
        hellos.append(client.accept(INTERACTIVE))
        raw.set()
        client.send(b"T", b"\x1b[2Jdrawn\n")
        assert client.expect(b"K") == b"a\x03\x1b[A"
        client.finish(b"chosen\n", 7)

    with desk.server(play), Terminal(desk, "pick", columns=100, rows=30) as terminal:
        assert raw.wait(20) and terminal.is_raw()
        terminal.type(b"a\x03\x1b[A")  # Ctrl-C is a key here
        assert terminal.ended() == 7
        wait_for(lambda: b"drawn" in terminal.drawn)
        assert terminal.drawn == b"\x1b[2Jdrawn\n"  # no \r before the \n: the mode was raw
        assert terminal.output == b"chosen\n"
    assert (hellos[0].terminals, hellos[0].columns, hellos[0].rows) == (b"iet", 100, 30)


def test_the_size_is_stdouts_where_that_is_a_terminal(desk: Desk) -> None:
    hellos = []

    def play(client: Connection) -> None:
        hellos.append(client.accept())
        client.finish()

    with desk.server(play), Terminal(desk, "list", shell='exec "$@"', columns=77, rows=11) as terminal:
        assert terminal.ended() == 0
    assert (hellos[0].terminals, hellos[0].columns, hellos[0].rows) == (b"ioet", 77, 11)


def test_new_sizes_are_told(desk: Desk) -> None:
    ready = threading.Event()

    def play(client: Connection) -> None:
        client.accept(INTERACTIVE)
        ready.set()
        client.expect(b"W", struct.pack(">HH", 300, 5))
        client.finish()

    with desk.server(play), Terminal(desk, "pick") as terminal:
        assert ready.wait(20)
        terminal.resize(300, 5)
        assert terminal.ended() == 0


def test_stdin_and_keys_come_side_by_side(desk: Desk) -> None:
    ready = threading.Event()

    def play(client: Connection) -> None:
        client.accept(INTERACTIVE | SEND_STDIN)
        assert client.stdin() == b"piped\n"
        ready.set()
        client.expect(b"K", b"k")
        client.finish()

    shell = 'echo piped | "$@"'
    with desk.server(play), Terminal(desk, "pick", shell=shell) as terminal:
        assert ready.wait(20)
        terminal.type(b"k")
        assert terminal.ended() == 0


def test_a_server_that_wants_a_terminal_where_there_is_none_gets_no_go(desk: Desk) -> None:
    def play(client: Connection) -> None:
        client.hello()
        client.send(b"A", bytes([INTERACTIVE]) + REQUEST)
        client.expect_end()

    with desk.server(play):
        assert desk("pick").status == LOCAL_STATUS


@pytest.mark.parametrize("flags", [INTERACTIVE, INTERACTIVE | WRITES])
@pytest.mark.parametrize("drawn", [b"", b"drawn"])
def test_the_terminal_is_restored_when_the_server_goes(flags: int, drawn: bytes, desk: Desk) -> None:
    def play(client: Connection) -> None:
        client.accept(flags)
        if drawn:
            client.send(b"T", drawn)

    with desk.server(play), Terminal(desk, "pick") as terminal:
        if not drawn and flags == INTERACTIVE:
            wait_for(lambda: desk.note("words"))
            terminal.type(b"\x04")  # rekall-py reads to the end of its stdin, the terminal
            assert terminal.ended() == LOCAL_STATUS
            assert terminal.output == b"local\n"
        else:
            assert terminal.ended() == 2
            wait_for(lambda: terminal.drawn.endswith(b"\r\n"))
            assert terminal.drawn.startswith(drawn + TIDY + (WIPE if drawn else b"") + b"rekall: ")


def test_the_terminal_is_restored_when_what_comes_means_nothing(desk: Desk) -> None:
    def play(client: Connection) -> None:
        client.accept(INTERACTIVE)
        client.send(b"Q")
        client.expect_end()

    with desk.server(play), Terminal(desk, "pick") as terminal:
        assert terminal.ended() == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGABRT, signal.SIGUSR1])
def test_a_signal_that_ends_the_client_restores_the_terminal(number: int, desk: Desk) -> None:
    ready = threading.Event()

    def play(client: Connection) -> None:
        client.accept(INTERACTIVE)
        client.send(b"T", b"drawn")
        ready.set()
        client.expect_end()

    with desk.server(play), Terminal(desk, "pick") as terminal:
        assert ready.wait(20)
        wait_for(lambda: terminal.drawn == b"drawn")
        os.kill(terminal.job, number)
        assert terminal.ended() == -number
        wait_for(lambda: terminal.drawn == b"drawn" + TIDY + WIPE)


@pytest.mark.parametrize("answered", [True, False])
def test_sigint_cancels_and_restores_the_terminal(answered: bool, desk: Desk) -> None:
    ready = threading.Event()

    def play(client: Connection) -> None:
        client.accept(INTERACTIVE)
        ready.set()
        client.expect(b"X")
        if answered:
            client.finish(status=130)
        client.expect_end()

    with desk.server(play), Terminal(desk, "pick") as terminal:
        assert ready.wait(20)
        os.kill(terminal.job, signal.SIGINT)
        assert terminal.ended() == 130


def test_a_stopped_client_gives_the_terminal_back_and_takes_it_again(desk: Desk) -> None:
    ready, done = threading.Event(), threading.Event()

    def play(client: Connection) -> None:
        client.accept(INTERACTIVE)
        ready.set()
        client.expect(b"W", struct.pack(">HH", 80, 24))
        ready.set()
        client.expect(b"K", b"k")
        done.set()
        client.expect(b"W", struct.pack(">HH", 90, 25))
        client.finish(status=4)

    with desk.server(play), Terminal(desk, "pick") as terminal:
        assert ready.wait(20) and terminal.is_raw()
        ready.clear()
        os.kill(terminal.job, signal.SIGTSTP)
        assert terminal.heard("stopped") == signal.SIGTSTP
        assert terminal.mode() == terminal.before
        terminal.go_on()
        assert ready.wait(20)
        assert terminal.is_raw()
        terminal.type(b"k")
        assert done.wait(20)
        os.kill(terminal.job, signal.SIGSTOP)  # gives no time to restore anything
        assert terminal.heard("stopped") == signal.SIGSTOP
        termios.tcsetattr(terminal._theirs, termios.TCSANOW, terminal.before)  # as a shell does
        terminal.resize(90, 25)
        terminal.go_on()
        assert terminal.ended() == 4


def test_a_terminal_that_is_gone_ends_the_client(desk: Desk) -> None:
    ready, ended = threading.Event(), threading.Event()

    def play(client: Connection) -> None:
        client.accept(INTERACTIVE)
        ready.set()
        while client.get() != (b"", b""):
            pass
        ended.set()

    shell = 'trap "" HUP; exec "$@" > output 2>&1'  # under nohup SIGHUP is ignored, and stays so
    with desk.server(play), Terminal(desk, "pick", shell=shell) as terminal:
        assert ready.wait(20)
        terminal.hang_up()
        assert ended.wait(20)


@pytest.mark.parametrize("on_terminal", [True, False])
def test_a_program_that_the_server_has_run_gets_the_terminal_as_it_was(on_terminal: bool, desk: Desk) -> None:
    statuses: list[bytes] = []
    raw: list[bool] = []
    held: list[Terminal] = []

    def run(client: Connection, text: bytes, script: bytes) -> None:
        words = b"".join(word + b"\0" for word in (b"sh", b"-c", script))
        client.send(b"C", len(text).to_bytes(4, "big") + text + words)
        statuses.append(client.expect(b"C"))

    def play(client: Connection) -> None:
        client.accept(INTERACTIVE if on_terminal else 0)
        run(
            client,
            b"",
            b'stty > modes; test -t 0 && test -t 1 && echo asking && read line && echo "$line" > typed; exit 9',
        )
        run(client, b"text", b"cat > copied; exit 3")
        raw.append(held[0].is_raw())
        client.finish(b"done\n")

    shell = 'exec "$@" > output' if on_terminal else 'exec "$@"'
    with desk.server(play):
        terminal = Terminal(desk, "pick", shell=shell)
        held.append(terminal)
        with terminal:
            wait_for(lambda: b"asking" in terminal.drawn)
            assert terminal.mode() == terminal.before
            terminal.type(b"answer\n")
            assert terminal.ended() == 0
    assert statuses == [b"\x09", b"\x03"]
    assert raw == [on_terminal]
    assert (desk.work / "typed").read_bytes() == b"answer\n"
    assert (desk.work / "copied").read_bytes() == b"text"
    if on_terminal:
        assert (desk.work / "output").read_bytes() == b"done\n"  # what the program wrote went to the terminal


def test_a_program_that_empties_the_keyboard_does_not_leave_the_client_waiting_for_a_key(desk: Desk) -> None:
    ready, stopped, sent = threading.Event(), threading.Event(), threading.Event()
    flush = "import termios; termios.tcflush(0, termios.TCIFLUSH)"

    def play(client: Connection) -> None:
        client.accept(INTERACTIVE)
        ready.set()
        assert stopped.wait(20)
        words = [sys.executable, "-IS", "-c", flush]
        client.send(b"C", bytes(4) + b"".join(word.encode() + b"\0" for word in words))
        sent.set()
        frames = [client.get() for _ in range(3)]  # the size may come at any place
        assert [frame for frame in frames if frame[0] != b"W"] == [(b"K", b"z"), (b"C", b"\0")]
        client.finish()

    with desk.server(play), Terminal(desk, "pick") as terminal:
        assert ready.wait(20)
        os.kill(terminal.job, signal.SIGSTOP)  # so that a key and the frame come at the same moment
        terminal.heard("stopped")
        terminal.type(b"z")
        stopped.set()
        assert sent.wait(20)
        terminal.go_on()
        assert terminal.ended() == 0


def test_ctrl_c_in_a_program_that_was_run_is_that_programs_alone(desk: Desk) -> None:
    def play(client: Connection) -> None:
        client.accept(INTERACTIVE)
        words = b'sh\0-c\0trap "exit 5" INT; echo here; while :; do sleep 0.05; done\0'
        client.send(b"C", bytes(4) + words)
        client.expect(b"C", b"\x05")
        client.send(b"T", b"back")
        client.expect(b"K", b"k")  # and no `X`
        client.finish()

    with desk.server(play), Terminal(desk, "pick") as terminal:
        wait_for(lambda: b"here" in terminal.drawn)
        terminal.type(b"\x03")
        wait_for(lambda: b"back" in terminal.drawn)
        terminal.type(b"k")
        assert terminal.ended() == 0


def test_a_server_survives_the_terminal_it_was_started_from(desk: Desk) -> None:
    desk.install_server()
    with Terminal(desk, "list") as terminal:
        assert terminal.ended() == 0
    assert desk("list").output == "warm\n"
    assert len(desk.starts()) == 1
