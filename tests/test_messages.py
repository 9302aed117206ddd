"""The French catalogue is whole, fits the source, and is what a French process speaks.

The source tree is asked for its messages each time, so a message that changes without its
translation fails here: `make messages`, then translate what it left empty.
"""

from __future__ import annotations

import gettext
import io
import re
from collections.abc import Sequence
from pathlib import Path
from string import Formatter

import pytest
from running import Rekall, rekall_in

from rekall.usage import COMMANDS

pytest.importorskip("babel", reason="babel, of the extra dev, reads the catalogues")

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

SOURCE = Path(__file__).parent.parent / "rekall"
FRENCH = SOURCE / "locale" / "fr" / "LC_MESSAGES"
# What marks a message beside _(); the same as in the Makefile's `messages`.
MARKS = {**DEFAULT_KEYWORDS, "_n": None, "plural": (1, 2)}

pytestmark = pytest.mark.skipif(not (SOURCE / "cli.py").exists(), reason="away from a checkout there is no source")

Ids = str | tuple[str, ...]


@pytest.fixture(scope="module")
def french() -> Catalog:
    """Return the .po as it is read by babel."""
    with (FRENCH / "rekall.po").open("rb") as file:
        return read_po(file, locale="fr")


def translations(catalogue: Catalog) -> list[Message]:
    return [message for message in catalogue if message.id]


def ids_in_source() -> set[Ids]:
    found = extract_from_dir(SOURCE, keywords=MARKS)
    return {message for _file, _line, message, _comments, _context in found}


def texts_of(value: str | Sequence[str] | None) -> list[str]:
    """Return the forms of a message or of a translation: one, or one for each plural."""
    return [value] if isinstance(value, str) else list(value or [""])


def placeholders(text: str) -> set[tuple[str, str | None, str | None]]:
    """Return (name, format, conversion) of each {placeholder}."""
    return {(name, form, conversion) for _text, name, form, conversion in Formatter().parse(text) if name is not None}


def to_be_typed(text: str) -> set[str]:
    """Return each `rekall NAME` and each --option that a user would copy."""
    names = "|".join(command.name for command in COMMANDS)
    return set(re.findall(rf"rekall (?:{names})\b|--[a-z][a-z-]*", text))


# --- the catalogue and the source ---


def test_every_message_of_the_source_is_in_the_catalogue_and_no_other(french: Catalog) -> None:
    ids = {message.id if isinstance(message.id, str) else tuple(message.id) for message in translations(french)}
    source = ids_in_source()
    assert len(source) > 100
    assert (sorted(map(str, source - ids)), sorted(map(str, ids - source))) == ([], []), "run: make messages"
    assert list(french.obsolete) == []


def test_every_message_is_translated(french: Catalog) -> None:
    assert [message.id for message in translations(french) if message.fuzzy] == []
    assert [m.id for m in translations(french) if not all(text.strip() for text in texts_of(m.string))] == []
    assert [
        m.id for m in translations(french) if m.pluralizable and len(texts_of(m.string)) != french.num_plurals
    ] == []


def test_a_translation_has_the_placeholders_of_its_original(french: Catalog) -> None:
    for message in translations(french):
        wanted = placeholders(texts_of(message.id)[-1])
        for text in texts_of(message.string):
            assert placeholders(text) == wanted, message.id


def test_a_translation_keeps_the_commands_and_options_of_its_original(french: Catalog) -> None:
    for message in translations(french):
        wanted = to_be_typed(texts_of(message.id)[-1])
        for text in texts_of(message.string):
            assert to_be_typed(text) == wanted, message.id


def test_the_compiled_catalogue_is_the_one_that_is_read(french: Catalog) -> None:
    compiled = io.BytesIO()
    write_mo(compiled, french)
    compiled.seek(0)
    with (FRENCH / "rekall.mo").open("rb") as file:
        kept, made = gettext.GNUTranslations(file), gettext.GNUTranslations(compiled)
    assert _messages(kept) == _messages(made), "run: make messages"
    for name in ("content-type", "plural-forms"):
        assert kept.info()[name] == made.info()[name]


def _messages(catalogue: gettext.GNUTranslations) -> dict[object, str]:
    """Return everything gettext knows but the header, which bears the time; no public way lists it."""
    return {key: text for key, text in catalogue._catalog.items() if key}  # type: ignore[attr-defined]


# --- what a process speaks ---


@pytest.fixture
def rekall(home: dict[str, str]) -> Rekall:
    """Return a command line to which no variable names a language yet."""
    mute = {key: value for key, value in home.items() if key != "LANGUAGE" and not key.startswith(("LC_", "LANG"))}
    return rekall_in(mute)


def test_help_is_french_in_a_french_locale(rekall: Rekall) -> None:
    page = rekall("help", LANG="fr_FR.UTF-8")
    assert (page.status, page.errors) == (0, "")
    assert "search     par le sens et par les mots" in page.output
    assert "by meaning" not in page.output
    assert "rekall delete – une entrée" in rekall("help", "delete", LANG="fr_FR.UTF-8").output


def test_an_unknown_command_is_refused_in_french(rekall: Rekall) -> None:
    answer = rekall("serach", LANG="fr_FR.UTF-8")
    assert (answer.status, answer.output) == (2, "")
    assert answer.errors == "rekall: commande 'serach' inconnue\xa0; s’agit-il de search\xa0?\n"


def test_a_search_of_an_empty_base_says_nothing_in_any_language(rekall: Rekall) -> None:
    answer = rekall("search", "words", LANG="fr_FR.UTF-8")
    assert (answer.status, answer.output, answer.errors) == (1, "", "")
    refused = rekall("search", "words", "--each-line", LANG="fr_FR.UTF-8")
    assert refused.status == 2
    assert "lit les requêtes sur stdin" in refused.errors


def test_notes_and_labels_are_french(rekall: Rekall) -> None:
    added = rekall("add", "til", "tar changes directory with -C", "-t", "tar", LANG="fr_FR.UTF-8")
    assert added.status == 0
    shown = rekall("show", added.output.strip(), LANG="fr_FR.UTF-8")
    assert "étiquettes: tar\n" in shown.output
    found = rekall("search", "--explain", "tar", LANG="fr_FR.UTF-8")
    assert "cosinus" in found.output
    assert found.errors == ""
    shown = rekall.on_terminal("search", "tar", LANG="fr_FR.UTF-8", LC_ALL="fr_FR.UTF-8")
    assert shown.startswith("Chargement du modèle en cours…\n")


@pytest.mark.parametrize(
    "env",
    [
        {},
        {"LANG": "C"},
        {"LANG": "en_GB.UTF-8"},
        {"LANG": "fr_FR.UTF-8", "LANGUAGE": "en:fr"},
        {"LANG": "fr_FR.UTF-8", "LC_ALL": "C"},
        {"LANG": "tlh"},
    ],
    ids=str,
)
def test_everybody_else_is_answered_in_english(rekall: Rekall, env: dict[str, str]) -> None:
    assert "search     by meaning and by words" in rekall("help", **env).output
    answer = rekall("serach", **env)
    assert (answer.status, answer.errors) == (2, "rekall: command 'serach' is not known; did you mean search?\n")


@pytest.mark.parametrize(
    "env",
    [
        {"LC_ALL": "fr_FR.UTF-8"},
        {"LC_MESSAGES": "fr_CA", "LANG": "en_US.UTF-8"},
        {"LANG": "fr"},
        {"LANG": "en_GB.UTF-8", "LANGUAGE": "fr:en"},
    ],
    ids=str,
)
def test_whoever_asks_for_french_gets_it(rekall: Rekall, env: dict[str, str]) -> None:
    assert "commande 'serach' inconnue" in rekall("serach", **env).errors
