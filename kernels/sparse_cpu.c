/* The sparse layer in float on the CPU: exact look-ahead.
 *
 * Only the k winners' weights change in a frame. So the drives of a block of coming frames are computed at once,
 * with the weights of the block's start; then the frames are gone through in order, and whenever units have
 * learned, their drives in the rest of the block are computed again. drive.h sees to it that a drive has the
 * same bits either way, so that no result depends on where a block begins or how frames come in calls.
 *
 * Weights lie twice: in rows, where the winners learn, and in tiles, where the drives of a block come from. A row
 * that has learned is stale in its tile until the next block has need of the tile. */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "drive.h"
#include "lanes.h"
#include "lateral.h"
#include "memory.h"
#include "sparse_body.h"
#include "winners.h"

#define PRECISION 1e-10F

struct layer {
    struct sparse_config config;
    size_t N;
    size_t stride; /* N padded, and so that drives of neighbouring frames do not compete for a cache line */
    size_t padded; /* P padded; padding stays 0 */
    float *W;      /* N x padded: the weights */
    float *tiles;  /* the same in tiles: drive.h */
    bool *stale;   /* N: the unit's weights in its tile are old */
    float *sum;    /* N: sum of the unit's weights */
    float *p;      /* DRIVE_FRAMES x stride: drives of a block */
    float *c;      /* N: drive after lateral excitation */
    float *box;    /* working memory of lateral_cpu */
    float *v;      /* padded: the frame; padding stays 0 */
    float *lowest; /* padded: SPARSE_FLOOR, and 0 for the padding */
    struct drive_frames block;
};

static void cpu_destroy(void *layer)
{
    struct layer *self = layer;
    if (!self) {
        return;
    }
    free(self->W);
    free(self->tiles);
    free(self->stale);
    free(self->sum);
    free(self->p);
    free(self->c);
    free(self->box);
    free(self->v);
    free(self->lowest);
    drive_fini_cpu(&self->block);
    free(self);
}

/* All units' weights have been written: nothing that was made from the old ones is good. */
static void renew(struct layer *self)
{
    for (size_t i = 0; i < self->N; i++) {
        self->sum[i] = lanes_sum(self->W + i * self->padded, self->padded);
        self->stale[i] = true;
    }
}

static int cpu_new(void **layer_p, const struct sparse_config *config)
{
    *layer_p = NULL;
    struct layer *self = memory_new(1, sizeof *self);
    if (!self) {
        return KERNEL_ENOMEM;
    }
    self->config = *config;
    self->N = config->Kx * config->Ky;
    self->stride = memory_padded(self->N) + MEMORY_LANES;
    self->padded = memory_padded(config->P);
    if (!(self->W = memory_new(self->N, self->padded * sizeof *self->W)) ||
        !(self->tiles = memory_new(memory_padded(self->N), config->P * sizeof *self->tiles)) ||
        !(self->stale = memory_new(self->N, sizeof *self->stale)) ||
        !(self->sum = memory_new(self->N, sizeof *self->sum)) ||
        !(self->p = memory_new(self->stride, DRIVE_FRAMES * sizeof *self->p)) ||
        !(self->c = memory_new(self->N, sizeof *self->c)) ||
        !(self->box = memory_new(lateral_work(config->Kx, config->Ky), sizeof *self->box)) ||
        !(self->v = memory_new(self->padded, sizeof *self->v)) ||
        !(self->lowest = memory_new(self->padded, sizeof *self->lowest)) ||
        drive_init_cpu(&self->block, config->P)) {
        cpu_destroy(self);
        return KERNEL_ENOMEM;
    }
    for (size_t q = 0; q < config->P; q++) {
        self->lowest[q] = SPARSE_FLOOR;
    }
    for (size_t i = 0; i < self->N; i++) {
        memcpy(self->W + i * self->padded, self->lowest, config->P * sizeof *self->W);
    }
    renew(self);
    *layer_p = self;
    return KERNEL_OK;
}

static int cpu_set_weights(void *layer, const float *W)
{
    struct layer *self = layer;
    const size_t P = self->config.P;
    for (size_t i = 0; i < self->N; i++) {
        for (size_t q = 0; q < P; q++) {
            self->W[i * self->padded + q] = fmaxf(W[i * P + q], SPARSE_FLOOR);
        }
    }
    renew(self);
    return KERNEL_OK;
}

static int cpu_get_weights(const void *layer, float *W)
{
    const struct layer *self = layer;
    const size_t P = self->config.P;
    for (size_t i = 0; i < self->N; i++) {
        memcpy(W + i * P, self->W + i * self->padded, P * sizeof *W);
    }
    return KERNEL_OK;
}

/* The weights are all there is. */
static size_t cpu_state_bytes(const void *layer)
{
    (void)layer;
    return 0;
}

static void cpu_save_state(const void *layer, void *state)
{
    (void)layer;
    (void)state;
}

static void cpu_load_state(void *layer, const void *state)
{
    (void)layer;
    (void)state;
}

/* Write the rows of a tile's units that have learned into the tile (P x width). */
static void refresh_tile(struct layer *self, float *restrict tile, size_t first, size_t width)
{
    const float *row[DRIVE_TILE];
    size_t place[DRIVE_TILE], count = 0;
    for (size_t i = first; i < first + width && i < self->N; i++) {
        if (self->stale[i]) {
            place[count] = i - first;
            row[count++] = self->W + i * self->padded;
            self->stale[i] = false;
        }
    }
    for (size_t q = 0; count > 0 && q < self->config.P; q++) {
        for (size_t a = 0; a < count; a++) {
            tile[q * width + place[a]] = row[a][q];
        }
    }
}

/* self->p = the drives of the block. */
static void sweep(struct layer *self)
{
    const size_t N = memory_padded(self->N);
    for (size_t first = 0; first < N; first += DRIVE_TILE) {
        const size_t width = N - first < DRIVE_TILE ? N - first : DRIVE_TILE;
        float *tile = self->tiles + first * self->config.P;
        refresh_tile(self, tile, first, width);
        drive_tile_cpu(self->p + first, tile, &self->block, width, self->stride);
    }
}

/* All steps of the rule on as many pixels as a vector holds, from q on: reconstruct them from the k rows, measure,
 * let the rows learn and add them up. Returns the squared residual; sums (k, LANE_VECTORS
 * apart) are added to. */
VECTOR_INLINE vector learn_pixels(vector *restrict sums, float *const *row, const float *p, const float *v,
                                  const float *lowest, float rate, size_t q, size_t k, bool learn)
{
    vector r = {0};
    for (size_t a = 0; a < k; a++) {
        r += p[a] * vector_load(row[a] + q);
    }
    const vector e = vector_load(v + q) - r, least = vector_load(lowest + q);
    if (learn) {
        const vector step = rate * e / vector_max(r, (vector){0} + PRECISION);
        for (size_t a = 0; a < k; a++) {
            vector w = vector_max(vector_load(row[a] + q) * (1 + p[a] * step), least);
            vector_store(row[a] + q, w);
            sums[a * LANE_VECTORS] += w;
        }
    }
    return e * e;
}

/* |v - r|^2 of frame v (padded), and if `learn` the update of the k rows; sum[a]: of row a after that. */
VECTOR_INLINE float learn_rows(float *sum, float *const *row, const float *p, const float *v,
                               const float *lowest, float rate, size_t padded, size_t k, bool learn)
{
    vector residual[LANE_VECTORS], sums[SPARSE_WINNERS_MAX][LANE_VECTORS];
    for (size_t s = 0; s < LANE_VECTORS; s++) {
        residual[s] = (vector){0};
        for (size_t a = 0; a < k; a++) {
            sums[a][s] = (vector){0};
        }
    }
    for (size_t q = 0; q < padded; q += MEMORY_LANES) {
        for (size_t s = 0; s < LANE_VECTORS; s++) {
            residual[s] +=
                learn_pixels(&sums[0][s], row, p, v, lowest, rate, q + s * VECTOR_FLOATS, k, learn);
        }
    }
    for (size_t a = 0; learn && a < k; a++) {
        sum[a] = lanes_fold(sums[a]);
    }
    return lanes_fold(residual);
}

/* All that follows the drives p (N) of frame f of the block. */
static void finish_frame(struct layer *self, uint32_t *index, float *value, float *residual, size_t f,
                         bool learn)
{
    const size_t P = self->config.P, k = self->config.k;
    const float *drives = self->p + f * self->stride;
    const float rate = (float)self->config.rate;
    float p[SPARSE_WINNERS_MAX], sum[SPARSE_WINNERS_MAX], *row[SPARSE_WINNERS_MAX];

    lateral_cpu(self->c, drives, self->box, (float)self->config.strength, self->config.radius,
                self->config.Kx, self->config.Ky);
    winners_cpu(index, self->c, self->N, k);
    for (size_t a = 0; a < k; a++) {
        p[a] = drives[index[a]];
        row[a] = self->W + index[a] * self->padded;
    }
    memcpy(self->v, self->block.v + f * P, P * sizeof *self->v);
    residual[0] = k == 4 ? learn_rows(sum, row, p, self->v, self->lowest, rate, self->padded, 4, learn)
                         : learn_rows(sum, row, p, self->v, self->lowest, rate, self->padded, k, learn);
    residual[1] = lanes_dot(self->v, self->v, self->padded);
    for (size_t a = 0; learn && a < k; a++) {
        self->sum[index[a]] = sum[a];
        self->stale[index[a]] = true;
    }
    for (size_t a = 0; a < k; a++) {
        value[a] = p[a] / self->sum[index[a]]; /* > 0, thanks to the floor */
    }
    if (learn && f + 1 < self->block.n) {
        drive_again_cpu(self->p, (const float *const *)row, index, k, &self->block, f + 1, self->stride);
    }
}

static int cpu_run(void *layer, uint32_t *index, float *value, float *residual, const float *frames, size_t n,
                   bool learn)
{
    struct layer *self = layer;
    const size_t P = self->config.P, k = self->config.k;
    for (size_t t = 0; t < n; t += DRIVE_FRAMES) {
        drive_prepare_cpu(&self->block, frames + t * P, n - t < DRIVE_FRAMES ? n - t : DRIVE_FRAMES, learn);
        sweep(self);
        for (size_t f = 0; f < self->block.n; f++) {
            finish_frame(self, index + (t + f) * k, value + (t + f) * k, residual + 2 * (t + f), f, learn);
        }
    }
    return KERNEL_OK;
}

const struct sparse_body sparse_body_cpu = {
    .name = SET_BODY,
    .new = cpu_new,
    .destroy = cpu_destroy,
    .set_weights = cpu_set_weights,
    .get_weights = cpu_get_weights,
    .state_bytes = cpu_state_bytes,
    .save_state = cpu_save_state,
    .load_state = cpu_load_state,
    .run = cpu_run,
};
