/* Winners: both bodies against counting how many are stronger. */
#include "kernel_data.h"
#include "winners.h"

#define N_MAX 700

/* i is among the k winners exactly if fewer than k others are larger, or equal and before it. */
static bool is_winner(const float *c, size_t n, size_t k, size_t i)
{
    size_t stronger = 0;
    for (size_t j = 0; j < n; j++) {
        stronger += c[j] > c[i] || (c[j] >= c[i] && j < i);
    }
    return stronger < k;
}

static void check_winners(const float *c, size_t n, size_t k)
{
    double c_ref[N_MAX];
    uint32_t *cpu = guard_new(k * sizeof *cpu), *ref = guard_new(k * sizeof *ref);
    for (size_t i = 0; i < n; i++) {
        c_ref[i] = (double)c[i];
    }
    winners_cpu(cpu, c, n, k);
    winners_ref(ref, c_ref, n, k);
    for (size_t a = 0; a < k; a++) {
        CHECK(cpu[a] == ref[a]);
        CHECK(cpu[a] < n && is_winner(c, n, k, cpu[a]));
        CHECK(a == 0 || cpu[a] > cpu[a - 1]);
    }
    CHECK(guard_check(cpu, k * sizeof *cpu));
    CHECK(guard_check(ref, k * sizeof *ref));
}

static void test_winners_are_the_largest(void)
{
    const size_t sizes[] = {1, 2, 3, 17, 100, N_MAX}, wanted[] = {1, 2, 5, 64, N_MAX};
    for (size_t s = 0; s < 6; s++) {
        for (size_t w = 0; w < 5; w++) {
            float *c = data_floats(sizes[s], 1);
            check_winners(c, sizes[s], wanted[w] < sizes[s] ? wanted[w] : sizes[s]);
            free(c);
        }
    }
}

static void test_winners_ties_lower_index_wins(void)
{
    const float flat[6] = {2, 2, 2, 2, 2, 2}, late[6] = {0, 1, 1, 0, 1, 3};
    uint32_t index[3];
    winners_cpu(index, flat, 6, 3);
    CHECK(index[0] == 0 && index[1] == 1 && index[2] == 2);
    winners_cpu(index, late, 6, 3);
    CHECK(index[0] == 1 && index[1] == 2 && index[2] == 5);
    for (size_t round = 0; round < 200; round++) {
        float c[40];
        for (size_t i = 0; i < 40; i++) {
            c[i] = (float)(int)(4 * data_uniform());
        }
        check_winners(c, 40, 1 + round % 40);
    }
    for (size_t round = 0; round < 40; round++) { /* few winners of many numbers */
        float c[N_MAX];
        for (size_t i = 0; i < N_MAX; i++) {
            c[i] = round % 4 ? (float)(int)((double)(10 * round) * data_uniform()) : 0;
        }
        check_winners(c, N_MAX - round, 1 + round % 16);
    }
}

static void test_winners_nan_is_smallest(void)
{
    const float c[5] = {NAN, -1, NAN, 3, 2};
    const double c_ref[5] = {NAN, -1, NAN, 3, 2};
    uint32_t cpu[5], ref[5];
    for (size_t k = 1; k <= 5; k++) {
        winners_cpu(cpu, c, 5, k);
        winners_ref(ref, c_ref, 5, k);
        for (size_t a = 0; a < k; a++) {
            CHECK(cpu[a] == ref[a]);
        }
        CHECK(k != 3 || (cpu[0] == 1 && cpu[1] == 3 && cpu[2] == 4));
        CHECK(k != 4 || (cpu[0] == 0 && cpu[1] == 1 && cpu[2] == 3 && cpu[3] == 4));
    }
    float many[N_MAX]; /* NaN but for three */
    for (size_t i = 0; i < N_MAX; i++) {
        many[i] = i == 7 || i == 400 || i == N_MAX - 1 ? (float)i : NAN;
    }
    winners_cpu(cpu, many, N_MAX, 2);
    CHECK(cpu[0] == 400 && cpu[1] == N_MAX - 1);
    winners_cpu(cpu, many, N_MAX, 5);
    CHECK(cpu[0] == 0 && cpu[1] == 1 && cpu[2] == 7 && cpu[3] == 400 && cpu[4] == N_MAX - 1);
}

CHECK_MAIN(CASE(test_winners_are_the_largest), CASE(test_winners_ties_lower_index_wins),
           CASE(test_winners_nan_is_smallest))
