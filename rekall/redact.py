"""Secrets that somebody typed or piped in, and what is kept in their place. Pure.

A secret of a known shape becomes a placeholder that says what it was: `<aws key>`. Shapes after the vendors' own
documentation of their tokens; a password beside its name (`PASSWORD=…`, `--token …`, in a URL) is one of any shape.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_KNOWN = (
    ("private key", r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?:.*?-----END [A-Z ]*PRIVATE KEY-----|.*)"),
    ("aws key", r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    ("github token", r"\b(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255})\b"),
    ("gitlab token", r"\bglpat-[A-Za-z0-9_-]{20,}"),
    ("slack token", r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}"),
    ("google key", r"\bAIza[0-9A-Za-z_-]{35}"),
    ("stripe key", r"\b[rs]k_(?:live|test)_[0-9A-Za-z]{16,}"),
    ("api key", r"\bsk-(?:[a-z]+-)*[A-Za-z0-9_-]{32,}"),
    ("npm token", r"\bnpm_[A-Za-z0-9]{36}\b"),
    ("pypi token", r"\bpypi-[A-Za-z0-9_-]{50,}"),
    ("jwt", r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"),
)
# The password of a URL; what follows a name that says it is a secret. The first group stays.
_BESIDE_ITS_NAME = (
    ("password", r"(\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@]{1,100}:)([^\s/@]{3,200})(?=@)"),
    (
        "secret",
        r"((?i:\b[\w-]{0,40}(?:password|passwd|secret|token|api_?key|access_?key)[\"']?\s{0,3}[=:]\s{0,3}[\"']?))"
        r"([^\s\"'<>$({]{6,200})",
    ),
)
_PATTERNS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    *((re.compile(pattern, re.DOTALL), lambda _m, name=name: f"<{name}>") for name, pattern in _KNOWN),
    *((re.compile(pattern), lambda m, name=name: f"{m[1]}<{name}>") for name, pattern in _BESIDE_ITS_NAME),
)


def redacted(text: str) -> str:
    """Return `text` with each secret of a known shape replaced by its name in angle brackets. Cost: linear."""
    for pattern, name in _PATTERNS:
        text = pattern.sub(name, text)
    return text
