"""Where the warm process is met: the same folder for both sides, and never one that others have a hand in."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from running import REPOSITORY

from rekall.places import LONGEST_ROOT, FolderRefused, fnv1a, secure_folder, socket_folder

KNOWN = json.loads((Path(__file__).parent / "data" / "places.json").read_text(encoding="utf-8"))
USER = f"rekall-{os.getuid()}"


@pytest.fixture
def short() -> Iterator[Path]:
    """Return a folder with a short path: a socket's has some hundred bytes."""
    with TemporaryDirectory(dir="/tmp", prefix="rk") as folder:
        yield Path(folder).resolve()


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: str(known["path"])[:30])
def test_a_path_has_the_hash_that_both_sides_are_held_to(known: dict[str, str]) -> None:
    assert fnv1a(os.fsencode(known["path"])) == known["hash"]


@pytest.mark.parametrize(
    ("data", "number"),
    [(b"", "cbf29ce484222325"), (b"a", "af63dc4c8601ec8c"), (b"foobar", "85944171f73967e8")],
)
def test_the_hash_is_the_published_one(data: bytes, number: str) -> None:
    """Vectors of Fowler, Noll and Vo."""
    assert fnv1a(data) == number


def test_a_base_has_one_folder_whatever_it_is_called(short: Path) -> None:
    env = {"XDG_RUNTIME_DIR": str(short)}
    base = short / "base.db"
    base.touch()
    (short / "link.db").symlink_to(base)
    (short / "sub").symlink_to(short)
    names = (base, short / "link.db", short / "sub" / "base.db", short / "x" / ".." / "base.db")
    assert {socket_folder(name, env) for name in names} == {short / "rekall" / fnv1a(os.fsencode(base))}
    assert socket_folder(short / "other.db", env) != socket_folder(base, env)
    assert not (short / "rekall").exists()  # nothing is made by asking


def test_the_root_is_the_first_folder_that_will_do(short: Path) -> None:
    other = short / "t"
    other.mkdir()
    file = short / "file"
    file.touch()
    fits = short / ("x" * (LONGEST_ROOT - len(str(short)) - len("/") - len("/rekall")))
    long = Path(f"{fits}y")
    fits.mkdir()
    long.mkdir()

    def root(runtime: object, temporary: object) -> Path:
        return socket_folder(short / "b", {"XDG_RUNTIME_DIR": str(runtime), "TMPDIR": str(temporary)}).parent

    assert root(short, other) == short / "rekall"
    assert root(fits, other) == fits / "rekall" and len(str(fits / "rekall")) == LONGEST_ROOT
    for unfit in (long, "", "relative", short / "missing", file):
        assert root(unfit, other) == other / USER, unfit
        assert root(unfit, unfit) == Path("/tmp", USER), unfit
    assert socket_folder(short / "b", {}).parent == Path("/tmp", USER)


def test_a_socket_in_the_longest_root_has_a_path_that_every_system_takes(short: Path) -> None:
    folder = socket_folder(short / "b", {"XDG_RUNTIME_DIR": str(short)})
    below = len(str(folder)) - len(str(folder.parent))
    temporary = len("/.s4194304")  # the longest name below it, of the largest process id
    assert LONGEST_ROOT + below + temporary < 104


def test_a_new_folder_is_made_and_private_whatever_the_umask(short: Path) -> None:
    old = os.umask(0)
    try:
        descriptor = secure_folder(short / "rekall" / "0123")
    finally:
        os.umask(old)
    assert os.fstat(descriptor).st_ino == (short / "rekall" / "0123").stat().st_ino
    assert not os.get_inheritable(descriptor)
    os.close(descriptor)
    for made in (short / "rekall", short / "rekall" / "0123"):
        assert stat.S_IMODE(made.stat().st_mode) == 0o700
    os.close(secure_folder(short / "rekall" / "0123"))  # and again, now that it is there


@pytest.mark.parametrize("place", ["rekall", "rekall/0123"])
@pytest.mark.parametrize("mode", [0o710, 0o701, 0o770, 0o777, 0o720, 0o704])
def test_a_folder_that_others_may_enter_is_refused(short: Path, place: str, mode: int) -> None:
    (short / "rekall" / "0123").mkdir(parents=True, mode=0o700)
    (short / "rekall").chmod(0o700)
    (short / place).chmod(mode)
    with pytest.raises(FolderRefused, match=rf"{short / place}.*--no-server"):
        secure_folder(short / "rekall" / "0123")
    assert stat.S_IMODE((short / place).stat().st_mode) == mode  # told, not mended


@pytest.mark.parametrize("place", ["rekall", "rekall/0123"])
@pytest.mark.parametrize("kind", ["link", "broken link", "file"])
def test_what_is_no_folder_is_refused(short: Path, place: str, kind: str) -> None:
    if place != "rekall":
        (short / "rekall").mkdir(mode=0o700)
    (short / "elsewhere").mkdir(mode=0o700)
    if kind == "file":
        (short / place).touch()
    else:
        (short / place).symlink_to(short / ("elsewhere" if kind == "link" else "missing"))
    with pytest.raises(FolderRefused, match=rf"{short / place}"):
        secure_folder(short / "rekall" / "0123")
    assert list((short / "elsewhere").iterdir()) == [] and not (short / "missing").exists()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
@pytest.mark.parametrize("place", ["rekall", "rekall/0123"])
def test_somebody_elses_folder_is_refused(short: Path, place: str) -> None:
    os.close(secure_folder(short / "rekall" / "0123"))
    os.chown(short / place, 12345, 12345)
    with pytest.raises(FolderRefused, match="not yours"):
        secure_folder(short / "rekall" / "0123")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_roots_folder_is_refused_by_others_too(short: Path) -> None:
    short.chmod(0o755)
    os.close(secure_folder(short / "rekall" / "0123"))
    code = (
        "import os, sys; from pathlib import Path; from rekall.places import *; os.setuid(12345)\n"
        "try: secure_folder(Path(sys.argv[1]))\n"
        "except FolderRefused: print('refused')\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, str(short / "rekall" / "0123")],
        capture_output=True,
        text=True,
        timeout=30,
        cwd=REPOSITORY,
    )
    assert found.stdout == "refused\n", found.stderr


def test_no_descriptor_is_left_open_by_a_refusal(short: Path) -> None:
    (short / "rekall").mkdir(mode=0o755)
    (short / "rekall").chmod(0o755)
    before = len(os.listdir("/dev/fd"))
    for _number in range(20):
        with pytest.raises(FolderRefused):
            secure_folder(short / "rekall" / "0123")
    assert len(os.listdir("/dev/fd")) == before
