/* What moments.c shares with the loops of moments_cpu.c. */
#ifndef LOOM_KERNELS_MOMENTS_CPU_H
#define LOOM_KERNELS_MOMENTS_CPU_H

#include <stddef.h>

#include "set.h"

/* Of every unit, padded to a multiple of MEMORY_LANES; x = y - first, change = y_t - y_{t-1}. */
struct moments_sums {
    double *sum;    /* of x */
    double *square; /* of x^2 */
    double *step;   /* of change^2 */
    double *bend;   /* of (change - the change before)^2: 4 (y_{t-1} - (y_{t-2} + y_t) / 2)^2 */
    double *change; /* the newest one */
    float *first;   /* y of the pass's first frame */
    float *last;    /* y of the newest frame */
    float *peak;    /* largest |y| */
};

/* Take n frames y (n x M), which are not the first two of a pass. */
void moments_sums_cpu(struct moments_sums *sums, const float *y, size_t M, size_t n);

#endif
