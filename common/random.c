/* See random.h. */
#include "random.h"

#include <Random123/philox.h>

void random_uniform(double *out, size_t n, uint64_t seed, uint64_t sequence, uint64_t first)
{
    const philox4x64_key_t key = {{seed, sequence}};
    for (size_t i = 0; i < n;) {
        const uint64_t number = first + i;
        const philox4x64_ctr_t counter = {{number / 4 + 1, 0, 0, 0}};
        const philox4x64_ctr_t bits = philox4x64(counter, key);
        for (size_t lane = number % 4; lane < 4 && i < n; lane++, i++) {
            out[i] = (double)(bits.v[lane] >> 11) * 0x1p-53;
        }
    }
}
