/* Which body goes through all pairs; see pairs.h. */
#include "pairs.h"

#include "cpu.h"

#ifdef LOOM_X86_SETS
double pairs_avx2(const float *rows, double centre, size_t n, size_t stride);
double pairs_avx512(const float *rows, double centre, size_t n, size_t stride);
#endif

double pairs_squares(const float *rows, double centre, size_t n, size_t stride)
{
    switch (cpu_set()) {
#ifdef LOOM_X86_SETS
    case CPU_AVX2:
        return pairs_avx2(rows, centre, n, stride);
    case CPU_AVX512:
        return pairs_avx512(rows, centre, n, stride);
#endif
    default:
        return pairs_cpu(rows, centre, n, stride);
    }
}
