/* The invariant layer's rule SMOOTH in float on the CPU: only the columns that are active now or were one
 * frame ago change, so a frame costs O(M k). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "invariant_body.h"
#include "invariant_cpu.h"
#include "lanes.h"
#include "memory.h"
#include "subnormal.h"

#define PRECISION 1e-10F

struct layer {
    struct invariant_config config;
    size_t M, stride;
    float *U;   /* N x stride, see invariant_cpu.h */
    float *all; /* 3 stride: io, io_1, io_2, in a row for save_state */
    float *io, *io_1, *io_2;
    uint64_t count_1;  /* active columns one frame ago, ... */
    uint32_t *index_1; /* N: ... which, ... */
    float *value_1;    /* N: ... and their values */
    uint32_t *index;   /* N: the active columns */
    float *value;      /* N: their values */
    float *change;     /* M: smooth_rate * (q - io_1) */
    uint32_t *chosen;  /* M: winners */
};

static void smooth_destroy(void *layer)
{
    struct layer *self = layer;
    if (!self) {
        return;
    }
    free(self->U);
    free(self->all);
    free(self->index_1);
    free(self->value_1);
    free(self->index);
    free(self->value);
    free(self->change);
    free(self->chosen);
    free(self);
}

static int smooth_new(void **layer_p, const struct invariant_config *config)
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
    if (!(self->U = memory_new(N, stride * sizeof *self->U)) ||
        !(self->all = memory_new(3 * stride, sizeof *self->all)) ||
        !(self->index_1 = memory_new(N, sizeof *self->index_1)) ||
        !(self->value_1 = memory_new(N, sizeof *self->value_1)) ||
        !(self->index = memory_new(N, sizeof *self->index)) ||
        !(self->value = memory_new(N, sizeof *self->value)) ||
        !(self->change = memory_new(M, sizeof *self->change)) ||
        !(self->chosen = memory_new(M, sizeof *self->chosen))) {
        smooth_destroy(self);
        return KERNEL_ENOMEM;
    }
    for (size_t j = 0; j < N; j++) {
        for (size_t i = 0; i < M; i++) {
            self->U[j * stride + i] = INVARIANT_FLOOR;
        }
    }
    self->io = self->all;
    self->io_1 = self->all + stride;
    self->io_2 = self->all + 2 * stride;
    *layer_p = self;
    return KERNEL_OK;
}

static int smooth_set_weights(void *layer, const float *U)
{
    struct layer *self = layer;
    columns_set_cpu(self->U, U, self->M, self->config.N, self->stride);
    return KERNEL_OK;
}

static int smooth_get_weights(const void *layer, float *U)
{
    const struct layer *self = layer;
    for (size_t i = 0; i < self->M; i++) {
        for (size_t j = 0; j < self->config.N; j++) {
            U[i * self->config.N + j] = self->U[j * self->stride + i];
        }
    }
    return KERNEL_OK;
}

/* The state: count_1, the outputs, index_1, value_1. */
static size_t smooth_state_bytes(const void *layer)
{
    const struct layer *self = layer;
    return sizeof self->count_1 + 3 * self->stride * sizeof *self->all +
           self->config.N * (sizeof *self->index_1 + sizeof *self->value_1);
}

static void smooth_save_state(const void *layer, void *state)
{
    const struct layer *self = layer;
    const size_t N = self->config.N;
    unsigned char *to = state;
    memcpy(to, &self->count_1, sizeof self->count_1);
    to += sizeof self->count_1;
    memcpy(to, self->all, 3 * self->stride * sizeof *self->all);
    to += 3 * self->stride * sizeof *self->all;
    memcpy(to, self->index_1, N * sizeof *self->index_1);
    to += N * sizeof *self->index_1;
    memcpy(to, self->value_1, N * sizeof *self->value_1);
}

static void smooth_load_state(void *layer, const void *state)
{
    struct layer *self = layer;
    const size_t N = self->config.N;
    const unsigned char *from = state;
    memcpy(&self->count_1, from, sizeof self->count_1);
    from += sizeof self->count_1;
    memcpy(self->all, from, 3 * self->stride * sizeof *self->all);
    from += 3 * self->stride * sizeof *self->all;
    memcpy(self->index_1, from, N * sizeof *self->index_1);
    from += N * sizeof *self->index_1;
    memcpy(self->value_1, from, N * sizeof *self->value_1);
    if (self->count_1 > N) {
        self->count_1 = 0; /* not a state of ours: stay within memory */
    }
    for (size_t a = 0; a < self->count_1; a++) {
        if (self->index_1[a] >= N) {
            self->count_1 = 0;
        }
    }
}

static void smooth_begin_pass(void *layer)
{
    struct layer *self = layer;
    memset(self->all, 0, 3 * self->stride * sizeof *self->all);
    memset(self->index_1, 0, self->config.N * sizeof *self->index_1);
    memset(self->value_1, 0, self->config.N * sizeof *self->value_1);
    self->count_1 = 0;
}

/* column (M) *= 1 + step * direction, not below the floor. */
static void learn_column(float *restrict column, const float *restrict direction, float step, size_t M)
{
    for (size_t i = 0; i < M; i++) {
        float u = column[i] * (1 + step * direction[i]);
        column[i] = u > INVARIANT_FLOOR ? u : INVARIANT_FLOOR;
    }
}

/* U_ij *= 1 + smooth_rate * (q_i - io_1,i) * s_1,j */
static void smooth(struct layer *self)
{
    const float rate = (float)self->config.smooth_rate;
    for (size_t i = 0; i < self->M; i++) {
        self->change[i] = rate * ((self->io[i] + self->io_2[i]) / 2 - self->io_1[i]);
    }
    for (size_t a = 0; a < self->count_1; a++) {
        learn_column(self->U + self->index_1[a] * self->stride, self->change, self->value_1[a], self->M);
    }
}

/* residual (2), and U_ij *= 1 + reconstruction_rate * io_i * e_j / max(r_j, PRECISION) for active j */
static void reconstruct(struct layer *self, float *residual, size_t count, float rate)
{
    residual[0] = residual[1] = 0;
    for (size_t a = 0; a < count; a++) {
        float *column = self->U + self->index[a] * self->stride, s = self->value[a];
        float r = lanes_dot(self->io, column, self->stride);
        residual[0] += (s - r) * (s - r);
        residual[1] += s * s;
        if (rate > 0) {
            learn_column(column, self->io, rate * (s - r) / (r > PRECISION ? r : PRECISION), self->M);
        }
    }
}

static void remember(struct layer *self, size_t count)
{
    memcpy(self->io_2, self->io_1, self->stride * sizeof *self->io);
    memcpy(self->io_1, self->io, self->stride * sizeof *self->io);
    memcpy(self->index_1, self->index, count * sizeof *self->index);
    memcpy(self->value_1, self->value, count * sizeof *self->value);
    self->count_1 = count;
}

__attribute__((noinline)) static void run_steps(struct layer *self, float *activations, float *residual,
                                                const uint32_t *index, const float *value, size_t k, size_t n,
                                                bool learn)
{
    const float rate = learn ? (float)self->config.reconstruction_rate : 0;
    for (size_t t = 0; t < n; t++) {
        size_t count = columns_active_cpu(self->index, self->value, index + t * k, value + t * k, k);
        columns_drive_cpu(self->io, self->U, self->index, self->value, count, self->stride);
        columns_keep_winners_cpu(self->io, self->chosen, self->M, self->config.winners);
        if (learn) {
            smooth(self);
        }
        reconstruct(self, residual + 2 * t, count, rate);
        memcpy(activations + t * self->M, self->io, self->M * sizeof *activations);
        remember(self, count);
    }
}

static int smooth_run(void *layer, float *activations, float *residual, const uint32_t *index,
                      const float *value, size_t k, size_t n, bool learn)
{
    const uint64_t mode = subnormal_flush();
    run_steps(layer, activations, residual, index, value, k, n, learn);
    subnormal_restore(mode);
    return KERNEL_OK;
}

const struct invariant_body smooth_body_cpu = {
    .name = SET_BODY,
    .new = smooth_new,
    .destroy = smooth_destroy,
    .set_weights = smooth_set_weights,
    .get_weights = smooth_get_weights,
    .state_bytes = smooth_state_bytes,
    .save_state = smooth_save_state,
    .load_state = smooth_load_state,
    .begin_pass = smooth_begin_pass,
    .run = smooth_run,
};
