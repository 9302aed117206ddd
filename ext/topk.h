/* topk: the k rows of a float32 matrix with the largest dot product, exactly.
 *
 * Rows and query are meant to have unit length, so a dot product is a cosine. A row that holds a NaN is
 * never returned. Order: score descending, then row ascending. Nothing here allocates more than
 * 16 bytes a candidate and 16 bytes a dimension of the query; nothing here keeps state.
 *
 * How it works, and the proof that the quick way loses nothing: docs/kernel.md.
 */
#ifndef TOPK_H
#define TOPK_H

#include <stddef.h>
#include <stdint.h>

/* Ways through the same sums. The vector paths add in the same order and give the same bits. */
enum { TOPK_SCALAR, TOPK_AVX2, TOPK_AVX512, TOPK_NEON, TOPK_PATHS };

/* Rows of an 8-bit or 4-bit copy stand in blocks of this many. */
enum { TOPK_BLOCK = 16 };

/* What a search runs over. */
typedef struct {
    const float *rows;   /* n rows of d floats, C order, any alignment */
    size_t n, d;
    const float *query;  /* d floats */
    const uint8_t *mask; /* one bit a row, lowest bit first; NULL selects all */
    float floor;         /* lower scores are not returned; -INFINITY keeps all */
} topk_job;

/* A small copy of the rows: codes, and for each row its scale and the length of what the code leaves out. */
typedef struct {
    int bits;             /* 8 or 4 */
    const uint8_t *codes; /* topk_code_bytes(bits, n, d) */
    const float *meta;    /* topk_meta_floats(n): for each block 16 scales, then 16 residual norms */
} topk_copy;

/* What a two-stage search did, for tests and for the choice of the next one. */
typedef struct {
    size_t rescored; /* rows whose exact score was computed */
    int gave_up;     /* too many were left: the answer is the plain scan's */
} topk_work;

/* Tell whether this CPU can take `path`. */
int topk_can(int path);

/* Write the k best (fewer if there are fewer) to idx and score, best first, and return how many.
 * idx and score have room for min(k, n). One pass over the rows that the mask selects, O(log k) a keep. */
size_t topk_plain(int path, const topk_job *job, size_t k, int64_t *idx, float *score);

/* The same answer, to the bit, by way of a copy. */
size_t topk_two_stage(int path, const topk_job *job, const topk_copy *copy, size_t k, int64_t *idx, float *score,
                      topk_work *work);

/* Answer m jobs over the same rows, floats and codes: what one query has brought into the cache the others find there.
 * idx and score hold m lists of min(k, n), count[i] how many the i-th has. Returns how many gave the copy up. */
size_t topk_batch(int path, const topk_job *jobs, size_t m, const topk_copy *copy, size_t k, int64_t *idx, float *score,
                  size_t *count);

/* Sizes of a copy's two arrays. */
size_t topk_code_bytes(int bits, size_t n, size_t d);
size_t topk_meta_floats(size_t n);

/* Encode rows first..last-1 of a matrix into a copy's arrays. Only those rows' bytes are written, so rows
 * may be added while others are being searched. */
void topk_encode(int path, int bits, const float *rows, size_t first, size_t last, size_t d, uint8_t *codes,
                 float *meta);

#endif
