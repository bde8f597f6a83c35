/* Measures against their definitions. */
#include "kernel_data.h"
#include "measure.h"

static double cosine(const float *a, const float *b, size_t n)
{
    double ab = 0, aa = 0, bb = 0;
    for (size_t q = 0; q < n; q++) {
        ab += (double)a[q] * (double)b[q];
        aa += (double)a[q] * (double)a[q];
        bb += (double)b[q] * (double)b[q];
    }
    return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : 0;
}

static void test_homogeneity_is_mean_cosine_of_pairs(void)
{
    float *W = data_floats(13 * 31, 1);
    memset(W + 4 * 31, 0, 31 * sizeof *W); /* a row that is all 0 counts as cosine 0 */
    double sum = 0;
    for (size_t i = 0; i < 13; i++) {
        for (size_t j = 0; j < i; j++) {
            sum += cosine(W + i * 31, W + j * 31, 31);
        }
    }
    CHECK_NEAR(measure_homogeneity(W, 13, 31), sum / 78, 1e-12);
    free(W);
}

static void test_homogeneity_extremes(void)
{
    const float same[6] = {1, 2, 2, 4, 3, 6}, apart[4] = {1, 0, 0, 5};
    CHECK_NEAR(measure_homogeneity(same, 3, 2), 1, 1e-12);
    CHECK_NEAR(measure_homogeneity(apart, 2, 2), 0, 1e-12);
    CHECK_NEAR(measure_homogeneity(same, 1, 2), 0, 0);
    CHECK_NEAR(measure_homogeneity(same, 0, 2), 0, 0);
}

static void test_homogeneity_without_memory_is_nan(void)
{
    const float W[4] = {1, 0, 0, 5};
    for (size_t at = 0; at < 2; at++) {
        data_allocations = 0;
        data_fails_at = at;
        CHECK(isnan(measure_homogeneity(W, 2, 2)));
    }
    data_fails_at = SIZE_MAX;
}

static bool neighbours(size_t i, size_t j, size_t Ix, size_t Iy, size_t radius)
{
    const size_t across = i % Ix > j % Ix ? i % Ix - j % Ix : j % Ix - i % Ix;
    const size_t along = i / Ix > j / Ix ? i / Ix - j / Ix : j / Ix - i / Ix;
    return i != j && (across <= radius || Ix - across <= radius) && (along <= radius || Iy - along <= radius);
}

/* Mean cosine of neighbours less that of all pairs, as it is defined, with unit order[i] on place i. */
static double define_topology(const float *U, const size_t *order, size_t Ix, size_t Iy, size_t N,
                              size_t radius)
{
    double near = 0, all = 0, n_near = 0, n_all = 0;
    for (size_t i = 0; i < Ix * Iy; i++) {
        for (size_t j = 0; j < Ix * Iy; j++) {
            const double c = cosine(U + order[i] * N, U + order[j] * N, N);
            near += neighbours(i, j, Ix, Iy, radius) ? c : 0;
            n_near += neighbours(i, j, Ix, Iy, radius) ? 1 : 0;
            all += i != j ? c : 0;
            n_all += i != j ? 1 : 0;
        }
    }
    return near / n_near - all / n_all;
}

static void in_order(size_t *order, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        order[i] = i;
    }
}

static void test_topology_is_as_defined(void)
{
    const size_t grids[][2] = {{4, 3}, {5, 5}, {1, 7}, {6, 2}, {7, 4}}, radii[] = {1, 2, 3, 100};
    for (size_t g = 0; g < sizeof grids / sizeof *grids; g++) {
        for (size_t r = 0; r < 4; r++) {
            const size_t Ix = grids[g][0], Iy = grids[g][1], M = Ix * Iy, N = 19 + 16 * g;
            size_t order[28];
            float *U = data_floats(M * N, 1);
            memset(U + 2 * N, 0, N * sizeof *U); /* has cosine 0 with all */
            struct measure_topology seen;
            in_order(order, M);
            CHECK(measure_topology(&seen, U, Ix, Iy, N, radii[r], 1e9) == KERNEL_OK);
            CHECK_NEAR(seen.topology, define_topology(U, order, Ix, Iy, N, radii[r]), 1e-12);
            CHECK_NEAR(seen.homogeneity, measure_homogeneity(U, M, N), 1e-12);
            free(U);
        }
    }
}

/* Swap on to the next permutation, in the order of Heap; false after the last one. */
static bool next_permutation(size_t *order, size_t *count, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        if (count[i] < i) {
            const size_t from = i % 2 == 0 ? 0 : count[i], kept = order[i];
            order[i] = order[from];
            order[from] = kept;
            count[i]++;
            return true;
        }
        count[i] = 0;
    }
    return false;
}

static void test_z_is_that_of_all_permutations(void)
{
    const size_t grids[][2] = {{4, 2}, {7, 1}, {2, 2}};
    for (size_t g = 0; g < 3; g++) {
        const size_t Ix = grids[g][0], Iy = grids[g][1], M = Ix * Iy, N = 5;
        size_t order[8], count[8] = {0};
        float *U = data_floats(M * N, 1);
        struct measure_topology seen;
        double sum = 0, square = 0, n = 0;
        CHECK(measure_topology(&seen, U, Ix, Iy, N, 1, 1e9) == KERNEL_OK);
        in_order(order, M);
        do {
            const double topology = define_topology(U, order, Ix, Iy, N, 1);
            sum += topology;
            square += topology * topology;
            n++;
        } while (next_permutation(order, count, M));
        CHECK_NEAR(sum / n, 0, 1e-12);
        if (g < 2) {
            CHECK(n == (g == 0 ? 40320 : 5040) && seen.compared == M);
            CHECK_NEAR(seen.z / (seen.topology / sqrt(square / n)), 1, 1e-5);
        } else { /* all are neighbours of all: nothing can be told */
            CHECK(isnan(seen.z));
        }
        free(U);
    }
}

/* Rows that change slowly over the grid. */
static float *ordered(size_t Ix, size_t Iy, size_t N)
{
    float *U = data_floats(Ix * Iy * N, 0.2);
    for (size_t i = 0; i < Ix * Iy; i++) {
        U[i * N + i % Ix] += 1;
        U[i * N + (i + 1) % Ix] += 1;
        U[i * N + Ix + i / Ix] += 1;
    }
    return U;
}

static void test_z_from_some_of_many_units(void)
{
    const size_t Ix = 25, Iy = 20, M = Ix * Iy, N = 60;
    float *U = ordered(Ix, Iy, N), *noise = data_floats(M * N, 1);
    struct measure_topology exact, some;
    CHECK(measure_topology(&exact, U, Ix, Iy, N, 2, 1e9) == KERNEL_OK);
    CHECK(measure_topology(&some, U, Ix, Iy, N, 2, 100.0 * 100.0 * (double)N / 2) == KERNEL_OK);
    CHECK(exact.compared == M && some.compared == 100);
    CHECK(exact.topology == some.topology && exact.z > 30);
    CHECK_NEAR(some.z / exact.z, 1, 0.1);
    CHECK(measure_topology(&some, U, Ix, Iy, N, 2, 0) == KERNEL_OK);
    CHECK(some.compared == MEASURE_LEAST);
    CHECK_NEAR(some.z / exact.z, 1, 0.3);
    CHECK(measure_topology(&exact, noise, Ix, Iy, N, 2, 1e9) == KERNEL_OK);
    CHECK(fabs(exact.z) < 4);
    free(U);
    free(noise);
}

static void test_topology_that_cannot_be_told(void)
{
    float *U = data_floats(9 * 4, 1);
    struct measure_topology seen;
    CHECK(measure_topology(&seen, U, 3, 3, 4, 0, 1e9) == KERNEL_OK);
    CHECK(isnan(seen.topology) && isnan(seen.z) && seen.homogeneity > 0);
    CHECK(measure_topology(&seen, U, 1, 1, 4, 2, 1e9) == KERNEL_OK);
    CHECK(isnan(seen.topology) && isnan(seen.z) && seen.homogeneity == 0);
    for (size_t q = 0; q < 36; q++) {
        U[q] = (float)(1 + q % 4);
    }
    CHECK(measure_topology(&seen, U, 9, 1, 4, 1, 1e9) == KERNEL_OK);
    CHECK_NEAR(seen.topology, 0, 1e-12);
    CHECK_NEAR(seen.homogeneity, 1, 1e-12);
    CHECK(isnan(seen.z)); /* all are the same, however they lie */
    free(U);
}

static void test_topology_without_memory(void)
{
    float *U = data_floats(12 * 9, 1);
    struct measure_topology seen;
    int status = KERNEL_ENOMEM;
    size_t at = 0;
    for (; status != KERNEL_OK && at < 20; at++) {
        data_allocations = 0;
        data_fails_at = at;
        status = measure_topology(&seen, U, 4, 3, 9, 1, 1e9);
        CHECK(status == KERNEL_OK || status == KERNEL_ENOMEM);
    }
    data_fails_at = SIZE_MAX;
    CHECK(status == KERNEL_OK && at > 1 && !isnan(seen.z));
    free(U);
}

static void test_same_bits_by_every_instruction_set(void)
{
    const size_t Ix = 9, Iy = 5, N = 77;
    float *U = data_floats(Ix * Iy * N, 1);
    struct measure_topology first = {0}, seen;
    double homogeneity = 0;
    char *before = getenv("LOOM_CPU") ? strdup(getenv("LOOM_CPU")) : NULL;
    for (size_t s = 0; s < DATA_SETS; s++) {
        setenv("LOOM_CPU", data_sets[s][0], 1);
        CHECK(measure_topology(&seen, U, Ix, Iy, N, 2, 1e9) == KERNEL_OK);
        if (s == 0) {
            first = seen;
            homogeneity = measure_homogeneity(U, Ix * Iy, N);
        }
        CHECK(data_same(&seen, &first, sizeof seen));
        CHECK(measure_homogeneity(U, Ix * Iy, N) == homogeneity);
    }
    unsetenv("LOOM_CPU");
    if (before) {
        setenv("LOOM_CPU", before, 1);
    }
    free(before);
    free(U);
}

static void test_coverage_and_prototypes(void)
{
    enum { M = 3, N = 5, P = 131 };
    float *U = data_floats(M * N, 1), *W = data_floats(N * P, 1);
    float *coverage = guard_new(N * sizeof *coverage), *prototypes = guard_new(M * P * sizeof *prototypes);
    measure_coverage(coverage, U, M, N);
    measure_prototypes(prototypes, U, W, M, N, P);
    for (size_t j = 0; j < N; j++) {
        CHECK_NEAR(coverage[j], U[j] + U[N + j] + U[2 * N + j], 1e-6);
    }
    for (size_t i = 0; i < M; i++) {
        for (size_t q = 0; q < P; q++) {
            double sum = 0;
            for (size_t j = 0; j < N; j++) {
                sum += (double)(U[i * N + j] * W[j * P + q]);
            }
            CHECK_NEAR(prototypes[i * P + q], sum, 1e-6);
        }
    }
    CHECK(guard_check(coverage, N * sizeof *coverage));
    CHECK(guard_check(prototypes, M * P * sizeof *prototypes));
    free(U);
    free(W);
}

static void test_entropy_in_bits(void)
{
    const double even[4] = {3, 3, 3, 3}, one[4] = {0, 7, 0, 0}, none[4] = {0}, half[3] = {2, 1, 1};
    CHECK_NEAR(measure_entropy(even, 4), 2, 1e-12);
    CHECK_NEAR(measure_entropy(one, 4), 0, 1e-12);
    CHECK_NEAR(measure_entropy(none, 4), 0, 0);
    CHECK_NEAR(measure_entropy(half, 3), 1.5, 1e-12);
    CHECK_NEAR(measure_entropy(NULL, 0), 0, 0);
}

CHECK_MAIN(CASE(test_homogeneity_is_mean_cosine_of_pairs), CASE(test_homogeneity_extremes),
           CASE(test_homogeneity_without_memory_is_nan), CASE(test_topology_is_as_defined),
           CASE(test_z_is_that_of_all_permutations), CASE(test_z_from_some_of_many_units),
           CASE(test_topology_that_cannot_be_told), CASE(test_topology_without_memory),
           CASE(test_same_bits_by_every_instruction_set), CASE(test_coverage_and_prototypes),
           CASE(test_entropy_in_bits))
