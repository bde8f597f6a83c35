/* Drives of a block of frames; see drive.h.
 *
 * drive_tile has two ways through a tile. Frames that are mostly 0 are walked one at a time, along the pixels
 * that are not, with the sums of the whole tile in registers. Dense frames are taken four at a time, so that a
 * weight is loaded once for four. drive_again puts frames side by side instead of units. */
#include "drive.h"

#include <stdlib.h>
#include <string.h>

#include "kernel.h"
#include "memory.h"

/* 32 bits of a weight, or of a pair of rounded ones. */
typedef uint32_t bits __attribute__((may_alias));

#define DENSE_FRAMES 4  /* frames that a dense block computes together */
#define DENSE_VECTORS 2 /* ... for so many vectors of units */

int drive_init_cpu(struct drive_frames *block, size_t P)
{
    *block = (struct drive_frames){.P = P};
    return lists_init(&block->pixels, P, DRIVE_CHUNK);
}

void drive_fini_cpu(struct drive_frames *block)
{
    lists_fini(&block->pixels);
    *block = (struct drive_frames){0};
}

/* Where the values of frame f's list begin. */
static float *levels_of(const struct drive_frames *block, size_t f)
{
    return (float *)block->pixels.level + f * block->P;
}

/* List the pixels of frame f that are not 0. */
static void list_pixels(struct drive_frames *block, size_t f)
{
    const size_t P = block->P;
    struct lists *lists = &block->pixels;
    const float *restrict v = block->v + f * P;
    uint32_t *restrict pixel = lists->place + f * P;
    float *restrict level = levels_of(block, f);
    size_t count = 0;
    for (size_t c = 0; c < lists->chunks; c++) {
        const size_t end = P - c * DRIVE_CHUNK < DRIVE_CHUNK ? P : (c + 1) * DRIVE_CHUNK;
        lists->start[c * DRIVE_FRAMES + f] = (uint32_t)count;
        for (size_t q = c * DRIVE_CHUNK; q < end; q++) {
            pixel[count] = (uint32_t)q;
            level[count] = v[q];
            count += v[q] > 0;
        }
    }
    lists->start[lists->chunks * DRIVE_FRAMES + f] = (uint32_t)count;
}

void drive_prepare_cpu(struct drive_frames *block, const float *v, size_t n)
{
    size_t filled = 0;
    block->n = n;
    block->v = v;
    for (size_t f = 0; f < n; f++) {
        list_pixels(block, f);
        filled += lists_count(&block->pixels, f);
    }
    for (size_t first = 0; first < n; first += LISTS_ABREAST) {
        lists_align(&block->pixels, first, n);
    }
    block->dense = filled / 2 > n * block->P / 3; /* about where the two ways take the same time */
}

/* p (a vector) += one frame, along the `count` pixels listed. */
VECTOR_INLINE void walk(float *restrict p, const float *restrict tile, const uint32_t *restrict pixel,
                        const float *restrict level, size_t count, size_t width)
{
    vector sum = vector_load(p);
    for (size_t a = 0; a < count; a++) {
        sum += level[a] * vector_load(tile + pixel[a] * width);
    }
    vector_store(p, sum);
}

/* The same for a whole tile; with `next`, a cache line of that is fetched for every pixel. The sums have names: as an
 * array they would live in memory. */
VECTOR_INLINE void walk_whole(float *restrict p, const float *restrict tile, const uint32_t *restrict pixel,
                              const float *restrict level, size_t count, const float *next)
{
    enum { V = VECTOR_FLOATS };
    vector s0 = vector_load(p), s1 = vector_load(p + V), s2 = vector_load(p + 2 * V),
           s3 = vector_load(p + 3 * V), s4 = vector_load(p + 4 * V), s5 = vector_load(p + 5 * V),
           s6 = vector_load(p + 6 * V), s7 = vector_load(p + 7 * V);
    for (size_t a = 0; a < count; a++) {
        const float *w = tile + (size_t)pixel[a] * DRIVE_TILE, v = level[a];
        if (next) {
            __builtin_prefetch(next + a * MEMORY_LANES, 0, 2);
        }
        s0 += v * vector_load(w);
        s1 += v * vector_load(w + V);
        s2 += v * vector_load(w + 2 * V);
        s3 += v * vector_load(w + 3 * V);
        s4 += v * vector_load(w + 4 * V);
        s5 += v * vector_load(w + 5 * V);
        s6 += v * vector_load(w + 6 * V);
        s7 += v * vector_load(w + 7 * V);
    }
    vector_store(p, s0);
    vector_store(p + V, s1);
    vector_store(p + 2 * V, s2);
    vector_store(p + 3 * V, s3);
    vector_store(p + 4 * V, s4);
    vector_store(p + 5 * V, s5);
    vector_store(p + 6 * V, s6);
    vector_store(p + 7 * V, s7);
}

/* Not inlined: the compiler would compute addresses in advance and run out of registers. */
__attribute__((noinline)) static void walk_tile(float *p, const float *tile, const uint32_t *pixel,
                                                const float *level, size_t count)
{
    walk_whole(p, tile, pixel, level, count, NULL);
}

__attribute__((noinline)) static void walk_tile_fetching(float *p, const float *tile, const uint32_t *pixel,
                                                         const float *level, size_t count, const float *next)
{
    walk_whole(p, tile, pixel, level, count, next);
}

/* p (width) += one frame, along the pixels of a chunk. With `next`, so many cache lines of that are fetched as are
 * returned. */
static size_t walk_chunk(float *p, const float *tile, const struct drive_frames *block, size_t f,
                         size_t chunk, size_t width, const float *next)
{
    const uint32_t *start = block->pixels.start + chunk * DRIVE_FRAMES + f;
    const uint32_t *pixel = block->pixels.place + f * block->P + start[0];
    const float *level = levels_of(block, f) + start[0];
    const size_t count = start[DRIVE_FRAMES] - start[0];
    if (width == DRIVE_TILE && next) {
        walk_tile_fetching(p, tile, pixel, level, count, next);
        return count;
    }
    if (width == DRIVE_TILE) {
        walk_tile(p, tile, pixel, level, count);
        return 0;
    }
    for (size_t unit = 0; unit < width; unit += VECTOR_FLOATS) {
        walk(p + unit, tile + unit, pixel, level, count, width);
    }
    return 0;
}

/* p (frames x stride; `vectors` of each row): `frames` frames v, all pixels. */
VECTOR_INLINE void multiply(float *restrict p, const float *restrict tile, const float *restrict v,
                            size_t frames, size_t vectors, size_t P, size_t width, size_t stride)
{
    vector sum[DENSE_FRAMES][DENSE_VECTORS];
    for (size_t f = 0; f < frames; f++) {
        for (size_t s = 0; s < vectors; s++) {
            sum[f][s] = (vector){0};
        }
    }
    for (size_t q = 0; q < P; q++) {
        for (size_t s = 0; s < vectors; s++) {
            vector w = vector_load(tile + q * width + s * VECTOR_FLOATS);
            for (size_t f = 0; f < frames; f++) {
                sum[f][s] += v[f * P + q] * w;
            }
        }
    }
    for (size_t f = 0; f < frames; f++) {
        for (size_t s = 0; s < vectors; s++) {
            vector_store(p + f * stride + s * VECTOR_FLOATS, sum[f][s]);
        }
    }
}

static void multiply_tile(float *p, const float *tile, const struct drive_frames *block, size_t width,
                          size_t stride)
{
    const size_t P = block->P;
    for (size_t unit = 0; unit < width;) {
        const size_t vectors = width - unit >= DENSE_VECTORS * VECTOR_FLOATS ? DENSE_VECTORS : 1;
        size_t f = 0;
        for (; vectors == DENSE_VECTORS && f + DENSE_FRAMES <= block->n; f += DENSE_FRAMES) {
            multiply(p + f * stride + unit, tile + unit, block->v + f * P, DENSE_FRAMES, DENSE_VECTORS, P,
                     width, stride);
        }
        for (; vectors == DENSE_VECTORS && f < block->n; f++) {
            multiply(p + f * stride + unit, tile + unit, block->v + f * P, 1, DENSE_VECTORS, P, width,
                     stride);
        }
        for (; f < block->n; f++) {
            multiply(p + f * stride + unit, tile + unit, block->v + f * P, 1, 1, P, width, stride);
        }
        unit += vectors * VECTOR_FLOATS;
    }
}

void drive_tile_cpu(float *p, const float *tile, const struct drive_frames *block, size_t width,
                    size_t stride, const float *next)
{
    const size_t lines = DRIVE_TILE * block->P / MEMORY_LANES; /* of the next tile at most */
    size_t fetched = 0;
    if (block->dense) {
        multiply_tile(p, tile, block, width, stride);
        return;
    }
    for (size_t f = 0; f < block->n; f++) {
        memset(p + f * stride, 0, width * sizeof *p);
    }
    for (size_t chunk = 0; chunk < block->pixels.chunks; chunk++) {
        for (size_t f = 0; f < block->n; f++) {
            const float *ahead = next && fetched < lines ? next + fetched * MEMORY_LANES : NULL;
            fetched += walk_chunk(p + f * stride, tile, block, f, chunk, width, ahead);
        }
    }
}

int drive_changed_init_cpu(struct drive_changed *changed, size_t P, size_t k)
{
    const size_t room = (2 * k + VECTOR_FLOATS - 1) / VECTOR_FLOATS * VECTOR_FLOATS;
    *changed = (struct drive_changed){.room = room};
    if (!(changed->unit = memory_new(room, sizeof *changed->unit)) ||
        !(changed->weights = memory_new(memory_padded(P), room * sizeof *changed->weights))) {
        return KERNEL_ENOMEM;
    }
    return KERNEL_OK;
}

void drive_changed_fini_cpu(struct drive_changed *changed)
{
    free(changed->unit);
    free(changed->weights);
    *changed = (struct drive_changed){0};
}

/* Four pixels of four rows, turned: columns[q * stride] (4) = pixel q of every row. */
VECTOR_INLINE void turn(float *restrict columns, const float *const *row, size_t q, size_t stride)
{
    const quad a = quad_load(row[0] + q), b = quad_load(row[1] + q), c = quad_load(row[2] + q),
               d = quad_load(row[3] + q);
    const quad ab = __builtin_shufflevector(a, b, 0, 4, 1, 5), cd = __builtin_shufflevector(c, d, 0, 4, 1, 5);
    const quad AB = __builtin_shufflevector(a, b, 2, 6, 3, 7), CD = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    quad_store(columns, __builtin_shufflevector(ab, cd, 0, 1, 4, 5));
    quad_store(columns + stride, __builtin_shufflevector(ab, cd, 2, 3, 6, 7));
    quad_store(columns + 2 * stride, __builtin_shufflevector(AB, CD, 0, 1, 4, 5));
    quad_store(columns + 3 * stride, __builtin_shufflevector(AB, CD, 2, 3, 6, 7));
}

void drive_change_cpu(struct drive_changed *changed, const float *const *row, const uint32_t *unit, size_t k,
                      size_t P)
{
    const size_t room = changed->room;
    float *columns = changed->weights + changed->count;
    size_t a = 0;
    for (; a + 4 <= k; a += 4) {
        for (size_t q = 0; q < P; q += 4) {
            turn(columns + q * room + a, row + a, q, room);
        }
    }
    for (; a < k; a++) {
        for (size_t q = 0; q < P; q++) {
            ((bits *)columns)[q * room + a] = ((const bits *)row[a])[q];
        }
    }
    memcpy(changed->unit + changed->count, unit, k * sizeof *unit);
    changed->count += k;
}

/* sums (LISTS_ABREAST x VECTOR_FLOATS): as many units in as many frames, whose lists lie P apart. */
VECTOR_INLINE void again(float *sums, const float *restrict weights, const uint32_t *restrict pixel,
                         const float *restrict level, size_t count, size_t P, size_t room)
{
    vector s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
    for (size_t a = 0; a < count; a++) {
        s0 += level[a] * vector_load(weights + pixel[a] * room);
        s1 += level[P + a] * vector_load(weights + pixel[P + a] * room);
        s2 += level[2 * P + a] * vector_load(weights + pixel[2 * P + a] * room);
        s3 += level[3 * P + a] * vector_load(weights + pixel[3 * P + a] * room);
    }
    vector_store(sums, s0);
    vector_store(sums + VECTOR_FLOATS, s1);
    vector_store(sums + 2 * VECTOR_FLOATS, s2);
    vector_store(sums + 3 * VECTOR_FLOATS, s3);
}

void drive_again_cpu(float *p, const struct drive_changed *changed, const struct drive_frames *block,
                     size_t first, size_t last, size_t stride)
{
    const size_t P = block->P;
    for (size_t start = first / LISTS_ABREAST * LISTS_ABREAST; start < last; start += LISTS_ABREAST) {
        for (size_t u = 0; u < changed->count; u += VECTOR_FLOATS) {
            float sums[LISTS_ABREAST * VECTOR_FLOATS];
            again(sums, changed->weights + u, block->pixels.place + start * P, levels_of(block, start),
                  block->pixels.longest[start / LISTS_ABREAST], P, changed->room);
            drive_spread(p, sums, changed, u, start, first, last, stride);
        }
    }
}
