"""Secrets of known shapes are named, and what only looks like one is left alone."""

from __future__ import annotations

import time

import pytest

from rekall.redact import redacted

# Put together here, so that no scanner of this repository takes them for real ones.
SECRETS = [
    ("aws key", "AKIA" + "IOSFODNN7EXAMPLE"),
    ("github token", "ghp_" + "a1B2" * 9),
    ("github token", "github_pat_" + "a1B2_" * 6),
    ("gitlab token", "glpat-" + "x" * 20),
    ("slack token", "xoxb-" + "1234567890-abcdef"),
    ("google key", "AIza" + "a" * 35),
    ("stripe key", "sk_live_" + "a" * 24),
    ("api key", "sk-proj-" + "a1" * 20),
    ("npm token", "npm_" + "a" * 36),
    ("pypi token", "pypi-" + "A" * 60),
    ("jwt", "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0In0." + "c2lnbmF0dXJl"),
    ("private key", "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIE\n-----END RSA " + "PRIVATE KEY-----"),
]


@pytest.mark.parametrize(("name", "secret"), SECRETS, ids=[f"{name} {i}" for i, (name, _s) in enumerate(SECRETS)])
def test_a_known_shape_becomes_its_name(name: str, secret: str) -> None:
    assert redacted(f"before {secret} after") == f"before <{name}> after"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("psql postgres://ada:hunter22@db/shop", "psql postgres://ada:<password>@db/shop"),
        ("export DB_PASSWORD=hunter22", "export DB_PASSWORD=<secret>"),
        ('"api_key": "abcdef123"', '"api_key": "<secret>"'),
        ("GITHUB_TOKEN='abcdef123' make", "GITHUB_TOKEN='<secret>' make"),
    ],
)
def test_a_password_beside_its_name_goes_and_the_name_stays(text: str, kept: str) -> None:
    assert redacted(text) == kept


@pytest.mark.parametrize(
    "text",
    [
        "how do I reset my password", "git log --oneline", "PASSWORD=$(pass show db)", "token: <your token>",
        "ssh://git@host/path", "AKIA is how keys begin", "password = ''", "secret: ${SECRET}", "the token expired",
    ],
)  # fmt: skip
def test_what_is_no_secret_stays(text: str) -> None:
    assert redacted(text) == text


def test_a_long_line_is_read_in_linear_time() -> None:
    begin = time.monotonic()
    for piece in ("a", "password", "x://", "-----BEGIN PRIVATE KEY-----", "sk-a-", "eyJaaaaaaaa."):
        redacted(piece * 20_000)
    assert time.monotonic() - begin < 20
