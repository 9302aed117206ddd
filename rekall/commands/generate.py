"""`rekall bench generate`: a base of made-up entries, to try rekall out and to measure it.

Entries are the same for the same seed, so a second run adds what is missing. They say where they come from, one `undo`
takes them back, and they never go among entries that somebody wrote unless that is asked for.
"""

from __future__ import annotations

import argparse

from rekall.commands.move import embed_all, progress
from rekall.commands.room import Room
from rekall.config import DEFAULT_MODEL
from rekall.db import Database
from rekall.errors import UsageError
from rekall.language import _, plural
from rekall.protocol import Request, Response
from rekall.render import plain
from rekall.sample_entries import SOURCE, Sample, sample, synthetic_vectors

COUNT, SEED = 1000, 1
# Entries of one transaction: a second's work.
_BATCH = 2000
# From so many on, embedding takes minutes; that is said beforehand.
_MANY = 10_000

_OF_RUN = ("entries",)
_OF_GENERATE = ("count", "seed", "synthetic_vectors", "force")


def refuse_foreign_options(options: argparse.Namespace) -> None:
    """Raise UsageError for an option of the other action."""
    foreign = _OF_RUN if options.action == "generate" else _OF_GENERATE
    for name in foreign:
        if getattr(options, name):
            raise UsageError(
                _("--{option} does not belong to bench {action}; see: rekall help bench").format(
                    option=name.replace("_", "-"), action=options.action
                )
            )


def generate(room: Room, request: Request, response: Response) -> None:
    """Fill a base with made-up entries and give each its vectors: the model's, or synthetic ones."""
    options, model = request.options, room.config.text("embeddings.model")
    count, seed = options.count or COUNT, SEED if options.seed is None else options.seed
    if options.synthetic_vectors and model != DEFAULT_MODEL:
        raise UsageError(
            _("--synthetic-vectors take the place of {default}'s; the settings name {model}").format(
                default=DEFAULT_MODEL, model=model
            )
        )
    there = set(room.reading().ids())
    _refuse_among_others(room, bool(options.force))
    _warn(response, count, bool(options.synthetic_vectors))
    database = room.writing()
    added = _store(room, request, there, count, seed)
    if options.synthetic_vectors:
        database.read_errors()
        database.vec.ensure_vec(model)
    else:
        embed_all(room, request, response)
    waiting = database.count_pending(model)
    facts = {
        "count": count,
        "added": added,
        "seed": seed,
        "vectors": "synthetic" if options.synthetic_vectors else model,
        "pending": waiting,
        "base": str(room.base.path),
    }
    if options.json:
        response.json(facts)
        return
    made = _("{count} made-up entries (seed {seed}), {added} of them new, {vectors}: {base}")
    vectors = _("synthetic vectors (seed {seed})") if options.synthetic_vectors else _("embedded by {model}")
    vectors = _("not embedded yet") if waiting else vectors.format(seed=seed, model=model)
    response.data(plain(made.format_map({**facts, "vectors": vectors})))


def _refuse_among_others(room: Room, is_forced: bool) -> None:
    """Raise UsageError if the base holds entries that somebody wrote. Cost: reads all entries, 15 µs each."""
    count = 0 if is_forced else sum(not (entry.source or "").startswith(SOURCE) for entry in room.reading().each())
    if count:
        raise UsageError(
            plural(
                "base {path} holds {count} entry of yours; name a new base with --db, "
                "or have made-up entries beside it with --force",
                "base {path} holds {count} entries of yours; name a new base with --db, "
                "or have made-up entries among them with --force",
                count,
            ).format(path=room.base.path, count=count)
        )


def _warn(response: Response, count: int, is_synthetic: bool) -> None:
    response.note(_("made-up entries: rekall undo takes them back, all at once"))
    if is_synthetic:
        response.note(_("synthetic vectors mean nothing: by meaning, anything is found; times and memory are real"))
    elif count >= _MANY:
        response.note(_("embedding so many takes minutes; to measure times alone: --synthetic-vectors"))


def _store(room: Room, request: Request, there: set[str], count: int, seed: int) -> int:
    """Store what is not there yet, as one thing to undo; return how many."""
    database, added = room.writing(), 0
    with progress(request, _("storing"), count) as step, database.deed():
        for start in range(0, count, _BATCH):
            room.check_wanted()
            numbers = range(start, min(count, start + _BATCH))
            new = {number: made for number in numbers if (made := sample(seed, number)).entry.id not in there}
            if new:
                _store_batch(database, seed, new, bool(request.options.synthetic_vectors))
            added += len(new)
            step(len(numbers))
    return added


def _store_batch(database: Database, seed: int, new: dict[int, Sample], is_synthetic: bool) -> None:
    """Store entries with their vectors: whoever embeds what waits sees both or none."""
    from rekall.base_parts import Pending
    from rekall.engine import RECIPE

    with database.transaction():
        database.add_many([made.entry for made in new.values()])
        if is_synthetic:
            rows = synthetic_vectors(seed, [(number, made.fact) for number, made in new.items()])
            waiting = [Pending(made.entry, partly=False) for made in new.values()]
            database.store_vectors(
                [(one, row[None]) for one, row in zip(waiting, rows, strict=True)], DEFAULT_MODEL, RECIPE
            )
