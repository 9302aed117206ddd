"""The README: its sessions happen as they are written, its examples are understood, and the French one keeps step."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from running import wait_for
from tmux import Tmux
from warm import Warm

from rekall.command_line import parse

REPOSITORY = Path(__file__).parent.parent
PAGES = {"README.md": "C.UTF-8", "README.fr.md": "fr_FR.UTF-8"}

pytestmark = pytest.mark.skipif(
    not (REPOSITORY / "README.md").exists(), reason="away from a checkout there is no README"
)

# What nginx logged on another day than the one on which the entry was written.
ERROR_LOG = (
    "2026/11/25 09:12:44 [notice] 1#1: start worker process 31\n"
    "2026/11/25 09:14:02 [error] 31#31: *7 upstream prematurely closed connection while reading response header from "
    'upstream, client: 10.0.3.7, server: shop.example, request: "POST /orders HTTP/1.1"\n'
)
_ID = re.compile(r"\b01[0-9A-HJKMNP-TV-Z]{4,24}\b")


def text_of(page: str) -> str:
    return (REPOSITORY / page).read_text(encoding="utf-8")


def blocks(page: str, kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", text_of(page), re.MULTILINE | re.DOTALL)


def steps(block: str, prompt: str) -> list[tuple[str, list[str]]]:
    """Return what is typed behind each prompt, and the lines that follow it."""
    found: list[tuple[str, list[str]]] = []
    for line in block.splitlines():
        if line.startswith(prompt):
            found.append((line[len(prompt) :], []))
        elif found[-1][0].endswith("\\"):
            found[-1] = (f"{found[-1][0]}\n{line}", [])
        else:
            found[-1][1].append(line)
    return found


def plain(lines: list[str]) -> list[str]:
    return [re.sub(r"<ID> +", "<ID>  ", _ID.sub("<ID>", line)) for line in lines]


@pytest.fixture
def world(warm: Warm) -> Iterator[Warm]:
    """A fresh home with `rekall` on its PATH and a log to look into."""
    warm.env["PATH"] = f"{Path(sys.executable).parent}:{warm.env['PATH']}"
    (warm.cwd / "error.log").write_text(ERROR_LOG)
    yield warm


@pytest.mark.parametrize("page", PAGES)
def test_its_session_happens_as_it_is_written(page: str, world: Warm) -> None:
    session, _repl = blocks(page, "console")
    for command, expected in steps(session, "$ "):
        done = subprocess.run(
            ["sh", "-c", f"exec 2>&1\n{command}"],
            capture_output=True,
            text=True,
            encoding="utf-8",
            cwd=world.cwd,
            env=world.env | {"LC_ALL": PAGES[page], "COLUMNS": "150"},
            stdin=subprocess.DEVNULL,
            timeout=100,
        )
        assert plain(done.stdout.splitlines()) == plain(expected), command


@pytest.mark.skipif(not shutil.which("tmux"), reason="no tmux")
@pytest.mark.parametrize("page", PAGES)
def test_its_repl_answers_as_it_is_written(page: str, world: Warm, tmp_path: Path) -> None:
    session, repl = blocks(page, "console")
    subprocess.run(["sh", "-c", steps(session, "$ ")[0][0]], cwd=world.cwd, env=world.env, check=True, timeout=100)
    world.warm_up()
    wait_for(lambda: world.facts()["model_state"] == "loaded")
    tmux = Tmux(world.env, tmp_path, 120, 40, ("rekall", "repl"), "rekall>")
    try:
        for command, expected in steps(repl, "rekall> "):
            tmux.run(command)
            for line in expected:
                tmux.shows(line)
    finally:
        tmux.close()


@pytest.mark.parametrize("page", PAGES)
def test_its_examples_are_command_lines_that_rekall_understands(page: str) -> None:
    lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
    found = [part for line in lines for part in re.findall(r"(?:^|\| |\$\()rekall\b([^|>)#]*)", line)]
    assert len(found) > 20
    for part in found:
        parse(shlex.split(part))  # raises what is not understood


@pytest.mark.parametrize("page", PAGES)
def test_each_target_of_make_that_it_names_is_there(page: str) -> None:
    makefile = text_of("Makefile")
    named = set(
        re.findall(r"\bmake ([a-z-]+)\b", "\n".join(re.findall(r"`[^`\n]+`|^make .*$", text_of(page), re.MULTILINE)))
    )
    assert {"demo", "test", "bench", "bench-kernel", "bench-latency", "bench-keys", "bench-shell"} <= named
    for target in named:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def without_comments(block: str) -> list[str]:
    return [line.partition("# ")[0].rstrip() for line in block.splitlines()]


def test_the_french_page_has_the_headings_links_and_code_of_the_english_one() -> None:
    english, french = map(text_of, PAGES)
    shapes = [re.findall(r"^#+(?= )", text, re.MULTILINE) for text in (english, french)]
    assert shapes[0] == shapes[1]
    for kind in ("sh",):
        one, other = (list(map(without_comments, blocks(page, kind))) for page in PAGES)
        assert one == other
    typed = [
        [c for block in blocks(page, "console") for c in re.findall(r"^(?:\$|rekall>) .*", block, re.M)]
        for page in PAGES
    ]
    assert typed[0] == typed[1]
    links = [set(re.findall(r"\]\(([^)]+)\)", text)) - set(PAGES) for text in (english, french)]
    assert links[0] == links[1]
    code = [
        sorted(re.findall(r"(?<!`)`([^`\n]+)`(?!`)", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)))
        for text in (english, french)
    ]
    assert code[0] == code[1]


def test_the_french_page_has_the_figures_of_the_english_one() -> None:
    """Cell by cell: whoever measures anew brings both up to date."""
    tables = []
    for page in PAGES:
        rows = [line for line in text_of(page).splitlines() if line.startswith("|")]
        tables.append([[re.findall(r"[.\d]+(?:,\d{3})*", cell) for cell in row.split("|")] for row in rows])
    assert tables[0] == tables[1]


@pytest.mark.parametrize("page", PAGES)
def test_each_figure_stands_in_the_page_that_says_how_it_was_measured(page: str) -> None:
    tables = re.findall(r"^<!-- figures: (docs/.+) -->\n((?:\|.*\n)+)", text_of(page), re.MULTILINE)
    assert len(tables) == 5
    for sources, table in tables:
        measured = set(re.findall(r"\d*\.\d+", text_of(sources)))
        cells = [cell for row in table.splitlines()[2:] for cell in row.split("|")[2:]]
        figures = {figure for cell in cells for figure in re.findall(r"\d*\.\d+", cell)}
        assert figures and figures - measured == set(), sources
