"""The C client finds the same base, and the same folder for its socket, as Python does in the same environment."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_server import folder_of
from hypothesis import given, settings
from hypothesis import strategies as st

from rekall.config import find_base

REPOSITORY = Path(__file__).parent.parent
COMPILER = shutil.which(os.environ.get("CC", "cc").split()[0])
SOURCE = REPOSITORY / "ext" / "place.c"

pytestmark = pytest.mark.skipif(not (COMPILER and SOURCE.exists()), reason="needs a C compiler and a checkout")
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")

Places = Callable[..., tuple[str, str] | None]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("check") / "places"
    check = REPOSITORY / "tests" / "c" / "places_check.c"
    flags = ["-std=c11", "-Wall", "-Wextra", "-Werror", f"-I{REPOSITORY / 'ext'}"]
    assert COMPILER
    subprocess.run([COMPILER, *flags, check, SOURCE, "-o", program], check=True)
    return program


@pytest.fixture(scope="module")
def places(program: Path) -> Places:
    """Return the client's answer: base and folder, or None where it leaves the question to rekall-py."""

    def ask(cwd: Path, env: dict[str, str], db: str = "", skip: bool = False) -> tuple[str, str] | None:
        command = [program, db, "global" if skip else ""]
        said = subprocess.run(command, env=env, cwd=cwd, capture_output=True, check=True).stdout
        if said == b"-\n":
            return None
        base, folder = said.removesuffix(b"\n").split(b"\0")
        return os.fsdecode(base), os.fsdecode(folder)

    return ask


@pytest.fixture(scope="module")
def world() -> Iterator[Path]:
    """A home with projects, links and other traps, on a short path."""
    top = Path(os.path.realpath(tempfile.mkdtemp(prefix="rk", dir="/tmp")))
    home = top / "home"
    for folder in ("a/.rekall", "a/b/c", "filed/x", "linked/x", "é ü/.rekall", "run", "deep/" + "d" * 60):
        (home / folder).mkdir(parents=True)
    (home / "filed/.rekall").write_text("")
    (home / "linked/.rekall").symlink_to("../a/.rekall")
    (home / "a/.rekall/rekall.db").symlink_to("elsewhere/../real.db")
    (home / "up").symlink_to("a/b/../b/c")
    (home / "dangling").symlink_to("nowhere/deeper")
    (top / "outside/.rekall").mkdir(parents=True)
    (top / "home link").symlink_to("home/")
    (home / ".rekall").mkdir()  # the home folder's own decides nothing
    if os.getuid() == 0:
        (home / "given/x").mkdir(parents=True)
        (home / "given/.rekall").mkdir()
        os.chown(home / "given/.rekall", 65534, 65534)
    yield top
    shutil.rmtree(top)


def by_python(cwd: Path, env: dict[str, str], db: str = "", skip: bool = False) -> tuple[str, str] | None:
    """Return what Python finds. A project's base that is a link is refused, which the client leaves to rekall-py."""
    found = find_base(cwd, env, db or None, skip)
    if found.origin == "project" and found.path.is_symlink():
        return None
    base = os.path.realpath(found.path)
    return base, folder_of(base, env)


CWDS = ["home", "home/a", "home/a/b/c", "home/filed/x", "home/linked/x", "home/é ü", "home/up", "outside", "home/deep"]
HOMES = ["{top}/home", "{top}/home link", "{top}/home/", "{top}/none", "/", "home", ""]
VALUES = [
    "{top}/home/x",
    "{top}/home/up/../y",
    "{top}//home/./dangling/z/..",
    "relative/x",
    "",
    "/",
    "{top}/home/\udcff",
]
FOLDERS = ["{top}/home/run", "{top}/home/run/", "{top}/none", "{top}/home/deep/" + "d" * 60, "relative", "", "/"]


def choices(values: list[str]) -> st.SearchStrategy[str | None]:
    return st.none() | st.sampled_from(values)


@settings(max_examples=300)
@given(
    cwd=st.sampled_from(CWDS),
    home=choices(HOMES),
    data=choices(VALUES),
    variable=choices(VALUES),
    runtime=choices(FOLDERS),
    tmpdir=choices(FOLDERS),
    db=choices(VALUES),
    skip=st.booleans(),
)
def test_client_and_python_agree(
    places: Places,
    world: Path,
    cwd: str,
    home: str | None,
    data: str | None,
    variable: str | None,
    runtime: str | None,
    tmpdir: str | None,
    db: str | None,
    skip: bool,
) -> None:
    named = {"HOME": home, "XDG_DATA_HOME": data, "REKALL_DB": variable, "XDG_RUNTIME_DIR": runtime, "TMPDIR": tmpdir}
    env = {name: value.replace("{top}", str(world)) for name, value in named.items() if value is not None}
    here = Path(os.path.realpath(world / cwd))
    option = (db or "").replace("{top}", str(world))
    assert places(here, env, option, skip) == by_python(here, env, option, skip)


def test_the_shared_hashes_are_the_clients(places: Places) -> None:
    for vector in json.loads((REPOSITORY / "tests/data/places.json").read_text(encoding="utf-8")):
        found = places(Path("/"), {"HOME": "/"}, vector["path"])
        assert found == (vector["path"], f"/tmp/rekall-{os.getuid()}/{vector['hash']}")


@as_root
def test_a_project_of_another_user_is_passed_by(places: Places, world: Path) -> None:
    env, here = {"HOME": str(world / "home")}, world / "home/given/x"
    found = places(here, env)
    assert found == by_python(here, env) and found[0].endswith("/.local/share/rekall/rekall.db")


@as_root
def test_a_runtime_folder_of_another_user_is_passed_by(places: Places, world: Path) -> None:
    """After `su` the variable still names the other user's: a folder made there would lock that user out."""
    theirs = world / "theirs"
    theirs.mkdir()
    os.chown(theirs, 65534, 65534)
    found = places(world, {"HOME": "/", "XDG_RUNTIME_DIR": str(theirs)}, "x.db")
    assert found and found[1].startswith(f"/tmp/rekall-{os.getuid()}/")


def test_the_root_is_at_most_72_bytes_long(places: Places, world: Path) -> None:
    for length, fits in ((72, True), (73, False)):
        parent = world / ("l" * (length - len(str(world)) - len("//rekall")))
        parent.mkdir()
        found = places(world, {"HOME": "/", "XDG_RUNTIME_DIR": str(parent)}, "x.db")
        assert found and found[1].startswith(str(parent)) is fits
        assert len(os.fsencode(found[1] + "/s")) < 104


def test_what_cannot_be_told_is_left_to_rekall_py(places: Places, program: Path, world: Path) -> None:
    (world / "loop").symlink_to("loop")
    assert places(world, {"HOME": "/"}, "loop/x.db") is None
    assert places(world, {"HOME": "/"}, "x/" * 2500) is None
    gone = world / "gone"
    gone.mkdir()
    script = f'cd "{gone}" && rmdir "{gone}" && exec "$@"'
    for db, found in (("x.db", False), ("/x.db", True)):
        command = ["sh", "-c", script, "sh", program, db, ""]
        gone.mkdir(exist_ok=True)
        said = subprocess.run(command, env={"HOME": "/"}, capture_output=True, check=True).stdout
        assert (said != b"-\n") is found
