/* Lateral excitation: both bodies against a dense matrix L made from the grid's geometry. */
#include "kernel_data.h"
#include "lateral.h"

/* Steps the short way around a circle of `side` places. */
static size_t around(size_t a, size_t b, size_t side)
{
    size_t there = (a + side - b) % side, back = (b + side - a) % side;
    return there < back ? there : back;
}

/* L (N x N): strength / sqrt(number of neighbours) for neighbours, 1 on the diagonal. */
static double *dense(double strength, size_t radius, size_t Kx, size_t Ky)
{
    size_t N = Kx * Ky;
    double *L = data_new(N * N, sizeof *L);
    for (size_t i = 0; i < N; i++) {
        size_t neighbours = 0;
        for (size_t j = 0; j < N; j++) {
            if (j != i && around(i % Kx, j % Kx, Kx) <= radius && around(i / Kx, j / Kx, Ky) <= radius) {
                L[i * N + j] = 1;
                neighbours++;
            }
        }
        for (size_t j = 0; j < N; j++) {
            L[i * N + j] *= neighbours > 0 ? strength / sqrt((double)neighbours) : 0;
        }
        L[i * N + i] = 1;
    }
    return L;
}

static void check_grid(double strength, size_t radius, size_t Kx, size_t Ky)
{
    size_t N = Kx * Ky;
    double *L = dense(strength, radius, Kx, Ky), *p = data_new(N, sizeof *p);
    float *p_cpu = data_floats(N, 3), *work = guard_new(lateral_work(Kx, Ky) * sizeof *work);
    double *ref = guard_new(N * sizeof *ref);
    float *cpu = guard_new(N * sizeof *cpu);
    for (size_t i = 0; i < N; i++) {
        p[i] = (double)p_cpu[i];
    }
    lateral_ref(ref, p, strength, radius, Kx, Ky);
    lateral_cpu(cpu, p_cpu, work, (float)strength, radius, Kx, Ky);
    for (size_t i = 0; i < N; i++) {
        double c = 0;
        for (size_t j = 0; j < N; j++) {
            c += L[i * N + j] * p[j];
        }
        CHECK_NEAR(ref[i], c, 1e-12 * c);
        CHECK_NEAR(cpu[i], c, 1e-5 * c);
    }
    CHECK(guard_check(ref, N * sizeof *ref));
    CHECK(guard_check(cpu, N * sizeof *cpu));
    CHECK(guard_check(work, lateral_work(Kx, Ky) * sizeof *work));
    free(L);
    free(p);
    free(p_cpu);
}

static void test_lateral_matches_dense_matrix(void)
{
    const size_t grids[][2] = {{1, 1}, {1, 7}, {7, 1}, {2, 2}, {2, 5}, {4, 3}, {5, 9}, {10, 10}, {16, 33}};
    for (size_t g = 0; g < sizeof grids / sizeof *grids; g++) {
        for (size_t radius = 0; radius < 7; radius++) {
            check_grid(0.5, radius, grids[g][0], grids[g][1]);
        }
        check_grid(1.5, SIZE_MAX, grids[g][0], grids[g][1]);
    }
}

static void test_lateral_small_torus_counts_neighbours_once(void)
{
    const double p[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    const float p_cpu[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    double ref[9];
    float cpu[9], work[2 * 9];
    lateral_ref(ref, p, 2, 5, 3, 3);
    lateral_cpu(cpu, p_cpu, work, 2, 5, 3, 3);
    for (size_t i = 0; i < 9; i++) {
        CHECK_NEAR(ref[i], p[i] + 2 / sqrt(8) * (45 - p[i]), 1e-12);
        CHECK_NEAR(cpu[i], p[i] + 2 / sqrt(8) * (45 - p[i]), 1e-4);
    }
}

static void test_lateral_without_neighbours_is_identity(void)
{
    const float p[6] = {1, 2, 3, 4, 5, 6};
    float c[6], work[2 * 6];
    lateral_cpu(c, p, work, 0.5F, 0, 3, 2);
    CHECK(data_same(c, p, sizeof c));
    lateral_cpu(c, p, work, 0, 1, 3, 2);
    CHECK(data_same(c, p, sizeof c));
}

/* Equal drives stay equal to the bit, so that ties are decided by the index alone. */
static void test_lateral_keeps_ties(void)
{
    float p[7 * 11], c[7 * 11], work[2 * 7 * 11];
    for (size_t i = 0; i < 77; i++) {
        p[i] = 0.1F;
    }
    for (size_t radius = 0; radius < 7; radius++) {
        lateral_cpu(c, p, work, 0.3F, radius, 7, 11);
        for (size_t i = 1; i < 77; i++) {
            CHECK(data_same(&c[i], &c[0], sizeof *c));
        }
    }
}

CHECK_MAIN(CASE(test_lateral_matches_dense_matrix), CASE(test_lateral_small_torus_counts_neighbours_once),
           CASE(test_lateral_without_neighbours_is_identity), CASE(test_lateral_keeps_ties))
