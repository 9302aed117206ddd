"""Two bases become one: what is taken from the other, what is kept twice, what goes. docs/decisions/040-merge.md.

Of each entry, both sides know marks of versions (versions.py). Whoever knows the other's version is ahead of it. Where
neither does, both wrote: the later version keeps the id, the other becomes an entry beside it. Nothing here depends
on which side is ours, so it does not matter who merges whom.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from rekall.db import Database
from rekall.entry import Entry, Link
from rekall.language import _
from rekall.redact import Secret, redacted, screened_entry, screened_text
from rekall.states import CONFLICT_RELATION, State, Version, as_copy, copy_id
from rekall.versions import LinkKey, deletions, link_mark, mark

# Entries stored at a time.
_BATCH = 100


@dataclass(frozen=True)
class Conflict:
    """What both sides changed. `kind`: changed (the other version is `copy`), deleted-here, deleted-there, or link."""

    id: str
    kind: str
    copy: str | None = None
    link: Link | None = None  # the one whose reason did not stay


@dataclass
class Plan:
    """What a merge is to do to our base. Ids by name of the deed; the text of each lies in the other base."""

    added: dict[str, Version] = field(default_factory=dict)
    changed: dict[str, Version] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    copies: dict[str, tuple[str, Version, bool]] = field(
        default_factory=dict
    )  # of which entry; whether the text is ours
    linked: list[Link] = field(default_factory=list)
    unlinked: list[LinkKey] = field(default_factory=list)
    known: dict[str, set[str]] = field(default_factory=dict)  # marks that are new to us
    conflicts: list[Conflict] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    secrets: list[Secret] = field(default_factory=list)  # left out of the reasons of links

    def count_links(self) -> int:
        """Return how many links are to come, go or change."""
        return len({*self.unlinked, *((link.source, link.target, link.relation) for link in self.linked)})

    @property
    def is_visible(self) -> bool:
        """Whether anything but what we know of versions is to change."""
        return any((self.added, self.changed, self.deleted, self.copies, self.linked, self.unlinked))


def plan_merge(ours: State, theirs: State, allow_secrets: bool = False) -> Plan:
    """Return what makes our side the union of both."""
    planned = _Planner(ours, theirs, allow_secrets)
    for key in sorted(ours.there.keys() | theirs.there.keys() | theirs.known.keys()):
        planned.settle(key)
    planned.drop_settled_copies()
    planned.refuse_secret_ids()
    planned.link()
    return planned.plan


class _Planner:
    """Settles entry by entry, then what hangs on them."""

    def __init__(self, ours: State, theirs: State, allow_secrets: bool) -> None:
        self.ours, self.theirs, self.plan = ours, theirs, Plan()
        self.allow_secrets = allow_secrets
        self.wanted: set[str] = set()  # copies that are to be there
        self.spare: set[str] = set()  # copies whose version somebody has settled

    def settle(self, key: str) -> None:
        """Decide what becomes of one entry."""
        mine, other = self.ours.there.get(key), self.theirs.there.get(key)
        here, beyond = self.ours.marks(key), self.theirs.marks(key)
        after = mine
        if mine and other:
            after = self._join(key, mine, other)
        elif mine and deletions(beyond):
            if mine.mark in beyond:
                self.plan.deleted.add(key)
                after = None
            elif deletions(beyond) - here:
                self.plan.conflicts.append(Conflict(key, "deleted-there"))
        elif other and not (deletions(here) and other.mark in here):
            self.plan.added[key] = after = other
            if deletions(here) - beyond:
                self.plan.conflicts.append(Conflict(key, "deleted-here"))
        left = {version.mark for version in (mine, after) if version}  # which the history will hold by itself
        if news := beyond - here - left:
            self.plan.known[key] = news

    def _join(self, key: str, mine: Version, other: Version) -> Version:
        """Decide between two versions and those kept beside them; return the one that has the id."""
        heads_here = {**self.ours.copies.get(key, {}), mine.mark: mine}
        heads_there = {**self.theirs.copies.get(key, {}), other.mark: other}
        here, beyond = self.ours.marks(key), self.theirs.marks(key)
        heads = (heads_here.keys() & heads_there.keys()) | (heads_here.keys() - beyond) | (heads_there.keys() - here)
        if not heads & {
            mine.mark,
            other.mark,
        }:  # somebody went back by hand; or they differ in a secret, and ours stays
            heads.add(max(mine, other, key=lambda version: (version.updated_at, version.revision)).mark)
        best = max((one for one in (mine, other) if one.mark in heads), key=_when)
        found = heads_there | heads_here
        rest = {copy_id(key, one.said): one for one in sorted(map(found.__getitem__, heads), key=_when)}
        self.wanted |= rest.keys()
        rest.pop(copy_id(key, best.said), None)
        self.spare |= {one.place for one in found.values() if one.place != key}
        if best.mark != mine.mark or (best.mark == other.mark and other.revision > mine.revision):
            self.plan.changed[key] = other
        for copy in sorted(rest.keys() - self.ours.there.keys()):
            self.plan.conflicts.append(Conflict(key, "changed", copy))
            if copy not in self.theirs.there:
                self.plan.copies[copy] = (key, rest[copy], rest[copy].mark in heads_here)
        return best

    def drop_settled_copies(self) -> None:
        """Take away the copies whose version is in a later one, or was settled by whoever deleted or changed them."""
        for copy in self.spare - self.wanted:
            if all(copy not in side.there or _is_as_made(side, copy) for side in (self.ours, self.theirs)):
                self.plan.added.pop(copy, None)
                self.plan.changed.pop(copy, None)
                if copy in self.ours.there:
                    self.plan.deleted.add(copy)
        new = self.plan.added.keys() | self.plan.copies.keys()
        self.plan.conflicts = [one for one in self.plan.conflicts if one.copy is None or one.copy in new]

    def refuse_secret_ids(self) -> None:
        """Leave out what has a secret for an id."""
        refused = () if self.allow_secrets else [key for key in self.plan.added if redacted(key) != key]
        for key in refused:
            del self.plan.added[key]
            self.plan.known.pop(key, None)
            self.plan.problems.append(_("an entry whose id has the shape of a secret; give it another there"))

    def link(self) -> None:
        """Decide about the links between the entries that will be there."""
        there = (self.ours.there.keys() - self.plan.deleted) | self.plan.added.keys() | self.plan.copies.keys()
        for key in sorted(self.ours.links.keys() | self.theirs.links.keys()):
            if key[0] in there and key[1] in there and key[0] != key[1]:
                self._settle_link(key)
        for copy, (original, version, _is_ours) in sorted(self.plan.copies.items()):
            made = Link(copy, original, CONFLICT_RELATION, None, version.updated_at)
            self.plan.linked.append(made)

    def _settle_link(self, key: LinkKey) -> None:
        mine, other, found = self.ours.links.get(key), self.theirs.links.get(key), list[Secret]()
        if other and other.reason and not self.allow_secrets:
            other = replace(other, reason=screened_text(other.reason, "reason", found))
        here, beyond = _link_marks(self.ours, key), _link_marks(self.theirs, key)
        if mine and other:
            if not self._says_the_same(mine, other) and self._is_theirs_ahead(mine, other, here, beyond):
                self.plan.unlinked.append(key)
                self._take_link(other, found)
        elif mine and deletions(beyond) and _mark_of(mine) in beyond:
            self.plan.unlinked.append(key)
        elif other and not (deletions(here) and _mark_of(other) in here):
            self._take_link(other, found)

    def _says_the_same(self, mine: Link, other: Link) -> bool:
        """Tell whether a link there is ours, or ours without a secret."""
        screened = mine if self.allow_secrets else replace(mine, reason=redacted(mine.reason or "") or None)
        return other in (mine, screened)

    def _take_link(self, link: Link, found: list[Secret]) -> None:
        self.plan.linked.append(link)
        self.plan.secrets += found

    def _is_theirs_ahead(self, mine: Link, other: Link, here: set[str], beyond: set[str]) -> bool:
        is_ahead, is_behind = _mark_of(mine) in beyond, _mark_of(other) in here
        if is_ahead != is_behind:
            return is_ahead
        later, earlier = sorted((mine, other), key=lambda link: (link.created_at, link.reason or ""), reverse=True)
        if not is_ahead and earlier.reason and later.reason != earlier.reason:
            self.plan.conflicts.append(Conflict(mine.source, "link", link=earlier))
        return later is other


def _when(version: Version) -> tuple[str, str]:
    return version.updated_at, version.mark


def _is_as_made(side: State, copy: str) -> bool:
    """Tell whether nobody has changed a copy."""
    return any(version.place == copy for copies in side.copies.values() for version in copies.values())


def _mark_of(link: Link) -> str:
    return link_mark(link.reason, link.created_at)


def _link_marks(side: State, key: LinkKey) -> set[str]:
    there = {_mark_of(side.links[key])} if key in side.links else set()
    return there | side.known_links.get(key, set())


@dataclass
class Merged:
    """What a merge did: ids, and what was left out."""

    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    links: int = 0
    secrets: list[Secret] = field(default_factory=list)
    entries_with_secrets: int = 0

    @property
    def is_something(self) -> bool:
        """Whether anything was changed."""
        return bool(self.added or self.changed or self.deleted or self.links)


def merge(database: Database, plan: Plan, ours: State, theirs: State, allow_secrets: bool = False) -> Merged:
    """Carry out a plan that was made in the transaction that the caller holds; return what was done."""
    return _Merging(database, plan, ours, theirs, allow_secrets).run()


class _Merging:
    """Writes what was planned. What the other base brings loses its secrets before anything else is done with it."""

    def __init__(self, database: Database, plan: Plan, ours: State, theirs: State, allow_secrets: bool) -> None:
        self.database, self.plan, self.ours, self.theirs = database, plan, ours, theirs
        self.allow_secrets = allow_secrets
        self.done = Merged()

    def run(self) -> Merged:
        """Do it all, and say in the history that it was a merge."""
        self._copy()  # first: what is ours and makes room is still there
        self._add()
        self._change()
        for key in sorted(self.plan.deleted):
            self.database.delete(key)
            self.done.deleted.append(key)
        self._link()
        if self.plan.known:
            self.database.note_known(self.plan.known)
        if self.done.is_something:
            self.database.note_merge()
        return self.done

    def _copy(self) -> None:
        for copy, (key, version, is_ours) in sorted(self.plan.copies.items()):
            entry = self.ours.text(version) if is_ours else self._screened(self.theirs.text(version))
            self.database.add(replace(as_copy(entry, key, version.said), id=copy))
            self.done.added.append(copy)

    def _add(self) -> None:
        keys = sorted(self.plan.added)
        for start in range(0, len(keys), _BATCH):
            entries = self.theirs.fetch(keys[start : start + _BATCH])
            self.database.add_many([self._noted(entry, self._screened(entry)) for entry in entries])
            self.done.added += [entry.id for entry in entries]

    def _change(self) -> None:
        for key, version in sorted(self.plan.changed.items()):
            theirs = self.theirs.text(version)
            entry = self._noted(theirs, self._screened(theirs))
            if self._is_kept_here(entry):
                self.plan.known.setdefault(key, set()).add(version.mark)
                continue
            self.database.replace_whole(entry)
            self.done.changed.append(key)

    def _is_kept_here(self, theirs: Entry) -> bool:
        """Tell whether ours says what theirs says, but for secrets that were left out on their way there."""
        found: list[Secret] = []
        ours = screened_entry(self.database.get(theirs.id), found)
        moved_on = replace(ours, updated_at=theirs.updated_at, revision=theirs.revision)
        return bool(found) and not self.allow_secrets and moved_on == theirs

    def _screened(self, entry: Entry) -> Entry:
        found: list[Secret] = []
        kept = entry if self.allow_secrets else screened_entry(entry, found)
        self.done.secrets += found
        self.done.entries_with_secrets += bool(found)
        return kept

    def _noted(self, theirs: Entry, kept: Entry) -> Entry:
        """Return what is kept of an entry; what it was like there is known, so that it does not come again."""
        if kept != theirs:
            self.plan.known.setdefault(theirs.id, set()).add(mark(theirs))
        return kept

    def _link(self) -> None:
        for key in self.plan.unlinked:
            self.database.unlink(*key)
        for link in self.plan.linked:
            self.database.link(link)
        self.done.secrets += self.plan.secrets
        self.done.links = self.plan.count_links()
