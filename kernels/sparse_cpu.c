/* The sparse layer in float on the CPU: exact look-ahead.
 *
 * Only the k winners' weights change in a frame. So the drives of a block of coming frames are computed at once,
 * with the weights of the block's start; then the frames are gone through in order, and whenever units have
 * learned, their drives in the rest of the block are computed again. drive.h sees to it that a drive has the
 * same bits either way, so that no result depends on where a block begins or how frames come in calls.
 *
 * Weights lie twice: in rows, where the winners learn, and in tiles, where the drives of a block come from. A row
 * that has learned is stale in its tile until the next block has need of the tile.
 *
 * Threads share out the tiles of a block while the layer learns, and whole blocks when it does not. */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "drive.h"
#include "lanes.h"
#include "lateral.h"
#include "memory.h"
#include "sparse_body.h"
#include "subnormal.h"
#include "team.h"
#include "winners.h"

#define PRECISION 1e-10F
#define LARGE (1 << 20) /* bytes of weights, beyond which they do not stay in the cache of a core */

/* What a thread needs to go through a block. */
struct desk {
    struct drive_frames block;
    float *p;   /* DRIVE_FRAMES x stride: drives of the block */
    float *c;   /* N: drive after lateral excitation */
    float *box; /* working memory of lateral_cpu */
    float *v;   /* padded: the frame; padding stays 0 */
};

struct layer {
    struct sparse_config config;
    size_t N;
    size_t stride; /* N padded, and so that drives of neighbouring frames do not compete for a cache line */
    size_t padded; /* P padded; padding stays 0 */
    float *W;      /* N x padded: the weights */
    float *tiles;  /* the same in tiles: drive.h */
    bool *stale;   /* N padded: the unit's weights in its tile are old */
    bool large;    /* the tiles come from beyond the cache of a core */
    float *sum;    /* N: sum of the unit's weights */
    float *lowest; /* padded: SPARSE_FLOOR, and 0 for the padding */
    struct team *team;
    size_t threads;
    struct desk *desks;           /* threads; when the layer learns, only the first is used */
    struct drive_changed changed; /* units that have learned, whose drives far ahead in the block are old */
};

static int desk_init(struct desk *desk, const struct layer *self)
{
    const struct sparse_config *config = &self->config;
    if (!(desk->p = memory_new(self->stride, DRIVE_FRAMES * sizeof *desk->p)) ||
        !(desk->c = memory_new(self->N, sizeof *desk->c)) ||
        !(desk->box = memory_new(lateral_work(config->Kx, config->Ky), sizeof *desk->box)) ||
        !(desk->v = memory_new(self->padded, sizeof *desk->v))) {
        return KERNEL_ENOMEM;
    }
    return drive_init_cpu(&desk->block, config->P);
}

static void desk_fini(struct desk *desk)
{
    free(desk->p);
    free(desk->c);
    free(desk->box);
    free(desk->v);
    drive_fini_cpu(&desk->block);
}

static void cpu_destroy(void *layer)
{
    struct layer *self = layer;
    if (!self) {
        return;
    }
    team_destroy(&self->team);
    free(self->W);
    free(self->tiles);
    free(self->stale);
    free(self->sum);
    free(self->lowest);
    for (size_t d = 0; self->desks && d < self->threads; d++) {
        desk_fini(&self->desks[d]);
    }
    free(self->desks);
    drive_changed_fini_cpu(&self->changed);
    free(self);
}

/* All units' weights have been written: nothing that was made from the old ones is good. */
static void renew(struct layer *self)
{
    for (size_t i = 0; i < self->N; i++) {
        self->sum[i] = lanes_sum(self->W + i * self->padded, self->padded);
    }
    memset(self->stale, true, memory_padded(self->N) * sizeof *self->stale);
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
    self->large = self->N * config->P > LARGE / sizeof *self->tiles;
    self->threads = config->threads > 1 ? config->threads : 1;
    if (!(self->W = memory_new(self->N, self->padded * sizeof *self->W)) ||
        !(self->tiles = memory_take(memory_padded(self->N), config->P * sizeof *self->tiles)) ||
        !(self->stale = memory_new(memory_padded(self->N), sizeof *self->stale)) ||
        !(self->sum = memory_new(self->N, sizeof *self->sum)) ||
        !(self->lowest = memory_new(self->padded, sizeof *self->lowest)) ||
        !(self->desks = memory_new(self->threads, sizeof *self->desks)) ||
        drive_changed_init_cpu(&self->changed, config->P, config->k) ||
        team_new(&self->team, self->threads)) {
        cpu_destroy(self);
        return KERNEL_ENOMEM;
    }
    for (size_t d = 0; d < self->threads; d++) {
        if (desk_init(&self->desks[d], self)) {
            cpu_destroy(self);
            return KERNEL_ENOMEM;
        }
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

static const float *cpu_lend_weights(const void *layer)
{
    const struct layer *self = layer;
    return self->padded == self->config.P ? self->W : NULL;
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

/* Weights of tile number `tile`, and how many units it has. */
static float *tile_at(const struct layer *self, size_t tile, size_t *width)
{
    const size_t N = memory_padded(self->N), first = tile * DRIVE_TILE;
    *width = N - first < DRIVE_TILE ? N - first : DRIVE_TILE;
    return self->tiles + first * self->config.P;
}

static size_t tiles(const struct layer *self)
{
    return (self->N + DRIVE_TILE - 1) / DRIVE_TILE;
}

/* Write the rows of a tile's units that have learned into the tile. */
static void refresh_tile(struct layer *self, size_t number)
{
    const float *row[DRIVE_TILE];
    size_t place[DRIVE_TILE], count = 0, width;
    float *restrict tile = tile_at(self, number, &width);
    for (size_t u = 0, i = number * DRIVE_TILE; u < width; u++, i++) {
        if (self->stale[i]) {
            place[count] = u;
            row[count++] = i < self->N ? self->W + i * self->padded : self->lowest;
            self->stale[i] = false;
        }
    }
    for (size_t q = 0; count > 0 && q < self->config.P; q++) {
        for (size_t a = 0; a < count; a++) {
            tile[q * width + place[a]] = row[a][q];
        }
    }
}

/* The drives of one tile for the block at a desk. */
static void sweep_tile(const struct layer *self, struct desk *desk, size_t number)
{
    size_t width, next_width;
    const float *tile = tile_at(self, number, &width);
    const float *next = self->large ? tile_at(self, (number + 1) % tiles(self), &next_width) : NULL;
    drive_tile_cpu(desk->p + number * DRIVE_TILE, tile, &desk->block, width, self->stride, next);
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

/* The winners of frame f have learned: compute their drives again, for the next frame at once, for those after it
 * with the winners of some more frames. */
static void follow(struct layer *self, struct desk *desk, float *const *row, const uint32_t *index, size_t f)
{
    struct drive_changed *changed = &self->changed;
    const size_t k = self->config.k, n = desk->block.n;
    drive_change_cpu(changed, (const float *const *)row, index, k, self->config.P);
    const bool full = changed->count + k > changed->room;
    drive_again_cpu(desk->p, changed, &desk->block, f + 1, full ? n : f + 2, self->stride);
    if (full) {
        changed->count = 0;
    }
}

/* All that follows the drives p (N) of frame f of the block. */
static void finish_frame(struct layer *self, struct desk *desk, uint32_t *index, float *value,
                         float *residual, size_t f, bool learn)
{
    const size_t P = self->config.P, k = self->config.k;
    const float *drives = desk->p + f * self->stride;
    const float rate = (float)self->config.rate;
    float p[SPARSE_WINNERS_MAX], sum[SPARSE_WINNERS_MAX], *row[SPARSE_WINNERS_MAX];

    lateral_cpu(desk->c, drives, desk->box, (float)self->config.strength, self->config.radius,
                self->config.Kx, self->config.Ky);
    winners_cpu(index, desk->c, self->N, k);
    for (size_t a = 0; a < k; a++) {
        p[a] = drives[index[a]];
        row[a] = self->W + index[a] * self->padded;
    }
    memcpy(desk->v, desk->block.v + f * P, P * sizeof *desk->v);
    residual[0] = k == 4 ? learn_rows(sum, row, p, desk->v, self->lowest, rate, self->padded, 4, learn)
                         : learn_rows(sum, row, p, desk->v, self->lowest, rate, self->padded, k, learn);
    residual[1] = lanes_dot(desk->v, desk->v, self->padded);
    for (size_t a = 0; learn && a < k; a++) {
        self->sum[index[a]] = sum[a];
        self->stale[index[a]] = true;
    }
    for (size_t a = 0; a < k; a++) {
        value[a] = p[a] / self->sum[index[a]]; /* > 0, thanks to the floor */
    }
    if (learn && f + 1 < desk->block.n) {
        follow(self, desk, row, index, f);
    }
}

/* Frames that are gone through, and where their results go. */
struct run {
    struct layer *layer;
    uint32_t *index;
    float *value, *residual;
    const float *frames;
    size_t n;
};

/* Lay out the block of frames from t on at a desk. */
static void take_block(const struct run *run, struct desk *desk, size_t t)
{
    const size_t left = run->n - t;
    drive_prepare_cpu(&desk->block, run->frames + t * run->layer->config.P,
                      left < DRIVE_FRAMES ? left : DRIVE_FRAMES);
}

static void finish_block(const struct run *run, struct desk *desk, size_t t, bool learn)
{
    const size_t k = run->layer->config.k;
    for (size_t f = 0; f < desk->block.n; f++) {
        finish_frame(run->layer, desk, run->index + (t + f) * k, run->value + (t + f) * k,
                     run->residual + 2 * (t + f), f, learn);
    }
}

/* Part of learning: one tile. */
static void train_tile(void *context, size_t part, size_t thread)
{
    const struct run *run = context;
    (void)thread;
    refresh_tile(run->layer, part);
    sweep_tile(run->layer, &run->layer->desks[0], part);
}

/* Part of encoding: one block. */
static void encode_block(void *context, size_t part, size_t thread)
{
    const struct run *run = context;
    struct desk *desk = &run->layer->desks[thread];
    take_block(run, desk, part * DRIVE_FRAMES);
    for (size_t tile = 0; tile < tiles(run->layer); tile++) {
        sweep_tile(run->layer, desk, tile);
    }
    finish_block(run, desk, part * DRIVE_FRAMES, false);
}

/* Learn from, or encode, all frames. */
__attribute__((noinline)) static void run_blocks(struct run *run, bool learn)
{
    struct layer *self = run->layer;
    for (size_t t = 0; learn && t < run->n; t += DRIVE_FRAMES) {
        take_block(run, &self->desks[0], t);
        self->changed.count = 0;
        team_run(self->team, train_tile, run, tiles(self));
        finish_block(run, &self->desks[0], t, true);
    }
    if (!learn) {
        for (size_t tile = 0; tile < tiles(self); tile++) {
            refresh_tile(self, tile);
        }
        team_run(self->team, encode_block, run, (run->n + DRIVE_FRAMES - 1) / DRIVE_FRAMES);
    }
}

static int cpu_run(void *layer, uint32_t *index, float *value, float *residual, const float *frames, size_t n,
                   bool learn)
{
    struct run run = {layer, index, value, residual, frames, n};
    const uint64_t mode = subnormal_flush();
    run_blocks(&run, learn);
    subnormal_restore(mode);
    return KERNEL_OK;
}

const struct sparse_body sparse_body_cpu = {
    .name = SET_BODY,
    .new = cpu_new,
    .destroy = cpu_destroy,
    .set_weights = cpu_set_weights,
    .get_weights = cpu_get_weights,
    .lend_weights = cpu_lend_weights,
    .state_bytes = cpu_state_bytes,
    .save_state = cpu_save_state,
    .load_state = cpu_load_state,
    .run = cpu_run,
};
