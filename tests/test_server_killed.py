"""The warm process is killed, stopped or ended at any moment, and its ground taken away: every question is answered."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest
from running import Answer, is_running, wait_for
from warm import Line, Warm, is_gone, rounds, run_together

from rekall import client, frames
from rekall.entry import new_id

on_linux = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are found in /proc")
pytestmark = on_linux


# --- killed, stopped ---


@pytest.mark.torture
def test_the_server_may_be_killed_at_any_time_between_requests(warm: Warm) -> None:
    for number in range(rounds(4, 20, 100)):
        assert warm("add", "til", f"note {number}").status == 0
        pid = warm.pid
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda pid=pid: is_gone(pid))
        assert warm.socket.exists()  # left lying: nobody had the time
    answer = warm("list", "--limit", "1000")
    assert (answer.status, answer.errors) == (0, "")
    assert len(warm.titles()) == rounds(4, 20, 100)
    wait_for(lambda: warm.processes() == [warm.pid] or b"worker" in b"".join(_cmdlines(warm)))


def _cmdlines(warm: Warm) -> list[bytes]:
    return [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in warm.processes() if Path(f"/proc/{pid}").exists()]


@pytest.mark.torture
def test_a_write_under_which_the_server_dies_is_there_once_or_not_at_all(warm: Warm) -> None:
    """The client says that it does not know, and how to repeat it; repeated so, the entry is there once."""
    unknown = 0
    for number in range(rounds(6, 60, 400)):
        warm.start_server()
        pid, title = warm.pid, f"written under fire {number}"
        with warm.start("add", "til", title) as adding:
            Thread(target=_kill_after, args=(pid, number % 12 * 0.001)).start()
            output, errors = adding.communicate(timeout=30)
        wait_for(lambda pid=pid: is_gone(pid))
        there = warm.titles().count(title)
        assert there in (0, 1)
        if adding.returncode == 0:
            assert there == 1 and len(output.strip()) == 26
            continue
        assert adding.returncode == 2 and b"REKALL_REQUEST_ID=" in errors, (output, errors)
        unknown += 1
        key = errors.split(b"REKALL_REQUEST_ID=")[1][:26].decode()
        again = warm("add", "til", title, REKALL_REQUEST_ID=key)
        assert (again.status, again.output.strip()) == (0, key)
        assert warm.titles().count(title) == 1
    print(f"outcome unknown: {unknown}")


def _kill_after(pid: int, seconds: float) -> None:
    time.sleep(seconds)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@pytest.mark.torture
def test_a_read_under_which_the_server_dies_is_answered_all_the_same(warm: Warm) -> None:
    warm.keep(["a note to be found"])
    right = warm.cold("search", "--words", "found")
    for number in range(rounds(6, 40, 200)):
        warm.start_server()
        pid = warm.pid
        Thread(target=_kill_after, args=(pid, number % 8 * 0.001)).start()
        assert warm("search", "--words", "found") == right
        wait_for(lambda pid=pid: is_gone(pid))


def test_a_request_that_is_repeated_under_its_id_is_kept_once(warm: Warm) -> None:
    key = new_id()
    for answering in (warm, warm.cold, warm):
        answer = answering("add", "til", "kept once", REKALL_REQUEST_ID=key)
        assert (answer.status, answer.output) == (0, f"{key}\n")
    assert warm.titles() == ["kept once"]
    commands = [warm.command("add", "til", "rye sourdough wants a hot oven")] * 10
    other = new_id()
    answers = run_together(commands, warm.env | {"REKALL_REQUEST_ID": other}, warm.cwd)
    assert answers == [Answer(0, f"{other}\n", "")] * 10
    assert sorted(warm.titles()) == ["kept once", "rye sourdough wants a hot oven"]


def test_a_stopped_server_is_passed_by_and_nothing_is_written_twice(warm: Warm) -> None:
    pid = warm.start_server()
    os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    assert warm("add", "til", "kept by the fallback").status == 0
    assert "kept by the fallback" in warm("list").output
    assert time.monotonic() - began < 10  # about a second each, on a machine at rest
    os.kill(pid, signal.SIGCONT)
    wait_for(lambda: warm("server", "status").status == 0)
    assert warm.pid == pid
    assert warm.titles() == ["kept by the fallback"]
    assert warm("list").output.count("kept by the fallback") == 1
    assert warm.facts()["clients"] == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=["SIGTERM", "SIGHUP"])
def test_a_signal_ends_the_server_at_once_with_all_it_has(warm: Warm, number: signal.Signals) -> None:
    pid = warm.warm_up()
    with Line(warm) as waiting:  # somebody is being answered
        waiting.acknowledged("add", "til", "-c", "-", "never ends")
        waiting.send(frames.GO)
        os.kill(pid, number)
        wait_for(lambda: is_gone(pid), 5)
    wait_for(lambda: warm.processes() == [])
    assert not warm.socket.exists()


@pytest.mark.torture
def test_ended_by_a_signal_under_load_it_never_hangs(warm: Warm) -> None:
    warm.keep(["a note"])
    for number in range(rounds(2, 8, 100)):
        warm.start_server()
        pid = warm.pid
        asking = [warm.start("search", "note") for _client in range(5)]
        Thread(target=_signal_after, args=(pid, 0.02 * number % 0.5)).start()
        for process in asking:
            output, _errors = process.communicate(timeout=30)
            assert b"a note" in output
        wait_for(lambda pid=pid: is_gone(pid))


def _signal_after(pid: int, seconds: float) -> None:
    time.sleep(seconds)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)


# --- the ground is taken away ---


@pytest.mark.parametrize("what", ["socket", "folder", "root"])
def test_a_server_whose_place_is_taken_away_goes_and_another_comes(warm: Warm, what: str) -> None:
    warm.keep(["a note"])
    pid = warm.start_server()
    if what == "socket":
        warm.socket.unlink()
    else:
        shutil.rmtree(warm.folder if what == "folder" else warm.folder.parent)
    answer = warm("list")  # at once: perhaps there are two for a moment
    assert "a note" in answer.output and answer.errors == ""
    wait_for(lambda: is_gone(pid))
    assert "a note" in warm("list").output
    assert is_running(warm.pid) and warm.pid != pid
    assert warm.servers() == [warm.pid]


def test_the_socket_of_another_is_not_taken_away(warm: Warm) -> None:
    """A server that finds another's socket under its name leaves it alone."""
    pid = warm.start_server()
    warm.socket.unlink()
    other = socket.socket(socket.AF_UNIX)
    other.bind(str(warm.socket))
    wait_for(lambda: is_gone(pid))
    assert warm.socket.exists()
    other.close()


def test_a_stale_socket_and_stale_locks_need_nobody(warm: Warm) -> None:
    warm.keep(["a note"])
    warm.folder.mkdir(parents=True, mode=0o700)
    warm.folder.parent.chmod(0o700)
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(warm.socket))
    stale.close()
    (warm.folder / "server.lock").write_text("1\n")
    (warm.folder / "start.lock").write_text("garbage")
    answer = warm("list")
    assert "a note" in answer.output and answer.errors == ""
    assert warm.facts()["requests"] >= 1


@pytest.mark.parametrize("name", ["s", "server.lock", "start.lock", "log"])
def test_a_folder_in_place_of_its_files_costs_no_answer(warm: Warm, name: str) -> None:
    warm.keep(["a note"])
    warm.folder.mkdir(parents=True, mode=0o700)
    warm.folder.parent.chmod(0o700)
    (warm.folder / name).mkdir()
    answer = warm("list")
    assert "a note" in answer.output and (answer.status, answer.errors) == (0, "")
    assert (warm.folder / name).is_dir()


def test_a_server_that_is_stuck_is_told_with_the_way_out(warm: Warm, monkeypatch: pytest.MonkeyPatch) -> None:
    pid = warm.start_server()
    os.kill(pid, signal.SIGSTOP)
    answer = warm("server", "status")
    assert answer.status == 1 and "stuck:   True" in answer.output
    doctor = warm("doctor")
    assert doctor.status == 2 and "does not answer" in doctor.output
    monkeypatch.setattr(client, "STOP_SECONDS", 0.5)  # not 10
    with pytest.raises(client.ServerStuck, match=f"kill {pid}"):
        client.stop(warm.base, warm.env)
    assert is_running(pid)


def test_the_log_is_rotated_and_stays_small(warm: Warm) -> None:
    warm.folder.mkdir(parents=True, mode=0o700)
    warm.folder.parent.chmod(0o700)
    (warm.folder / "log").write_text("an old line\n" * 30_000)
    (warm.folder / "log.1").write_text("a line that is older still\n")
    warm.start_server()
    sizes = {path.name: path.stat().st_size for path in warm.folder.glob("log*")}
    assert set(sizes) == {"log", "log.1"} and sizes["log"] < 1000 < sizes["log.1"]
    assert "older still" not in warm.log
