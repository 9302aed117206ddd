"""What docs/platforms.md promises of systems that are not this one, as far as this one can be made like them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from bad_days import mounted
from running import REPOSITORY, rekall_in
from warm import PROGRAMS, Warm

WITHOUT_PROC = "mount -t tmpfs none /proc"
# What a file system that programs on two sides of a wire see says to SQLite's shared memory.
NO_SHARED_MEMORY = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
static void *map(const char *name, void *at, size_t size, int rights, int flags, int file, off_t from) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = file < 0 ? 0 : readlink(link, path, sizeof path);
    if (length > 4 && !memcmp(path + length - 4, "-shm", 4)) return errno = EINVAL, MAP_FAILED;
    void *(*real)(void *, size_t, int, int, int, off_t) = dlsym(RTLD_NEXT, name);
    return real(at, size, rights, flags, file, from);
}
void *mmap(void *a, size_t s, int r, int f, int file, off_t o) { return map("mmap", a, s, r, f, file, o); }
void *mmap64(void *a, size_t s, int r, int f, int file, off_t o) { return map("mmap64", a, s, r, f, file, o); }
"""


def with_programs(warm: Warm) -> dict[str, str]:
    return warm.env | {"PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}"}


@pytest.mark.skipif(sys.platform != "linux" or not shutil.which("unshare"), reason="namespaces are Linux's")
def test_without_proc_the_client_becomes_the_rekall_py_of_the_path(warm: Warm) -> None:
    added = warm.cold("add", "til", "the disk is full")
    assert added.status == 0
    with mounted(warm, WITHOUT_PROC) as day:
        assert (PROGRAMS / "rekall").read_bytes()[:4] == b"\x7fELF"
        found = day.hot("search", "--words", "disk", env=with_programs(warm))
        assert (found.status, found.errors) == (0, "") and "the disk is full" in found.output
        memory = json.loads(day.hot("stats", "--memory", "--json", env=with_programs(warm)).output)
        assert memory["process_peak"] > 5 << 20 and "process_rss" not in memory
        lost = day.hot("list", env=warm.env | {"PATH": "/usr/bin:/bin"})
        assert lost.status == 2 and "no rekall-py is on the PATH" in lost.errors


@pytest.mark.skipif(not (REPOSITORY / "setup.py").exists(), reason="away from a checkout nothing is built")
def test_a_build_on_windows_says_where_rekall_can_be_had() -> None:
    code = "import runpy, sys; sys.platform = 'win32'; runpy.run_path('setup.py', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "inside WSL" in done.stderr and "Traceback" not in done.stderr


def test_where_the_models_library_cannot_be_had_words_answer_and_the_reason_is_said(
    home: dict[str, str], tmp_path: Path
) -> None:
    shadow = tmp_path / "shadow"
    shadow.mkdir()
    (shadow / "onnxruntime.py").write_text("raise ImportError('no onnxruntime for this C library')\n")
    rekall = rekall_in(home)
    rekall.env["PYTHONPATH"] = f"{shadow}{os.pathsep}{rekall.env['PYTHONPATH']}"
    added = rekall("add", "til", "the disk is full")
    assert added.status == 0 and added.output
    found = rekall("search", "disk")
    assert found.status == 0 and "the disk is full" in found.output
    assert found.errors.startswith("searching by words only: ") and "for this C library" in found.errors
    assert rekall("search", "--semantic", "disk").status == 2


@pytest.mark.skipif(sys.platform != "linux" or not shutil.which("cc"), reason="the fault is made with a C compiler")
def test_a_base_where_programs_cannot_share_memory_is_refused_and_the_cause_named(warm: Warm, tmp_path: Path) -> None:
    source, library = tmp_path / "shm.c", tmp_path / "shm.so"
    source.write_text(NO_SHARED_MEMORY)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True, timeout=60)
    env = warm.env | {"LD_PRELOAD": str(library)}
    for words in (("add", "til", "the disk is full"), ("search", "disk")):
        refused = warm.cold(*words, **env)
        assert refused.status == 2 and not refused.output
        assert "cannot share memory" in refused.errors and "REKALL_DB" in refused.errors
    assert warm.cold("add", "til", "the disk is full").status == 0  # nothing was left that hinders
