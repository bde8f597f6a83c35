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

#define GROUPS (DRIVE_FRAMES / DRIVE_GROUP)
#define GROUP_VECTORS (DRIVE_GROUP / VECTOR_FLOATS)
#define ROWS 4            /* units that drive_again computes together */
#define DENSE_FRAMES 4    /* frames that a dense block computes together */
#define DENSE_VECTORS 2   /* ... for so many vectors of units */

static size_t chunks(size_t P)
{
    return (P + DRIVE_CHUNK - 1) / DRIVE_CHUNK;
}

/* Pixels of frame f that are not 0. */
static size_t listed(const struct drive_frames *block, size_t f)
{
    return block->start[chunks(block->P) * DRIVE_FRAMES + f];
}

int drive_init_cpu(struct drive_frames *block, size_t P)
{
    *block = (struct drive_frames){.P = P};
    if (!(block->pixel = memory_new(P, DRIVE_FRAMES * sizeof *block->pixel)) ||
        !(block->level = memory_new(P, DRIVE_FRAMES * sizeof *block->level)) ||
        !(block->group_pixel = memory_new(P, GROUPS * sizeof *block->group_pixel)) ||
        !(block->place = memory_new(P, sizeof *block->place)) ||
        !(block->start = memory_new(chunks(P) + 1, DRIVE_FRAMES * sizeof *block->start)) ||
        !(block->group_level = memory_new(P, DRIVE_FRAMES * sizeof *block->group_level))) {
        return KERNEL_ENOMEM;
    }
    return KERNEL_OK;
}

void drive_fini_cpu(struct drive_frames *block)
{
    free(block->pixel);
    free(block->level);
    free(block->group_pixel);
    free(block->group_level);
    free(block->place);
    free(block->start);
    *block = (struct drive_frames){0};
}

/* List the pixels of frame f that are not 0. */
static void list_pixels(struct drive_frames *block, size_t f)
{
    const size_t P = block->P;
    const float *restrict v = block->v + f * P;
    uint32_t *restrict pixel = block->pixel + f * P;
    float *restrict level = block->level + f * P;
    size_t count = 0;
    for (size_t c = 0; c < chunks(P); c++) {
        const size_t end = P - c * DRIVE_CHUNK < DRIVE_CHUNK ? P : (c + 1) * DRIVE_CHUNK;
        block->start[c * DRIVE_FRAMES + f] = (uint32_t)count;
        for (size_t q = c * DRIVE_CHUNK; q < end; q++) {
            pixel[count] = (uint32_t)q;
            level[count] = v[q];
            count += v[q] > 0;
        }
    }
    block->start[chunks(P) * DRIVE_FRAMES + f] = (uint32_t)count;
}

/* Lay out frames `first` to `last` of the block as a group. */
static void list_group(struct drive_frames *block, size_t first, size_t last)
{
    const size_t P = block->P, group = first / DRIVE_GROUP;
    uint32_t *group_pixel = block->group_pixel + group * P, *place = block->place;
    float *group_level = block->group_level + first * P;
    size_t count = 0;
    memset(place, 0, P * sizeof *place);
    for (size_t f = first; f < last; f++) {
        for (size_t a = 0; a < listed(block, f); a++) {
            place[block->pixel[f * P + a]] = 1;
        }
    }
    for (size_t q = 0; q < P; q++) {
        uint32_t used = place[q];
        group_pixel[count] = (uint32_t)q;
        place[q] = (uint32_t)count;
        count += used;
    }
    memset(group_level, 0, count * DRIVE_GROUP * sizeof *group_level);
    for (size_t f = first; f < last; f++) {
        for (size_t a = 0; a < listed(block, f); a++) {
            group_level[place[block->pixel[f * P + a]] * DRIVE_GROUP + f - first] = block->level[f * P + a];
        }
    }
    block->group_count[group] = count;
}

void drive_prepare_cpu(struct drive_frames *block, const float *v, size_t n, bool again)
{
    const size_t P = block->P;
    size_t filled = 0;
    block->n = n;
    block->v = v;
    for (size_t f = 0; f < n; f++) {
        list_pixels(block, f);
        filled += listed(block, f);
    }
    block->dense = filled / 2 > n * P / 3; /* about where the two ways take the same time */
    for (size_t first = 0; again && first < n; first += DRIVE_GROUP) {
        list_group(block, first, n - first < DRIVE_GROUP ? n : first + DRIVE_GROUP);
    }
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

/* The same for a whole tile. The sums have names: as an array they would live in memory. Not inlined: the
 * compiler would compute addresses in advance and run out of registers. */
__attribute__((noinline)) static void walk_tile(float *restrict p, const float *restrict tile,
                                                const uint32_t *restrict pixel, const float *restrict level,
                                                size_t count)
{
    enum { V = VECTOR_FLOATS };
    vector s0 = vector_load(p), s1 = vector_load(p + V), s2 = vector_load(p + 2 * V),
           s3 = vector_load(p + 3 * V), s4 = vector_load(p + 4 * V), s5 = vector_load(p + 5 * V),
           s6 = vector_load(p + 6 * V), s7 = vector_load(p + 7 * V);
    for (size_t a = 0; a < count; a++) {
        const float *w = tile + (size_t)pixel[a] * DRIVE_TILE, v = level[a];
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

/* p (width) += one frame, along the pixels of a chunk. */
static void walk_chunk(float *p, const float *tile, const struct drive_frames *block, size_t f, size_t chunk,
                       size_t width)
{
    const uint32_t *start = block->start + chunk * DRIVE_FRAMES + f;
    const uint32_t *pixel = block->pixel + f * block->P + start[0];
    const float *level = block->level + f * block->P + start[0];
    const size_t count = start[DRIVE_FRAMES] - start[0];
    if (width == DRIVE_TILE) {
        walk_tile(p, tile, pixel, level, count);
        return;
    }
    for (size_t unit = 0; unit < width; unit += VECTOR_FLOATS) {
        walk(p + unit, tile + unit, pixel, level, count, width);
    }
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
                    size_t stride)
{
    if (block->dense) {
        multiply_tile(p, tile, block, width, stride);
        return;
    }
    for (size_t f = 0; f < block->n; f++) {
        memset(p + f * stride, 0, width * sizeof *p);
    }
    for (size_t chunk = 0; chunk < chunks(block->P); chunk++) {
        for (size_t f = 0; f < block->n; f++) {
            walk_chunk(p + f * stride, tile, block, f, chunk, width);
        }
    }
}

/* p (DRIVE_GROUP x stride) of `rows` units, from frame `first` of the group to frame `last`. */
VECTOR_INLINE void again(float *restrict p, const float *const *row, const uint32_t *unit, size_t rows,
                         const uint32_t *restrict pixel, const float *restrict level, size_t count,
                         size_t first, size_t last, size_t stride)
{
    vector sum[ROWS][GROUP_VECTORS];
    for (size_t b = 0; b < rows; b++) {
        for (size_t s = 0; s < GROUP_VECTORS; s++) {
            sum[b][s] = (vector){0};
        }
    }
    for (size_t a = 0; a < count; a++) {
        for (size_t s = 0; s < GROUP_VECTORS; s++) {
            vector v = vector_load(level + a * DRIVE_GROUP + s * VECTOR_FLOATS);
            for (size_t b = 0; b < rows; b++) {
                sum[b][s] += row[b][pixel[a]] * v;
            }
        }
    }
    for (size_t b = 0; b < rows; b++) {
        float drive[DRIVE_GROUP];
        for (size_t s = 0; s < GROUP_VECTORS; s++) {
            vector_store(drive + s * VECTOR_FLOATS, sum[b][s]);
        }
        for (size_t f = first; f < last; f++) {
            p[f * stride + unit[b]] = drive[f];
        }
    }
}

void drive_again_cpu(float *p, const float *const *row, const uint32_t *unit, size_t count,
                     const struct drive_frames *block, size_t first, size_t stride)
{
    for (size_t g = first / DRIVE_GROUP; g * DRIVE_GROUP < block->n; g++) {
        const size_t start = g * DRIVE_GROUP, skip = first > start ? first - start : 0;
        const size_t end = block->n - start < DRIVE_GROUP ? block->n - start : DRIVE_GROUP;
        const uint32_t *pixel = block->group_pixel + g * block->P;
        const float *level = block->group_level + start * block->P;
        size_t a = 0;
        for (; a + ROWS <= count; a += ROWS) {
            again(p + start * stride, row + a, unit + a, ROWS, pixel, level, block->group_count[g], skip, end,
                  stride);
        }
        for (; a < count; a++) {
            again(p + start * stride, row + a, unit + a, 1, pixel, level, block->group_count[g], skip, end,
                  stride);
        }
    }
}
