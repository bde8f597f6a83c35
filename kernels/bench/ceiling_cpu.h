/* What one core can do at best: arithmetic and reading, in the vectors of an instruction set. Compiled once for every
 * set like the kernels (set.h), and for each once more with `_fused` behind the name, where the compiler may fuse
 * a product and a sum into one instruction. (The kernels may not: they promise the same bits everywhere.) */
#ifndef LOOM_KERNELS_CEILING_CPU_H
#define LOOM_KERNELS_CEILING_CPU_H

#include <stddef.h>

#include "set.h"

#ifdef LOOM_SET
#define ceiling_multiply_add_cpu SET_NAME(ceiling_multiply_add)
#define ceiling_multiply_add_pairs_cpu SET_NAME(ceiling_multiply_add_pairs)
#define ceiling_read_cpu SET_NAME(ceiling_read)
#endif

/* Do `steps` rounds of independent multiply-adds in registers; returns how many multiply-adds of one float
 * that were. */
double ceiling_multiply_add_cpu(size_t steps);

/* The same of 16-bit integers, as the sparse layer's screening does them: two products and two sums a lane. */
double ceiling_multiply_add_pairs_cpu(size_t steps);

/* Add up a (n floats, n a multiple of 256): reads each once, in order. */
float ceiling_read_cpu(const float *a, size_t n);

#endif
