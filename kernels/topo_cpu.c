/* The invariant layer's rule TOPO in float on the CPU: O(M k) a frame instead of O(M N).
 *
 * Lazy decay. For a column j that is not active (s_j = 0) the rule's factor is
 *     1 - inactive_rate * io_i * min(1, r_j / 1e-10),
 * which where r_j >= 1e-10 does not depend on j. So each row has a scale, the true weight is
 *     max(scale_i * U_ij, INVARIANT_FLOOR),
 * and a frame multiplies the M scales instead of the M N weights. Active columns get the inverse of
 * that multiplied into their own factor. The scales are folded into the weights when rows are
 * normalised, or when one of them has become SCALE_MIN: both depend on the data alone, never on how
 * frames were split into calls or on a state saved.
 *
 * Low columns, r_j < 1e-10, decay more slowly than their scale says and must be corrected. They are
 * no rarity: the rule presses every column that is hardly ever active down to r_j = 1e-10 and holds
 * it there. To find them without computing all N of r, each column has two bounds.
 *   - From one frame to the next, r_j of a column that is not active can fall at most by the factor
 *         min_i io_i(t+1) / io_i(t)  *  (1 - inactive_rate * max_i io_i(t)).
 *     `depth` adds up -log2 of that, and due.depth is the depth at which r_j, once computed, could at the
 *     earliest have come down to 1e-10 (with a margin for rounding).
 *   - r_j >= min_i io_i * sum_i U_ij, and the sum falls at most by the second of these factors. due.sum is
 *     where the sum's decay and the smallest io together, in powers of two, could at the earliest have taken
 *     r_j to 1e-10. Where all units are driven it holds for thousands of frames; where few win it says nothing.
 * A column is due if neither bound speaks for it. It is computed again: either it gets new bounds, or it is low,
 * is corrected by
 *     (1 - inactive_rate * io_i * r_j / 1e-10) / (1 - inactive_rate * io_i),
 * and stays due. A column that was active is due in the next frame, all are after a normalisation.
 * The factor is continuous at r_j = 1e-10, so rounding of r_j there does no harm; a bound that is
 * too careful costs time but changes nothing.
 *
 * Decay that is not small (inactive_rate * io_i > 1/2) is left to a plain sweep over all columns. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "invariant_body.h"
#include "invariant_cpu.h"
#include "lanes.h"
#include "lateral.h"
#include "memory.h"
#include "subnormal.h"
#include "vector.h"

#define PRECISION 1e-10F
#define SCALE_MIN 1e-6
#define LAZY_MAX 0.5F      /* inactive_rate * io_i up to which decay is lazy */
#define UNFELT 0x1p-26F    /* inactive_rate * io_i below which 1 + it is 1 in float */
#define OUTPUT_MIN 1e-30F  /* a smaller output counts as 0: a leak never gets there by itself */
#define COUNTED_MIN 1e-28F /* a smaller one does not matter to a bound: r_j is compared with 1e-10 */
#define MARGIN 0.01        /* of a bound, in powers of two: rounding of one r_j ... */
#define MARGIN_STEP 1e-6   /* ... and of every step since */

typedef int64_t wide_mask __attribute__((vector_size(8 * WIDE_DOUBLES)));

struct head {
    uint64_t t;   /* frames of the pass so far */
    double depth; /* how far every r_j may have fallen by now, in powers of two */
    double decay; /* the same of every column's sum */
};

/* The bounds of MEMORY_LANES columns, each at which r_j must be computed again; -INFINITY: now. */
struct due {
    double depth[MEMORY_LANES], sum[MEMORY_LANES];
};

struct layer {
    struct invariant_config config;
    size_t M, stride;
    float active_rate, inactive_rate;

    /* What outlasts a frame lies in one block, so that saving it is one copy. */
    void *block;
    size_t block_bytes;
    struct head *head;
    double *scale;   /* M */
    struct due *due; /* for N columns */
    float *io;       /* stride: the output */
    float *U;        /* N x stride, see invariant_cpu.h; the true weights are in the comment above */

    uint32_t *index;  /* N: the active columns of the code */
    float *value;     /* N: their values */
    float *r;         /* N: their reconstruction */
    float *drive, *d; /* stride: before and after lateral excitation */
    float *box;       /* working memory of lateral_cpu */
    uint32_t *chosen; /* M: winners */
    float *gain;      /* stride: scale * io */
    float *regain;    /* stride: 1 / this frame's decay */
    float *weight;    /* stride: scale as a float, after this frame\'s decay; padding 0 */
    float *lowest;    /* stride: the floor under U_ij, INVARIANT_FLOOR / scale */
    double *sum;      /* M: of rows */
};

static inline void set_due(struct layer *self, size_t j, double depth, double sum)
{
    struct due *due = self->due + j / MEMORY_LANES;
    due->depth[j % MEMORY_LANES] = depth;
    due->sum[j % MEMORY_LANES] = sum;
}

static void expire_all(struct layer *self)
{
    self->head->depth = self->head->decay = 0;
    for (size_t j = 0; j < self->config.N; j++) {
        set_due(self, j, -INFINITY, -INFINITY);
    }
}

static void topo_destroy(void *layer)
{
    struct layer *self = layer;
    if (!self) {
        return;
    }
    free(self->block);
    free(self->index);
    free(self->value);
    free(self->r);
    free(self->drive);
    free(self->d);
    free(self->box);
    free(self->chosen);
    free(self->gain);
    free(self->regain);
    free(self->weight);
    free(self->lowest);
    free(self->sum);
    free(self);
}

/* Lay out the block: head, scale, due, io, U; each begins on a cache line. */
static int new_block(struct layer *self)
{
    const size_t N = self->config.N, scales = memory_padded(self->M), dues = memory_padded(N) / MEMORY_LANES;
    const size_t head_bytes = memory_padded(sizeof(struct head)) * sizeof(float);
    size_t floats;
    if (__builtin_mul_overflow(N, self->stride, &floats) || floats > SIZE_MAX / 2 / sizeof(float)) {
        return KERNEL_ENOMEM;
    }
    self->block_bytes = head_bytes + scales * sizeof(double) + dues * sizeof(struct due) +
                        (self->stride + floats) * sizeof(float);
    self->block = memory_new(self->block_bytes, 1);
    if (!self->block) {
        return KERNEL_ENOMEM;
    }
    unsigned char *at = self->block;
    self->head = (struct head *)(void *)at;
    self->scale = (double *)(void *)(at + head_bytes);
    self->due = (struct due *)(void *)(self->scale + scales);
    self->io = (float *)(self->due + dues);
    self->U = self->io + self->stride;
    return KERNEL_OK;
}

static int topo_new(void **layer_p, const struct invariant_config *config)
{
    const size_t N = config->N, M = config->Ix * config->Iy, stride = memory_padded(M);
    *layer_p = NULL;
    struct layer *self = memory_new(1, sizeof *self);
    if (!self) {
        return KERNEL_ENOMEM;
    }
    self->config = *config;
    self->M = M;
    self->stride = stride;
    self->active_rate = (float)config->active_rate;
    self->inactive_rate = (float)config->inactive_rate;
    if (new_block(self) || !(self->index = memory_new(N, sizeof *self->index)) ||
        !(self->value = memory_new(N, sizeof *self->value)) || !(self->r = memory_new(N, sizeof *self->r)) ||
        !(self->drive = memory_new(stride, sizeof *self->drive)) ||
        !(self->d = memory_new(stride, sizeof *self->d)) ||
        !(self->box = memory_new(lateral_work(config->Ix, config->Iy), sizeof *self->box)) ||
        !(self->chosen = memory_new(M, sizeof *self->chosen)) ||
        !(self->gain = memory_new(stride, sizeof *self->gain)) ||
        !(self->regain = memory_new(stride, sizeof *self->regain)) ||
        !(self->weight = memory_new(stride, sizeof *self->weight)) ||
        !(self->lowest = memory_new(stride, sizeof *self->lowest)) ||
        !(self->sum = memory_new(M, sizeof *self->sum))) {
        topo_destroy(self);
        return KERNEL_ENOMEM;
    }
    for (size_t i = 0; i < M; i++) {
        self->scale[i] = 1;
    }
    expire_all(self);
    *layer_p = self;
    return KERNEL_OK;
}

static int topo_set_weights(void *layer, const float *U)
{
    struct layer *self = layer;
    columns_set_cpu(self->U, U, self->M, self->config.N, self->stride);
    for (size_t i = 0; i < self->M; i++) {
        self->scale[i] = 1;
    }
    expire_all(self);
    return KERNEL_OK;
}

static int topo_get_weights(const void *layer, float *U)
{
    const struct layer *self = layer;
    for (size_t i = 0; i < self->M; i++) {
        const float scale = (float)self->scale[i];
        for (size_t j = 0; j < self->config.N; j++) {
            U[i * self->config.N + j] = fmaxf(self->U[j * self->stride + i] * scale, INVARIANT_FLOOR);
        }
    }
    return KERNEL_OK;
}

static size_t topo_state_bytes(const void *layer)
{
    const struct layer *self = layer;
    return self->block_bytes;
}

static void topo_save_state(const void *layer, void *state)
{
    const struct layer *self = layer;
    memcpy(state, self->block, self->block_bytes);
}

static void topo_load_state(void *layer, const void *state)
{
    struct layer *self = layer;
    memcpy(self->block, state, self->block_bytes);
}

static void *topo_lend_state(void *layer)
{
    struct layer *self = layer;
    return self->block;
}

static void topo_begin_pass(void *layer)
{
    struct layer *self = layer;
    memset(self->io, 0, self->stride * sizeof *self->io);
    self->head->t = 0;
    expire_all(self);
}

/* d = the winners of L_I (U s) */
static void excite(struct layer *self, size_t count)
{
    columns_drive_cpu(self->drive, self->U, self->index, self->value, count, self->stride);
    for (size_t i = 0; i < self->M; i++) {
        self->drive[i] *= (float)self->scale[i];
    }
    lateral_cpu(self->d, self->drive, self->box, (float)self->config.strength, self->config.radius,
                self->config.Ix, self->config.Iy);
    columns_keep_winners_cpu(self->d, self->chosen, self->M, self->config.winners);
}

/* The smallest and the largest io of a frame. */
struct range {
    float smallest, largest;
};

static float smallest_of(const float *a, size_t n)
{
    float lanes[VECTOR_FLOATS], smallest = INFINITY;
    vector least = (vector){0} + INFINITY;
    size_t i = 0;
    for (; i + VECTOR_FLOATS <= n; i += VECTOR_FLOATS) {
        const vector next = vector_load(a + i);
        least = vector_choose(next < least, next, least);
    }
    vector_store(lanes, least);
    for (size_t l = 0; l < VECTOR_FLOATS; l++) {
        smallest = lanes[l] < smallest ? lanes[l] : smallest;
    }
    for (; i < n; i++) {
        smallest = a[i] < smallest ? a[i] : smallest;
    }
    return smallest;
}

/* io += leak (d - io), written without a difference that could cancel, and what that does to the bounds.
 * Padding of io and d is 0. */
static struct range integrate(struct layer *self)
{
    const float leak = (float)self->config.leak, keep = (float)(1 - self->config.leak);
    const vector infinity = (vector){0} + INFINITY;
    vector largest_of = {0}, least_of = infinity; /* lane by lane: output; growth of an output */
    float lanes[VECTOR_FLOATS], largest = 0, least = INFINITY;
    for (size_t i = 0; i < self->stride; i += VECTOR_FLOATS) {
        vector before = vector_load(self->io + i), now = keep * before + leak * vector_load(self->d + i);
        now = vector_choose(now >= OUTPUT_MIN, now, (vector){0});
        vector growth = vector_choose(before > COUNTED_MIN, now / before, infinity);
        least_of = vector_choose(growth < least_of, growth, least_of);
        largest_of = vector_max(now, largest_of);
        vector_store(self->io + i, now);
    }
    vector_store(lanes, largest_of);
    for (size_t l = 0; l < VECTOR_FLOATS; l++) {
        largest = lanes[l] > largest ? lanes[l] : largest;
    }
    vector_store(lanes, least_of);
    for (size_t l = 0; l < VECTOR_FLOATS; l++) {
        least = lanes[l] < least ? lanes[l] : least;
    }
    for (size_t i = 0; i < self->M; i++) {
        self->gain[i] = self->io[i] * (float)self->scale[i];
    }
    if (!(least > OUTPUT_MIN)) {
        expire_all(self);
    } else if (least < INFINITY) {
        self->head->depth += MARGIN_STEP - log2((double)least);
    }
    return (struct range){smallest_of(self->io, self->M), largest};
}

/* r of the active columns; residual (2) = |s - r|^2, |s|^2 over them */
static void reconstruct(struct layer *self, float *residual, size_t count)
{
    residual[0] = residual[1] = 0;
    for (size_t a = 0; a < count; a++) {
        float s = self->value[a];
        float r = lanes_dot(self->gain, self->U + self->index[a] * self->stride, self->stride);
        self->r[a] = r;
        residual[0] += (s - r) * (s - r);
        residual[1] += s * s;
    }
}

/* Multiply the scales into the weights. */
static void fold(struct layer *self)
{
    float *scale = self->gain; /* not needed any more in this frame */
    for (size_t i = 0; i < self->M; i++) {
        scale[i] = (float)self->scale[i];
        self->scale[i] = 1;
    }
    for (size_t j = 0; j < self->config.N; j++) {
        float *restrict column = self->U + j * self->stride;
        for (size_t i = 0; i < self->M; i++) {
            float u = column[i] * scale[i];
            column[i] = u > INVARIANT_FLOOR ? u : INVARIANT_FLOOR;
        }
    }
}

/* column (M) *= regain * (1 + io * step), not below the floor before and after: a weight that lazy decay has let
 * fall under the floor begins from the floor. */
static void learn_column(float *restrict column, const float *restrict io, const float *restrict regain,
                         const float *restrict lowest, float step, size_t M)
{
    for (size_t i = 0; i < M; i++) {
        float u = column[i] * regain[i];
        u = u > lowest[i] ? u : lowest[i];
        u *= 1 + io[i] * step;
        column[i] = u > lowest[i] ? u : lowest[i];
    }
}

static float step_of(float rate, float s, float r)
{
    return rate * (s - r) / (r > PRECISION ? r : PRECISION);
}

/* What bounds are compared with in a frame. */
struct depths {
    double depth, sum;
};

/* Whether any of MEMORY_LANES columns is due. */
static inline bool any_due(const struct due *due, const struct depths *now)
{
    int64_t lanes[WIDE_DOUBLES], any = 0;
    wide_mask held = {0};
    for (size_t l = 0; l < MEMORY_LANES; l += WIDE_DOUBLES) {
        held |= (*(const wide *)(due->sum + l) <= now->sum) & (*(const wide *)(due->depth + l) <= now->depth);
    }
    memcpy(lanes, &held, sizeof lanes);
    for (size_t l = 0; l < WIDE_DOUBLES; l++) {
        any |= lanes[l];
    }
    return any;
}

/* Compute column j again: give it new bounds, or correct it if it is low. */
static void correct_column(struct layer *self, size_t j)
{
    float *restrict column = self->U + j * self->stride;
    const float r = lanes_dot(self->gain, column, self->stride);
    if (r >= PRECISION) {
        const float sum = lanes_dot(self->weight, column, self->stride);
        set_due(self, j, self->head->depth + log2((double)(r / PRECISION)) - MARGIN,
                self->head->decay + log2((double)(sum / PRECISION)) - MARGIN);
        return;
    }
    set_due(self, j, -INFINITY, -INFINITY);
    const float excess = self->inactive_rate * (1 - r / PRECISION);
    for (size_t i = 0; i < self->M; i++) {
        column[i] *= 1 + excess * self->io[i] * self->regain[i];
    }
}

/* Go through the columns that are due, none of them active. */
static void correct_low(struct layer *self, float smallest)
{
    const struct depths now = {self->head->depth, self->head->decay - log2((double)smallest)};
    for (size_t first = 0; first < self->config.N; first += MEMORY_LANES) {
        const struct due *due = self->due + first / MEMORY_LANES;
        if (!any_due(due, &now)) {
            continue;
        }
        for (size_t l = 0; l < MEMORY_LANES && first + l < self->config.N; l++) {
            if (due->sum[l] <= now.sum && due->depth[l] <= now.depth) {
                correct_column(self, first + l);
            }
        }
    }
}

static void learn_lazily(struct layer *self, size_t count, const struct range *range)
{
    float *restrict regain = self->regain, *restrict lowest = self->lowest, *restrict weight = self->weight;
    const float *restrict io = self->io;
    double *restrict scale = self->scale;
    int64_t small = 0; /* as wide as a scale, so that the loop vectorises */
    for (size_t i = 0; i < self->M; i++) {
        float decay = self->inactive_rate * io[i];
        regain[i] = 1 / (1 - decay);
        scale[i] *= 1 - (double)decay;
        weight[i] = (float)scale[i];
        lowest[i] = INVARIANT_FLOOR / weight[i];
    }
    for (size_t i = 0; i < self->M; i++) {
        small |= scale[i] < SCALE_MIN;
    }
    for (size_t a = 0; a < count; a++) {
        size_t j = self->index[a];
        learn_column(self->U + j * self->stride, self->io, self->regain, self->lowest,
                     step_of(self->active_rate, self->value[a], self->r[a]), self->M);
        set_due(self, j, INFINITY, INFINITY); /* not now ... */
    }
    if (self->inactive_rate * range->largest >= UNFELT) {
        correct_low(self, range->smallest);
    }
    for (size_t a = 0; a < count; a++) {
        set_due(self, self->index[a], -INFINITY, -INFINITY); /* ... but in the next frame */
    }
    const double decay = MARGIN_STEP - log2(1 - (double)(self->inactive_rate * range->largest));
    self->head->depth += decay;
    self->head->decay += decay;
    if (small) {
        fold(self);
    }
}

/* The rule as it stands, over all columns. */
static void learn_densely(struct layer *self, size_t count)
{
    fold(self);
    for (size_t i = 0; i < self->M; i++) {
        self->regain[i] = 1;
        self->lowest[i] = INVARIANT_FLOOR;
    }
    for (size_t j = 0, a = 0; j < self->config.N; j++) {
        float *column = self->U + j * self->stride;
        float r = lanes_dot(self->io, column, self->stride);
        float step = a < count && self->index[a] == j ? step_of(self->active_rate, self->value[a++], r)
                                                      : step_of(self->inactive_rate, 0, r);
        learn_column(column, self->io, self->regain, self->lowest, step, self->M);
    }
    expire_all(self);
}

/* U_i. *= (N / M) / sum_j U_ij */
static void normalize(struct layer *self)
{
    const size_t N = self->config.N, M = self->M;
    fold(self);
    memset(self->sum, 0, M * sizeof *self->sum);
    for (size_t j = 0; j < N; j++) {
        for (size_t i = 0; i < M; i++) {
            self->sum[i] += (double)self->U[j * self->stride + i];
        }
    }
    for (size_t i = 0; i < M; i++) {
        self->scale[i] = (double)N / (double)M / self->sum[i];
    }
    fold(self);
    expire_all(self);
}

static void step(struct layer *self, float *activation, float *residual, const uint32_t *index,
                 const float *value, size_t k, bool learn)
{
    size_t count = columns_active_cpu(self->index, self->value, index, value, k);
    excite(self, count);
    const struct range range = integrate(self);
    reconstruct(self, residual, count);
    if (learn) {
        if (self->inactive_rate * range.largest > LAZY_MAX) {
            learn_densely(self, count);
        } else {
            learn_lazily(self, count, &range);
        }
        if (self->config.normalize_every > 0 && self->head->t % self->config.normalize_every == 0) {
            normalize(self);
        }
    }
    self->head->t++;
    memcpy(activation, self->io, self->M * sizeof *activation);
}

__attribute__((noinline)) static void run_steps(struct layer *self, float *activations, float *residual,
                                                const uint32_t *index, const float *value, size_t k, size_t n,
                                                bool learn)
{
    for (size_t t = 0; t < n; t++) {
        step(self, activations + t * self->M, residual + 2 * t, index + t * k, value + t * k, k, learn);
    }
}

static int topo_run(void *layer, float *activations, float *residual, const uint32_t *index,
                    const float *value, size_t k, size_t n, bool learn)
{
    const uint64_t mode = subnormal_flush();
    run_steps(layer, activations, residual, index, value, k, n, learn);
    subnormal_restore(mode);
    return KERNEL_OK;
}

const struct invariant_body topo_body_cpu = {
    .name = SET_BODY,
    .new = topo_new,
    .destroy = topo_destroy,
    .set_weights = topo_set_weights,
    .get_weights = topo_get_weights,
    .state_bytes = topo_state_bytes,
    .save_state = topo_save_state,
    .load_state = topo_load_state,
    .lend_state = topo_lend_state,
    .begin_pass = topo_begin_pass,
    .run = topo_run,
};
