"""What use may add to a score, and what that does: python tests/eval/use.py FOLDER [--command rekall-py] [--work DIR]

FOLDER holds sets in the BEIR layout, as for run.py. Every query is asked once with --no-context; then use is made up for the
50 hits, for several values of context.MOST, and MRR@10 is told beside that without use:
  blind    half of the hits, drawn at random, have all of it: somebody who works on something else
  right    the right entry has all of it, the others nothing: somebody who has taken it before
  wrong    all the others have all of it, the right one nothing: the worst that can be
  old      the right entry is obsolete: how often it is among ten all the same, for several values of context.SUNK
Then twins: notes of the set are kept twice, a fifth of the words left out of the copy, which belongs to the project that one
is in. The queries of these notes are asked through the command line, from there and with --no-context: how often the copy is
before the original, and MRR@10 of whichever of both comes first; then the same with the originals replaced by their copies.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from duplicates import thinned
from run import ask, interval, judgements, make_base, mean, read_lines

from rekall.context import MOST, SUNK, Use
from rekall.ranking import Hit, with_use

MOSTS = (0.005, 0.01, 0.02, 0.03, 0.05)
SUNKS = (0.05, 0.1, 0.15, 0.2)
TWINS, PROJECT, COPY = 300, "shop", "-copy"
Drawn = Callable[[str], float]  # what an entry gets of all that use can add, 0 to 1


def reciprocal(ranked: Sequence[str], right: set[str]) -> float:
    """Return one over the place of the first right entry among ten, else 0."""
    return next((1 / place for place, key in enumerate(ranked[:10], 1) if key in right), 0.0)


def ranked(hits: Sequence[Hit], use: Callable[[str], Use]) -> list[str]:
    return [hit.id for hit in with_use(hits, {hit.id: use(hit.id) for hit in hits}, {})]


def told(name: str, value: float, before: Sequence[float], after: Sequence[float]) -> None:
    low, high = interval([[b - a for a, b in zip(before, after, strict=True)]])
    print(f"| {name} | {value} | {mean(before):.3f} | {mean(after):.3f} | {low:+.4f} to {high:+.4f} |", flush=True)


def simulate(answers: Sequence[Sequence[Hit]], wanted: Sequence[set[str]]) -> None:
    """Print what use would do to the answers of a set."""
    chance = random.Random(5)
    before = [reciprocal([hit.id for hit in hits], right) for hits, right in zip(answers, wanted, strict=True)]
    print("| use | at most | MRR@10 without | with | difference, 95 % |\n" + "|---" * 5 + "|")
    draws: dict[str, Callable[[set[str]], Drawn]] = {
        "blind": lambda _right: lambda _key: float(chance.random() < 0.5),
        "right": lambda right: lambda key: float(key in right),
        "wrong": lambda right: lambda key: float(key not in right),
    }
    for name, draw in draws.items():
        for most in MOSTS:
            after = []
            for hits, right in zip(answers, wanted, strict=True):
                share = draw(right)
                after.append(reciprocal(ranked(hits, lambda key: Use(most * share(key))), right))  # noqa: B023
            told(name, most, before, after)
    for sunk in SUNKS:
        after = []
        for hits, right in zip(answers, wanted, strict=True):
            sinks = Use(-sunk, obsolete=-sunk)
            after.append(float(bool(reciprocal(ranked(hits, lambda key: sinks if key in right else Use()), right))))  # noqa: B023
        told("old: among ten", sunk, [float(found > 0) for found in before], after)


def hits_of(answer: Sequence[dict[str, Any]]) -> list[Hit]:
    """Return the hits of an answer of --explain."""
    return [Hit(hit["id"], hit["score"], titled=hit["explain"].get("titled", 0)) for hit in answer]


def twins(command: list[str], folder: Path, work: Path) -> None:
    """Keep notes twice, and ask for them from the project that the copies belong to."""
    relevant = judgements(folder / "qrels.tsv")
    queries = [query for query in read_lines(folder / "queries.jsonl") if len(relevant[query["_id"]]) == 1][:TWINS]
    right = [next(iter(relevant[query["_id"]])) for query in queries]
    here, kept, replaced = work / PROJECT, work / f"{folder.name}-twins.db", work / f"{folder.name}-replaced.db"
    (here / ".git").mkdir(parents=True, exist_ok=True)
    if not kept.exists():
        bring(command, kept, here, doubled(folder, set(right)))
    if not replaced.exists():
        shutil.copy(kept, replaced)
        bring(command, replaced, here, [old(document) for document in noted(folder) if document["id"] in right])
    print("\n| twins | asked | the copy before the original | MRR@10 of either |\n" + "|---" * 4 + "|")
    texts = "".join(" ".join(query["text"].split()) + "\n" for query in queries)
    for name, base, words in (
        ("without use", kept, ["--no-context"]),
        ("in the project of the copies", kept, []),
        ("the originals replaced by the copies", replaced, []),
    ):
        out = asked(command, base, here, ["search", "-", "--each-line", "-n", "50", *words], texts)
        answers = [[hit["id"] for hit in json.loads(line)["hits"]] for line in out.splitlines()]
        pairs = [(place(found, key + COPY), place(found, key)) for found, key in zip(answers, right, strict=True)]
        first = mean([float(copy < original) for copy, original in pairs])
        either = mean([1 / min(pair) if min(pair) <= 10 else 0.0 for pair in pairs])
        print(f"| {name} | {len(pairs)} | {first:.3f} | {either:.3f} |", flush=True)


def place(found: Sequence[str], key: str) -> int:
    """Return the place of an entry in an answer, from 1; of one that is not there, one that is behind all."""
    return found.index(key) + 1 if key in found else 99


def noted(folder: Path) -> list[dict[str, Any]]:
    """Return the notes of a set as records to import, all of one old day."""
    return [
        {"id": document["_id"], "title": document["title"], "content": document["text"], "created_at": "2024-01-01"}
        for document in read_lines(folder / "corpus.jsonl")
    ]


def doubled(folder: Path, right: set[str]) -> list[dict[str, Any]]:
    """Return the notes, and the copies of those that are asked for."""
    chance, records = random.Random(7), []
    for record in noted(folder):
        title, content = thinned(record["title"], record["content"], chance)
        copy = record | {"id": record["id"] + COPY, "title": title, "content": content, "project": PROJECT}
        records += [record, copy] if record["id"] in right else [record]
    return records


def old(record: dict[str, Any]) -> dict[str, Any]:
    """Return a note as its copy has replaced it."""
    return record | {"status": "obsolete", "superseded_by": record["id"] + COPY, "updated_at": "2024-01-02"}


def bring(command: list[str], base: Path, here: Path, records: Sequence[dict[str, Any]]) -> None:
    """Import records."""
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as file:
        file.write("".join(json.dumps(record) + "\n" for record in records))
        file.flush()
        asked(command, base, here, ["import", file.name])


def asked(command: list[str], base: Path, here: Path, words: list[str], text: str = "") -> str:
    """Run the command in a folder on a base and return what it prints."""
    env = {**os.environ, "REKALL_DB": str(base)}
    done = subprocess.run(
        [*command, *words], input=text, capture_output=True, text=True, env=env, cwd=here, check=False
    )
    if done.returncode not in (0, 1):
        sys.exit(f"{shlex.join(words)} failed with {done.returncode}: {done.stderr}")
    return done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--command", default="rekall-py")
    parser.add_argument("--work", type=Path, help="keep the bases here and take those that are there")
    options = parser.parse_args()
    paths = sorted([*options.folder.glob("corpus.jsonl"), *options.folder.glob("*/corpus.jsonl")])
    if not paths:
        sys.exit(f"{options.folder} holds no set: a folder with corpus.jsonl, queries.jsonl and qrels.tsv is wanted")
    command = shlex.split(options.command)
    print(f"shipped: at most {MOST}, an obsolete entry {SUNK} less")
    with tempfile.TemporaryDirectory() as temporary:
        work = (options.work or Path(temporary)).resolve()
        work.mkdir(exist_ok=True)
        for folder in (path.parent for path in paths):
            print(f"\n{folder.name}:", flush=True)
            base = work / f"{folder.name}.db"
            make_base(command, folder, base)
            answers, _taken = ask(command, folder, base, ["--explain", "-n", "50"])
            relevant = judgements(folder / "qrels.tsv")
            wanted = [set(relevant[query["_id"]]) for query in read_lines(folder / "queries.jsonl")]
            simulate([hits_of(answer) for answer in answers], wanted)
            twins(command, folder, work)


if __name__ == "__main__":
    main()
