"""Build the source distribution and the wheels for Linux: the same sources, the same bytes.

    make dist [ARCH=x86_64]        into dist/

The wheels are made from the source distribution, by zig for an old glibc, and serve every Python from 3.11 on
(stable ABI). What the binaries ask of a system is read from them: more than the wheel's name promises is an error.
"""

from __future__ import annotations

import argparse
import gzip
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from elftools.elf.elffile import ELFFile

ROOT = Path(__file__).resolve().parent.parent
GLIBC = (2, 17)  # of 2012: CentOS 7, Debian 8, Ubuntu 14.04
ARCHITECTURES = ("x86_64", "aarch64")
MOST_MB = 25
BINARIES = ("rekall/_topk.abi3.so", ".data/scripts/rekall")
CARRIED = (
    *BINARIES,
    "rekall/model/LICENSE",
    "rekall/locale/fr/LC_MESSAGES/rekall.mo",
    "rekall/shell/rekall.bash",
    "rekall/topics/fr/query.md",
    "data/share/man/man1/rekall.1",
    "data/share/man/fr/man1/rekall.1",
)
LIBRARIES = {"libc.so.6", "libm.so.6", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}


def run(*words: str | Path, cwd: Path = ROOT, **env: str) -> str:
    """Run a command and return what it prints; end with its output if it fails."""
    done = subprocess.run(
        words, cwd=cwd, env={**os.environ, **env}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        sys.exit(f"{done.stdout}\n{' '.join(map(str, words))} failed with {done.returncode}")
    return done.stdout


def build(kind: str, source: Path, out: Path, *options: str, **env: str) -> Path:
    """Build one distribution of `source` in a fresh folder `out` and return its path."""
    run(sys.executable, "-m", "build", "--no-isolation", f"--{kind}", "--outdir", out, *options, source, **env)
    (made,) = out.iterdir()
    return made


def repacked(sdist: Path, moment: int, out: Path) -> Path:
    """Pack an sdist again with nothing in it of the machine or the hour: order, owner, modes, times."""
    target = out / sdist.name
    with (
        tarfile.open(sdist) as given,
        target.open("wb") as file,
        gzip.GzipFile("", "wb", mtime=moment, fileobj=file) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as made,
    ):
        for member in sorted(given.getmembers(), key=lambda member: member.name):
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            member.mtime = moment
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            member.pax_headers = {}
            made.addfile(member, given.extractfile(member) if member.isreg() else None)
    return target


def wheel(source: Path, architecture: str, moment: int, work: Path, out: Path) -> Path:
    """Build the wheel of one architecture and check what it says of itself."""
    glibc = ".".join(map(str, GLIBC))
    compiler = f"{sys.executable} -m ziglang cc -target {architecture}-linux-gnu.{glibc}"
    made = build(
        "wheel",
        source,
        work / f"wheel-{architecture}",
        f"-C--build-option=--plat-name=manylinux_{GLIBC[0]}_{GLIBC[1]}_{architecture}",
        CC=compiler,
        LDSHARED=f"{compiler} -shared",  # Python's own would write its folders into the file
        CFLAGS="-g0",
        LDFLAGS="-s",
        SOURCE_DATE_EPOCH=str(moment),
        _PYTHON_HOST_PLATFORM=f"linux-{architecture}",
    )
    with zipfile.ZipFile(made) as opened:
        names = " ".join(opened.namelist())
        for needed in CARRIED:
            if needed not in names:
                sys.exit(f"{made.name} has no {needed}")
        for name in BINARIES:
            (whole,) = (known for known in opened.namelist() if known.endswith(name))
            check_binary(whole, opened.read(whole))
    if made.stat().st_size > MOST_MB << 20:
        sys.exit(f"{made.name} has {made.stat().st_size >> 20} MB, more than {MOST_MB}")
    return Path(shutil.copy(made, out))


def check_binary(name: str, data: bytes) -> None:
    """End if a binary needs another library than the C library's, or a newer one than promised."""
    elf = ELFFile(io.BytesIO(data))
    libraries = {tag.needed for tag in elf.get_section_by_name(".dynamic").iter_tags("DT_NEEDED")}
    if more := libraries - LIBRARIES:
        sys.exit(f"{name} needs {', '.join(sorted(more))}")
    for _library, versions in elf.get_section_by_name(".gnu.version_r").iter_versions():
        for version in versions:
            number = tuple(map(int, version.name.removeprefix("GLIBC_").split(".")))
            if number > GLIBC:
                sys.exit(f"{name} needs {version.name}, newer than promised")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("architectures", nargs="*", default=ARCHITECTURES, metavar="ARCH")
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    options = parser.parse_args()
    os.umask(0o022)
    moment = int(run("git", "log", "-1", "--format=%ct"))
    options.out.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        sdist = repacked(build("sdist", ROOT, work / "sdist"), moment, options.out)
        made = [sdist]
        for architecture in options.architectures:
            with tarfile.open(sdist) as packed:
                packed.extractall(work / architecture, filter="data")
            (source,) = (work / architecture).iterdir()
            made.append(wheel(source, architecture, moment, work, options.out))
    for path in made:
        print(f"{path.stat().st_size / 2**20:5.1f} MB  {path.name}")


if __name__ == "__main__":
    main()
