/* Lateral excitation on a torus in float; see lateral.h.
 *
 * The float body sums the rows of a box, then what lies side by side in that. Each sum is made afresh from its 2 * radius + 1 terms: a
 * running sum would need fewer additions but carries its rounding errors along the row, and does not
 * vectorise. */
#include <math.h>
#include <string.h>

#include "lateral.h"
#include "vector.h"

/* How many different units lie within radius along an axis, the unit itself included. */
static size_t reach(size_t radius, size_t side)
{
    return radius >= side / 2 ? side : 2 * radius + 1;
}

/* Where the terms of a sum lie: `count` of them from `first` on, `step` apart, then `more` from `again` on. */
struct terms {
    const float *first, *again;
    size_t count, more, step;
};

VECTOR_INLINE vector add_up(vector sum, const float *term, size_t count, size_t step)
{
    for (size_t d = 0; d < count; d++) {
        sum += vector_load(term + d * step);
    }
    return sum;
}

static float sum_one(const struct terms *terms, size_t x)
{
    float sum = 0;
    for (size_t d = 0; d < terms->count; d++) {
        sum += terms->first[d * terms->step + x];
    }
    for (size_t d = 0; d < terms->more; d++) {
        sum += terms->again[d * terms->step + x];
    }
    return sum;
}

/* Inlined for a constant count, so that the terms of a sum need no loop. The last vector ends with the last sum. */
VECTOR_INLINE void sum_vectors(float *restrict sums, const struct terms *terms, size_t count, size_t more,
                               size_t n)
{
    for (size_t x = 0; x < n; x += VECTOR_FLOATS) {
        size_t at = x + VECTOR_FLOATS <= n ? x : n - VECTOR_FLOATS;
        vector sum = add_up((vector){0}, terms->first + at, count, terms->step);
        vector_store(sums + at, add_up(sum, terms->again + at, more, terms->step));
    }
}

/* sums (n): sums[x] adds up the terms, each x further on. */
static void sum_terms(float *restrict sums, const struct terms *terms, size_t n)
{
    if (n < VECTOR_FLOATS) {
        for (size_t x = 0; x < n; x++) {
            sums[x] = sum_one(terms, x);
        }
    } else if (terms->count == 3 && terms->more == 0) {
        sum_vectors(sums, terms, 3, 0, n);
    } else if (terms->count == 5 && terms->more == 0) {
        sum_vectors(sums, terms, 5, 0, n);
    } else {
        sum_vectors(sums, terms, terms->count, terms->more, n);
    }
}

/* row: Kx entries with room for `radius` on either side, where the row goes on around the torus. */
static void wrap(float *row, size_t radius, size_t Kx)
{
    for (size_t x = 0; x < radius; x++) {
        row[x] = row[Kx + x];
        row[radius + Kx + x] = row[radius + x];
    }
}

/* row (Kx) = the sum of the whole row `from`, everywhere. */
static void sum_all(float *restrict row, const float *restrict from, size_t Kx)
{
    float sum = 0;
    for (size_t x = 0; x < Kx; x++) {
        sum += from[x];
    }
    for (size_t x = 0; x < Kx; x++) {
        row[x] = sum;
    }
}

/* All columns before all rows: a row that is read at once at other places than it was written would have to wait
 * for that. */
void lateral_cpu(float *c, const float *p, float *work, float strength, size_t radius, size_t Kx, size_t Ky)
{
    const size_t width = reach(radius, Kx), height = reach(radius, Ky), neighbours = width * height - 1;
    const size_t beside = width < Kx ? width / 2 : 0, stride = Kx + 2 * beside;
    const float gain = neighbours > 0 ? strength / sqrtf((float)neighbours) : 0;

    if (gain <= 0) {
        memcpy(c, p, Kx * Ky * sizeof *c);
        return;
    }
    for (size_t y = 0; y < Ky; y++) {
        /* where a column is summed whole, in the same order for all, so that ties stay ties */
        const size_t top = height == Ky ? 0 : (y + Ky - height / 2) % Ky;
        const size_t count = height < Ky - top ? height : Ky - top;
        sum_terms(work + y * stride + beside, &(struct terms){p + top * Kx, p, count, height - count, Kx}, Kx);
        wrap(work + y * stride, beside, Kx);
    }
    for (size_t y = 0; y < Ky; y++) {
        float *restrict box = c + y * Kx;
        const float *self = p + y * Kx, *column = work + y * stride;
        if (width == Kx) {
            sum_all(box, column, Kx);
        } else {
            sum_terms(box, &(struct terms){column, column, width, 0, 1}, Kx);
        }
        for (size_t x = 0; x < Kx; x++) {
            box[x] = self[x] + gain * (box[x] - self[x]);
        }
    }
}
