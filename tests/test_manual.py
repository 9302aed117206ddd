"""The manual says what there is, in both languages, fits a terminal, and is the man page too."""

from __future__ import annotations

import re
import runpy
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from running import rekall_in

import rekall
from rekall.command_line import GENERAL, parse, parser_of
from rekall.config import SETTINGS
from rekall.language import speaking
from rekall.manual import WIDEST, Code, Heading, Paragraph, Rows, blocks_of, chapters, help_text, page, topic_page
from rekall.usage import COMMANDS, TOPICS

REPOSITORY = Path(__file__).parent.parent
TOPIC_FILES = sorted((Path(help_text.__globals__["__file__"]).parent / "topics" / "en").glob("*.md"))
LANGUAGES = {"en": {"LC_ALL": "C"}, "fr": {"LC_ALL": "fr_FR.UTF-8"}}
NAMES = [path.stem for path in TOPIC_FILES]

in_both = pytest.mark.parametrize("language", LANGUAGES)


@pytest.fixture
def spoken(language: str) -> Iterator[str]:
    with speaking(LANGUAGES[language]):
        yield language


def test_every_topic_has_a_page_and_every_page_is_of_a_command_or_topic() -> None:
    assert set(TOPICS) <= set(NAMES)
    assert set(NAMES) <= {*TOPICS, *(command.name for command in COMMANDS)}
    assert not set(TOPICS) & {command.name for command in COMMANDS}


@pytest.mark.parametrize("name", NAMES)
def test_a_french_page_says_as_much_as_the_english_one(name: str) -> None:
    """The same blocks in the same order, tables of the same length, code that differs at most in what is quoted."""
    shapes, codes, typed = [], [], []
    for env in LANGUAGES.values():
        with speaking(env):
            blocks = topic_page(name)
        shapes.append([(type(b), len(b.rows) if isinstance(b, Rows) else 0) for b in blocks])
        text = [line for b in blocks if isinstance(b, Code) for line in b.lines]
        codes.append([re.sub(r'"[^"]*"|/tmp/\w+', "…", line) for line in text])
        typed.append(re.findall(r"--[a-z-]+|REKALL_\w+|`rekall[^`]*`", str(blocks)))
    assert shapes[0] == shapes[1]
    assert codes[0] == codes[1]
    assert sorted(typed[0]) == sorted(typed[1])


@in_both
@pytest.mark.parametrize("width", [60, 80, 200])
@pytest.mark.parametrize("name", [*NAMES, "list"])
def test_a_page_fits_its_terminal(name: str, width: int, spoken: str) -> None:
    code = {f"    {line}".rstrip() for block in page(name, width) if isinstance(block, Code) for line in block.lines}
    for line in help_text(name, width).splitlines():
        cannot_break = " " not in re.split(r"  +", line)[-1]
        assert len(line) <= min(width, WIDEST) or line in code or cannot_break, line


@in_both
@pytest.mark.parametrize("topic", TOPICS)
def test_a_topic_is_a_screen_or_two(topic: str, spoken: str) -> None:
    assert len(help_text(topic).splitlines()) <= 48


def test_code_is_bold_where_there_are_colours() -> None:
    text = help_text("query", colour=True)
    assert "\x1b[1mQueries\x1b[0m\n" in text and "\x1b[1m--semantic\x1b[0m goes" in text
    assert text.replace("\x1b[1m", "").replace("\x1b[0m", "") == help_text("query")
    assert "`" not in help_text("query")


OPTIONS = {option for c in COMMANDS for option in parser_of(c)._option_string_actions} | {*GENERAL, "--db"}
# Of other programs, or text that begins like an option.
NOT_OURS = {"--no-verify", "--seq"}


@in_both
@pytest.mark.parametrize("name", NAMES)
def test_a_page_shows_only_what_there_is(name: str, spoken: str) -> None:
    blocks = topic_page(name)
    text = str(blocks)
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text)) <= OPTIONS | NOT_OURS
    for named in re.findall(r"rekall help ([a-z]+)", text):
        assert page(named)
    for key in re.findall(r"\b(?:performance|embeddings|backup|history|server)\.[a-z_]+", text):
        assert key in {setting.key for setting in SETTINGS} | {"performance.cache_ttl", "performance.model_timeout",
                                                               "performance.vector_index_backend"}  # fmt: skip
    for line in (line for block in blocks if isinstance(block, Code) for line in block.lines):
        inner = re.findall(r"\$\((rekall[^|)]*)", line)
        outer = re.sub(r"\"?\$\(.*\)\"?", "X", line)
        for part in [*inner, *re.findall(r"(?:^|\| |ssh host )(rekall\b[^|>]*)", outer)]:
            assert parse(shlex.split(part)[1:])  # raises what is not understood


def test_the_page_on_settings_has_each_with_its_default() -> None:
    text = help_text("config", 200)
    for setting in SETTINGS:
        default = f"{setting.default:g}" if isinstance(setting.default, float) else str(setting.default)
        assert f"{setting.key} = {default}" in text
        assert all(name in text for name in setting.other_names)


@in_both
def test_the_manual_has_a_chapter_for_every_command_option_and_topic(spoken: str) -> None:
    found = dict(chapters())
    assert len(found) == 5 + len(TOPICS) - 1  # start is a part of the description
    text = str(found)
    assert all(option in text for option in OPTIONS - {"--ready"})
    headings = [b.text for blocks in found.values() for b in blocks if isinstance(b, Heading)]
    for command in COMMANDS:
        assert any(text.startswith(f"rekall {command.name} – ") for text in headings) != command.is_hidden


def test_a_text_is_read_into_blocks() -> None:
    text = "# A\n\none `x y`\ntwo\n\n```\ncode\n```\n"
    assert blocks_of(text) == [Heading("A"), Paragraph("one `x y` two"), Code(("code",))]
    assert blocks_of("| a | b |\n|---|---|\n| `x \\| y` | z |") == [Rows((("`x | y`", "z"),))]


# --- the man page ---


needs_checkout = pytest.mark.skipif(not (REPOSITORY / "ext").exists(), reason="away from a checkout none is made")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("man")
    pages = runpy.run_path(str(REPOSITORY / "ext" / "manpage.py"))["write"](folder)
    return {"fr" if "/fr/" in place else "en": Path(files[0]) for place, files in pages}


def shown(path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = ["groff", "-k", "-man", "-Tutf8", "-P-cbou", "-rLL=78n", *options, str(path)]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=60, check=True)


@needs_checkout
@in_both
@pytest.mark.skipif(not shutil.which("groff"), reason="no groff")
def test_the_man_page_shows_everything_and_troff_has_nothing_to_say(made: dict[str, Path], language: str) -> None:
    done = shown(made[language], "-ww")
    assert done.stderr == ""
    flat = " ".join(done.stdout.split())
    for command in COMMANDS:
        assert (f"rekall {command.name} – " in flat) != command.is_hidden
    for option in OPTIONS - {"--ready"}:
        assert option in flat, option
    for typed in (
        'eval "$(rekall init bash)"',
        "rekall search '\"connection refused\" not:docker since:90d'",
        "'\\ek'",
    ):
        assert typed in flat, typed


@needs_checkout
@pytest.mark.skipif(not shutil.which("mandoc"), reason="no mandoc")
def test_mandoc_finds_nothing_wrong_with_the_man_page(made: dict[str, Path]) -> None:
    done = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "warning", str(made["en"])], capture_output=True, text=True, timeout=60
    )
    said = [line for line in done.stdout.splitlines() if "missing date" not in line]  # there is one from the release on
    assert said == []


@needs_checkout
@in_both
@pytest.mark.skipif(not shutil.which("lexgrog"), reason="no lexgrog of man-db")
def test_apropos_finds_the_man_page(made: dict[str, Path], language: str) -> None:
    done = subprocess.run(["lexgrog", str(made[language])], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and '"rekall - ' in done.stdout


@needs_checkout
def test_the_man_page_is_the_same_each_time(made: dict[str, Path], tmp_path: Path) -> None:
    runpy.run_path(str(REPOSITORY / "ext" / "manpage.py"))["write"](tmp_path)
    assert (tmp_path / "man1" / "rekall.1").read_bytes() == made["en"].read_bytes()
    assert (tmp_path / "fr" / "man1" / "rekall.1").read_bytes() == made["fr"].read_bytes()


@pytest.mark.parametrize("place", ["share/man/man1", "share/man/fr/man1"])
def test_the_man_page_is_installed_where_man_looks(place: str) -> None:
    if Path(rekall.__file__).is_relative_to(REPOSITORY):
        pytest.skip("installed editable: pip leaves out what belongs elsewhere than into site-packages")
    page = Path(sys.prefix, place, "rekall.1")
    assert page.read_text(encoding="utf-8").startswith(".TH REKALL 1 ")


def test_help_is_asked_for_and_answered_on_stdout(home: dict[str, str]) -> None:
    rekall = rekall_in(home)
    answer = rekall("help", "query", COLUMNS="60")
    assert (answer.status, answer.errors) == (0, "")
    assert answer.output == help_text("query", 60) + "\n"
    refused = rekall("help", "qeury")
    assert (refused.status, refused.errors) == (2, "rekall: there is no help on 'qeury'; did you mean query?\n")
