"""Bases to measure on: real notes, or as many entries as wanted with their words and synthetic vectors.

With a folder of notes, entries are its notes, and beyond their number pieces of several notes put together. Up
to REAL entries are embedded by the model; larger bases get seeded synthetic vectors (clustered unit rows), because
embedding 100,000 entries takes an hour and a search does not care; whoever prints a figure says so.
"""

from __future__ import annotations

import random
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from rekall.base_parts import Pending
from rekall.config import DEFAULT_MODEL
from rekall.db import Database
from rekall.engine import RECIPE
from rekall.entry import Entry, new_id

REAL = 1000
DIMENSIONS = 384
_FRONT = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)


def notes_of(folder: Path) -> list[tuple[str, str]]:
    """Return (title, text) of every note of a folder."""
    notes = []
    for path in sorted(folder.glob("**/*.md")):
        text = _FRONT.sub("", path.read_text(encoding="utf-8", errors="replace")).strip()
        title, _newline, body = text.partition("\n")
        notes.append((title.lstrip("# ").strip() or path.stem, body.strip()))
    return notes


def entries(count: int, notes: list[tuple[str, str]], seed: int = 1) -> list[Entry]:
    """Return `count` entries made of the notes: themselves, then a title of one over paragraphs of others."""
    chance = random.Random(seed)
    begin = datetime(2026, 1, 2, tzinfo=UTC)
    paragraphs = [part for _title, body in notes for part in body.split("\n\n") if len(part) > 40]
    found = []
    for number in range(count):
        title, body = notes[number % len(notes)]
        if number >= len(notes):
            body = "\n\n".join(chance.sample(paragraphs, 3))
            title = f"{title} {number // len(notes) + 1}"
        stamp = (begin + timedelta(minutes=number)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        found.append(Entry(id=new_id(1_700_000_000_000 + number), type="til", title=title, content=body,
                           created_at=stamp, updated_at=stamp))  # fmt: skip
    return found


def synthetic(count: int, seed: int = 1) -> np.ndarray:
    """Return unit rows (count, d) around count / 50 centres."""
    chance = np.random.default_rng(seed)
    centres = chance.normal(size=(max(1, count // 50), DIMENSIONS)).astype(np.float32)
    rows = centres[chance.integers(0, len(centres), count)]
    rows += 0.6 * chance.normal(size=(count, DIMENSIONS)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def build(path: Path, count: int, notes: list[tuple[str, str]]) -> bool:
    """Make a base of `count` entries at `path`; tell whether its vectors are synthetic."""
    made = entries(count, notes)
    is_synthetic = count > REAL
    with Database(path) as database:
        for start in range(0, count, 5000):
            some = made[start : start + 5000]
            database.add_many(some)
            if is_synthetic:
                rows = synthetic(len(some), seed=start)
                batch = [(Pending(entry, False), row[None]) for entry, row in zip(some, rows, strict=True)]
                database.store_vectors(batch, DEFAULT_MODEL, RECIPE)
        if is_synthetic:
            database.read_errors()
            database.vec.ensure_vec(DEFAULT_MODEL)
        else:
            _embed(database)
    return is_synthetic


def vectors_for(path: Path, model: str) -> None:
    """Let another model of the same length have the vectors that are there, so that nothing waits to be embedded."""
    with Database(path) as database, database.transaction():
        database.connection.execute(
            "INSERT OR IGNORE INTO embeddings(entry_rowid, part, model, recipe, vector) "
            "SELECT entry_rowid, part, ?, recipe, vector FROM embeddings WHERE model = ?",
            (model, DEFAULT_MODEL),
        )
        database.connection.execute("UPDATE state SET value = value + 1 WHERE key = 'revision'")


def _embed(database: Database) -> None:
    from rekall.cache import EmbeddingCache
    from rekall.embeddings import EmbeddingService
    from rekall.model_manager import ModelManager

    with ModelManager() as models:
        EmbeddingService(database, models, EmbeddingCache()).embed_pending()


def queries(count: int, notes: list[tuple[str, str]], seed: int = 2) -> list[str]:
    """Return `count` different queries: two to five words out of the notes' titles and texts."""
    chance = random.Random(seed)
    found: dict[str, None] = {}
    while len(found) < count:
        title, body = chance.choice(notes)
        words = re.findall(r"[A-Za-z][\w-]+", f"{title} {body[:200]}")
        if len(words) >= 2:
            found.setdefault(" ".join(chance.sample(words, min(len(words), chance.randint(2, 5)))), None)
    return list(found)
