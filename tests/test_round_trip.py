"""An export into an empty base and out again is the same to the byte, whatever the base holds and however it came in."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from running import Rekall, rekall_in

from rekall.db import Database
from rekall.entry import Entry, Link
from rekall.exchange import bring_in
from rekall.exports import export_jsonl
from rekall.sources import read_source

STAMP = "2026-01-02T03:04:05.678Z"


@pytest.fixture
def rekall(home: dict[str, str]) -> Rekall:
    return rekall_in(home)


def stored(text: str) -> str:
    return text.replace("\x00", "")


TEXTS = (st.text(max_size=12) | st.sampled_from(
    ["\u00a0x", " x ", "a\u2028b", "a\u0085b\x0c", "\u3000", "x\r\ny", "a\tb", "\ufeffx", "e\u0301", "é", "\x1b[0m", "a,b", "💩"]
)).map(stored)  # fmt: skip
LISTS = st.lists(TEXTS, max_size=3).map(tuple)
JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
                    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2), max_leaves=4)  # fmt: skip


@given(
    st.lists(
        st.builds(
            Entry,
            id=st.from_regex(r"[A-Za-z0-9_-]{1,8}", fullmatch=True), type=st.sampled_from(["bug", "til"]),
            title=TEXTS.map("{}.".format), content=TEXTS, tags=LISTS,
            project=st.none() | TEXTS, status=st.sampled_from(["active", "obsolete"]), superseded_by=st.none() | st.just("a"),
            situation=TEXTS, solution=TEXTS, what_failed=TEXTS,
            errors=LISTS, files=LISTS,
            source=st.none() | TEXTS, created_at=st.sampled_from([STAMP, "2024-01-02", "2024-01-02T03:04:05+02:00"]),
            updated_at=st.sampled_from([STAMP, "2024-01-02T03:04:05"]), revision=st.integers(1, 2**40), extra=st.dictionaries(TEXTS, JSON, max_size=2),
        ),
        max_size=3, unique_by=lambda entry: entry.id,
    ),
    st.lists(st.tuples(st.integers(0, 2), TEXTS), max_size=3),
)  # fmt: skip
def test_an_export_into_an_empty_base_and_out_again_is_the_same_to_the_byte(
    entries: list[Entry], edits: list[tuple[int, str]]
) -> None:
    """Whatever a base holds, by whatever way it came in; the marks of earlier versions too."""
    with Database(None) as database, tempfile.TemporaryDirectory() as folder:
        database.add_many(entries)
        for number, text in edits:
            if number < len(entries):
                database.update(replace(database.get(entries[number].id), content=text, updated_at=f"2026-{text}"))
                if number:
                    database.link(Link(entries[0].id, entries[number].id, "related", text, STAMP))
        lines = list(export_jsonl(database))
        path = Path(folder) / "all.jsonl"
        path.write_bytes("".join(lines).encode())
        with Database(None) as other:
            report = bring_in(other, read_source(path), lambda _count: None, allow_secrets=True)
            assert report.problems == [] and list(export_jsonl(other)) == lines


def test_all_that_the_command_line_writes_comes_back_to_the_byte(rekall: Rekall) -> None:
    first = rekall(
        "add", "bug", "  \u00a0a\u2003title \u2028 with\ttabs\u00a0 ", "-t", "a b,é", "-p", "shop \u3000x", "--error", "E: 1\r\n  at x", "--error", "boom",
        "--situation", " s\n", "--solution", "\tfix  ", "--what-failed", "all", "--file", "a b.c", "--source", "https://x?a=b", "-c", "# x\r\n\n y \n",
    ).output.strip()  # fmt: skip
    second = rekall("add", "til", "second").output.strip()
    rekall("edit", first, "--title", "\u3000another\u00a0", "--error", "")
    rekall("tag", second, "+x", "+y")
    rekall("link", second, first, "-r", "supersedes", "--reason", "works\nsince")
    lines = rekall("export").output
    assert json.loads(lines.splitlines()[0])["status"] == "obsolete" and '"earlier": ["' in lines
    (rekall.cwd / "all.jsonl").write_bytes(lines.encode())
    assert rekall("--db", "new.db", "import", "all.jsonl", "--no-wait").status == 0
    assert rekall("--db", "new.db", "export").output == lines
    assert rekall("--db", "merged.db", "merge", "all.jsonl", "--no-wait").status == 0
    assert rekall("--db", "merged.db", "export").output == lines


def test_a_field_called_earlier_of_another_tool_is_kept(rekall: Rekall) -> None:
    (rekall.cwd / "a.jsonl").write_text('{"id": "a", "title": "t", "earlier": "this morning"}\n')
    assert rekall("import", "a.jsonl", "--no-wait").status == 0
    assert json.loads(rekall("show", "a", "--json").output)["extra"] == {"earlier": "this morning"}
