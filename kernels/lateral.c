/* Lateral excitation on a torus; see lateral.h.
 *
 * The float body sums a box as rows, then columns. Each sum is made afresh from its 2 * radius + 1 terms: a
 * running sum would need fewer additions but carries its rounding errors along the row, and does not
 * vectorise. */
#include "lateral.h"

#include <math.h>
#include <string.h>

static size_t torus_distance(size_t a, size_t b, size_t side)
{
    size_t distance = a > b ? a - b : b - a;
    return distance < side - distance ? distance : side - distance;
}

void lateral_ref(double *c, const double *p, double strength, size_t radius, size_t Kx, size_t Ky)
{
    for (size_t i = 0; i < Kx * Ky; i++) {
        double sum = 0;
        size_t neighbours = 0;
        for (size_t y = 0; y < Ky; y++) {
            if (torus_distance(y, i / Kx, Ky) > radius)
                continue;
            for (size_t x = 0; x < Kx; x++) {
                size_t j = y * Kx + x;
                if (torus_distance(x, i % Kx, Kx) > radius || j == i)
                    continue;
                sum += p[j];
                neighbours++;
            }
        }
        c[i] = p[i];
        if (neighbours > 0)
            c[i] += strength / sqrt((double)neighbours) * sum;
    }
}

/* How many different units lie within radius along an axis, the unit itself included. */
static size_t reach(size_t radius, size_t side)
{
    return radius >= side / 2 ? side : 2 * radius + 1;
}

/* sums (Kx): of the `width` entries of row (Kx) around each entry. wrapped: working memory, 2 Kx. */
static void sum_row(float *restrict sums, const float *restrict row, float *restrict wrapped, size_t width,
                    size_t Kx)
{
    if (width == Kx) {
        float sum = 0;
        for (size_t x = 0; x < Kx; x++)
            sum += row[x];
        for (size_t x = 0; x < Kx; x++)
            sums[x] = sum;
        return;
    }
    size_t radius = width / 2;
    memcpy(wrapped, row + Kx - radius, radius * sizeof *row);
    memcpy(wrapped + radius, row, Kx * sizeof *row);
    memcpy(wrapped + radius + Kx, row, radius * sizeof *row);
    memcpy(sums, wrapped, Kx * sizeof *sums);
    for (size_t d = 1; d < width; d++)
        for (size_t x = 0; x < Kx; x++)
            sums[x] += wrapped[x + d];
}

static void add_row(float *restrict sums, const float *restrict row, size_t Kx)
{
    for (size_t x = 0; x < Kx; x++)
        sums[x] += row[x];
}

size_t lateral_work(size_t Kx, size_t Ky)
{
    return Kx * Ky + 2 * Kx;
}

void lateral_cpu(float *c, const float *p, float *work, float strength, size_t radius, size_t Kx, size_t Ky)
{
    size_t width = reach(radius, Kx), height = reach(radius, Ky);
    size_t neighbours = width * height - 1;
    size_t first = height == Ky ? 0 : Ky - height / 2; /* of the rows around row 0 */
    float gain = neighbours > 0 ? strength / sqrtf((float)neighbours) : 0;
    float *rows = work, *wrapped = work + Kx * Ky;

    for (size_t y = 0; y < Ky; y++)
        sum_row(rows + y * Kx, p + y * Kx, wrapped, width, Kx);
    for (size_t y = 0; y < Ky; y++) {
        float *box = c + y * Kx;
        const float *self = p + y * Kx;
        size_t top = height == Ky ? 0 : (y + first) % Ky; /* the same order for all, so that ties stay ties */
        memset(box, 0, Kx * sizeof *box);
        for (size_t d = 0; d < height; d++)
            add_row(box, rows + (top + d) % Ky * Kx, Kx);
        for (size_t x = 0; x < Kx; x++)
            box[x] = self[x] + gain * (box[x] - self[x]);
    }
}
