/* Numbers that look random and are the same every time: for choosing a sample, never for weights (common/random.h). */
#ifndef LOOM_KERNELS_MIX_H
#define LOOM_KERNELS_MIX_H

#include <stdint.h>

/* The bits of t well mixed; different t give different numbers. splitmix64 (Steele, Lea, Flood, OOPSLA 2014). */
static inline uint64_t mix(uint64_t t)
{
    uint64_t z = (t + 1) * 0x9E3779B97F4A7C15U;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31);
}

#endif
