/* Sums of floats in a fixed order that any vector unit can follow.
 *
 * A compiler may not reorder a float sum, so a plain one runs at one element a time. Here the order is
 * written down: MEMORY_LANES partial sums, then a tree. It depends on nothing but the length, so every
 * instruction set gives the same bits (and no fused multiply-add: see CMakeLists.txt). */
#ifndef LOOM_KERNELS_LANES_H
#define LOOM_KERNELS_LANES_H

#include <stddef.h>

#include "memory.h"
#include "vector.h"

#define LANE_VECTORS (MEMORY_LANES / VECTOR_FLOATS)
_Static_assert(MEMORY_LANES == 16, "lanes_fold adds up 16");

/* Add up the partial sums, halves onto halves. */
static inline float lanes_fold(const vector *partial)
{
    float lanes[MEMORY_LANES];
    for (size_t s = 0; s < LANE_VECTORS; s++) {
        vector_store(lanes + s * VECTOR_FLOATS, partial[s]);
    }
    const quad low = quad_load(lanes) + quad_load(lanes + 8),
               high = quad_load(lanes + 4) + quad_load(lanes + 12);
    const quad four = low + high;
    return (four[0] + four[2]) + (four[1] + four[3]);
}

/* sum of a (n), n a multiple of MEMORY_LANES. */
static inline float lanes_sum(const float *a, size_t n)
{
    vector partial[LANE_VECTORS];
    for (size_t s = 0; s < LANE_VECTORS; s++)
        partial[s] = (vector){0};
    for (size_t q = 0; q < n; q += MEMORY_LANES)
        for (size_t s = 0; s < LANE_VECTORS; s++)
            partial[s] += vector_load(a + q + s * VECTOR_FLOATS);
    return lanes_fold(partial);
}

/* sum of a b (n), n a multiple of MEMORY_LANES. */
static inline float lanes_dot(const float *a, const float *b, size_t n)
{
    vector partial[LANE_VECTORS];
    for (size_t s = 0; s < LANE_VECTORS; s++)
        partial[s] = (vector){0};
    for (size_t q = 0; q < n; q += MEMORY_LANES)
        for (size_t s = 0; s < LANE_VECTORS; s++)
            partial[s] += vector_load(a + q + s * VECTOR_FLOATS) * vector_load(b + q + s * VECTOR_FLOATS);
    return lanes_fold(partial);
}

#endif
