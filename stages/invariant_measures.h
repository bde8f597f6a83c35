/* The measures of an invariant layer at the end of a pass: of its weights, and of its activations, which are
 * gathered while they come. They take part in checkpoints, so that they are the same to the bit whoever is
 * killed. What they are: kernels/moments.h and kernels/measure.h, and in words in README.md. */
#ifndef LOOM_STAGES_INVARIANT_MEASURES_H
#define LOOM_STAGES_INVARIANT_MEASURES_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "layer.h"
#include "log.h"

#define MEASURES_MAX 12 /* metrics of a pass at most */

struct measures_of {
    size_t Ix, Iy;  /* grid of the layer's units */
    size_t N;       /* units of the sparse layer below */
    size_t k;       /* winners of the sparse layer */
    size_t winners; /* of this layer; 0: all */
    size_t radius;  /* which units are neighbours */
    uint64_t pass;  /* frames a pass; 0: not known */
};

struct invariant_measures;

/* LOOM_EINTERNAL without memory, then *self_p is NULL. The caller owns it. */
int measures_new(struct invariant_measures **self_p, const struct measures_of *of) LOOM_MUST_CHECK;
void measures_destroy(struct invariant_measures **self_p); /* harmless on NULL */

/* A pass begins. */
void measures_begin(struct invariant_measures *self);

/* The next n frames, activations (n x Ix Iy). */
void measures_add(struct invariant_measures *self, const float *activations, size_t n);

/* The pass has ended with `weights` (Ix Iy x N): append at most MEASURES_MAX metrics to the *n there are, without those that
 * cannot be told (no unit ever changed, there are no neighbours...). The activations are forgotten. */
int measures_end(struct invariant_measures *self, const float *weights, struct metric *metrics,
                 size_t *n) LOOM_MUST_CHECK;

/* State, as /state/moments. A file of a version that wrote none is taken up with a warning: what is measured of
 * activations is then left out at the end of this pass. */
int measures_save(const struct invariant_measures *self, struct layer_writer *file) LOOM_MUST_CHECK;
int measures_load(struct invariant_measures *self, const struct layer_reader *file) LOOM_MUST_CHECK;

#endif
