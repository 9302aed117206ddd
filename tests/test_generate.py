"""`rekall bench generate`: made-up entries, the same for the same seed, never among somebody's own unasked."""

from __future__ import annotations

import json
import signal
import sqlite3
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from running import Answer, Rekall, rekall_in

from rekall.entry import TYPES, checked
from rekall.sample_entries import sample, synthetic_vectors

FAST = "--synthetic-vectors"


@pytest.fixture
def rekall(home: dict[str, str]) -> Rekall:
    return rekall_in(home)


def generate(rekall: Rekall, base: str, count: int, *more: str) -> Answer:
    return rekall("--db", base, "bench", "generate", "--count", str(count), *more)


def exported(rekall: Rekall, base: str) -> str:
    return rekall("--db", base, "export").output


def vectors(path: Path) -> list[tuple[str, bytes]]:
    with sqlite3.connect(path) as connection:
        return connection.execute(
            "SELECT e.id, m.vector FROM embeddings m JOIN entries e ON e.rowid = m.entry_rowid ORDER BY e.id, m.part"
        ).fetchall()


def test_a_seed_gives_the_same_entries_ids_times_and_vectors_and_another_seed_others(rekall: Rekall) -> None:
    for base, seed in (("a.db", "1"), ("b.db", "1"), ("c.db", "2")):
        assert generate(rekall, base, 60, FAST, "--seed", seed).status == 0
    assert exported(rekall, "a.db") == exported(rekall, "b.db")
    assert vectors(rekall.cwd / "a.db") == vectors(rekall.cwd / "b.db")
    ids = [{json.loads(line)["id"] for line in exported(rekall, base).splitlines()} for base in ("a.db", "c.db")]
    assert len(ids[0]) == len(ids[1]) == 60 and not ids[0] & ids[1]


def test_a_second_run_adds_what_is_missing(rekall: Rekall) -> None:
    assert json.loads(generate(rekall, "a.db", 40, FAST, "--json").output)["added"] == 40
    again = json.loads(generate(rekall, "a.db", 60, FAST, "--json").output)
    assert again == {
        "count": 60, "added": 20, "seed": 1, "vectors": "synthetic", "pending": 0, "base": str(rekall.cwd / "a.db"),
    }  # fmt: skip
    assert generate(rekall, "b.db", 60, FAST).status == 0
    assert exported(rekall, "a.db") == exported(rekall, "b.db")
    assert sorted(vectors(rekall.cwd / "a.db")) == sorted(vectors(rekall.cwd / "b.db"))


def test_they_never_go_among_entries_of_yours_unless_told_and_one_undo_takes_them_back(rekall: Rekall) -> None:
    mine = rekall("add", "til", "tar changes directory with -C").output.strip()
    before = rekall("export").output
    refused = rekall("bench", "generate", "--count", "30", FAST)
    assert (refused.status, refused.output) == (2, "")
    assert "1 entry of yours" in refused.errors and str(rekall.base) in refused.errors and "--force" in refused.errors
    assert rekall("export").output == before
    forced = rekall("bench", "generate", "--count", "30", FAST, "--force")
    assert forced.status == 0 and "rekall undo" in forced.errors
    assert json.loads(rekall("stats", "--json").output)["entries"] == 31
    assert rekall("undo").status == 0
    assert rekall("export").output == before and mine in before


def test_without_the_flag_the_model_embeds_them(rekall: Rekall) -> None:
    done = generate(rekall, "a.db", 25)
    assert done.status == 0
    assert (
        done.output
        == f"25 made-up entries (seed 1), 25 of them new, embedded by all-MiniLM-L6-v2: {rekall.cwd / 'a.db'}\n"
    )
    assert json.loads(rekall("--db", "a.db", "index", "status", "--json").output)["pending"] == 0
    for number in (3, 7, 12):
        entry = sample(1, number).entry
        found = rekall("--db", "a.db", "search", "--semantic", "--tsv", "-n", "1", "--", entry.title)
        assert found.output.startswith(f"{entry.id}\t")


def test_synthetic_vectors_are_said_to_be_and_leave_nothing_waiting(rekall: Rekall) -> None:
    done = generate(rekall, "a.db", 50, FAST, "--seed", "7")
    assert done.status == 0
    assert "synthetic vectors (seed 7)" in done.output and "mean nothing" in done.errors
    facts = json.loads(rekall("--db", "a.db", "index", "verify", "--json").output)
    assert facts["in_step"] and facts["pending"] == 0 and facts["fingerprints_pending"] == 0 and facts["vectors"] == 50
    assert rekall("config", "set", "embeddings.model", "sentence-transformers/other").status == 0
    refused = generate(rekall, "b.db", 5, FAST)
    assert refused.status == 2 and "sentence-transformers/other" in refused.errors
    assert not (rekall.cwd / "b.db").exists()


def test_whoever_asks_for_many_is_told_beforehand_and_may_stop(rekall: Rekall) -> None:
    with rekall.start("--db", "a.db", "bench", "generate", "--count", "100000") as process:
        assert process.stderr is not None
        said = process.stderr.readline() + process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    assert b"takes minutes" in said and b"--synthetic-vectors" in said
    assert rekall("--db", "a.db", "index", "verify").status in (0, 1)


def test_options_of_one_action_are_refused_by_the_other(rekall: Rekall) -> None:
    for words in (("run", "--count", "3"), ("run", FAST), ("generate", "--entries", "3"), ("run", "--force")):
        refused = rekall("bench", *words)
        assert refused.status == 2 and "does not belong to" in refused.errors
    assert not rekall.base.exists()


def test_they_are_plausible_and_differ_from_each_other() -> None:
    made = [sample(1, number).entry for number in range(3000)]
    assert all(checked(entry) is entry for entry in made)
    assert Counter(entry.type for entry in made).keys() == set(TYPES)
    assert len({entry.id for entry in made}) == 3000
    assert len({entry.title for entry in made}) > 2850
    text = "\n".join(f"{entry.title}\n{entry.body()}" for entry in made)
    assert not any(blank in text for blank in ("{service", "{person", "{small", "{{", "}}"))
    bugs = [entry for entry in made if entry.type == "bug"]
    assert all(entry.errors and entry.solution for entry in bugs) and len(bugs) > 500
    assert all("2022" <= entry.created_at[:4] < "2026" for entry in made)


def test_synthetic_vectors_are_near_each_other_where_they_tell_the_same_fact() -> None:
    rows = synthetic_vectors(1, [(number, number % 2) for number in range(40)])
    assert rows.dtype == np.float32 and np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    cosines = rows @ rows.T
    same = np.equal.outer(np.arange(40) % 2, np.arange(40) % 2) & ~np.eye(40, dtype=bool)
    assert cosines[same].min() > 0.5 > cosines[~same & ~np.eye(40, dtype=bool)].max()
