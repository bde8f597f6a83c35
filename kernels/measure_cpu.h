/* What measure.c shares with the loops of measure_cpu.c. Unit vectors are u_i = inverse_i row_i. */
#ifndef LOOM_KERNELS_MEASURE_CPU_H
#define LOOM_KERNELS_MEASURE_CPU_H

#include <stddef.h>

#include "set.h"

#define MEASURE_TILE 16 /* columns that are gone through at once */

/* inverse (rows) = 1 / |row i| of W (rows x cols), 0 where that is 0; all (cols) = sum_i u_i. One sweep. */
void measure_units_cpu(double *inverse, double *all, const float *W, size_t rows, size_t cols);

/* with_all (rows) = u_i . all. */
void measure_dots_cpu(double *with_all, const float *W, const double *inverse, const double *all, size_t rows,
                      size_t cols);

/* unit (cols) = scale * row, in float. */
void measure_unit_cpu(float *unit, const float *row, double scale, size_t cols);

/* The sum over i of u_i . (sum of u_j over the neighbours of i and i itself) on a torus, of columns `first` to before
 * first + MEASURE_TILE, those of them that are below cols. work: 3 MEASURE_TILE Ix Iy. */
double measure_near_cpu(double *work, const float *W, const double *inverse, size_t Ix, size_t Iy,
                        size_t cols, size_t first, size_t radius);

#endif
