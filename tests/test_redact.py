"""Secrets are named, whatever stands around them, and what only looks like one is left alone."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from secrets_made import CLEAN, Maker

from rekall.redact import find, placeholder, redacted, screened, without_secrets

SECRETS = [secret for seed in (1, 2, 3) for secret in Maker(seed).all()]
# What notes hold around a secret: words, marks, control characters; no letter right beside it.
AROUND = st.text(max_size=60).map(lambda text: f"{text} ")


@pytest.mark.parametrize(("kind", "text", "secret"), SECRETS, ids=[f"{k} {n}" for n, (k, _t, _s) in enumerate(SECRETS)])
def test_a_secret_becomes_its_name(kind: str, text: str, secret: str) -> None:
    found = redacted(f"before\n{text}\nafter")
    assert secret not in found and secret[-12:] not in found
    assert placeholder(kind) in found
    assert found.startswith("before\n") and found.endswith("\nafter")
    assert redacted(found) == found


@given(before=AROUND, after=AROUND, seed=st.integers(0, 10**6), data=st.data())
def test_whatever_stands_around_a_secret_it_goes(before: str, after: str, seed: int, data: st.DataObject) -> None:
    _kind, text, secret = data.draw(st.sampled_from(Maker(seed).all()))
    if "-----" in before or "-----" in after:
        return
    found = redacted(f"{before}\n{text}\n{after}")
    assert secret not in found


@given(st.text(max_size=400) | st.text(alphabet="paswordkeytn:=-_\"' []AKIA019/@\n", max_size=400))
def test_redacting_twice_changes_nothing(text: str) -> None:
    once = redacted(text)
    assert redacted(once) == once


@given(seed=st.integers(0, 10**6), joints=st.lists(st.sampled_from([" ", "\n", ",", ", ", "\t", "; "]), min_size=3))
def test_many_secrets_in_a_row_all_go(seed: int, joints: list[str]) -> None:
    some = Maker(seed).all()[: len(joints)]
    text = "".join(f"{text}{joint}" for (_kind, text, _secret), joint in zip(some, joints, strict=False))
    found = redacted(text)
    assert not [secret for _kind, _text, secret in some if secret in found]
    assert redacted(found) == found


@pytest.mark.parametrize("text", CLEAN, ids=range(len(CLEAN)))
def test_what_is_no_secret_stays(text: str) -> None:
    assert redacted(text) == text


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("psql postgres://ada:hunter22@db/shop", "psql postgres://ada:[redacted:url-password]@db/shop"),
        ("export DB_PASSWORD=hunter22", "export DB_PASSWORD=[redacted:password]"),
        ("export DB_PASSWORD=Winter-Is-Coming", "export DB_PASSWORD=[redacted:password]"),
        ('"api_key": "abcdef123"', '"api_key": "[redacted:api-key]"'),
        ("GITHUB_TOKEN='abcdef123' make", "GITHUB_TOKEN='[redacted:token]' make"),
        ("The password is Tr0ub4dor&3.", "The password is [redacted:password]."),
        ("see https://x.org/?token=a1b2c3d4e5&page=2", "see https://x.org/?token=[redacted:token]&page=2"),
    ],
)
def test_a_value_beside_its_name_goes_and_all_else_stays(text: str, kept: str) -> None:
    assert redacted(text) == kept


def test_a_secret_is_told_by_its_kind_and_line_as_the_text_was() -> None:
    text = "one\n" + Maker(4).pem()[0] + "\nthen\nPASSWORD=hunter22\n"
    found = without_secrets(text)[1]
    assert [(secret.kind, secret.line) for secret in found] == [("private-key", 2), ("password", 13)]


def test_what_is_left_of_a_key_without_its_end_are_the_words_behind_it() -> None:
    cut = "\n".join(Maker(5).pem()[0].splitlines()[:5])
    assert redacted(f"{cut}\nThis is how it begins.") == f"{placeholder('private-key')}\nThis is how it begins."


def test_every_text_of_an_entry_is_looked_at() -> None:
    secret = "ghp_" + "a1B2" * 9
    found: list = []
    fields = {
        "title": secret, "content": secret, "tags": ["x", secret], "errors": (secret,), "source": secret, "id": "x",
        "extra": {"a": [secret], secret: {"b": secret}, "password": "hunter22", "n": 3, "t": True}, "revision": 2,
    }  # fmt: skip
    kept = screened(fields, found)
    assert secret not in str(kept) and "hunter22" not in str(kept)
    assert kept["id"] == "x" and kept["revision"] == 2 and kept["extra"]["n"] == 3
    assert {secret.field for secret in found} == {"title", "content", "tags", "errors", "source", "extra"}
    assert screened(kept, []) == kept


@pytest.mark.parametrize(
    "piece",
    [
        "a", "password", "password=", "password='", "x://", "://a:", "-----BEGIN PRIVATE KEY-----", "eyJaaaaaaaa.",
        "-----BEGIN A PRIVATE KEY-----aaaaaaaaaaaaaaaaaaaa\n", "ghp_", "AKIA", "SK0", "-u a:", "token:", "auth=", "1:AA",
        "LS0tLS1CRUdJTi", "Private-Lines: 1\nAAAAAAAAAAAAAAAAAAAA\n", "Q~", "xoxb-", "key ", "mysql -", "login a password ",
        "İpassword=a1b2c3d4 ", "sl.", "EAA", "\n", "=",
    ],
)  # fmt: skip
def test_a_megabyte_made_to_be_slow_is_read_in_linear_time(piece: str) -> None:
    begin = time.process_time()
    redacted(piece * (1_000_000 // len(piece)))
    assert time.process_time() - begin < 60  # 4 s is the most that was seen; what is quadratic takes hours


def test_a_note_takes_next_to_nothing() -> None:
    note = (
        "How to squash commits: git rebase -i HEAD~3, then pick and squash. See the key in https://x.org/a/b\n" * 1100
    )[:100_000]
    begin = time.process_time()
    assert find(note) == []
    assert time.process_time() - begin < 0.5  # about 6 ms on an idle machine
