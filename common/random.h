/* Random numbers that anyone can compute again: philox4x64-10 (Salmon et al., "Parallel random numbers: as
 * easy as 1, 2, 3", SC 2011) through Random123, with random access: number i of a sequence costs the same
 * whatever i is.
 *
 * The numbers are numpy's, to the bit:
 *     numpy.random.Generator(numpy.random.Philox(key=seed + (sequence << 64))).random(n)
 * are numbers 0 .. n-1 of `sequence` of `seed`. (numpy counts its blocks of four from 1, and makes a double
 * of the upper 53 bits.) Different sequences of one seed are independent of each other. */
#ifndef LOOM_COMMON_RANDOM_H
#define LOOM_COMMON_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* What each sequence of a seed is used for: one seed given to two stages must not give both the same. */
enum random_sequence {
    RANDOM_TRAJECTORY = 0, /* accelerations of the generator's window: ax, ay, ax, ay, ... */
    RANDOM_WEIGHTS = 1,    /* initial weights, row-major */
};

/* out (n): numbers first .. first + n - 1 of the sequence, uniform in [0, 1). first + n <= 2^64. */
void random_uniform(double *out, size_t n, uint64_t seed, uint64_t sequence, uint64_t first);

#endif
