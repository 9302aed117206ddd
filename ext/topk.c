/* Exact top-k by dot product; see topk.h for what, docs/kernel.md for why it is right and how fast. */
#include "topk.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define HAVE_X86 1
#include <cpuid.h>
#include <immintrin.h>
#define AVX2 __attribute__((target("avx2,fma")))
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma")))
#endif
#if defined(__aarch64__)
#define HAVE_NEON 1
#include <arm_neon.h>
#endif

/* Put into its caller, and so compiled for the caller's CPU. */
#define INLINE static inline __attribute__((always_inline))

/* Rows are added up in LANES running sums, whatever the width of the registers. That fixed order is what
 * makes AVX2 (2 x 8), AVX-512 (1 x 16) and NEON (4 x 4) give the same bits. */
enum { LANES = 16 };

static int selected(const uint8_t *mask, size_t row) { return !mask || (mask[row >> 3] >> (row & 7) & 1); }

/* ---- the k best so far ---------------------------------------------------------------------------- */

/* A heap whose root is the worst of the k best. Few rows get past the one comparison with the root, so
 * its O(log k) is paid about k ln(n / k) times. */
typedef struct {
    int64_t *idx;
    float *score;
    size_t have, k;
    float bar; /* a score below this cannot enter */
} best;

/* Whether pair a is to stand behind pair b: lower score, or the same and a later row. */
static int behind(float sa, int64_t ra, float sb, int64_t rb) { return sa < sb || (sa == sb && ra > rb); }

static void swap_pairs(best *b, size_t i, size_t j) {
    float s = b->score[i];
    int64_t r = b->idx[i];
    b->score[i] = b->score[j], b->idx[i] = b->idx[j];
    b->score[j] = s, b->idx[j] = r;
}

static void sift_down(best *b, size_t at, size_t have) {
    for (;;) {
        size_t low = at, left = 2 * at + 1;
        for (size_t child = left; child < left + 2 && child < have; child++)
            if (behind(b->score[child], b->idx[child], b->score[low], b->idx[low])) low = child;
        if (low == at) return;
        swap_pairs(b, at, low);
        at = low;
    }
}

/* Offer a row. A NaN fails the first comparison. */
static void keep(best *b, float s, size_t place) {
    const int64_t row = (int64_t)place;
    if (!(s >= b->bar)) return;
    if (b->have < b->k) {
        size_t at = b->have++;
        b->score[at] = s, b->idx[at] = row;
        for (; at && behind(b->score[at], b->idx[at], b->score[(at - 1) / 2], b->idx[(at - 1) / 2]); at = (at - 1) / 2)
            swap_pairs(b, at, (at - 1) / 2);
    } else {
        if (behind(s, row, b->score[0], b->idx[0])) return;
        b->score[0] = s, b->idx[0] = row;
        sift_down(b, 0, b->have);
    }
    if (b->have == b->k) b->bar = b->score[0];
}

/* Turn the heap into a list, best first. */
static size_t finish(best *b) {
    for (size_t left = b->have; left > 1; left--) {
        swap_pairs(b, 0, left - 1);
        sift_down(b, 0, left - 1);
    }
    return b->have;
}

/* ---- scalar --------------------------------------------------------------------------------------- */

static float fold_lanes(const float *v) {
    float w[8];
    for (int l = 0; l < 8; l++) w[l] = v[l] + v[l + 8];
    return ((w[0] + w[1]) + (w[2] + w[3])) + ((w[4] + w[5]) + (w[6] + w[7]));
}

static float dot_scalar(const float *x, const float *q, size_t d) {
    float v[LANES] = {0};
    for (size_t j = 0; j < d; j += LANES)
        for (size_t l = 0; l < LANES && j + l < d; l++) v[l] += x[j + l] * q[j + l];
    return fold_lanes(v);
}

static void plain_scalar(const topk_job *job, best *b) {
    for (size_t i = 0; i < job->n; i++)
        if (selected(job->mask, i)) keep(b, dot_scalar(job->rows + i * job->d, job->query, job->d), i);
}

/* ---- x86 ------------------------------------------------------------------------------------------ */
#ifdef HAVE_X86

/* Offer the rows first.. of a vector of scores; `which` has a bit for each that may enter. */
static inline void keep_some(best *b, unsigned which, const float *scores, size_t first) {
    for (; which; which &= which - 1) {
        int lane = __builtin_ctz(which);
        keep(b, scores[lane], first + (size_t)lane);
    }
}

/* A matrix beyond the caches is read one row after another: two or more streams at once halve the rate of
 * the DRAM. Within them, eight rows at a time hide the latency of the sums. Measured; docs/kernel.md. */
static const size_t CACHED_BYTES = 16u << 20;

/* Add up four vectors of eight each; lane i of the answer is the sum of the i-th. The order is
 * fold_lanes' order. */
AVX2 static inline __m128 fold4(__m256 a, __m256 b, __m256 c, __m256 e) {
    __m256 t = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, e));
    return _mm_add_ps(_mm256_castps256_ps128(t), _mm256_extractf128_ps(t, 1));
}

/* A mask that loads the first `count` of eight floats, and none of what lies behind them. */
AVX2 static inline __m256i first_of_8(size_t count) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

AVX2 static inline __m256 row_avx2(const float *x, const float *q, size_t d) {
    __m256 v = _mm256_setzero_ps(), w = v;
    size_t j = 0;
    for (; j + LANES <= d; j += LANES) {
        v = _mm256_fmadd_ps(_mm256_loadu_ps(q + j), _mm256_loadu_ps(x + j), v);
        w = _mm256_fmadd_ps(_mm256_loadu_ps(q + j + 8), _mm256_loadu_ps(x + j + 8), w);
    }
    if (j < d) {
        size_t left = d - j;
        __m256i low = first_of_8(left), high = first_of_8(left > 8 ? left - 8 : 0);
        v = _mm256_fmadd_ps(_mm256_maskload_ps(q + j, low), _mm256_maskload_ps(x + j, low), v);
        if (left > 8) w = _mm256_fmadd_ps(_mm256_maskload_ps(q + j + 8, high), _mm256_maskload_ps(x + j + 8, high), w);
    }
    return _mm256_add_ps(v, w);
}

AVX2 static float dot_avx2(const float *x, const float *q, size_t d) {
    __m256 y = row_avx2(x, q, d);
    return _mm_cvtss_f32(fold4(y, y, y, y));
}

/* Four rows at once, for a matrix within the caches; d a multiple of LANES. */
AVX2 static inline __m128 four_rows_avx2(const float *x, const float *q, size_t d) {
    __m256 v[4], w[4];
    const char *ahead = (const char *)(x + 4 * d);
    for (int r = 0; r < 4; r++) v[r] = w[r] = _mm256_setzero_ps();
    for (size_t j = 0; j < d; j += LANES, ahead += 256) {
        __m256 ql = _mm256_loadu_ps(q + j), qh = _mm256_loadu_ps(q + j + 8);
        for (int line = 0; line < 4; line++) _mm_prefetch(ahead + 64 * line, _MM_HINT_T0);
        for (size_t r = 0; r < 4; r++) {
            v[r] = _mm256_fmadd_ps(ql, _mm256_loadu_ps(x + r * d + j), v[r]);
            w[r] = _mm256_fmadd_ps(qh, _mm256_loadu_ps(x + r * d + j + 8), w[r]);
        }
    }
    return fold4(_mm256_add_ps(v[0], w[0]), _mm256_add_ps(v[1], w[1]), _mm256_add_ps(v[2], w[2]),
                 _mm256_add_ps(v[3], w[3]));
}

AVX2 static void plain_avx2(const topk_job *job, best *b) {
    const size_t n = job->n, d = job->d;
    const int together = n * d * sizeof(float) <= CACHED_BYTES && d % LANES == 0;
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        unsigned which = job->mask ? job->mask[i >> 3] >> (i & 7) & 15 : 15;
        const float *x = job->rows + i * d;
        float s[4];
        if (!which) continue;
        if (job->mask && which != 15) {
            for (unsigned w = which; w; w &= w - 1) {
                int r = __builtin_ctz(w);
                keep(b, dot_avx2(x + (size_t)r * d, job->query, d), i + (size_t)r);
            }
            continue;
        }
        __m128 sums = together ? four_rows_avx2(x, job->query, d)
                               : fold4(row_avx2(x, job->query, d), row_avx2(x + d, job->query, d),
                                       row_avx2(x + 2 * d, job->query, d), row_avx2(x + 3 * d, job->query, d));
        which = (unsigned)_mm_movemask_ps(_mm_cmpge_ps(sums, _mm_set1_ps(b->bar)));
        if (__builtin_expect(which != 0, 0)) {
            _mm_storeu_ps(s, sums);
            keep_some(b, which, s, i);
        }
    }
    for (; i < n; i++)
        if (selected(job->mask, i)) keep(b, dot_avx2(job->rows + i * d, job->query, d), i);
}

AVX512 static inline __m256 fold16(__m512 v) {
    return _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
}

AVX512 static inline __m256 row_avx512(const float *x, const float *q, size_t d) {
    __m512 v = _mm512_setzero_ps();
    size_t j = 0;
    for (; j + LANES <= d; j += LANES) v = _mm512_fmadd_ps(_mm512_loadu_ps(q + j), _mm512_loadu_ps(x + j), v);
    if (j < d) {
        __mmask16 rest = (__mmask16)((1u << (d - j)) - 1);
        v = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(rest, q + j), _mm512_maskz_loadu_ps(rest, x + j), v);
    }
    return fold16(v);
}

AVX512 static float dot_avx512(const float *x, const float *q, size_t d) {
    __m256 y = row_avx512(x, q, d);
    return _mm_cvtss_f32(fold4(y, y, y, y));
}

/* Eight rows, one after another. */
AVX512 static inline __m256 eight_in_turn(const float *x, const float *q, size_t d) {
    __m256 y[8];
    for (size_t r = 0; r < 8; r++) y[r] = row_avx512(x + r * d, q, d);
    return _mm256_set_m128(fold4(y[4], y[5], y[6], y[7]), fold4(y[0], y[1], y[2], y[3]));
}

/* Eight rows at once, for a matrix within the caches; d a multiple of LANES. */
AVX512 static inline __m256 eight_at_once(const float *x, const float *q, size_t d) {
    __m512 v[8];
    __m256 y[8];
    const char *ahead = (const char *)(x + 8 * d);
    for (int r = 0; r < 8; r++) v[r] = _mm512_setzero_ps();
    for (size_t j = 0; j < d; j += LANES, ahead += 512) {
        const __m512 ql = _mm512_loadu_ps(q + j);
        for (int line = 0; line < 8; line++) _mm_prefetch(ahead + 64 * line, _MM_HINT_T0);
        for (size_t r = 0; r < 8; r++) v[r] = _mm512_fmadd_ps(ql, _mm512_loadu_ps(x + r * d + j), v[r]);
    }
    for (int r = 0; r < 8; r++) y[r] = fold16(v[r]);
    return _mm256_set_m128(fold4(y[4], y[5], y[6], y[7]), fold4(y[0], y[1], y[2], y[3]));
}

AVX512 static void plain_avx512(const topk_job *job, best *b) {
    const size_t n = job->n, d = job->d;
    const int together = n * d * sizeof(float) <= CACHED_BYTES && d % LANES == 0;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        unsigned which = job->mask ? job->mask[i >> 3] : 255;
        const float *x = job->rows + i * d;
        float s[8];
        if (!which) continue;
        if (which != 255) {
            for (unsigned w = which; w; w &= w - 1) {
                int r = __builtin_ctz(w);
                keep(b, dot_avx512(x + (size_t)r * d, job->query, d), i + (size_t)r);
            }
            continue;
        }
        __m256 sums = together ? eight_at_once(x, job->query, d) : eight_in_turn(x, job->query, d);
        which = _mm256_cmp_ps_mask(sums, _mm256_set1_ps(b->bar), _CMP_GE_OQ);
        if (__builtin_expect(which != 0, 0)) {
            _mm256_storeu_ps(s, sums);
            keep_some(b, which, s, i);
        }
    }
    for (; i < n; i++)
        if (selected(job->mask, i)) keep(b, dot_avx512(job->rows + i * d, job->query, d), i);
}
#endif

/* ---- ARM ------------------------------------------------------------------------------------------ */
#ifdef HAVE_NEON

static inline float fold_neon(const float32x4_t *v) {
    float lanes[LANES];
    for (int p = 0; p < 4; p++) vst1q_f32(lanes + 4 * p, v[p]);
    return fold_lanes(lanes);
}

static float dot_neon(const float *x, const float *q, size_t d) {
    float32x4_t v[4];
    size_t j = 0;
    for (int p = 0; p < 4; p++) v[p] = vdupq_n_f32(0);
    for (; j + LANES <= d; j += LANES)
        for (size_t p = 0; p < 4; p++) v[p] = vfmaq_f32(v[p], vld1q_f32(q + j + 4 * p), vld1q_f32(x + j + 4 * p));
    if (j < d) {
        float xs[LANES] = {0}, qs[LANES] = {0};
        memcpy(xs, x + j, (d - j) * sizeof(float));
        memcpy(qs, q + j, (d - j) * sizeof(float));
        for (size_t p = 0; p < 4; p++) v[p] = vfmaq_f32(v[p], vld1q_f32(qs + 4 * p), vld1q_f32(xs + 4 * p));
    }
    return fold_neon(v);
}

static void plain_neon(const topk_job *job, best *b) {
    for (size_t i = 0; i < job->n; i++)
        if (selected(job->mask, i)) keep(b, dot_neon(job->rows + i * job->d, job->query, job->d), i);
}
#endif

/* ---- the small copies ----------------------------------------------------------------------------- */

/* Dimensions are stored in groups of four (8 bits) or eight (4 bits); what is missing to a group is zero
 * in the query's codes and adds nothing. In a block, group g of row r stands at byte (g * 16 + r) * 4: 64 bytes hold
 * the same four dimensions of sixteen rows. A 4-bit byte holds dimension t below and t + 4 above. */
static size_t groups(int bits, size_t d) { return bits == 8 ? (d + 3) / 4 : (d + 7) / 8; }

size_t topk_code_bytes(int bits, size_t n, size_t d) {
    return (n + TOPK_BLOCK - 1) / TOPK_BLOCK * groups(bits, d) * 4 * TOPK_BLOCK;
}

size_t topk_meta_floats(size_t n) { return (n + TOPK_BLOCK - 1) / TOPK_BLOCK * 2 * TOPK_BLOCK; }

/* Beyond, a sum of products of bytes (255 * 127 each) might not fit 32 bits. */
static const size_t LARGEST_D = 65536;

/* The largest code. Both have a true zero, so that rows with many zeros keep small residuals. */
static float top_code(int bits) { return bits == 8 ? 127.0f : 7.0f; }

/* x.y in double, as four sums in turn: one would wait for itself. */
static inline double product_any(const float *x, const float *y, size_t d) {
    double v[4] = {0};
    for (size_t j = 0; j < d; j++) v[j & 3] += (double)x[j] * y[j];
    return (v[0] + v[2]) + (v[1] + v[3]);
}

#ifdef HAVE_X86
AVX2 static inline double product_avx2(const float *x, const float *y, size_t d) {
    __m256d v = _mm256_setzero_pd();
    double sums[4];
    size_t j = 0;
    for (; j + 4 <= d; j += 4)
        v = _mm256_add_pd(v, _mm256_mul_pd(_mm256_cvtps_pd(_mm_loadu_ps(x + j)), _mm256_cvtps_pd(_mm_loadu_ps(y + j))));
    _mm256_storeu_pd(sums, v);
    for (; j < d; j++) sums[j & 3] += (double)x[j] * y[j];
    return (sums[0] + sums[2]) + (sums[1] + sums[3]);
}
#endif

typedef double product(const float *, const float *, size_t);

/* Write the codes of x at one step into u and return the squared residual at the best scale for them:
 * |x - s u|^2 = |x|^2 - (x.u)^2 / |u|^2 for s = x.u / |u|^2. In double the difference is good to 1e-15. */
INLINE double quantize(product times, const float *x, size_t d, double length2, float step, float top, float *u,
                       float *scale) {
    const float inverse = 1.0f / step, whole = 12582912.0f; /* 1.5 * 2^23: next to it a float has no fraction */
    for (size_t j = 0; j < d; j++) {
        float z = (x[j] * inverse + whole) - whole; /* rintf, as two additions that any vector unit has */
        z = z > top ? top : z;
        u[j] = z < -top ? -top : z;
    }
    const double xu = times(x, u, d), uu = times(u, u, d);
    *scale = uu > 0 ? (float)(xu / uu) : 0.0f;
    return uu > 0 ? fmax(0.0, length2 - xu * xu / uu) + 1e-13 : length2;
}

/* Find whole numbers u of -top to top, the scale, and the norm of the residual of one row or query, rounded up.
 * With few levels the best step clips the largest values; a few steps are tried. What is not finite gets an
 * infinite residual. `trial` is room for d floats. */
INLINE void code_row(product times, float top, const float *x, size_t d, float *u, float *trial, float *scale,
                     float *residual) {
    const double length2 = times(x, x, d);
    float largest = 0;
    double least = -1;
    *scale = 0;
    *residual = INFINITY;
    memset(u, 0, d * sizeof *u);
    if (!isfinite(length2)) return;
    for (size_t j = 0; j < d; j++) largest = fabsf(x[j]) > largest ? fabsf(x[j]) : largest;
    for (int t = 0; t < (top < 63 ? 6 : 1); t++) {
        float step = largest * (1.0f - 0.1f * (float)t) / top, s;
        if (!(step > 1e-30f)) break; /* zeros and denormals: code 0, all of the row is residual */
        double left = quantize(times, x, d, length2, step, top, trial, &s);
        if (least < 0 || left < least) {
            least = left, *scale = s;
            memcpy(u, trial, d * sizeof *u);
        }
    }
    *residual = (float)(sqrt(least < 0 ? length2 : least) * (1 + 1e-6)) + 1e-30f;
}

typedef void coder(float top, const float *x, size_t d, float *u, float *trial, float *scale, float *residual);

static void code_row_any(float top, const float *x, size_t d, float *u, float *trial, float *scale, float *residual) {
    code_row(product_any, top, x, d, u, trial, scale, residual);
}

#ifdef HAVE_X86
AVX2 static void code_row_avx2(float top, const float *x, size_t d, float *u, float *trial, float *scale,
                               float *residual) {
    code_row(product_avx2, top, x, d, u, trial, scale, residual);
}
#endif

/* ---- two stages ----------------------------------------------------------------------------------- */

/* The query in 8-bit codes, and what the estimate of any row may be wrong by on the query's account. */
typedef struct {
    int8_t *codes; /* groups(bits, d) * 4 or 8, zeros behind d */
    int32_t sum;   /* of the codes: the rows' codes are stored with an offset */
    float scale;
    float slack;
} coded_query;

typedef struct {
    float upper;
    uint32_t row;
} candidate;

/* One two-stage search under way. */
typedef struct {
    const topk_job *job;
    const topk_copy *copy;
    coded_query query;
    best best;       /* exact scores only, so best.bar is a true lower bound for the k-th best */
    candidate *left; /* rows whose upper bound reached the bar when they were met */
    uint32_t soon[TOPK_BLOCK]; /* rows of the block before, to be scored next: they are on their way from memory */
    size_t fetching;           /* how many those are */
    size_t count, room, budget, rescored;
    int gave_up;
    float (*dot)(const float *, const float *, size_t);
} search;

/* Code the query. `top` is 127, or 63 where two products of bytes must fit 16 bits (AVX2, 8 bits); `room` is for
 * 2 d floats.
 * slack: |x.q - x'.q'| <= |x - x'| |q| + |x'| |q - q'|; the first term is the row's residual. The rest is
 * |q - q'| (|x'| <= |x| <= 1), and the rounding of the sums in float32 on both sides: docs/kernel.md. */
static void code_query(coder *code, const float *q, size_t d, int top, float *room, coded_query *c) {
    const double length2 = product_any(q, q, d);
    float left;
    code((float)top, q, d, room, room + d, &c->scale, &left);
    for (size_t j = 0; j < d; j++) {
        c->codes[j] = (int8_t)room[j];
        c->sum += c->codes[j];
    }
    c->slack = left * 1.00001f + (length2 > 1 ? (float)(length2 - 1) : 0) + ((float)d / LANES + 24.0f) * 2.4e-7f;
}

/* Rows on their way from memory at the end: enough to hide the way, few enough for the CPU's queue of misses. */
enum { FETCH = 4 };

/* Score the rows that were fetched meanwhile. */
static void score_soon(search *s) {
    const size_t d = s->job->d;
    for (size_t i = 0; i < s->fetching; i++)
        keep(&s->best, s->dot(s->job->rows + s->soon[i] * d, s->job->query, d), s->soon[i]);
    s->rescored += s->fetching;
    s->fetching = 0;
}

static void fetch(const float *row, size_t d) {
    for (size_t byte = 0; byte < d * sizeof(float); byte += 64) __builtin_prefetch((const char *)row + byte);
}

/* Let a row wait until the bar is as high as it gets. */
static void wait_for_the_end(search *s, float upper, size_t row) {
    if (s->count == s->room) {
        size_t room = s->room ? s->room * 2 : 1024;
        candidate *more = realloc(s->left, room * sizeof *more);
        if (!more) {
            s->gave_up = 1;
            return;
        }
        s->left = more, s->room = room;
    }
    s->left[s->count++] = (candidate){upper, (uint32_t)row};
}

/* Take a row whose upper bound reaches the bar. If its estimate does too it is scored soon, which raises the bar: it
 * lies anywhere in memory, and is fetched while the scan goes on. */
static void consider(search *s, float estimate, float upper, size_t row) {
    if (!(estimate < s->best.bar)) {
        fetch(s->job->rows + row * s->job->d, s->job->d);
        s->soon[s->fetching++] = (uint32_t)row;
    } else {
        wait_for_the_end(s, upper, row);
    }
    if (s->count + 4 * s->rescored > s->budget) s->gave_up = 1; /* an exact score costs more than a wait */
}

/* Not inline: the scan's registers stay the scan's. */
static __attribute__((noinline)) void consider_block(search *s, unsigned which, const float *estimate,
                                                     const float *upper, size_t first) {
    score_soon(s);
    for (; which && !s->gave_up; which &= which - 1) {
        int lane = __builtin_ctz(which);
        if (upper[lane] >= s->best.bar || isnan(upper[lane]))
            consider(s, estimate[lane], upper[lane], first + (size_t)lane);
    }
}

/* The rows of a block that the mask selects and that exist. */
static inline unsigned rows_of_block(const topk_job *job, size_t block) {
    size_t first = block * TOPK_BLOCK, rest = job->n - first;
    unsigned which = 0xffff;
    if (job->mask) {
        which = job->mask[block * 2];
        if (rest > 8) which |= (unsigned)job->mask[block * 2 + 1] << 8;
    }
    return rest < TOPK_BLOCK ? which & ((1u << rest) - 1) : which;
}

/* Bounds of a block from its integer sums. Not fast; the vector paths do the same in registers. */
static void bounds_of_block(const search *s, const int32_t *sums, size_t block, float *estimate, float *upper) {
    const float *meta = s->copy->meta + block * 2 * TOPK_BLOCK;
    for (int r = 0; r < TOPK_BLOCK; r++) {
        estimate[r] = (float)sums[r] * s->query.scale * meta[r];
        upper[r] = estimate[r] + (meta[TOPK_BLOCK + r] + s->query.slack);
    }
}

/* Any CPU. Plain loops that a compiler turns into vectors where it can; NEON takes them too. */
static void stage_portable(search *s, size_t block, size_t end) {
    const int bits = s->copy->bits;
    const size_t count = groups(bits, s->job->d);
    const int8_t *q = s->query.codes;
    for (; block < end && !s->gave_up; block++) {
        unsigned which = rows_of_block(s->job, block);
        const uint8_t *p = s->copy->codes + block * count * 4 * TOPK_BLOCK;
        int32_t sums[TOPK_BLOCK];
        float estimate[TOPK_BLOCK], upper[TOPK_BLOCK];
        if (!which) continue;
        for (int r = 0; r < TOPK_BLOCK; r++) sums[r] = -s->query.sum * (bits == 8 ? 128 : 8);
        for (size_t g = 0; g < count; g++, p += 4 * TOPK_BLOCK)
            for (size_t r = 0; r < TOPK_BLOCK; r++)
                for (size_t t = 0; t < 4; t++)
                    sums[r] += bits == 8 ? p[r * 4 + t] * q[g * 4 + t]
                                         : (p[r * 4 + t] & 15) * q[g * 8 + t] + (p[r * 4 + t] >> 4) * q[g * 8 + 4 + t];
        bounds_of_block(s, sums, block, estimate, upper);
        consider_block(s, which, estimate, upper, block * TOPK_BLOCK);
    }
}

#ifdef HAVE_X86
static inline int32_t four_codes(const int8_t *codes) {
    int32_t four;
    memcpy(&four, codes, 4);
    return four;
}

/* Estimates and upper bounds of sixteen rows in two halves; the rest of a block in AVX2. */
AVX2 static inline void judge_avx2(search *s, __m256i low, __m256i high, unsigned which, size_t block) {
    const float *meta = s->copy->meta + block * 2 * TOPK_BLOCK;
    const __m256 scale = _mm256_set1_ps(s->query.scale), slack = _mm256_set1_ps(s->query.slack),
                 bar = _mm256_set1_ps(s->best.bar);
    __m256 e0 = _mm256_mul_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(low), scale), _mm256_loadu_ps(meta));
    __m256 e1 = _mm256_mul_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(high), scale), _mm256_loadu_ps(meta + 8));
    __m256 u0 = _mm256_add_ps(e0, _mm256_add_ps(_mm256_loadu_ps(meta + 16), slack));
    __m256 u1 = _mm256_add_ps(e1, _mm256_add_ps(_mm256_loadu_ps(meta + 24), slack));
    unsigned reach = (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(u0, bar, _CMP_NLT_UQ)) |
                     (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(u1, bar, _CMP_NLT_UQ)) << 8;
    if (__builtin_expect((which &= reach) != 0, 0)) {
        float estimate[TOPK_BLOCK], upper[TOPK_BLOCK];
        _mm256_storeu_ps(estimate, e0), _mm256_storeu_ps(estimate + 8, e1);
        _mm256_storeu_ps(upper, u0), _mm256_storeu_ps(upper + 8, u1);
        consider_block(s, which, estimate, upper, block * TOPK_BLOCK);
    }
}

/* Thirty-two products of bytes, added up by fours. maddubs adds two in 16 bits: 2 * 255 * 63 and
 * 2 * 15 * 127 fit. */
AVX2 static inline __m256i bytes_avx2(__m256i sums, __m256i codes, __m256i q) {
    return _mm256_add_epi32(sums, _mm256_madd_epi16(_mm256_maddubs_epi16(codes, q), _mm256_set1_epi16(1)));
}

AVX2 static void stage8_avx2(search *s, size_t block, size_t end) {
    const size_t count = groups(8, s->job->d);
    for (; block < end && !s->gave_up; block++) {
        unsigned which = rows_of_block(s->job, block);
        const uint8_t *p = s->copy->codes + block * count * 64;
        __m256i low = _mm256_set1_epi32(-128 * s->query.sum), high = low;
        if (!which) continue;
        for (size_t g = 0; g < count; g++, p += 64) {
            __m256i q = _mm256_set1_epi32(four_codes(s->query.codes + g * 4));
            low = bytes_avx2(low, _mm256_loadu_si256((const __m256i *)p), q);
            high = bytes_avx2(high, _mm256_loadu_si256((const __m256i *)(p + 32)), q);
        }
        judge_avx2(s, low, high, which, block);
    }
}

AVX2 static void stage4_avx2(search *s, size_t block, size_t end) {
    const size_t count = groups(4, s->job->d);
    const __m256i nibble = _mm256_set1_epi8(15);
    for (; block < end && !s->gave_up; block++) {
        unsigned which = rows_of_block(s->job, block);
        const uint8_t *p = s->copy->codes + block * count * 64;
        __m256i low = _mm256_set1_epi32(-8 * s->query.sum), high = low;
        if (!which) continue;
        for (size_t g = 0; g < count; g++, p += 64) {
            __m256i qa = _mm256_set1_epi32(four_codes(s->query.codes + g * 8));
            __m256i qb = _mm256_set1_epi32(four_codes(s->query.codes + g * 8 + 4));
            __m256i a = _mm256_loadu_si256((const __m256i *)p), b = _mm256_loadu_si256((const __m256i *)(p + 32));
            /* four products of 15 * 127 still fit 16 bits, so both halves of a byte share one widening */
            __m256i x = _mm256_add_epi16(_mm256_maddubs_epi16(_mm256_and_si256(a, nibble), qa),
                                         _mm256_maddubs_epi16(_mm256_and_si256(_mm256_srli_epi16(a, 4), nibble), qb));
            __m256i y = _mm256_add_epi16(_mm256_maddubs_epi16(_mm256_and_si256(b, nibble), qa),
                                         _mm256_maddubs_epi16(_mm256_and_si256(_mm256_srli_epi16(b, 4), nibble), qb));
            low = _mm256_add_epi32(low, _mm256_madd_epi16(x, _mm256_set1_epi16(1)));
            high = _mm256_add_epi32(high, _mm256_madd_epi16(y, _mm256_set1_epi16(1)));
        }
        judge_avx2(s, low, high, which, block);
    }
}

AVX512 static inline void judge_avx512(search *s, __m512i sums, unsigned which, size_t block) {
    const float *meta = s->copy->meta + block * 2 * TOPK_BLOCK;
    __m512 e = _mm512_mul_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(sums), _mm512_set1_ps(s->query.scale)),
                             _mm512_loadu_ps(meta));
    __m512 u = _mm512_add_ps(e, _mm512_add_ps(_mm512_loadu_ps(meta + 16), _mm512_set1_ps(s->query.slack)));
    which &= _mm512_cmp_ps_mask(u, _mm512_set1_ps(s->best.bar), _CMP_NLT_UQ);
    if (__builtin_expect(which != 0, 0)) {
        float estimate[TOPK_BLOCK], upper[TOPK_BLOCK];
        _mm512_storeu_ps(estimate, e), _mm512_storeu_ps(upper, u);
        consider_block(s, which, estimate, upper, block * TOPK_BLOCK);
    }
}

/* Sixty-four products of bytes, added up by fours: four dimensions of sixteen rows. */
AVX512 static inline __m512i dot4(__m512i sums, __m512i codes, const int8_t *q) {
    return _mm512_dpbusd_epi32(sums, codes, _mm512_set1_epi32(four_codes(q)));
}

/* Four sums in turn hide the latency of the dot-product instruction; they are four variables, because gcc keeps an
 * array in memory. One block after another: two at once read the DRAM at half its rate. */
AVX512 static void stage8_avx512(search *s, size_t block, size_t end) {
    const size_t count = groups(8, s->job->d);
    for (; block < end && !s->gave_up; block++) {
        const unsigned which = rows_of_block(s->job, block);
        const uint8_t *p = s->copy->codes + block * count * 64;
        const int8_t *q = s->query.codes;
        __m512i v = _mm512_set1_epi32(-128 * s->query.sum), w = _mm512_setzero_si512(), x = w, y = w;
        size_t g = 0;
        if (!which) continue;
        for (; g + 4 <= count; g += 4, p += 256, q += 16) {
            v = dot4(v, _mm512_loadu_si512(p), q);
            w = dot4(w, _mm512_loadu_si512(p + 64), q + 4);
            x = dot4(x, _mm512_loadu_si512(p + 128), q + 8);
            y = dot4(y, _mm512_loadu_si512(p + 192), q + 12);
        }
        for (; g < count; g++, p += 64, q += 4) v = dot4(v, _mm512_loadu_si512(p), q);
        judge_avx512(s, _mm512_add_epi32(_mm512_add_epi32(v, w), _mm512_add_epi32(x, y)), which, block);
    }
}

/* The upper half of a byte is not shifted down: its sum, sixteen times too large, is. */
AVX512 static void stage4_avx512(search *s, size_t block, size_t end) {
    const size_t count = groups(4, s->job->d);
    const __m512i below = _mm512_set1_epi8(15), above = _mm512_set1_epi8((char)240);
    for (; block < end && !s->gave_up; block++) {
        const unsigned which = rows_of_block(s->job, block);
        const uint8_t *p = s->copy->codes + block * count * 64;
        const int8_t *q = s->query.codes;
        __m512i low = _mm512_set1_epi32(-8 * s->query.sum), high = _mm512_setzero_si512(), low2 = high, high2 = high;
        size_t g = 0;
        if (!which) continue;
        for (; g + 2 <= count; g += 2, p += 128, q += 16) {
            __m512i a = _mm512_loadu_si512(p), b = _mm512_loadu_si512(p + 64);
            low = dot4(low, _mm512_and_si512(a, below), q);
            high = dot4(high, _mm512_and_si512(a, above), q + 4);
            low2 = dot4(low2, _mm512_and_si512(b, below), q + 8);
            high2 = dot4(high2, _mm512_and_si512(b, above), q + 12);
        }
        if (g < count) {
            __m512i a = _mm512_loadu_si512(p);
            low = dot4(low, _mm512_and_si512(a, below), q);
            high = dot4(high, _mm512_and_si512(a, above), q + 4);
        }
        high = _mm512_srai_epi32(_mm512_add_epi32(high, high2), 4);
        judge_avx512(s, _mm512_add_epi32(_mm512_add_epi32(low, low2), high), which, block);
    }
}
#endif

/* ---- choosing ------------------------------------------------------------------------------------- */

typedef struct {
    void (*plain)(const topk_job *, best *);
    float (*dot)(const float *, const float *, size_t);
    void (*stage8)(search *, size_t block, size_t end), (*stage4)(search *, size_t block, size_t end);
    coder *code;
    int query_top; /* largest code of a query against 8-bit rows */
} way;

static const way WAYS[TOPK_PATHS] = {
    [TOPK_SCALAR] = {plain_scalar, dot_scalar, stage_portable, stage_portable, code_row_any, 127},
#ifdef HAVE_X86
    [TOPK_AVX2] = {plain_avx2, dot_avx2, stage8_avx2, stage4_avx2, code_row_avx2, 63},
    [TOPK_AVX512] = {plain_avx512, dot_avx512, stage8_avx512, stage4_avx512, code_row_avx2, 127},
#endif
#ifdef HAVE_NEON
    [TOPK_NEON] = {plain_neon, dot_neon, stage_portable, stage_portable, code_row_any, 127},
#endif
};

#ifdef HAVE_X86
/* What the processor has, and what the system saves of it when it changes processes (XCR0).
 *
 * Not __builtin_cpu_supports: it asks the compiler's run-time library, and zig's (0.17) knows no processor at all,
 * without a word. */
static int best_x86(void) {
    enum { FMA = 1 << 12, OSXSAVE = 1 << 27, AVX = 1 << 28 };           /* leaf 1, ecx */
    enum { HAS_AVX2 = 1 << 5, F = 1 << 16, DQ = 1 << 17, BW = 1 << 30 }; /* leaf 7, ebx */
    const unsigned vl = 1u << 31, vnni = 1u << 11;                      /* leaf 7, ebx and ecx */
    const unsigned ymm = 0x6, zmm = 0xe6;                               /* XCR0 */
    unsigned eax, ebx, ecx, edx, saved;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx)) return TOPK_SCALAR;
    if ((ecx & (FMA | OSXSAVE | AVX)) != (FMA | OSXSAVE | AVX)) return TOPK_SCALAR;
    __asm__ volatile("xgetbv" : "=a"(saved), "=d"(edx) : "c"(0));
    if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return TOPK_SCALAR;
    if ((saved & ymm) != ymm || !(ebx & HAS_AVX2)) return TOPK_SCALAR;
    const unsigned needed = F | DQ | BW | vl;
    return (saved & zmm) == zmm && (ebx & needed) == needed && (ecx & vnni) ? TOPK_AVX512 : TOPK_AVX2;
}

/* Asked once: in a virtual machine every cpuid costs microseconds. Two threads find the same. */
static int x86_can(int path) {
    static atomic_int best = -1;
    if (best < 0) best = best_x86();
    return path <= best;
}
#endif

int topk_can(int path) {
    if (path < 0 || path >= TOPK_PATHS || !WAYS[path].plain) return 0;
#ifdef HAVE_X86
    if (path == TOPK_AVX2 || path == TOPK_AVX512) return x86_can(path);
#endif
    return 1;
}

void topk_encode(int path, int bits, const float *rows, size_t first, size_t last, size_t d, uint8_t *codes,
                 float *meta) {
    const size_t count = groups(bits, d), width = count * (bits == 8 ? 4 : 8);
    float *u = calloc(2 * width, sizeof *u);
    for (size_t i = first; i < last; i++) {
        size_t block = i / TOPK_BLOCK, lane = i % TOPK_BLOCK;
        uint8_t *to = codes + block * count * 4 * TOPK_BLOCK + lane * 4;
        float scale = 0, residual = INFINITY; /* no memory: always rescored */
        if (u) WAYS[path].code(top_code(bits), rows + i * d, d, u, u + width, &scale, &residual);
        meta[block * 2 * TOPK_BLOCK + lane] = scale;
        meta[block * 2 * TOPK_BLOCK + TOPK_BLOCK + lane] = residual;
        for (size_t g = 0; g < count && u; g++, to += 4 * TOPK_BLOCK)
            for (size_t t = 0; t < 4; t++)
                to[t] = bits == 8 ? (uint8_t)((int)u[g * 4 + t] + 128)
                                  : (uint8_t)(((int)u[g * 8 + t] + 8) | ((int)u[g * 8 + 4 + t] + 8) << 4);
    }
    free(u);
}

size_t topk_plain(int path, const topk_job *job, size_t k, int64_t *idx, float *score) {
    best b = {idx, score, 0, k < job->n ? k : job->n, job->floor};
    if (!b.k) return 0;
    WAYS[path].plain(job, &b);
    return finish(&b);
}

static int by_upper(const void *a, const void *b) {
    float x = ((const candidate *)a)->upper, y = ((const candidate *)b)->upper;
    return (x < y) - (x > y);
}

/* Score what is left, the most promising first, until no upper bound reaches the bar any more. */
static void rescore(search *s) {
    const size_t d = s->job->d;
    size_t kept = 0;
    score_soon(s);
    for (size_t c = 0; c < s->count; c++)
        if (!(s->left[c].upper < s->best.bar)) s->left[kept++] = s->left[c];
    if (kept) qsort(s->left, kept, sizeof *s->left, by_upper);
    for (size_t c = 0; c < kept && c < FETCH; c++) fetch(s->job->rows + s->left[c].row * d, d);
    for (size_t c = 0; c < kept && !(s->left[c].upper < s->best.bar); c++, s->rescored++) {
        if (c + FETCH < kept) fetch(s->job->rows + s->left[c + FETCH].row * d, d);
        keep(&s->best, s->dot(s->job->rows + s->left[c].row * d, s->job->query, d), s->left[c].row);
    }
}

/* Begin a search by way of a copy: all but the scan. */
static void begin(search *s, const way *w, const topk_job *job, const topk_copy *copy, size_t k, int64_t *idx,
                  float *score) {
    const size_t d = job->d;
    float *room = calloc(1, 2 * d * sizeof(float) + groups(copy->bits, d) * 8);
    *s = (search){.job = job, .copy = copy, .best = {idx, score, 0, k, job->floor}, .dot = w->dot};
    s->query.codes = (int8_t *)room;
    /* Near-duplicates, sorted rows, noise: where the bounds tell little apart, the plain scan is faster. This
     * much may be spent on finding out. Measured on such data: docs/kernel.md. */
    s->budget = job->n / 4 + 256;
    s->gave_up = !room || 4 * k > s->budget || job->n > UINT32_MAX || d > LARGEST_D;
    if (!s->gave_up)
        code_query(w->code, job->query, d, copy->bits == 8 ? w->query_top : 127,
                   (float *)(s->query.codes + groups(copy->bits, d) * 8), &s->query);
}

/* Go on over the rows of some blocks. */
static void scan(search *s, const way *w, size_t block, size_t end) {
    if (!s->gave_up) (s->copy->bits == 8 ? w->stage8 : w->stage4)(s, block, end);
}

/* End it; return how many were found. */
static size_t end(search *s, int path) {
    if (!s->gave_up) rescore(s);
    free(s->query.codes);
    free(s->left);
    return s->gave_up ? topk_plain(path, s->job, s->best.k, s->best.idx, s->best.score) : finish(&s->best);
}

/* Codes that stay in the second-level cache (256 kB and more) while one query after another passes over them. */
static const size_t SHARED_BYTES = 192u << 10;

static size_t blocks_of(const topk_job *job) { return (job->n + TOPK_BLOCK - 1) / TOPK_BLOCK; }

size_t topk_two_stage(int path, const topk_job *job, const topk_copy *copy, size_t k, int64_t *idx, float *score,
                      topk_work *work) {
    search s;
    size_t found;
    *work = (topk_work){0, 0};
    if (!k || !job->n) return 0;
    begin(&s, &WAYS[path], job, copy, k < job->n ? k : job->n, idx, score);
    scan(&s, &WAYS[path], 0, blocks_of(job));
    found = end(&s, path);
    *work = (topk_work){s.rescored, s.gave_up};
    return found;
}

size_t topk_batch(int path, const topk_job *jobs, size_t m, const topk_copy *copy, size_t k, int64_t *idx, float *score,
                  size_t *count) {
    const size_t n = m ? jobs->n : 0, wanted = k < n ? k : n, row = groups(copy->bits, m ? jobs->d : 1) * 4;
    const size_t step = row * TOPK_BLOCK < SHARED_BYTES ? SHARED_BYTES / (row * TOPK_BLOCK) : 1;
    search *all = malloc(m * sizeof *all);
    size_t gave_up = 0;
    if (!wanted || !all) {
        for (size_t q = 0; q < m; q++) count[q] = topk_plain(path, &jobs[q], k, idx + q * wanted, score + q * wanted);
        free(all);
        return 0;
    }
    for (size_t q = 0; q < m; q++) begin(&all[q], &WAYS[path], &jobs[q], copy, wanted, idx + q * wanted, score + q * wanted);
    for (size_t block = 0, last = blocks_of(jobs); block < last; block += step)
        for (size_t q = 0; q < m; q++) scan(&all[q], &WAYS[path], block, block + step < last ? block + step : last);
    for (size_t q = 0; q < m; q++) {
        count[q] = end(&all[q], path);
        gave_up += (size_t)all[q].gave_up;
    }
    free(all);
    return gave_up;
}
