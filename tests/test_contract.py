"""Every promise of the command line (docs/commands.md), kept by real processes on real bases."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from running import NOTED, REPOSITORY, Answer, Rekall, rekall_in

from rekall.db import Database
from rekall.entry import Entry


@pytest.fixture
def rekall(home: dict[str, str]) -> Rekall:
    return rekall_in(home)


@pytest.fixture
def noted(rekall: Rekall, make_entry: Callable[..., Entry]) -> Rekall:
    """A base with a few entries, none embedded yet."""
    with Database(rekall.base) as database:
        database.add_many([make_entry(**fields) for fields in NOTED])
    return rekall


# --- exit status and streams ---


def test_statuses_tell_found_from_nothing_from_error(noted: Rekall) -> None:
    table = {
        ("search", "--words", "commit"): 0, ("search", "--words", "unheard"): 1, ("search",): 1, ("search", " "): 1,
        ("list",): 0, ("list", "-t", "config"): 1, ("list", "-t", "nonsense"): 2, ("show", "undo"): 0,
        ("export",): 0, ("stats",): 0, ("index", "status"): 0, ("index", "verify"): 0, ("config", "list"): 0,
        ("help",): 0, ("--version",): 0, ("nonsense",): 2, ("import", "nowhere"): 2, ("--db",): 2,
    }  # fmt: skip
    assert {words: noted(*words).status for words in table} == table


def test_an_unknown_id_is_an_error_for_every_command_that_takes_one(noted: Rekall) -> None:
    for words in (
        ("show", "zz"), ("edit", "zz", "--title", "x"), ("delete", "zz"), ("tag", "zz", "+x"), ("similar", "zz"),
        ("link", "undo", "zz"), ("link", "zz", "undo"), ("unlink", "undo", "zz"),
    ):  # fmt: skip
        answer = noted(*words)
        assert (answer.status, answer.output) == (2, "") and "zz" in answer.errors


def test_an_id_may_be_shortened_until_it_fits_two(noted: Rekall) -> None:
    assert json.loads(noted("show", "u", "--json").output)["id"] == "undo"
    assert noted("show", "cpp").status == 2
    assert noted("tag", "cpp-2", "+new", "-git").output == "disk, new\n"


def test_an_id_that_begins_with_a_dash_can_be_named(noted: Rekall) -> None:
    (noted.cwd / "a.jsonl").write_text('{"id": "-dash", "title": "an id of another tool"}\n')
    assert noted("import", "--no-wait", "a.jsonl").status == 0
    assert json.loads(noted("show", "--json", "--", "-dash").output)["id"] == "-dash"


def test_stdout_is_data_and_stderr_is_for_people(rekall: Rekall) -> None:
    added = rekall("add", "til", "The disk is full", "-c", "du -sh *", "-t", "disk")
    assert re.fullmatch(r"[0-9A-Z]{26}\n", added.output) and added.status == 0
    found = rekall("search", "no space left")
    assert (found.status, found.errors) == (0, "")
    assert rekall.on_terminal("search", "no space left").startswith("Loading the model…\n")  # said to a person only
    assert json.loads(rekall("index", "status", "--json").output)["pending"] == 0


# --- the words of a command line ---


def test_options_stand_before_or_after_the_words(noted: Rekall) -> None:
    orders = (
        ["--words", "--json", "last", "commit"],
        ["last", "--words", "commit", "--json"],
        ["last", "commit", "--json", "--words"],
    )
    answers = {noted("search", *order).output for order in orders}
    assert len(answers) == 1 and '"undo"' in answers.pop()
    for order in (
        ["-t", "a,b", "til", "two words"],
        ["til", "-t", "a,b", "two", "words"],
        ["til", "two", "words", "-t", "a,b"],
    ):
        shown = json.loads(noted("show", noted("add", *order).output.strip(), "--json").output)
        assert (shown["title"], shown["tags"]) == ("two words", ["a", "b"])


def test_after_two_dashes_everything_is_text(noted: Rekall) -> None:
    assert json.loads(noted("search", "--words", "--json", "--", "--words", "-").output)["query"] == "--words -"
    answer = noted("search", "--words", "--json", "--", "-", stdin=b"commit")
    assert json.loads(answer.output) == {"query": "-", "hits": []}
    key = noted("add", "til", "--", "-C", "--json", "comes -- first").output.strip()
    assert json.loads(noted("show", key, "--json").output)["title"] == "-C --json comes -- first"


def test_words_that_are_not_utf8_are_taken(noted: Rekall) -> None:
    key = noted("add", "til", b"a \xff title", "-t", b"\xff", "--error", b"\xff").output.strip()
    assert json.loads(noted("show", key, "--json").output)["title"] == "a \ufffd title"
    for words in (("show", b"\xff"), ("import", b"\xff"), ("config", "set", "embeddings.model", b"x\xff"), (b"\xff",)):
        assert noted(*words).status == 2, words
    assert noted("list", "--tag", b"\xff").status == 0


def test_what_is_piped_into_the_bare_command_is_a_search(noted: Rekall) -> None:
    assert noted(stdin=b"last commit\n").output.startswith("undo")
    assert noted(stdin=b"").status == 1
    assert noted("--db", "none.db", stdin=b"last commit").status == 1


# --- formats ---


def test_json_has_one_shape_also_when_nothing_is_found(noted: Rekall) -> None:
    found = json.loads(noted("search", "--words", "--json", "disk").output)
    assert (found["query"], [hit["id"] for hit in found["hits"]]) == ("disk", ["cpp-2"])
    hit = found["hits"][0]
    assert {"id", "type", "title", "tags", "project", "score", "snippet"} <= set(hit)
    assert (hit["type"], hit["tags"], hit["project"], hit["snippet"]) == ("bug", ["disk", "git"], None, "du -sh *")
    assert isinstance(hit["score"], float)
    for nothing in (
        ("search", "--json", "--words", "unheard"),
        ("search", "--json"),
        ("list", "--json", "-t", "config"),
    ):
        answer = noted(*nothing)
        assert answer.status == 1 and json.loads(answer.output) == {
            "query": " ".join(nothing[3:][: nothing[0] == "search"]),
            "hits": [],
        }
    listed = json.loads(noted("list", "--json").output)
    assert set(listed) == set(found) and all(set(other) == set(hit) for other in listed["hits"])
    assert [other["id"] for other in listed["hits"]] == ["undo", "cpp-2", "cpp-1"]


def test_lines_tabs_and_nuls_carry_the_same_hits(noted: Rekall) -> None:
    words = ("search", "--words", "disk", "commit")
    hits = json.loads(noted(*words, "--json").output)["hits"]
    assert [json.loads(line) for line in noted(*words, "--jsonl").output.splitlines()] == hits
    rows = [line.split("\t") for line in noted(*words, "--tsv").output.splitlines()]
    assert [(row[0], row[-1]) for row in rows] == [(hit["id"], hit["title"]) for hit in hits]
    whole = noted(*words, "-0").output
    assert whole.endswith("\0") and len(whole.split("\0")) == len(hits) + 1
    assert "git reset --soft HEAD~1" in whole
    for form in ("--jsonl", "--tsv", "-0"):
        assert noted("search", "--words", "unheard", form) == Answer(1, "", "")


def test_each_line_is_answered_by_one_object_in_order(noted: Rekall) -> None:
    long = b"commit " * 200_000
    lines = [b"commit", b"", b"  ", b"\xff\xfe", b"a\0b", b"disk\r", b"-", b"--words", long, b"unheard"]
    answer = noted("search", "-", "--each-line", "--words", "-n", "1", stdin=b"\n".join(lines))
    found = [json.loads(line) for line in answer.output.splitlines()]
    assert len(found) == len(lines) and answer.status == 0
    ids = [[hit["id"] for hit in one["hits"]] for one in found]
    assert ids == [["undo"], [], [], [], [], ["cpp-2"], [], [], ["undo"], []]
    assert noted("search", "-", "--each-line", "--words", "-t", "config", stdin=b"commit\n\n").status == 1
    assert noted("search", "-", "--each-line").output == ""
    filtered = noted("search", "-", "--each-line", "--words", "--tag", "disk", stdin=b"git\n")
    assert [hit["id"] for hit in json.loads(filtered.output)["hits"]] == ["cpp-2"]


@pytest.mark.timeout(20)
def test_each_line_is_answered_before_the_next_is_written(noted: Rekall) -> None:
    with noted.start("search", "-", "--each-line", "--words") as process:
        assert process.stdin and process.stdout
        for query in ("commit", "disk", "unheard"):
            process.stdin.write(query.encode() + b"\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["query"] == query
        process.stdin.close()
        assert process.wait(30) == 0


ODD = [
    "C++",
    "can't",
    "foo-bar",
    '"',
    "(",
    "*",
    "NEAR(",
    "AND",
    "OR NOT",
    "title:",
    "^x",
    "{a b}: c",
    "%s",
    "\\",
    "a\nb",
]
ODD += ["💩", "''", "?1", "'; DROP"]


def test_no_query_is_an_error(noted: Rekall) -> None:
    asked = [*(query.encode() for query in ODD), b"\xff\xfe", b"\xed\xa0\x80", b"", b"x" * 100_000, b"word " * 20_000]
    for query in asked:
        assert noted("search", "--words", b"--", query).status in (0, 1), query[:20]
    for query in (b"a\0b", b"\0", b"\xff", b"word \xff" * 20_000):
        assert noted("search", "-", stdin=query).status == 0, query[:20]  # by meaning something is always near
    lines = noted("search", "-", "--each-line", stdin="\n".join(ODD).encode())
    assert len(lines.output.splitlines()) == len(ODD) + 1  # one of them is two lines
    assert noted("search", "--words", "C++ templates").output.startswith("cpp-1")


# --- which base ---


def test_the_base_is_named_found_or_the_users(rekall: Rekall) -> None:
    project = rekall.cwd / "project"
    inner = project / "src" / "deep"
    inner.mkdir(parents=True)
    (project / ".rekall").mkdir()
    (project / ".rekall" / "config.toml").write_text("this would be an error")
    (Path(rekall.env["HOME"]) / ".rekall").mkdir()  # the home folder itself is no project
    (project / "src" / ".rekall").write_text("a file is no project either")
    named = {"REKALL_DB": "named.db"}
    for words, env, base in (
        (("--db", "option.db"), named, inner / "option.db"),
        ((), named, inner / "named.db"),
        ((), {"REKALL_DB": ""}, project / ".rekall" / "rekall.db"),
        (("--global",), {}, rekall.base),
        (("--global",), {"XDG_DATA_HOME": ""}, Path(rekall.env["HOME"], ".local/share/rekall/rekall.db")),
        (("--global",), {"XDG_DATA_HOME": "relative"}, Path(rekall.env["HOME"], ".local/share/rekall/rekall.db")),
    ):
        status = rekall("index", "status", "--json", *words, cwd=inner, **env)
        assert json.loads(status.output)["base"] == str(base)
    assert json.loads(rekall("index", "status", "--json", cwd=project.parent).output)["base"] == str(rekall.base)
    assert json.loads(rekall("index", "status", "--json", cwd=Path("/")).output)["base"] == str(rekall.base)


def test_a_base_is_private_and_made_by_the_first_write(rekall: Rekall) -> None:
    for words in (
        ("list",),
        ("search", "x"),
        ("search", "-", "--each-line"),
        ("export",),
        ("stats",),
        ("index", "status"),
    ):
        rekall(*words, stdin=b"x\n")
    assert not rekall.base.parent.exists()
    assert rekall("add", "til", "first").status == 0
    assert (rekall.base.stat().st_mode & 0o777, rekall.base.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_reading_changes_no_byte(noted: Rekall) -> None:
    before = noted.base.read_bytes()
    for words in (
        ("list",), ("show", "undo"), ("search", "--words", "commit"), ("export",), ("stats",),
        ("index", "status"), ("index", "verify"), ("tag", "undo"),
    ):  # fmt: skip
        assert noted(*words).status == 0
    assert noted.base.read_bytes() == before
    assert os.listdir(noted.base.parent) == ["rekall.db"]


def test_an_older_base_is_offered_and_one_that_is_opened_is_backed_up(rekall: Rekall) -> None:
    older = rekall.base.with_name("knowledge.db")
    older.parent.mkdir(parents=True)
    data = (REPOSITORY / "tests" / "data" / "rekall-v11.db").read_bytes()
    older.write_bytes(data)
    answer = rekall("list")
    assert answer.status == 1 and str(older) in answer.errors and "import" in answer.errors
    assert older.read_bytes() == data and not rekall.base.exists()
    answer = rekall("list", "--db", str(older))
    assert answer.status == 0 and len(answer.output.splitlines()) == 120
    [backup] = older.parent.glob("knowledge.db.v11-*.bak")
    assert str(backup) in answer.errors


# --- index, stats, import ---


def test_import_returns_when_all_is_embedded_or_when_it_is_stored(rekall: Rekall) -> None:
    (rekall.cwd / "a.jsonl").write_text("".join(f'{{"id": "n{n}", "content": "note {n}"}}\n' for n in range(5)))

    def pending() -> int:
        return int(json.loads(rekall("index", "status", "--json").output)["pending"])

    assert rekall("import", "a.jsonl", "--no-wait").status == 0 and pending() == 5
    assert json.loads(rekall("index", "verify", "--json").output)["in_step"] is True  # waiting is no drift
    assert rekall("import", "a.jsonl").status == 0 and pending() == 0
    memory = json.loads(rekall("stats", "--memory", "--json").output)
    assert memory["model_state"] == "not loaded"
    told = rekall("stats", "--memory").output
    assert "not loaded" in told and "10 minutes" in told and " MB" in told


def test_drift_is_found_and_rebuild_mends_it(noted: Rekall) -> None:
    with Database(noted.base) as database:
        database.connection.execute("DELETE FROM tags")
        database.connection.execute("INSERT INTO entries_fts(entries_fts) VALUES ('delete-all')")
    for form in ((), ("--json",)):
        answer = noted("index", "verify", *form)
        assert answer.status == 2 and "words" in answer.output and "tags" in answer.output
    assert noted("search", "--words", "commit").status == 1
    assert noted("index", "rebuild").status == 0
    assert noted("index", "verify").status == 0
    assert noted("search", "--words", "commit").status == 0


def test_a_model_that_will_not_run_leaves_words(noted: Rekall) -> None:
    assert noted("config", "set", "embeddings.model", "nonsense").status == 0
    answer = noted("search", "last commit")
    assert (answer.status, answer.output.split()[0]) == (0, "undo") and "nonsense" in answer.errors
    assert noted("search", "--semantic", "last commit").status == 2
    added = noted("add", "til", "kept all the same")
    assert added.status == 0 and "nonsense" in added.errors
    assert noted("search", "--words", "kept").status == 0
    assert noted("similar", "undo").status == 2
