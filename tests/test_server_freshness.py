"""The base is the truth: whatever changes behind the back of the warm process is in its next answer.

Entries, whole bases, settings, the model's process, memory: each is changed while a server runs.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from running import is_running, wait_for
from warm import Warm, is_gone, start_with

from rekall.config import DEFAULT_MODEL
from rekall.entry import new_id
from rekall.memory import process_memory

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are found in /proc")

MB = 1 << 20
# By its words nothing has to do with this, by its meaning one note has.
NOTES = ("Amounts are kept as integer cents", "The laptop does not wake from standby", "tar -C changes the directory")
QUERIES = {"rounding of prices": NOTES[0], "notebook stays asleep after the lid was shut": NOTES[1]}


def hits(warm: Warm, *words: str) -> list[str]:
    """Return the titles that are found, best first; nothing may have been said on stderr."""
    answer = warm("search", *words, "--json")
    assert answer.status in (0, 1) and answer.errors == "", answer
    return [hit["title"] for hit in json.loads(answer.output)["hits"]]


def first(warm: Warm, query: str) -> str:
    return (hits(warm, "--semantic", query) or [""])[0]


def sql(warm: Warm, statement: str, *values: object) -> None:
    """Change the base as any program could."""
    with closing(sqlite3.connect(warm.base, timeout=20)) as connection, connection:
        connection.execute(statement, values)


def set_up(warm: Warm, **settings: object) -> Path:
    """Write the configuration file."""
    path = Path(warm.env["XDG_CONFIG_HOME"], "rekall", "config.toml")
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{name.replace('__', '.')} = {json.dumps(value)}\n" for name, value in settings.items()]
    path.write_text("".join(lines))
    return path


def by_python(warm: Warm, title: str) -> None:
    assert warm.cold("add", "til", title).status == 0


def by_sqlite(warm: Warm, title: str) -> None:
    columns = "id, type, title, content, created_at, updated_at"
    stamp = "2026-01-02T03:04:05.678Z"
    sql(warm, f"INSERT INTO entries ({columns}) VALUES (?, 'til', ?, '', ?, ?)", new_id(), title, stamp, stamp)


def by_the_server(warm: Warm, title: str) -> None:
    assert warm("add", "til", title).status == 0


@pytest.mark.parametrize("write", [by_python, by_sqlite, by_the_server], ids=lambda write: str(write.__name__))
def test_what_anybody_adds_is_in_the_next_answer(warm: Warm, write: Callable[[Warm, str], None]) -> None:
    """By words and by meaning, whatever was held before."""
    warm.keep([NOTES[2]])
    pid = warm.warm_up()
    assert first(warm, "rounding of prices") == NOTES[2]
    write(warm, NOTES[0])
    assert first(warm, "rounding of prices") == NOTES[0]
    write(warm, NOTES[1])
    assert hits(warm, "--words", "laptop") == [NOTES[1]]
    assert first(warm, "notebook stays asleep after the lid was shut") == NOTES[1]
    assert warm.pid == pid


def test_what_anybody_changes_or_deletes_is_in_the_next_answer(warm: Warm) -> None:
    keys = warm.keep(NOTES)
    pid = warm.warm_up()
    for query, title in QUERIES.items():
        assert first(warm, query) == title
    sql(warm, "UPDATE entries SET title = 'Bananas ripen faster in a bag' WHERE id = ?", keys[0])
    assert hits(warm, "--words", "cents") == [] and hits(warm, "--words", "bananas") == [
        "Bananas ripen faster in a bag"
    ]
    assert first(warm, "fruit") == "Bananas ripen faster in a bag"
    assert first(warm, "rounding of prices") != NOTES[0]
    sql(warm, "DELETE FROM entries WHERE id = ?", keys[1])
    assert NOTES[1] not in hits(warm, "notebook stays asleep after the lid was shut", "--semantic")
    assert hits(warm, "--words", "laptop") == []
    assert warm.cold("delete", keys[2]).status == 0
    assert hits(warm, "--semantic", "tar") == ["Bananas ripen faster in a bag"]
    assert warm.pid == pid


def test_every_write_of_another_is_seen_by_the_very_next_question(warm: Warm) -> None:
    """Again and again, with no time in between."""
    warm.keep(["the first"])
    warm.start_server()
    with closing(sqlite3.connect(warm.base, timeout=20)) as connection:
        for number in range(60):
            title = f"counted to {number}"
            with connection:
                connection.execute("UPDATE entries SET title = ?", (title,))
            assert hits(warm, "--words", "counted") == [title]


def test_what_others_wrote_is_embedded_behind_everybodys_back_the_newest_first(warm: Warm) -> None:
    warm.keep(["begin"])
    warm.warm_up()
    keys = warm.keep([f"entry {number} of another process" for number in range(70)], content="words " * 200)

    def embedded() -> set[str]:
        with closing(sqlite3.connect(f"file:{warm.base}?mode=ro", uri=True, timeout=20)) as connection:
            found = connection.execute("SELECT e.id FROM embeddings m JOIN entries e ON e.rowid = m.entry_rowid")
            return {row[0] for row in found}

    seen: list[set[str]] = []
    wait_for(lambda: seen.append(embedded() & set(keys)) or len(seen[-1]) == len(keys), 90)  # nobody asks for anything
    for some in seen:
        assert some == set(keys[len(keys) - len(some) :])
    assert any(0 < len(some) < len(keys) for some in seen)


# --- the whole base ---


def other_base(warm: Warm, path: Path, titles: tuple[str, ...] = (NOTES[1],)) -> Path:
    other = Warm(warm.env | {"REKALL_DB": str(path)}, warm.cwd)
    for title in titles:
        assert other.cold("add", "til", title).status == 0
    return path


def test_a_base_that_is_deleted_is_an_empty_one_and_can_be_begun_anew(warm: Warm) -> None:
    warm.keep(NOTES)
    pid = warm.warm_up()
    for path in warm.base.parent.glob("rekall.db*"):
        path.unlink()
    assert warm("search", "standby").status == 1 and warm("list").output == ""
    assert not warm.base.exists()  # reading makes none
    assert warm("add", "til", NOTES[0]).status == 0
    assert hits(warm, "rounding of prices") == [NOTES[0]]
    assert warm.cold("list").output.count("\n") == 1
    assert warm.pid == pid


def test_a_base_that_is_replaced_by_another_answers_as_that_one(warm: Warm, tmp_path: Path) -> None:
    warm.keep([NOTES[0], NOTES[2]])
    pid = warm.warm_up()
    assert first(warm, "rounding of prices") == NOTES[0]
    other = other_base(warm, tmp_path / "other.db")
    os.replace(other, warm.base)
    for suffix in ("-wal", "-shm"):
        Path(f"{warm.base}{suffix}").unlink(missing_ok=True)
    assert hits(warm, "--semantic", "rounding of prices") == [NOTES[1]]
    assert hits(warm, "--words", "cents") == []
    assert warm("add", "til", NOTES[0]).status == 0
    assert first(warm, "rounding of prices") == NOTES[0]
    assert sorted(warm.cold("list").output.splitlines()) == sorted(warm("list").output.splitlines())
    assert warm.pid == pid


def test_a_base_restored_from_its_backup_answers_as_it_was(warm: Warm, tmp_path: Path) -> None:
    """Moved into place, and copied over what was there: the same file, an older state."""
    warm.keep([NOTES[0]])
    pid = warm.warm_up()
    assert first(warm, "rounding of prices") == NOTES[0]
    backup = tmp_path / "backup.db"
    assert warm("backup", "-o", str(backup)).status == 0
    for restore in ("move", "online", "move"):
        assert warm("add", "til", NOTES[1]).status == 0
        assert first(warm, "notebook stays asleep") == NOTES[1]
        if restore == "move":
            copy = warm.base.with_name("copy.db")
            shutil.copy(backup, copy)
            os.replace(copy, warm.base)
            for suffix in ("-wal", "-shm"):
                Path(f"{warm.base}{suffix}").unlink(missing_ok=True)
        else:  # SQLite's own way, into the open base
            with closing(sqlite3.connect(backup)) as source, closing(sqlite3.connect(warm.base, timeout=20)) as target:
                source.backup(target)
        assert hits(warm, "--semantic", "notebook stays asleep") == [NOTES[0]], restore
        assert hits(warm, "--words", "laptop") == []
    assert warm.pid == pid


def test_a_base_that_becomes_unreadable_is_told_and_is_back_when_it_is_mended(warm: Warm) -> None:
    warm.keep(NOTES)
    pid = warm.warm_up()
    aside = warm.base.with_name("aside.db")
    os.replace(warm.base, aside)
    warm.base.write_bytes(b"no base at all" * 100)
    answer = warm("search", "--words", "laptop")
    assert answer.status == 2 and str(warm.base) in answer.errors
    assert answer == warm.cold("search", "--words", "laptop")
    os.replace(aside, warm.base)
    assert hits(warm, "--words", "laptop") == [NOTES[1]]
    assert warm.pid == pid


# --- settings ---


def test_a_broken_file_of_settings_is_told_by_all_who_need_it_and_mended_under_the_server(warm: Warm) -> None:
    warm.keep(NOTES)
    pid = warm.start_server()
    path = set_up(warm)
    path.write_text("[performance\n")
    for words in (["search", "--words", "laptop"], ["list"], ["add", "til", "x"]):
        answer = warm(*words)
        assert answer == warm.cold(*words) and answer.status == 2 and str(path) in answer.errors
    assert warm("server", "status").status == 0 and warm("help").status == 0
    path.write_text("")
    assert hits(warm, "--words", "laptop") == [NOTES[1]]
    assert warm.pid == pid and len(hits(warm, "--semantic", "x")) == 3


@pytest.mark.parametrize("what", ["a folder", "not text", "a link to itself", "below a file", "gone", "the same size"])
def test_settings_that_become_unusable_in_any_way_are_seen(warm: Warm, what: str) -> None:
    warm.keep(NOTES)
    path = set_up(warm, performance__cache_max_size=7)
    pid = warm.start_server()
    before = path.stat()
    path.unlink()
    if what == "a folder":
        path.mkdir()
    elif what == "not text":
        path.write_bytes(b"\xff\xfe\0")
    elif what == "a link to itself":
        path.symlink_to(path)
    elif what == "below a file":
        path.parent.rmdir()
        path.parent.touch()
    elif what == "the same size":  # and the same time, as `cp -p` leaves it
        path.write_text("performance.cache_max_size = [\n"[: before.st_size].ljust(before.st_size))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    answer = warm("list")
    assert answer == warm.cold("list") and answer.status == (0 if what == "gone" else 2)
    assert warm.pid == pid


def test_a_change_of_settings_is_in_force_with_the_next_request(warm: Warm) -> None:
    warm.keep(NOTES)
    pid = warm.warm_up()
    right = {query: warm("search", "--semantic", query, "--json").output for query in QUERIES}
    for settings in (
        {"performance__vector_backend": "numpy"},
        {"performance__cache_max_size": 1},
        {"performance__vector_backend": "kernel", "performance__cache_ttl_seconds": 0.001},
        {},
    ):
        set_up(warm, **settings)
        for query, output in right.items():
            assert warm("search", "--semantic", query, "--json").output == output, settings
    set_up(warm, performance__vector_backend="nonsense")
    answer = warm("search", "x")
    assert answer.status == 2 and answer == warm.cold("search", "x")
    set_up(warm, embeddings__model="no-such-model")
    answer = warm("search", "laptop")
    assert answer.status == 0 and "searching by words only" in answer.errors and NOTES[1] in answer.output
    set_up(warm)
    assert first(warm, "rounding of prices") == NOTES[0]
    assert warm.pid == pid
    wait_for(lambda: len(warm.processes()) == 2)  # the models of earlier settings have gone


def test_settings_about_other_things_leave_the_model_where_it_is(warm: Warm) -> None:
    warm.keep(NOTES)
    warm.warm_up()
    worker = warm.worker()
    for settings in ({"performance__cache_max_size": 7}, {"performance__vector_backend": "numpy"}, {}):
        set_up(warm, **settings)
        assert first(warm, f"rounding of prices {settings}") == NOTES[0]
    wait_for(lambda: warm.facts()["model_state"] == "loaded")
    assert warm.worker() == worker and len(warm.processes()) == 2


def test_callers_with_settings_of_their_own_are_answered_by_meaning_side_by_side(warm: Warm, tmp_path: Path) -> None:
    warm.keep(NOTES)
    for name, size in (("a", 10), ("b", 20)):
        (tmp_path / name).write_text(f"[performance]\ncache_max_size = {size}\n")
    warm.warm_up()

    def ask(name: str) -> None:
        for number in range(20):
            answer = warm("search", f"rounding of prices {number} {name}", REKALL_CONFIG=str(tmp_path / name))
            assert (answer.status, answer.errors) == (0, "")

    with ThreadPoolExecutor(4) as running:
        for done in [running.submit(ask, name) for name in "abab"]:
            done.result(100)
    wait_for(lambda: len(warm.processes()) == 2)


def test_the_model_goes_when_it_is_idle_and_comes_back_when_it_is_asked(warm: Warm) -> None:
    warm.keep(NOTES)
    warm.warm_up()
    worker = warm.worker()
    assert warm("config", "set", "performance.model_idle_timeout_minutes", "0.05").status == 0
    wait_for(lambda: len(warm.processes()) == 1, 20)
    wait_for(lambda: is_gone(worker))
    assert warm.facts()["model_state"] == "not loaded"
    assert first(warm, "rounding of prices") == NOTES[0]
    assert warm.worker() != worker
    wait_for(lambda: len(warm.processes()) == 1, 20)


def test_the_idle_time_of_the_server_itself_can_be_changed_under_it(warm: Warm) -> None:
    pid = warm.start_server()
    assert warm("config", "set", "server.idle_timeout_minutes", "0.02").status == 0
    wait_for(lambda: is_gone(pid), 20)
    assert warm.processes() == []


# --- the model's process ---


def test_a_model_that_was_killed_is_loaded_again_by_the_next_query(warm: Warm) -> None:
    warm.keep(NOTES)
    pid = warm.warm_up()
    for _again in range(3):
        worker = warm.worker()
        os.kill(worker, signal.SIGKILL)
        wait_for(lambda worker=worker: is_gone(worker))
        assert first(warm, f"the rounding of prices, asked for by {worker}") == NOTES[0]  # no cached vector
    assert warm.pid == pid and len(warm.processes()) == 2  # no zombie


def test_a_model_that_dies_under_a_query_leaves_an_answer_by_words_and_one_line(warm: Warm) -> None:
    warm.keep(NOTES)
    pid = warm.warm_up()
    worker = warm.worker()
    os.kill(worker, signal.SIGSTOP)
    with warm.start("search", "laptop that sleeps") as asking:
        wait_for(lambda: warm.facts()["clients"] == 1)
        time.sleep(0.3)  # its text is on its way to the model; either way it is answered
        os.kill(worker, signal.SIGKILL)
        output, errors = asking.communicate(timeout=30)
    assert asking.returncode == 0 and NOTES[1].encode() in output
    assert errors.startswith(b"searching by words only: ") and errors.count(b"\n") == 1
    assert first(warm, "rounding of prices") == NOTES[0]
    assert warm.pid == pid and "laptop" not in warm.log


def test_a_model_that_hangs_costs_one_query_its_time_and_no_more(warm: Warm) -> None:
    """It is given its time (here 1 s, not 20), then ended; the next query has another."""
    warm.keep(NOTES)
    process = start_with(warm, "from rekall.worker import RemoteEngine as e; e._ask.__defaults__ = (1.0,)")
    try:
        warm.warm_up()
        worker = warm.worker()
        os.kill(worker, signal.SIGSTOP)
        answer = warm("search", "laptop that sleeps")
        assert answer.status == 0 and NOTES[1] in answer.output
        assert answer.errors.startswith("searching by words only: ") and answer.errors.count("\n") == 1
        assert "did not answer within 1 s" in answer.errors
        assert first(warm, "rounding of prices") == NOTES[0] and warm.pid == process.pid
        assert not Path(f"/proc/{worker}").exists()
    finally:
        process.kill()
        process.wait()


# --- memory ---


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="the system does not tell")
def test_memory_with_ten_thousand_entries_is_within_its_bounds(warm: Warm) -> None:
    """All processes together: below 200 MB while it answers, below 100 MB when the model has gone."""
    warm.keep_with_vectors(10_000)
    warm.warm_up()
    pids = warm.processes()
    highest = 0
    for number in range(30):
        answer = warm("search", f"synthetic question {number}", "--json")
        assert answer.status == 0
        highest = max(highest, warm.memory())
    assert warm.facts()["vectors_in_memory"] == 10_000
    peak = sum(process_memory(pid).get("peak", 0) for pid in pids)
    assert warm("config", "set", "performance.model_idle_timeout_minutes", "0.02").status == 0
    wait_for(lambda: len(warm.processes()) == 1, 20)
    gone = warm.memory()
    wait_for(lambda: warm.facts()["vectors_in_memory"] == 0, 20)
    all_gone = warm.memory()
    print(f"PSS: {highest / MB:.0f} MB loaded, {gone / MB:.0f} model gone, {all_gone / MB:.0f} vectors gone; ", end="")
    print(f"the sum of the peaks {peak / MB:.0f} MB")
    assert highest < 200 * MB
    assert gone < 100 * MB and all_gone < 100 * MB
    assert is_running(warm.pid) and warm("search", "synthetic question", "--json").status == 0


def test_the_servers_own_account_of_memory_is_the_systems(warm: Warm) -> None:
    warm.keep(NOTES)
    pid = warm.warm_up()
    assert first(warm, "rounding of prices") == NOTES[0]
    facts = json.loads(warm("stats", "--memory", "--json").output)
    assert abs(facts["process_pss"] - process_memory(pid)["pss"]) < 8 * MB
    assert abs(facts["worker_pss"] - process_memory(warm.worker())["pss"]) < 8 * MB
    assert facts["model_state"] == "loaded" and facts.get("model", DEFAULT_MODEL) == DEFAULT_MODEL
