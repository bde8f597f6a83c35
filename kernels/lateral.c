/* Lateral excitation on a torus, the definition; see lateral.h. */
#include "lateral.h"

#include <math.h>

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
            if (torus_distance(y, i / Kx, Ky) > radius) {
                continue;
            }
            for (size_t x = 0; x < Kx; x++) {
                size_t j = y * Kx + x;
                if (torus_distance(x, i % Kx, Kx) > radius || j == i) {
                    continue;
                }
                sum += p[j];
                neighbours++;
            }
        }
        c[i] = p[i];
        if (neighbours > 0) {
            c[i] += strength / sqrt((double)neighbours) * sum;
        }
    }
}

size_t lateral_work(size_t Kx, size_t Ky)
{
    return 2 * Kx * Ky;
}
