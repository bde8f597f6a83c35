/* All pairs of rows, in tiles that stay in registers; see pairs.h. */
#include "pairs.h"

#include "lanes.h"

#if VECTOR_FLOATS == 16
#define SIDE 4 /* rows and columns of a tile: as many sums as there are registers for */
#else
#define SIDE 2
#endif

static const float *row_of(const float *rows, size_t i, size_t n, size_t stride)
{
    return rows + (i < n ? i : n - 1) * stride; /* beyond the end any row will do: nobody reads what comes */
}

/* dots[a][b] = row i + a . row j + b. */
static inline void tile(float dots[SIDE][SIDE], const float *rows, size_t i, size_t j, size_t n,
                        size_t stride)
{
    vector partial[SIDE][SIDE][LANE_VECTORS] = {0};
    const float *left[SIDE], *right[SIDE];
    for (size_t a = 0; a < SIDE; a++) {
        left[a] = row_of(rows, i + a, n, stride);
        right[a] = row_of(rows, j + a, n, stride);
    }
    for (size_t q = 0; q < stride; q += MEMORY_LANES) {
        for (size_t s = 0; s < LANE_VECTORS; s++) {
            vector there[SIDE];
            for (size_t b = 0; b < SIDE; b++) {
                there[b] = vector_load(right[b] + q + s * VECTOR_FLOATS);
            }
            for (size_t a = 0; a < SIDE; a++) {
                const vector here = vector_load(left[a] + q + s * VECTOR_FLOATS);
                for (size_t b = 0; b < SIDE; b++) {
                    partial[a][b][s] += here * there[b];
                }
            }
        }
    }
    for (size_t a = 0; a < SIDE; a++) {
        for (size_t b = 0; b < SIDE; b++) {
            dots[a][b] = lanes_fold(partial[a][b]);
        }
    }
}

/* Row by row, and in a row column by column: however large a tile is. */
double pairs_cpu(const float *rows, double centre, size_t n, size_t stride)
{
    double total = 0;
    for (size_t i = 0; i < n; i += SIDE) {
        double sum[SIDE] = {0};
        for (size_t j = 0; j <= i; j += SIDE) {
            float dots[SIDE][SIDE];
            tile(dots, rows, i, j, n, stride);
            for (size_t a = 0; a < SIDE && i + a < n; a++) {
                for (size_t b = 0; b < SIDE && j + b < i + a; b++) {
                    const double apart = (double)dots[a][b] - centre;
                    sum[a] += apart * apart;
                }
            }
        }
        for (size_t a = 0; a < SIDE; a++) {
            total += sum[a];
        }
    }
    return total;
}
