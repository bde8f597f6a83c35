/* Lateral excitation on a torus in float; see lateral.h.
 *
 * The float body sums the rows of a box, then what lies side by side in that. Each sum is made afresh from its 2 * radius + 1 terms: a
 * running sum would need fewer additions but carries its rounding errors along the row, and does not
 * vectorise. */
#include <math.h>
#include <string.h>

#include "lateral.h"
#include "lateral_box.h"
#include "vector.h"

/* row: Kx entries with room for `beside` on either side, where the row goes on around the torus. */
VECTOR_INLINE void wrap(float *row, size_t beside, size_t Kx)
{
    for (size_t x = 0; x < beside; x++) {
        row[x] = row[Kx + x];
        row[beside + Kx + x] = row[beside + x];
    }
}

/* sums (Kx): of the `height` rows of p from row `top` on, down around the torus. */
VECTOR_INLINE void sum_rows(float *restrict sums, const float *p, size_t top, size_t height, size_t Kx,
                            size_t Ky)
{
    size_t x = 0;
    for (; x + VECTOR_FLOATS <= Kx; x += VECTOR_FLOATS) {
        vector sum = {0};
        for (size_t d = 0; d < height; d++) {
            const size_t y = top + d < Ky ? top + d : top + d - Ky;
            sum += vector_load(p + y * Kx + x);
        }
        vector_store(sums + x, sum);
    }
    for (; x < Kx; x++) {
        float sum = 0;
        for (size_t d = 0; d < height; d++) {
            sum += p[(top + d < Ky ? top + d : top + d - Ky) * Kx + x];
        }
        sums[x] = sum;
    }
}

/* c (Kx) = p + gain * (the sums of `width` neighbouring entries of row - p). */
VECTOR_INLINE void excite_row(float *restrict c, const float *p, const float *row, float gain, size_t width,
                              size_t Kx)
{
    size_t x = 0;
    for (; x + VECTOR_FLOATS <= Kx; x += VECTOR_FLOATS) {
        vector sum = {0}, self = vector_load(p + x);
        for (size_t d = 0; d < width; d++) {
            sum += vector_load(row + x + d);
        }
        vector_store(c + x, self + gain * (sum - self));
    }
    for (; x < Kx; x++) {
        float sum = 0;
        for (size_t d = 0; d < width; d++) {
            sum += row[x + d];
        }
        c[x] = p[x] + gain * (sum - p[x]);
    }
}

/* The same where a row is summed whole: one sum for all, so that ties stay ties. */
static void excite_whole_row(float *restrict c, const float *p, const float *row, float gain, size_t Kx)
{
    float sum = 0;
    for (size_t x = 0; x < Kx; x++) {
        sum += row[x];
    }
    for (size_t x = 0; x < Kx; x++) {
        c[x] = p[x] + gain * (sum - p[x]);
    }
}

/* All columns before all rows: a row that is read at other places than it has just been written, as vectors go,
 * would have to wait for that. Inlined for constant sides of the box, so that a sum's terms need no loop. */
VECTOR_INLINE void excite(float *c, const float *p, float *work, float gain, size_t width, size_t height,
                          size_t Kx, size_t Ky)
{
    const size_t beside = width < Kx ? width / 2 : 0, stride = Kx + 2 * beside;
    for (size_t y = 0; y < Ky; y++) {
        /* where a column is summed whole, in the same order for all: ties, again */
        const size_t above = height < Ky ? height / 2 : y;
        const size_t top = y >= above ? y - above : y + Ky - above;
        sum_rows(work + y * stride + beside, p, top, height, Kx, Ky);
        wrap(work + y * stride, beside, Kx);
    }
    for (size_t y = 0; y < Ky; y++) {
        if (width == Kx) {
            excite_whole_row(c + y * Kx, p + y * Kx, work + y * stride, gain, Kx);
        } else {
            excite_row(c + y * Kx, p + y * Kx, work + y * stride, gain, width, Kx);
        }
    }
}

void lateral_cpu(float *c, const float *p, float *work, float strength, size_t radius, size_t Kx, size_t Ky)
{
    const size_t width = lateral_reach(radius, Kx), height = lateral_reach(radius, Ky),
                 neighbours = width * height - 1;
    const float gain = neighbours > 0 ? strength / sqrtf((float)neighbours) : 0;
    if (gain <= 0) {
        memcpy(c, p, Kx * Ky * sizeof *c);
    } else if (radius == 1 && Kx > 3 && Ky > 3) {
        excite(c, p, work, gain, 3, 3, Kx, Ky);
    } else if (radius == 2 && Kx > 5 && Ky > 5) {
        excite(c, p, work, gain, 5, 5, Kx, Ky);
    } else {
        excite(c, p, work, gain, width, height, Kx, Ky);
    }
}
