/* Sums over frames, a register full of units at a time; see moments_cpu.h. Every unit has its own sums, so that
 * the width of a register changes no bit. */
#include "moments_cpu.h"

#include <math.h>

#include "vector.h"

#define GROUP 32 /* frames that are gone through for a few units: so many rows stay close at hand */

/* WIDE_DOUBLES units from number i on, n frames; their outputs at y, stride apart. */
static inline void add_units(struct moments_sums *sums, size_t i, const float *y, size_t stride, size_t n)
{
    const wide first = wide_of(sums->first + i);
    wide before = wide_of(sums->last + i) - first, change = wide_load(sums->change + i);
    wide sum = wide_load(sums->sum + i), square = wide_load(sums->square + i);
    wide step = wide_load(sums->step + i), bend = wide_load(sums->bend + i);
    for (size_t t = 0; t < n; t++) {
        const wide x = wide_of(y + t * stride) - first, d = x - before, b = d - change;
        sum += x;
        square += x * x;
        step += d * d;
        bend += b * b;
        before = x;
        change = d;
    }
    wide_store(sums->sum + i, sum);
    wide_store(sums->square + i, square);
    wide_store(sums->step + i, step);
    wide_store(sums->bend + i, bend);
    wide_store(sums->change + i, change);
    for (size_t l = 0; l < WIDE_DOUBLES; l++) {
        sums->last[i + l] = y[(n - 1) * stride + l];
    }
}

/* The last units, fewer than a register holds: from a copy that is padded. */
static void add_rest(struct moments_sums *sums, size_t i, const float *y, size_t M, size_t n)
{
    float copy[GROUP * WIDE_DOUBLES] = {0};
    for (size_t t = 0; t < n; t++) {
        for (size_t l = 0; i + l < M; l++) {
            copy[t * WIDE_DOUBLES + l] = y[t * M + i + l];
        }
    }
    add_units(sums, i, copy, WIDE_DOUBLES, n);
}

static void add_peaks(float *restrict peak, const float *restrict y, size_t M, size_t n)
{
    for (size_t t = 0; t < n; t++) {
        for (size_t i = 0; i < M; i++) {
            const float size = fabsf(y[t * M + i]);
            peak[i] = size > peak[i] ? size : peak[i];
        }
    }
}

void moments_sums_cpu(struct moments_sums *sums, const float *y, size_t M, size_t n)
{
    for (size_t t = 0; t < n; t += GROUP) {
        const size_t group = n - t < GROUP ? n - t : GROUP;
        const float *rows = y + t * M;
        size_t i = 0;
        for (; i + WIDE_DOUBLES <= M; i += WIDE_DOUBLES) {
            add_units(sums, i, rows + i, M, group);
        }
        if (i < M) {
            add_rest(sums, i, rows, M, group);
        }
        add_peaks(sums->peak, rows, M, group);
    }
}
