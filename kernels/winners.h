/* Winners: the k largest of n numbers. Ties: the lower index wins. NaN counts as the smallest number. */
#ifndef LOOM_KERNELS_WINNERS_H
#define LOOM_KERNELS_WINNERS_H

#include <stddef.h>
#include <stdint.h>

#include "set.h"

/* index (k): the winners' numbers, ascending; c (n); 1 <= k <= n < 2^32. O(n k). */
void winners_ref(uint32_t *index, const double *c, size_t n, size_t k);

/* The same in O(n log k). */
void winners_cpu(uint32_t *index, const float *c, size_t n, size_t k);

#endif
