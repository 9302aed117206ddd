"""Score search on judged sets, through the public command line.

    python tests/eval/run.py FOLDER [--command rekall-py] [--arms both,words,meaning,fixed] [--check] [--work DIR]

FOLDER holds sets in the BEIR layout (corpus.jsonl, queries.jsonl, qrels.tsv), or is one. Each set is imported into a base of
its own and every query is asked with `search - --each-line --no-context`. Prints MRR@10, nDCG@10, recall at 1, 5 and 10 and
the milliseconds a query; in brackets, where the mean lies with 95 % confidence (bootstrap over queries). `fixed` are fixed
weights, for comparison: bm25 over the ideal + w * the cosine stretched over the candidates, worked out here from what
--explain says. At the end, how far the shipped order is above the best of them on the mean of the sets. A folder with
outputs.jsonl is scored by outputs.py. --check fails if a set falls short of FLOORS.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import shlex
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# What search must reach on the development sets, both arms together: MRR@10, recall@10.
FLOORS = {"nl2bash": (0.61, 0.785), "til": (0.895, 0.99)}
ARMS = {"both": [], "words": ["--words"], "meaning": ["--semantic"]}
WEIGHTS = (0.5, 1.0, 1.5, 2.0, 3.0)
# Both arms' candidates together, at the most.
CANDIDATES = 200
ROUNDS = 2000


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


@dataclass
class Scores:
    """What one way of ranking reached on the queries of a set, a value a query in each list."""

    mrr: list[float] = field(default_factory=list)
    ndcg: list[float] = field(default_factory=list)
    recall: dict[int, list[float]] = field(default_factory=lambda: {1: [], 5: [], 10: []})

    def add(self, ranked: Sequence[str], relevant: dict[str, int]) -> None:
        """Score one ranking, best first."""
        hits = [place for place, key in enumerate(ranked[:10]) if relevant.get(key, 0) > 0]
        gain = sum((2 ** relevant.get(key, 0) - 1) / math.log2(place + 2) for place, key in enumerate(ranked[:10]))
        best = sorted(relevant.values(), reverse=True)[:10]
        ideal = sum((2**score - 1) / math.log2(place + 2) for place, score in enumerate(best))
        self.mrr.append(1 / (hits[0] + 1) if hits else 0.0)
        self.ndcg.append(gain / ideal if ideal else 0.0)
        for k, found in self.recall.items():
            found.append(sum(place < k for place in hits) / len(relevant))


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def interval(sets: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Return where the mean of the sets' means lies with 95 % confidence: queries are drawn anew within each set."""
    draw = random.Random(1)
    means = sorted(mean([mean(draw.choices(values, k=len(values))) for values in sets]) for _round in range(ROUNDS))
    return means[ROUNDS // 40], means[-ROUNDS // 40]


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


def ask(command: list[str], folder: Path, base: Path, words: list[str]) -> tuple[list[list[dict[str, Any]]], float]:
    """Ask every query of a set; return the hits of each, and the milliseconds a query."""
    queries = read_lines(folder / "queries.jsonl")
    asked = "".join(" ".join(query["text"].split()) + "\n" for query in queries)
    run(command, base, ["search", "warm up"])
    begin = time.perf_counter()
    out = run(command, base, ["search", "-", "--each-line", "--no-context", *words], asked)
    taken = time.perf_counter() - begin
    answers = [json.loads(line)["hits"] for line in out.splitlines()]
    if len(answers) != len(queries):
        sys.exit(f"{len(queries)} queries gave {len(answers)} answers")
    return answers, 1000 * taken / len(queries)


def by_fixed_weight(hits: Sequence[dict[str, Any]], weight: float) -> list[str]:
    """Return the ids of the candidates in the order of a fixed weight; what neither arm put forward is left out."""
    parts = {hit["id"]: hit["explain"] for hit in hits if hit["score"] > 0}
    cosines = [part["cosine"] for part in parts.values() if part["cosine"] is not None]
    low, high = min(cosines, default=0.0), max(cosines, default=1.0)

    def score(part: dict[str, Any]) -> float:
        cosine = low if part["cosine"] is None else part["cosine"]
        return (part["words"] or 0.0) + weight * (cosine - low) / ((high - low) or 1.0)

    return sorted(parts, key=lambda key: (-score(parts[key]), key))


def measure(command: list[str], folder: Path, base: Path, arm: str) -> list[tuple[str, Scores, float]]:
    """Return (name, scores, milliseconds a query) of an arm, or of every fixed weight."""
    queries, relevant = read_lines(folder / "queries.jsonl"), judgements(folder / "qrels.tsv")
    wanted = [relevant[query["_id"]] for query in queries]
    if arm != "fixed":
        answers, taken = ask(command, folder, base, ARMS[arm])
        found = Scores()
        for hits, right in zip(answers, wanted, strict=True):
            found.add([hit["id"] for hit in hits], right)
        return [(arm, found, taken)]
    answers, taken = ask(command, folder, base, ["--explain", "-n", str(CANDIDATES)])
    rows = []
    for weight in WEIGHTS:
        found = Scores()
        for hits, right in zip(answers, wanted, strict=True):
            found.add(by_fixed_weight(hits, weight), right)
        rows.append((f"fixed {weight}", found, taken))
    return rows


def show(name: str, arm: str, found: Scores, taken: float) -> None:
    low, high = interval([found.mrr])
    recalls = " | ".join(f"{mean(values):.3f}" for values in found.recall.values())
    print(
        f"| {name} | {arm} | {len(found.mrr)} | {mean(found.mrr):.3f} ({low:.3f}–{high:.3f}) | {mean(found.ndcg):.3f} "
        f"| {recalls} | {taken:.1f} |",
        flush=True,
    )


def compare(sets: dict[str, dict[str, Scores]]) -> None:
    """Say how far the shipped order is above the one fixed weight that is best on the mean of the sets."""
    fixed = [arm for arm in next(iter(sets.values())) if arm.startswith("fixed")]
    best = max(fixed, key=lambda arm: mean([mean(found[arm].mrr) for found in sets.values()]))
    gains = [
        [ours - theirs for ours, theirs in zip(found["both"].mrr, found[best].mrr, strict=True)]
        for found in sets.values()
    ]
    low, high = interval(gains)
    print(
        f"\nMRR@10 above {best}, mean of the sets: {mean([mean(gain) for gain in gains]):+.4f} ({low:+.4f} to {high:+.4f})"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--command", default="rekall-py")
    parser.add_argument("--arms", default="both,words,meaning,fixed")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--work", type=Path, help="keep the bases here and take those that are there")
    options = parser.parse_args()
    paths = sorted([*options.folder.glob("corpus.jsonl"), *options.folder.glob("*/corpus.jsonl")])
    outputs = sorted([*options.folder.glob("outputs.jsonl"), *options.folder.glob("*/outputs.jsonl")])
    if not paths and not outputs:
        sys.exit(f"{options.folder} holds no set: a folder with corpus.jsonl, queries.jsonl and qrels.tsv is wanted")
    command, short = shlex.split(options.command), []
    sets: dict[str, dict[str, Scores]] = {}
    print("| set | arm | queries | MRR@10 | nDCG@10 | recall@1 | @5 | @10 | ms a query |\n" + "|---" * 9 + "|")
    with tempfile.TemporaryDirectory() as temporary:
        for folder in (path.parent for path in paths):
            base = (options.work or Path(temporary)) / f"{folder.name}.db"
            make_base(command, folder, base)
            sets[folder.name] = {}
            for arm in options.arms.split(","):
                for name, found, taken in measure(command, folder, base, arm):
                    show(folder.name, name, found, taken)
                    sets[folder.name][name] = found
            floor, both = FLOORS.get(folder.name), sets[folder.name].get("both")
            if floor and both and (mean(both.mrr) < floor[0] or mean(both.recall[10]) < floor[1]):
                short.append(f"{folder.name}: wanted {floor}, got {mean(both.mrr):.4f} / {mean(both.recall[10]):.4f}")
    if sets and {"both", "fixed"} <= set(options.arms.split(",")):
        compare(sets)
    for path in outputs:
        print(f"\n{path.parent.name}:", flush=True)
        beside = Path(__file__).with_name("outputs.py")
        subprocess.run([sys.executable, str(beside), str(path.parent), "--command", options.command], check=True)
    for line in short if options.check else ():
        print(line, file=sys.stderr)
    return 1 if options.check and short else 0


if __name__ == "__main__":
    sys.exit(main())
