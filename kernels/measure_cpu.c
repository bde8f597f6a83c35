/* Sums over all weights of a layer, several columns at a time; see measure_cpu.h. The columns of a tile have
 * their own sums, which are added up in one order, so that the width of a register changes no bit. */
#include "measure_cpu.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "vector.h"

#define TILE MEASURE_TILE

static double fold(const double *lanes)
{
    double sum = 0;
    for (size_t l = 0; l < TILE; l++) {
        sum += lanes[l];
    }
    return sum;
}

/* row . other; in double, in TILE partial sums. */
static inline double dot_row(const float *row, const double *other, size_t cols)
{
    double lanes[TILE] = {0};
    size_t q = 0;
    for (; q + TILE <= cols; q += TILE) {
        for (size_t l = 0; l < TILE; l++) {
            lanes[l] += (double)row[q + l] * other[q + l];
        }
    }
    for (size_t l = 0; q + l < cols; l++) {
        lanes[l] += (double)row[q + l] * other[q + l];
    }
    return fold(lanes);
}

static inline double square_row(const float *row, size_t cols)
{
    double lanes[TILE] = {0};
    size_t q = 0;
    for (; q + TILE <= cols; q += TILE) {
        for (size_t l = 0; l < TILE; l++) {
            lanes[l] += (double)row[q + l] * (double)row[q + l];
        }
    }
    for (size_t l = 0; q + l < cols; l++) {
        lanes[l] += (double)row[q + l] * (double)row[q + l];
    }
    return fold(lanes);
}

void measure_units_cpu(double *restrict inverse, double *restrict all, const float *restrict W, size_t rows,
                       size_t cols)
{
    memset(all, 0, cols * sizeof *all);
    for (size_t i = 0; i < rows; i++) {
        const float *row = W + i * cols;
        const double square = square_row(row, cols), scale = square > 0 ? 1 / sqrt(square) : 0;
        for (size_t q = 0; q < cols; q++) {
            all[q] += (double)row[q] * scale;
        }
        inverse[i] = scale;
    }
}

void measure_dots_cpu(double *with_all, const float *W, const double *inverse, const double *all, size_t rows,
                      size_t cols)
{
    for (size_t i = 0; i < rows; i++) {
        with_all[i] = dot_row(W + i * cols, all, cols) * inverse[i];
    }
}

void measure_unit_cpu(float *restrict unit, const float *restrict row, double scale, size_t cols)
{
    for (size_t q = 0; q < cols; q++) {
        unit[q] = (float)((double)row[q] * scale);
    }
}

/* A register's columns of out = for each of `side` places on a ring the sum of `in` over the places up to `radius` away,
 * each once; places lie `pace` doubles apart. */
static inline void ring_sums(double *restrict out, const double *restrict in, size_t side, size_t pace,
                             size_t radius)
{
    const bool whole = radius >= side / 2;
    const size_t width = whole ? side : 2 * radius + 1;
    size_t enters = whole || radius == 0 ? 0 : side - radius, leaves = enters;
    wide window = {0};
    for (size_t x = 0; x < width; x++) {
        window += wide_load(in + enters * pace);
        enters = enters + 1 < side ? enters + 1 : 0;
    }
    for (size_t x = 0; x < side; x++) {
        wide_store(out + x * pace, window);
        if (!whole) {
            window += wide_load(in + enters * pace) - wide_load(in + leaves * pace);
            enters = enters + 1 < side ? enters + 1 : 0;
            leaves = leaves + 1 < side ? leaves + 1 : 0;
        }
    }
}

/* u (M x TILE): the unit vectors' columns from `first` on, 0 beyond cols. */
static void load_tile(double *restrict u, const float *restrict W, const double *inverse, size_t M,
                      size_t cols, size_t first)
{
    const size_t width = cols - first < TILE ? cols - first : TILE;
    for (size_t i = 0; i < M; i++) {
        const float *row = W + i * cols + first;
        float copy[TILE] = {0};
        if (width < TILE) {
            memcpy(copy, row, width * sizeof *copy);
            row = copy;
        }
        for (size_t l = 0; l < TILE; l++) {
            u[i * TILE + l] = (double)row[l] * inverse[i];
        }
    }
}

double measure_near_cpu(double *work, const float *W, const double *inverse, size_t Ix, size_t Iy,
                        size_t cols, size_t first, size_t radius)
{
    const size_t M = Ix * Iy;
    double *u = work, *along = u + M * TILE, *around = along + M * TILE, near[TILE] = {0};
    load_tile(u, W, inverse, M, cols, first);
    for (size_t l = 0; l < TILE; l += WIDE_DOUBLES) {
        for (size_t y = 0; y < Iy; y++) {
            ring_sums(along + y * Ix * TILE + l, u + y * Ix * TILE + l, Ix, TILE, radius);
        }
        for (size_t x = 0; x < Ix; x++) {
            ring_sums(around + x * TILE + l, along + x * TILE + l, Iy, Ix * TILE, radius);
        }
        wide sum = {0};
        for (size_t i = 0; i < M; i++) {
            sum += wide_load(u + i * TILE + l) * wide_load(around + i * TILE + l);
        }
        wide_store(near + l, sum);
    }
    return fold(near);
}
