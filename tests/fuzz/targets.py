"""What is fuzzed: each target takes any bytes and may raise nothing; what the user can mend is no crash.

The seeds are inputs that reach deep; `run.py` mutates them for as long as it is told, tests/test_fuzz.py a little in every run.
What once crashed is tried for ever: `crashed`.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import struct
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import conversing

from rekall import command_line, config, frames, sources
from rekall.capture import read_markdown, to_markdown
from rekall.db import Database
from rekall.entry import Entry, clean_text, from_record, to_record
from rekall.error_lines import error_lines, has_named_error
from rekall.errors import InvalidEntry, RekallError
from rekall.evidence import question
from rekall.fingerprint import fingerprint, of_entry
from rekall.likeness import likeness
from rekall.printed import Kept
from rekall.protocol import Terminal
from rekall.query import Filters, parse_time, terms, typed
from rekall.redact import redacted
from rekall.render import entry_lines, entry_text
from rekall.verify import verify

DATA = Path(__file__).parent.parent / "data"
STAMP = "2026-01-02T03:04:05.678Z"
_PIPE = Terminal()
_FOLDER = Path(tempfile.mkdtemp(prefix="rekall-fuzz"))
atexit.register(shutil.rmtree, _FOLDER, ignore_errors=True)


@dataclass(frozen=True)
class Target:
    """One way in. `seeds` are made when they are asked for."""

    run: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]
    share: int = 1  # of the inputs of one round; a base takes a thousand times as long as a query
    crashed: tuple[bytes, ...] = ()


@cache
def _base() -> Database:
    """A small base in memory with something of every kind."""
    database = Database(None)
    for number, title in enumerate(("C++ can't be foo-bar", "disk full", "déjà vu", "日本語 x", "a_b camelCase")):
        texts = {
            "content": f"words of {title} " * 3,
            "errors": (f"error[E{number}]: {title}",),
            "tags": (f"t{number}",),
        }
        database.add(Entry(id=f"e{number}", type="til", title=title, created_at=STAMP, updated_at=STAMP, **texts))  # type: ignore[arg-type]
    return database


def query(data: bytes) -> None:
    """Any text is a query, whole or being typed."""
    text = clean_text(data.decode("utf-8", "surrogateescape"))
    terms(text)
    typed(text)
    for is_typing in (False, True):
        found = _base().search_words(text, 5, Filters(), is_typing).found
        assert len(found) <= 5
    with suppress(RekallError):
        parse_time(text)


def words(data: bytes) -> None:
    """Any command line is understood or refused."""
    with suppress(RekallError):
        command_line.parse([os.fsdecode(word) for word in data.split(b"\0")])


def frames_in(data: bytes) -> None:
    """Any bytes are frames or a bad frame, however they are cut, and what is read says what was sent."""
    whole, cut = frames.Reader(), frames.Reader()
    with suppress(frames.BadFrame):
        found = list(whole.feed(data))
        half = len(data) // 2
        assert [*cut.feed(data[:half]), *cut.feed(data[half:])] == found
        for _kind, payload in found:
            _hello(payload)
    _hello(data)


def _hello(payload: bytes) -> None:
    with suppress(frames.BadFrame):
        hello = frames.Hello.decode(payload)
        if hello.protocol == frames.PROTOCOL:
            assert frames.Hello.decode(hello.encode()) == hello


def jsonl(data: bytes) -> None:
    """Any line is an entry that can be stored and comes out as it went in, or is named as none."""
    with suppress(InvalidEntry):
        found = sources._read_line("a.jsonl:1", data)
        assert (found.entry is None) == bool(found.problem or found.deleted)
        if found.entry:
            _comes_back(found.entry)


def _comes_back(entry: Entry) -> None:
    text = json.dumps(to_record(entry))
    assert from_record(json.loads(text), exact=True) == entry
    base = _base()
    with suppress(_Undone), base.transaction():
        if not base.get_many([entry.id]):
            base.add(entry)
            assert base.get(entry.id) == entry
            assert entry_text(entry, [], _PIPE) and entry_lines([entry], {entry.id: entry.id}, _PIPE)
            of_entry(entry)
        raise _Undone


class _Undone(Exception):
    """Takes back what was tried."""


def markdown(data: bytes) -> None:
    """Any note is an entry or named as none; what rekall writes of it says the same when read again."""
    with suppress(InvalidEntry):
        record = read_markdown(data.decode("utf-8", "replace"))
        entry = sources._entry_of_note(dict(record), "/notes/a-note.md", ("notes",), STAMP)
        _comes_back(entry)
        again = read_markdown(to_markdown(entry, whole=True))
        if b"\r" not in data:  # a CR at the end of a text becomes part of a line end
            assert from_record({**to_record(entry), **again}) == entry


def settings(data: bytes) -> None:
    """Any file of settings is read or refused, and one setting is changed or refused."""
    path = _FOLDER / "config.toml"
    path.write_bytes(data)
    with suppress(RekallError):
        read = config.Config.load(path)
        setting = config.setting_named("server.idle_timeout_minutes")
        config.write_setting(path, setting, 7)
        changed = config.Config.load(path)
        assert changed.number(setting.key) == 7 and changed.text("embeddings.model") == read.text("embeddings.model")


def output(data: bytes) -> None:
    """Any output is read as lines of bounded length, however it comes, and asked about or not."""
    kept = Kept(2048, 2048)
    for first in range(0, len(data), 700):
        kept.add(data[first : first + 700])
    lines = kept.lines()
    for line in error_lines(lines):
        print_ = fingerprint(line.text)
        assert likeness(print_, print_) in (0.0, 1.0)
        assert not print_ or fingerprint(print_.text) == print_
    asked = question(lines)
    assert len(asked.prints) == len(set(asked.prints)) >= len(asked.asked)
    for line in lines:
        has_named_error(line)
        assert redacted(redacted(line)) == redacted(line)


def old_base(data: bytes) -> None:
    """Any file in place of a base, an older rekall's or ours, is carried over, answers, or is refused."""
    folder = Path(tempfile.mkdtemp(dir=_FOLDER))
    path = folder / "rekall.db"
    path.write_bytes(data)
    try:
        with suppress(RekallError), Database(path) as database:
            for entry in database.entries(limit=20):
                with suppress(RekallError):
                    database.links_of(entry.id)
            database.search_words("disk commit the", 5)
            database.get_all_vectors_batch("all-MiniLM-L6-v2")
            verify(database)
            list(database.each())
    finally:
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()


# --- seeds ---


def _query_seeds() -> list[bytes]:
    texts = (
        '"a b" -c OR (d*) NEAR/3',
        "C++ foo-bar can't",
        "type:bug tag:x since:2w",
        "col:umn ^x a^b",
        "日本語 é",
        "-",
        "30d",
    )
    return [text.encode() for text in texts]


def _word_seeds() -> list[bytes]:
    lines = (
        "search a -n 3 --since 2w --json", "add til x -c - -t a,b", "list --tag x -0", "link a b -r related",
        "config set a.b 3", "--db x tag a +b -c", "help add", "search - --each-line", "server status --json", "import x",
    )  # fmt: skip
    return [line.replace(" ", "\0").encode() for line in lines]


def _frame_seeds() -> list[bytes]:
    hello = frames.Hello("0.4", Path("/x"), "io", 80, 24, {"HOME": "/h", "LANG": "fr"}, ("search", "é"))
    return [
        hello.encode(),
        frames.frame(b"H", hello.encode()) + frames.frame(b"G") + frames.frame(b"I", b"text") + frames.frame(b"E"),
        frames.frame(b"W", struct.pack(">HH", 80, 24)) + frames.frame(b"K", b"x") + frames.frame(b"X", b"\0"),
        frames.child(["rekall-py", "edit", "x"], b"text"),
    ]


def _jsonl_seeds() -> list[bytes]:
    whole = to_record(_base().get("e1")) | {"links": [{"target": "e2", "relation": "related", "reason": "r"}]}
    odd = rb'{"title":"\ud800\u0000","tags":["a, b",5,true],"extra":{"a":[1e400]},"created_at":"2026-01-01T00:00:00+09:00"}'
    return [json.dumps(whole).encode(), odd, b'{"content":"# h\\nx","trigger_keywords":["a"],"revision":3}', b"[]"]


def _markdown_seeds() -> list[bytes]:
    whole = to_markdown(_base().get("e1"), whole=True)
    odd = "---\ntitle: 2026-01-01\ntags: a b, c\nid: [x]\nextra: {a: .nan, b: !!set {c}}\nTYPE: bug\n---\n# h #\nx"
    return [
        whole.encode(),
        odd.encode(),
        b"# heading\n\n```sh\nx\n```\n",
        b"---\na: &x [*x]\nb: !!python/object:os.system {}\n---\n",
    ]


def _settings_seeds() -> list[bytes]:
    return [
        b"[server]\nidle_timeout_minutes = 60 # why\n[performance]\nvector_backend = 'auto'\ncache_ttl = 5\n",
        b'embeddings.model = "x"\nserver = 5\n', b"[[server]]\na = [1, {b = 1979-05-27T07:32:00Z}]\n", b"server = {a = 1}\n",
    ]  # fmt: skip


def _output_seeds() -> list[bytes]:
    paths = sorted(path for path in (DATA / "outputs").rglob("*") if path.is_file())
    return [path.read_bytes()[:4000] for path in paths[::4]] + [b"\x1b[31merror\x1b[0m: x\r\n50%\r100%\b\b\n\x9b1mE\n"]


@cache  # the file is made once
def _base_seeds() -> list[bytes]:
    ours = _FOLDER / "seed.db"
    with Database(ours) as database:
        database.add_many(_base().entries())
    seeds = [path.read_bytes() for path in sorted(DATA.glob("rekall-v*.db"))]
    return [*seeds, ours.read_bytes(), b"", b"SQLite format 3\0"]


TARGETS = {
    "query": Target(query, _query_seeds, 60),
    "words": Target(words, _word_seeds, 60),
    "frames": Target(frames_in, _frame_seeds, 400),
    "conversation": Target(conversing.converse, conversing.seeds, 60, (conversing.said(("list",), (b"W", b"x")),)),
    "jsonl": Target(jsonl, _jsonl_seeds, 200),
    "markdown": Target(markdown, _markdown_seeds, 20),
    "settings": Target(settings, _settings_seeds, 15, (b"\r[server]\n", b"server = 5\r")),
    "output": Target(output, _output_seeds, 15),
    "bases": Target(old_base, _base_seeds, 2),
}
