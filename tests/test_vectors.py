"""What a vector is: float32, finite, unit length, rows in C order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rekall.errors import InvalidVector
from rekall.vectors import cosines, from_blob, to_blob, unit_rows

finite = st.floats(-1e6, 1e6, width=32).filter(lambda x: x == 0 or abs(x) > 1e-6)
matrices = hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=finite).filter(
    lambda matrix: bool(matrix.any(axis=1).all())
)


@given(matrices)
def test_rows_get_unit_length_and_keep_their_direction(matrix: np.ndarray):
    unit = unit_rows(matrix)
    assert unit.dtype == np.float32
    assert unit.shape == matrix.shape
    assert unit.flags.c_contiguous
    wide = matrix.astype(np.float64)
    np.testing.assert_allclose(unit, wide / np.linalg.norm(wide, axis=1, keepdims=True), atol=1e-6)


@given(matrices)
def test_rows_that_are_unit_already_stay_byte_for_byte(matrix: np.ndarray):
    unit = unit_rows(matrix)
    assert unit_rows(unit).tobytes() == unit.tobytes()


@pytest.mark.parametrize(
    "rows",
    [
        [3.0, 4.0],
        (3, 4),
        np.array([3, 4]),
        np.array([[3, 4]], dtype=np.float64),
        np.array([[3.0, 9.0, 4.0, 9.0]])[:, ::2],
        np.asfortranarray([[3.0, 4.0]]),
        np.array([[3e-40, 4e-40]], dtype=np.float32),
        np.array([[3e37, 4e37]], dtype=np.float32),
        np.array([[3, 4]], dtype=">f4"),
    ],
)
def test_whatever_numbers_are_given_the_rows_are_the_same(rows: object):
    np.testing.assert_allclose(unit_rows(rows), [[0.6, 0.8]], atol=1e-5)  # type: ignore[arg-type]
    assert unit_rows(rows).dtype == np.dtype("=f4")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([np.nan, 1], "not finite"),
        ([np.inf, 1], "not finite"),
        ([-np.inf, 1], "not finite"),
        ([1e300, 1], "not finite"),
        ([0, 0], "zero"),
        ([[1, 0], [0, 0]], "zero"),
        ([1e-300, 0], "zero"),
        ([], "zero|dimensions|matrix"),
        ([[[1.0]]], "matrix"),
        ([1, 2, 3], "3 dimensions, the index holds 2"),
        ([[1], [2]], "1 dimensions, the index holds 2"),
    ],
)
def test_what_has_no_direction_or_another_length_is_refused(rows: object, says: str):
    with pytest.raises(InvalidVector, match=says):
        unit_rows(rows, 2)  # type: ignore[arg-type]


def test_no_rows_are_a_matrix_too():
    assert unit_rows(np.empty((0, 7))).shape == (0, 7)


@given(matrices)
def test_cosines_are_those_of_float64_to_6_places(matrix: np.ndarray):
    rows = unit_rows(matrix)
    scores = cosines(rows, rows[0])
    wide = rows.astype(np.float64)
    np.testing.assert_allclose(scores, wide @ wide[0], atol=5.1e-7)
    assert scores[0] == pytest.approx(1, abs=2e-6)
    np.testing.assert_array_equal(scores, np.round(scores, 6))


@given(hnp.array_shapes(min_dims=2, max_dims=2, max_side=30), st.integers(0, 1000))
def test_a_rows_cosine_does_not_depend_on_its_neighbours(shape: tuple[int, int], seed: int):
    rows = unit_rows(np.random.default_rng(seed).normal(size=shape))
    together = cosines(rows, rows[0])
    singly = [float(cosines(row[None], rows[0])[0]) for row in rows]
    np.testing.assert_allclose(together, singly, atol=1.1e-6)


@given(hnp.arrays(np.float32, st.integers(1, 9), elements=st.floats(width=32, allow_nan=False)))
def test_a_blob_gives_its_vector_back(vector: np.ndarray):
    blob = to_blob(vector)
    assert len(blob) == 4 * len(vector)
    np.testing.assert_array_equal(from_blob(blob), vector)
    assert to_blob(vector.astype(">f4")) == blob  # little endian whatever the machine


@pytest.mark.parametrize("blob", [b"", b"\x00", b"\x00" * 7])
def test_a_cut_blob_is_refused(blob: bytes):
    with pytest.raises(InvalidVector, match=str(len(blob))):
        from_blob(blob)
