/* What the live page shows of a layer besides what the stages say: numbers only. */
#ifndef LOOM_STAGES_LIVE_DERIVE_H
#define LOOM_STAGES_LIVE_DERIVE_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"

/* p (n x N) = v W': the drives of n frames v (n x P) by W (N x P). LOOM_EINTERNAL if memory for n x P floats cannot be
 * had. */
int derive_drives(float *p, const float *W, const float *v, size_t n, size_t N, size_t P) LOOM_MUST_CHECK;

/* r (n x P): of each frame v (n x P) the sum over its k winners i of p_i W_i, p_i = W_i v. index (n x k): the winners;
 * those beyond N are left out. */
void derive_reconstruction(float *r, const float *W, const float *v, const uint32_t *index, size_t n,
                           size_t k, size_t N, size_t P);

/* The product of two rows of n numbers. */
float derive_dot(const float *a, const float *b, size_t n);

/* The largest finite number of n; 0 if none is larger. */
float derive_largest(const float *x, size_t n);

/* q (n) = round(255 x / max), from 0 to 255; 0 what is not a number. max 0: all 0. */
void derive_quantised(uint8_t *q, const float *x, size_t n, float max);

/* The indices of the `most` largest of n numbers, at a distance of more than `apart` from one another, best first; ties:
 * the lower index. Returns how many were found. */
size_t derive_best(size_t *best, size_t most, const float *x, size_t n, size_t apart);

#endif
