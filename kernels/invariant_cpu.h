/* What the float bodies of both rules of the invariant layer share: weights that lie unit-minor, so that all
 * the work on a column, which is what a code touches, is on neighbouring numbers.
 *
 * U' (N x stride): U[j * stride + i] is unit i's weight of sparse unit j; stride is M padded, padding stays
 * 0. */
#ifndef LOOM_KERNELS_INVARIANT_CPU_H
#define LOOM_KERNELS_INVARIANT_CPU_H

#include <stddef.h>
#include <stdint.h>

#include "set.h"

/* columns (N x stride) from U (M x N), raised to INVARIANT_FLOOR. */
void columns_set_cpu(float *columns, const float *U, size_t M, size_t N, size_t stride);

/* d (stride) = sum over the count listed columns of value * column. */
void columns_drive_cpu(float *d, const float *columns, const uint32_t *index, const float *value,
                       size_t count, size_t stride);

/* Keep the m largest of d (M), 0 for the rest; m = 0: keep all. chosen: M, working memory. */
void columns_keep_winners_cpu(float *d, uint32_t *chosen, size_t M, size_t m);

/* index, value (count, returned): the entries of a code (k) that are not 0. */
size_t columns_active_cpu(uint32_t *index, float *value, const uint32_t *code_index, const float *code_value,
                          size_t k);

#endif
