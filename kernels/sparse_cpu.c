/* The sparse layer in float on the CPU: exact look-ahead.
 *
 * Only the k winners' weights change in a frame. So the drives of a block of coming frames are computed at once,
 * with the weights of the block's start; then the frames are gone through in order, and whenever units have
 * learned, their drives in the rest of the block are computed again. drive.h sees to it that a drive has the
 * same bits either way, so that no result depends on where a block begins or how frames come in calls.
 *
 * Most of those drives serve only to find out who wins. So, where frames are 255ths as pictures are, they are computed
 * in 16-bit integers, to within a bound, and exactly where that leaves a doubt, and for the winners (screen.h). This changes
 * no bit of any result either.
 *
 * Threads share out the tiles of a block while the layer learns, and whole blocks when it does not. */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "cpu.h"
#include "drive.h"
#include "lanes.h"
#include "lateral.h"
#include "lateral_box.h"
#include "memory.h"
#include "screen.h"
#include "sparse_body.h"
#include "subnormal.h"
#include "team.h"
#include "weights.h"
#include "winners.h"

#define PRECISION 1e-10F
#define LARGE (1 << 20) /* bytes of weights, beyond which they do not stay in the cache of a core */
#define SETTLED 16      /* exact drives of single units at a time */
#define REST 64         /* blocks without screening, where it does not pay, at first ... */
#define REST_MAX 65536  /* ... and in the end */
#define RENEW 1024      /* blocks after which the scale of rounded weights is looked at again */

/* What a thread needs to go through a block. */
struct desk {
    const float *frames; /* of the block, n x P, borrowed */
    size_t n;
    bool screened;               /* which of the next two holds the block */
    struct screen_frames screen; /* drives to within a bound */
    struct drive_frames block;   /* exact drives */
    float *p;                    /* DRIVE_FRAMES x stride: drives of the block */
    float *c;                    /* N: drive after lateral excitation */
    float *box;                  /* working memory of lateral_cpu */
    float *v;                    /* padded: the frame; padding stays 0 */
    int32_t *packed;             /* WEIGHTS_ROUNDED or k rows of padded / 2: rounded weights */
    bool *marked;                /* N: the unit's drive is needed exactly */
    size_t settled;              /* such drives, since the block or call began */
};

struct layer {
    struct sparse_config config;
    size_t N;
    size_t stride; /* N padded, and so that drives of neighbouring frames do not compete for a cache line */
    struct weights weights;
    int screening;              /* enum cpu_screening */
    size_t rest;                /* blocks from now on that are not screened */
    size_t pause;               /* such blocks the next time that it does not pay */
    size_t screened;            /* blocks that were, since the scale was looked at */
    struct lateral_box lateral; /* for bounds: the gain may differ from lateral_cpu's by a rounding */
    bool large;                 /* the tiles of floats come from beyond the cache of a core */
    float *sum;                 /* N: sum of the unit's weights */
    struct team *team;
    size_t threads;
    struct desk *desks;           /* threads; when the layer learns, only the first is used */
    struct drive_changed changed; /* units that have learned, whose drives far ahead in the block are old */
};

static int desk_init(struct desk *desk, const struct layer *self)
{
    const struct sparse_config *config = &self->config;
    const size_t padded = self->weights.padded,
                 rows = config->k > WEIGHTS_ROUNDED ? config->k : WEIGHTS_ROUNDED;
    if (!(desk->p = memory_new(self->stride, DRIVE_FRAMES * sizeof *desk->p)) ||
        !(desk->c = memory_new(self->N, sizeof *desk->c)) ||
        !(desk->box = memory_new(lateral_work(config->Kx, config->Ky), sizeof *desk->box)) ||
        !(desk->v = memory_new(padded, sizeof *desk->v)) ||
        !(desk->packed = memory_new(rows, padded / 2 * sizeof *desk->packed)) ||
        !(desk->marked = memory_new(self->N, sizeof *desk->marked)) ||
        screen_init_cpu(&desk->screen, config->P)) {
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
    free(desk->packed);
    free(desk->marked);
    screen_fini_cpu(&desk->screen);
    drive_fini_cpu(&desk->block);
}

static void cpu_destroy(void *layer)
{
    struct layer *self = layer;
    if (!self) {
        return;
    }
    team_destroy(&self->team);
    weights_fini_cpu(&self->weights);
    free(self->sum);
    for (size_t d = 0; self->desks && d < self->threads; d++) {
        desk_fini(&self->desks[d]);
    }
    free(self->desks);
    drive_changed_fini_cpu(&self->changed);
    free(self);
}

/* All units' weights have been written. */
static void renew(struct layer *self)
{
    const size_t padded = self->weights.padded;
    for (size_t i = 0; i < self->N; i++) {
        self->sum[i] = lanes_sum(self->weights.rows + i * padded, padded);
    }
    weights_renew_cpu(&self->weights);
    self->rest = 0;
    self->pause = REST;
}

static int cpu_new(void **layer_p, const struct sparse_config *config)
{
    *layer_p = NULL;
    const int screening = cpu_screening();
    if (screening < 0) {
        return screening;
    }
    struct layer *self = memory_new(1, sizeof *self);
    if (!self) {
        return KERNEL_ENOMEM;
    }
    self->config = *config;
    self->screening = screening;
    self->N = config->Kx * config->Ky;
    self->stride = memory_padded(self->N) + MEMORY_LANES;
    self->lateral =
        lateral_box_of(config->Kx, config->Ky, config->strength > 0 ? config->radius : 0, config->strength);
    self->large = self->N * config->P > LARGE / sizeof(float);
    self->threads = config->threads > 1 ? config->threads : 1;
    if (weights_init_cpu(&self->weights, self->N, config->P) ||
        !(self->sum = memory_new(self->N, sizeof *self->sum)) ||
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
    renew(self);
    *layer_p = self;
    return KERNEL_OK;
}

static float *row_of(const struct layer *self, uint32_t unit)
{
    return self->weights.rows + unit * self->weights.padded;
}

static int cpu_set_weights(void *layer, const float *W)
{
    struct layer *self = layer;
    const size_t P = self->config.P;
    for (size_t i = 0; i < self->N; i++) {
        for (size_t q = 0; q < P; q++) {
            self->weights.rows[i * self->weights.padded + q] = fmaxf(W[i * P + q], SPARSE_FLOOR);
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
        memcpy(W + i * P, row_of(self, (uint32_t)i), P * sizeof *W);
    }
    return KERNEL_OK;
}

static const float *cpu_lend_weights(const void *layer)
{
    const struct layer *self = layer;
    return self->weights.padded == self->config.P ? self->weights.rows : NULL;
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

/* The drives of one tile for the block at a desk. */
static void sweep_tile(const struct layer *self, struct desk *desk, size_t tile)
{
    const struct weights *weights = &self->weights;
    const size_t width = weights_width_cpu(weights, tile), next = (tile + 1) % weights_tiles_cpu(weights);
    float *p = desk->p + tile * DRIVE_TILE;
    if (desk->screened) {
        screen_tile_cpu(p, weights_pairs_cpu(weights, tile), &desk->screen, &weights->scale, width,
                        self->stride);
    } else {
        drive_tile_cpu(p, weights_floats_cpu(weights, tile), &desk->block, width, self->stride,
                       self->large ? weights_floats_cpu(weights, next) : NULL);
    }
}

static bool may_screen(const struct layer *self)
{
    return self->screening != CPU_SCREEN_NEVER && self->rest == 0;
}

/* Whether the weights are ready for it. */
static bool can_screen(struct layer *self)
{
    const bool can = weights_rescale_cpu(&self->weights);
    if (!can) {
        self->rest = REST;
    }
    return can;
}

/* Whether so many exact drives of single units, each of which takes ten times as long as in a tile, are too many for n
 * frames. */
static bool is_dear(const struct layer *self, size_t settled, size_t n)
{
    return self->screening != CPU_SCREEN_ALWAYS && settled / n > self->N / 32;
}

/* Learn from `blocks` blocks what is to be done with the next ones. Where screening did not pay, it is tried again later, and
 * later every time. */
static void judge_screening(struct layer *self, bool dear, bool screened, size_t blocks)
{
    self->rest -= self->rest < blocks ? self->rest : blocks;
    self->screened += screened ? blocks : 0;
    if (dear) {
        self->screened = 0;
        self->rest = self->pause;
        self->pause *= self->pause < REST_MAX ? 2 : 1;
    } else if (self->screened >= RENEW) {
        self->screened = 0;
        self->pause = REST;
        self->weights.unscaled = true;
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

/* Compute the drives of the block at a desk in floats after all, from frame f on. */
static void stop_screening(struct layer *self, struct desk *desk, size_t f)
{
    desk->screened = false;
    self->changed.count = 0;
    if (f == desk->n) {
        return;
    }
    drive_prepare_cpu(&desk->block, desk->frames, desk->n);
    for (size_t tile = 0; tile < weights_tiles_cpu(&self->weights); tile++) {
        weights_refresh_cpu(&self->weights, desk->packed, tile, WEIGHTS_FLOATS);
        sweep_tile(self, desk, tile);
    }
}

/* The winners of frame f have learned: compute their drives again, for the next frame at once, for those after it
 * with the winners of some more frames. */
static void follow(struct layer *self, struct desk *desk, const float *const *row, const uint32_t *index,
                   size_t f)
{
    struct drive_changed *changed = &self->changed;
    const size_t k = self->config.k, n = desk->n;
    const float *packed[SPARSE_WINNERS_MAX];
    if (desk->screened && (!weights_round_cpu(&self->weights, desk->packed, packed, row, k) ||
                           is_dear(self, desk->settled, n))) {
        stop_screening(self, desk, f + 1);
        return;
    }
    if (f + 1 == n) {
        return;
    }
    drive_change_cpu(changed, desk->screened ? packed : row, index, k,
                     desk->screened ? self->weights.pairs : self->config.P);
    const bool full = changed->count + k > changed->room;
    const size_t last = full ? n : f + 2;
    if (desk->screened) {
        screen_again_cpu(desk->p, changed, &desk->screen, &self->weights.scale, f + 1, last, self->stride);
    } else {
        drive_again_cpu(desk->p, changed, &desk->block, f + 1, last, self->stride);
    }
    if (full) {
        changed->count = 0;
    }
}

static void excite(const struct layer *self, struct desk *desk, const float *p)
{
    lateral_cpu(desk->c, p, desk->box, (float)self->config.strength, self->config.radius, self->config.Kx,
                self->config.Ky);
}

/* Mark unit i and all whose drives go into what it is after excitation. */
static void mark_box(const struct layer *self, struct desk *desk, size_t i)
{
    const size_t Kx = self->config.Kx, Ky = self->config.Ky, width = self->lateral.width,
                 height = self->lateral.height;
    const size_t left = i % Kx + Kx - width / 2, top = i / Kx + Ky - height / 2;
    for (size_t y = top; y < top + height; y++) {
        for (size_t x = left; x < left + width; x++) {
            desk->marked[y % Ky * Kx + x % Kx] = true;
        }
    }
}

/* Mark all that must be exact for the `near` units of which c is not less than `bound`: every unit, where their boxes together
 * hold as many. */
static void mark_near(const struct layer *self, struct desk *desk, size_t near, float bound)
{
    if (near >= self->N / (self->lateral.width * self->lateral.height)) {
        memset(desk->marked, true, self->N * sizeof *desk->marked);
        return;
    }
    for (size_t i = 0; i < self->N; i++) {
        if (!(desk->c[i] < bound)) {
            mark_box(self, desk, i);
        }
    }
}

/* Compute exactly the drives p of frame f of those marked, and take the marks away. */
static void settle_marked(const struct layer *self, struct desk *desk, float *p, size_t f)
{
    const float *row[SETTLED];
    uint32_t unit[SETTLED];
    float exact[SETTLED];
    size_t count = 0;
    for (size_t i = 0; i < self->N; i++) {
        if (desk->marked[i]) {
            desk->marked[i] = false;
            unit[count] = (uint32_t)i;
            row[count++] = row_of(self, (uint32_t)i);
        }
        if (count == SETTLED || (count > 0 && i + 1 == self->N)) {
            screen_exact_cpu(exact, row, count, &desk->screen, f, desk->v);
            for (size_t a = 0; a < count; a++) {
                p[unit[a]] = exact[a];
            }
            desk->settled += count;
            count = 0;
        }
    }
}

/* The winners that exact drives would have in frame f, whose screened ones p are excited in desk->c, if those found are in
 * doubt. With e the error and l the weakest of the winners found, exact drives leave these at l - e or above, so nobody
 * below l - 2 e is a true winner. And nobody of those gets above l - e by becoming exact in part, as drives in the boxes of
 * others do: so it is enough to make exact what the others depend on. Comparisons are the way round that an infinite error
 * leaves all in doubt. */
static void settle(const struct layer *self, struct desk *desk, uint32_t *index, float *p, size_t f)
{
    const struct lateral_box *box = &self->lateral;
    float least = desk->c[index[0]];
    size_t near = 0;
    for (size_t a = 1; a < self->config.k; a++) {
        least = fminf(least, desk->c[index[a]]);
    }
    const float error = screen_error_cpu(&desk->screen, &self->weights.scale, f, least, box->gain,
                                         box->width * box->height - 1, box->width + box->height);
    const float bound = least - 2 * error;
    for (size_t i = 0; i < self->N; i++) {
        near += desk->c[i] < bound ? 0 : 1;
    }
    if (near == self->config.k || error <= 0) {
        return;
    }
    mark_near(self, desk, near, bound);
    settle_marked(self, desk, p, f);
    excite(self, desk, p);
    winners_cpu(index, desk->c, self->N, self->config.k);
}

/* All that follows the drives p (N) of frame f of the block. */
static void finish_frame(struct layer *self, struct desk *desk, uint32_t *index, float *value,
                         float *residual, size_t f, bool learn)
{
    const size_t P = self->config.P, k = self->config.k;
    float *drives = desk->p + f * self->stride;
    const float rate = (float)self->config.rate;
    float p[SPARSE_WINNERS_MAX], sum[SPARSE_WINNERS_MAX], *row[SPARSE_WINNERS_MAX];

    memcpy(desk->v, desk->frames + f * P, P * sizeof *desk->v);
    excite(self, desk, drives);
    winners_cpu(index, desk->c, self->N, k);
    if (desk->screened) {
        settle(self, desk, index, drives, f);
    }
    for (size_t a = 0; a < k; a++) {
        p[a] = drives[index[a]];
        row[a] = row_of(self, index[a]);
    }
    if (desk->screened) {
        screen_exact_cpu(p, (const float *const *)row, k, &desk->screen, f, desk->v);
    }
    residual[0] =
        k == 4 ? learn_rows(sum, row, p, desk->v, self->weights.lowest, rate, self->weights.padded, 4, learn)
               : learn_rows(sum, row, p, desk->v, self->weights.lowest, rate, self->weights.padded, k, learn);
    residual[1] = lanes_dot(desk->v, desk->v, self->weights.padded);
    for (size_t a = 0; learn && a < k; a++) {
        self->sum[index[a]] = sum[a];
        self->weights.stale[index[a]] = WEIGHTS_FLOATS | WEIGHTS_PAIRS;
    }
    for (size_t a = 0; a < k; a++) {
        value[a] = p[a] / self->sum[index[a]]; /* > 0, thanks to the floor */
    }
    if (learn) {
        follow(self, desk, (const float *const *)row, index, f);
    }
}

/* Frames that are gone through, and where their results go. */
struct run {
    struct layer *layer;
    uint32_t *index;
    float *value, *residual;
    const float *frames;
    size_t n;
    bool learn;
    bool screened; /* all that are encoded */
};

/* Take the block of frames from t on to a desk. */
static void take_block(const struct run *run, struct desk *desk, size_t t)
{
    const size_t left = run->n - t;
    desk->frames = run->frames + t * run->layer->config.P;
    desk->n = left < DRIVE_FRAMES ? left : DRIVE_FRAMES;
    desk->screened = (run->learn ? may_screen(run->layer) : run->screened) &&
                     screen_prepare_cpu(&desk->screen, desk->frames, desk->n) &&
                     (!run->learn || can_screen(run->layer));
    if (!desk->screened) {
        drive_prepare_cpu(&desk->block, desk->frames, desk->n);
    }
}

static void finish_block(const struct run *run, struct desk *desk, size_t t)
{
    const size_t k = run->layer->config.k;
    for (size_t f = 0; f < desk->n; f++) {
        finish_frame(run->layer, desk, run->index + (t + f) * k, run->value + (t + f) * k,
                     run->residual + 2 * (t + f), f, run->learn);
    }
}

/* Part of learning: one tile. */
static void train_tile(void *context, size_t part, size_t thread)
{
    const struct run *run = context;
    struct desk *desk = &run->layer->desks[0];
    weights_refresh_cpu(&run->layer->weights, run->layer->desks[thread].packed, part,
                        desk->screened ? WEIGHTS_PAIRS : WEIGHTS_FLOATS);
    sweep_tile(run->layer, desk, part);
}

static void train_blocks(struct run *run)
{
    struct layer *self = run->layer;
    struct desk *desk = &self->desks[0];
    for (size_t t = 0; t < run->n; t += DRIVE_FRAMES) {
        take_block(run, desk, t);
        desk->settled = 0;
        self->changed.count = 0;
        team_run(self->team, train_tile, run, weights_tiles_cpu(&self->weights));
        finish_block(run, desk, t);
        self->weights.unscaled |= !desk->screened;
        judge_screening(self, is_dear(self, desk->settled, desk->n), desk->screened, 1);
    }
}

/* Part of encoding: one block. */
static void encode_block(void *context, size_t part, size_t thread)
{
    const struct run *run = context;
    struct desk *desk = &run->layer->desks[thread];
    take_block(run, desk, part * DRIVE_FRAMES);
    for (size_t tile = 0; tile < weights_tiles_cpu(&run->layer->weights); tile++) {
        sweep_tile(run->layer, desk, tile);
    }
    finish_block(run, desk, part * DRIVE_FRAMES);
}

/* Encode all frames of a run, with the same kind of drives. */
static void encode_some(struct run *run)
{
    struct layer *self = run->layer;
    const size_t blocks = (run->n + DRIVE_FRAMES - 1) / DRIVE_FRAMES;
    size_t settled = 0;
    run->screened =
        may_screen(self) && screen_fits_cpu(&self->desks[0].screen, run->frames, run->n) && can_screen(self);
    for (size_t tile = 0; tile < weights_tiles_cpu(&self->weights); tile++) {
        weights_refresh_cpu(&self->weights, self->desks[0].packed, tile,
                            run->screened ? WEIGHTS_PAIRS : WEIGHTS_FLOATS);
    }
    for (size_t d = 0; d < self->threads; d++) {
        self->desks[d].settled = 0;
    }
    team_run(self->team, encode_block, run, blocks);
    for (size_t d = 0; d < self->threads; d++) {
        settled += self->desks[d].settled;
    }
    judge_screening(self, is_dear(self, settled, run->n), run->screened, blocks);
}

/* Unless screening has paid until now, a few frames first, then more as long as it pays: that it does not is seen before much
 * has been spent on it. */
static void encode_blocks(const struct run *run)
{
    const size_t P = run->layer->config.P, k = run->layer->config.k, few = DRIVE_FRAMES * run->layer->threads;
    for (size_t t = 0, some = run->layer->screened > 0 ? run->n : few; t < run->n;) {
        struct run slice = *run;
        slice.index += t * k;
        slice.value += t * k;
        slice.residual += 2 * t;
        slice.frames += t * P;
        slice.n = run->n - t < some ? run->n - t : some;
        encode_some(&slice);
        t += slice.n;
        some = run->layer->rest > 0 ? few : 2 * some;
    }
}

/* Learn from, or encode, all frames. */
__attribute__((noinline)) static void run_blocks(struct run *run)
{
    if (run->learn) {
        train_blocks(run);
    } else {
        encode_blocks(run);
    }
}

static int cpu_run(void *layer, uint32_t *index, float *value, float *residual, const float *frames, size_t n,
                   bool learn)
{
    struct run run = {layer, index, value, residual, frames, n, learn, false};
    const uint64_t mode = subnormal_flush();
    run_blocks(&run);
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
