"""Types of the compiled kernel, ext/_topk.pyx."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

_Floats = NDArray[np.float32]
_Bytes = NDArray[np.uint8]

PATHS: tuple[str, ...]

def paths() -> list[str]: ...
def unit(query: ArrayLike, d: int) -> _Floats: ...
def search(
    path: int,
    rows: _Floats,
    n: int,
    query: _Floats,
    k: int,
    mask: _Bytes | None = None,
    floor: float = ...,
    bits: int = 0,
    codes: _Bytes | None = None,
    meta: _Floats | None = None,
) -> tuple[list[tuple[int, float]], int, bool]: ...
def batch(
    path: int,
    rows: _Floats,
    n: int,
    queries: _Floats,
    k: int,
    mask: _Bytes | None = None,
    floor: float = ...,
) -> list[list[tuple[int, float]]]: ...
def copy_sizes(bits: int, n: int, d: int) -> tuple[int, int]: ...
def encode(bits: int, rows: _Floats, first: int, last: int, codes: _Bytes, meta: _Floats) -> None: ...
