/* The invariant layer in double, rules TOPO and SMOOTH: the specification that every other body is checked
 * against.
 *
 * Plain on purpose: every column is touched in every frame, and there is no floor under weights. Source: the
 * notebooks of January 2021 on smooth sparse invariance (SMOOTH) and topology everywhere (TOPO). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "invariant_body.h"
#include "lateral.h"
#include "memory.h"
#include "winners.h"

#define PRECISION 1e-10

/* y (rows) = A x, A (rows x cols) */
static void multiply(double *y, const double *A, const double *x, size_t rows, size_t cols)
{
    for (size_t i = 0; i < rows; i++) {
        y[i] = 0;
        for (size_t j = 0; j < cols; j++) {
            y[i] += A[i * cols + j] * x[j];
        }
    }
}

/* y (cols) = A' x, A (rows x cols) */
static void multiply_transposed(double *y, const double *A, const double *x, size_t rows, size_t cols)
{
    for (size_t j = 0; j < cols; j++) {
        y[j] = 0;
    }
    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j < cols; j++) {
            y[j] += A[i * cols + j] * x[i];
        }
    }
}

/* Keep the m largest of d (M), 0 for the rest; m = 0: keep all. chosen: M. */
static void keep_winners(double *d, uint32_t *chosen, size_t M, size_t m)
{
    if (m == 0) {
        return;
    }
    winners_ref(chosen, d, M, m);
    for (size_t i = 0, a = 0; i < M; i++) {
        if (a < m && chosen[a] == i) {
            a++;
        } else {
            d[i] = 0;
        }
    }
}

/* residual (2) = |s - r|^2, |s|^2 over the active units. */
static void measure(double *residual, const double *s, const double *r, size_t N)
{
    residual[0] = residual[1] = 0;
    for (size_t j = 0; j < N; j++) {
        if (s[j] > 0) {
            residual[0] += (s[j] - r[j]) * (s[j] - r[j]);
            residual[1] += s[j] * s[j];
        }
    }
}

/* U_i. *= (N / M) / sum_j U_ij; a row that is all 0 stays so. */
static void normalize(double *U, size_t M, size_t N)
{
    for (size_t i = 0; i < M; i++) {
        double sum = 0;
        for (size_t j = 0; j < N; j++) {
            sum += U[i * N + j];
        }
        for (size_t j = 0; sum > 0 && j < N; j++) {
            U[i * N + j] *= (double)N / (double)M / sum;
        }
    }
}

void topo_ref(struct invariant_memory *memory, double *residual, double *U, double *work, uint32_t *chosen,
              const double *s, const struct invariant_config *config, bool learn)
{
    const size_t N = config->N, M = config->Ix * config->Iy;
    double *drive = work, *d = work + M, *r = work + 2 * M, *io = memory->io;

    /* d = L_I (U s), its winners */
    multiply(drive, U, s, M, N);
    lateral_ref(d, drive, config->strength, config->radius, config->Ix, config->Iy);
    keep_winners(d, chosen, M, config->winners);

    /* io += leak (d - io);  r = U' io */
    for (size_t i = 0; i < M; i++) {
        io[i] += config->leak * (d[i] - io[i]);
    }
    multiply_transposed(r, U, io, M, N);
    measure(residual, s, r, N);

    /* U_ij *= 1 + io_i (s_j - r_j) z_j / max(r_j, precision) */
    for (size_t i = 0; learn && i < M; i++) {
        for (size_t j = 0; j < N; j++) {
            double rate = s[j] > 0 ? config->active_rate : config->inactive_rate;
            U[i * N + j] *= 1 + io[i] * (s[j] - r[j]) * rate / fmax(r[j], PRECISION);
        }
    }
    if (learn && config->normalize_every > 0 && memory->t % config->normalize_every == 0) {
        normalize(U, M, N);
    }
    memory->t++;
}

void smooth_ref(struct invariant_memory *memory, double *residual, double *U, double *work, uint32_t *chosen,
                const double *s, const struct invariant_config *config, bool learn)
{
    const size_t N = config->N, M = config->Ix * config->Iy;
    double *r = work + 2 * M;
    double *io = memory->io, *io_1 = memory->io_1, *io_2 = memory->io_2, *s_1 = memory->s_1;

    /* io = the winners of U s */
    multiply(io, U, s, M, N);
    keep_winners(io, chosen, M, config->winners);

    /* q = (io + io_2) / 2;  U_ij *= 1 + smooth_rate (q_i - io_1,i) s_1,j */
    for (size_t i = 0; learn && i < M; i++) {
        for (size_t j = 0; j < N; j++) {
            U[i * N + j] *= 1 + config->smooth_rate * ((io[i] + io_2[i]) / 2 - io_1[i]) * s_1[j];
        }
    }

    /* r = U' io, with the updated U */
    multiply_transposed(r, U, io, M, N);
    measure(residual, s, r, N);

    /* U_ij *= 1 + reconstruction_rate io_i (s_j - r_j) / max(r_j, precision) where s_j > 0 */
    for (size_t i = 0; learn && i < M; i++) {
        for (size_t j = 0; j < N; j++) {
            if (s[j] > 0) {
                U[i * N + j] *=
                    1 + config->reconstruction_rate * io[i] * (s[j] - r[j]) / fmax(r[j], PRECISION);
            }
        }
    }

    memcpy(io_2, io_1, M * sizeof *io);
    memcpy(io_1, io, M * sizeof *io);
    memcpy(s_1, s, N * sizeof *s);
    memory->t++;
}

/* What follows puts the steps behind invariant.h. */

struct layer {
    struct invariant_config config;
    size_t M;
    double *U;   /* M x N */
    double *all; /* 3 M + N: io, io_1, io_2, s_1, in a row for save_state */
    struct invariant_memory memory;
    double *s;        /* N */
    double *work;     /* 2 M + N */
    uint32_t *chosen; /* M */
};

static void ref_destroy(void *layer)
{
    struct layer *self = layer;
    if (!self) {
        return;
    }
    free(self->U);
    free(self->all);
    free(self->s);
    free(self->work);
    free(self->chosen);
    free(self);
}

static int ref_new(void **layer_p, const struct invariant_config *config)
{
    const size_t N = config->N, M = config->Ix * config->Iy;
    *layer_p = NULL;
    struct layer *self = memory_new(1, sizeof *self);
    if (!self) {
        return KERNEL_ENOMEM;
    }
    self->config = *config;
    self->M = M;
    if (!(self->U = memory_new(M * N, sizeof *self->U)) ||
        !(self->all = memory_new(3 * M + N, sizeof *self->all)) ||
        !(self->s = memory_new(N, sizeof *self->s)) ||
        !(self->work = memory_new(2 * M + N, sizeof *self->work)) ||
        !(self->chosen = memory_new(M, sizeof *self->chosen))) {
        ref_destroy(self);
        return KERNEL_ENOMEM;
    }
    self->memory = (struct invariant_memory){
        .io = self->all, .io_1 = self->all + M, .io_2 = self->all + 2 * M, .s_1 = self->all + 3 * M};
    *layer_p = self;
    return KERNEL_OK;
}

static int ref_set_weights(void *layer, const float *U)
{
    struct layer *self = layer;
    for (size_t w = 0; w < self->M * self->config.N; w++) {
        self->U[w] = (double)U[w];
    }
    return KERNEL_OK;
}

static int ref_get_weights(const void *layer, float *U)
{
    const struct layer *self = layer;
    for (size_t w = 0; w < self->M * self->config.N; w++) {
        U[w] = (float)self->U[w];
    }
    return KERNEL_OK;
}

static size_t weights_bytes(const struct layer *self)
{
    return self->M * self->config.N * sizeof *self->U;
}

static size_t memory_bytes(const struct layer *self)
{
    return (3 * self->M + self->config.N) * sizeof *self->all;
}

static size_t ref_state_bytes(const void *layer)
{
    const struct layer *self = layer;
    return weights_bytes(self) + memory_bytes(self) + sizeof self->memory.t;
}

static void ref_save_state(const void *layer, void *state)
{
    const struct layer *self = layer;
    unsigned char *to = state;
    memcpy(to, self->U, weights_bytes(self));
    memcpy(to + weights_bytes(self), self->all, memory_bytes(self));
    memcpy(to + weights_bytes(self) + memory_bytes(self), &self->memory.t, sizeof self->memory.t);
}

static void ref_load_state(void *layer, const void *state)
{
    struct layer *self = layer;
    const unsigned char *from = state;
    memcpy(self->U, from, weights_bytes(self));
    memcpy(self->all, from + weights_bytes(self), memory_bytes(self));
    memcpy(&self->memory.t, from + weights_bytes(self) + memory_bytes(self), sizeof self->memory.t);
}

static void ref_begin_pass(void *layer)
{
    struct layer *self = layer;
    memset(self->all, 0, memory_bytes(self));
    self->memory.t = 0;
}

static int ref_run(void *layer, float *activations, float *residual, const uint32_t *index,
                   const float *value, size_t k, size_t n, bool learn)
{
    struct layer *self = layer;
    double error[2];
    for (size_t t = 0; t < n; t++) {
        memset(self->s, 0, self->config.N * sizeof *self->s);
        for (size_t a = 0; a < k; a++) {
            self->s[index[t * k + a]] = (double)value[t * k + a];
        }
        if (self->config.rule == INVARIANT_TOPO) {
            topo_ref(&self->memory, error, self->U, self->work, self->chosen, self->s, &self->config, learn);
        } else {
            smooth_ref(&self->memory, error, self->U, self->work, self->chosen, self->s, &self->config,
                       learn);
        }
        for (size_t i = 0; i < self->M; i++) {
            activations[t * self->M + i] = (float)self->memory.io[i];
        }
        residual[2 * t] = (float)error[0];
        residual[2 * t + 1] = (float)error[1];
    }
    return KERNEL_OK;
}

const struct invariant_body invariant_body_ref = {
    .name = "reference",
    .new = ref_new,
    .destroy = ref_destroy,
    .set_weights = ref_set_weights,
    .get_weights = ref_get_weights,
    .state_bytes = ref_state_bytes,
    .save_state = ref_save_state,
    .load_state = ref_load_state,
    .begin_pass = ref_begin_pass,
    .run = ref_run,
};
