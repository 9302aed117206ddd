"""Merging is a union: it does not matter who merges whom, how often, or in which order; and nothing is lost by it.

Machines share a base, change it, merge each other now and then; then the rules are asked of what they have become.
What is compared is the whole export, the marks of earlier versions and the deletions with it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from warm import rounds

from rekall.db import Database
from rekall.entry import Entry, Link
from rekall.errors import NothingToUndo, UndoRefused
from rekall.exports import export_jsonl
from rekall.merging import Plan, merge, plan_merge
from rekall.sources import read_jsonl
from rekall.states import State, state_of, state_of_records
from rekall.verify import verify

KEYS = "abc"

pytestmark = [pytest.mark.torture, pytest.mark.timeout(7200)]
many = settings(max_examples=rounds(60, 200, 5000))


class World:
    """Three machines and a clock that all of them go by."""

    def __init__(self, stack: ExitStack) -> None:
        self.stack = stack
        self.time = 0
        self.machines = [self.new() for _machine in range(3)]

    def new(self) -> Database:
        return self.stack.enter_context(Database(None))

    def copy(self, database: Database) -> Database:
        """Return a base of the same bytes, as cp would make it."""
        made = self.new()
        database._connection.backup(made._connection)
        return made

    def now(self) -> str:
        self.time += 1
        return f"2026-01-01T00:00:00.{self.time:03}Z"

    def do(self, machine: int, what: str, key: str, other: str) -> None:
        """Do what somebody may do there, if it can be done."""
        database = self.machines[machine]
        there = {entry.id: entry for entry in database.each()}
        if what == "merge":
            merge_into(database, self.machines[KEYS.index(key)])
        elif what == "undo":
            with suppress(NothingToUndo, UndoRefused):
                database.undo()
        elif what == "settle":  # whatever copies there are
            for copy in sorted(there.keys() - set(KEYS)):
                database.delete(copy)
        elif what == "edit copy":
            for copy in sorted(there.keys() - set(KEYS)):
                database.update(replace(there[copy], content=f"settled {self.now()}", updated_at=self.now()))
        elif key not in there:
            if what == "add":
                stamp = self.now()
                database.add(Entry(id=key, type="til", title=f"{key} {stamp}", created_at=stamp, updated_at=stamp))
        elif what == "edit":
            stamp = self.now()
            database.update(replace(there[key], content=f"written {stamp}", updated_at=stamp))
        elif what == "same":  # as somebody else wrote it
            database.update(replace(there[key], content="the same", updated_at=self.now()))
        elif what == "delete":
            database.delete(key)
        elif what == "link" and other in there and other != key:
            if not database.links_from(key):
                database.link(Link(key, other, "related", None, self.now()))
        elif what == "unlink":
            for link in database.links_from(key):
                database.unlink(link.source, link.target, link.relation)


def merge_state(database: Database, theirs: State) -> Plan:
    with database.deed(), database.transaction():
        ours = state_of(database)
        plan = plan_merge(ours, theirs)
        merge(database, plan, ours, theirs)
    assert verify(database) == []
    return plan


def merge_into(database: Database, other: Database) -> Plan:
    return merge_state(database, state_of(other))


def export(database: Database, deleted: bool = True) -> list[str]:
    return list(export_jsonl(database, deleted))


EDITS = ("add", "edit", "edit", "delete", "merge")
ALL = (*EDITS, "same", "link", "unlink", "settle", "edit copy", "undo")


def deeds(kinds: tuple[str, ...], most: int = 16) -> st.SearchStrategy[list[tuple[int, str, str, str]]]:
    return st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from(kinds), st.sampled_from(KEYS), st.sampled_from(KEYS)),
        max_size=most,
    )


@contextmanager
def world(shared: list[tuple[int, str, str, str]], then: list[tuple[int, str, str, str]]) -> Iterator[World]:
    """Yield machines that began with copies of one base."""
    with ExitStack() as stack:
        made = World(stack)
        for _machine, what, key, other in shared:
            made.do(0, what, key, other)
        for machine in (1, 2):
            made.machines[machine] = made.copy(made.machines[0])
        for deed in then:
            made.do(*deed)
        yield made


SHARED = deeds(("add", "add", "edit", "link"), 6)


@many
@given(SHARED, deeds(ALL))
def test_it_does_not_matter_who_merges_whom(
    shared: list[tuple[int, str, str, str]], then: list[tuple[int, str, str, str]]
) -> None:
    with world(shared, then) as made:
        a, b, _c = made.machines
        here, there = made.copy(a), made.copy(b)
        merge_into(here, b)
        merge_into(there, a)
        assert export(here) == export(there)


@many
@given(SHARED, deeds(ALL))
def test_merging_again_or_with_itself_changes_nothing(
    shared: list[tuple[int, str, str, str]], then: list[tuple[int, str, str, str]]
) -> None:
    with world(shared, then) as made:
        a, b, _c = made.machines
        before = export(a)
        assert not merge_into(a, made.copy(a)).is_visible and export(a) == before
        merge_into(a, b)
        after, revision = export(a), a.revision()
        plan = merge_into(a, b)
        assert not plan.is_visible and not plan.known and plan.conflicts == []
        assert export(a) == after and a.revision() == revision
        merge_into(b, a)
        assert export(b) == after and not merge_into(a, b).is_visible


@many
@given(SHARED, deeds(EDITS))
def test_the_order_of_three_does_not_matter(
    shared: list[tuple[int, str, str, str]], then: list[tuple[int, str, str, str]]
) -> None:
    with world(shared, then) as made:
        a, b, c = made.machines
        left, right, inner = made.copy(a), made.copy(a), made.copy(b)
        merge_into(left, b)
        merge_into(left, c)
        merge_into(inner, c)
        merge_into(right, inner)
        assert export(left) == export(right)


@many
@given(SHARED, deeds(ALL))
def test_no_text_is_lost_unless_the_other_side_knew_it_and_went_on(
    shared: list[tuple[int, str, str, str]], then: list[tuple[int, str, str, str]]
) -> None:
    with world(shared, then) as made:
        a, b, _c = made.machines
        sides = [({e.id: e for e in one.each()}, state_of(one)) for one in (a, b)]
        merge_into(a, b)
        texts = {(entry.title, entry.content) for entry in a.each()}
        for (entries, mine), (_others, other) in ((sides[0], sides[1]), (sides[1], sides[0])):
            for key, entry in entries.items():
                known = other.marks(key) | {m for copies in other.copies.values() for m in copies} | _settled(other)
                assert (entry.title, entry.content) in texts or mine.there[key].mark in known or key not in KEYS


def _settled(state: State) -> set[str]:
    return {one for marks in state.known.values() for one in marks}


@many
@given(SHARED, deeds(ALL))
def test_an_undone_merge_has_not_been(
    shared: list[tuple[int, str, str, str]], then: list[tuple[int, str, str, str]]
) -> None:
    with world(shared, then) as made:
        a, b, _c = made.machines
        before = export(a)
        if merge_into(a, b).is_visible:
            after = export(a)
            _deed, number = a.undo()
            assert export(a) == before and verify(a) == []
            a.undo(number)
            assert export(a) == after
            a.undo()
            merge_into(a, b)
            assert export(a) == after


@many
@given(SHARED, deeds(tuple(kind for kind in ALL if "link" not in kind)))
def test_an_export_that_names_what_was_deleted_merges_as_its_base_does(
    shared: list[tuple[int, str, str, str]], then: list[tuple[int, str, str, str]]
) -> None:
    with world(shared, then) as made, tempfile.TemporaryDirectory() as folder:
        a, b, _c = made.machines
        path = Path(folder) / "b.jsonl"
        path.write_text("".join(export(b)), encoding="utf-8")
        here, problems = made.copy(a), list[str]()
        merge_state(here, state_of_records(read_jsonl(path), problems))
        merge_into(a, b)
        assert problems == [] and export(here) == export(a)
