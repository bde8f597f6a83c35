/* See ceiling_cpu.h. */
#include "ceiling_cpu.h"

#include "vector.h"

#define CHAINS 12 /* enough to hide the latency of a product and a sum, few enough for 16 registers */
#define STREAMS 8

double ceiling_multiply_add_cpu(size_t steps)
{
    static volatile float sink, factor = 0.999F, term = 0.001F; /* which no compiler can see through */
    const vector a = (vector){0} + factor, b = (vector){0} + term;
    vector chain[CHAINS];
    for (size_t c = 0; c < CHAINS; c++) {
        chain[c] = (vector){0} + (float)c;
    }
    for (size_t s = 0; s < steps; s++) {
        for (size_t c = 0; c < CHAINS; c++) {
            chain[c] = chain[c] * a + b;
        }
    }
    for (size_t c = 1; c < CHAINS; c++) {
        chain[0] += chain[c];
    }
    float lanes[VECTOR_FLOATS];
    vector_store(lanes, chain[0]);
    sink = lanes[0];
    (void)sink;
    return (double)steps * CHAINS * VECTOR_FLOATS;
}

double ceiling_multiply_add_pairs_cpu(size_t steps)
{
    static volatile int32_t sink, factor = 3; /* which no compiler can see through */
    const vector_int a = (vector_int){0} + factor, b = (vector_int){0} + 2 * factor;
    vector_int chain[CHAINS];
    for (size_t c = 0; c < CHAINS; c++) {
        chain[c] = (vector_int){0} + (int32_t)c;
    }
    for (size_t s = 0; s < steps; s++) {
        for (size_t c = 0; c < CHAINS; c++) {
            chain[c] = vector_dot_pairs(chain[c], a) + b;
        }
    }
    for (size_t c = 1; c < CHAINS; c++) {
        chain[0] += chain[c];
    }
    int32_t lanes[VECTOR_FLOATS];
    vector_int_store(lanes, chain[0]);
    sink = lanes[0];
    (void)sink;
    return (double)steps * CHAINS * VECTOR_FLOATS * 2;
}

float ceiling_read_cpu(const float *a, size_t n)
{
    vector sum[STREAMS];
    for (size_t s = 0; s < STREAMS; s++) {
        sum[s] = (vector){0};
    }
    for (size_t q = 0; q + STREAMS * VECTOR_FLOATS <= n; q += STREAMS * VECTOR_FLOATS) {
        for (size_t s = 0; s < STREAMS; s++) {
            sum[s] += vector_load(a + q + s * VECTOR_FLOATS);
        }
    }
    for (size_t s = 1; s < STREAMS; s++) {
        sum[0] += sum[s];
    }
    float lanes[VECTOR_FLOATS], total = 0;
    vector_store(lanes, sum[0]);
    for (size_t l = 0; l < VECTOR_FLOATS; l++) {
        total += lanes[l];
    }
    return total;
}
