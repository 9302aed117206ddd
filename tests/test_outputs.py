"""What failing programs print, reduced to what went wrong: the outputs in data/outputs were made by really failing tools.

Names of folders, hosts and people in them were replaced; nothing else was. `fine` holds what succeeded, with the words in it.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekall.error_lines import ErrorLine, error_lines, has_named_error
from rekall.error_marks import Mark, without_prefix
from rekall.printed import HEAD_BYTES, TAIL_BYTES, Kept, plain_lines

OUTPUTS = Path(__file__).parent / "data" / "outputs"
FINE = sorted((OUTPUTS / "fine").glob("*.txt"))

# The line that each failed output is about, or how it begins.
CAUSES = {
    "apt_locate": "E: Unable to locate package nosuchpackage-xyz",
    "bash_not_found": "bash: line 1: till: command not found",
    "bash_several": "cat: nosuch.txt: No such file or directory",
    "cargo_dependency": "error: no matching package named `nosuchcrate` found",
    "cargo_moved": "error[E0382]: borrow of moved value: `names`",
    "cargo_panic": "thread 'main' (19065) panicked at src/main.rs:1:54: index out of bounds: the len is 0 but ",
    "clang_coloured": "till.c:2:39: error: use of undeclared identifier 'retrun'; did you mean 'return'?",
    "cmake_package": 'CMake Error at CMakeLists.txt:3 (find_package): By not providing "FindBasket.cmake" in CMA',
    "curl_host": "curl: (6) Could not resolve host: host.invalid",
    "curl_refused": "curl: (7) Failed to connect to 127.0.0.1 port 1 after 0 ms: Couldn't connect to server",
    "docker_daemon": "docker: Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker ",
    "gcc_coloured": "till.c:2:39: error: unknown type name ‘retrun’",
    "gcc_errors": "till.c:2:39: error: unknown type name ‘retrun’",
    "gcc_header": "inc.c:1:10: fatal error: openssl_nothere/ssl.h: No such file or directory",
    "git_clone_host": "fatal: unable to access 'https://git.invalid/ana/shop.git/': Could not resolve host: git.i",
    "git_no_repo": "fatal: not a git repository (or any of the parent directories): .git",
    "git_several": "fatal: No configured push destination.",
    "gxx_template": "v.cpp:2:35: error: ‘class std::vector<int>’ has no member named ‘push’",
    "java_caused": "Caused by: java.lang.IllegalStateException: drawer 4 is locked",
    "java_source": "Caused by: java.lang.IllegalStateException: drawer 4 is locked",
    "javac": "Bad.java:1: error: incompatible types: String cannot be converted to int",
    "kubectl": '"Unhandled Error" err="couldn\'t get current server API group list: Get \\"http://localhost:',
    "ld_library": "/usr/bin/ld: cannot find -lnosuchlib: No such file or directory",
    "ld_undefined": "link.c:(.text+0xa): undefined reference to `price'",
    "make_compiles": "till.c:2:39: error: unknown type name ‘retrun’",
    "make_no_rule": "make: *** No rule to make target 'basket.h', needed by 'basket.o'.  Stop.",
    "make_separator": "M3:2: *** missing separator.  Stop.",
    "node_module": "Error: Cannot find module './nosuch'",
    "node_type": "TypeError: Cannot read properties of undefined (reading 'map')",
    "npm_offline": "npm error code ENOTCACHED",
    "npm_run": "RangeError: the basket is full",
    "npm_script": 'npm error Missing script: "nosuch"',
    "perl_module": "Can't locate Nosuch/Module.pm in @INC (you may need to install the Nosuch::Module module) ",
    "pip_metadata": "RuntimeError: needs libtill 2 or newer",
    "pip_no_match": "ERROR: Could not find a version that satisfies the requirement nosuchpackage_xyz (from ver",
    "psql_refused": 'psql: error: connection to server at "127.0.0.1", port 1 failed: Connection refused',
    "python_chained": "KeyError: 'basket'",
    "python_group": "TimeoutError: the till does not answer",
    "python_import": "ModuleNotFoundError: No module named 'nosuchmodule_xyz'",
    "python_syntax": "SyntaxError: invalid syntax",
    "segfault": "bash: line 1: 19104 Segmentation fault      ./seg",
    "sh_syntax": 'sh: 1: Syntax error: end of file unexpected (expecting "fi")',
    "sqlite_locked": "sqlite3.OperationalError: unable to open database file",
    "ssh_host": "ssh: Could not resolve hostname host.invalid: Name or service not known",
    "ssh_refused": "ssh: connect to host 127.0.0.1 port 1: Connection refused",
    "systemctl": "Failed to connect to bus: Host is down",
    "tar_gzip": "gzip: stdin: not in gzip format",
    "tar_missing": "tar (child): nosuch.tar.gz: Cannot open: No such file or directory",
    "tty_curl_progress": "curl: (7) Failed to connect to 127.0.0.1 port 1 after 0 ms: Couldn't connect to server",
    "tty_gcc": "till.c:2:39: error: unknown type name ‘retrun’",
    "tty_npm": "npm error code ENOENT",
}


def reduced(text: str | bytes) -> list[ErrorLine]:
    return error_lines(plain_lines(text.encode() if isinstance(text, str) else text))


def test_every_output_has_its_cause_in_the_table() -> None:
    assert {path.stem for path in (OUTPUTS / "failed").glob("*.txt")} == set(CAUSES)


def named(line: str) -> str:
    """Return the name of a case: its words, so that no report takes one for its own last line."""
    return re.sub(r"\W+", "-", line)[:40]


@pytest.mark.parametrize("name", CAUSES)
def test_a_failed_output_is_reduced_to_its_cause(name: str) -> None:
    lines = reduced((OUTPUTS / "failed" / f"{name}.txt").read_bytes())
    assert lines[0].text.startswith(CAUSES[name])
    assert lines[0].mark == Mark.NAMED


@pytest.mark.parametrize("path", FINE, ids=lambda path: path.stem)
def test_an_output_of_success_has_no_error_line(path: Path) -> None:
    assert reduced(path.read_bytes()) == []


@pytest.mark.parametrize(
    "line",
    [
        "0 errors, 0 warnings", "    0 Error(s)", "errors: 0", "Error: 0", '{"errors":[],"failed":0}', "errors=0 failed=0",
        "Found 0 errors in 3 files", "no errors found", "finished without errors", "error: null",
        "g++ -c -o error_handler.o error_handler.cpp", "  CXX  src/error_handler.cpp", "[ 50%] Building CXX object errors.cpp.o",
        "  CC      lib/exception_table.o", "src/fatal.rs", "running with --no-error --fail-fast -Werror",
        "PASSED test_error", "tests/test_errors.py::test_error_is_shown PASSED [ 33%]", "test errors::panics ... ok",
        "✓ shows the error (3 ms)", "ok 3 - error is shown", "--- PASS: TestError (0.00s)", "PASS: error_test", "31 passed in 1.92s",
        "test result: ok. 2 passed; 0 failed; 0 ignored", "=== 1 succeeded, 0 failed, 0 up-to-date, 0 skipped ===",
        "checking for error_at_line... no", "-- Looking for strerror_r - not found", "   Compiling thiserror v1.0.50",
        "$ grep -r 'error: no' .", "ana@desk:~$ cat error.log", "+ test -f error", "2026-01-02 03:04:05,678 INFO error handler installed",
        "   12 |   printf(\"error: %d\", code);", "hint: see the 'Note about fast-forwards' in 'git push --help' for details.",
    ],
    ids=named,
)  # fmt: skip
def test_a_word_alone_makes_no_error(line: str) -> None:
    assert reduced(line) == []
    assert not has_named_error(line)


@pytest.mark.parametrize(
    "line",
    [
        "error: pathspec 'x' did not match", "error[E0308]: mismatched types", "fatal: not a git repository", "a.c:3:1: error: x",
        "x.cpp(12): error C2182: 'n': bad use", "LINK : fatal error LNK1104: cannot open file 'a.lib'", "error TS2304: no 'x'",
        "npm ERR! 404 Not Found", "npm error code E404", "ERROR: No matching distribution found for x", "E: Unable to locate package x",
        "ERROR:  relation \"x\" does not exist", "make: *** No rule to make target 'x'.  Stop.", "Makefile:3: *** missing separator.  Stop.",
        "ValueError: x", "json.decoder.JSONDecodeError: Expecting value: line 1", "KeyError", "TypeError [ERR_X]: y",
        "Exception in thread \"main\" java.lang.Error: x", "Caused by: java.io.IOException: y", "panic: runtime error: index out of range",
        "thread 'main' panicked at src/main.rs:1:2: x", "Error response from daemon: conflict", "The connection failed: Connection refused",
        "bash: till: command not found", "sh: 1: till: not found", "zsh: command not found: till", "fish: Unknown command: till",
        "cat: x: No such file or directory", "./x: Permission denied", "Segmentation fault (core dumped)", "Killed",
        "curl: (6) Could not resolve host: x", "ssh: connect to host x port 22: Connection refused", "error: cannot find 'x'",
        "ana@host: Permission denied (publickey).", "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @",
        "tar: a.tgz: Cannot open: No such file or directory", "git: 'stats' is not a git command. See 'git --help'.",
        "/usr/bin/ld: cannot find -lx", "a.c:(.text+0xa): undefined reference to `f'", "CMake Error at CMakeLists.txt:3 (find_package):",
        "Job for nginx.service failed because the control process exited.", "Unit x.service not found.", "! [rejected] main -> main",
        "E       AssertionError: 3 != 4", "[ERROR] Unknown lifecycle phase \"cle\".", "Error: Cannot find module 'x'", "  × no such thing",
        "CONFLICT (content): Merge conflict in a.txt", "FATAL ERROR: Reached heap limit - JavaScript heap out of memory",
        "error: no such option: --x", "Error: 0x80070005", "PHP Fatal error:  Uncaught Error: x", "x.rb:3:in `f': undefined (NameError) error: y",
    ],
    ids=named,
)  # fmt: skip
def test_errors_of_the_tools_are_recognised(line: str) -> None:
    assert [found.mark for found in reduced(line)] == [Mark.NAMED], line
    assert has_named_error(line)


@pytest.mark.parametrize(
    "query",
    [
        "error handling in rust",
        "undo the last commit",
        "how to fix permission denied",
        "connection refused",
        "disk full?",
    ],
    ids=named,
)
def test_a_question_about_an_error_is_none(query: str) -> None:
    assert not has_named_error(query)


@pytest.mark.parametrize(
    "line",
    [
        "make: *** [Makefile:58: all] Error 2", "make[2]: *** [a.o] Error 1", "make: *** Waiting for unfinished jobs....",
        "collect2: error: ld returned 1 exit status", "error: could not compile `till` due to 1 previous error",
        "error: aborting due to 2 previous errors", "npm ERR! code ELIFECYCLE", "npm ERR! Exit status 1", "ninja: build stopped: x.",
        "ERROR: process \"/bin/sh -c make\" did not complete successfully: exit code: 2", "test result: FAILED. 1 passed; 1 failed",
        "subprocess.CalledProcessError: Command 'x' returned non-zero exit status 1.", "-- Configuring incomplete, errors occurred!",
        "=== 1 failed, 3 passed in 0.1s ===", "Process finished with exit code 1", "tar: Error is not recoverable: exiting now",
        "error: failed to push some refs to 'x'", "2 errors generated.", "error: subprocess-exited-with-error",
    ],
    ids=named,
)  # fmt: skip
def test_an_echo_stands_behind_its_cause(line: str) -> None:
    assert [found.mark for found in reduced(line)] == [Mark.ECHO]
    both = reduced(f"{line}\nx.c:1:2: error: the cause\n{line}")
    assert [found.text for found in both] == ["x.c:1:2: error: the cause", without_prefix(line)]


@pytest.mark.parametrize(
    "prefix",
    [
        "2026-01-02T03:04:05.678Z ", "2026-01-02 03:04:05,678 ", "[2026/01/02 03:04:05] ", "03:04:05 ", "[03:04:05] ",
        "Jan  2 03:04:05 host ", "[   12.345678] ", "[ 50%] ", "[3/12] ", "12>", "#7 0.345 ", "web_1  | ",
        "2026-01-02T03:04:05Z web-1  | ", "E0102 03:04:05.678901   123 main.go:45] ",
    ],
    ids=named,
)  # fmt: skip
def test_times_and_prefixes_of_runners_are_no_part_of_a_line(prefix: str) -> None:
    line = "nginx[12]: error: x" if "host" in prefix else "error: x"
    assert [found.text for found in reduced(prefix + line)] == [line]


def test_of_chained_exceptions_the_last_counts_and_of_causes_the_deepest() -> None:
    text = (OUTPUTS / "failed" / "python_chained.txt").read_text()
    assert [(line.text.split(":")[0], line.mark.name) for line in reduced(text)] == [
        ("KeyError", "NAMED"),
        ("FileNotFoundError", "ECHO"),
        ("RuntimeError", "ECHO"),
    ]
    prefixed = "".join(f"web_1  | {line}\n" for line in text.splitlines())
    assert reduced(prefixed) == reduced(text)
    java = reduced((OUTPUTS / "failed" / "java_caused.txt").read_bytes())
    assert [line.text.split(": ")[-1] for line in java] == [
        "drawer 4 is locked",
        "the till does not start",
        "shop closed",
    ]


def test_separate_tracebacks_are_no_chain() -> None:
    one = 'Traceback (most recent call last):\n  File "a.py", line 1\n    error: raise\n{}: x\n'
    assert [line.mark for line in reduced(one.format("KeyError") + one.format("ValueError"))] == [
        Mark.NAMED,
        Mark.NAMED,
    ]


def test_a_line_that_comes_twice_counts_once() -> None:
    assert len(reduced("error: x\n" * 1000 + "error: y\n")) == 2
    assert len(reduced("".join(f"error: {chr(97 + n % 26) * (n // 26 + 1)}\n" for n in range(500)))) == 64


@pytest.mark.parametrize(
    ("printed", "lines"),
    [
        (b"a\r\nb\r\r\nc", ["a", "b", "c"]),
        (b" 10%\r 20%\r\x1b[Kerror: x\n", [" 10%", " 20%", "error: x"]),
        (b"\x1b[1;31merror\x1b[0m: x", ["error: x"]),
        (b"\x1b]8;;file:///a\x1b\\a.c\x1b]8;;\x07: x", ["a.c: x"]),
        (b"\x1b]0;title\x07x\x1b(By\x1b=z", ["xyz"]),
        (b"e\berr\bror", ["erro" + "r"]),
        (b"spin |\b/\b-\bdone", ["spin done"]),
        (b"\b\b\bx", ["x"]),
        (b"a\0b\x07\x7fc", ["abc"]),
        (b"\xff\xfe error", ["\ufffd\ufffd error"]),
        ("\u2028a\x0cb".encode(), ["a", "b"]),
        (b"\n \n\t\n", []),
        (b"x" * 80 + b"\ny", ["x" * 80 + "y"]),
        (b"x" * 81 + b"\n" + b"x" * 80 + b"\ny", ["x" * 81, "x" * 80, "y"]),
        (b"x" * 5000, ["x" * 1000]),
        (b"", []),
    ],
)
def test_lines_are_what_a_reader_of_the_screen_would_see(printed: bytes, lines: list[str]) -> None:
    assert plain_lines(printed) == lines


@given(st.lists(st.binary(max_size=300), max_size=20), st.integers(1, 500), st.integers(1, 500))
def test_what_is_kept_is_the_head_and_the_tail(parts: list[bytes], head: int, tail: int) -> None:
    kept = Kept(head, tail)
    for part in parts:
        kept.add(part)
    whole = b"".join(parts)
    assert kept.size == len(whole)
    if kept.is_whole:
        assert kept.text() == whole and kept.lines() == plain_lines(whole)
    else:
        assert len(whole) > head + tail
        assert whole.startswith(kept.text())


def test_head_and_tail_of_a_long_output_are_read_and_nothing_between() -> None:
    kept = Kept()
    kept.add(b"error: first\n")
    for _step in range(3000):
        kept.add(b"error: between\n" if _step == 1500 else b"x" * 999 + b"\n")
    kept.add(b"error: last\n")
    assert [line.text for line in error_lines(kept.lines())] == ["error: first", "error: last"]
    endless = Kept()
    for _step in range(200):
        endless.add(b"y" * 4096)
    assert endless.lines() == ["y" * 1000]


HOSTILE = {
    "one line": b"a" * (HEAD_BYTES + TAIL_BYTES), "words": b"error " * 20_000, "colons": b"error: " * 18_000,
    "slashes": (b"/" * 999 + b"\n") * 131, "dots": (b"A." * 499 + b"\n") * 131, "dashes": (b"-a" * 499 + b"\n") * 131,
    "quotes": (b"error: " + b"'a" * 490 + b"\n") * 131, "escapes": b"\x1b[" * 65_000, "open OSC": b"\x1b]" * 65_000,
    "CSI without end": b"\x1b[" + b"0" * 130_000, "backspaces": b"a" * 65_000 + b"\b" * 65_000, "returns": b"12%\r" * 32_000,
    "brackets": (b"error: " + b"<a" * 490 + b"\n") * 131, "hex": (b"error: " + b"ab:" * 330 + b"\n") * 131,
    "tracebacks": b"Traceback (most recent call last):\nValueError: x\nDuring handling of the above exception, y\n" * 1400,
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_output_takes_no_longer_than_any(name: str) -> None:
    started = time.process_time()
    reduced(HOSTILE[name])
    assert time.process_time() - started < 3  # 0.4 s at most where this was written


@given(st.binary(max_size=2000))
def test_any_bytes_are_reduced(data: bytes) -> None:
    lines = reduced(data)
    assert [line.mark for line in lines] == sorted(line.mark for line in lines)
    assert len({line.text for line in lines}) == len(lines)
