"""What most tests need: a private home, an entry in one call, an open base.

Nothing here touches the user's own folders: every path lies in tmp_path.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any  # the fields of an Entry

import pytest
from editors import CLIENT, EDITORS, Editor, Open
from fake_server import Desk
from hypothesis import settings
from running import NOTED, runtime_folder
from shells import HOSTILE, TWO_LINES, Prompt, noted_world
from warm import Warm, warm_in

from rekall.db import Database
from rekall.entry import Entry, new_id

# What starts the tests may ignore these (a shell's `&`, nohup); what they start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)

# The same examples in every run, no folder of failures beside the tests, and no race against a busy machine.
settings.register_profile("rekall", derandomize=True, database=None, deadline=None)
settings.load_profile("rekall")

# What a shell, an editor or fzf does late among four tests on two processors is not rekall's: such a test has a
# second try, which the output tells as RERUN. Races and floods (torture) have none.
ON_A_TERMINAL = {"test_fzf", "test_picker_terminal", "test_vim", "test_vim_keep", "test_vim_trouble"}

STAMP = "2026-01-02T03:04:05.678Z"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        on_terminal = item.path.stem in ON_A_TERMINAL or "at" in getattr(item, "fixturenames", ())
        if on_terminal and not item.get_closest_marker("torture"):
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """Return an environment with a HOME and XDG folders of its own and no REKALL_ variable.

    Its HOME exists (mode 0700); the XDG folders do not, as on a fresh machine. Pass it to a
    subprocess as `env=home`, or to `find_base` and its like.
    """
    folder = tmp_path / "home"
    folder.mkdir(mode=0o700)
    env = {key: value for key, value in os.environ.items() if not key.startswith(("REKALL_", "XDG_", "PYTHON"))}
    return env | {
        "HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder / ".config"),
        "XDG_DATA_HOME": str(folder / ".local" / "share"),
        "XDG_CACHE_HOME": str(folder / ".cache"),
        "XDG_STATE_HOME": str(folder / ".local" / "state"),
        "XDG_RUNTIME_DIR": "",
        "NO_COLOR": "1",
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
    }


@pytest.fixture
def make_entry() -> Callable[..., Entry]:
    """Return a function that makes an Entry: `make_entry("title", "content", tags=("a",))`."""

    def make(title: str = "a title", content: str = "", **fields: Any) -> Entry:
        defaults: dict[str, Any] = {"id": new_id(), "type": "til", "created_at": STAMP, "updated_at": STAMP}
        return Entry(**(defaults | {"title": title, "content": content} | fields))

    return make


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """Return an open, empty base in a folder of its own."""
    with Database(tmp_path / "base" / "rekall.db") as opened:
        yield opened


@pytest.fixture
def warm(home: dict[str, str]) -> Iterator[Warm]:
    """Return a `rekall` with the warm process of its own; it is ended at the end."""
    with warm_in(home) as found:
        yield found


@pytest.fixture
def shell_world(home: dict[str, str], tmp_path: Path, make_entry: Callable[..., Entry]) -> Iterator[dict[str, str]]:
    """Return an environment with `rekall` on its PATH, a base of five entries, and a place for the socket."""
    with noted_world(home, tmp_path, make_entry, TWO_LINES, HOSTILE) as found:
        yield found


@pytest.fixture
def at(shell_world: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., Prompt]]:
    """Return a function that opens a shell there: `at("zsh", mode="vi")`, or with variables, `at("fish", {"TERM": …})`."""
    opened: list[Prompt] = []

    def new(shell: str, env: dict[str, str] | None = None, **how: Any) -> Prompt:
        opened.append(Prompt(shell, shell_world | (env or {}), tmp_path, **how))
        return opened[-1]

    yield new
    for prompt in opened:
        prompt.close()


@pytest.fixture
def desk() -> Iterator[Desk]:
    """Return the C client on a desk of its own; the servers it started are ended at the end."""
    folder = Path(os.path.realpath(tempfile.mkdtemp(prefix="rk", dir="/tmp")))
    desk = Desk(folder)
    yield desk
    for pid in desk.starts():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    shutil.rmtree(folder)


@pytest.fixture
def vim_world(home: dict[str, str], tmp_path: Path, make_entry: Callable[..., Entry]) -> Iterator[dict[str, str]]:
    """An environment with a base, a place for the socket, and `rekall` on its PATH."""
    with runtime_folder() as sockets:
        base = tmp_path / "rekall.db"
        with Database(base) as database:
            for number, fields in enumerate(NOTED):
                database.add(make_entry(**{"created_at": f"2026-01-0{number + 1}T00:00:00Z"} | fields))
        path = f"{CLIENT.parent}{os.pathsep}{home['PATH']}"
        yield home | {"XDG_RUNTIME_DIR": str(sockets), "REKALL_DB": str(base), "PATH": path}


@pytest.fixture(params=EDITORS)
def editor(request: pytest.FixtureRequest, vim_world: dict[str, str], tmp_path: Path) -> Iterator[Open]:
    """Return a function that opens the editor, each of both in turn."""
    opened: list[Editor] = []

    def new(columns: int = 80, rows: int = 24, setup: str = "", **env: str) -> Editor:
        opened.append(Editor(request.param, vim_world | env, tmp_path, (columns, rows), setup))
        return opened[-1]

    yield new
    for one in opened:
        one.close()
