"""Types of the compiled kernel, ext/_topk.pyx."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

_Floats = NDArray[np.float32]
_Bytes = NDArray[np.uint8]

PATHS: tuple[str, ...]

def paths() -> list[str]: ...
def unit(query: ArrayLike, d: int) -> _Floats: ...

class Copy:
    bits: int
    count: int
    store: _Floats
    nbytes: int
    def __init__(self, bits: int, store: _Floats) -> None: ...
    def encode(self, path: int, end: int) -> None: ...
    def moved(self, store: _Floats) -> Copy: ...

def search(
    path: int,
    rows: _Floats,
    n: int,
    query: _Floats,
    k: int,
    mask: _Bytes | None = None,
    floor: float = ...,
    copy: Copy | None = None,
) -> tuple[list[tuple[int, float]], int, bool]: ...
def batch(
    path: int,
    rows: _Floats,
    n: int,
    queries: _Floats,
    k: int,
    mask: _Bytes | None,
    floor: float,
    copy: Copy,
) -> tuple[list[list[tuple[int, float]]], int]: ...
