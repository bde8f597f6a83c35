/* Sums of floats in a fixed order that any vector unit can follow.
 *
 * A compiler may not reorder a float sum, so a plain one runs at one element a time. Here the order is
 * written down: MEMORY_LANES partial sums, then a tree. It depends on nothing but the length, so every
 * instruction set gives the same bits (and no fused multiply-add: see CMakeLists.txt). */
#ifndef LOOM_KERNELS_LANES_H
#define LOOM_KERNELS_LANES_H

#include <stddef.h>

#include "memory.h"

/* Add up the partial sums, halves onto halves. */
static inline float lanes_fold(float *partial)
{
    for (size_t width = MEMORY_LANES / 2; width > 0; width /= 2)
        for (size_t l = 0; l < width; l++)
            partial[l] += partial[l + width];
    return partial[0];
}

/* sum of a (n), n a multiple of MEMORY_LANES. */
static inline float lanes_sum(const float *restrict a, size_t n)
{
    float partial[MEMORY_LANES] = {0};
    for (size_t q = 0; q < n; q += MEMORY_LANES)
        for (size_t l = 0; l < MEMORY_LANES; l++)
            partial[l] += a[q + l];
    return lanes_fold(partial);
}

/* sum of a b (n), n a multiple of MEMORY_LANES. */
static inline float lanes_dot(const float *restrict a, const float *restrict b, size_t n)
{
    float partial[MEMORY_LANES] = {0};
    for (size_t q = 0; q < n; q += MEMORY_LANES)
        for (size_t l = 0; l < MEMORY_LANES; l++)
            partial[l] += a[q + l] * b[q + l];
    return lanes_fold(partial);
}

#endif
