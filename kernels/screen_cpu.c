/* Screening; see screen.h. The walks are those of drive_cpu.c, in integers. */
#include "screen.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernel.h"
#include "memory.h"

#define LEVELS 255
#define STEPS 32767     /* of a weight in 15 bits ... */
#define PIXELS 512      /* ... in frames of at most so many pixels; in larger ones fewer, so that sums fit */
#define STEPS_MIN 1024  /* with fewer too much would be in doubt */
#define ROOM 1.25F      /* for weights to grow, before all must be rounded anew */
#define SMALLEST 1e-20F /* of largest weights: all beside the bound is far above what flushing to 0 changes */
#define LARGEST 1e20F
#define ROUNDED                                                                                              \
    0.51F /* steps by which a rounded weight is off: half a one, and 1 % for the rounding of that itself */
#define EXACT 16              /* units whose exact drives are computed together */
#define OFF (2 * FLT_EPSILON) /* relative: how far a float may be from a 255th */

typedef float two __attribute__((vector_size(8), aligned(4), may_alias));

/* Into how many steps a weight is divided, in frames of P pixels; 0: they cannot be screened. */
static float steps_for(size_t P)
{
    const size_t steps = P <= PIXELS ? STEPS : (size_t)STEPS * PIXELS / P;
    return steps < STEPS_MIN ? 0 : (float)steps;
}

struct screen_scale screen_scale_cpu(float largest, size_t P)
{
    const float most = steps_for(P);
    if (!(most > 0 && largest >= SMALLEST && largest <= LARGEST)) {
        return (struct screen_scale){0};
    }
    const float step = largest * ROOM / most;
    return (struct screen_scale){.step = step, .inverse = 1 / step, .most = most};
}

/* Write frame v in 255ths; false if it is not, or too bright. sum: of its 255ths; most: of a weight's steps. */
static bool count_levels(int32_t *restrict bytes, int32_t *sum_p, const float *restrict v, float most,
                         size_t P)
{
    int32_t sum = 0, off = 0;
    for (size_t q = 0; q < P; q++) {
        const float level = v[q] * LEVELS;
        const int32_t nearest = (int32_t)(level + 0.5F);
        off |= fabsf(level - (float)nearest) > OFF * (float)nearest;
        bytes[q] = nearest;
        sum += nearest;
    }
    *sum_p = sum;
    return !off && (double)sum * (double)most <= INT32_MAX;
}

int screen_init_cpu(struct screen_frames *block, size_t P)
{
    *block = (struct screen_frames){.P = P, .pairs = P / 2 + P % 2, .most = steps_for(P)};
    if (!(block->most > 0)) {
        return KERNEL_OK; /* no memory for what is never done */
    }
    block->bytes = memory_new(2 * block->pairs, sizeof *block->bytes);
    return block->bytes ? lists_init(&block->lists, block->pairs, DRIVE_CHUNK) : KERNEL_ENOMEM;
}

void screen_fini_cpu(struct screen_frames *block)
{
    free(block->bytes);
    lists_fini(&block->lists);
    *block = (struct screen_frames){0};
}

bool screen_fits_cpu(struct screen_frames *block, const float *v, size_t n)
{
    int32_t sum;
    bool fit = block->most > 0;
    for (size_t f = 0; f < n && fit; f++) {
        fit = count_levels(block->bytes, &sum, v + f * block->P, block->most, block->P);
    }
    return fit;
}

/* List the pairs of frame f, whose 255ths have been written. */
static void list_pairs(struct screen_frames *block, size_t f)
{
    struct lists *lists = &block->lists;
    const int32_t *restrict bytes = block->bytes;
    uint32_t *restrict pair = lists->place + f * block->pairs;
    uint32_t *restrict level = lists->level + f * block->pairs;
    size_t count = 0;
    for (size_t c = 0; c < lists->chunks; c++) {
        const size_t first = c * DRIVE_CHUNK, left = block->pairs - first;
        lists->start[c * LISTS_FRAMES + f] = (uint32_t)count;
        for (size_t j = first; j < first + (left < DRIVE_CHUNK ? left : DRIVE_CHUNK); j++) {
            const uint32_t both = (uint32_t)bytes[2 * j] | (uint32_t)bytes[2 * j + 1] << 16;
            pair[count] = (uint32_t)j;
            level[count] = both;
            count += both != 0;
        }
    }
    lists->start[lists->chunks * LISTS_FRAMES + f] = (uint32_t)count;
}

bool screen_prepare_cpu(struct screen_frames *block, const float *v, size_t n)
{
    if (!(block->most > 0)) {
        return false;
    }
    for (size_t f = 0; f < n; f++) {
        int32_t sum;
        if (!count_levels(block->bytes, &sum, v + f * block->P, block->most, block->P)) {
            return false;
        }
        block->sum[f] = (float)sum / LEVELS;
        list_pairs(block, f);
    }
    for (size_t first = 0; first < n; first += LISTS_ABREAST) {
        lists_align(&block->lists, first, n);
    }
    block->n = n;
    return true;
}

bool screen_pack_cpu(int32_t *restrict packed, const float *restrict row, const struct screen_scale *scale,
                     size_t pairs)
{
    const float inverse = scale->inverse, most = scale->most;
    int32_t over = 0;
    for (size_t j = 0; j < pairs; j++) {
        const float low = row[2 * j] * inverse, high = row[2 * j + 1] * inverse;
        over |= !(low <= most) | !(high <= most);
        packed[j] =
            (int32_t)((low < most ? low : most) + 0.5F) | (int32_t)((high < most ? high : most) + 0.5F) << 16;
    }
    return !over;
}

/* p: from integers, or from nothing, to integers, or to drives. */
enum part { FIRST = 1, LAST = 2 };

VECTOR_INLINE vector_int begin(const float *p, int part)
{
    return part & FIRST ? (vector_int){0} : vector_int_load(p);
}

VECTOR_INLINE void finish(float *p, vector_int sum, float scale, int part)
{
    if (part & LAST) {
        vector_store(p, __builtin_convertvector(sum, vector) * scale);
    } else {
        vector_int_store(p, sum);
    }
}

/* One frame along the `count` pairs listed, for a vector of units. */
VECTOR_INLINE void walk(float *p, const int32_t *tile, const uint32_t *pair, const uint32_t *level,
                        size_t count, size_t width, float scale, int part)
{
    vector_int sum = begin(p, part);
    for (size_t a = 0; a < count; a++) {
        sum += vector_dot_pairs((vector_int){0} + (int32_t)level[a], vector_int_load(tile + pair[a] * width));
    }
    finish(p, sum, scale, part);
}

/* The same for a whole tile. The sums have names: as an array they would live in memory. Not inlined: the compiler would
 * compute addresses in advance and run out of registers. */
__attribute__((noinline)) static void walk_tile(float *p, const int32_t *tile, const uint32_t *pair,
                                                const uint32_t *level, size_t count, float scale, int part)
{
    enum { V = VECTOR_FLOATS };
    vector_int s0 = begin(p, part), s1 = begin(p + V, part), s2 = begin(p + 2 * V, part),
               s3 = begin(p + 3 * V, part), s4 = begin(p + 4 * V, part), s5 = begin(p + 5 * V, part),
               s6 = begin(p + 6 * V, part), s7 = begin(p + 7 * V, part);
    for (size_t a = 0; a < count; a++) {
        const int32_t *w = tile + (size_t)pair[a] * DRIVE_TILE;
        const vector_int v = (vector_int){0} + (int32_t)level[a];
        s0 += vector_dot_pairs(v, vector_int_load(w));
        s1 += vector_dot_pairs(v, vector_int_load(w + V));
        s2 += vector_dot_pairs(v, vector_int_load(w + 2 * V));
        s3 += vector_dot_pairs(v, vector_int_load(w + 3 * V));
        s4 += vector_dot_pairs(v, vector_int_load(w + 4 * V));
        s5 += vector_dot_pairs(v, vector_int_load(w + 5 * V));
        s6 += vector_dot_pairs(v, vector_int_load(w + 6 * V));
        s7 += vector_dot_pairs(v, vector_int_load(w + 7 * V));
    }
    finish(p, s0, scale, part);
    finish(p + V, s1, scale, part);
    finish(p + 2 * V, s2, scale, part);
    finish(p + 3 * V, s3, scale, part);
    finish(p + 4 * V, s4, scale, part);
    finish(p + 5 * V, s5, scale, part);
    finish(p + 6 * V, s6, scale, part);
    finish(p + 7 * V, s7, scale, part);
}

/* What an integer sum is in drives. */
static float unit_of(const struct screen_scale *scale)
{
    return scale->step / LEVELS;
}

void screen_tile_cpu(float *p, const int32_t *tile, const struct screen_frames *block,
                     const struct screen_scale *scale, size_t width, size_t stride)
{
    const size_t chunks = block->lists.chunks;
    for (size_t c = 0; c < chunks; c++) {
        const int part = (c == 0 ? FIRST : 0) | (c + 1 == chunks ? LAST : 0);
        for (size_t f = 0; f < block->n; f++) {
            const uint32_t *start = block->lists.start + c * LISTS_FRAMES + f;
            const size_t at = f * block->pairs + start[0], count = start[LISTS_FRAMES] - start[0];
            const uint32_t *pair = block->lists.place + at, *level = block->lists.level + at;
            if (width == DRIVE_TILE) {
                walk_tile(p + f * stride, tile, pair, level, count, unit_of(scale), part);
                continue;
            }
            for (size_t unit = 0; unit < width; unit += VECTOR_FLOATS) {
                walk(p + f * stride + unit, tile + unit, pair, level, count, width, unit_of(scale), part);
            }
        }
    }
}

/* sums (LISTS_ABREAST x VECTOR_FLOATS): as many units in as many frames, whose lists lie `pairs` apart. */
VECTOR_INLINE void again(float *sums, const int32_t *restrict weights, const uint32_t *restrict pair,
                         const uint32_t *restrict level, size_t count, size_t pairs, size_t room, float scale)
{
    const vector_int none = {0};
    vector_int s0 = none, s1 = none, s2 = none, s3 = none;
    for (size_t a = 0; a < count; a++) {
        s0 += vector_dot_pairs(none + (int32_t)level[a], vector_int_load(weights + pair[a] * room));
        s1 += vector_dot_pairs(none + (int32_t)level[pairs + a],
                               vector_int_load(weights + pair[pairs + a] * room));
        s2 += vector_dot_pairs(none + (int32_t)level[2 * pairs + a],
                               vector_int_load(weights + pair[2 * pairs + a] * room));
        s3 += vector_dot_pairs(none + (int32_t)level[3 * pairs + a],
                               vector_int_load(weights + pair[3 * pairs + a] * room));
    }
    finish(sums, s0, scale, LAST);
    finish(sums + VECTOR_FLOATS, s1, scale, LAST);
    finish(sums + 2 * VECTOR_FLOATS, s2, scale, LAST);
    finish(sums + 3 * VECTOR_FLOATS, s3, scale, LAST);
}

void screen_again_cpu(float *p, const struct drive_changed *changed, const struct screen_frames *block,
                      const struct screen_scale *scale, size_t first, size_t last, size_t stride)
{
    const size_t pairs = block->pairs;
    const int32_t *weights = (const int32_t *)changed->weights;
    for (size_t start = first / LISTS_ABREAST * LISTS_ABREAST; start < last; start += LISTS_ABREAST) {
        for (size_t u = 0; u < changed->count; u += VECTOR_FLOATS) {
            float sums[LISTS_ABREAST * VECTOR_FLOATS];
            again(sums, weights + u, block->lists.place + start * pairs, block->lists.level + start * pairs,
                  block->lists.longest[start / LISTS_ABREAST], pairs, changed->room, unit_of(scale));
            drive_spread(p, sums, changed, u, start, first, last, stride);
        }
    }
}

float screen_error_cpu(const struct screen_frames *block, const struct screen_scale *scale, size_t f, float c,
                       float gain, size_t neighbours, size_t terms)
{
    const float sums = (float)(2 * lists_count(&block->lists, f) + 8) + (float)(2 * (terms + 6)) * (1 + gain);
    return ROUNDED * scale->step * block->sum[f] * (1 + gain * (float)neighbours) + FLT_EPSILON * sums * c;
}

/* Pixels q and q + 1 of four rows, each pixel's side by side. */
VECTOR_INLINE void gather(quad *low, quad *high, const float *const *row, size_t q)
{
    const two a = *(const two *)(row[0] + q), b = *(const two *)(row[1] + q), c = *(const two *)(row[2] + q),
              d = *(const two *)(row[3] + q);
    const quad ab = __builtin_shufflevector(a, b, 0, 1, 2, 3), cd = __builtin_shufflevector(c, d, 0, 1, 2, 3);
    *low = __builtin_shufflevector(ab, cd, 0, 2, 4, 6);
    *high = __builtin_shufflevector(ab, cd, 1, 3, 5, 7);
}

/* p (4 fours): of as many units at once. A drive's sum waits for one product after the other; several do not cost more. */
VECTOR_INLINE void exact(float *p, const float *const *row, size_t fours, const uint32_t *pair, size_t count,
                         const float *v)
{
    quad sum[EXACT / 4];
    for (size_t s = 0; s < fours; s++) {
        sum[s] = (quad){0};
    }
    for (size_t a = 0; a < count; a++) {
        const size_t q = 2 * (size_t)pair[a];
        for (size_t s = 0; s < fours; s++) {
            quad low, high;
            gather(&low, &high, row + 4 * s, q);
            sum[s] = sum[s] + v[q] * low;
            sum[s] = sum[s] + v[q + 1] * high;
        }
    }
    for (size_t s = 0; s < fours; s++) {
        quad_store(p + 4 * s, sum[s]);
    }
}

void screen_exact_cpu(float *p, const float *const *row, size_t count, const struct screen_frames *block,
                      size_t f, const float *v)
{
    const uint32_t *pair = block->lists.place + f * block->pairs;
    const size_t pairs = lists_count(&block->lists, f);
    for (size_t a = 0; a < count; a += EXACT) {
        const size_t some = count - a < EXACT ? count - a : EXACT;
        const float *rows[EXACT];
        float drives[EXACT];
        for (size_t b = 0; b < EXACT; b++) {
            rows[b] = row[a + (b < some ? b : 0)];
        }
        if (some <= 4) {
            exact(drives, rows, 1, pair, pairs, v);
        } else if (some <= 8) {
            exact(drives, rows, 2, pair, pairs, v);
        } else {
            exact(drives, rows, EXACT / 4, pair, pairs, v);
        }
        memcpy(p + a, drives, some * sizeof *p);
    }
}
