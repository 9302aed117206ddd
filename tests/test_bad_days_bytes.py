"""Bad days of what comes in: a gigabyte, a book, 100,000 tags, bytes that are no text, names that are no names, a wrong clock."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from bad_days import Day, measured
from running import wait_for
from warm import PROGRAMS, Warm, rounds

from rekall.memory import process_memory

DOORS = {"cold": ("rekall-py", "--no-server"), "warm": ("rekall",)}
MB = 1 << 20


@pytest.fixture
def day(warm: Warm) -> Day:
    return Day(warm)


def through(door: str) -> list[str | Path]:
    program, *words = DOORS[door]
    return [PROGRAMS / program, *words]


@pytest.mark.torture
@pytest.mark.parametrize("door", DOORS)
def test_a_gigabyte_is_read_to_its_end_in_little_memory(door: str, day: Day) -> None:
    """The source ends well: `head` is not killed by a closed pipe, so `search` has read it all."""
    size = rounds(100, 300, 1000) * 1_000_000
    assert day.both("add", "til", "first", "-c", "kept words").status == 0
    source = f"{{ yes 'a line that fails at nothing' | head -c {size}; echo; echo 'error: kept words'; }}"
    answer, peak = measured([*through(door), "search", "-", "--as", "query"], source, day.warm)
    assert (answer.status, answer.output.count("first")) == (0, 2)
    assert peak < 250 * MB
    if door == "warm":
        day.assert_warm()
        assert max(process_memory(pid).get("rss", 0) for pid in day.warm.servers()) < 250 * MB


@pytest.mark.torture
@pytest.mark.parametrize("door", DOORS)
def test_a_gigabyte_without_a_line_end_is_one_line_of_queries(door: str, day: Day) -> None:
    size = rounds(100, 300, 1000) * 1_000_000
    assert day.cold("add", "til", "first").status == 0
    words = [*through(door), "search", "-", "--each-line", "--words"]
    answer, peak = measured(words, f"{{ head -c {size} /dev/zero; echo; echo first; }}", day.warm)
    assert answer.status == 0 and answer.output.count("\n") == 2 and '"first"' in answer.output
    assert peak < 400 * MB


@pytest.mark.torture
@pytest.mark.parametrize("door", DOORS)
def test_what_is_too_large_for_an_entry_is_refused_with_the_limit(door: str, day: Day) -> None:
    size = rounds(100, 300, 1000) * 1_000_000
    words = [*through(door), "add", "til", "too large", "-c", "-"]
    answer, peak = measured(words, f"yes 'a line of it' | head -c {size}", day.warm)
    assert (answer.status, answer.output) == (2, "")
    assert answer.errors.startswith("rekall: the content is larger than 64 MB; keep a part of it")
    assert peak < 300 * MB
    assert day.both("list").status == 1


@pytest.mark.torture
@pytest.mark.timeout(600)
def test_an_entry_of_fifty_megabytes_is_an_entry(day: Day) -> None:
    size = rounds(5, 20, 50) * 1_000_000
    text = b"".join(b"line %d of it is kept whole\n" % number for number in range(1_700_000))[:size]
    added = day.hot("add", "til", "the whole log", "-c", "-", input=text)
    assert added.status == 0, added
    key = added.output.strip()
    day.warm.end()  # it embeds the beginning of it for a while
    assert day.both("search", "--words", "100000").output.startswith(key[:6])
    assert day.both("list").output.count("the whole log") == 1
    shown = json.loads(day.both("show", key, "--json").output)
    assert shown["content"] == text.decode().rstrip("\n")
    assert day.hot("delete", key).status == 0
    assert day.both("list").status == 1


def test_a_hundred_thousand_tags_on_one_entry_are_all_found(day: Day) -> None:
    record = {"id": "many", "title": "many tags", "tags": [f"tag{number}" for number in range(100_000)]}
    (day.warm.cwd / "tags.jsonl").write_text(json.dumps(record) + "\n")
    assert day.cold("import", "tags.jsonl", "--no-wait").status == 0
    assert day.both("list", "--tag", "tag99999").output == "many  til  many tags\n"
    assert day.both("search", "--words", "tag77777").output.startswith("many")
    assert len(json.loads(day.both("show", "many", "--json").output)["tags"]) == 100_000
    assert day.hot("tag", "many", "+one", "-tag5").output.endswith("tag99999, one\n")
    assert day.hot("stats").status == 0
    assert day.cold("index", "verify").status == 0
    assert day.hot("delete", "many").status == 0
    assert day.both("list", "--tag", "one").status == 1


def test_a_hundred_thousand_tags_in_a_base_delay_nothing_for_long(day: Day) -> None:
    lines = (
        json.dumps({"title": f"note {number}", "tags": [f"t{number * 20 + more}" for more in range(20)]})
        for number in range(5_000)
    )
    (day.warm.cwd / "tags.jsonl").write_text("\n".join(lines))
    assert day.cold("import", "tags.jsonl", "--no-wait").status == 0
    assert day.both("list", "--tag", "t99999").output.count("note 4999") == 1
    assert day.both("search", "--words", "t40001").output.count("note 2000") == 1
    assert "t1 1" in day.hot("stats").output  # the rest of it changes while the server embeds


def test_no_byte_is_too_strange_to_be_kept(day: Day) -> None:
    stdin = b"nul \0 bad \xff half \xc3 surrogate \xed\xa0\x80 end\n"
    added = day.both("add", "til", b"bad \xff title", "-t", b"a\xff", "-p", b"p\xfe", "-c", "-", input=stdin)
    assert added.status == 0
    hits = json.loads(day.both("list", "--json").output)["hits"]
    assert {(hit["title"], hit["project"], *hit["tags"]) for hit in hits} == {
        ("bad \ufffd title", "p\ufffd", "a\ufffd")
    }
    shown = json.loads(day.both("show", hits[0]["id"], "--json").output)
    assert shown["content"] == "nul \ufffd bad \ufffd half \ufffd surrogate \ufffd\ufffd\ufffd end"
    assert day.both("search", b"\xff\xfe bad", "--words").status == 0
    assert day.both("search", "-", input=b"bad \xff\0").status == 0
    assert day.both("list", "--tag", b"a\xff").status == 0


@pytest.mark.parametrize(
    "words",
    [(b"l\xff",), ("show", b"\xff"), ("list", "-n", b"\xff"), ("add", b"\xff", "t"), ("config", "get", b"\xff\n"),
     ("config", "set", "embeddings.model", b"\xff"), ("config", "set", "embeddings.model", "\n"), ("help", b"\xff"),
     ("list", "--since", b"\xff"), ("--db", b"/nowhere\xff\n/x.db", "add", "til", "x"), ("import", b"no\n\xff")],
)  # fmt: skip
def test_a_word_that_is_no_text_is_named_in_one_line(words: tuple[str | bytes, ...], day: Day) -> None:
    if os.getuid() == 0 and b"/nowhere\xff\n/x.db" in words:
        words = ("--db", b"/dev/null/\xff\n/x.db", *words[2:])  # root may make folders anywhere
    assert day.refused(*words)


STRANGE = (
    rb'{"id":"s1","title":"a \ud800 b","content":"\udfff","tags":["\ud800x","n\u0000l"],"extra":{"k\ud800":"v\ud800"}}',
    rb'{"id":"s2","title":"nul \u0000 byte","content":"a\u0000b","project":"\ud83d\ude00"}',
    b'{"id":"s3","title":"raw \xff byte \xed\xa0\x80"}',
    b'{"id":"s4","title":"from the future","created_at":"2999-01-01T00:00:00Z"}',
)
REFUSED = (
    b'\xff\xfe{"title":"x"}', b"[1]", b'{"title":5}', b'{"id":"x","title":"x","revision":1e400}', b"nul\0",
    b'{"title":"deep","extra":' + b"[" * 100_000 + b"]" * 100_000 + b"}", b'{"title":"x","x":NaN}',
    b'{"title":"x","x":' + b"9" * 5_000 + b"}", b'{"id":"\xff","title":"x"}', b'{"id":"bad id","title":"x"}',
)  # fmt: skip


def test_strange_records_go_in_or_are_named_each_in_one_line(day: Day) -> None:
    (day.warm.cwd / "s.jsonl").write_bytes(b"\n".join([*STRANGE, *REFUSED]))
    first, again = day.cold("import", "s.jsonl", "--no-wait"), day.hot("import", "s.jsonl", "--no-wait")
    for answer, what in ((first, "added"), (again, "unchanged")):
        *named, last = answer.errors.splitlines()
        assert answer.status == 2 and len(named) == len(REFUSED), answer.errors
        assert all(line.startswith("left out: ") and "s.jsonl:" in line for line in named)
        assert last == f"{len(STRANGE)} {what}, {len(REFUSED)} left out"
    one = json.loads(day.both("show", "s1", "--json").output)
    assert (one["title"], one["tags"], one["extra"]) == ("a \ufffd b", ["\ufffdx", "n\ufffdl"], {"k\ufffd": "v\ufffd"})
    assert json.loads(day.both("show", "s2", "--json").output)["project"] == "\U0001f600"
    assert len(day.both("export").output.splitlines()) == len(STRANGE)


def test_strange_names_of_files_and_folders_work(day: Day) -> None:
    folder = os.fsencode(day.warm.cwd) + b"/no\ntes \xff"
    os.mkdir(folder)
    for name, text in (
        (b"a\nb\xff.md", b"# one\nbody"),
        (b"empty\n.md", b""),
        (b"bad\n.md", b"---\n[: :\n---\n"),
        (b"n.md", b"\0\xff"),
    ):
        Path(os.fsdecode(folder + b"/" + name)).write_bytes(text)
    os.mkfifo(folder + b"/fifo.md")
    first = day.cold("import", folder, "--no-wait")
    lines = first.errors.splitlines()
    assert (first.status, len(lines), lines[-1]) == (2, 4, "2 added, 3 left out")
    assert day.hot("import", folder, "--no-wait").errors.splitlines()[:3] == lines[:3]
    os.mkdir(folder + b"/.rekall")  # a base in such a folder
    assert day.both("add", "til", "there", cwd=folder).status == 0
    assert day.both("list", cwd=folder).output.count("there") == 2
    assert day.hot("export", "-o", b"out\xff\n.jsonl").status == 0
    assert day.cold("export", "--format", "markdown", "-o", b"md\xff\n/").status == 0
    assert os.path.getsize(os.fsencode(day.warm.cwd) + b"/out\xff\n.jsonl") > 100


def test_a_base_with_a_strange_name_has_a_server_like_any_other(day: Day) -> None:
    for name in (b"b\xff\n.db", "é\u202e.db".encode()):
        env = {os.fsencode(key): os.fsencode(value) for key, value in day.warm.env.items()}
        env[b"REKALL_DB"] = os.fsencode(day.warm.cwd) + b"/" + name
        assert day.both("add", "til", "é", env=env).status == 0
        assert day.both("list", env=env).output.count("é") == 2
        assert len(day.warm.servers()) == 1
        day.warm.end()


def test_a_clock_that_went_back_hides_nothing(day: Day) -> None:
    """Entries and files of a time to come, as they stand after the clock was set right."""
    (day.warm.cwd / "future.jsonl").write_bytes(
        STRANGE[3] + b'\n{"id":"z","title":"future two","updated_at":"2999-01-01"}'
    )
    assert day.cold("import", "future.jsonl", "--no-wait").status == 0
    config = Path(day.warm.env["XDG_CONFIG_HOME"], "rekall", "config.toml")
    assert day.both("config", "set", "performance.cache_max_size", "5").status == 0
    os.utime(config, (4e9, 4e9))
    assert day.both("add", "til", "made now").status == 0
    assert day.both("search", "--words", "future now").output.count("\n") >= 4
    assert day.hot("tag", "s4", "+edited").status == 0
    assert day.both("list", "--tag", "edited").output.count("future") == 1
    assert day.both("list", "--until", "1d").status == 1 and day.both("list", "--since", "1d").status == 0
    os.utime(day.warm.base, (4e9, 4e9))
    assert day.hot("add", "til", "after that").status == 0
    wait_for(lambda: "after that" in day.hot("search", "after that").output)
    assert day.cold("index", "verify").status == 0
