"""What a user does to a base, step by step, and what must be in it after each step: the model of the crash tests.

A Story knows the titles that were acknowledged. A step may be cut short; then the base holds what was there before
it or what was to be there after it, and nothing else, and everything in it is in step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from rekall.db import Database
from rekall.entry import Entry
from rekall.verify import verify

Titles = frozenset[str]

KINDS = ("add",) * 5 + (
    "edit",
    "edit",
    "delete",
    "undo",
    "undo",
    "import",
    "merge",
    "bulk",
    "rebuild",
    "repair",
    "backup",
    "restore",
)


@dataclass(frozen=True)
class Step:
    """A command, and what the base holds once it is acknowledged. `before`: each deed's way back, the last one last."""

    kind: str
    words: tuple[str, ...]
    titles: Titles
    before: tuple[Titles, ...]


@dataclass
class Story:
    """One base and what it must hold."""

    base: Path
    work: Path
    random: Random
    titles: Titles = frozenset()
    before: tuple[Titles, ...] = ()
    backups: dict[Path, tuple[Titles, tuple[Titles, ...]]] = field(default_factory=dict)
    count: int = 0

    def plan(self, kinds: tuple[str, ...] = KINDS) -> Step:
        """Return the next step."""
        while True:
            kind = self.random.choice(kinds)
            step = getattr(self, f"_{kind}")()
            if step:
                return step  # type: ignore[no-any-return]  # each of them returns a Step

    def _name(self) -> str:
        self.count += 1
        return f"entry number {self.count} été"

    def _changed(self, kind: str, words: tuple[str, ...], titles: Titles) -> Step:
        return Step(kind, words, titles, (*self.before, self.titles))

    def _add(self) -> Step:
        title = self._name()
        words = ("add", "bug", title, "-t", "a,b", "--error", f"ValueError: no number {self.count}", "-c", "word " * 40)
        return self._changed("add", words, self.titles | {title})

    def _edit(self) -> Step | None:
        return self._of_one("edit", lambda key, title: (("edit", key, "--title", title), {title}))

    def _delete(self) -> Step | None:
        return self._of_one("delete", lambda key, _title: (("delete", key), set()))

    def _of_one(self, kind: str, make: Callable[[str, str], tuple[tuple[str, ...], set[str]]]) -> Step | None:
        if not self.titles:
            return None
        with Database(self.base) as database:
            entry = self.random.choice(database.entries())
        words, new = make(entry.id, self._name())
        return self._changed(kind, words, self.titles - {entry.title} | new)

    def _undo(self) -> Step | None:
        return Step("undo", ("undo",), self.before[-1], self.before[:-1]) if self.before else None

    def _import(self, notes: int = 3) -> Step:
        folder = self.work / f"notes-{self.count}"
        folder.mkdir(exist_ok=True)
        titles = [self._name() for _note in range(notes)]
        for title in titles:
            (folder / f"{title}.md").write_text(f"# {title}\n\nwhat it says\n", encoding="utf-8")
        return self._changed("import", ("import", str(folder), "--no-wait"), self.titles | set(titles))

    def _bulk(self) -> Step:
        return self._import(25)

    def _merge(self) -> Step:
        other, title = self.work / f"other-{self.count}.db", self._name()
        with Database(other) as database:
            database.add(Entry(id=f"other-{self.count}", type="til", title=title, created_at="2026", updated_at="2026"))
        return self._changed("merge", ("merge", str(other), "--no-wait"), self.titles | {title})

    def _rebuild(self) -> Step:
        return Step("rebuild", ("index", "rebuild"), self.titles, self.before)

    def _repair(self) -> Step:
        return Step("repair", ("index", "verify", "--repair"), self.titles, self.before)

    def _backup(self) -> Step | None:
        if not self.titles:
            return None
        self.count += 1
        return Step("backup", ("backup", "-o", str(self.work / f"{self.count}.copy")), self.titles, self.before)

    def _restore(self) -> Step | None:
        there = [path for path in self.backups if path.exists()]
        if not there:
            return None
        path = self.random.choice(there)
        return Step("restore", ("restore", str(path)), *self.backups[path])

    def settle(self, step: Step, is_acknowledged: bool) -> None:
        """Look at the base after a step: it must hold what the step was to leave, or what was there before."""
        found = held(self.base)
        if is_acknowledged:
            assert found == step.titles, (step, found ^ step.titles)
        else:
            assert found in (self.titles, step.titles), (step, found ^ self.titles, found ^ step.titles)
        if step.kind == "backup":
            copy = Path(step.words[-1])
            assert copy.exists() or not is_acknowledged, step
            if copy.exists():
                assert held(copy) == step.titles, step
                self.backups[copy] = (step.titles, step.before)
        if found == step.titles and found != self.titles:
            self.titles, self.before = step.titles, step.before
        elif is_acknowledged:
            self.before = step.before


def held(base: Path) -> Titles:
    """Return the titles of a base in which everything is in step."""
    if not base.exists():
        return frozenset()
    with Database(base) as database:
        assert verify(database) == []
        return frozenset(entry.title for entry in database.entries())
