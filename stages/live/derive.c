/* See derive.h. */
#include "derive.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define ABREAST 16 /* frames whose drives are computed side by side, in vector registers */

int derive_drives(float *p, const float *W, const float *v, size_t n, size_t N, size_t P)
{
    float *turned = malloc((P * ABREAST + 1) * sizeof *turned); /* P x ABREAST */
    uint32_t *pixel = malloc((P + 1) * sizeof *pixel);          /* those that are not 0 in all of them */
    if (turned == NULL || pixel == NULL) {
        free(turned);
        free(pixel);
        return error_set(LOOM_EINTERNAL, "no memory for drives of %zu frames", n);
    }
    for (size_t first = 0; first < n; first += ABREAST) {
        const size_t width = n - first < ABREAST ? n - first : ABREAST;
        size_t pixels = 0;
        for (size_t q = 0; q < P; q++) {
            float *row = turned + pixels * ABREAST;
            bool any = false;
            for (size_t f = 0; f < ABREAST; f++) {
                row[f] = f < width ? v[(first + f) * P + q] : 0;
                any |= row[f] != 0;
            }
            pixel[pixels] = (uint32_t)q;
            pixels += any ? 1 : 0;
        }
        for (size_t i = 0; i < N; i++) {
            float sum[ABREAST] = {0};
            for (size_t q = 0; q < pixels; q++) {
                const float w = W[i * P + pixel[q]];
                for (size_t f = 0; f < ABREAST; f++) {
                    sum[f] += w * turned[q * ABREAST + f];
                }
            }
            for (size_t f = 0; f < width; f++) {
                p[(first + f) * N + i] = sum[f];
            }
        }
    }
    free(turned);
    free(pixel);
    return LOOM_OK;
}

float derive_dot(const float *a, const float *b, size_t n)
{
    float sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += a[i] * b[i];
    }
    return sum;
}

void derive_reconstruction(float *r, const float *W, const float *v, const uint32_t *index, size_t n,
                           size_t k, size_t N, size_t P)
{
    memset(r, 0, n * P * sizeof *r);
    for (size_t f = 0; f < n; f++) {
        for (size_t a = 0; a < k; a++) {
            const size_t i = index[f * k + a];
            const float *row = W + (i < N ? i : 0) * P;
            const float p = i < N ? derive_dot(row, v + f * P, P) : 0;
            for (size_t q = 0; q < P; q++) {
                r[f * P + q] += p * row[q];
            }
        }
    }
}

float derive_largest(const float *x, size_t n)
{
    float max = 0;
    for (size_t i = 0; i < n; i++) {
        max = x[i] > max && isfinite(x[i]) ? x[i] : max;
    }
    return max;
}

void derive_quantised(uint8_t *q, const float *x, size_t n, float max)
{
    const float scale = max > 0 ? 255.0F / max : 0;
    for (size_t i = 0; i < n; i++) {
        const float level = x[i] * scale + 0.5F;
        q[i] = level >= 255 ? 255 : level > 0 ? (uint8_t)level : 0; /* NaN compares with nothing */
    }
}

size_t derive_best(size_t *best, size_t most, const float *x, size_t n, size_t apart)
{
    size_t found = 0;
    for (; found < most; found++) {
        size_t place = n;
        for (size_t i = 0; i < n; i++) {
            if (!isfinite(x[i]) || (place < n && x[i] <= x[place])) {
                continue;
            }
            size_t clash = 0;
            while (clash < found && (i > best[clash] ? i - best[clash] : best[clash] - i) > apart) {
                clash++;
            }
            place = clash == found ? i : place;
        }
        if (place == n) {
            break;
        }
        best[found] = place;
    }
    return found;
}
