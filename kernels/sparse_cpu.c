/* The sparse layer in float on the CPU.
 *
 * Weights lie pixel-major, W' (P x stride): the drive of all units is then a sum of whole rows, one for each
 * pixel that is not 0 (four fifths of a digit are), with units side by side in the vector lanes and no
 * reduction. The k winners' columns are gathered into k short rows, learn there, and go back.
 *
 * No result depends on what else is in the call: a frame's drive is computed from that frame and the weights
 * alone. That is also the place for look-ahead: the drives of a block of frames can be had at once with the
 * weights of the block's start, if afterwards `finish_frame` first computes again the drives of the units
 * that have learned since. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lanes.h"
#include "lateral.h"
#include "memory.h"
#include "sparse_body.h"
#include "winners.h"

#define PRECISION 1e-10F

struct layer {
    struct sparse_config config;
    size_t N;
    size_t stride;   /* N padded; padding stays 0 */
    size_t padded;   /* P padded; padding stays 0 */
    float *W;        /* P x stride: W[q * stride + i] is unit i's weight of pixel q */
    float *p;        /* stride: drive */
    float *c;        /* N: drive after lateral excitation */
    float *box;      /* working memory of lateral_cpu */
    uint32_t *pixel; /* P: the pixels of the frame that are not 0 ... */
    float *level;    /* P: ... and their values */
    float *rows;     /* k x padded: the winners' weights */
    float *r;        /* padded: reconstruction */
    float *step;     /* padded: rate * (v - r) / max(r, PRECISION) */
};

static void cpu_destroy(void *layer)
{
    struct layer *self = layer;
    if (!self)
        return;
    free(self->W);
    free(self->p);
    free(self->c);
    free(self->box);
    free(self->pixel);
    free(self->level);
    free(self->rows);
    free(self->r);
    free(self->step);
    free(self);
}

static int cpu_new(void **layer_p, const struct sparse_config *config)
{
    *layer_p = NULL;
    struct layer *self = memory_new(1, sizeof *self);
    if (!self)
        return KERNEL_ENOMEM;
    self->config = *config;
    self->N = config->Kx * config->Ky;
    self->stride = memory_padded(self->N);
    self->padded = memory_padded(config->P);
    if (!(self->W = memory_new(config->P, self->stride * sizeof *self->W)) ||
        !(self->p = memory_new(self->stride, sizeof *self->p)) ||
        !(self->c = memory_new(self->N, sizeof *self->c)) ||
        !(self->box = memory_new(lateral_work(config->Kx, config->Ky), sizeof *self->box)) ||
        !(self->pixel = memory_new(config->P, sizeof *self->pixel)) ||
        !(self->level = memory_new(config->P, sizeof *self->level)) ||
        !(self->rows = memory_new(config->k, self->padded * sizeof *self->rows)) ||
        !(self->r = memory_new(self->padded, sizeof *self->r)) ||
        !(self->step = memory_new(self->padded, sizeof *self->step))) {
        cpu_destroy(self);
        return KERNEL_ENOMEM;
    }
    for (size_t q = 0; q < config->P; q++)
        for (size_t i = 0; i < self->N; i++)
            self->W[q * self->stride + i] = SPARSE_FLOOR;
    *layer_p = self;
    return KERNEL_OK;
}

static void cpu_set_weights(void *layer, const float *W)
{
    struct layer *self = layer;
    const size_t P = self->config.P;
    for (size_t q = 0; q < P; q++)
        for (size_t i = 0; i < self->N; i++)
            self->W[q * self->stride + i] = fmaxf(W[i * P + q], SPARSE_FLOOR);
}

static void cpu_get_weights(const void *layer, float *W)
{
    const struct layer *self = layer;
    const size_t P = self->config.P;
    for (size_t i = 0; i < self->N; i++)
        for (size_t q = 0; q < P; q++)
            W[i * P + q] = self->W[q * self->stride + i];
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

/* pixel, level: the entries of v (P) that are not 0; returns how many. */
static size_t list_pixels(uint32_t *pixel, float *level, const float *v, size_t P)
{
    size_t count = 0;
    for (size_t q = 0; q < P; q++) {
        pixel[count] = (uint32_t)q;
        level[count] = v[q];
        count += v[q] > 0;
    }
    return count;
}

/* p (stride) = W v, from the `count` listed pixels, four at a time. */
static void drive(float *restrict p, const float *restrict W, const uint32_t *pixel, const float *level,
                  size_t count, size_t stride)
{
    memset(p, 0, stride * sizeof *p);
    size_t a = 0;
    for (; a + 4 <= count; a += 4) {
        const float *w0 = W + pixel[a] * stride, *w1 = W + pixel[a + 1] * stride;
        const float *w2 = W + pixel[a + 2] * stride, *w3 = W + pixel[a + 3] * stride;
        float v0 = level[a], v1 = level[a + 1], v2 = level[a + 2], v3 = level[a + 3];
        for (size_t i = 0; i < stride; i++)
            p[i] += (v0 * w0[i] + v1 * w1[i]) + (v2 * w2[i] + v3 * w3[i]);
    }
    for (; a < count; a++)
        for (size_t i = 0; i < stride; i++)
            p[i] += level[a] * W[pixel[a] * stride + i];
}

/* rows (k x padded) = the weights of the k units in index. */
static void gather(float *restrict rows, const float *restrict W, const uint32_t *index,
                   const struct layer *self)
{
    for (size_t q = 0; q < self->config.P; q++)
        for (size_t a = 0; a < self->config.k; a++)
            rows[a * self->padded + q] = W[q * self->stride + index[a]];
}

static void scatter(float *restrict W, const float *restrict rows, const uint32_t *index,
                    const struct layer *self)
{
    for (size_t q = 0; q < self->config.P; q++)
        for (size_t a = 0; a < self->config.k; a++)
            W[q * self->stride + index[a]] = rows[a * self->padded + q];
}

/* row (P) *= 1 + p * step, element by element, not below the floor. */
static void learn_row(float *restrict row, const float *restrict step, float p, size_t P)
{
    for (size_t q = 0; q < P; q++) {
        float w = row[q] * (1 + p * step[q]);
        row[q] = w > SPARSE_FLOOR ? w : SPARSE_FLOOR;
    }
}

/* residual (2) = |v - r|^2, |v|^2; r (padded) is overwritten. */
static void measure(float *residual, float *restrict r, float *restrict scratch, const float *restrict v,
                    size_t P, size_t padded)
{
    for (size_t q = 0; q < P; q++) {
        r[q] = v[q] - r[q];
        scratch[q] = v[q];
    }
    residual[0] = lanes_dot(r, r, padded);
    residual[1] = lanes_dot(scratch, scratch, padded);
}

/* All that follows the drive self->p of frame v. */
static void finish_frame(struct layer *self, uint32_t *index, float *value, float *residual, const float *v,
                         bool learn)
{
    const size_t P = self->config.P, k = self->config.k, padded = self->padded;
    const float rate = (float)self->config.rate;
    float *r = self->r, *step = self->step;

    lateral_cpu(self->c, self->p, self->box, (float)self->config.strength, self->config.radius,
                self->config.Kx, self->config.Ky);
    winners_cpu(index, self->c, self->N, k);
    gather(self->rows, self->W, index, self);

    memset(r, 0, padded * sizeof *r);
    for (size_t a = 0; a < k; a++) {
        const float *row = self->rows + a * padded, p = self->p[index[a]];
        for (size_t q = 0; q < P; q++)
            r[q] += p * row[q];
    }
    if (learn) {
        for (size_t q = 0; q < P; q++)
            step[q] = rate * (v[q] - r[q]) / (r[q] > PRECISION ? r[q] : PRECISION);
        for (size_t a = 0; a < k; a++)
            learn_row(self->rows + a * padded, step, self->p[index[a]], P);
        scatter(self->W, self->rows, index, self);
    }
    for (size_t a = 0; a < k; a++)
        value[a] =
            self->p[index[a]] / lanes_sum(self->rows + a * padded, padded); /* > 0, thanks to the floor */
    measure(residual, r, step, v, P, padded);
}

static int cpu_run(void *layer, uint32_t *index, float *value, float *residual, const float *frames, size_t n,
                   bool learn)
{
    struct layer *self = layer;
    const size_t P = self->config.P, k = self->config.k;
    for (size_t t = 0; t < n; t++) {
        const float *v = frames + t * P;
        size_t count = list_pixels(self->pixel, self->level, v, P);
        drive(self->p, self->W, self->pixel, self->level, count, self->stride);
        finish_frame(self, index + t * k, value + t * k, residual + 2 * t, v, learn);
    }
    return KERNEL_OK;
}

const struct sparse_body sparse_body_cpu = {
    .name = "cpu",
    .new = cpu_new,
    .destroy = cpu_destroy,
    .set_weights = cpu_set_weights,
    .get_weights = cpu_get_weights,
    .state_bytes = cpu_state_bytes,
    .save_state = cpu_save_state,
    .load_state = cpu_load_state,
    .run = cpu_run,
};
