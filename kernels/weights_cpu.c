/* The sparse layer's weights; see weights.h. */
#include "weights.h"

#include <stdlib.h>
#include <string.h>

#include "kernel.h"
#include "memory.h"
#include "sparse.h"

/* 32 bits of either form. */
typedef uint32_t bits __attribute__((may_alias));

int weights_init_cpu(struct weights *self, size_t N, size_t P)
{
    const size_t all = memory_padded(N);
    *self = (struct weights){.N = N, .P = P, .padded = memory_padded(P), .pairs = P / 2 + P % 2};
    if (!(self->rows = memory_new(N, self->padded * sizeof *self->rows)) ||
        !(self->lowest = memory_new(self->padded, sizeof *self->lowest)) ||
        !(self->floats = memory_take(all, P * sizeof *self->floats)) ||
        !(self->rounded = memory_take(all, self->pairs * sizeof *self->rounded)) ||
        !(self->stale = memory_new(all, sizeof *self->stale))) {
        return KERNEL_ENOMEM;
    }
    for (size_t q = 0; q < P; q++) {
        self->lowest[q] = SPARSE_FLOOR;
    }
    for (size_t i = 0; i < N; i++) {
        memcpy(self->rows + i * self->padded, self->lowest, P * sizeof *self->rows);
    }
    weights_renew_cpu(self);
    return KERNEL_OK;
}

void weights_fini_cpu(struct weights *self)
{
    free(self->rows);
    free(self->lowest);
    free(self->floats);
    free(self->rounded);
    free(self->stale);
    *self = (struct weights){0};
}

void weights_renew_cpu(struct weights *self)
{
    memset(self->stale, WEIGHTS_FLOATS | WEIGHTS_PAIRS, memory_padded(self->N) * sizeof *self->stale);
    self->unscaled = true;
}

size_t weights_tiles_cpu(const struct weights *self)
{
    return (self->N + DRIVE_TILE - 1) / DRIVE_TILE;
}

size_t weights_width_cpu(const struct weights *self, size_t tile)
{
    const size_t left = memory_padded(self->N) - tile * DRIVE_TILE;
    return left < DRIVE_TILE ? left : DRIVE_TILE;
}

float *weights_floats_cpu(const struct weights *self, size_t tile)
{
    return self->floats + tile * DRIVE_TILE * self->P;
}

int32_t *weights_pairs_cpu(const struct weights *self, size_t tile)
{
    return self->rounded + tile * DRIVE_TILE * self->pairs;
}

bool weights_round_cpu(const struct weights *self, int32_t *work, const float **packed,
                       const float *const *row, size_t count)
{
    bool fit = true;
    for (size_t a = 0; a < count; a++) {
        int32_t *to = work + a * (self->padded / 2);
        fit &= screen_pack_cpu(to, row[a], &self->scale, self->pairs);
        packed[a] = (const float *)to;
    }
    return fit;
}

/* tile (length x width): write rows (length) to their places. */
static void fill(bits *restrict tile, const bits *const *row, const size_t *place, size_t count,
                 size_t length, size_t width)
{
    for (size_t q = 0; count > 0 && q < length; q++) {
        for (size_t a = 0; a < count; a++) {
            tile[q * width + place[a]] = row[a][q];
        }
    }
}

void weights_refresh_cpu(struct weights *self, int32_t *work, size_t tile, enum weights_form form)
{
    const float *row[DRIVE_TILE], *packed[WEIGHTS_ROUNDED];
    size_t place[DRIVE_TILE], count = 0;
    const size_t width = weights_width_cpu(self, tile);
    for (size_t u = 0, i = tile * DRIVE_TILE; u < width; u++, i++) {
        if (self->stale[i] & form) {
            place[count] = u;
            row[count++] = i < self->N ? self->rows + i * self->padded : self->lowest;
            self->stale[i] &= (uint8_t)~form;
        }
    }
    if (form == WEIGHTS_FLOATS) {
        fill((bits *)weights_floats_cpu(self, tile), (const bits *const *)row, place, count, self->P, width);
        return;
    }
    for (size_t a = 0; a < count; a += WEIGHTS_ROUNDED) {
        const size_t some = count - a < WEIGHTS_ROUNDED ? count - a : WEIGHTS_ROUNDED;
        weights_round_cpu(self, work, packed, row + a, some); /* they fit: it was seen when they learned */
        fill((bits *)weights_pairs_cpu(self, tile), (const bits *const *)packed, place + a, some, self->pairs,
             width);
    }
}

/* The largest weight. */
static float largest(const struct weights *self)
{
    vector most = {0};
    float lanes[VECTOR_FLOATS];
    for (size_t q = 0; q < self->N * self->padded; q += VECTOR_FLOATS) {
        most = vector_max(vector_load(self->rows + q), most);
    }
    vector_store(lanes, most);
    for (size_t l = 1; l < VECTOR_FLOATS; l++) {
        lanes[0] = lanes[l] > lanes[0] ? lanes[l] : lanes[0];
    }
    return lanes[0];
}

bool weights_rescale_cpu(struct weights *self)
{
    if (self->unscaled) {
        const float most = largest(self), steps = most * self->scale.inverse;
        const bool right = self->scale.step > 0 && steps <= self->scale.most && steps >= self->scale.most / 2;
        if (!right) {
            self->scale = screen_scale_cpu(most, self->P);
            for (size_t i = 0; i < memory_padded(self->N); i++) {
                self->stale[i] |= WEIGHTS_PAIRS;
            }
        }
        self->unscaled = false;
    }
    return self->scale.step > 0;
}
