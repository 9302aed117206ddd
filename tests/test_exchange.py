"""What comes in and goes out: notes of other tools, JSONL, older bases; nothing lost, nothing twice."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias  # Any: fields and JSON values

import pytest
from running import REPOSITORY, Rekall

from rekall.db import Database
from rekall.entry import Entry, Link
from rekall.errors import UsageError
from rekall.exchange import Report, bring_in
from rekall.exports import export_jsonl, export_markdown, replacing
from rekall.query import Filters
from rekall.sources import Found, read_source

OLD_BASE = REPOSITORY / "tests" / "data" / "rekall-v11.db"
Write: TypeAlias = Callable[..., Path]  # writes a note


def bring(database: Database, path: Path) -> Report:
    return bring_in(database, read_source(path), lambda _count: None)


def counts(report: Report) -> tuple[int, int, int, int, int]:
    return report.added, report.updated, report.unchanged, report.kept, len(report.problems)


@pytest.fixture
def note(tmp_path: Path) -> Write:
    """Return a function that writes a note below notes/ and gives the folder."""

    def write(name: str, text: str | bytes, mtime: float | None = None) -> Path:
        path = tmp_path / "notes" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        if mtime is not None:
            os.utime(path, (mtime, mtime))
        return tmp_path / "notes"

    return write


def only(database: Database) -> Entry:
    [entry] = database.entries()
    return entry


def test_the_front_matter_of_other_tools_is_understood(database: Database, note: Write) -> None:
    front = "id: 202401021530\ndate: 2024-01-02\ntags: [git, daily use]\ncategory: shop\nurl: https://x\nauthor: me"
    bring(database, note("a.md", f"---\n{front}\n---\n# The title #\n\nbody\n"))
    entry = only(database)
    assert (entry.id, entry.title, entry.content) == ("202401021530", "The title", "body")
    assert (entry.tags, entry.project, entry.source) == (("git", "daily use"), "shop", "https://x")
    assert entry.created_at.startswith("2024-01-02") and entry.extra["author"] == "me"


@pytest.mark.parametrize(
    ("front", "expected"),
    [
        ("tags: git, undo", {"tags": ("git", "undo")}),
        ("tags: git undo", {"tags": ("git", "undo")}),
        ("tags:\n  - git\n  - 2024", {"tags": ("git", "2024")}),
        ("keywords: [x]", {"tags": ("x",)}),
        ("tags:", {"tags": ()}),
        ("type: zettel\nstatus: draft", {"type": "til", "status": "active"}),
        ("type: bug\nstatus: obsolete", {"type": "bug", "status": "obsolete"}),
        ("id: no id of ours!", {"title": "plain"}),
        ("title: 2024", {"title": "2024"}),
        ("title: 'a: b'", {"title": "a: b"}),
        ("created: 2024-01-02T03:04:05Z\nmodified: 2024-02-03 04:05:06", {"updated_at": "2024-02-03T04:05:06"}),
        ("solution: |\n  one\n  two\nerrors: E42", {"solution": "one\ntwo\n", "errors": ("E42",)}),
        ("category: [shop, web]", {"title": "plain"}),
        ("rating: .nan\nmade: 2024-01-02\nother: {a: [1, ~]}", {"title": "plain"}),
    ],
)
def test_no_field_of_another_tool_keeps_a_note_out(
    front: str, expected: dict[str, Any], database: Database, note: Write
) -> None:
    assert counts(bring(database, note("plain.md", f"---\n{front}\n---\nbody\n"))) == (1, 0, 0, 0, 0)
    entry = only(database)
    assert {name: getattr(entry, name) for name in expected} == expected
    assert entry.content == "body"
    for word in ("zettel", "draft", "no id of ours!"):  # kept, though it means nothing to us
        assert (word in front) == (word in json.dumps(entry.extra))


@pytest.mark.parametrize(
    ("text", "title", "content"),
    [
        ("\ufeff# With a mark\r\n\r\nWindows\r\nlines\r\n".encode(), "With a mark", "Windows\nlines"),
        ("\ufeff---\r\ntitle: x\r\n---\r\ny\r\n".encode(), "x", "y"),
        (b"# caf\xe9\n\nlatin \xff\n", "caf\ufffd", "latin \ufffd"),
        (b"no heading\n", "a file", "no heading"),
        (b"# Learn C#\n\nx\n", "Learn C#", "x"),
        (b"## Second level\n", "a file", "## Second level"),
        (b"---\n---\n# x\n", "x", ""),
        (b"---\nnever closed\n", "a file", "---\nnever closed"),
        (b"text\n\n---\n\nmore\n", "a file", "text\n\n---\n\nmore"),
        (b"a\0b\n", "a file", "a\ufffdb"),
    ],
)
def test_a_note_is_read_whatever_wrote_it(
    text: bytes, title: str, content: str, database: Database, note: Write
) -> None:
    bring(database, note("a-file.md", text))
    assert (only(database).title, only(database).content) == (title, content)


def test_folders_become_tags_and_hidden_ones_are_passed_over(database: Database, note: Write) -> None:
    note("git/undo, redo/one.md", "---\ntags: [git]\n---\none")
    note(".obsidian/two.md", "two")
    note("readme.txt", "three")
    assert counts(bring(database, note("UPPER.MD", "four"))) == (2, 0, 0, 0, 0)
    assert {entry.title: entry.tags for entry in database.entries()} == {"one": ("git", "undo  redo"), "UPPER": ()}


def test_a_note_that_cannot_be_read_is_left_out_whole_and_named(database: Database, note: Write) -> None:
    note("broken.md", "---\ntitle: [never closed\n---\nbody")
    note("list.md", "---\n- a\n- b\n---\nbody")
    note("empty.md", "  \n")
    os.symlink("nowhere", note("fine.md", "fine") / "dangling.md")
    report = bring(database, note("also fine.md", "also fine"))
    assert counts(report) == (2, 0, 0, 0, 4)
    for name in ("broken.md", "list.md", "empty.md", "dangling.md"):
        assert sum(name in problem for problem in report.problems) == 1


def test_names_that_are_not_utf8_do_not_hide_each_other(database: Database, tmp_path: Path) -> None:
    for name in (b"caf\xe9.md", b"caf\xe8.md"):
        (tmp_path / "notes").mkdir(exist_ok=True)
        Path(os.fsdecode(bytes(tmp_path / "notes") + b"/" + name)).write_bytes(b"about " + name[3:4].hex().encode())
    assert bring(database, tmp_path / "notes").added == 2
    assert counts(bring(database, tmp_path / "notes")) == (0, 0, 2, 0, 0)


def test_a_second_import_changes_nothing(database: Database, note: Write) -> None:
    for number in range(5):
        note(f"{number}.md", f"---\nid: n{number}\n---\n# note\n\n{number}" if number % 2 else f"# note\n\n{number}")
    note("copy.md", "# note\n\n0")
    assert bring(database, note("z.md", "z")).added in (6, 7)  # the copy may be one with the first
    before, revision = list(export_jsonl(database)), database.revision()
    again = bring(database, note("z.md", "z"))
    assert (again.added, again.updated, again.problems) == (0, 0, [])
    assert (list(export_jsonl(database)), database.revision()) == (before, revision)


@pytest.mark.parametrize("line", ["title: {}", "tags: [{}]", "solution: {}", "url: https://{}", "author: {}", "# {}"])
def test_a_changed_file_updates_its_entry(line: str, database: Database, note: Write) -> None:
    text = "---\n{}\n---\ntext" if ":" in line else "{}"
    bring(database, note("a.md", text.format(line.format("old")), mtime=1e9))
    assert counts(bring(database, note("a.md", text.format(line.format("new")), mtime=1.1e9))) == (0, 1, 0, 0, 0)
    assert "new" in repr(only(database)) and only(database).revision == 2
    assert counts(bring(database, note("a.md", text.format(line.format("new")), mtime=1.1e9))) == (0, 0, 1, 0, 0)


def test_two_notes_with_one_id_do_not_hide_each_other(database: Database, note: Write) -> None:
    note("a.md", "---\nid: same\n---\nabout one thing")
    folder = note("b.md", "---\nid: same\n---\nabout another")
    for _again in range(2):
        report = bring(database, folder)
        assert database.count() == 2 or any("b.md" in problem for problem in report.problems)
        assert database.get("same").content == "about one thing"


def test_an_old_time_in_the_front_matter_hides_no_change(database: Database, note: Write) -> None:
    front = "---\ncreated: 2024-01-01\nupdated: 2024-01-02\n---\n"
    bring(database, note("a.md", front + "old", mtime=1e9))
    assert counts(bring(database, note("a.md", front + "new", mtime=1.1e9))) == (0, 1, 0, 0, 0)
    assert only(database).content == "new"


def test_an_entry_edited_here_after_the_import_is_kept(database: Database, note: Write) -> None:
    bring(database, note("a.md", "# title\n\ntheirs", mtime=1e9))
    database.update(replace(only(database), content="ours", updated_at="2026-01-01T00:00:00.000Z"))
    assert counts(bring(database, note("a.md", "# title\n\ntheirs", mtime=1e9))) == (0, 0, 0, 1, 0)
    assert only(database).content == "ours"


def test_a_file_that_was_only_touched_takes_nothing_back(database: Database, note: Write) -> None:
    bring(database, note("a.md", "# title\n\ntheirs", mtime=1e9))
    database.update(replace(only(database), tags=("mine",), updated_at="2026-01-01T00:00:00.000Z"))
    bring(database, note("a.md", "# title\n\ntheirs", mtime=1.9e9))  # a checkout gives every file a new time
    assert only(database).tags == ("mine",)


def test_a_note_without_a_time_of_its_own_has_the_files(database: Database, note: Write) -> None:
    folder = note("a.md", "text", mtime=1_700_000_000)
    bring(database, folder)
    assert (only(database).created_at, only(database).source) == ("2023-11-14T22:13:20.000Z", str(folder / "a.md"))


@pytest.mark.parametrize("date", ["2024-05-06", "2024-05-05T23:30:00-05:00", "2024-05-07 01:00:00 +02:00"])
def test_a_date_of_any_form_is_compared_as_a_time(date: str, database: Database, note: Write) -> None:
    bring(database, note("a.md", f"---\ndate: {date}\n---\ntext"))
    assert database.count(Filters(since="2024-05-06T00:00:00", until="2024-05-07T00:00:00")) == 1


def jsonl(tmp_path: Path, *records: dict[str, Any] | str | bytes) -> Path:
    path = tmp_path / "records.jsonl"
    lines = [r if isinstance(r, bytes) else (r if isinstance(r, str) else json.dumps(r)).encode() for r in records]
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def test_a_record_keeps_its_id_and_what_it_lacks_is_filled_in(database: Database, tmp_path: Path) -> None:
    source = jsonl(
        tmp_path, {"id": "A_b-9"}, {"id": "x" * 64, "content": "\n\n# first line\nmore"}, {"title": "t", "stars": 5}
    )
    report = bring(database, source)
    assert (report.added, len(report.problems)) == (2, 1)  # nothing at all is no entry
    entry = database.get("x" * 64)
    assert (entry.title, entry.type, entry.content) == ("first line", "til", "\n\n# first line\nmore")
    [other] = [e for e in database.entries() if e.title == "t"]
    assert len(other.id) == 26 and other.extra == {"stars": 5} and other.created_at.endswith("Z")


@pytest.mark.parametrize(
    "line",
    [
        "not json", "[1]", '"text"', '{"title": "cut', '{"title": 5}', '{"title": "x", "id": "a b"}', b"\xff\xfe\x00",
        '{"title": "x", "id": ""}', '{"title": "x", "type": "thought"}', '{"title": "x", "tags": {"a": 1}}',
        '{"title": "x", "extra": []}', '{"title": "x", "rating": NaN}', '{"title": "x", "revision": 0}',
        '{"title": "x", "n": 1' + "0" * 5000 + "}", '{"title": "  "}', '{"title": "x", "status": "done"}',
        '{"title": "x", "revision": 1' + "0" * 30 + "}",
        '{"title": "x", "deep": ' + "[" * 100_000 + "]" * 100_000 + "}", '{"title": "x", "links": [{"target": "y"}]}',
        '{"title": "x", "deep": ' + '{"a":' * 1200 + "1" + "}" * 1200 + "}",
    ],
    ids=lambda line: str(line)[:40],
)  # fmt: skip
def test_a_bad_line_is_named_and_the_others_go_in(line: str | bytes, database: Database, tmp_path: Path) -> None:
    report = bring(database, jsonl(tmp_path, {"id": "one", "title": "one"}, "", line, {"id": "two", "title": "two"}))
    assert {"one", "two"} <= set(database.ids())
    assert report.problems == [] or (len(report.problems) == 1 and ":3: " in report.problems[0])
    assert report.added + len(report.problems) == 3


@pytest.mark.parametrize("line", ['{"id": "x", "title": "t", "note": "\\ud800"}', '{"id": "x", "title": "\\udfff t"}',
    '{"id": "x", "title": "t", "links": [{"target": "one", "relation": "related", "reason": "\\ud800"}]}',
    '{"id": "x", "title": "t", "links": [{"target": "\\ud800", "relation": "related"}]}',
    '{"id": "x", "title": "t", "links": [{"target": "x", "relation": "related"}]}'])  # fmt: skip
def test_half_a_surrogate_pair_or_a_bad_link_harms_nothing(line: str, database: Database, tmp_path: Path) -> None:
    bring(database, jsonl(tmp_path, {"id": "one", "title": "one"}, line, {"id": "two", "title": "two"}))
    assert {"one", "two"} <= set(database.ids())
    assert len([text.encode("utf-8") for text in export_jsonl(database)]) == database.count()
    assert all(text.encode("utf-8") for _name, text in export_markdown(database))


def test_a_byte_order_mark_does_not_cost_the_first_record(database: Database, tmp_path: Path) -> None:
    bring(database, jsonl(tmp_path, b'\xef\xbb\xbf{"id": "one", "title": "one"}\r', {"id": "two", "title": "two"}))
    assert set(database.ids()) == {"one", "two"}


def test_links_come_along_and_those_that_lead_nowhere_are_named(database: Database, tmp_path: Path) -> None:
    links = [{"target": "b", "relation": "supersedes", "reason": "why"}, {"target": "nowhere", "relation": "related"}]
    report = bring(database, jsonl(tmp_path, {"id": "a", "title": "a", "links": links}, {"id": "b", "title": "b"}))
    assert [(x.target, x.relation, x.reason) for x in database.links_of("b")] == [("b", "supersedes", "why")]
    assert len(report.problems) == 1 and "nowhere" in report.problems[0]


def test_the_record_written_later_wins(database: Database, tmp_path: Path) -> None:
    record = {"id": "a", "title": "old", "created_at": "2025-01-01T00:00:00Z", "updated_at": "2025-01-01T00:00:00Z"}
    bring(database, jsonl(tmp_path, record))
    newer, older = ({**record, "title": when, "updated_at": f"{when}-01-01T00:00:00Z"} for when in ("2026", "2024"))
    assert counts(bring(database, jsonl(tmp_path, newer))) == (0, 1, 0, 0, 0)
    assert counts(bring(database, jsonl(tmp_path, older))) == (0, 0, 0, 1, 0)
    assert only(database).title == "2026"
    latest = {**record, "title": "2027", "updated_at": "2027-01-01T00:00:00Z"}
    with Database(None) as other:  # twice in one file, as when one export is appended to another
        bring(other, jsonl(tmp_path, older, latest, newer))
        assert only(other).title == "2027"


@pytest.fixture
def rich(database: Database, make_entry: Callable[..., Entry]) -> Database:
    """A base whose entries use every field, in ways that are hard to write down."""
    hard = "two\nlines: 'quoted' \"too\" # no comment\n\t tab é 日本 💩 \u2028 \x1b[0m \x85\n---\nx: y"
    database.add_many(
        [
            make_entry(
                "# a title: 'hard' - \"to\" quote", f"# heading\n\n{hard}\n", id="all", type="bug",
                tags=("a b", "é", "1", "no"), project="null", situation=hard, solution=" leading",
                what_failed="trailing \n", errors=(hard, "E: 1", "~"),
                files=("a.c", "1.5"), source="https://x?a=b#c", revision=7, status="obsolete",
                extra={"k": [1, None, {"x": "ÿ\n"}], "f": 0.1}, superseded_by="bare",
            ),
            make_entry("2024-01-02", id="bare", created_at="2024-01-02T03:04:05", updated_at="2024-01-02"),
            make_entry("true", "---\nnot: front\n---\n\n  indented\n\n\nend\n\n", id="odd", tags=("true", "null")),
        ]
    )  # fmt: skip
    database.link(Link("all", "bare", "supersedes", "a\nreason", "2025-01-01T00:00:00.000Z"))
    database.link(Link("odd", "all", "related"))
    return database


def test_jsonl_out_in_and_out_again_is_the_same_to_the_byte(rich: Database, tmp_path: Path) -> None:
    lines = list(export_jsonl(rich))
    assert [json.loads(line)["id"] for line in lines] == sorted(rich.ids())
    with Database(tmp_path / "other.db") as other:
        report = bring(other, jsonl(tmp_path, *[line.rstrip("\n") for line in lines]))
        assert counts(report) == (3, 0, 0, 0, 0)
        assert list(export_jsonl(other)) == lines
        assert list(other.each()) == list(rich.each())


def test_markdown_out_and_in_again_keeps_every_field(rich: Database, tmp_path: Path) -> None:
    for name, text in export_markdown(rich):
        with replacing(tmp_path / "out" / name) as file:
            file.write(text)
    with Database(tmp_path / "other.db") as other:
        assert counts(bring(other, tmp_path / "out")) == (3, 0, 0, 0, 0)
        for entry in rich.each():  # blank lines around a Markdown text are not part of it
            found, wanted = (replace(e, content=e.content.strip("\n")) for e in (other.get(entry.id), entry))
            assert found == wanted


def test_an_export_that_fails_leaves_the_older_file(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("older")
    with pytest.raises(ZeroDivisionError), replacing(path) as file:
        file.write("half")
        raise ZeroDivisionError
    assert path.read_text() == "older" and os.listdir(tmp_path) == ["out.jsonl"]


def test_an_older_base_comes_in_whole_and_is_not_touched(database: Database, tmp_path: Path) -> None:
    source = tmp_path / "older" / "knowledge.db"
    source.parent.mkdir()
    source.write_bytes(OLD_BASE.read_bytes())
    assert counts(bring(database, source)) == (120, 0, 0, 0, 0)
    assert source.read_bytes() == OLD_BASE.read_bytes()
    assert os.listdir(source.parent) == ["knowledge.db"]
    assert database.count_links() == 17
    assert any(entry.solution for entry in database.each()) and database.counts_by("tag")
    before = list(export_jsonl(database))
    assert counts(bring(database, source)) == (0, 0, 120, 0, 0)
    assert list(export_jsonl(database)) == before


def test_the_base_itself_is_refused_and_so_is_what_is_not_there(home: dict[str, str], tmp_path: Path) -> None:
    rekall = Rekall(home | {"PYTHONPATH": str(REPOSITORY), "REKALL_DB": "a.db"}, tmp_path)
    jsonl(tmp_path, {"id": "a", "title": "a"}, "broken")
    done = rekall("import", "records.jsonl", "--no-wait")
    assert (done.status, done.output) == (2, "") and "records.jsonl:2: " in done.errors
    assert "1 added, 1 left out" in done.errors
    os.symlink("a.db", tmp_path / "same.db")
    for name in ("a.db", "same.db"):
        done = rekall("import", name)
        assert done.status == 2 and "base itself" in done.errors
    with pytest.raises(UsageError, match="nowhere"):
        read_source(tmp_path / "nowhere")


def test_two_imports_at_once_bring_each_note_in_once(
    database: Database, note: Callable[..., Path], tmp_path: Path
) -> None:
    """One import is stopped before its first batch is stored, while another brings the same notes in."""
    for number in range(5):
        note(f"{number}.md", f"text {number}")

    def records() -> Iterator[Found]:
        found = list(read_source(tmp_path / "notes"))
        with Database(database.path) as other:
            assert bring(other, tmp_path / "notes").added == 5
        yield from found

    report = bring_in(database, records(), lambda _count: None)
    assert (report.added, report.unchanged, database.count()) == (0, 5, 5)


def test_a_pipe_is_read_from_its_beginning(database: Database, tmp_path: Path) -> None:
    pipe = tmp_path / "records"
    os.mkfifo(pipe)
    lines = "".join(json.dumps({"id": f"e{number}", "title": "t" * 100}) + "\n" for number in range(200))
    writer = threading.Thread(target=pipe.write_text, args=(lines,))
    writer.start()
    assert bring(database, pipe).added == 200
    writer.join()
