"""`rekall bench run`: the user's own base, asked for what its owner would remember."""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rekall.entry import Entry
from rekall.known_items import ERROR, FOREIGN, TAKEN, TEXT, TITLE, changed, foreign, sample, trials

NOTES = [
    ("Undo the last commit but keep the work", "git reset takes the commit back. The changed files stay as they are on disk."),
    ("Find which process holds a port", "lsof lists open files and sockets. Ask it for the port number that is in use."),
    ("Bread rises too slowly in winter", "The dough wants a warm place. Put it near the oven and wait for two hours."),
    ("Resize a photo before mailing it", "convert from ImageMagick takes a size. Pass the width alone to keep the shape."),
]  # fmt: skip
ERRORS = ["kiln: error: cannot fire /home/ann/pots/vase.clay: 1280 degrees exceed the limit of 1100"]


def rekall(base: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rekall", "--db", str(base), *words], capture_output=True, text=True, timeout=300
    )


def filled(base: Path) -> Path:
    lines = [json.dumps({"id": f"n{i}", "title": title, "content": text}) for i, (title, text) in enumerate(NOTES)]
    lines.append(json.dumps({"id": "kiln", "type": "bug", "title": "The kiln refuses tall vases", "errors": ERRORS}))
    source = base.with_suffix(".jsonl")
    source.write_text("\n".join(lines) + "\n", encoding="utf-8")
    done = rekall(base, "import", str(source))
    assert done.returncode == 0, done.stderr
    return base


def held(base: Path) -> list[list[Any]]:
    """Return all that a search could have written."""
    with sqlite3.connect(base) as connection:
        return [connection.execute(f"SELECT * FROM {table}").fetchall() for table in ("state", "entries", "embeddings")]


def without_times(found: dict[str, Any]) -> dict[str, Any]:
    return {
        kind: {name: value for name, value in facts.items() if not name.startswith("ms_")}
        for kind, facts in found["trials"].items()
    }


def test_entries_are_found_by_what_is_remembered_of_them_and_nothing_is_written(tmp_path: Path) -> None:
    base = filled(tmp_path / "base.db")
    before = held(base)
    done = rekall(base, "bench", "run", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    kinds = without_times(found)
    assert (found["entries"], found["of"]) == (5, 5)
    assert kinds[TITLE] == {"asked": 5, "recall_1": 1.0, "recall_5": 1.0, "mrr_10": 1.0}
    assert kinds[TEXT]["asked"] == 4 and kinds[TEXT]["recall_5"] == 1.0
    assert kinds[ERROR] == {"asked": 1, "recall_1": 1.0, "recall_5": 1.0, "mrr_10": 1.0}
    assert kinds[TAKEN] == {"asked": 1, "false_answers": 0.0}
    assert kinds[FOREIGN] == {"asked": len(list(foreign())), "false_answers": 0.0}
    assert without_times(json.loads(rekall(base, "bench", "run", "--json").stdout)) == kinds
    assert held(base) == before
    lines = rekall(base, "bench", "run", "--entries", "2").stdout.splitlines()
    assert lines[0].startswith("2 of 5 entries") and "recall@1" in lines[1] and "1.000" in lines[2]


def test_an_empty_base_is_nothing_to_ask(tmp_path: Path) -> None:
    done = rekall(tmp_path / "none.db", "bench", "run")
    assert (done.returncode, done.stdout) == (1, "") and "empty" in done.stderr
    assert not (tmp_path / "none.db").exists()
    assert rekall(tmp_path / "none.db", "bench", "dance").returncode == 2


def test_an_error_comes_again_with_other_paths_and_numbers_but_the_same_code() -> None:
    (line,) = ERRORS
    again = changed(line, random.Random(1))
    assert again.startswith("kiln: error: cannot fire /srv/") and "vase.clay: " in again and "ann/" not in again
    assert "1280" not in again and again.endswith(tuple("0123456789"))
    assert changed("error TS2304: a.ts:10", random.Random(1)).startswith("error TS2304: a.ts:")


text = st.text(st.characters(codec="utf-8"), max_size=200)


@given(text, text, st.lists(text, max_size=2))
def test_trials_of_any_entry_are_the_same_every_time_and_made_of_its_words(title: str, body: str, errors: list[str]):
    entry = Entry(id="x", type="til", title=title, content=body, errors=tuple(errors))
    found = list(trials(entry))
    assert found == list(trials(entry))
    assert all(trial.key == "x" and trial.text.strip() for trial in found)
    assert all(word in title for trial in found if trial.kind == TITLE for word in trial.text.split())


def test_the_sample_is_the_same_whatever_the_order() -> None:
    keys = [f"e{n}" for n in range(50)]
    assert sample(keys, 7) == sample(keys[::-1], 7) and set(sample(keys, 99)) == set(keys)
