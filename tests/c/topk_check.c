/* The kernel without Python: for compilers, sanitizers and processors that the Python tests do not reach.
 * Every path this CPU can take, against sums in double, and the quick way against the plain scan, bit by bit.
 * Prints how many searches it made; exits 1 at the first that is wrong. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "topk.h"

static uint64_t state = 88172645463325252ull;

/* xorshift64: the same numbers on every machine. */
static uint32_t draw(uint32_t below) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return (uint32_t)(state >> 33) % below;
}

static float noise(void) { return ((float)draw(2001) + (float)draw(2001) + (float)draw(2001)) / 3000.0f - 1.0f; }

static void unit(float *x, size_t d) {
    double length = 0;
    for (size_t j = 0; j < d; j++) length += (double)x[j] * x[j];
    if (length > 0)
        for (size_t j = 0; j < d; j++) x[j] = (float)(x[j] / sqrt(length));
}

static void fail(const char *what, int path, size_t n, size_t d, size_t k) {
    printf("%s: path %d, n %zu, d %zu, k %zu\n", what, path, n, d, k);
    exit(1);
}

/* Whether a list is in order and its scores are the true ones. */
static void check_plain(const topk_job *job, int path, size_t k, const int64_t *idx, const float *score, size_t found) {
    size_t better = 0;
    for (size_t i = 0; i < found; i++) {
        double sum = 0;
        const float *x = job->rows + (size_t)idx[i] * job->d;
        if (idx[i] < 0 || (size_t)idx[i] >= job->n) fail("row out of range", path, job->n, job->d, k);
        for (size_t j = 0; j < job->d; j++) sum += (double)x[j] * job->query[j];
        if (fabs(sum - score[i]) > 2e-6) fail("wrong score", path, job->n, job->d, k);
        if (i && (score[i] > score[i - 1] || (score[i] == score[i - 1] && idx[i] < idx[i - 1])))
            fail("wrong order", path, job->n, job->d, k);
    }
    for (size_t row = 0; found && row < job->n; row++) {
        double sum = 0;
        if (job->mask && !(job->mask[row >> 3] >> (row & 7) & 1)) continue;
        for (size_t j = 0; j < job->d; j++) sum += (double)job->rows[row * job->d + j] * job->query[j];
        better += sum > score[found - 1] + 2e-6;
    }
    if (better >= k) fail("a better row is missing", path, job->n, job->d, k);
}

/* Whether three queries together give what each gives alone. */
static void check_batch(const topk_job *job, int path, const topk_copy *copy, size_t k, int64_t *idx, float *score) {
    const size_t wanted = k < job->n ? k : job->n;
    topk_job jobs[3] = {*job, *job, *job};
    int64_t *all = calloc(3 * wanted, sizeof *all);
    float *scores = calloc(3 * wanted, sizeof *scores);
    size_t count[3];
    jobs[1].query = job->rows, jobs[2].query = job->rows + job->n / 2 * job->d;
    topk_batch(path, jobs, 3, copy, k, all, scores, count);
    for (size_t q = 0; q < 3; q++) {
        size_t found = topk_plain(path, &jobs[q], k, idx, score);
        if (found != count[q] || memcmp(idx, all + q * wanted, found * sizeof *idx) ||
            memcmp(score, scores + q * wanted, found * sizeof *score))
            fail("a batch differs", path, job->n, job->d, k);
    }
    free(all), free(scores);
}

static void check_copy(const topk_job *job, int path, int bits, size_t k, const int64_t *idx, const float *score,
                       size_t found) {
    const size_t n = job->n, wanted = k < n ? k : n;
    uint8_t *codes = calloc(1, topk_code_bytes(bits, n, job->d));
    float *meta = calloc(topk_meta_floats(n), sizeof *meta);
    int64_t *idx2 = calloc(wanted, sizeof *idx2);
    float *score2 = calloc(wanted, sizeof *score2);
    topk_copy copy = {bits, codes, meta};
    topk_work work;
    topk_encode(path, bits, job->rows, 0, n / 2, job->d, codes, meta);
    topk_encode(path, bits, job->rows, n / 2, n, job->d, codes, meta);
    if (topk_two_stage(path, job, &copy, k, idx2, score2, &work) != found) fail("another count", path, n, job->d, k);
    if (found && (memcmp(idx, idx2, found * sizeof *idx) || memcmp(score, score2, found * sizeof *score)))
        fail(bits == 8 ? "8 bits differ" : "4 bits differ", path, n, job->d, k);
    check_batch(job, path, &copy, k, idx2, score2);
    free(codes), free(meta), free(idx2), free(score2);
}

int main(int argc, char **argv) {
    static const size_t sizes[] = {1, 2, 7, 8, 15, 16, 17, 33, 100, 384};
    const int rounds = argc > 1 ? atoi(argv[1]) : 300;
    long searches = 0;
    for (int round = 0; round < rounds; round++) {
        const size_t n = 1 + draw(round % 10 ? 200 : 3000), d = sizes[draw(10)], k = 1 + draw(round % 7 ? 20 : 4000);
        float *rows = malloc(n * d * sizeof *rows), *query = malloc(d * sizeof *query);
        uint8_t *mask = malloc((n + 7) / 8);
        int64_t *idx = malloc((k < n ? k : n) * sizeof *idx);
        float *score = malloc((k < n ? k : n) * sizeof *score);
        for (size_t i = 0; i < n; i++) {
            size_t like = i && round % 3 == 0 ? draw((uint32_t)i) : i;
            for (size_t j = 0; j < d; j++)
                rows[i * d + j] = noise() * (like == i ? 1.0f : 0.01f) + (like == i ? 0.0f : rows[like * d + j]);
            unit(rows + i * d, d);
        }
        for (size_t j = 0; j < d; j++) query[j] = noise() + 0.5f * rows[draw((uint32_t)n) * d + j];
        unit(query, d);
        for (size_t byte = 0; byte < (n + 7) / 8; byte++) mask[byte] = (uint8_t)draw(256);
        for (int path = 0; path < TOPK_PATHS; path++) {
            topk_job job = {rows, n, d, query, round % 4 ? NULL : mask, round % 5 ? -INFINITY : 0.1f};
            size_t found;
            if (!topk_can(path)) continue;
            found = topk_plain(path, &job, k, idx, score);
            check_plain(&job, path, k, idx, score, found);
            check_copy(&job, path, 8, k, idx, score, found);
            check_copy(&job, path, 4, k, idx, score, found);
            searches += 3;
        }
        free(rows), free(query), free(mask), free(idx), free(score);
    }
    printf("%ld searches, all right; paths:", searches);
    for (int path = 0; path < TOPK_PATHS; path++)
        if (topk_can(path)) printf(" %d", path);
    printf("\n");
    return 0;
}
