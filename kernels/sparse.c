/* The sparse layer: checks every argument and hands over to a body; see sparse.h. */
#include "sparse.h"

#include <math.h>
#include <stdlib.h>

#include "cpu.h"
#include "memory.h"
#include "sparse_body.h"

struct sparse {
    struct sparse_config config;
    const struct sparse_body *body;
    void *layer;   /* the body's own */
    float *floats; /* SLICE P for each thread: frames of bytes as floats; NULL until there are any */
};

/* Frames of bytes that are converted at a time, for a thread: few enough to stay in the cache as floats, some of the CPU
 * bodies' blocks of 48. */
#define SLICE 240

static int check_config(const struct sparse_config *config)
{
    size_t N, weights, bytes;
    if (config->P == 0 || config->P > UINT32_MAX || config->Kx == 0 || config->Ky == 0 || config->k == 0) {
        return KERNEL_EINVAL;
    }
    if (__builtin_mul_overflow(config->Kx, config->Ky, &N) || N > UINT32_MAX ||
        __builtin_mul_overflow(N, config->P, &weights) ||
        __builtin_mul_overflow(weights, sizeof(double), &bytes)) {
        return KERNEL_EINVAL;
    }
    if (config->k > N || config->k > SPARSE_WINNERS_MAX || config->threads > SPARSE_THREADS_MAX) {
        return KERNEL_EINVAL;
    }
    if (!isfinite(config->rate) || config->rate < 0 || !isfinite(config->strength) || config->strength < 0) {
        return KERNEL_EINVAL;
    }
    return KERNEL_OK;
}

/* By instruction set. */
static const struct sparse_body *const cpu_bodies[CPU_SETS] = {
    &sparse_body_cpu,
#ifdef LOOM_X86_SETS
    &sparse_body_avx2,
    &sparse_body_avx512,
#endif
};

static int choose_body(const struct sparse_body **body, enum kernel_backend backend)
{
    const int set = cpu_set();
    switch (backend) {
    case KERNEL_AUTO:
    case KERNEL_CPU:
        if (set < 0) {
            return set;
        }
        *body = cpu_bodies[set];
        return KERNEL_OK;
    case KERNEL_REFERENCE:
        *body = &sparse_body_ref;
        return KERNEL_OK;
    case KERNEL_CUDA:
#ifdef LOOM_CUDA
        *body = &sparse_body_cuda;
        return KERNEL_OK;
#else
        return kernel_fail(KERNEL_EUNSUPPORTED, "this program was built without CUDA");
#endif
    }
    return KERNEL_EINVAL;
}

static int open_body(struct sparse *self, enum kernel_backend backend)
{
    int rc = choose_body(&self->body, backend);
    return rc ? rc : self->body->new (&self->layer, &self->config);
}

/* The fastest body that can be had here. */
static int open_fastest(struct sparse *self)
{
#ifdef LOOM_CUDA
    if (!open_body(self, KERNEL_CUDA)) {
        return KERNEL_OK;
    }
    (void)kernel_fail(KERNEL_OK, "%s", ""); /* nobody asked for a GPU */
#endif
    return open_body(self, KERNEL_CPU);
}

int sparse_new(struct sparse **self_p, const struct sparse_config *config, enum kernel_backend backend)
{
    *self_p = NULL;
    int rc = check_config(config);
    if (rc) {
        return rc;
    }
    struct sparse *self = memory_new(1, sizeof *self);
    if (!self) {
        return KERNEL_ENOMEM;
    }
    self->config = *config;
    rc = backend == KERNEL_AUTO ? open_fastest(self) : open_body(self, backend);
    if (rc) {
        free(self);
        return rc;
    }
    *self_p = self;
    return KERNEL_OK;
}

void sparse_destroy(struct sparse **self_p)
{
    if (!self_p || !*self_p) {
        return;
    }
    (*self_p)->body->destroy((*self_p)->layer);
    free((*self_p)->floats);
    free(*self_p);
    *self_p = NULL;
}

const char *sparse_body(const struct sparse *self)
{
    return self->body->name;
}

int sparse_set_weights(struct sparse *self, const float *W)
{
    return self->body->set_weights(self->layer, W);
}

int sparse_get_weights(const struct sparse *self, float *W)
{
    return self->body->get_weights(self->layer, W);
}

const float *sparse_lend_weights(const struct sparse *self)
{
    return self->body->lend_weights ? self->body->lend_weights(self->layer) : NULL;
}

size_t sparse_state_bytes(const struct sparse *self)
{
    return self->body->state_bytes(self->layer);
}

void sparse_save_state(const struct sparse *self, void *state)
{
    self->body->save_state(self->layer, state);
}

void sparse_load_state(struct sparse *self, const void *state)
{
    self->body->load_state(self->layer, state);
}

static bool valid_frames(const float *frames, size_t count)
{
    int valid = 1; /* as wide as a float, so that the loop vectorises */
    for (size_t q = 0; q < count; q++) {
        valid &= (frames[q] >= 0) & (frames[q] <= 1); /* false for NaN */
    }
    return valid;
}

static int run(struct sparse *self, uint32_t *index, float *value, float *residual, const float *frames,
               size_t n, bool learn)
{
    if (n == 0) {
        return KERNEL_OK;
    }
    if (!valid_frames(frames, n * self->config.P)) {
        return KERNEL_EINVAL;
    }
    return self->body->run(self->layer, index, value, residual, frames, n, learn);
}

int sparse_train(struct sparse *self, uint32_t *index, float *value, float *residual, const float *frames,
                 size_t n)
{
    return run(self, index, value, residual, frames, n, true);
}

int sparse_encode(struct sparse *self, uint32_t *index, float *value, float *residual, const float *frames,
                  size_t n)
{
    return run(self, index, value, residual, frames, n, false);
}

/* Frames of bytes by a body that takes floats. */
static int run_converted(struct sparse *self, uint32_t *index, float *value, float *residual,
                         const uint8_t *frames, size_t n, bool learn)
{
    const size_t P = self->config.P, k = self->config.k,
                 slice = SLICE * (self->config.threads > 1 ? self->config.threads : 1);
    if (!self->floats && !(self->floats = memory_new(slice, P * sizeof *self->floats))) {
        return KERNEL_ENOMEM;
    }
    int rc = KERNEL_OK;
    for (size_t t = 0; !rc && t < n; t += slice) {
        const size_t some = n - t < slice ? n - t : slice;
        const uint8_t *bytes = frames + t * P;
        for (size_t q = 0; q < some * P; q++) {
            self->floats[q] = (float)bytes[q] / 255.0F;
        }
        rc = self->body->run(self->layer, index + t * k, value + t * k, residual + 2 * t, self->floats, some,
                             learn);
    }
    return rc;
}

static int run_bytes(struct sparse *self, uint32_t *index, float *value, float *residual,
                     const uint8_t *frames, size_t n, bool learn)
{
    if (n == 0) {
        return KERNEL_OK;
    }
    return self->body->run_bytes
               ? self->body->run_bytes(self->layer, index, value, residual, frames, n, learn)
               : run_converted(self, index, value, residual, frames, n, learn);
}

int sparse_train_bytes(struct sparse *self, uint32_t *index, float *value, float *residual,
                       const uint8_t *frames, size_t n)
{
    return run_bytes(self, index, value, residual, frames, n, true);
}

int sparse_encode_bytes(struct sparse *self, uint32_t *index, float *value, float *residual,
                        const uint8_t *frames, size_t n)
{
    return run_bytes(self, index, value, residual, frames, n, false);
}
