"""Two machines, one memory: a base is copied, both are written to, and merging makes them one again."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from running import Rekall, rekall_in
from secrets_made import Maker
from warm import Warm

from rekall.db import Database
from rekall.entry import Entry
from rekall.exports import export_jsonl
from rekall.states import copy_id
from rekall.verify import verify

DATA = Path(__file__).parent / "data"
STAMP = "2026-01-02T03:04:05.678Z"


@pytest.fixture
def rekall(home: dict[str, str]) -> Rekall:
    return rekall_in(home)


@pytest.fixture
def desk(rekall: Rekall) -> Rekall:
    """A base of three entries."""
    for title in ("one", "two", "three"):
        assert rekall("--db", "desk.db", "add", "til", title, "-c", f"about {title}").status == 0
    return rekall


def key_of(rekall: Rekall, base: str, title: str) -> str:
    with Database(rekall.cwd / base) as database:
        return next(entry.id for entry in database.each() if entry.title == title)


def export(rekall: Rekall, base: str) -> str:
    return rekall("--db", base, "export").output


def titles(rekall: Rekall, base: str) -> list[str]:
    return sorted(json.loads(line)["title"] for line in export(rekall, base).splitlines())


def told(rekall: Rekall, base: str, other: str, *options: str) -> dict[str, object]:
    """Merge and return what --json says."""
    answer = rekall("--db", base, "merge", other, "--no-wait", "--json", *options)
    assert answer.status == 0, answer
    return json.loads(answer.output)  # type: ignore[no-any-return]


def both_ways(rekall: Rekall) -> str:
    """Merge two bases, each from what the other was; return what both are then."""
    shutil.copy(rekall.cwd / "desk.db", rekall.cwd / "desk.was")
    assert rekall("--db", "desk.db", "merge", "laptop.db", "--no-wait").status == 0
    assert rekall("--db", "laptop.db", "merge", "desk.was", "--no-wait").status == 0
    assert export(rekall, "desk.db") == export(rekall, "laptop.db")
    for base in ("desk.db", "laptop.db"):
        assert rekall("--db", base, "index", "verify").status == 0
        assert told(rekall, base, "desk.was")["added"] == []
    return export(rekall, "desk.db")


def test_a_base_on_two_machines_is_one_again_whoever_merges(desk: Rekall) -> None:
    one, two, three = (key_of(desk, "desk.db", title) for title in ("one", "two", "three"))
    shutil.copy(desk.cwd / "desk.db", desk.cwd / "laptop.db")
    desk("--db", "laptop.db", "edit", one, "--content", "changed on the laptop", "-t", "travel")
    desk("--db", "laptop.db", "add", "bug", "met on the way", "--error", "ValueError: no way")
    desk("--db", "laptop.db", "link", one, two, "--reason", "belong together")
    desk("--db", "laptop.db", "delete", three)
    desk("--db", "desk.db", "edit", two, "--title", "two, changed at the desk")
    desk("--db", "desk.db", "add", "til", "learned at the desk")
    lines = [json.loads(line) for line in both_ways(desk).splitlines()]
    assert sorted(line["title"] for line in lines) == [
        "learned at the desk", "met on the way", "one", "two, changed at the desk",
    ]  # fmt: skip
    found = next(line for line in lines if line["id"] == one)
    assert (found["content"], found["tags"]) == ("changed on the laptop", ["travel"])
    assert [link["reason"] for link in found["links"]] == ["belong together"]


def test_what_both_changed_is_there_in_both_versions_and_named(desk: Rekall) -> None:
    one = key_of(desk, "desk.db", "one")
    shutil.copy(desk.cwd / "desk.db", desk.cwd / "laptop.db")
    desk("--db", "desk.db", "edit", one, "--content", "as the desk has it")
    desk("--db", "laptop.db", "edit", one, "--content", "as the laptop has it")
    shutil.copy(desk.cwd / "desk.db", desk.cwd / "third.db")
    answer = desk("--db", "third.db", "merge", "laptop.db", "--no-wait")
    assert answer.status == 0 and "one: changed on both sides" in answer.output and "1 in conflict" in answer.errors
    both_ways(desk)
    assert export(desk, "third.db") == export(desk, "desk.db")
    versions = [line for line in map(json.loads, export(desk, "desk.db").splitlines()) if line["title"] == "one"]
    assert {line["content"] for line in versions} == {"as the desk has it", "as the laptop has it"}
    [kept] = [line for line in versions if line["id"] == one]
    [copy] = [line for line in versions if line["id"] != one]
    assert kept["content"] == "as the laptop has it" and copy["tags"] == ["conflict"]  # the later one keeps the id
    assert [(link["target"], link["relation"]) for link in copy["links"]] == [(one, "contradicts")]
    assert desk("--db", "desk.db", "list", "--tag", "conflict", "--tsv").output.startswith(copy["id"])


def test_a_conflict_that_was_settled_on_one_machine_is_settled_on_the_other(desk: Rekall) -> None:
    one = key_of(desk, "desk.db", "one")
    shutil.copy(desk.cwd / "desk.db", desk.cwd / "laptop.db")
    desk("--db", "desk.db", "edit", one, "--content", "as the desk has it")
    desk("--db", "laptop.db", "edit", one, "--content", "as the laptop has it")
    both_ways(desk)
    copy = json.loads(desk("--db", "desk.db", "list", "--tag", "conflict", "--json").output)["hits"][0]["id"]
    desk("--db", "desk.db", "edit", one, "--content", "as both have it")
    desk("--db", "desk.db", "delete", copy)
    assert told(desk, "laptop.db", "desk.db") == {
        "source": "desk.db", "dry_run": False, "added": [], "changed": [one], "deleted": [copy], "links": 0,
        "conflicts": [], "problems": [],
    }  # fmt: skip
    assert export(desk, "laptop.db") == export(desk, "desk.db")


def test_a_machine_that_goes_on_does_not_leave_its_older_versions_behind(desk: Rekall) -> None:
    one = key_of(desk, "desk.db", "one")
    shutil.copy(desk.cwd / "desk.db", desk.cwd / "laptop.db")
    desk("--db", "desk.db", "edit", one, "--content", "as the desk has it")
    for number in range(3):
        desk("--db", "laptop.db", "edit", one, "--content", f"as the laptop has it, {number}")
        assert desk("--db", "desk.db", "merge", "laptop.db", "--no-wait").status == 0
    found = {
        line["content"] for line in map(json.loads, export(desk, "desk.db").splitlines()) if line["title"] == "one"
    }
    assert found == {"as the desk has it", "as the laptop has it, 2"}


def test_a_change_outlives_a_deletion_and_both_are_told(desk: Rekall) -> None:
    one, two = key_of(desk, "desk.db", "one"), key_of(desk, "desk.db", "two")
    shutil.copy(desk.cwd / "desk.db", desk.cwd / "laptop.db")
    desk("--db", "desk.db", "delete", one)
    desk("--db", "laptop.db", "edit", one, "--solution", "found one")
    desk("--db", "laptop.db", "delete", two)
    desk("--db", "desk.db", "edit", two, "--solution", "found the other")
    shutil.copy(desk.cwd / "desk.db", desk.cwd / "third.db")
    found = told(desk, "third.db", "laptop.db")
    assert {(one["id"], one["kind"]) for one in found["conflicts"]} == {(one, "deleted-here"), (two, "deleted-there")}  # type: ignore[attr-defined]
    assert told(desk, "third.db", "laptop.db")["conflicts"] == []
    both_ways(desk)
    assert titles(desk, "desk.db") == ["one", "three", "two"]
    desk("--db", "desk.db", "delete", one)  # and now they know
    assert told(desk, "laptop.db", "desk.db")["deleted"] == [one]


def test_a_deletion_that_was_undone_is_no_deletion(desk: Rekall) -> None:
    shutil.copy(desk.cwd / "desk.db", desk.cwd / "laptop.db")
    desk("--db", "desk.db", "delete", key_of(desk, "desk.db", "one"))
    assert told(desk, "laptop.db", "desk.db")["deleted"]
    desk("--db", "desk.db", "undo")
    both_ways(desk)
    assert titles(desk, "laptop.db") == ["one", "three", "two"]


def test_undo_takes_a_whole_merge_back_and_it_can_be_done_again(desk: Rekall) -> None:
    one, two = key_of(desk, "desk.db", "one"), key_of(desk, "desk.db", "two")
    shutil.copy(desk.cwd / "desk.db", desk.cwd / "laptop.db")
    desk("--db", "desk.db", "edit", one, "--content", "from the desk")
    desk("--db", "laptop.db", "edit", one, "--content", "from the laptop")
    desk("--db", "laptop.db", "delete", two)
    desk("--db", "laptop.db", "add", "til", "four")
    before = export(desk, "desk.db")
    answer = desk("--db", "desk.db", "merge", "laptop.db", "--no-wait")
    after = export(desk, "desk.db")
    [backup] = list(desk.cwd.glob("desk.db.before-merge-*.bak"))
    assert str(backup) in answer.errors and "2 added, 1 changed, 1 deleted" in answer.errors
    assert desk("--db", str(backup), "export").output == before
    answer = desk("--db", "desk.db", "undo")
    assert answer.status == 0 and "merge: " in answer.errors
    assert export(desk, "desk.db") == before != after
    assert desk("--db", "desk.db", "index", "verify").status == 0
    assert desk("--db", "desk.db", "merge", "laptop.db", "--no-wait").status == 0
    assert export(desk, "desk.db") == after
    assert "merge: " in desk("--db", "desk.db", "history").output


def test_a_dry_run_says_the_same_and_does_nothing(desk: Rekall) -> None:
    shutil.copy(desk.cwd / "desk.db", desk.cwd / "laptop.db")
    one = key_of(desk, "desk.db", "one")
    for base in ("desk.db", "laptop.db"):
        desk("--db", base, "edit", one, "--content", f"of {base}")
    desk("--db", "laptop.db", "link", one, key_of(desk, "desk.db", "two"))
    before, files = (desk.cwd / "desk.db").read_bytes(), sorted(desk.cwd.iterdir())
    dry = told(desk, "desk.db", "laptop.db", "--dry-run")
    assert (desk.cwd / "desk.db").read_bytes() == before and sorted(desk.cwd.iterdir()) == files
    assert "would be: 1 added, 1 changed" in desk("--db", "desk.db", "merge", "laptop.db", "--dry-run").errors
    assert told(desk, "desk.db", "laptop.db") == dry | {"dry_run": False}
    assert "nothing to do" in desk("--db", "desk.db", "merge", "laptop.db").errors
    assert told(desk, "nowhere.db", "laptop.db", "--dry-run")["added"] and not (desk.cwd / "nowhere.db").exists()


def digest_of(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


@pytest.mark.parametrize("name", ["rekall-v11.db", "rekall-v12.db"])
def test_a_base_of_an_earlier_rekall_is_merged_and_not_touched(name: str, rekall: Rekall) -> None:
    (rekall.cwd / "other").mkdir()
    shutil.copy(DATA / name, rekall.cwd / "other")
    before = digest_of(rekall.cwd / "other")
    found = told(rekall, "here.db", f"other/{name}")
    assert len(found["added"]) > 2 and digest_of(rekall.cwd / "other") == before  # type: ignore[arg-type]
    assert told(rekall, "here.db", f"other/{name}")["added"] == []
    with (
        Database(rekall.cwd / "here.db") as here,
        Database(Path(shutil.copy(DATA / name, rekall.cwd / "as.db"))) as other,
    ):
        assert list(export_jsonl(here)) == list(export_jsonl(other)) and verify(here) == []


def test_the_other_base_is_not_touched_open_or_closed_or_left_by_a_process_that_was_killed(desk: Rekall) -> None:
    (desk.cwd / "other").mkdir()
    other = desk.cwd / "other" / "rekall.db"
    shutil.copy(desk.cwd / "desk.db", other)
    before = digest_of(other.parent)
    assert len(told(desk, "closed.db", str(other))["added"]) == 3  # type: ignore[arg-type]
    assert digest_of(other.parent) == before
    with Database(other) as database:
        database.add(replace(next(database.each()), id="new", title="in the log only"))
        before = digest_of(other.parent)
        assert len(told(desk, "open.db", str(other))["added"]) == 4  # type: ignore[arg-type]
        after = digest_of(other.parent)
        assert (
            all(after[name] == before[name] for name in ("rekall.db", "rekall.db-wal"))
            and after.keys() == before.keys()
        )
        shutil.copytree(other.parent, desk.cwd / "left")
    before = digest_of(desk.cwd / "left")
    assert len(told(desk, "left-here.db", "left/rekall.db")["added"]) == 4  # type: ignore[arg-type]
    after = digest_of(desk.cwd / "left")
    assert all(after[name] == before[name] for name in ("rekall.db", "rekall.db-wal")) and after.keys() == before.keys()


def test_what_cannot_be_merged_is_said_in_a_line_and_changes_nothing(desk: Rekall) -> None:
    before = export(desk, "desk.db")
    newer = Path(shutil.copy(desk.cwd / "desk.db", desk.cwd / "newer.db"))
    with closing(sqlite3.connect(newer)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with closing(sqlite3.connect(desk.cwd / "foreign.db")) as connection:
        connection.execute("CREATE TABLE mine(x)")
    damaged = Path(shutil.copy(desk.cwd / "desk.db", desk.cwd / "damaged.db"))
    content = damaged.read_bytes()
    damaged.write_bytes(content[:8192] + b"\xa5" * 8192 + content[16384:])
    (desk.cwd / "text.db").write_text("no base at all\n")
    (desk.cwd / "folder").mkdir()
    (desk.cwd / "same.db").symlink_to("desk.db")
    for name, wanted in {
        "newer.db": "newer.db was written by a newer rekall", "foreign.db": "foreign.db is an SQLite file, but no base",
        "damaged.db": "damaged.db is damaged", "text.db": "neither a rekall base nor a file of rekall export",
        "folder": "is a folder", "nowhere": "does not exist", "desk.db": "is the base itself",
        "same.db": "is the base itself",
    }.items():  # fmt: skip
        answer = desk("--db", "desk.db", "merge", name)
        assert (answer.status, answer.output) == (2, "") and wanted in answer.errors, answer
    (desk.cwd / "empty.jsonl").touch()
    assert desk("--db", "desk.db", "merge", "empty.jsonl").status == 1
    assert export(desk, "desk.db") == before and list(desk.cwd.glob("*.bak")) == []


def test_an_export_is_merged_as_its_base_would_be(desk: Rekall) -> None:
    one, two = key_of(desk, "desk.db", "one"), key_of(desk, "desk.db", "two")
    desk("--db", "desk.db", "edit", one, "--content", "changed before the copy was made")
    shutil.copy(desk.cwd / "desk.db", desk.cwd / "laptop.db")
    desk("--db", "laptop.db", "edit", one, "--content", "changed on the laptop")  # there only: no conflict
    for base in ("desk.db", "laptop.db"):
        desk("--db", base, "edit", two, "--content", f"changed in {base}")
    for base in ("desk", "laptop"):
        assert desk("--db", f"{base}.db", "export", "-o", f"{base}.jsonl").status == 0
    assert [one["kind"] for one in told(desk, "desk.db", "laptop.jsonl")["conflicts"]] == ["changed"]  # type: ignore[attr-defined]
    told(desk, "laptop.db", "desk.jsonl")
    assert export(desk, "desk.db") == export(desk, "laptop.db")
    desk("--db", "laptop.db", "delete", key_of(desk, "desk.db", "three"))
    assert desk("--db", "laptop.db", "export", "--deleted", "-o", "laptop.jsonl").status == 0
    assert len(told(desk, "desk.db", "laptop.jsonl")["deleted"]) == 1  # type: ignore[arg-type]
    assert export(desk, "desk.db") == export(desk, "laptop.db")
    assert desk("--db", "new.db", "import", "laptop.jsonl", "--no-wait").status == 0  # which passes over what is gone
    assert export(desk, "new.db") == export(desk, "laptop.db")


def test_an_export_may_come_through_a_pipe(desk: Rekall) -> None:
    lines = export(desk, "desk.db").encode()
    answer = desk("--db", "here.db", "merge", "/dev/stdin", "--no-wait", stdin=lines)
    assert answer.status == 0 and "3 added" in answer.errors
    assert export(desk, "here.db").encode() == lines


def test_lines_that_are_no_lines_of_an_export_are_named_and_the_others_go_in(desk: Rekall) -> None:
    lines = export(desk, "desk.db").splitlines()
    (desk.cwd / "a.jsonl").write_text("\n".join([lines[0], '{"title": "by hand"}', "{", lines[0], lines[1]]) + "\n")
    answer = desk("--db", "here.db", "merge", "a.jsonl", "--no-wait")
    assert answer.status == 2 and "2 added, 3 left out" in answer.errors
    assert all(f"a.jsonl:{number}: " in answer.errors for number in (2, 3, 4))


def test_secrets_are_left_out_on_the_way_in_and_their_entries_do_not_come_again(desk: Rekall) -> None:
    token = next(secret for kind, _text, secret in Maker(11).all() if kind == "github-token")
    one = key_of(desk, "desk.db", "one")
    shutil.copy(desk.cwd / "desk.db", desk.cwd / "laptop.db")
    desk("--db", "laptop.db", "edit", one, "--content", f"token {token}", "--allow-secrets")
    desk("--db", "laptop.db", "add", "til", "with a secret", "-c", f"token {token}", "--allow-secrets")
    desk("--db", "laptop.db", "link", one, key_of(desk, "desk.db", "two"), "--reason", token, "--allow-secrets")
    answer = desk("--db", "desk.db", "merge", "laptop.db", "--no-wait")
    assert answer.status == 0 and "secrets were left out of 2 entries" in answer.errors
    assert not [path for path in desk.cwd.glob("desk.db*") if token.encode() in path.read_bytes()]
    assert told(desk, "desk.db", "laptop.db")["changed"] == []
    assert token in export(desk, "laptop.db")
    found = told(desk, "laptop.db", "desk.db")
    assert found["changed"] == found["conflicts"] == told(desk, "laptop.db", "desk.db")["changed"] == []
    assert len(list(desk.cwd.glob("laptop.db.before-merge*"))) == 1  # the second time there was nothing to do
    assert export(desk, "laptop.db").count(token) == 3
    told(desk, "kept.db", "laptop.db", "--allow-secrets")
    assert export(desk, "kept.db") == export(desk, "laptop.db")


def test_links_are_merged_by_their_history_too(desk: Rekall) -> None:
    one, two, three = (key_of(desk, "desk.db", title) for title in ("one", "two", "three"))
    desk("--db", "desk.db", "link", one, two)
    desk("--db", "desk.db", "link", two, three, "--reason", "first")
    shutil.copy(desk.cwd / "desk.db", desk.cwd / "laptop.db")
    desk("--db", "laptop.db", "unlink", one, two)
    desk("--db", "laptop.db", "link", two, three, "--reason", "as the laptop sees it")
    desk("--db", "desk.db", "link", two, three, "--reason", "as the desk sees it")
    desk("--db", "desk.db", "link", three, one, "-r", "supersedes")
    shutil.copy(desk.cwd / "desk.db", desk.cwd / "third.db")
    [conflict] = told(desk, "third.db", "laptop.db")["conflicts"]  # type: ignore[misc]
    assert conflict["kind"] == "link" and conflict["link"]["reason"] == "as the desk sees it"  # type: ignore[index]
    links = {line["id"]: line["links"] for line in map(json.loads, both_ways(desk).splitlines())}
    assert links[one] == [] and links[two][0]["reason"] == "as the laptop sees it" and len(links[three]) == 1


def test_a_warm_process_finds_what_a_merge_brought(warm: Warm) -> None:
    warm("add", "til", "bread needs salt")
    assert warm("search", "--semantic", "notebook stays asleep").status == 0
    with Database(warm.cwd / "other.db") as other:
        other.add(
            Entry(
                id="lid",
                type="til",
                title="the laptop does not wake up after closing the lid",
                created_at=STAMP,
                updated_at=STAMP,
            )
        )
    assert warm("merge", "other.db").status == 0
    assert warm("search", "--semantic", "notebook stays asleep", "-n", "1", "--tsv").output.startswith("lid")
    assert warm("undo").status == 0 and warm("show", "lid").status == 2


def test_other_versions_of_ids_of_other_tools_have_readable_ids() -> None:
    assert copy_id("zettel-12", "x").startswith("zettel-12-") and len(copy_id("x" * 64, "x")) <= 64
    ulid = "01M83VEK4K6Q2R7Z9T4D5C8XNB"
    assert copy_id(ulid, "x")[:10] == ulid[:10] and len(copy_id(ulid, "x")) == 26 and copy_id(ulid, "x") != ulid
