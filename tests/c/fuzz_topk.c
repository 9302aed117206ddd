/* Any bytes as rows, query and mask of the kernel: every path gives the plain scalar scan's answer, or one that differs
 * by rounding alone, and the quick way gives the plain way's to the bit. */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "topk.h"

static void unit(float *x, size_t d) {
    double length = 0;
    for (size_t j = 0; j < d; j++) length += (double)x[j] * x[j];
    for (size_t j = 0; length > 0 && j < d; j++) x[j] = (float)(x[j] / sqrt(length));
}

static void quick(int path, int bits, const topk_job *job, size_t k, const int64_t *idx, const float *score,
                  size_t found) {
    uint8_t *codes = malloc(topk_code_bytes(bits, job->n, job->d) + 1);
    float *meta = malloc((topk_meta_floats(job->n) + 1) * sizeof *meta), *scores = calloc(k + 1, sizeof *scores);
    int64_t *rows = calloc(k + 1, sizeof *rows);
    topk_work work;
    memset(codes, 255, topk_code_bytes(bits, job->n, job->d)); /* NaN where there is no row: nothing may depend on it */
    memset(meta, 255, topk_meta_floats(job->n) * sizeof *meta);
    topk_encode(path, bits, job->rows, 0, job->n, job->d, codes, meta);
    const topk_copy copy = {bits, codes, meta};
    if (topk_two_stage(path, job, &copy, k, rows, scores, &work) != found) abort();
    if (found && (memcmp(rows, idx, found * sizeof *idx) || memcmp(scores, score, found * sizeof *score))) abort();
    free(codes), free(meta), free(rows), free(scores);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 8) return 0;
    const size_t d = 1 + data[0] % 67, k = 1 + data[1] % 23;
    const bool masked = data[2] & 1, floored = data[2] & 2;
    const size_t have = size - 4, n = have / d ? have / d - 1 : 0;
    if (!n) return 0;
    float *rows = malloc((n + 1) * d * sizeof *rows), *query = rows + n * d, *score = calloc(k, sizeof *score);
    uint8_t *mask = malloc((n + 7) / 8);
    int64_t *idx = calloc(k, sizeof *idx);
    for (size_t i = 0; i < (n + 1) * d; i++) rows[i] = (float)(int8_t)data[4 + i];
    for (size_t i = 0; i <= n; i++) unit(rows + i * d, d);
    for (size_t i = 0; i < (n + 7) / 8; i++) mask[i] = data[(i * 7 + 3) % size];
    const topk_job job = {rows, n, d, query, masked ? mask : NULL, floored ? 0.25f : -INFINITY};
    const size_t wanted = k < n ? k : n;
    for (int path = 0; path < TOPK_PATHS; path++) {
        if (!topk_can(path)) continue;
        const size_t found = topk_plain(path, &job, wanted, idx, score);
        if (found > wanted) abort();
        for (size_t i = 0; i < found; i++) {
            if (idx[i] < 0 || (size_t)idx[i] >= n || (masked && !(mask[idx[i] >> 3] >> (idx[i] & 7) & 1))) abort();
            if (i && (score[i] > score[i - 1] || (score[i] == score[i - 1] && idx[i] < idx[i - 1]))) abort();
        }
        quick(path, 8, &job, wanted, idx, score, found);
        quick(path, 4, &job, wanted, idx, score, found);
    }
    free(rows), free(score), free(mask), free(idx);
    return 0;
}
