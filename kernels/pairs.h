/* All pairs of the rows of a matrix: the one thing that measures of similarity need and that takes long.
 * O(n^2 stride) in float, in one order of sums for every instruction set. */
#ifndef LOOM_KERNELS_PAIRS_H
#define LOOM_KERNELS_PAIRS_H

#include <stddef.h>

#include "set.h"

/* Sum over all i < j of (row i . row j - centre)^2, of the first n rows (n x stride floats, stride a multiple of
 * MEMORY_LANES, padded with 0). Products are summed in float, squares in double. */
double pairs_cpu(const float *rows, double centre, size_t n, size_t stride);

/* The same by the widest instruction set that can be had here. */
double pairs_squares(const float *rows, double centre, size_t n, size_t stride);

#endif
