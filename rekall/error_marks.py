"""How a line of output shows that it is an error: the marks of a few dozen tools, as tables. Pure.

A word such as `error` is no mark by itself: it stands in file names, options, test names and counts of nothing, which
are taken out before words are looked at. No pattern repeats a repetition without a bound, and lines are short
(printed.LONGEST_LINE), so the cost is linear in the output.
"""

from __future__ import annotations

import re
from enum import IntEnum

# Words that every message has tell little.
COMMON = frozenset(
    re.findall(
        r"\w+",
        "a an the of to in on at by for from with and or is are be was were it this that as if you your not no "
        "error errors err fatal failed failure exception warning line file when while can cannot could has have had "
        "did do does must may will would should use see than then there which",
    )
)


class Mark(IntEnum):
    """How a line shows that it is an error; the lower, the sooner it is believed."""

    NAMED = 1  # as a tool marks its errors
    WORDED = 2  # it says that something did not work, without a mark
    WARNING = 3  # a tool's warning: an error to whoever kept it as one
    ECHO = 4  # that something failed, without saying why: make, npm and cargo about the program they ran


def _any(*patterns: str, flags: int = 0) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns), flags)


_PREFIX = _any(
    r"^\s*\[?\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?\s?(?:Z|[+-]\d\d:?\d\d|UTC)?\]?[\s:|-]{0,3}",
    r"^\s*(?:Mon |Tue |Wed |Thu |Fri |Sat |Sun )?(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [ \d]\d "
    r"\d\d:\d\d:\d\d(?: \d{4})? (?:[\w.-]{1,64} (?=[\w./@-]{1,64}(?:\[\d+\])?:))?",  # syslog, with the host
    r"^\s*\[?\d\d:\d\d:\d\d(?:[.,]\d{1,9})?\]?\s",
    r"^\s*\[\s*\d+\.\d+\]\s",  # the kernel's seconds
    r"^\s*\[\s*\d+%\]\s|^\s*\[\d+/\d+\]\s|^\d{1,3}>\s*",  # CMake, ninja, MSBuild
    r"^#\d+ (?:\d+\.\d+ )?",  # BuildKit
    r"^[IWEF]\d{4} \d\d:\d\d:\d\d\.\d+\s+\d+ [\w.]+:\d+\] ",  # Go's klog
    r"^[A-Za-z][\w.-]{0,39}\s{0,20}\| ",  # docker compose, foreman
    r"^\s*\[(?:INFO|info|main|stderr|stdout)\]\s",
    r"^(?:ERROR|FATAL|CRITICAL|SEVERE):(?:root|[\w.]{1,40}):",  # Python's logging
)

# A command as a shell, make or a trace shows it: what was asked for, not what came of it.
_COMMAND = _any(
    r"\d{0,6}\s*\|",  # a compiler's excerpt of the source
    r"\$ |% |❯ |➜ |\+{1,4} |>>> |> \S",
    r"\[?[\w.-]{1,32}@[\w.-]{1,64}[: ][^\n$#%]{0,80}[$#%] ",
    r"(?:~|/)[\w./~-]{0,80} [❯$%#] ",
    r"(?:/[\w./-]{0,80}/)?(?:gcc|g\+\+|cc|c\+\+|clang|clang\+\+|rustc|javac|ld|ar) -",
    r"(?:checking|Checking|-- (?!Configuring incomplete)\S)",
)  # fmt: skip

_PASSED = _any(
    r"\bPASSED\b|^PASS\b|^ok\s+\d|^ok\s+\S+\s+[\d.]+s|^\s*[✓✔√]|\.\.\. (?:ok|OK|passed)\s*$|^--- PASS|\bXPASS\b"
    r"|\bxfail",
    r"^\s*(?:Compiling|Building|Built target|Linking|Checking|Fresh|Downloading|Downloaded|Unpacking|Installing"
    r"|Collecting) ",
    r"^tests?/\S+\s[.s]+\s|^# Subtest: |^plugins: ",
)

# What tools say beside their errors: hints, notes, and log lines of the lower levels.
_REMARK = _any(
    r"^(?:N|I): |^(?:hint|note|help|info|debug|remark)\b\s*:|^\s*= (?:note|help)(?!: \S{0,40}\bld: )"
    r"|[:)] (?:note|remark|info): ",
    r"^\S{1,200}:\d+: in (?:main chunk|function|method|block|upvalue|local|field)\b",  # Lua: where it was
    r"^\W{0,3}(?:INFO|DEBUG|TRACE|NOTICE|VERBOSE)\b(?!.{0,40}\b(?:ERROR|FATAL)\b)|^level=(?:info|debug)\b",
)

# A failure told again by whoever ran what failed.
_ECHO = _any(
    r"^(?:g?make|nmake|mingw32-make)(?:\[\d+\])?: \*\*\* (?:\[.*\] Error -?\d+|Waiting for unfinished)",
    r"^NMAKE : fatal error U1077",
    r"^error: (?:aborting due to|could not compile|build failed|failed to push some refs|Recipe .* failed|subprocess-)",
    r"^error: metadata-generation-failed|^error: linking with .* failed",
    r"^For more information about (?:this|an) error|^Some errors have detailed explanations",
    r"^collect2: (?:fatal )?error: ld returned|linker command failed with exit code",
    r"^(?:npm ERR!|npm error)\s+(?:code (?:ELIFECYCLE|1)$|errno\b|Exit status|A complete log|path\b|command\b"
    r"|This is probably|Failed at|\S+@\S+ \S+: )",
    r"^(?:npm ERR!|npm error)\s*$|^(?:npm ERR!|npm error)\s+(?:[{}\]]|/|\d{4}-\d\d)",
    r"\b(?:exit(?:ed)?|return(?:ed|s)?)(?: with)?(?: a)?(?: non-zero)? (?:code|status"
    r"|exit status):?\s*-?[1-9]\d{0,2}\b",
    r"\bnon-zero exit status|\bnon-zero code\b|returned a non-zero",
    r"^ninja: build stopped|^-- Configuring incomplete|^FAILED \(|^\s*FAILED:? |^\*\*\* (?:BUILD )?FAILED"
    r"|^BUILD FAILED|^Build FAILED",
    r"^FAILURE: Build failed|^\[ERROR\] (?:To see the full stack|Re-run Maven|For more information|\[Help|-> \[Help"
    r"|Failed to execute goal)",
    r"^\[ERROR\]\s*$|^=+ .*\b[1-9]\d* (?:failed|errors?)\b|^test result: FAILED|^failures:$"
    r"|\b[1-9]\d* errors? generated",
    r"^tar(?: \(child\))?: (?:Exiting with failure|Error is not recoverable|Child returned status)",
    r"^Process completed with exit code",
    r"^× .*(?:did not run successfully|Encountered error)|^(?:npm ERR!|npm error)\s+(?:To see a|npm )",
    r"^APPLICATION FAILED TO START|^== Compilation error in file|^Execution of \S+ aborted",
    r"^(?:Base)?ExceptionGroup: |^BEGIN failed--compilation aborted",
    r"^Could not (?:import runpy|fetch URL)|^fatal error: too many errors|^\d+ errors?$|^Found [1-9]\d* errors?",
    r"^Error: (?:Process completed|The process .* failed)|^\[ERR(?:OR)?_[A-Z]*LIFECYCLE\]|^curl: try 'curl",
)  # fmt: skip

# `ValueError: …`, `java.io.IOException: …`, `Uncaught TypeError [ERR_X]: …`, `requests.exceptions.Timeout: …`
_EXCEPTION = re.compile(
    r"(?:Caused by: |Exception in thread \"[^\"]*\" |E\s{2,}|Uncaught (?:exception:? )?|Unhandled exception[:.] ?"
    r"|panic: |PHP )?"
    r"(?:[a-zA-Z_$][\w$]{0,60}(?:\.|::)){0,12}[A-Z][\w$]{0,80}(?:Error|Exception|Warning|Exit|Interrupt|Fault"
    r"|Timeout|Refused"
    r"|NotFound|Exists|Failure|Denied)(?: \[[\w-]+\])?(?::(?!:)|\s*$)"
    r"|(?:Caused by|Exception in thread|Unhandled exception|Uncaught )\b.{0,2}\S"
    r"|E\s{2,}(?:assert|[A-Z]\w*(?:Error|Exception)\b)|Failure/Error: "
)
_WARNING_NAME = re.compile(r"(?:[\w$]+\.){0,12}\w*Warning\b")

# Words without blanks that hold an error word and are a name: of a file, an option, a test, a variable.
_TOKEN = re.compile(r"(?<![\w./\\-])[\w./\\-]{2,}")
_NAME = re.compile(r"[/\\]|\.[a-z]|_|\w-\w|^-{1,2}\w|^-W")
_EXCEPTION_NAME = re.compile(r"[A-Z]\w*(?:Error|Exception)$")
_ERROR_WORD = re.compile(r"error|exception|fail|fatal|warning|panic", re.IGNORECASE)

# What holds the words and is no error either: counts of nothing.
_INNOCENT = _any(
    r"\b(?:0|no|No|zero|without|without any)\s+(?:known )?(?:errors?|failures?|failed|failing|problems?|warnings?"
    r"|fatal)\b"
    r"(?:\(s\))?(?: found)?",
    r"\b0 (?:Error|Warning)\(s\)",
    r"[\"']?\b(?:errors?|failures?|failed|failing|fatal|warnings?|exceptions?)[\"']?\s*[:=]\s*"
    r"(?:0|\[\s*\]|\{\s*\}|null|none|nil|false|no|\"\"|''|N/A)(?=\s*(?:$|[,;|)}\]])|\s\s|\s\w+\s?[:=])",
    r"\b[Ee]rrors? (?:rate|handling|handler|count|log|page|budget|reporting)s?\b",
    flags=re.IGNORECASE,
)

_CODE = r"(?:\s?[\[(]?[A-Za-z]{0,8}[-_]?\d{1,6}[\])]?|\[\w{1,20}\])?"
_ERROR_FIRST = re.compile(r"^\W{0,3}(?:fatal|error)\b|: (?:fatal )?error\b", re.IGNORECASE)
_WARNING = _any(
    r"^\W{0,3}(?:npm )?(?:warn(?:ing)?)\b(?!: REMOTE)(?:!|:|\s)",
    r"[:)] ?warning" + _CODE + r"\s?(?::|\b)",
    r"^W: |^\S{0,80} (?:WARN|WARNING)\b",
    r"^[A-Z]{2,10} : warning\b",
    flags=re.IGNORECASE,
)

# The phrases of strerror(3).
SYSTEM = (
    r"No such file or directory|Permission denied|Operation not permitted|Connection (?:refused|reset|timed out"
    r"|closed by)"
    r"|Is a directory|Not a directory|File exists|Directory not empty|Device or resource busy|No space left on device"
    r"|Exec format error|Cannot allocate memory|Broken pipe|Address already in use|Too many open files"
    r"|Read-only file system"
    r"|Input/output error|Argument list too long|Text file busy|Network is unreachable|No route to host"
    r"|Invalid argument"
    r"|Cross-device link|Illegal instruction|File name too long|Name or service not known|Bad file descriptor"
    r"|Bad address"
    r"|Temporary failure in name resolution|Host key verification failed|Could not resolve host|Operation timed out"
    r"|Too many levels of symbolic links"
)
_SHELLS = r"command not found|Unknown command|not recognized as an internal or external command"
_NAMED = _any(
    r"(?<![\w./\\-])(?:fatal error|internal compiler error|internal error|syntax error|parse error|error|fatal|panic"
    r"|critical|emerg|severe|failure)" + _CODE + r"\s?(?:\[[\w-]+\])?\s?(?:!|:(?!:))",
    r"^\W{0,3}(?:errors?|fatal|critical|severe)\b\s*(?:[-–|\t\]]|\d)|^(?:error|Error|ERROR) [A-Z]",
    r"\[(?:error|fatal|critical|emerg)\]",
    r"^E: \S|^E\s{2,}\S|^error TS\d+|^npm ERR!|^npm error|^\s*(?:×|✖|✗|✘) |^\s{0,8}\d+:\d+\s+error\s",
    r"^(?:CMake Error|PHP (?:Fatal|Parse)|Fatal (?:Python )?error|Error response from daemon|Error from server)\b",
    r"^(?:error|Error) (?:occurred|while|in|at|parsing|reading|opening|loading|creating|running|executing|building"
    r"|processing|getting)\b",
    r"^Exception |^panic:|^thread '[^']*'(?: \(\d+\))? panicked|^goroutine \d+ \[|^\s*raise \w+"
    r"|^!\s{1,4}\S.*(?:not found|rejected)",
    r"[:\])(,;-] ?(?:" + SYSTEM + "|" + _SHELLS + r")\b|^(?:" + SYSTEM + "|" + _SHELLS + r")\s?[:.,(]",
    r"^[\w./+-]{1,60}: (?:line \d+: )?\S.{0,200}: (?:not found|inaccessible or not found)\s*$",
    r"\b(?:Segmentation fault|core dumped|Bus error|Floating point exception|Aborted$|stack smashing detected"
    r"|double free)\b",
    r"\b(?:out of memory|Out of memory|oom-kill|Killed$|heap out of memory|JavaScript heap)\b",
    r"^(?:g?make|nmake)(?:\[\d+\])?: \*\*\* |^[\w./-]{1,80}:\d+: \*\*\* |^g?make: Fatal|^don't know how to make",
    r"\bundefined (?:reference to|symbol)|\bmultiple definition of|\bcannot find -l|symbol\(s\) not found"
    r"|\bunresolved external",
    r"^curl: \(\d+\)|^wget: |^merge: |^ssh: |^psql: |^tar: (?!Removing leading)|^gzip: |^unzip: |^rsync: |^scp: |^cp: "
    r"|^mv: |^rm: |^ls: "
    r"|^cat: |^cd: |^mkdir: |^chmod: |^chown: |^ln: |^sed: |^grep: |^find: |^mount: |^umount: |^kill: |^touch: "
    r"|^rmdir: ",
    r"REMOTE HOST IDENTIFICATION HAS CHANGED|\bPermission denied \(publickey",
    r"^(?:git|pip|npm|cargo|docker|kubectl|go|brew|yarn|apt|terraform|helm|aws|gcloud): '?\S+'? is not ",
    r"^\W?(?:[\w.-]{1,30}: )?(?:Failed to|Unable to|Could not|Couldn't|Cannot|Can't|Job for \S+ failed"
    r"|Unit \S+ (?:could )?not (?:be )?found)\b",
    r"^(?:unknown|invalid|unrecognized|unsupported|illegal|unexpected|missing) \S+.{0,40}[:'\"`]",
    r"^\*\* \([A-Z][\w.]*\) |\battempt to \w+ (?:a|an) \w+ value\b|^\* What went wrong:$",  # Elixir, Lua, Gradle
    r"^! \[(?:remote )?rejected\]|^CONFLICT \(|^Auto-merg\w+ failed|^Automatic merge failed|^The command '.*' returned",
    flags=re.IGNORECASE,
)
_WORDED = _any(
    r"(?<![\w./\\-])(?:errors?|fatal|failed|failure|fails|exception|panic|aborted|crash(?:ed)?)(?![\w-]|\.\w|/|\\|\()",
    r"\b(?:cannot|can't|can not|couldn't|could not|unable to|not able to|isn't|is not|are not|aren't|was not"
    r"|were not|wasn't)\b",
    r"\b(?:not found|denied|refused|no such|unknown|invalid|unrecogni[sz]ed|unsupported|undefined|unresolved"
    r"|undeclared)\b",
    r"\b(?:missing|mismatch\w*|conflict\w*|corrupt\w*|timed out|timeout|unexpected|illegal|malformed|incompatible"
    r"|ambiguous)\b",
    r"\b(?:not allowed|not permitted|not supported|not installed|not authenticated|not exist|does ?n[o']t|doesn't"
    r"|must|mustn't)\b",
    r"\b(?:has no|have no|there is no|no matching|no default|no upstream|too many|too few|expired|rejected"
    r"|did you mean)\b",
    r"\b(?:required|expected|deprecated|locked|busy|exceed\w*|overflow|insufficient|bad(?=\s)|wrong|violates?|duplicate"
    r"|redefin\w+)\b",
    r"\bat \S{1,200} line \d+\.?\s*$",  # Perl
    r"^[\w./\\-]{1,200}\.\w{1,5}:\d+(?::\d+)?: \S",  # Go and many others: the place, then the message
    flags=re.IGNORECASE,
)


def without_prefix(line: str) -> str:
    """Return a line without what loggers and runners put before it, and without outer blanks."""
    return unprefixed(line).strip()


def unprefixed(line: str) -> str:
    """Return a line without what loggers and runners put before it: times, levels in brackets, step numbers."""
    for _time in range(4):
        shorter = _PREFIX.sub("", line, count=1)
        if shorter == line:
            break
        line = shorter
    return line


def mark_of(text: str) -> Mark | None:
    """Return how `text` shows that it is an error, or None."""
    if _PASSED.search(text) or _COMMAND.match(text) or _REMARK.search(text):
        return None
    if _ECHO.search(text):
        return Mark.ECHO
    if _EXCEPTION.match(text):
        return Mark.WARNING if _WARNING_NAME.match(text) else Mark.NAMED
    words = _INNOCENT.sub(" ", _TOKEN.sub(_unless_name, text)) if _ERROR_WORD.search(text) else text
    if _WARNING.search(words) and not _ERROR_FIRST.search(words):
        return Mark.WARNING
    if _NAMED.search(words):
        return Mark.NAMED
    return Mark.WORDED if _WORDED.search(words) else None


def is_exception(text: str) -> bool:
    """Tell whether a line is the name of an exception and what it says."""
    return _EXCEPTION.match(text) is not None


def _unless_name(token: re.Match[str]) -> str:
    """Return a token as it is, or a blank for a name that only holds an error word."""
    text = token.group()
    is_name = _ERROR_WORD.search(text) and _NAME.search(text.rstrip("./\\-")) and not _EXCEPTION_NAME.search(text)
    return " " if is_name else text
