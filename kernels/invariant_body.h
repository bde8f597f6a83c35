/* What a body of the invariant layer must offer to invariant.c, and the steps that specify them all.
 *
 * invariant.c has checked every argument before it calls: a body sees a valid configuration, codes whose
 * indices ascend and are < N and whose values are finite and >= 0, and n > 0. A new body is a new constant of
 * this struct and a line in invariant.c. */
#ifndef LOOM_KERNELS_INVARIANT_BODY_H
#define LOOM_KERNELS_INVARIANT_BODY_H

#include <stdbool.h>

#include "invariant.h"
#include "set.h"

struct invariant_body {
    const char *name;
    /* Make the body's own layer, weights 0. KERNEL_ENOMEM or KERNEL_EUNSUPPORTED on failure, then *layer_p is
     * NULL. */
    int (*new)(void **layer_p, const struct invariant_config *config);
    void (*destroy)(void *layer); /* harmless on NULL */
    int (*set_weights)(void *layer, const float *U);
    int (*get_weights)(const void *layer, float *U);
    size_t (*state_bytes)(const void *layer);
    void (*save_state)(const void *layer, void *state);
    void (*load_state)(void *layer, const void *state);
    void *(*lend_state)(void *layer); /* NULL: the body never does */
    void (*begin_pass)(void *layer);
    int (*run)(void *layer, float *activations, float *residual, const uint32_t *index, const float *value,
               size_t k, size_t n, bool learn);
};

extern const struct invariant_body invariant_body_ref; /* invariant_ref.c: both rules, double, plain C */
extern const struct invariant_body topo_body_cpu;      /* topo_cpu.c: float */
extern const struct invariant_body smooth_body_cpu;    /* smooth_cpu.c: float */
extern const struct invariant_body topo_body_avx2, topo_body_avx512; /* the same for other sets: set.h */
extern const struct invariant_body smooth_body_avx2, smooth_body_avx512;
/* cuda/invariant_cuda.c: both rules, float, on a GPU. */
extern const struct invariant_body invariant_body_cuda;

/* What a layer of either rule remembers from frame to frame within a pass, in double; all 0 when a pass
 * begins. */
struct invariant_memory {
    double *io;   /* M: the output */
    double *io_1; /* M: SMOOTH: the output one frame ago */
    double *io_2; /* M: SMOOTH: the output two frames ago */
    double *s_1;  /* N: SMOOTH: the code one frame ago */
    uint64_t t;   /* frames of the pass so far */
};

/* The specification: one code. Changed: memory (the output is memory->io), U (M x N) if `learn`. Out:
 * residual (2). In: s (N). work: 2 M + N doubles; chosen: M. */
void topo_ref(struct invariant_memory *memory, double *residual, double *U, double *work, uint32_t *chosen,
              const double *s, const struct invariant_config *config, bool learn);
void smooth_ref(struct invariant_memory *memory, double *residual, double *U, double *work, uint32_t *chosen,
                const double *s, const struct invariant_config *config, bool learn);

#endif
