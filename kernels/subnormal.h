/* Numbers too small for a float's full precision (below 1.2e-38, "subnormal") count as 0 while a float body computes.
 *
 * They come up wherever small is multiplied by small: a weight at its floor by a dark pixel, the activation of a unit that
 * has been silent for two hundred frames. No sum of use is changed by them, but many processors (all of Intel's) take a
 * hundred times as long for each: without this, experiment B trains at half its speed after forty passes there.
 *
 * The mode belongs to the thread. It is set around the whole of a body's work and put back, so that whoever calls
 * computes as before; the floating-point work itself stands in a function that is not inlined, since compilers move
 * arithmetic over a change of the mode. Results are the same for all instruction sets of a processor. Elsewhere than on x86-64 and
 * AArch64 nothing is done. */
#ifndef LOOM_KERNELS_SUBNORMAL_H
#define LOOM_KERNELS_SUBNORMAL_H

#include <stdint.h>

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

/* Begin to count them as 0; returns the mode until now, for subnormal_restore. */
static inline uint64_t subnormal_flush(void)
{
#if defined(__SSE2__)
    const unsigned before = _mm_getcsr();
    _mm_setcsr(before | 0x8040U); /* results (FTZ) and operands (DAZ) */
    return before;
#elif defined(__aarch64__)
    uint64_t before;
    __asm__ volatile("mrs %0, fpcr" : "=r"(before));
    __asm__ volatile("msr fpcr, %0" : : "r"(before | (UINT64_C(1) << 24)));
    return before;
#else
    return 0;
#endif
}

static inline void subnormal_restore(uint64_t before)
{
#if defined(__SSE2__)
    _mm_setcsr((unsigned)before);
#elif defined(__aarch64__)
    __asm__ volatile("msr fpcr, %0" : : "r"(before));
#else
    (void)before;
#endif
}

#endif
