/* The sparse layer in double: the specification that every other body is checked against.
 *
 * Plain on purpose: no lazy work, no layout tricks, no floor under weights (double precision reaches 1e-308,
 * far below where the rule still revives a weight). Source: the notebooks of January 2021 on smooth sparse
 * invariance. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lateral.h"
#include "memory.h"
#include "sparse_body.h"
#include "winners.h"

#define PRECISION 1e-10

void sparse_ref(uint32_t *index, double *value, double *residual, double *W, double *work, const float *v,
                const struct sparse_config *config, bool learn)
{
    const size_t P = config->P, N = config->Kx * config->Ky, k = config->k;
    double *p = work, *c = work + N, *r = work + 2 * N;

    /* p = W v */
    for (size_t i = 0; i < N; i++) {
        p[i] = 0;
        for (size_t q = 0; q < P; q++) {
            p[i] += W[i * P + q] * (double)v[q];
        }
    }

    /* c = L p; S = the k units with the largest c */
    lateral_ref(c, p, config->strength, config->radius, config->Kx, config->Ky);
    winners_ref(index, c, N, k);

    /* r = sum over S of p_i W_i */
    residual[0] = residual[1] = 0;
    for (size_t q = 0; q < P; q++) {
        r[q] = 0;
        for (size_t a = 0; a < k; a++) {
            r[q] += p[index[a]] * W[index[a] * P + q];
        }
        residual[0] += ((double)v[q] - r[q]) * ((double)v[q] - r[q]);
        residual[1] += (double)v[q] * (double)v[q];
    }

    /* W_i *= 1 + rate p_i (v - r) / max(r, precision), i in S */
    for (size_t a = 0; learn && a < k; a++) {
        for (size_t q = 0; q < P; q++) {
            W[index[a] * P + q] *=
                1 + config->rate * p[index[a]] * ((double)v[q] - r[q]) / fmax(r[q], PRECISION);
        }
    }

    /* s_i = p_i / sum of W_i, i in S; a unit whose weights are all 0 has no drive and says 0 */
    for (size_t a = 0; a < k; a++) {
        double sum = 0;
        for (size_t q = 0; q < P; q++) {
            sum += W[index[a] * P + q];
        }
        value[a] = sum > 0 ? p[index[a]] / sum : 0;
    }
}

/* What follows puts the step behind sparse.h. */

struct layer {
    struct sparse_config config;
    size_t N;
    double *W;    /* N x P */
    double *work; /* 2 N + P */
};

static void ref_destroy(void *layer)
{
    struct layer *self = layer;
    if (!self) {
        return;
    }
    free(self->W);
    free(self->work);
    free(self);
}

static int ref_new(void **layer_p, const struct sparse_config *config)
{
    *layer_p = NULL;
    struct layer *self = memory_new(1, sizeof *self);
    if (!self) {
        return KERNEL_ENOMEM;
    }
    self->config = *config;
    self->N = config->Kx * config->Ky;
    if (!(self->W = memory_new(self->N * config->P, sizeof *self->W)) ||
        !(self->work = memory_new(2 * self->N + config->P, sizeof *self->work))) {
        ref_destroy(self);
        return KERNEL_ENOMEM;
    }
    *layer_p = self;
    return KERNEL_OK;
}

static int ref_set_weights(void *layer, const float *W)
{
    struct layer *self = layer;
    for (size_t w = 0; w < self->N * self->config.P; w++) {
        self->W[w] = (double)W[w];
    }
    return KERNEL_OK;
}

static int ref_get_weights(const void *layer, float *W)
{
    const struct layer *self = layer;
    for (size_t w = 0; w < self->N * self->config.P; w++) {
        W[w] = (float)self->W[w];
    }
    return KERNEL_OK;
}

static size_t ref_state_bytes(const void *layer)
{
    const struct layer *self = layer;
    return self->N * self->config.P * sizeof *self->W;
}

static void ref_save_state(const void *layer, void *state)
{
    const struct layer *self = layer;
    memcpy(state, self->W, ref_state_bytes(self));
}

static void ref_load_state(void *layer, const void *state)
{
    struct layer *self = layer;
    memcpy(self->W, state, ref_state_bytes(self));
}

static int ref_run(void *layer, uint32_t *index, float *value, float *residual, const float *frames, size_t n,
                   bool learn)
{
    struct layer *self = layer;
    const size_t P = self->config.P, k = self->config.k;
    double code[SPARSE_WINNERS_MAX], error[2];
    for (size_t t = 0; t < n; t++) {
        sparse_ref(index + t * k, code, error, self->W, self->work, frames + t * P, &self->config, learn);
        for (size_t a = 0; a < k; a++) {
            value[t * k + a] = (float)code[a];
        }
        residual[2 * t] = (float)error[0];
        residual[2 * t + 1] = (float)error[1];
    }
    return KERNEL_OK;
}

const struct sparse_body sparse_body_ref = {
    .name = "reference",
    .new = ref_new,
    .destroy = ref_destroy,
    .set_weights = ref_set_weights,
    .get_weights = ref_get_weights,
    .state_bytes = ref_state_bytes,
    .save_state = ref_save_state,
    .load_state = ref_load_state,
    .run = ref_run,
};
