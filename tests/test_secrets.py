"""No secret of a known shape reaches the disk, whatever way it comes in: the bytes of all files are read."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from running import Answer, Rekall, rekall_in, wait_for
from secrets_made import Maker
from warm import Warm

import rekall as package_of_rekall
from rekall.db import Database
from rekall.entry import Entry

MADE = Maker(11).all()
NOTE = "\n\n".join(text for _kind, text, _secret in MADE)
SECRETS = [secret for _kind, _text, secret in MADE]
EDITOR = "import os, sys; p = sys.argv[-1]; open(p + '.swp', 'w').write('x' + os.environ['NOTE']); open(p, 'a').write(os.environ['NOTE'])"


@pytest.fixture(params=["warm", "cold"])
def rekall(request: pytest.FixtureRequest, home: dict[str, str]) -> Iterator[Rekall]:
    """Return a `rekall` with a TMPDIR of its own, whose every file lies below its home."""
    temporary = Path(home["HOME"], "tmp")
    temporary.mkdir(mode=0o700)
    home["TMPDIR"] = str(temporary)
    if request.param == "cold":
        yield rekall_in(home)
    else:
        warm: Warm = request.getfixturevalue("warm")
        warm.env["TMPDIR"] = str(temporary)
        yield warm


def leaks(rekall: Rekall) -> list[tuple[str, str]]:
    """Return (file, secret) of every secret found in the raw bytes of whatever lies below the home and the socket."""
    folders = [Path(rekall.env["HOME"])] + [Path(rekall.env["XDG_RUNTIME_DIR"])] * bool(rekall.env["XDG_RUNTIME_DIR"])
    given = Path(rekall.env["HOME"], "given")  # what the test itself wrote for an import
    found = []
    for path in (path for folder in folders for path in folder.rglob("*")):
        if path.is_file() and given not in path.parents:
            data = path.read_bytes().lower()  # the full-text index holds small letters
            found += [(str(path), secret) for secret in SECRETS if _shown(secret) in data]
    return found


def _shown(secret: str) -> bytes:
    """Return a part of a secret as it would stand in a word of the full-text index, too."""
    parts = "".join(c if c.isalnum() else " " for c in secret).split()
    return max(parts, key=len).lower().encode()


def given(rekall: Rekall, name: str, text: str) -> Path:
    path = Path(rekall.env["HOME"], "given", name)
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def kept(rekall: Rekall, answer: Answer) -> str:
    """Check that an answer tells of what was left out, and not what; return the entry's JSON."""
    assert answer.status == 0, answer
    assert "left out" in answer.errors and "--allow-secrets" in answer.errors
    assert not [secret for secret in SECRETS if secret in answer.errors + answer.output]
    return rekall("show", answer.output.split()[-1], "--json").output


def test_content_on_stdin_comes_without_secrets(rekall: Rekall) -> None:
    answer = rekall("add", "til", "keys", "-c", "-", stdin=NOTE.encode())
    record = kept(rekall, answer)
    assert "[redacted:aws-key]" in record
    assert "(content, line 1)" in answer.errors
    assert leaks(rekall) == []
    assert rekall("search", "--words", "redacted aws").status == 0  # it can be found that there was one


def test_every_option_of_add_comes_without_secrets(rekall: Rekall) -> None:
    options = ("--situation", "--solution", "--what-failed", "--error", "--file", "--source", "-p", "-c", "-t")
    texts = [text for _kind, text, _secret in MADE if "\n" not in text and "," not in text]
    words = [word for option, text in zip(options, texts, strict=False) for word in (option, text)]
    kept(rekall, rekall("add", "bug", f"title {texts[20]}", *words))
    assert leaks(rekall) == []


def test_an_edit_by_options_comes_without_secrets(rekall: Rekall) -> None:
    key = rekall("add", "til", "clean").output.strip()
    kept(rekall, rekall("edit", key, "-c", NOTE))
    assert leaks(rekall) == []


@pytest.mark.parametrize("words", [("add", "til", "from the editor", "--edit"), ("edit",)], ids=["add", "edit"])
def test_what_an_editor_writes_comes_without_secrets(rekall: Rekall, words: tuple[str, ...]) -> None:
    key = [rekall("add", "til", "clean").output.strip()] if words == ("edit",) else []
    editor = given(rekall, "editor.py", EDITOR)
    kept(rekall, rekall(*words, *key, EDITOR=f"{sys.executable} {editor}", NOTE=NOTE))
    assert leaks(rekall) == []
    assert not [p for p in Path(rekall.env["TMPDIR"]).rglob("*") if p.name.startswith(("entry", ".entry"))]


def test_a_text_that_an_editor_leaves_behind_is_kept_without_secrets(rekall: Rekall) -> None:
    editor = given(rekall, "editor.py", f"{EDITOR}; sys.exit(3)")
    answer = rekall("add", "til", "from the editor", "--edit", EDITOR=f"{sys.executable} {editor}", NOTE=NOTE)
    assert answer.status == 2
    left = Path(answer.errors.split()[-1])
    assert "[redacted:aws-key]" in left.read_text() and "from the editor" in left.read_text()
    assert left.stat().st_mode & 0o777 == 0o600 and left.parent.stat().st_mode & 0o777 == 0o700
    assert leaks(rekall) == []


def test_a_terminal_that_is_closed_under_an_editor_leaves_no_secret(home: dict[str, str]) -> None:
    home["TMPDIR"] = str(Path(home["HOME"], "tmp"))
    Path(home["TMPDIR"]).mkdir()
    rekall = rekall_in(home)
    editor = given(rekall, "editor.py", f"{EDITOR}; import time; open(p + '.done', 'w').close(); time.sleep(60)")
    rekall.env |= {"EDITOR": f"{sys.executable} {editor}", "NOTE": NOTE}
    temporary = Path(home["TMPDIR"])
    with rekall.start("add", "til", "from the editor", "--edit", start_new_session=True) as adding:
        wait_for(lambda: list(temporary.rglob("*.done")))
        os.killpg(adding.pid, 1)
        adding.communicate(timeout=30)
    assert adding.returncode == 130
    [left] = [path for path in temporary.rglob("*") if path.is_file()]
    assert "from the editor" in left.read_text()  # nothing written is lost
    assert leaks(rekall) == []


def test_notes_are_imported_without_secrets_and_again_changes_nothing(rekall: Rekall) -> None:
    for number, (_kind, text, _secret) in enumerate(MADE):
        given(rekall, f"{number}.md", f"# note {number}\n\n{text}\n")
    folder = Path(rekall.env["HOME"], "given")
    first = rekall("import", str(folder), "--no-wait")
    assert first.status == 0 and len(first.errors.splitlines()) <= 3
    assert f"secrets were left out of {len(MADE)} entries: " in first.errors and "aws-key 2" in first.errors
    assert leaks(rekall) == []
    again = rekall("import", str(folder), "--no-wait")
    assert f"{len(MADE)} unchanged" in again.errors and "left out" not in again.errors
    assert leaks(rekall) == []


def test_jsonl_is_imported_without_secrets_and_again_changes_nothing(rekall: Rekall) -> None:
    records = [
        {"id": "all", "title": "all", "content": NOTE, "extra": {"note": NOTE}, "other": [NOTE]},
        {"id": "links", "title": MADE[0][1], "links": [{"target": "all", "relation": "related", "reason": MADE[1][1]}]},
    ]
    path = given(rekall, "notes.jsonl", "".join(json.dumps(record) + "\n" for record in records))
    first = rekall("import", str(path), "--no-wait")
    assert first.status == 0 and "secrets were left out of 2 entries" in first.errors
    assert "2 unchanged" in rekall("import", str(path), "--no-wait").errors
    assert leaks(rekall) == []


def test_an_id_that_is_a_secret_is_refused_and_so_is_a_file_name(rekall: Rekall) -> None:
    token = next(secret for kind, _text, secret in MADE if kind == "github-token")
    path = given(rekall, "ids.jsonl", json.dumps({"id": token[:64], "title": "x"}) + "\n")
    assert rekall("import", str(path), "--no-wait").status == 2
    given(rekall, f"{token}.md", "# a note\n")
    assert rekall("import", str(Path(path.parent, f"{token}.md")), "--no-wait").status == 0
    assert leaks(rekall) == []


def test_another_base_is_imported_without_secrets(rekall: Rekall, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    with Database(other) as database:
        database.add(Entry(id="x", type="til", title="all", content=NOTE, created_at="2026-01-01T00:00:00Z", updated_at="2026-01-01T00:00:00Z"))  # fmt: skip
    answer = rekall("import", str(other), "--no-wait")
    assert answer.status == 0 and "secrets were left out of 1 entry" in answer.errors
    assert leaks(rekall) == []


def test_links_and_tags_come_without_secrets(rekall: Rekall) -> None:
    a, b = (rekall("add", "til", name).output.strip() for name in "ab")
    assert "left out" in rekall("link", a, b, "--reason", MADE[0][1]).errors
    assert "left out" in rekall("tag", a, f"+{MADE[2][1]}").errors
    assert leaks(rekall) == []


def test_who_searches_for_a_secret_leaves_no_trace_of_it(rekall: Rekall) -> None:
    rekall("add", "til", "something")
    for _kind, text, _secret in MADE[:8]:
        rekall("search", "--words", text)
        rekall(stdin=f"error: {text}\nerror: exit 1\n".encode())
    assert leaks(rekall) == []


def test_secrets_are_kept_by_who_asks_for_it_and_doctor_finds_them(rekall: Rekall) -> None:
    key = rekall("add", "til", "keys", "-c", "-", "--allow-secrets", stdin=NOTE.encode())
    assert key.status == 0 and key.errors == ""
    assert rekall("show", key.output.strip(), "--json").output.count("[redacted:") == 0
    found = rekall("doctor", "--secrets")
    assert found.status == 2 and f"{key.output.strip()}: aws-key (content, line 1)" in found.output
    assert not [secret for secret in SECRETS if secret in found.output + found.errors]
    told = json.loads(rekall("doctor", "--secrets", "--json").output)
    assert told["scanned"] == 1 and len(told["secrets"]) >= len(MADE)
    assert set(told["secrets"][0]) == {"id", "field", "line", "kind"}
    # Another field is edited: what was allowed stays. Deleted for ever, nothing of it is left in the file.
    rekall("edit", key.output.strip(), "--title", "still there")
    assert rekall("doctor", "--secrets").status == 2
    rekall("edit", key.output.strip(), "-c", "gone")
    assert rekall("doctor", "--secrets").status == 2  # what was there before the change could be brought back
    assert rekall("delete", "--forever", key.output.strip()).status == 0
    rekall("index", "rebuild")
    rekall("server", "stop")
    with sqlite3.connect(rekall.base) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert leaks(rekall) == []
    assert rekall("doctor", "--secrets").output == "no secret in 0 entries\n"


def test_the_editor_is_run_as_its_words_and_no_text_of_an_entry_goes_through_a_shell(rekall: Rekall) -> None:
    hostile = "$(touch pwned) `touch pwned`; touch pwned | touch pwned && touch 'pwned'"
    script = given(
        rekall,
        "editor.py",
        "import sys; assert sys.argv[1:3] == ['-w', 'two words']; open(sys.argv[-1], 'a').write('more')",
    )
    key = rekall("add", "til", hostile, "-c", hostile, "-t", "a;b").output.strip()
    answer = rekall("edit", key, EDITOR=f"{sys.executable} {script} -w 'two words'")
    assert answer.status == 0, answer
    assert list(Path(rekall.env["HOME"]).rglob("pwned")) == []


def test_every_writer_of_entries_is_known_to_leave_secrets_out() -> None:
    """A new way in has to say that it screens what it brings, here."""
    package = Path(package_of_rekall.__file__).parent
    writes = re.compile(r"database\.(add|add_many|update|link)\(")
    texts = {str(path.relative_to(package)): path.read_text(encoding="utf-8") for path in package.rglob("*.py")}
    writers = [path for path, text in texts.items() if writes.search(text)]
    made_up = {"commands/generate.py"}  # holds nothing of anybody's
    assert set(writers) - made_up == {"commands/keep.py", "exchange.py", "merging.py"}
    writers = [path for path in writers if path not in made_up]
    assert all("screened" in texts[path] or "without_secrets" in texts[path] for path in writers)


def test_doctor_looks_into_every_table(home: dict[str, str]) -> None:
    rekall = rekall_in(home)
    key = rekall("add", "til", "clean").output.strip()
    token = next(secret for kind, _text, secret in MADE if kind == "github-token")
    with sqlite3.connect(rekall.base) as connection:
        connection.execute("INSERT INTO imports VALUES (?, ?, 'x')", (f"/notes/{token}.md", key))
        connection.execute("CREATE TABLE mine(text)")
        connection.execute("INSERT INTO mine VALUES (?)", (f"two\n{token}",))
    told = json.loads(rekall("doctor", "--secrets", "--json").output)["secrets"]
    assert [(secret["id"], secret["field"], secret["line"], secret["kind"]) for secret in told] == [
        (key, "imports: place", 1, "github-token"),
        ("mine", "text", 2, "github-token"),
    ]
