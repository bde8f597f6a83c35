/* Measures of trained layers. Sums in double, in index order: the same bits on every run. */
#ifndef LOOM_KERNELS_MEASURE_H
#define LOOM_KERNELS_MEASURE_H

#include <stddef.h>

/* Mean cosine of all pairs of rows of W (rows x cols), 0 if rows < 2; rows that are all 0 count as cosine 0.
 * O(rows x cols): through the sum of the unit vectors. NaN if memory for that sum (cols doubles) cannot be
 * had. */
double measure_homogeneity(const float *W, size_t rows, size_t cols);

/* coverage (N) = sum_i U_ij of U (M x N). */
void measure_coverage(float *coverage, const float *U, size_t M, size_t N);

/* prototypes (M x P) = U W, U (M x N), W (N x P). */
void measure_prototypes(float *prototypes, const float *U, const float *W, size_t M, size_t N, size_t P);

/* Entropy in bits of the distribution counts / sum(counts); 0 if all are 0. counts (n). */
double measure_entropy(const double *counts, size_t n);

#endif
