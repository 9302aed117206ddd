"""The nouns of the error memory: a Fingerprint, and an ErrorText that an entry knows. Pure.

How they are made is in fingerprint.py, whose patterns take a while to get ready: who only looks after the table of them
needs no more than these.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

# Of what fingerprint.py makes; the number that stored fingerprints carry.
FINGERPRINT_VERSION = 1


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What stays of an error line: its words in order, lower case, and the codes in it, lower case."""

    words: tuple[str, ...]
    codes: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.words or self.codes)

    @property
    def text(self) -> str:
        """Words and codes as one text, `error borrow of moved value [E0382]`: its fingerprint is this one again."""
        codes = (f"[{code if ' ' in code else code.upper()}]" for code in sorted(self.codes))
        return " ".join((*self.words, *codes))

    @classmethod
    def of_text(cls, text: str) -> Fingerprint:
        """Return the fingerprint whose text this is."""
        words, *codes = text.split("[")
        return cls(tuple(words.split()), frozenset(code.strip(" ]").lower() for code in codes))

    @property
    def key(self) -> int:
        """A number that stands for the text: 63 bits, the same on every machine."""
        return int.from_bytes(hashlib.blake2b(self.text.encode(), digest_size=8).digest(), "big") >> 1


@dataclass(frozen=True, slots=True)
class ErrorText:
    """One error line of an entry. `part` counts the error texts that were given; -1 for a line told in its prose.

    `mark` is the line's Mark, 0 for a line without one, whose text is known only by all its lines together.
    """

    fingerprint: Fingerprint
    part: int
    mark: int
