/* Measures of trained layers. Sums in a fixed order, in double unless said otherwise: the same bits on every run and
 * by every instruction set. */
#ifndef LOOM_KERNELS_MEASURE_H
#define LOOM_KERNELS_MEASURE_H

#include <stddef.h>

#include "kernel.h"

/* Mean cosine of all pairs of rows of W (rows x cols), 0 if rows < 2; rows that are all 0 count as cosine 0.
 * O(rows x cols): through the sum of the unit vectors. NaN if memory for that sum (cols doubles) cannot be
 * had. */
double measure_homogeneity(const float *W, size_t rows, size_t cols);

/* How alike are units that lie near each other on the grid, beside any two units? What cannot be told is NaN. */
struct measure_topology {
    double homogeneity; /* mean cosine of all pairs of rows; 0 below 2 rows */
    double topology;    /* mean cosine of neighbours less that; NaN where there are no neighbours */
    double z;        /* in standard deviations of what it would be were the units put on the grid at random;
                           NaN below 4 units, or where that does not vary */
    size_t compared; /* units that the standard deviation comes from */
};

/* Of the rows of U (M x N), M = Ix Iy units on a torus; neighbours as in lateral.h; rows that are all 0 have
 * cosine 0 with all others. The mean and standard deviation of `topology` over all M! permutations of the units
 * are exact, by formula (Mantel, Cancer Research 27, 1967): they take the sum of the squares of all cosines, O(M^2 N)
 * in float. Where that is more than `work` multiplications (M^2 N / 2 of them), that sum is estimated from the pairs
 * among `compared` units, the same ones every time, at least MEASURE_LEAST. All else is O(M N), for any
 * radius. KERNEL_ENOMEM, then *out holds nothing. */
#define MEASURE_LEAST 32
int measure_topology(struct measure_topology *out, const float *U, size_t Ix, size_t Iy, size_t N,
                     size_t radius, double work) KERNEL_MUST_CHECK;

/* coverage (N) = sum_i U_ij of U (M x N). */
void measure_coverage(float *coverage, const float *U, size_t M, size_t N);

/* prototypes (M x P) = U W, U (M x N), W (N x P). */
void measure_prototypes(float *prototypes, const float *U, const float *W, size_t M, size_t N, size_t P);

/* Entropy in bits of the distribution counts / sum(counts); 0 if all are 0. counts (n). */
double measure_entropy(const double *counts, size_t n);

#endif
