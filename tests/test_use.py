"""What use adds: where one is, what was taken before, what is new; and that it decides between equals only.

The arithmetic and the order are pure. The rest is asked of real bases, through the command line, with the warm process
and without.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from running import Rekall, picks_of, wait_for
from warm import Cold, Warm

from rekall import pick_table
from rekall.commands.showing import here_of
from rekall.context import HERE, MOST, NEW_DAYS, PICK_DAYS, PICKED, RECENT, SUNK, Facts, Here, Picks, Use, use_of
from rekall.db import Database, sqlite3
from rekall.entry import Entry
from rekall.errors import BaseUnusable
from rekall.evidence import OBSOLETE, USED, Ranked
from rekall.protocol import Request
from rekall.ranking import TITLES_READ, Hit, with_use
from rekall.verify import verify

SHOP = Here("shop", 7, 20_000)  # day 20,000 is 2024-10-04
TODAY, LONG_AGO = "2024-10-04T08:00:00.000Z", "2004-10-04"


# --- what it comes to ---


@pytest.mark.parametrize(
    ("facts", "here", "picked", "recent"),
    [
        (Facts(None, LONG_AGO), 0, 0, 0),
        (Facts("Shop", LONG_AGO), 1, 0, 0),
        (Facts("other", LONG_AGO), 0, 0, 0),
        (Facts("", LONG_AGO), 0, 0, 0),
        (Facts(None, TODAY), 0, 0, 1),
        (Facts(None, "2030-01-01T00:00:00Z"), 0, 0, 1),  # a clock that was wrong
        (Facts(None, "2024-09-04"), 0, 0, 0.5),
        (Facts(None, "2024-06-01"), 0, 0, 0),
        (Facts(None, "some day"), 0, 0, 0),
        (Facts(None, LONG_AGO, picked=Picks(1, 20_000)), 0, 0.5, 0),
        (Facts(None, LONG_AGO, picked=Picks(3, 20_000)), 0, 0.75, 0),
        (Facts(None, LONG_AGO, picked=Picks(2, 20_000 - PICK_DAYS)), 0, 0.5, 0),
        (Facts(None, LONG_AGO, picked=Picks(float("inf"), 20_000)), 0, 1, 0),
        (Facts(None, LONG_AGO, picked=Picks(1, 20_000), picked_here=Picks(1, 20_000)), 0.5, 0.5, 0),
        (Facts("shop", LONG_AGO, picked_here=Picks(1, 20_000)), 1, 0, 0),
    ],
)
def test_what_use_is_made_of(facts: Facts, here: float, picked: float, recent: float) -> None:
    use = use_of(facts, SHOP)
    assert (use.here, use.picked) == pytest.approx((MOST * HERE * here, MOST * PICKED * picked))
    assert use.recent == pytest.approx(MOST * RECENT * recent, abs=1e-6)
    assert use.added == pytest.approx(use.here + use.picked + use.recent)


def test_the_parts_come_to_all_of_it_and_an_obsolete_entry_gets_none() -> None:
    assert pytest.approx(1) == HERE + PICKED + RECENT
    everything = Facts("shop", TODAY, picked=Picks(1e9, 20_000), picked_here=Picks(1e9, 20_000))
    assert use_of(everything, SHOP).added == pytest.approx(MOST)
    assert use_of(everything._replace(is_obsolete=True), SHOP) == Use(-SUNK, obsolete=-SUNK)


def test_picks_fade_and_a_clock_that_goes_back_takes_none_away() -> None:
    twice = Picks().and_one(100).and_one(100)
    assert twice == Picks(2, 100)
    assert twice.on(100 + PICK_DAYS) == 1
    assert twice.and_one(100 + PICK_DAYS) == Picks(2, 100 + PICK_DAYS)
    assert (twice.on(50), twice.and_one(50)) == (2, Picks(3, 100))


def test_what_is_new_counts_half_after_a_while() -> None:
    old = use_of(Facts(None, TODAY), SHOP._replace(day=SHOP.day + NEW_DAYS)).recent
    assert old == pytest.approx(use_of(Facts(None, TODAY), SHOP).recent / 2)


# --- the order ---

scores = st.floats(0, 0.95).map(lambda x: round(x, 6))
ids = st.sampled_from([f"e{n:02}" for n in range(70)])
added = st.builds(
    lambda *parts: Use(round(sum(parts), 6), *parts), *[st.floats(0, MOST / 3).map(lambda x: round(x, 6))] * 3
)
sunk = st.just(Use(-SUNK, obsolete=-SUNK))


def ordered(found: dict[str, float], titled: dict[str, int]) -> list[Hit]:
    hits = [Hit(key, score + titled.get(key, 0), titled=titled.get(key, 0)) for key, score in found.items()]
    return sorted(hits, key=lambda hit: (-hit.score, hit.id))


@given(st.dictionaries(ids, scores), st.dictionaries(ids, added), st.data())
def test_use_lifts_nothing_over_better_evidence(
    found: dict[str, float], uses: dict[str, Use], data: st.DataObject
) -> None:
    old = data.draw(st.sets(ids))
    uses |= dict.fromkeys(old, Use(-SUNK, obsolete=-SUNK))
    hits = ordered(found, {})
    after = with_use(hits, {key: use for key, use in uses.items() if key in found}, {})
    for place, hit in enumerate(after):
        for passed in after[place + 1 :]:
            margin = MOST + (SUNK if passed.id in old else 0)
            assert passed.evidence - hit.evidence <= margin + 1e-6, (hit, passed)


@given(
    st.dictionaries(ids, scores), st.dictionaries(ids, st.one_of(added, sunk)), st.dictionaries(ids, st.integers(1, 2))
)
def test_every_hit_comes_once_best_first_and_says_what_was_added(
    found: dict[str, float], uses: dict[str, Use], titled: dict[str, int]
) -> None:
    hits = ordered(found, titled)
    after = with_use(hits, uses, {})
    assert sorted(hit.id for hit in after) == sorted(found)
    assert [hit.score for hit in after] == sorted((hit.score for hit in after), reverse=True)
    before = {hit.id: hit.score for hit in hits}
    assert all(hit.evidence == pytest.approx(before[hit.id], abs=2e-6) for hit in after)
    assert {hit.id for hit in after if hit.use} == {hit.id for hit in hits[:TITLES_READ] if hit.id in uses}


@given(
    st.dictionaries(ids, scores), st.dictionaries(ids, st.one_of(added, sunk)), st.dictionaries(ids, st.integers(1, 2))
)
def test_a_title_typed_in_full_stays_first_whatever_was_used(
    found: dict[str, float], uses: dict[str, Use], titled: dict[str, int]
) -> None:
    after = with_use(ordered(found, titled), uses, {})
    assert [hit.titled for hit in after] == sorted((hit.titled for hit in after), reverse=True)


@given(st.dictionaries(ids, scores), st.dictionaries(ids, st.one_of(added, sunk)), st.integers(0, 70))
def test_the_order_is_the_same_for_every_limit(found: dict[str, float], uses: dict[str, Use], limit: int) -> None:
    hits = ordered(found, {})
    wanted = max(limit, TITLES_READ)
    assert with_use(hits[:wanted], uses, {})[:limit] == with_use(hits, uses, {})[:limit]


@given(st.dictionaries(ids, scores))
def test_use_that_says_nothing_changes_nothing(found: dict[str, float]) -> None:
    hits = ordered(found, {})
    assert with_use(hits, {}, {}) == hits
    same = with_use(hits, dict.fromkeys(found, Use()), {})
    assert [(hit.id, hit.score) for hit in same] == [(hit.id, hit.score) for hit in hits]


@given(st.dictionaries(ids, scores, min_size=2), st.dictionaries(ids, added), st.data())
def test_what_was_replaced_is_behind_what_replaced_it(
    found: dict[str, float], uses: dict[str, Use], data: st.DataObject
) -> None:
    keys = sorted(found)
    old, new = data.draw(st.lists(st.sampled_from(keys), min_size=2, max_size=2, unique=True))
    uses = dict.fromkeys(found, Use()) | {key: use for key, use in uses.items() if key in found}
    hits = ordered(found, {})[:TITLES_READ]
    if {old, new} <= {hit.id for hit in hits} and found[old] - found[new] <= 2 * SUNK:
        after = [hit.id for hit in with_use(hits, uses | {old: Use(-SUNK, obsolete=-SUNK)}, {old: new})]
        assert after.index(new) < after.index(old)


def test_what_was_replaced_by_something_far_off_stays_where_it_is_found() -> None:
    uses = {"old": Use(-SUNK, obsolete=-SUNK), "new": Use()}
    hits = [Hit("old", 0.8), Hit("new", 0.1)]
    assert [(hit.id, hit.score) for hit in with_use(hits, uses, {"old": "new"})] == [("old", 0.8 - SUNK), ("new", 0.1)]


def test_nearly_equal_hits_change_places_and_others_do_not() -> None:
    taken = {"b": Use(0.015, picked=0.015)}
    no = dict.fromkeys("ac", Use())
    assert [hit.id for hit in with_use([Hit("a", 0.61), Hit("b", 0.6)], no | taken, {})] == ["b", "a"]
    assert [hit.id for hit in with_use([Hit("a", 0.62), Hit("b", 0.6)], no | taken, {})] == ["a", "b"]


def test_perfect_matches_change_places_too() -> None:
    uses = {"a": Use(), "b": Use(0.01, here=0.01)}
    assert [hit.id for hit in with_use([Hit("a", 1.0), Hit("b", 1.0)], uses, {})] == ["b", "a"]
    assert [hit.id for hit in with_use([Hit("a", 3.0, titled=2), Hit("b", 3.0, titled=2)], uses, {})] == ["b", "a"]
    assert [hit.id for hit in with_use([Hit("a", 1.001, titled=1), Hit("b", 1.0)], uses, {})] == ["a", "b"]


def test_a_replaced_entry_whose_title_was_typed_stays_first_unless_the_new_one_bears_it_too() -> None:
    old = Use(-SUNK, obsolete=-SUNK)
    hits = [Hit("old", 2.9, titled=2), Hit("new", 0.7)]
    assert [hit.id for hit in with_use(hits, {"old": old, "new": Use()}, {"old": "new"})] == ["old", "new"]
    hits = [Hit("old", 2.9, titled=2), Hit("new", 2.85, titled=2)]
    assert [hit.id for hit in with_use(hits, {"old": old, "new": Use()}, {"old": "new"})] == ["new", "old"]


def test_among_what_answers_an_output_use_orders_equals_and_changes_no_score() -> None:
    ranked = Ranked()
    for key, order in (("a", 3.0), ("b", 3.0), ("c", 2.9995), ("d", 2.99), ("old", 3.001)):
        ranked.add(order, Hit(key, 1.0, arm="exact"))
    before = {hit.id: hit.score for hit in ranked.hits()}
    uses = dict.fromkeys("abcd", Use()) | {"c": Use(USED), "d": Use(USED), "old": Use(-OBSOLETE, obsolete=-OBSOLETE)}
    ranked.weigh_use(uses, {"old": "d"})
    assert [hit.id for hit in ranked.hits()] == ["c", "a", "b", "d", "old"]
    assert {hit.id: hit.score for hit in ranked.hits()} == {hit.id: hit.evidence for hit in ranked.hits()} == before


# --- in the base ---


def here(day: int = 20_000, place: int = 7) -> Here:
    return Here("shop", place, day)


@pytest.fixture
def kept(database: Database, make_entry: Callable[..., Entry]) -> Database:
    database.add_many([make_entry("One", id="one", project="shop"), make_entry("Two", id="two")])
    return database


def test_picks_are_counted_by_place_and_read_with_what_else_is_known(kept: Database) -> None:
    kept.count_picks(["one", "two", "one", "gone"], here())
    kept.count_picks(["one"], here(place=8))
    facts = kept.facts_of(["two", "one", "gone"], here())
    assert set(facts) == {"one", "two"}
    assert (facts["one"].picked, facts["one"].picked_here) == (Picks(3, 20_000), Picks(2, 20_000))
    assert (facts["one"].project, facts["two"].project, facts["one"].is_obsolete) == ("shop", None, False)
    assert kept.facts_of(["two"], here(place=8))["two"].picked_here is None


def test_counting_leaves_no_trace_but_the_counters(kept: Database) -> None:
    def others() -> list[object]:
        names = ("state", "history", "entries", "tombstones", "embeddings")
        return [kept.connection.execute(f"SELECT * FROM {name}").fetchall() for name in names]

    before = (kept.revision(), others())
    kept.count_picks(["one"], here())
    assert (kept.revision(), others()) == before
    assert verify(kept) == []
    names = [row[1] for row in kept.connection.execute("PRAGMA table_info(picks)").fetchall()]
    assert names == ["entry_rowid", "place", "count", "day"]


def test_few_places_are_told_apart(kept: Database) -> None:
    for number in range(20):
        kept.count_picks(["one"], here(day=20_000 + number, place=100 + number))
    rows = kept.connection.execute("SELECT place FROM picks ORDER BY place").fetchall()
    assert [row[0] for row in rows] == [0, *range(120 - pick_table.MOST_PLACES, 120)]


def test_picks_go_with_their_entry_also_by_plain_sqlite3(kept: Database) -> None:
    assert kept.path
    kept.count_picks(["one", "two"], here())
    kept.delete("one")
    with closing(sqlite3.connect(kept.path)) as plain:  # foreign keys are off there
        plain.execute("DELETE FROM entries WHERE id = 'two'")
        plain.commit()
    assert kept.connection.execute("SELECT count(*) FROM picks").fetchone() == (0,)


def test_undo_takes_no_pick_for_a_deed(kept: Database) -> None:
    kept.delete("two")
    kept.count_picks(["one"], here())
    kept.undo()
    assert {entry.id for entry in kept.entries()} == {"one", "two"}
    assert kept.facts_of(["one"], here())["one"].picked == Picks(1, 20_000)


def test_picks_of_no_entry_are_found_and_mended(kept: Database) -> None:
    from rekall.repair import repair

    assert kept.path
    kept.connection.execute("PRAGMA foreign_keys = OFF")
    kept.connection.execute("INSERT INTO picks VALUES (77, 0, 1.0, 20000)")
    assert [finding.check for finding in verify(kept)] == ["references", "references"]
    kept.close()
    repair(kept.path, "model")
    with Database(kept.path) as mended:
        assert verify(mended) == []


def test_what_somebody_wrote_into_the_counters_breaks_no_search(kept: Database) -> None:
    kept.connection.execute("PRAGMA ignore_check_constraints = ON")
    kept.connection.execute(
        "INSERT INTO picks VALUES (1, 0, 'many', 'today'), (1, 7, -5.0, 20000), (2, 0, 1e999, -9e99)"
    )
    facts = kept.facts_of(["one", "two"], here())
    assert facts["one"].picked is None
    assert all(0 <= use_of(known, here()).added <= MOST for known in facts.values())


def test_a_base_that_is_being_written_is_not_waited_for(kept: Database) -> None:
    assert kept.path
    with closing(sqlite3.connect(kept.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        begin = time.monotonic()
        with pytest.raises(BaseUnusable):
            kept.count_picks(["one"], here())
        assert time.monotonic() - begin < 10  # the usual patience is 20 s
        other.execute("ROLLBACK")
    assert kept.connection.execute("PRAGMA busy_timeout").fetchone()[0] == 20_000
    assert kept.connection.execute("PRAGMA synchronous").fetchone()[0] == 2
    kept.count_picks(["one"], here())


def test_what_replaced_an_entry_is_followed_to_its_end(kept: Database, make_entry: Callable[..., Entry]) -> None:
    fields = {"status": "obsolete"}
    kept.add_many(
        [
            make_entry("First", id="first", superseded_by="second", **fields),
            make_entry("Second", id="second", superseded_by="one", **fields),
            make_entry("Lost", id="lost", superseded_by="never-there", **fields),
            make_entry("Alone", id="alone", **fields),
            make_entry("Ring", id="ring-1", superseded_by="ring-2", **fields),
            make_entry("Ring", id="ring-2", superseded_by="ring-1", **fields),
            make_entry("Own", id="own", superseded_by="own", **fields),
            make_entry("Active", id="active", superseded_by="one"),
        ]
    )
    keys = ["first", "second", "lost", "alone", "ring-1", "ring-2", "own", "active", "one"]
    assert kept.successors(keys) == {
        "first": ("one", "One"), "second": ("one", "One"), "ring-1": ("ring-2", "Ring"), "ring-2": ("ring-1", "Ring"),
    }  # fmt: skip
    kept.connection.execute("INSERT INTO links VALUES ('two', 'alone', 'supersedes', NULL, '2026-01-01')")
    assert kept.successors(["alone"]) == {"alone": ("two", "Two")}
    assert len(kept.successors([f"x{n}" for n in range(2000)] + ["first"])) == 1


# --- where one is ---


def request_in(cwd: Path, top: Path) -> Request:
    from rekall.command_line import parse

    return Request("search", parse(["search", "x"]), cwd, {"HOME": str(top)}, None, True, None)  # type: ignore[arg-type]


def test_one_is_in_the_project_whose_folder_lies_above(tmp_path: Path) -> None:
    deep = tmp_path / "src" / "shop" / "api" / "v1"
    deep.mkdir(parents=True)
    alone = here_of(request_in(deep, tmp_path))
    assert alone and alone.name == "v1"
    (tmp_path / ".git").mkdir()  # the home folder is no project
    assert here_of(request_in(deep, tmp_path)) == alone
    (tmp_path / "src" / "shop" / ".git").write_text("gitdir: elsewhere")  # a worktree's
    inside, at_top = here_of(request_in(deep, tmp_path)), here_of(request_in(tmp_path / "src" / "shop", tmp_path))
    assert inside == at_top and inside and inside.name == "shop" and inside.place not in (0, alone.place)


# --- through the command line, with the warm process and without ---

SAME = {"content": "curl --retry 3", "created_at": LONG_AGO, "updated_at": LONG_AGO}
ERRORS = ("error[E0505]: cannot move out of `y` because it is borrowed",)


@pytest.fixture(params=["warm", "cold"])
def rekall(request: pytest.FixtureRequest, warm: Warm) -> Iterator[Rekall]:
    """A base of twins: alike to the letter, kept long ago; so ids alone decide between them."""
    with Database(warm.base) as database:
        for key in ("a1", "b2", "c3"):
            database.add(Entry(id=key, type="til", title="Retry a download", errors=ERRORS, **SAME))  # type: ignore[arg-type]
        database.add(Entry(id="other", type="til", title="Sourdough needs time", **SAME))  # type: ignore[arg-type]
    yield warm if request.param == "warm" else Cold(warm.env, warm.cwd)


def found(rekall: Rekall, *words: str, **how: Any) -> list[str]:
    return [hit["id"] for hit in json.loads(rekall("search", "--json", *words, **how).output)["hits"]]


def counted(rekall: Rekall, expected: dict[str, float]) -> None:
    """Wait until so many picks are counted: that happens behind the answer."""
    wait_for(lambda: picks_of(rekall.base) == expected)


QUERY = ("download", "again")


def test_what_was_taken_comes_first_among_equals(rekall: Rekall) -> None:
    asked_before = found(rekall, "--no-context", *QUERY)
    assert asked_before[:3] == ["a1", "b2", "c3"]
    plain = rekall("search", "--no-context", "--json", "--explain", *QUERY).output
    assert rekall("pick", "--take", "c3").output == "curl --retry 3\n"
    counted(rekall, {"c3": 1})
    assert found(rekall, *QUERY)[:3] == ["c3", "a1", "b2"]
    assert found(rekall, "--words", *QUERY)[:3] == found(rekall, "--semantic", *QUERY)[:3] == ["c3", "a1", "b2"]
    assert rekall("search", "--no-context", "--json", "--explain", *QUERY).output == plain  # to the bit
    assert found(rekall, "Retry a download")[0] == "c3"
    assert found(rekall, "Sourdough needs time")[0] == "other"  # better evidence


def test_explain_says_what_use_has_added(rekall: Rekall) -> None:
    rekall("pick", "--take", "b2")
    counted(rekall, {"b2": 1})
    first, second, *_rest = json.loads(rekall("search", "--json", "--explain", *QUERY).output)["hits"]
    parts = first["explain"]
    assert (first["id"], parts["arm"]) == ("b2", "both")
    assert (
        parts["use"]["added"] == pytest.approx(parts["use"]["here"] + parts["use"]["picked"])
        and parts["use"]["here"] > 0
    )
    assert first["score"] == pytest.approx(parts["evidence"] + parts["use"]["added"], abs=2e-6)
    assert second["explain"]["use"]["added"] == 0 and second["score"] == second["explain"]["evidence"]
    line = rekall("search", "--explain", *QUERY).output.splitlines()[1]
    assert f"use {parts['use']['added']:+.4f} (this project {parts['use']['here']:+.4f}, taken before" in line
    silent = json.loads(rekall("search", "--json", "--explain", "--no-context", *QUERY).output)["hits"][0]
    assert silent["id"] == "a1" and "use" not in silent["explain"]


def test_an_entry_of_the_project_one_is_in_comes_first_among_equals(rekall: Rekall) -> None:
    with Database(rekall.base) as database:  # each has one: it is a word of the entry, too
        for key, project in (("a1", "bakery"), ("b2", "Shop"), ("c3", "bakery")):
            database.update(replace(database.get(key), project=project))
    shop = rekall.cwd / "shop"
    (shop / "src").mkdir(parents=True)
    (shop / ".git").mkdir()
    assert found(rekall, *QUERY)[0] == "a1"
    assert found(rekall, *QUERY, cwd=shop / "src")[0] == "b2"
    assert found(rekall, "--no-context", *QUERY, cwd=shop / "src")[0] == "a1"
    lines = rekall("search", "-", "--each-line", stdin=b"download again\n", cwd=shop).output
    assert json.loads(lines)["hits"][0]["id"] == "b2"
    listed = rekall("pick", "--list", *QUERY, cwd=shop).output.split("\0")
    assert listed[0].startswith("b2\t")


def test_picks_count_most_where_they_were_made(rekall: Rekall) -> None:
    one, other = rekall.cwd / "one", rekall.cwd / "other"
    for folder in (one, other):
        folder.mkdir()
    rekall("pick", "--take", "b2", cwd=one)
    counted(rekall, {"b2": 1})
    rekall("pick", "--take", "c3", cwd=other)
    counted(rekall, {"b2": 1, "c3": 1})
    assert found(rekall, *QUERY, cwd=one)[:2] == ["b2", "c3"]
    assert found(rekall, *QUERY, cwd=other)[:2] == ["c3", "b2"]


def test_what_is_new_comes_first_among_equals(rekall: Rekall) -> None:
    with Database(rekall.base) as database:
        database.update(replace(database.get("c3"), updated_at=time.strftime("%Y-%m-%dT00:00:00Z")))
    assert found(rekall, *QUERY)[:3] == ["c3", "a1", "b2"]


def test_reading_an_entry_counts_and_listing_or_previewing_does_not(rekall: Rekall) -> None:
    rekall("search", *QUERY)
    rekall("show", "a1")  # into a pipe: a picker's preview, or a script
    rekall("show", "a1", "--json")
    rekall("list")
    rekall.on_terminal("list")
    rekall.on_terminal("search", *QUERY)
    assert "curl --retry 3" in rekall.on_terminal("show", "b2")
    counted(rekall, {"b2": 1})
    rekall("pick", "--take", "--print", "id", "b2", "c3")
    counted(rekall, {"b2": 2, "c3": 1})


def test_use_orders_what_answers_an_output_and_decides_nothing_else(rekall: Rekall) -> None:
    output = b"error[E0505]: cannot move out of `z` because it is borrowed\nerror: aborting due to 1 previous error\n"
    answer = json.loads(rekall("search", "-", "--json", stdin=output).output)["hits"]
    assert [hit["id"] for hit in answer] == ["a1", "b2", "c3"]
    rekall("pick", "--take", "b2", "other")
    counted(rekall, {"b2": 1, "other": 1})
    again = json.loads(rekall("search", "-", "--json", "--explain", stdin=output).output)["hits"]
    assert [hit["id"] for hit in again] == ["b2", "a1", "c3"]  # the same entries: what use knows is no answer
    assert {hit["score"] for hit in again} == {hit["score"] for hit in answer}
    assert again[0]["explain"]["use"]["added"] > 0
    plain = rekall("search", "-", "--no-context", "--json", stdin=output).output
    assert [hit["id"] for hit in json.loads(plain)["hits"]] == ["a1", "b2", "c3"]
    assert rekall("search", "-", "--as", "output", stdin=b"error: the oven door of the kitchen is stuck\n").status == 1


def test_an_obsolete_entry_sinks_and_names_what_replaced_it(rekall: Rekall) -> None:
    rekall("link", "c3", "a1", "-r", "supersedes")
    assert found(rekall, *QUERY)[:3] == ["b2", "c3", "a1"]
    assert found(rekall, "--no-context", *QUERY)[:3] == ["a1", "b2", "c3"]
    hits = {hit["id"]: hit for hit in json.loads(rekall("search", "--json", *QUERY).output)["hits"]}
    assert hits["a1"]["replaced_by"] == {"id": "c3", "title": "Retry a download"}
    assert "replaced_by" not in hits["b2"] and "replaced_by" not in hits["c3"]
    mark = "(obsolete → c3 Retry a download)"
    for words in (("search", *QUERY), ("list",), ("similar", "b2"), ("pick", "--list", *QUERY)):
        lines = rekall(*words).output.replace("\0", "\n").splitlines()
        (line,) = [line for line in lines if line.startswith("a1")]
        assert mark in line, words
    assert sum(mark in line for line in rekall("list").output.splitlines()) == 1
    output = "\n".join(ERRORS).encode() + b"\n"
    piped = rekall("search", "-", stdin=output).output.splitlines()
    assert [line.split()[0] for line in piped if line[0] != " "] == ["b2", "c3", "a1"]
    assert mark in piped[-1]
    assert "replaced by: c3 Retry a download" in rekall("show", "a1").output
    rekall("edit", "b2", "--status", "obsolete")
    (line,) = [line for line in rekall("list").output.splitlines() if line.startswith("b2")]
    assert line.endswith("(obsolete)")


def test_a_base_that_cannot_be_written_is_read_all_the_same(rekall: Rekall) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    rekall.base.chmod(0o400)
    assert rekall("pick", "--take", "b2").output == "curl --retry 3\n"
    assert picks_of(rekall.base) == {}


def test_an_answer_does_not_wait_for_the_counting(rekall: Rekall) -> None:
    rekall("list")  # a warm process, if it is one
    with closing(sqlite3.connect(rekall.base, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert rekall("pick", "--take", "b2").output == "curl --retry 3\n"
        other.execute("ROLLBACK")
    assert rekall("pick", "--take", "c3").status == 0
    wait_for(lambda: "c3" in picks_of(rekall.base))


def test_nothing_of_it_is_exported(rekall: Rekall) -> None:
    before = rekall("export").output
    rekall("pick", "--take", "b2")
    counted(rekall, {"b2": 1})
    assert rekall("export").output == before
    assert rekall("index", "verify").status == 0
