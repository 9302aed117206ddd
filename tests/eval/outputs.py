"""Score what is piped in, on a set of stored errors and failing outputs, through the public command line.

    python tests/eval/outputs.py FOLDER [--command rekall-py] [--others NOTES.jsonl] [--choose]

FOLDER holds entries.jsonl (_id title situation error solution tags) and outputs.jsonl (_id text expect source). Each output is
piped into `search - --as output --json --no-context`. Prints recall at 1 and 5 of the outputs that have an entry, by source and
as the mean over sources, and the share of the others that were answered all the same. --others imports more notes, which
answer nothing. --choose looks for the thresholds of rekall/evidence.py instead, by nested cross-validation: five folds by
entry, and for each the thresholds that do best on the other four, judged on the one that had no say in them.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from run import read_lines, run

FOLDS = 5
# On the folds that thresholds are chosen on, at most this share may be answered without cause.
FALSE_ANSWERS = 0.01
# Thresholds that find this much less are as good, and stricter: what they lose is an output or two.
AS_GOOD = 0.005
NEAR = [round(0.30 + 0.02 * step, 2) for step in range(21)]
SUPPORTED = [round(1.2 + 0.05 * step, 2) for step in range(31)]


@dataclass
class Result:
    """What came of one output: the entries that answered, best first, with their score and arm."""

    output: dict[str, Any]
    hits: list[tuple[str, float, str]]

    @property
    def source(self) -> str:
        return str(self.output["source"]).split(":")[0]

    @property
    def fold(self) -> int:
        key = self.output["expect"] or self.output["_id"]
        return int(hashlib.sha256(key.encode()).hexdigest(), 16) % FOLDS


def make_base(command: list[str], folder: Path, base: Path, others: Path | None) -> None:
    """Import the entries, and what else there is."""
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as file:
        for entry in read_lines(folder / "entries.jsonl"):
            record = {name: entry[name] for name in ("title", "situation", "solution", "tags")}
            errors = {"errors": [entry["error"]]} if entry["error"] else {}
            file.write(json.dumps({"id": entry["_id"], "type": "bug", **record, **errors}) + "\n")
        for note in read_lines(others) if others else ():
            text = note.get("content") or note.get("text") or ""
            file.write(
                json.dumps({"id": f"other-{note['_id']}", "title": note["title"] or "-", "content": text}) + "\n"
            )
        file.flush()
        run(command, base, ["import", file.name])


def asked(command: list[str], base: Path, output: dict[str, Any]) -> Result:
    """Pipe one output into the command."""
    words = [*command, "search", "-", "--as", "output", "--json", "--explain", "--no-context"]
    env = {**os.environ, "REKALL_DB": str(base)}
    done = subprocess.run(words, input=output["text"].encode(), capture_output=True, env=env, check=False)
    if done.returncode not in (0, 1):
        sys.exit(f"failed with {done.returncode}: {done.stderr.decode()}")
    hits = json.loads(done.stdout)["hits"]
    return Result(output, [(hit["id"], hit["score"], hit["explain"]["arm"]) for hit in hits])


def collected(base: Path, outputs: Sequence[dict[str, Any]]) -> list[Result]:
    """Return what answers each output however weak the evidence is."""
    from rekall.commands.answering import answers_to
    from rekall.commands.room import Room
    from rekall.config import Base, Config
    from rekall.evidence import Thresholds, question
    from rekall.printed import plain_lines

    weakest = Thresholds(near=NEAR[0], supported=SUPPORTED[0], words_alone=0.3)
    results = []
    with Room(Base(base, "option"), Config(Path("none"), {})) as room:
        for output in outputs:
            about = question(plain_lines(output["text"].encode()))
            hits = answers_to(room, about, enough=weakest)
            results.append(Result(output, [(hit.id, hit.score, str(hit.arm)) for hit in hits]))
    return results


def limited(result: Result, near: float, supported: float) -> Result:
    """Return what would have answered above these thresholds."""
    least = {"exact": near, "near": near}
    return Result(result.output, [hit for hit in result.hits if hit[1] >= least.get(hit[2], supported)])


def scores(results: Sequence[Result]) -> dict[str, float]:
    """Return recall at 1 and 5 as means over the sources, and the share of false answers."""
    found: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
    false = [bool(result.hits) for result in results if result.output["expect"] is None]
    for result in results:
        if result.output["expect"] is not None:
            keys = [key for key, _score, _arm in result.hits]
            found[result.source].append((keys[:1] == [result.output["expect"]], result.output["expect"] in keys[:5]))
    rank1, rank5 = (
        sum(sum(pair[place] for pair in pairs) / len(pairs) for pairs in found.values()) / max(1, len(found))
        for place in (0, 1)
    )
    by_source = {f"recall@1 {source}": sum(p[0] for p in pairs) / len(pairs) for source, pairs in sorted(found.items())}
    return {"recall@1": rank1, "recall@5": rank5, "false": sum(false) / max(1, len(false)), **by_source}


def choose(results: Sequence[Result]) -> tuple[float, float]:
    """Return the strictest thresholds of those that find as good as most while few answers are false."""
    found = []
    for near, supported in itertools.product(NEAR, SUPPORTED):
        got = scores([limited(result, near, supported) for result in results])
        if got["false"] <= FALSE_ANSWERS:
            found.append((got["recall@1"], near, supported))
    most = max(found, default=(0.0, NEAR[-1], SUPPORTED[-1]))[0]
    return max(((near, supported) for recall, near, supported in found if recall >= most - AS_GOOD), key=sum)


def show(name: str, got: dict[str, float]) -> None:
    print(f"{name:<34} " + "  ".join(f"{what} {value:.3f}" for what, value in got.items()), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--command", default="rekall-py")
    parser.add_argument("--others", type=Path)
    parser.add_argument("--choose", action="store_true")
    options = parser.parse_args()
    outputs = read_lines(options.folder / "outputs.jsonl")
    with tempfile.TemporaryDirectory() as work:
        base = Path(work, "errors.db")
        make_base([options.command], options.folder, base, options.others)
        if not options.choose:
            show("as shipped", scores([asked([options.command], base, output) for output in outputs]))
            return
        results = collected(base, outputs)
    held: list[Result] = []
    for fold in range(FOLDS):
        near, supported = choose([result for result in results if result.fold != fold])
        part = [limited(result, near, supported) for result in results if result.fold == fold]
        show(f"fold {fold}: near {near} supported {supported}", scores(part))
        held += part
    show("all folds, each held out", scores(held))
    near, supported = choose(results)
    show(f"on all: near {near} supported {supported}", scores([limited(result, near, supported) for result in results]))


if __name__ == "__main__":
    main()
