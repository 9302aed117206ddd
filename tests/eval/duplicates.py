"""Where to tell that two entries say the same: how often real notes would be told of, and how often a copy is found.

    rekall --db BASE import FOLDER; python tests/eval/duplicates.py BASE [--sample N]

FOLDER holds notes that one person kept apart on purpose, so a pair among them is a false notice, or nearly. Copies are made of
N of them: the words of the title in another order, a fifth of the content's words left out, the first half alone.
Prints, for each threshold, the share of notes with a neighbour at or above it, and of each kind of copy that is found.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import numpy as np

from rekall.config import DEFAULT_MODEL
from rekall.db import Database
from rekall.duplicates import mean_rows
from rekall.engine import load_engine

THRESHOLDS = (0.80, 0.85, 0.88, 0.90, 0.92, 0.95)


def shuffled(title: str, content: str, chance: random.Random) -> tuple[str, str]:
    """Say the title in another order."""
    words = title.split()
    chance.shuffle(words)
    return " ".join(words), content


def thinned(title: str, content: str, chance: random.Random) -> tuple[str, str]:
    """Leave out a fifth of the words."""
    return title, " ".join(word for word in content.split(" ") if chance.random() >= 0.2)


def halved(title: str, content: str, _chance: random.Random) -> tuple[str, str]:
    """Keep the first half."""
    return title, content[: len(content) // 2]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", type=Path)
    parser.add_argument("--sample", type=int, default=200, metavar="N")
    options = parser.parse_args()
    engine, chance = load_engine(DEFAULT_MODEL), random.Random(7)
    with Database(options.base) as database:
        ids, rows = database.get_all_vectors_batch(DEFAULT_MODEL)
        keys, starts = np.unique(ids, return_index=True)
        starts.sort()
        keys = [ids[start] for start in starts]
        entries = {entry.id: entry for entry in database.get_many(keys)}
    notes = [entries[key] for key in keys]
    means = mean_rows(rows, starts.tolist())
    near = means @ means.T
    np.fill_diagonal(near, -1)
    chosen = chance.sample(range(len(notes)), min(options.sample, len(notes)))
    copies = {}
    for make in (shuffled, thinned, halved):
        texts = [make(notes[n].title, notes[n].body(), chance) for n in chosen]
        made = np.stack([mean_rows(engine.encode_document(*text), [0])[0] for text in texts])
        copies[make.__name__] = np.einsum("ij,ij->i", made, means[chosen])
    print("threshold  notes told of  pairs  " + "  ".join(copies))
    for least in THRESHOLDS:
        told, pairs = (near.max(axis=1) >= least).mean(), int((near >= least).sum() // 2)
        found = "  ".join(f"{(scores >= least).mean():{len(name)}.3f}" for name, scores in copies.items())
        print(f"{least:9.2f}  {told:13.4f}  {pairs:5}  {found}")


if __name__ == "__main__":
    main()
