/* Working memory of kernels: zeroed, aligned for vector loads, sizes checked for overflow. */
#ifndef LOOM_KERNELS_MEMORY_H
#define LOOM_KERNELS_MEMORY_H

#include <stddef.h>

#define MEMORY_LANES 16 /* floats in a cache line; rows are padded to a multiple of it */

/* count x size bytes, all 0, aligned to 64 bytes; NULL if they cannot be had or the product overflows. count
 * = 0 gives a valid pointer. The caller owns it and calls free. */
void *memory_new(size_t count, size_t size);

/* The same with whatever lies there: it takes no room before it is written. */
void *memory_take(size_t count, size_t size);

/* count rounded up to a multiple of MEMORY_LANES, 0 where that overflows (which count = 0 never needs). */
size_t memory_padded(size_t count);

#endif
