"""Score search on judged sets, through the public command line.

    python tests/eval/run.py FOLDER [--command rekall-py] [--arms both,words,meaning] [--check] [--work DIR]

FOLDER holds sets in the BEIR layout (corpus.jsonl, queries.jsonl, qrels.tsv), or is one. Each set is
imported into a base of its own and every query is asked with `search - --each-line --no-context`.
Prints MRR@10, nDCG@10 and recall@10 in per cent of 1, with the time per query; --check fails if a
set falls short of FLOORS.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

# What the shipped fusion must reach on the development sets: MRR@10, recall@10.
FLOORS = {"nl2bash": (0.575, 0.765), "til": (0.90, 0.985)}
ARMS = {"both": [], "words": ["--words"], "meaning": ["--semantic"]}


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a JSONL file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def judgements(path: Path) -> dict[str, dict[str, int]]:
    """Return relevance by query and document of a qrels.tsv."""
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for line in path.read_text(encoding="utf-8").splitlines()[1:]:
        query, document, score = line.split("\t")
        found[query][document] = int(score)
    return found


def scores(ranked: list[str], relevant: dict[str, int]) -> tuple[float, float, float]:
    """Return (reciprocal rank, nDCG, recall) of one ranking, each cut at 10."""
    hits = [place for place, key in enumerate(ranked[:10]) if relevant.get(key, 0) > 0]
    gain = sum((2 ** relevant.get(key, 0) - 1) / math.log2(place + 2) for place, key in enumerate(ranked[:10]))
    ideal = sum(
        (2**score - 1) / math.log2(place + 2)
        for place, score in enumerate(sorted(relevant.values(), reverse=True)[:10])
    )
    return 1 / (hits[0] + 1) if hits else 0.0, gain / ideal if ideal else 0.0, len(hits) / len(relevant)


def run(command: list[str], base: Path, words: list[str], text: str = "") -> str:
    """Run the command on a base and return what it prints. Status 1 is an answer; 2 is not."""
    env = {**os.environ, "REKALL_DB": str(base)}
    done = subprocess.run([*command, *words], input=text, capture_output=True, text=True, env=env, check=False)
    if done.returncode not in (0, 1):
        sys.exit(f"{shlex.join(words)} failed with {done.returncode}: {done.stderr}")
    return done.stdout


def make_base(command: list[str], folder: Path, base: Path) -> None:
    """Import a corpus; a base that is there already is taken as it is."""
    if base.exists():
        return
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as file:
        for document in read_lines(folder / "corpus.jsonl"):
            record = {"id": document["_id"], "title": document["title"], "content": document["text"], "type": "til"}
            file.write(json.dumps(record) + "\n")
        file.flush()
        run(command, base, ["import", file.name])


def measure(command: list[str], folder: Path, base: Path, arm: str) -> dict[str, float]:
    """Ask every query of a set; return the mean scores and the milliseconds a query."""
    queries, relevant = read_lines(folder / "queries.jsonl"), judgements(folder / "qrels.tsv")
    asked = "".join(" ".join(query["text"].split()) + "\n" for query in queries)
    started = time.perf_counter()
    answers = run(
        command, base, ["search", "-", "--each-line", "--no-context", "-n", "10", *ARMS[arm]], asked
    ).splitlines()
    taken = time.perf_counter() - started
    if len(answers) != len(queries):
        sys.exit(f"{len(queries)} queries gave {len(answers)} answers")
    ranked = [[hit["id"] for hit in json.loads(answer)["hits"]] for answer in answers]
    rows = [scores(keys, relevant[query["_id"]]) for keys, query in zip(ranked, queries, strict=True)]
    mrr, ndcg, recall = (sum(column) / len(rows) for column in zip(*rows, strict=True))
    return {"queries": len(rows), "mrr": mrr, "ndcg": ndcg, "recall": recall, "ms": 1000 * taken / len(rows)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--command", default="rekall-py")
    parser.add_argument("--arms", default="both,words,meaning")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--work", type=Path, help="keep the bases here and take those that are there")
    options = parser.parse_args()
    found = [
        path.parent for path in sorted([*options.folder.glob("corpus.jsonl"), *options.folder.glob("*/corpus.jsonl")])
    ]
    if not found:
        sys.exit(f"{options.folder} holds no set: a folder with corpus.jsonl, queries.jsonl and qrels.tsv is wanted")
    command, short = shlex.split(options.command), []
    print("| set | arm | queries | MRR@10 | nDCG@10 | recall@10 | ms a query |\n|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as temporary:
        for folder in found:
            base = (options.work or Path(temporary)) / f"{folder.name}.db"
            make_base(command, folder, base)
            for arm in options.arms.split(","):
                row = measure(command, folder, base, arm)
                print(
                    "| {} | {} | {queries} | {mrr:.3f} | {ndcg:.3f} | {recall:.3f} | {ms:.1f} |".format(
                        folder.name, arm, **row
                    ),
                    flush=True,
                )
                floor = FLOORS.get(folder.name)
                if arm == "both" and floor and (row["mrr"] < floor[0] or row["recall"] < floor[1]):
                    short.append(f"{folder.name}: wanted {floor}, got {row['mrr']:.4f} / {row['recall']:.4f}")
    for line in short if options.check else ():
        print(line, file=sys.stderr)
    return 1 if options.check and short else 0


if __name__ == "__main__":
    sys.exit(main())
