"""The language a reply is written in.

English is the source; other languages are gettext catalogues in `locale/`. One process may answer
several callers at once, each in a language of its own, so the choice is a context variable that
the door sets for each request, never a global installed into builtins.
"""

from __future__ import annotations

import gettext
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path

_LOCALE = Path(__file__).parent / "locale"
_current: ContextVar[gettext.NullTranslations | None] = ContextVar("rekall_language", default=None)


def _(message: str) -> str:
    """Return `message` in the current language, or as it is where no catalogue has it."""
    catalogue = _current.get()
    return catalogue.gettext(message) if catalogue else message


def _n(message: str) -> str:
    """Mark a message for the catalogues; it is translated when it is shown."""
    return message


def plural(one: str, many: str, count: int) -> str:
    """Return the form of a message that fits `count`, in the current language."""
    catalogue = _current.get()
    if catalogue:
        return catalogue.ngettext(one, many, count)
    return one if count == 1 else many


def language() -> object:
    """Return what stands for the current language: the same object for the same one, to keep messages by."""
    return _current.get()


def preferred_languages(env: Mapping[str, str]) -> tuple[str, ...]:
    """Return the languages `env` asks for, best first, by the rules of gettext(3).

    LC_ALL, LC_MESSAGES and LANG are tried in that order; LANGUAGE, a list, refines a locale that
    is not C. An empty answer means English.
    """
    locale = next((env[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if env.get(name)), "")
    plain = locale.split(".")[0].split("@")[0]
    if plain in ("", "C", "POSIX"):
        return ()
    listed = [name for name in env.get("LANGUAGE", "").split(":") if name]
    return tuple(listed) or (plain,)


@lru_cache(maxsize=8)
def _catalogue(languages: tuple[str, ...]) -> gettext.NullTranslations | None:
    """Load the first catalogue that fits; English, the source, ends the search."""
    wanted: list[str] = []
    for name in languages:
        if name.split("_")[0] == "en":
            break
        wanted.append(name)
    if not wanted:
        return None
    return gettext.translation("rekall", str(_LOCALE), languages=wanted, fallback=True)


@contextmanager
def speaking(env: Mapping[str, str]) -> Iterator[None]:
    """Answer in the language that `env` asks for until the block ends."""
    token = _current.set(_catalogue(preferred_languages(env)))
    try:
        yield
    finally:
        _current.reset(token)
