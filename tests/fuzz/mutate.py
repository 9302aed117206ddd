"""Other inputs out of given ones: a few random changes at a time, the same for the same number."""

from __future__ import annotations

import random
from collections.abc import Sequence

_ODD = (
    b"\0",
    b"\xff",
    b"\xed\xa0\x80",
    b"\n",
    b'"',
    b"'",
    b"\\ud800",
    b"---\n",
    b"\x1b[",
    b"9" * 20,
    b"-1",
    b"[" * 50,
    b"{",
    b"\r",
    b"",
)


def mutated(seeds: Sequence[bytes], number: int, longest: int = 1 << 16) -> bytes:
    """Return the `number`-th input that comes of `seeds`."""
    draw = random.Random(number)
    data = bytearray(draw.choice(seeds))
    for _change in range(draw.choice((1, 1, 2, 4, 16))):
        at, length = draw.randrange(len(data) + 1), draw.choice((1, 1, 2, 4, 8, 32, 256))
        match draw.randrange(6):
            case 0 if at < len(data):
                data[at] ^= 1 << draw.randrange(8)
            case 1 if at < len(data):
                data[at] = draw.randrange(256)
            case 2:
                del data[at : at + length]
            case 3:
                data[at:at] = draw.choice(_ODD)
            case 4:
                data[at:at] = data[at : at + length]
            case _:
                other = draw.choice(seeds)
                start = draw.randrange(len(other) + 1)
                data[at : at + length] = other[start : start + length]
    return bytes(data) if len(data) <= longest or len(data) <= max(map(len, seeds)) else bytes(data[:longest])
