/* Measures of trained layers; see measure.h. */
#include "measure.h"

#include <math.h>
#include <stdlib.h>

#include "cpu.h"
#include "measure_cpu.h"
#include "memory.h"
#include "mix.h"
#include "pairs.h"

#define BLOCK 64        /* columns summed at once, so that rows are read in the order they lie in memory */
#define ALIKE_MAX 1e-10 /* variance of cosines up to which they are all the same: they are summed in float */

/* The loops of measure_cpu.h for an instruction set. */
struct loops {
    void (*units)(double *inverse, double *all, const float *W, size_t rows, size_t cols);
    void (*dots)(double *with_all, const float *W, const double *inverse, const double *all, size_t rows,
                 size_t cols);
    void (*unit)(float *unit, const float *row, double scale, size_t cols);
    double (*near)(double *work, const float *W, const double *inverse, size_t Ix, size_t Iy, size_t cols,
                   size_t first, size_t radius);
};

#ifdef LOOM_X86_SETS
void measure_units_avx2(double *inverse, double *all, const float *W, size_t rows, size_t cols);
void measure_dots_avx2(double *with_all, const float *W, const double *inverse, const double *all,
                       size_t rows, size_t cols);
void measure_unit_avx2(float *unit, const float *row, double scale, size_t cols);
double measure_near_avx2(double *work, const float *W, const double *inverse, size_t Ix, size_t Iy,
                         size_t cols, size_t first, size_t radius);
void measure_units_avx512(double *inverse, double *all, const float *W, size_t rows, size_t cols);
void measure_dots_avx512(double *with_all, const float *W, const double *inverse, const double *all,
                         size_t rows, size_t cols);
void measure_unit_avx512(float *unit, const float *row, double scale, size_t cols);
double measure_near_avx512(double *work, const float *W, const double *inverse, size_t Ix, size_t Iy,
                           size_t cols, size_t first, size_t radius);
#endif

static const struct loops loops_of[CPU_SETS] = {
    {measure_units_cpu, measure_dots_cpu, measure_unit_cpu, measure_near_cpu},
#ifdef LOOM_X86_SETS
    {measure_units_avx2, measure_dots_avx2, measure_unit_avx2, measure_near_avx2},
    {measure_units_avx512, measure_dots_avx512, measure_unit_avx512, measure_near_avx512},
#endif
};

/* For the widest set that can be had here. */
static const struct loops *choose_loops(void)
{
    const int set = cpu_set();
    return &loops_of[set < 0 ? CPU_BASELINE : set];
}

/* How many rows are not all 0. */
static size_t count_lengths(const double *inverse, size_t rows)
{
    size_t units = 0;
    for (size_t i = 0; i < rows; i++) {
        units += inverse[i] > 0 ? 1 : 0;
    }
    return units;
}

/* The squared norm of the sum of unit vectors is 1 for each of them plus twice the cosine of each pair. */
double measure_homogeneity(const float *W, size_t rows, size_t cols)
{
    if (rows < 2) {
        return 0;
    }
    const struct loops *loops = choose_loops();
    double *all = memory_new(cols, sizeof *all), *inverse = memory_new(rows, sizeof *inverse), square = 0;
    if (!all || !inverse) {
        free(all);
        free(inverse);
        return NAN;
    }
    loops->units(inverse, all, W, rows, cols);
    for (size_t q = 0; q < cols; q++) {
        square += all[q] * all[q];
    }
    square -= (double)count_lengths(inverse, rows);
    free(all);
    free(inverse);
    return square / ((double)rows * (double)(rows - 1));
}

/* Neighbours of a unit: lateral.h. */
static size_t count_neighbours(size_t Ix, size_t Iy, size_t radius)
{
    const size_t along = radius >= Ix / 2 ? Ix : 2 * radius + 1,
                 across = radius >= Iy / 2 ? Iy : 2 * radius + 1;
    return along * across - 1;
}

/* A layer's unit vectors. */
struct units {
    const struct loops *loops;
    const float *U; /* M x N */
    size_t M, N;
    double *inverse;  /* M: 1 / |row| */
    double *all;      /* N: their sum */
    double *with_all; /* M: of each with their sum */
    double *work;     /* for measure_near_cpu */
};

static void units_fini(struct units *self)
{
    free(self->inverse);
    free(self->all);
    free(self->with_all);
    free(self->work);
}

static int units_init(struct units *self, const float *U, size_t M, size_t N)
{
    *self = (struct units){.loops = choose_loops(), .U = U, .M = M, .N = N};
    if (!(self->inverse = memory_new(M, sizeof *self->inverse)) ||
        !(self->all = memory_new(N, sizeof *self->all)) ||
        !(self->with_all = memory_new(M, sizeof *self->with_all)) ||
        !(self->work = memory_new(M, 3 * MEASURE_TILE * sizeof *self->work))) {
        units_fini(self);
        return KERNEL_ENOMEM;
    }
    self->loops->units(self->inverse, self->all, U, M, N);
    self->loops->dots(self->with_all, U, self->inverse, self->all, M, N);
    return KERNEL_OK;
}

/* Variance of the cosines around their mean, of all pairs or of those among `compared` units: one of each M / compared
 * in a row, no matter which. NaN without memory. */
static double vary_cosines(const struct units *self, double mean, size_t compared)
{
    const size_t stride = memory_padded(self->N), M = self->M;
    float *rows = memory_new(compared, stride * sizeof *rows);
    if (!rows) {
        return NAN;
    }
    for (size_t r = 0; r < compared; r++) {
        const double place = ((double)r + (double)mix(r) * 0x1p-64) * (double)M / (double)compared;
        const size_t i = compared == M ? r : (size_t)fmin(place, (double)(M - 1));
        self->loops->unit(rows + r * stride, self->U + i * self->N, self->inverse[i], self->N);
    }
    const double sum = pairs_squares(rows, mean, compared, stride);
    free(rows);
    return sum / ((double)compared * (double)(compared - 1) / 2);
}

/* Variance over all permutations of T = sum over ordered pairs of neighbours of (cosine - mean). In the square of T a pair
 * meets itself (both ways round), a pair with which it shares one unit, or one with which it shares none; each sort
 * of meeting has its mean over all pairs of units, and how often it comes is told by the grid, on which every
 * unit has g neighbours. variance: of single cosines; rows: sum over units of the square of the sum of a row. */
static double vary_total(double variance, double rows, double M, double g)
{
    const double squares = variance * M * (M - 1); /* sum over ordered pairs of the square */
    const double same = squares / (M * (M - 1)), one = (rows - squares) / (M * (M - 1) * (M - 2));
    const double none = (2 * squares - 4 * rows) / (M * (M - 1) * (M - 2) * (M - 3));
    const double n_same = 2 * M * g, n_one = 4 * M * g * (g - 1), n_none = M * g * M * g - n_same - n_one;
    return n_same * same + n_one * one + n_none * none;
}

/* How many units to compare with each other, so that it takes about `work` multiplications. */
static size_t choose_compared(size_t M, size_t N, double work)
{
    const double most = sqrt(2 * work / (double)N);
    if (!(most < (double)M) || M <= MEASURE_LEAST) {
        return M;
    }
    return most < MEASURE_LEAST ? MEASURE_LEAST : (size_t)most;
}

static int measure_z(struct measure_topology *out, const struct units *self, size_t neighbours, double work)
{
    const size_t M = self->M;
    if (M < 4 || neighbours == 0 || neighbours == M - 1) {
        return KERNEL_OK;
    }
    out->compared = choose_compared(M, self->N, work);
    const double variance = vary_cosines(self, out->homogeneity, out->compared);
    if (isnan(variance)) {
        return KERNEL_ENOMEM;
    }
    double rows = 0;
    for (size_t i = 0; i < M; i++) {
        const double itself = self->inverse[i] > 0 ? 1 : 0;
        const double row = self->with_all[i] - itself - (double)(M - 1) * out->homogeneity;
        rows += row * row;
    }
    const double total = vary_total(variance, rows, (double)M, (double)neighbours);
    if (variance > ALIKE_MAX && total > 0) {
        out->z = out->topology * (double)M * (double)neighbours / sqrt(total);
    }
    return KERNEL_OK;
}

int measure_topology(struct measure_topology *out, const float *U, size_t Ix, size_t Iy, size_t N,
                     size_t radius, double work)
{
    const size_t M = Ix * Iy, neighbours = count_neighbours(Ix, Iy, radius);
    struct units units;
    *out = (struct measure_topology){.topology = NAN, .z = NAN};
    if (M < 2) {
        return KERNEL_OK;
    }
    int status = units_init(&units, U, M, N);
    if (status) {
        return status;
    }
    const double n_units = (double)count_lengths(units.inverse, M);
    double all = 0, near = 0;
    for (size_t j = 0; j < N; j++) {
        all += units.all[j] * units.all[j];
    }
    out->homogeneity = (all - n_units) / ((double)M * (double)(M - 1));
    if (neighbours > 0) {
        for (size_t j = 0; j < N; j += MEASURE_TILE) {
            near += units.loops->near(units.work, U, units.inverse, Ix, Iy, N, j, radius);
        }
        out->topology = (near - n_units) / ((double)M * (double)neighbours) - out->homogeneity;
    }
    status = measure_z(out, &units, neighbours, work);
    units_fini(&units);
    return status;
}

void measure_coverage(float *coverage, const float *U, size_t M, size_t N)
{
    for (size_t j = 0; j < N; j += BLOCK) {
        size_t width = N - j < BLOCK ? N - j : BLOCK;
        double sum[BLOCK] = {0};
        for (size_t i = 0; i < M; i++) {
            for (size_t b = 0; b < width; b++) {
                sum[b] += (double)U[i * N + j + b];
            }
        }
        for (size_t b = 0; b < width; b++) {
            coverage[j + b] = (float)sum[b];
        }
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
