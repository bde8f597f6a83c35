/* Lateral excitation on a torus: c = L p.
 *
 *     c_i = p_i + strength / sqrt(neighbours of i) * sum of p over the neighbours of i
 *
 * Neighbours of i: all other units of the Kx x Ky grid whose distances in x and in y, each the short way
 * around, are <= radius. A unit counts once even where the torus is so small that it is met from both sides.
 * Without any neighbour (radius 0, or a grid of one unit) c = p. */
#ifndef LOOM_KERNELS_LATERAL_H
#define LOOM_KERNELS_LATERAL_H

#include <stddef.h>

#include "set.h"

/* c (N) from p (N), N = Kx * Ky; c and p must not overlap. The definition, in double. */
void lateral_ref(double *c, const double *p, double strength, size_t radius, size_t Kx, size_t Ky);

/* The same in float with separable box sums. work: lateral_work(Kx, Ky) floats. */
void lateral_cpu(float *c, const float *p, float *work, float strength, size_t radius, size_t Kx, size_t Ky);

/* Floats of working memory for lateral_cpu, 2 Kx Ky. */
size_t lateral_work(size_t Kx, size_t Ky);

#endif
