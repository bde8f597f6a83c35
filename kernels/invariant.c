/* The invariant layer: checks every argument and hands over to a body; see invariant.h. */
#include "invariant.h"

#include <math.h>
#include <stdlib.h>

#include "cpu.h"
#include "invariant_body.h"
#include "memory.h"

struct invariant {
    struct invariant_config config;
    const struct invariant_body *body;
    void *layer; /* the body's own */
};

static bool finite_from_0(double x)
{
    return isfinite(x) && x >= 0;
}

static int check_config(const struct invariant_config *config)
{
    size_t M, weights, bytes;
    if (config->N == 0 || config->N > UINT32_MAX || config->Ix == 0 || config->Iy == 0) {
        return KERNEL_EINVAL;
    }
    if (__builtin_mul_overflow(config->Ix, config->Iy, &M) || M > UINT32_MAX ||
        __builtin_mul_overflow(M, config->N, &weights) ||
        __builtin_mul_overflow(weights, 2 * sizeof(double), &bytes)) {
        return KERNEL_EINVAL;
    }
    if (config->winners > M) {
        return KERNEL_EINVAL;
    }
    switch (config->rule) {
    case INVARIANT_TOPO:
        if (!finite_from_0(config->strength) || !(config->leak > 0 && config->leak <= 1) ||
            !finite_from_0(config->active_rate) || !finite_from_0(config->inactive_rate)) {
            return KERNEL_EINVAL;
        }
        return KERNEL_OK;
    case INVARIANT_SMOOTH:
        if (!finite_from_0(config->smooth_rate) || !finite_from_0(config->reconstruction_rate)) {
            return KERNEL_EINVAL;
        }
        return KERNEL_OK;
    }
    return KERNEL_EINVAL;
}

/* By instruction set. */
static const struct invariant_body *const topo_bodies[CPU_SETS] = {
    &topo_body_cpu,
#ifdef LOOM_X86_SETS
    &topo_body_avx2,
    &topo_body_avx512,
#endif
};
static const struct invariant_body *const smooth_bodies[CPU_SETS] = {
    &smooth_body_cpu,
#ifdef LOOM_X86_SETS
    &smooth_body_avx2,
    &smooth_body_avx512,
#endif
};

static int choose_body(const struct invariant_body **body, enum invariant_rule rule,
                       enum kernel_backend backend)
{
    const int set = cpu_set();
    switch (backend) {
    case KERNEL_AUTO:
    case KERNEL_CPU:
        if (set < 0) {
            return set;
        }
        *body = rule == INVARIANT_TOPO ? topo_bodies[set] : smooth_bodies[set];
        return KERNEL_OK;
    case KERNEL_REFERENCE:
        *body = &invariant_body_ref;
        return KERNEL_OK;
    case KERNEL_CUDA:
#ifdef LOOM_CUDA
        *body = &invariant_body_cuda;
        return KERNEL_OK;
#else
        return kernel_fail(KERNEL_EUNSUPPORTED, "this program was built without CUDA");
#endif
    }
    return KERNEL_EINVAL;
}

static int open_body(struct invariant *self, enum kernel_backend backend)
{
    int rc = choose_body(&self->body, self->config.rule, backend);
    return rc ? rc : self->body->new (&self->layer, &self->config);
}

/* The fastest body that can be had here. */
static int open_fastest(struct invariant *self)
{
#ifdef LOOM_CUDA
    if (!open_body(self, KERNEL_CUDA)) {
        return KERNEL_OK;
    }
    (void)kernel_fail(KERNEL_OK, "%s", ""); /* nobody asked for a GPU */
#endif
    return open_body(self, KERNEL_CPU);
}

int invariant_new(struct invariant **self_p, const struct invariant_config *config,
                  enum kernel_backend backend)
{
    *self_p = NULL;
    int rc = check_config(config);
    if (rc) {
        return rc;
    }
    struct invariant *self = memory_new(1, sizeof *self);
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

void invariant_destroy(struct invariant **self_p)
{
    if (!self_p || !*self_p) {
        return;
    }
    (*self_p)->body->destroy((*self_p)->layer);
    free(*self_p);
    *self_p = NULL;
}

const char *invariant_body(const struct invariant *self)
{
    return self->body->name;
}

int invariant_set_weights(struct invariant *self, const float *U)
{
    return self->body->set_weights(self->layer, U);
}

int invariant_get_weights(const struct invariant *self, float *U)
{
    return self->body->get_weights(self->layer, U);
}

size_t invariant_state_bytes(const struct invariant *self)
{
    return self->body->state_bytes(self->layer);
}

void *invariant_lend_state(struct invariant *self)
{
    return self->body->lend_state ? self->body->lend_state(self->layer) : NULL;
}

void invariant_save_state(const struct invariant *self, void *state)
{
    self->body->save_state(self->layer, state);
}

void invariant_load_state(struct invariant *self, const void *state)
{
    self->body->load_state(self->layer, state);
}

void invariant_begin_pass(struct invariant *self)
{
    self->body->begin_pass(self->layer);
}

static bool valid_code(const uint32_t *index, const float *value, size_t k, size_t N)
{
    for (size_t a = 0; a < k; a++) {
        if (index[a] >= N || (a > 0 && index[a] <= index[a - 1]) || !(value[a] >= 0) || !isfinite(value[a])) {
            return false;
        }
    }
    return true;
}

static int run(struct invariant *self, float *activations, float *residual, const uint32_t *index,
               const float *value, size_t k, size_t n, bool learn)
{
    for (size_t t = 0; t < n; t++) {
        if (!valid_code(index + t * k, value + t * k, k, self->config.N)) {
            return KERNEL_EINVAL;
        }
    }
    if (n == 0) {
        return KERNEL_OK;
    }
    return self->body->run(self->layer, activations, residual, index, value, k, n, learn);
}

int invariant_train(struct invariant *self, float *activations, float *residual, const uint32_t *index,
                    const float *value, size_t k, size_t n)
{
    return run(self, activations, residual, index, value, k, n, true);
}

int invariant_encode(struct invariant *self, float *activations, float *residual, const uint32_t *index,
                     const float *value, size_t k, size_t n)
{
    return run(self, activations, residual, index, value, k, n, false);
}
