/* Measures of trained layers; see measure.h. */
#include "measure.h"

#include <math.h>
#include <stdlib.h>

#include "memory.h"

#define BLOCK 64 /* pixels summed at once, so that rows are read in the order they lie in memory */

static double norm(const float *row, size_t cols)
{
    double sum = 0;
    for (size_t q = 0; q < cols; q++) {
        sum += (double)row[q] * (double)row[q];
    }
    return sqrt(sum);
}

/* The squared norm of the sum of unit vectors is 1 for each of them plus twice the cosine of each pair. */
double measure_homogeneity(const float *W, size_t rows, size_t cols)
{
    if (rows < 2) {
        return 0;
    }
    double *sum = memory_new(cols, sizeof *sum);
    if (!sum) {
        return NAN;
    }
    size_t units = 0;
    for (size_t i = 0; i < rows; i++) {
        const float *row = W + i * cols;
        double length = norm(row, cols);
        if (!(length > 0)) {
            continue;
        }
        units++;
        for (size_t q = 0; q < cols; q++) {
            sum[q] += (double)row[q] / length;
        }
    }
    double square = 0;
    for (size_t q = 0; q < cols; q++) {
        square += sum[q] * sum[q];
    }
    free(sum);
    return (square - (double)units) / ((double)rows * (double)(rows - 1));
}

void measure_coverage(float *coverage, const float *U, size_t M, size_t N)
{
    for (size_t j = 0; j < N; j++) {
        double sum = 0;
        for (size_t i = 0; i < M; i++) {
            sum += (double)U[i * N + j];
        }
        coverage[j] = (float)sum;
    }
}

void measure_prototypes(float *prototypes, const float *U, const float *W, size_t M, size_t N, size_t P)
{
    for (size_t i = 0; i < M; i++) {
        for (size_t q = 0; q < P; q += BLOCK) {
            size_t width = P - q < BLOCK ? P - q : BLOCK;
            double sum[BLOCK] = {0};
            for (size_t j = 0; j < N; j++) {
                for (size_t b = 0; b < width; b++) {
                    sum[b] += (double)U[i * N + j] * (double)W[j * P + q + b];
                }
            }
            for (size_t b = 0; b < width; b++) {
                prototypes[i * P + q + b] = (float)sum[b];
            }
        }
    }
}

double measure_entropy(const double *counts, size_t n)
{
    double total = 0, bits = 0;
    for (size_t i = 0; i < n; i++) {
        total += counts[i];
    }
    if (!(total > 0)) {
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        if (counts[i] > 0) {
            bits -= counts[i] / total * log2(counts[i] / total);
        }
    }
    return bits;
}
