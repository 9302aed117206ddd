"""Choose the parameters of rekall/ranking.py on judged sets, and tell what each piece of it adds.

    python tests/eval/choose.py FOLDER --work DIR [--ablate]

FOLDER holds sets as run.py takes them, DIR the bases that `run.py FOLDER --work DIR` made. What both arms say to every query
is collected once; then every setting of the grid is judged by MRR@10, the mean of the sets. Judged twice on queries that
had no part in the choice: five folds over the queries, and each set by a choice on the others alone. --ablate takes the pieces away one
at a time instead.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from run import interval, judgements, mean, read_lines

from rekall import embeddings, ranking
from rekall.commands.room import Room
from rekall.config import Base, Config
from rekall.ranking import Cosine, Hit
from rekall.words import Matches

FOLDS = 5
GRID = {"WORDS": (0.3, 0.4, 0.5, 0.6), "MEANING": (0.6, 0.7, 0.8, 0.9), "WHOLE": (0.0, 0.2, 0.4, 0.6)}
Setting = tuple[float, ...]


@dataclass
class Asked:
    """A query, what is right, and what both arms said."""

    key: str
    right: dict[str, int]
    matches: Matches
    cosines: Mapping[str, Cosine]

    @property
    def fold(self) -> int:
        return int(hashlib.sha256(self.key.encode()).hexdigest(), 16) % FOLDS

    def rank(self, hits: Sequence[Hit]) -> tuple[float, float]:
        """Return (reciprocal rank, recall) of an order, cut at 10."""
        places = [place for place, hit in enumerate(hits[:10]) if self.right.get(hit.id)]
        return 1 / (places[0] + 1) if places else 0.0, len(places) / len(self.right)


def collect(folder: Path, base: Path) -> list[Asked]:
    """Return what both arms say to each query of a set, as the search itself hears it."""
    right, heard = judgements(folder / "qrels.tsv"), []
    fuse = embeddings.fuse

    def listen(matches: Matches, cosines: Mapping[str, Cosine], k: int | None = None) -> list[Hit]:
        heard.append((matches, cosines))
        return fuse(matches, cosines, k)

    embeddings.fuse = listen
    try:
        with Room(Base(base, "option"), Config(Path("none"), {})) as room:
            found = []
            for query in read_lines(folder / "queries.jsonl"):
                room.service.hybrid_search(" ".join(query["text"].split()))
                found.append(Asked(query["_id"], right[query["_id"]], *heard.pop()))
            return found
    finally:
        embeddings.fuse = fuse


@contextmanager
def parameters(setting: Mapping[str, float]) -> Iterator[None]:
    """Rank with these parameters for the block."""
    shipped = {name: getattr(ranking, name) for name in setting}
    try:
        for name, value in setting.items():
            setattr(ranking, name, value)
        yield
    finally:
        for name, value in shipped.items():
            setattr(ranking, name, value)


def ranks(asked: Sequence[Asked], order: Callable[..., list[Hit]] = ranking.fuse) -> list[tuple[float, float]]:
    return [query.rank(order(query.matches, query.cosines, 10)) for query in asked]


def choose(
    table: Mapping[Setting, Mapping[str, list[tuple[float, float]]]], chosen: Mapping[str, list[int]]
) -> Setting:
    """Return the setting with the best mean over the sets of the mean over these queries of each."""
    return max(
        table, key=lambda setting: mean([mean([table[setting][name][i][0] for i in chosen[name]]) for name in chosen])
    )


def judged(name: str, results: Sequence[tuple[float, float]], note: str = "") -> None:
    low, high = interval([[rank for rank, _recall in results]])
    print(
        f"  {name:<10} MRR@10 {mean([r for r, _ in results]):.4f} ({low:.3f}–{high:.3f})"
        f"  recall@10 {mean([c for _, c in results]):.4f}  {note}",
        flush=True,
    )


def run_grid(sets: Mapping[str, list[Asked]]) -> None:
    table = {}
    for setting in itertools.product(*GRID.values()):
        with parameters(dict(zip(GRID, setting, strict=True))):
            table[setting] = {name: ranks(asked) for name, asked in sets.items()}
    everything = {name: list(range(len(asked))) for name, asked in sets.items()}
    best = choose(table, everything)
    print(f"on all queries: {dict(zip(GRID, best, strict=True))}")
    for name in sets:
        judged(name, table[best][name])
    print(f"{FOLDS} folds, each judged by a choice on the others:")
    held: dict[str, list[tuple[float, float]]] = {name: [] for name in sets}
    settings = []
    for fold in range(FOLDS):
        inside = {name: [i for i, query in enumerate(asked) if query.fold != fold] for name, asked in sets.items()}
        settings.append(setting := choose(table, inside))
        for name, asked in sets.items():
            held[name] += [table[setting][name][i] for i, query in enumerate(asked) if query.fold == fold]
    for name in sets:
        judged(name, held[name])
    print(f"  chosen: {settings}\neach set judged by a choice on the others alone:")
    for name in sets:
        setting = choose(table, {other: everything[other] for other in sets if other != name})
        judged(name, table[setting][name], str(setting))


def added(matches: Matches, cosines: Mapping[str, Cosine], k: int | None = None) -> list[Hit]:
    """The sum in place of the doubts: what one witness shows is not worth less when the other shows it too."""
    hits = ranking.fuse(matches, cosines)
    score = {hit.id: ranking.WORDS * (hit.words or 0.0) + ranking.MEANING * (hit.meaning or 0.0) for hit in hits}
    return sorted(hits, key=lambda hit: (-round(score[hit.id], 6), hit.id))[:k]


def stretched(matches: Matches, cosines: Mapping[str, Cosine], k: int | None = None) -> list[Hit]:
    """The cosines stretched over the candidates, as the first fusion had them."""
    low = min((near.meaning for near in cosines.values()), default=0.0)
    spread = (max((near.meaning for near in cosines.values()), default=1.0) - low) or 1.0
    moved = {key: (near.meaning - low) / spread for key, near in cosines.items()}
    return ranking.fuse(matches, {key: Cosine(value, value) for key, value in moved.items()}, k)


def by_the_best_hit(matches: Matches, cosines: Mapping[str, Cosine], k: int | None = None) -> list[Hit]:
    """bm25 over the best hit's in place of the ideal."""
    return ranking.fuse(Matches(matches.found, 0.0), cosines, k)


def ablate(sets: Mapping[str, list[Asked]]) -> None:
    """Print each set with one piece taken away, and how far below the shipped order that is."""
    shipped = {name: ranks(asked) for name, asked in sets.items()}
    pieces: dict[str, tuple[dict[str, float], Callable[..., list[Hit]]]] = {
        "as shipped": ({}, ranking.fuse),
        "best passage alone": ({"WHOLE": 0.0}, ranking.fuse),
        "whole weighs the same however much it holds": ({"SEVERAL": 10_000}, ranking.fuse),
        "sum, not doubts": ({}, added),
        "cosines stretched": ({}, stretched),
        "bm25 over the best hit": ({}, by_the_best_hit),
        "words alone": ({"MEANING": 0.0}, ranking.fuse),
        "meaning alone": ({"WORDS": 0.0}, ranking.fuse),
    }
    for piece, (setting, order) in pieces.items():
        print(f"{piece}:")
        for name, asked in sets.items():
            with parameters(setting):
                found = ranks(asked, order)
            gains = [mine[0] - theirs[0] for mine, theirs in zip(shipped[name], found, strict=True)]
            low, high = interval([gains])
            judged(name, found, f"shipped is {mean(gains):+.4f} ({low:+.4f} to {high:+.4f})")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--ablate", action="store_true")
    options = parser.parse_args()
    sets: dict[str, Any] = {}
    for path in sorted([*options.folder.glob("corpus.jsonl"), *options.folder.glob("*/corpus.jsonl")]):
        base = options.work / f"{path.parent.name}.db"
        if base.exists():
            sets[path.parent.name] = collect(path.parent, base)
    if not sets:
        sys.exit(f"no bases in {options.work}; make them with: python tests/eval/run.py {options.folder} --work DIR")
    (ablate if options.ablate else run_grid)(sets)
    return 0


if __name__ == "__main__":
    sys.exit(main())
