"""The C client: the start of a server, servers of another version, and what a warm answer costs."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from pathlib import Path

from fake_server import (
    LOCAL_STATUS,
    QUITTER,
    Connection,
    Desk,
    answering,
    needs_client,
    seconds_since,
)

pytestmark = needs_client


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
