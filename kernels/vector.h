/* Vectors of floats as wide as the registers of the instruction set that a file is compiled for.
 *
 * The compilers' vector extension (GCC, clang): + and * work element by element, so the results are those of
 * plain loops, on every instruction set the same. For the inner loops whose sums must stay in registers; all
 * else is left to the compiler's own vectorisation. The one operation that the extension lacks, and for which
 * compilers do not see the instruction, is vector_dot_pairs. */
#ifndef LOOM_KERNELS_VECTOR_H
#define LOOM_KERNELS_VECTOR_H

#include <stdint.h>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define VECTOR_FLOATS 16
#elif defined(__AVX__)
#define VECTOR_FLOATS 8
#else
#define VECTOR_FLOATS 4 /* SSE, NEON; elsewhere the compiler makes do */
#endif

/* May lie anywhere a float may. */
typedef float vector __attribute__((vector_size(4 * VECTOR_FLOATS), aligned(4), may_alias));

typedef int32_t vector_int __attribute__((vector_size(4 * VECTOR_FLOATS), aligned(4), may_alias));
typedef vector_int vector_mask; /* of a comparison: -1 or 0 */

/* Always four. */
typedef float quad __attribute__((vector_size(16), aligned(4), may_alias));

/* A register full of doubles. */
#define WIDE_DOUBLES (VECTOR_FLOATS / 2)
typedef double wide __attribute__((vector_size(8 * WIDE_DOUBLES), aligned(8), may_alias));

#define VECTOR_INLINE static inline __attribute__((always_inline))

VECTOR_INLINE vector vector_load(const float *a)
{
    return *(const vector *)a;
}

VECTOR_INLINE void vector_store(float *a, vector v)
{
    *(vector *)a = v;
}

VECTOR_INLINE vector_int vector_int_load(const void *a)
{
    return *(const vector_int *)a;
}

VECTOR_INLINE void vector_int_store(void *a, vector_int v)
{
    *(vector_int *)a = v;
}

/* Each lane of a and b two 16-bit integers, low and high: the sum of both products, which must fit. */
VECTOR_INLINE vector_int vector_dot_pairs(vector_int a, vector_int b)
{
#if defined(__AVX512BW__)
    return (vector_int)_mm512_madd_epi16((__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
    return (vector_int)_mm256_madd_epi16((__m256i)a, (__m256i)b);
#elif defined(__SSE2__) && !defined(__AVX__)
    return (vector_int)_mm_madd_epi16((__m128i)a, (__m128i)b);
#else
    return ((a << 16) >> 16) * ((b << 16) >> 16) + (a >> 16) * (b >> 16);
#endif
}

VECTOR_INLINE quad quad_load(const float *a)
{
    return *(const quad *)a;
}

VECTOR_INLINE void quad_store(float *a, quad q)
{
    *(quad *)a = q;
}

VECTOR_INLINE wide wide_load(const double *a)
{
    return *(const wide *)a;
}

VECTOR_INLINE void wide_store(double *a, wide v)
{
    *(wide *)a = v;
}

/* Floats as doubles: a plain loop, which compilers turn into a single instruction. */
VECTOR_INLINE wide wide_of(const float *a)
{
    double v[WIDE_DOUBLES];
    for (int l = 0; l < WIDE_DOUBLES; l++) {
        v[l] = (double)a[l];
    }
    return wide_load(v);
}

/* Element by element: yes where the comparison held, no elsewhere. */
VECTOR_INLINE vector vector_choose(vector_mask held, vector yes, vector no)
{
    return (vector)(((vector_mask)yes & held) | ((vector_mask)no & ~held));
}

/* Element by element a > b ? a : b, so b where either is NaN. */
VECTOR_INLINE vector vector_max(vector a, vector b)
{
    return vector_choose(a > b, a, b);
}

#endif
