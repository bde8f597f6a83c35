/* What a body of the sparse layer must offer to sparse.c, and the step that specifies them all.
 *
 * sparse.c has checked every argument before it calls: a body sees a valid configuration, frames in [0, 1]
 * and n > 0. A new body (another instruction set, a GPU) is a new constant of this struct and a line in
 * sparse.c. */
#ifndef LOOM_KERNELS_SPARSE_BODY_H
#define LOOM_KERNELS_SPARSE_BODY_H

#include <stdbool.h>

#include "set.h"
#include "sparse.h"

struct sparse_body {
    const char *name;
    /* Make the body's own layer, weights 0. KERNEL_ENOMEM or KERNEL_EUNSUPPORTED on failure, then *layer_p is
     * NULL. */
    int (*new)(void **layer_p, const struct sparse_config *config);
    void (*destroy)(void *layer); /* harmless on NULL */
    int (*set_weights)(void *layer, const float *W);
    int (*get_weights)(const void *layer, float *W);
    const float *(*lend_weights)(const void *layer); /* NULL: the body never does */
    size_t (*state_bytes)(const void *layer);
    void (*save_state)(const void *layer, void *state);
    void (*load_state)(void *layer, const void *state);
    int (*run)(void *layer, uint32_t *index, float *value, float *residual, const float *frames, size_t n,
               bool learn);
    /* The same with frames of bytes, value / 255; NULL: the body takes floats only, sparse.c converts. */
    int (*run_bytes)(void *layer, uint32_t *index, float *value, float *residual, const uint8_t *frames,
                     size_t n, bool learn);
};

extern const struct sparse_body sparse_body_ref;                      /* sparse_ref.c: double, plain C */
extern const struct sparse_body sparse_body_cpu;                      /* sparse_cpu.c: float */
extern const struct sparse_body sparse_body_avx2, sparse_body_avx512; /* the same for other sets: set.h */
extern const struct sparse_body sparse_body_cuda; /* cuda/sparse_cuda.c: float, on a GPU */

/* The specification: one frame. Out: index (k) ascending, value (k), residual (2), W (N x P) if `learn`. In:
 * v (P). work: 2 N + P doubles. */
void sparse_ref(uint32_t *index, double *value, double *residual, double *W, double *work, const float *v,
                const struct sparse_config *config, bool learn);

#endif
