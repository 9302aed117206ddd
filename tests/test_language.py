"""The language a reply is written in."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from threading import Barrier, Thread

import pytest

from rekall import language
from rekall.language import _, plural, preferred_languages, speaking

MESSAGES = {
    "": "Content-Type: text/plain; charset=UTF-8\nPlural-Forms: nplurals=2; plural=(n > 1);\n",
    "nothing found": "rien trouvé",
    "one entry\0{count} entries": "une fiche\0{count} fiches",
}


def catalogue(messages: dict[str, str]) -> bytes:
    """Return a compiled catalogue, after the GNU gettext manual's "The Format of GNU MO Files"."""
    pairs = [(key.encode(), text.encode()) for key, text in sorted(messages.items())]
    place = 28 + 16 * len(pairs)
    tables: list[bytes] = []
    strings = b""
    for side in (0, 1):
        for pair in pairs:
            tables.append(struct.pack("<II", len(pair[side]), place + len(strings)))
            strings += pair[side] + b"\0"
    header = struct.pack("<7I", 0x950412DE, 0, len(pairs), 28, 28 + 8 * len(pairs), 0, place)
    return header + b"".join(tables) + strings


@pytest.fixture
def french(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give rekall a French catalogue, and no other."""
    folder = tmp_path / "fr" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    (folder / "rekall.mo").write_bytes(catalogue(MESSAGES))
    monkeypatch.setattr(language, "_LOCALE", tmp_path)
    language._catalogue.cache_clear()
    yield
    language._catalogue.cache_clear()


@pytest.mark.parametrize(
    ("env", "languages"),
    [
        ({}, ()),
        ({"LANG": "C"}, ()),
        ({"LANG": "C.UTF-8"}, ()),
        ({"LANG": "POSIX"}, ()),
        ({"LANG": "de_DE.UTF-8"}, ("de_DE",)),
        ({"LANG": "de_DE@euro"}, ("de_DE",)),
        ({"LANG": "de_DE.UTF-8", "LC_MESSAGES": "fr_FR.UTF-8"}, ("fr_FR",)),
        ({"LANG": "de_DE.UTF-8", "LC_MESSAGES": "fr_FR", "LC_ALL": "es_ES"}, ("es_ES",)),
        ({"LANG": "de_DE.UTF-8", "LC_ALL": ""}, ("de_DE",)),
        ({"LANG": "de_DE.UTF-8", "LC_ALL": "C"}, ()),
        ({"LANG": "de_DE.UTF-8", "LANGUAGE": "fr:de"}, ("fr", "de")),
        ({"LANG": "C", "LANGUAGE": "fr"}, ()),
        ({"LANGUAGE": "fr"}, ()),
    ],
)
def test_which_languages_an_environment_asks_for(env: dict[str, str], languages: tuple[str, ...]):
    assert preferred_languages(env) == languages


def test_english_is_the_source():
    assert _("nothing found") == "nothing found"
    assert (plural("one", "many", 1), plural("one", "many", 0), plural("one", "many", 2)) == ("one", "many", "many")


def test_a_request_is_answered_in_its_language_and_the_next_in_english(french: None):
    with speaking({"LANG": "fr_FR.UTF-8"}):
        assert _("nothing found") == "rien trouvé"
        assert _("not in the catalogue") == "not in the catalogue"
        assert [plural("one entry", "{count} entries", n) for n in (0, 1, 2)] == [
            "une fiche",
            "une fiche",
            "{count} fiches",
        ]
    assert _("nothing found") == "nothing found"


@pytest.mark.parametrize("languages", ["en:fr", "en_GB:fr"])
def test_english_before_another_language_ends_the_search(french: None, languages: str):
    with speaking({"LANG": "fr_FR.UTF-8", "LANGUAGE": languages}):
        assert _("nothing found") == "nothing found"


def test_a_language_without_catalogue_falls_back_to_the_next_then_to_english(french: None):
    with speaking({"LANG": "tlh", "LANGUAGE": "tlh:fr"}):
        assert _("nothing found") == "rien trouvé"
    with speaking({"LANG": "tlh"}):
        assert _("nothing found") == "nothing found"


def test_an_error_leaves_no_language_behind(french: None):
    with pytest.raises(ZeroDivisionError), speaking({"LANG": "fr_FR"}):
        raise ZeroDivisionError
    assert _("nothing found") == "nothing found"


def test_two_callers_at_once_each_get_their_own_language(french: None):
    both_inside = Barrier(2, timeout=10)
    answers: dict[str, str] = {}

    def answer(name: str) -> None:
        with speaking({"LANG": name}):
            both_inside.wait()
            answers[name] = _("nothing found")
            both_inside.wait()

    threads = [Thread(target=answer, args=(name,)) for name in ("fr_FR", "en_US")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert answers == {"fr_FR": "rien trouvé", "en_US": "nothing found"}
