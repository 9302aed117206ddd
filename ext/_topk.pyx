# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""The kernel as Python sees it: checks at the door, then C without the GIL. State is the caller's.

Arrays are NumPy's; a search holds references to them, so the caller may swap in larger ones meanwhile.
"""

import numpy as np

from libc.math cimport isfinite, sqrt
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t


cdef extern from "topk.h":
    ctypedef struct topk_job:
        const float *rows
        size_t n, d
        const float *query
        const uint8_t *mask
        float floor
    ctypedef struct topk_copy:
        int bits
        const uint8_t *codes
        const float *meta
    ctypedef struct topk_work:
        size_t rescored
        int gave_up
    int topk_can(int path)
    size_t topk_plain(int path, const topk_job *job, size_t k, int64_t *idx, float *score) nogil
    size_t topk_two_stage(int path, const topk_job *job, const topk_copy *copy, size_t k, int64_t *idx, float *score,
                          topk_work *work) nogil
    size_t topk_batch(int path, const topk_job *jobs, size_t m, const topk_copy *copy, size_t k, int64_t *idx,
                      float *score, size_t *count) nogil
    size_t topk_code_bytes(int bits, size_t n, size_t d)
    size_t topk_meta_floats(size_t n)
    void topk_encode(int path, int bits, const float *rows, size_t first, size_t last, size_t d, uint8_t *codes,
                     float *meta) nogil

PATHS = ("scalar", "avx2", "avx512", "neon")


def paths():
    """Return the names of the paths this CPU can take, the best one last."""
    return [name for number, name in enumerate(PATHS) if topk_can(number)]


def unit(query, size_t d):
    """Return `query` as float32 (d,) of unit length. Raises ValueError: 'shape', 'finite' or 'zero'."""
    array = np.ascontiguousarray(query, dtype=np.float32)
    if array.ndim != 1 or array.shape[0] != <Py_ssize_t>d:
        raise ValueError("shape")
    cdef const float[::1] q = array
    cdef double length = 0
    cdef double sums[4]
    cdef size_t j
    sums[:] = [0, 0, 0, 0]  # in turn: one sum would wait for itself
    for j in range(d):
        sums[j & 3] += <double>q[j] * q[j]
    length = (sums[0] + sums[2]) + (sums[1] + sums[3])
    if not isfinite(length):
        raise ValueError("finite")
    if length == 0:
        raise ValueError("zero")
    if -1e-6 < sqrt(length) - 1 < 1e-6:
        return array
    return (array / sqrt(length)).astype(np.float32)


cdef topk_job _job(const float[:, ::1] rows, size_t n, const float[::1] query, const uint8_t[::1] mask, float floor) except *:
    """Describe a search over the first n rows. The caller keeps the arrays alive."""
    cdef topk_job job
    if n > <size_t>rows.shape[0] or (query is not None and query.shape[0] != rows.shape[1]):
        raise ValueError("shape")
    if mask is not None and <size_t>mask.shape[0] < (n + 7) // 8:
        raise ValueError("mask")
    job.rows = &rows[0, 0] if rows.shape[0] and rows.shape[1] else NULL
    job.n = n
    job.d = rows.shape[1]
    job.query = &query[0] if query is not None else NULL
    job.mask = &mask[0] if mask is not None and mask.shape[0] else NULL
    job.floor = floor
    return job


cdef class Copy:
    """A small copy of the rows of one matrix: bits (8 or 4) a number, room for as many rows as the matrix has.

    The rows up to `count` are encoded. They are never written again, so others may search them meanwhile.
    """

    cdef readonly int bits
    cdef readonly size_t count
    cdef readonly object store
    cdef size_t _d
    cdef uint8_t[::1] _codes
    cdef float[::1] _meta

    def __init__(self, int bits, store):
        cdef const float[:, ::1] rows = store
        if bits not in (4, 8):
            raise ValueError("bits")
        self.bits = bits
        self.store = store
        self.count = 0
        self._d = rows.shape[1]
        # A row of sixteen codes is as long as a cache line, and begins with one.
        cdef size_t size = topk_code_bytes(bits, rows.shape[0], self._d)
        room = np.empty(size + 64, dtype=np.uint8)
        self._codes = room[-room.ctypes.data % 64 :][:size]
        self._meta = np.empty(topk_meta_floats(rows.shape[0]), dtype=np.float32)

    @property
    def nbytes(self):
        """Bytes held."""
        return self._codes.shape[0] + 4 * self._meta.shape[0]

    def encode(self, int path, size_t end):
        """Encode the rows of the matrix from `count` to end - 1."""
        cdef const float[:, ::1] rows = self.store
        cdef size_t first = self.count
        if end > <size_t>rows.shape[0] or not topk_can(path):
            raise ValueError("shape")
        if first < end and self._d:
            with nogil:
                topk_encode(path, self.bits, &rows[0, 0], first, end, self._d, &self._codes[0], &self._meta[0])
        self.count = max(first, end)

    def moved(self, store):
        """Return a copy for a larger matrix that begins with the same rows."""
        cdef Copy larger = Copy(self.bits, store)
        if larger._d != self._d or larger._codes.shape[0] < self._codes.shape[0]:
            raise ValueError("shape")
        larger._codes[: self._codes.shape[0]] = self._codes
        larger._meta[: self._meta.shape[0]] = self._meta
        larger.count = self.count
        return larger


def search(int path, const float[:, ::1] rows, size_t n, const float[::1] query, size_t k,
           const uint8_t[::1] mask=None, float floor=-np.inf, Copy copy=None):
    """Return ([(row, score), …] best first, rows rescored, whether the copy was given up).

    Over the first n of `rows` (m, d), those that `mask` (a bit a row) selects and that reach `floor`.
    With a copy of these rows the search goes by way of it; the answer is the same to the bit.
    """
    cdef topk_job job = _job(rows, n, query, mask, floor)
    cdef topk_copy small
    cdef topk_work work
    cdef size_t wanted = min(k, n), found, i
    cdef int64_t fast_idx[64]
    cdef float fast_score[64]
    cdef int64_t *idx = fast_idx
    cdef float *score = fast_score
    cdef int64_t[::1] more_idx
    cdef float[::1] more_score
    if not topk_can(path):
        raise ValueError("path")
    if wanted == 0 or job.d == 0:
        return [], 0, False
    if wanted > 64:
        more_idx = np.empty(wanted, dtype=np.int64)
        more_score = np.empty(wanted, dtype=np.float32)
        idx = &more_idx[0]
        score = &more_score[0]
    work.rescored = 0
    work.gave_up = 0
    if copy is not None:
        if copy.count < n or copy._d != job.d:
            raise ValueError("copy")
        small.bits = copy.bits
        small.codes = &copy._codes[0]
        small.meta = &copy._meta[0]
        with nogil:
            found = topk_two_stage(path, &job, &small, k, idx, score, &work)
    else:
        with nogil:
            found = topk_plain(path, &job, k, idx, score)
    return [(idx[i], score[i]) for i in range(found)], work.rescored, bool(work.gave_up)


def batch(int path, const float[:, ::1] rows, size_t n, const float[:, ::1] queries, size_t k,
          const uint8_t[::1] mask, float floor, Copy copy not None):
    """Return ([[(row, score), …] of each query (m, d)], how many of them gave the copy up).

    Each answer is that of `search`, to the bit.
    """
    cdef size_t m = queries.shape[0], wanted = min(k, n), q, i, gave_up
    cdef topk_job job = _job(rows, n, None, mask, floor)
    cdef topk_copy small
    if not topk_can(path) or queries.shape[1] != rows.shape[1]:
        raise ValueError("shape")
    if m == 0 or wanted == 0 or job.d == 0:
        return [[] for q in range(m)], 0
    if copy.count < n or copy._d != job.d:
        raise ValueError("copy")
    cdef uint8_t[::1] memory = np.empty(m * sizeof(topk_job), dtype=np.uint8)
    cdef topk_job *jobs = <topk_job *>&memory[0]
    cdef int64_t[:, ::1] idx = np.empty((m, wanted), dtype=np.int64)
    cdef float[:, ::1] score = np.empty((m, wanted), dtype=np.float32)
    cdef size_t[::1] count = np.empty(m, dtype=np.uintp)
    small.bits = copy.bits
    small.codes = &copy._codes[0]
    small.meta = &copy._meta[0]
    for q in range(m):
        jobs[q] = job
        jobs[q].query = &queries[q, 0]
    with nogil:
        gave_up = topk_batch(path, jobs, m, &small, k, &idx[0, 0], &score[0, 0], &count[0])
    return [[(idx[q, i], score[q, i]) for i in range(count[q])] for q in range(m)], gave_up
