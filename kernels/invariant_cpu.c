/* What the float bodies of the invariant layer share; see invariant_cpu.h. */
#include "invariant_cpu.h"

#include <math.h>
#include <string.h>

#include "invariant.h"
#include "winners.h"

void columns_set_cpu(float *columns, const float *U, size_t M, size_t N, size_t stride)
{
    for (size_t j = 0; j < N; j++) {
        for (size_t i = 0; i < M; i++) {
            columns[j * stride + i] = fmaxf(U[i * N + j], INVARIANT_FLOOR);
        }
    }
}

void columns_drive_cpu(float *restrict d, const float *restrict columns, const uint32_t *index,
                       const float *value, size_t count, size_t stride)
{
    memset(d, 0, stride * sizeof *d);
    for (size_t a = 0; a < count; a++) {
        const float *column = columns + index[a] * stride, s = value[a];
        for (size_t i = 0; i < stride; i++) {
            d[i] += s * column[i];
        }
    }
}

void columns_keep_winners_cpu(float *d, uint32_t *chosen, size_t M, size_t m)
{
    if (m == 0) {
        return;
    }
    winners_cpu(chosen, d, M, m);
    /* the winners to the front, where chosen[a] >= a; then from the last one back to where they were */
    for (size_t a = 0; a < m; a++) {
        d[a] = d[chosen[a]];
    }
    memset(d + m, 0, (M - m) * sizeof *d);
    for (size_t a = m; a-- > 0;) {
        const float winner = d[a];
        d[a] = 0;
        d[chosen[a]] = winner;
    }
}

size_t columns_active_cpu(uint32_t *index, float *value, const uint32_t *code_index, const float *code_value,
                          size_t k)
{
    size_t count = 0;
    for (size_t a = 0; a < k; a++) {
        if (code_value[a] > 0) {
            index[count] = code_index[a];
            value[count++] = code_value[a];
        }
    }
    return count;
}
